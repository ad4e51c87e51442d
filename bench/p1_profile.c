/* SPDX-License-Identifier: MIT */
/*
 * p1_profile.c - P1: what does a profile by call sites cost that runs (profile.enabled, one object
 * of 512 KiB drawn)? T1's work: random objects of a full cache are replaced by others, of sizes
 * that shift from phase to phase. In one process, in turn: without a profile, with one, and without
 * one again, whose ratio to the first is what chance makes of it. What a profile costs that is off
 * is counted in tests/instructions.
 */
#include "loops.h"
#include "report.h"

#include <stdio.h>

static uint64_t opt_objects, opt_rounds, opt_mean;
static const struct bench_option options[] = {
    {"objects", BENCH_COUNT, &opt_objects, "", 1000, 10000000, 200000, 10000,
     "Objects of 64 to 1024 bytes"},
    {"rounds", BENCH_COUNT, &opt_rounds, "", 3, 1000, 25, 3,
     "Times that each of the three is measured"},
    {"mean", BENCH_COUNT, &opt_mean, "", 64, 1 << 30, 512 << 10, 512 << 10,
     "One object of so many bytes is drawn"},
};

#define ROUNDS_MAX 1000
static double took[3][ROUNDS_MAX]; /* off, on, off again */

static void
set_profile(const char *value)
{
    int error = handle_store_set(subject_store, "profile.enabled", value);
    if (error)
        subject_failed("profile.enabled", error);
}

/* As many replacements as there are objects; ns of CPU time. */
static double
replace_all(ref_t *refs, struct rng *rng, unsigned round)
{
    const size_t low = 64 + round % 5 * 96;
    uint64_t begin = bench_cpu_ns();
    for (uint64_t done = 0; done < opt_objects; done += REPLACES_PER_SECTION) {
        subject_enter();
        for (unsigned i = 0; i < REPLACES_PER_SECTION; i++)
            loop_replace_one(&refs[rng_below(rng, opt_objects)], low + rng_below(rng, 513), done);
        subject_leave();
    }
    return (double)(bench_cpu_ns() - begin);
}

static void
measure(ref_t *refs)
{
    static const char *const values[] = {"no", "yes", "no"};
    struct rng rng = rng_stream(3);
    for (unsigned round = 0; round < opt_rounds; round++)
        for (unsigned i = 0; i < 3; i++) {
            unsigned which = round % 2 ? 2 - i : i; /* what drifts hits both sides */
            set_profile(values[which]);
            (void)replace_all(refs, &rng, round);
            took[which][round] = replace_all(refs, &rng, round);
        }
}

static int
by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median over the rounds of the first's time over the other's: the rate beside it. */
static double
rate_of(unsigned which)
{
    static double ratio[ROUNDS_MAX];
    for (unsigned i = 0; i < opt_rounds; i++)
        ratio[i] = took[0][i] / took[which][i];
    qsort(ratio, opt_rounds, sizeof(ratio[0]), by_size);
    return ratio[opt_rounds / 2];
}

int
main(int argc, char **argv)
{
    char mean[32];
    bench_parse(argc, argv, "a profile by call sites (P1)", options, BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("P1", "profile", subject_label());
    subject_open();
    ref_t *refs = calloc(opt_objects, sizeof(*refs));
    snprintf(mean, sizeof(mean), "%llu", (unsigned long long)opt_mean);
    if (!refs || handle_store_set(subject_store, "profile.sample_bytes", mean) != 0)
        bench_fatal("no memory");
    for (uint64_t i = 0; i < opt_objects; i++) {
        subject_enter();
        loop_alloc(&refs[i], 64 + i % 961, FREE_NOW);
        subject_leave();
    }
    measure(refs);
    report_case("one object of %llu bytes drawn", (unsigned long long)opt_mean);
    report_at_least("rate with a profile, beside none", "x", rate_of(1), 0.99);
    report_value("idle control: none beside none", "x", rate_of(2));
    report_end();
    subject_close();
    free(refs);
    rcu_unregister_thread();
    return 0;
}
