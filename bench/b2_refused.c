/* SPDX-License-Identifier: MIT */
/*
 * b2_refused.c - B2: what do allocations that are refused cost the other threads? A store is full
 * to max_bytes. One thread allocates and frees what it has room for; beside it another one only
 * spins, or asks again and again for what does not fit: large objects, or small ones of a class
 * that has no free slot. Its rate beside the second, over its rate beside the first, in
 * alternating rounds.
 */
#include "report.h"
#include "subject.h"

#include <errno.h>
#include <stdio.h>

#define PAIR_BYTES   64
#define KEPT         1000 /* of them live, so that the class has spans */
#define FILL_BYTES   240
#define ROUNDS_MAX   64
#define PER_SECTION  64
#define OBJECTS_MAX  (1u << 22)
#define RECLAIMS_MAX 1000

static uint64_t opt_mib, opt_pairs, opt_rounds;
static const struct bench_option options[] = {
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 8, 1024, 64, 16, "max_bytes of the store"},
    {"pairs", BENCH_COUNT, &opt_pairs, "thousand", 1, 1000000, 1000, 20,
     "Allocations and frees in a round"},
    {"rounds", BENCH_COUNT, &opt_rounds, "", 3, ROUNDS_MAX, 15, 3, "Rounds beside each"},
};

/* What the other thread does; 0: spins. */
static const struct neighbour {
    const char *name;
    size_t bytes;
} neighbours[] = {{"spins", 0}, {"1 MiB", 1 << 20}, {"100 KiB", 100 << 10}, {"2000 B", 2000}};
#define NEIGHBOURS BENCH_COUNTOF(neighbours)

struct run {
    const struct neighbour *neighbour;
    uint64_t ns;
    unsigned ready, over; /* atomic */
    uint64_t refused;
};

static void
pairs(struct run *run)
{
    ref_t ref = {0};
    while (!__atomic_load_n(&run->ready, __ATOMIC_ACQUIRE))
        continue;
    uint64_t begin = bench_now_ns();
    for (uint64_t done = 0; done < opt_pairs * 1000; done += PER_SECTION) {
        subject_enter();
        for (unsigned i = 0; i < PER_SECTION; i++) {
            if (!subject_alloc(&ref, PAIR_BYTES, FREE_NOW))
                bench_fatal("no room for an object of %d bytes", PAIR_BYTES);
            subject_free(&ref, FREE_NOW);
        }
        subject_leave();
    }
    run->ns = bench_now_ns() - begin;
    __atomic_store_n(&run->over, 1, __ATOMIC_RELEASE);
}

static void
disturb(struct run *run)
{
    ref_t ref = {0};
    __atomic_store_n(&run->ready, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&run->over, __ATOMIC_ACQUIRE)) {
        if (run->neighbour->bytes == 0)
            continue;
        subject_enter();
        if (subject_alloc(&ref, run->neighbour->bytes, FREE_NOW))
            bench_fatal("an object of %zu bytes fits", run->neighbour->bytes);
        subject_leave();
        run->refused++;
    }
}

static void
one_of_two(void *arg, unsigned member)
{
    if (member == 0)
        pairs(arg);
    else
        disturb(arg);
}

/* Fills up to the limit with what is never freed. */
static void
fill_to_the_limit(ref_t *refs, size_t bytes)
{
    unsigned reclaims = 0;
    for (uint32_t i = 0; i < OBJECTS_MAX && reclaims < RECLAIMS_MAX;) {
        subject_enter();
        void *object = subject_alloc(&refs[i], bytes, FREE_NOW);
        int error = errno;
        subject_leave();
        if (object)
            i++;
        else if (error == EAGAIN && ++reclaims)
            handle_store_reclaim(subject_store, bytes);
        else
            return;
    }
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void
compare(struct team *team, const struct neighbour *neighbour)
{
    double ratio[ROUNDS_MAX];
    uint64_t refused = 0;
    for (unsigned i = 0; i < opt_rounds; i++) {
        struct run quiet = {.neighbour = &neighbours[0]}, loud = {.neighbour = neighbour};
        team_run(team, one_of_two, &quiet);
        team_run(team, one_of_two, &loud);
        ratio[i] = (double)quiet.ns / (double)loud.ns;
        refused += loud.refused;
    }
    if (refused == 0)
        bench_fatal("nothing was refused beside %s", neighbour->name);
    qsort(ratio, opt_rounds, sizeof(ratio[0]), by_value);
    report_at_least(neighbour->name, "of the rate", ratio[opt_rounds / 2], 0.9);
}

int
main(int argc, char **argv)
{
    static ref_t kept[KEPT], others[KEPT];
    bench_parse(argc, argv, "what refusals cost other threads (B2)", options,
                BENCH_COUNTOF(options));
    ref_t *refs = calloc(OBJECTS_MAX, sizeof(*refs));
    char limit[32];
    if (!refs)
        bench_fatal("no memory for %u references", OBJECTS_MAX);
    rcu_register_thread();
    subject_open();
    snprintf(limit, sizeof(limit), "%lluM", (unsigned long long)opt_mib);
    subject_set("max_bytes", limit);
    for (unsigned i = 0; i < KEPT; i++) {
        subject_enter();
        if (!subject_alloc(&kept[i], PAIR_BYTES, FREE_NOW) ||
            !subject_alloc(&others[i], 16, FREE_NOW))
            bench_fatal("no room at the begin");
        subject_leave();
    }
    struct team *team = team_start(2, true);
    struct run warm = {.neighbour = &neighbours[0]};
    team_run(team, one_of_two, &warm); /* the thread's cache is there before the limit is reached */
    fill_to_the_limit(refs, FILL_BYTES);
    report_begin("B2", "refused allocations", subject_label());
    report_case("a thread that allocates and frees %d bytes, %d pairs a section, beside one that "
                "asks in vain",
                PAIR_BYTES, PER_SECTION);
    for (unsigned i = 1; i < NEIGHBOURS; i++)
        compare(team, &neighbours[i]);
    report_end();
    team_stop(team);
    subject_close();
    rcu_unregister_thread();
    free(refs);
    return 0;
}
