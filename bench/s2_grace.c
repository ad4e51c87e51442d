/* SPDX-License-Identifier: MIT */
/*
 * s2_grace.c - S2: what does a pair cost when the free must wait for a grace period? For malloc
 * each object goes through call_rcu. The time of a round includes what is still waiting at its end.
 */
#include "loops.h"
#include "report.h"

static uint64_t opt_pairs;
static const struct bench_option options[] = {
    {"pairs", BENCH_COUNT, &opt_pairs, "thousand pairs", 1, 1000000, 2000, 50, "Pairs in a round"},
};

static ref_t ref;

static void
pairs_64(void *arg, uint64_t pairs)
{
    (void)arg;
    loop_pairs(&ref, 64, FREE_AFTER_GP, pairs);
    subject_settle();
}

static void
pairs_256(void *arg, uint64_t pairs)
{
    (void)arg;
    loop_pairs(&ref, 256, FREE_AFTER_GP, pairs);
    subject_settle();
}

static void
report_pair(const char *name, double ns)
{
    struct report_metric metric = metric_of(name, "ns", REPORT_LOWER, ns);
    if (BENCH_SUBJECT != SUBJECT_MALLOC) {
        metric.ratio_to = "jemalloc";
        metric.ratio_target = 0.25;
    }
    report_add(metric);
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "a pair whose free waits for a grace period (S2)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    uint64_t pairs = opt_pairs * 1000;
    report_begin("S2", "pair with grace period", subject_label());
    report_case("free after a grace period (malloc: by call_rcu), %d pairs a section",
                PAIRS_PER_SECTION);
    subject_open();
    report_pair("64 B", loop_median_ns(pairs_64, NULL, pairs));
    report_pair("256 B", loop_median_ns(pairs_256, NULL, pairs));
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
