/* SPDX-License-Identifier: MIT */
/*
 * s1_pair.c - S1: what does allocating one object and freeing it at once cost, when the thread
 * cache has everything? For a store also with the free that readers may race with (handle_free:
 * one CAS, the slot waits for a grace period).
 */
#include "loops.h"
#include "report.h"

static uint64_t opt_pairs;
static const struct bench_option options[] = {
    {"pairs", BENCH_COUNT, &opt_pairs, "thousand pairs", 1, 100000000, 20000, 200,
     "Pairs in a round"},
};

static ref_t ref;

static void
pairs_64(void *arg, uint64_t pairs)
{
    (void)arg;
    loop_pairs(&ref, 64, FREE_NOW, pairs);
}

static void
pairs_256(void *arg, uint64_t pairs)
{
    (void)arg;
    loop_pairs(&ref, 256, FREE_NOW, pairs);
}

#if BENCH_SUBJECT != SUBJECT_MALLOC
static void
pairs_64_shared(void *arg, uint64_t pairs)
{
    (void)arg;
    loop_pairs(&ref, 64, FREE_AFTER_GP, pairs);
}
#endif

static void
report_pair(const char *name, double ns, double ratio, const char *ratio_metric)
{
    struct report_metric metric = metric_of(name, "ns", REPORT_LOWER, ns);
    if (!isnan(ratio)) {
        metric.ratio_to = "jemalloc";
        metric.ratio_metric = ratio_metric;
        metric.ratio_target = ratio;
    }
    report_add(metric);
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "a pair of allocation and free (S1)", options, BENCH_COUNTOF(options));
    rcu_register_thread();
    uint64_t pairs = opt_pairs * 1000;
    report_begin("S1", "pair", subject_label());
    report_case("alloc and free at once, %d pairs a section", PAIRS_PER_SECTION);
    subject_open();
    double ratio = subject_pick(1.0, 1.25);
    report_pair("64 B", loop_median_ns(pairs_64, NULL, pairs), ratio, NULL);
    report_pair("256 B", loop_median_ns(pairs_256, NULL, pairs), ratio, NULL);
#if BENCH_SUBJECT != SUBJECT_MALLOC
    report_pair("64 B, free beside readers", loop_median_ns(pairs_64_shared, NULL, pairs / 4),
                subject_pick(NAN, 3.0), "64 B");
    subject_settle();
#endif
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
