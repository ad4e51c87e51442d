/* SPDX-License-Identifier: MIT */
/*
 * s1b_lifo.c - S1b: what does a pair cost when 1024 objects are allocated and then freed, the last
 * first? The allocator's caches must take a burst.
 */
#include "loops.h"
#include "report.h"

#define DEPTH 1024

static uint64_t opt_pairs, opt_size;
static const struct bench_option options[] = {
    {"pairs", BENCH_COUNT, &opt_pairs, "thousand pairs", 1, 100000000, 10000, 100,
     "Pairs in a round"},
    {"size", BENCH_COUNT, &opt_size, "bytes", 8, 65536, 64, 64, "Size of the objects"},
};

static ref_t ref[DEPTH];

static void
bursts(void *arg, uint64_t pairs)
{
    (void)arg;
    for (uint64_t done = 0; done < pairs; done += DEPTH)
        loop_burst(ref, DEPTH, opt_size);
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "1024 allocations, then their frees, last in, first out (S1b)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    uint64_t pairs = opt_pairs * 1000 / DEPTH * DEPTH + DEPTH;
    report_begin("S1b", "last in, first out", subject_label());
    report_case("%d objects of %u bytes, in one section", DEPTH, (unsigned)opt_size);
    subject_open();
    struct report_metric metric =
        metric_of("pair", "ns", REPORT_LOWER, loop_median_ns(bursts, NULL, pairs));
    if (BENCH_SUBJECT != SUBJECT_MALLOC) {
        metric.ratio_to = "best peer";
        metric.ratio_target = subject_pick(1.2, 1.9);
    }
    report_add(metric);
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
