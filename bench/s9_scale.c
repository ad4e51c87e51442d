/* SPDX-License-Identifier: MIT */
/*
 * s9_scale.c - S9: does an operation cost more when there are more objects? Random replacement as
 * in S3 with 10^5 objects of 64 bytes, 10^6 and so on. The machine's caches and TLB make it slower
 * for everybody: what counts is the ratio to a peer of the same size.
 */
#include "loops.h"
#include "memory.h"
#include "report.h"

#define SMALLEST     5
#define LARGEST      8
#define OBJECT_BYTES 64

static uint64_t opt_largest, opt_replaces;
static const struct bench_option options[] = {
    {"largest", BENCH_COUNT, &opt_largest, "power of ten", SMALLEST, LARGEST, 7, SMALLEST,
     "Most objects; 8 takes 10 GiB"},
    {"replaces", BENCH_COUNT, &opt_replaces, "thousand", 1, 10000000, 2000, 40,
     "Replacements in a round"},
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
    loop_replace(run->refs, run->count, OBJECT_BYTES, &run->rng, operations);
}

int
main(int argc, char **argv)
{
    static const char *const name[] = {"10^5 objects", "10^6 objects", "10^7 objects",
                                       "10^8 objects"};
    struct run run;
    bench_parse(argc, argv, "random replacement at growing scale (S9)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("S9", "scale", subject_label());
    report_case("objects of %d bytes, %d replaced a section", OBJECT_BYTES, REPLACES_PER_SECTION);
    uint32_t most = 100000, filled = 0, count = 100000;
    for (uint64_t power = SMALLEST; power < opt_largest; power++)
        most *= 10;
    run.refs = memory_map((size_t)most * sizeof(ref_t));
    run.rng = rng_stream(0);
    subject_open();
    for (uint64_t power = SMALLEST; power <= opt_largest; power++, count *= 10) {
        loop_fill(run.refs + filled, count - filled, OBJECT_BYTES);
        filled = run.count = count;
        report_value(name[power - SMALLEST], "ns",
                     loop_median_ns(replaces, &run, opt_replaces * 1000));
    }
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
