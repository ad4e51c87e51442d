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
    {"rounds", BENCH_COUNT, &opt_rounds, "", 1, 1000, 6, 1,
     "Times that each of the three is measured in each phase, of which the best counts"},
    {"mean", BENCH_COUNT, &opt_mean, "", 64, 1 << 30, 512 << 10, 512 << 10,
     "One object of so many bytes is drawn"},
};

#define PHASES 5
static double best[3][PHASES]; /* ns: off, on, off again */

static void
set_profile(const char *value)
{
    int error = handle_store_set(subject_store, "profile.enabled", value);
    if (error)
        subject_failed("profile.enabled", error);
}

/* As many replacements as there are objects; ns of CPU time. */
static double
replace_all(ref_t *refs, struct rng *rng, unsigned phase)
{
    const size_t low = 64 + phase * 96;
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
measure_one(ref_t *refs, struct rng *rng, unsigned which, unsigned phase)
{
    static const char *const values[] = {"no", "yes", "no"};
    set_profile(values[which]);
    (void)replace_all(refs, rng, phase);
    double took = replace_all(refs, rng, phase);
    if (best[which][phase] == 0 || took < best[which][phase])
        best[which][phase] = took;
}

/* Each of the three comes first, second and last in turn. */
static void
measure(ref_t *refs)
{
    struct rng rng = rng_stream(3);
    for (unsigned round = 0; round < opt_rounds; round++)
        for (unsigned phase = 0; phase < PHASES; phase++)
            for (unsigned i = 0; i < 3; i++)
                measure_one(refs, &rng, (i + round + phase) % 3, phase);
}

static double
rate_of(unsigned which)
{
    double none = 0, with = 0;
    for (unsigned phase = 0; phase < PHASES; phase++) {
        none += best[0][phase];
        with += best[which][phase];
    }
    return none / with;
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
