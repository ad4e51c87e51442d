/* SPDX-License-Identifier: MIT */
/*
 * s6_threads.c - S6: do two threads, each with objects of its own, do twice the work of one? Pairs
 * as in S1, random replacement as in S3.
 */
#include "loops.h"
#include "memory.h"
#include "report.h"

#define MEMBERS_MAX 64
#define PAIR_BYTES  64

static uint64_t opt_threads, opt_pairs, opt_objects, opt_replaces;
static const struct bench_option options[] = {
    {"threads", BENCH_COUNT, &opt_threads, "", 2, MEMBERS_MAX, 2, 2, "Threads compared with one"},
    {"pairs", BENCH_COUNT, &opt_pairs, "thousand pairs", 1, 100000000, 20000, 100,
     "Pairs of each thread in a round"},
    {"objects", BENCH_COUNT, &opt_objects, "thousand", 1, 1000000, 1000, 20,
     "Objects of each thread"},
    {"replaces", BENCH_COUNT, &opt_replaces, "thousand", 1, 100000000, 4000, 20,
     "Replacements of each thread in a round"},
};

struct run {
    struct team *team;
    uint32_t count;
    uint64_t operations; /* of each member */
    struct own {
        ref_t ref;
        ref_t *refs;
        struct rng rng;
    } __attribute__((aligned(128))) own[MEMBERS_MAX];
};

static void
member_pairs(void *arg, unsigned member)
{
    struct run *run = arg;
    loop_pairs(&run->own[member].ref, PAIR_BYTES, FREE_NOW, run->operations);
}

static void
member_fill(void *arg, unsigned member)
{
    struct run *run = arg;
    loop_fill(run->own[member].refs, run->count, PAIR_BYTES);
}

static void
member_replace(void *arg, unsigned member)
{
    struct run *run = arg;
    struct rng rng = run->own[member].rng;
    loop_replace(run->own[member].refs, run->count, PAIR_BYTES, &rng, run->operations);
    run->own[member].rng = rng;
}

static void
round_pairs(void *arg, uint64_t operations)
{
    struct run *run = arg;
    run->operations = operations;
    team_run(run->team, member_pairs, run);
}

static void
round_replaces(void *arg, uint64_t operations)
{
    struct run *run = arg;
    run->operations = operations;
    team_run(run->team, member_replace, run);
}

/* Each member does the same amount: equal times mean that the work done has doubled. */
static void
compare(struct run *run, struct team *one, struct team *many, const char *const name[3],
        void (*round)(void *, uint64_t), uint64_t operations)
{
    run->team = one;
    double alone = loop_median_ns(round, run, operations);
    run->team = many;
    double together = loop_median_ns(round, run, operations);
    report_value(name[0], "ns", alone);
    report_value(name[1], "ns", together);
    report_at_least(name[2], "x one thread", (double)opt_threads * alone / together,
                    opt_threads == 2 ? subject_pick(1.8, 1.8) : NAN);
}

int
main(int argc, char **argv)
{
    static struct run run;
    static const char *const pair_name[] = {"pair, one thread", "pair, all threads at once",
                                            "pairs, work done"};
    static const char *const replace_name[] = {"replace, one thread", "replace, all at once",
                                               "replaces, work done"};
    bench_parse(argc, argv, "threads with objects of their own (S6)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    run.count = (uint32_t)(opt_objects * 1000);
    for (unsigned t = 0; t < opt_threads; t++) {
        run.own[t].refs = memory_map((size_t)run.count * sizeof(ref_t));
        run.own[t].rng = rng_stream(t);
    }
    report_begin("S6", "threads", subject_label());
    report_case("%u threads, %u000 objects each; %d pairs, %d replaced a section",
                (unsigned)opt_threads, (unsigned)opt_objects, PAIRS_PER_SECTION,
                REPLACES_PER_SECTION);
    subject_open();
    struct team *one = team_start(1, true), *many = team_start((unsigned)opt_threads, true);
    compare(&run, one, many, pair_name, round_pairs, opt_pairs * 1000);
    team_run(many, member_fill, &run);
    compare(&run, one, many, replace_name, round_replaces, opt_replaces * 1000);
    report_end();
    team_stop(one);
    team_stop(many);
    subject_close();
    rcu_unregister_thread();
    return 0;
}
