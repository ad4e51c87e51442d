/* SPDX-License-Identifier: MIT */
/*
 * s3_replace.c - S3: what does replacing a random one of a million objects cost, when neither the
 * objects nor the allocator's records are in the caches?
 */
#include "loops.h"
#include "memory.h"
#include "report.h"

static uint64_t opt_objects, opt_replaces, opt_size;
static const struct bench_option options[] = {
    {"objects", BENCH_COUNT, &opt_objects, "thousand", 1, 1000000, 1000, 20, "Objects"},
    {"replaces", BENCH_COUNT, &opt_replaces, "thousand", 1, 100000000, 4000, 40,
     "Replacements in a round"},
    {"size", BENCH_COUNT, &opt_size, "bytes", 8, 65536, 64, 64, "Size of the objects"},
};

struct run {
    ref_t *refs;
    uint32_t count;
    struct rng rng;
};

static void
replaces(void *arg, uint64_t operations)
{
    struct run *run = arg;
    loop_replace(run->refs, run->count, opt_size, &run->rng, operations);
}

int
main(int argc, char **argv)
{
    struct run run;
    bench_parse(argc, argv, "random replacement among many objects (S3)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    run.count = (uint32_t)(opt_objects * 1000);
    run.rng = rng_stream(0);
    run.refs = memory_map((size_t)run.count * sizeof(ref_t));
    report_begin("S3", "random replace", subject_label());
    report_case("%u000 objects of %u bytes, %d replaced a section", (unsigned)opt_objects,
                (unsigned)opt_size, REPLACES_PER_SECTION);
    subject_open();
    loop_fill(run.refs, run.count, opt_size);
    struct report_metric metric = metric_of("replace", "ns", REPORT_LOWER,
                                            loop_median_ns(replaces, &run, opt_replaces * 1000));
    if (BENCH_SUBJECT != SUBJECT_MALLOC) {
        metric.ratio_to = "jemalloc";
        metric.ratio_target = subject_pick(1.3, 2.4);
    }
    report_add(metric);
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
