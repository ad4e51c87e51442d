/* SPDX-License-Identifier: MIT */
/*
 * s10_medium.c - S10: what does a pair of allocation and free cost for objects of a few KiB, when
 * few live at once? Four sizes, all allocated, then all freed; and a mixture of 1 to 64 KiB from a
 * production cache's sizes, of which random ones are replaced.
 */
#include "loops.h"
#include "medium.h"
#include "report.h"

static uint64_t opt_pairs;
static const char *opt_data = BENCH_DATA_DIR;
static const struct bench_option options[] = {
    {"pairs", BENCH_COUNT, &opt_pairs, "thousand pairs", 1, 100000000, 2000, 20,
     "Pairs in a round"},
    {"data", BENCH_TEXT, &opt_data, "DIR", 0, 0, 0, 0,
     "Where the CSV files are. Default " BENCH_DATA_DIR},
};

struct run {
    ref_t refs[64];
    unsigned held;
    uint32_t size;
    uint32_t sizes[LOOP_SIZES];
    uint32_t next;
    struct rng rng;
};

static void
pairs(void *arg, uint64_t count)
{
    struct run *run = arg;
    loop_held(run->refs, run->held, run->size, count);
}

static void
replaces(void *arg, uint64_t count)
{
    struct run *run = arg;
    loop_mixed(run->refs, run->held, run->sizes, &run->next, &run->rng, count);
}

static void
report_pair(const char *name, double ns)
{
    struct report_metric metric = metric_of(name, "ns", REPORT_LOWER, ns);
    if (BENCH_SUBJECT != SUBJECT_MALLOC) {
        metric.ratio_to = "jemalloc";
        metric.ratio_target = 1.1;
    }
    report_add(metric);
}

static const char *const pair_name[MEDIUM_HELD][MEDIUM_SIZES] = {
    {"3000 B, 4 at a time", "6000 B, 4 at a time", "12000 B, 4 at a time", "30000 B, 4 at a time"},
    {"3000 B, 64 at a time", "6000 B, 64 at a time", "12000 B, 64 at a time",
     "30000 B, 64 at a time"}};
static const char *const mixed_name[MEDIUM_HELD] = {"1-64 KiB mixed, 4 live",
                                                    "1-64 KiB mixed, 64 live"};

int
main(int argc, char **argv)
{
    static struct run run;
    bench_parse(argc, argv, "pairs of allocation and free of a few KiB (S10)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    run.rng = rng_stream(0);
    medium_draw(run.sizes, LOOP_SIZES, opt_data);
    report_begin("S10", "medium sizes", subject_label());
    report_case("all allocated, then freed, in a section; mixed: %d replaced a section",
                REPLACES_PER_SECTION);
    subject_open();
    for (unsigned h = 0; h < MEDIUM_HELD; h++) {
        run.held = medium_held[h];
        for (unsigned s = 0; s < MEDIUM_SIZES; s++) {
            run.size = medium_size[s];
            report_pair(pair_name[h][s], loop_median_ns(pairs, &run, opt_pairs * 1000));
        }
        loop_fill(run.refs, run.held, MEDIUM_SMALLEST);
        report_pair(mixed_name[h], loop_median_ns(replaces, &run, opt_pairs * 1000));
        loop_drop(run.refs, run.held);
    }
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
