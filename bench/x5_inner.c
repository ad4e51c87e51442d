/* SPDX-License-Identifier: MIT */
/*
 * x5_inner.c - X5: what do objects with cells inside cost beside objects without? A pair of an
 * allocation and a free of 64 bytes, with 8 empty cells and without, and without in a store that
 * has none; in turns (rounds.h). Compaction of objects of 488 bytes, with 60 cells that name others
 * and without; and the longest slice of it.
 */
#include "memory.h"
#include "report.h"
#include "rounds.h"
#include "subject.h"

static uint64_t opt_objects, opt_rounds, opt_pairs;
static const struct bench_option options[] = {
    {"objects", BENCH_COUNT, &opt_objects, "thousand", 1, 10000, 80, 2, "Objects to compact"},
    {"rounds", BENCH_COUNT, &opt_rounds, "", 3, ROUNDS_MAX, 31, 3, "Rounds"},
    {"pairs", BENCH_COUNT, &opt_pairs, "thousand", 1, 100000, 100, 2, "Pairs in a turn"},
};

#define PAIR_BYTES 64
#define FULL       60u
#define KEPT       4u /* one of so many objects stays */

struct parent {
    uint64_t cells;
    handle_cell cell[FULL];
};

static handle_store *without, *with;

/* Of 64 bytes: all of them. */
static struct handle_cells
cells_of_parent(void *opaque, const void *object, size_t size)
{
    const struct parent *parent = object;
    (void)opaque;
    if (size <= PAIR_BYTES)
        return (struct handle_cells){0, size / sizeof(handle_cell)};
    return (struct handle_cells){offsetof(struct parent, cell),
                                 __atomic_load_n(&parent->cells, __ATOMIC_RELAXED)};
}

/* ---- pairs */

static double
pair_ns(handle_store *store, unsigned flags, bool now)
{
    static handle_cell cell;
    int error = 0;
    uint64_t start = bench_cpu_ns();
    for (uint64_t i = 0; i < opt_pairs * 1000 && error == 0; i++) {
        subject_enter();
        if (!handle_cell_alloc(store, &cell, PAIR_BYTES, flags))
            subject_failed("handle_cell_alloc", errno);
        error = now ? handle_cell_free_now(store, &cell) : handle_cell_free(store, &cell);
        subject_leave();
    }
    if (error)
        subject_failed("a free", error);
    return (double)(bench_cpu_ns() - start) / (double)(opt_pairs * 1000);
}

static double
pair_of(unsigned which, bool now)
{
    double ns = pair_ns(which == 0 ? without : with, which == 2 ? HANDLE_CELLS : 0, now);
    if (handle_store_reclaim(which == 0 ? without : with, SIZE_MAX) != 0)
        bench_fatal("handle_store_reclaim failed");
    return ns;
}

static void
compare_pairs(const char *question, bool now)
{
    static struct rounds rounds;
    rounds.count = 0;
    for (unsigned s = 0; s < ROUNDS_SUBJECTS; s++)
        pair_of(s, now);
    for (unsigned i = 0; i < opt_rounds; i++) {
        for (unsigned step = 0; step < ROUNDS_SUBJECTS; step++) {
            unsigned s = (step + i) % ROUNDS_SUBJECTS;
            rounds.ns[s][i] = pair_of(s, now);
        }
        rounds.count++;
    }
    report_value(question, "ns", rounds_median_ns(&rounds, 0));
    rounds_report_ratio(question, "none in a store with", &rounds, 1, NAN);
    rounds_report_ratio(question, "8 empty cells", &rounds, 2, 1.5);
}

/* ---- compaction */

static handle_cell *cells;

static void
fill_parent(struct parent *parent)
{
    parent->cells = FULL;
    for (unsigned i = 0; i < FULL; i++)
        if (!handle_cell_alloc(with, &parent->cell[i], 8, 0))
            subject_failed("handle_cell_alloc", errno);
}

/* Between the objects that stay lie others, without children, which go. So children lie dense. */
static void
scatter(bool parents)
{
    for (uint64_t i = 0; i < opt_objects * 1000; i++) {
        subject_enter();
        void *made = handle_cell_alloc(with, &cells[i], sizeof(struct parent),
                                       parents ? HANDLE_CELLS : HANDLE_ZERO);
        if (!made)
            subject_failed("handle_cell_alloc", errno);
        if (parents && i % KEPT == 0)
            fill_parent(made);
        subject_leave();
    }
    for (uint64_t i = 0; i < opt_objects * 1000; i++) {
        subject_enter();
        int error = i % KEPT ? handle_cell_free(with, &cells[i]) : 0;
        subject_leave();
        if (error)
            subject_failed("handle_cell_free", error);
    }
    if (handle_store_reclaim(with, SIZE_MAX) != 0)
        bench_fatal("handle_store_reclaim failed");
}

static void
clear(bool parents)
{
    for (uint64_t i = 0; i < opt_objects * 1000; i += KEPT) {
        subject_enter();
        struct parent *parent = handle_cell_deref_mut(with, &cells[i]);
        for (unsigned child = 0; parents && child < FULL; child++)
            if (handle_cell_free(with, &parent->cell[child]) != 0)
                bench_fatal("child %u is not there", child);
        int error = handle_cell_free(with, &cells[i]);
        subject_leave();
        if (error)
            subject_failed("handle_cell_free", error);
    }
}

struct cost {
    double ns;       /* of an object that was moved */
    double slice_us; /* the longest call, of processor time */
    uint64_t moved;
};

/* In slices of 500 us, by this thread. */
/* Each step but those that wait for a grace period moves something: more steps than that are an
 * error. */
static struct cost
compact(void)
{
    struct cost cost = {0};
    uint64_t cpu = 0, steps = 0;
    struct handle_defrag_report report;
    do {
        if (steps++ > 2000 + opt_objects * 1000)
            bench_fatal("compaction does not come to an end");
        report = (struct handle_defrag_report)HANDLE_DEFRAG_REPORT_INIT;
        uint64_t start = bench_cpu_ns();
        int error = handle_defrag_step(with, 500, &report);
        uint64_t ns = bench_cpu_ns() - start;
        if (error)
            subject_failed("handle_defrag_step", error);
        cpu += ns;
        cost.moved += report.moved_objects;
        if ((double)ns / 1e3 > cost.slice_us)
            cost.slice_us = (double)ns / 1e3;
        if (report.moved_objects == 0)
            bench_sleep_ms(1); /* for the grace period */
    } while (report.more);
    if (cost.moved == 0)
        bench_fatal("nothing was moved: there is no cost to report");
    cost.ns = (double)cpu / (double)cost.moved;
    return cost;
}

static struct cost
cost_of(bool parents)
{
    scatter(parents);
    struct cost cost = compact();
    clear(parents);
    return cost;
}

static void
compare_moves(void)
{
    static struct rounds rounds;
    uint64_t count = opt_rounds < 9 ? opt_rounds : 9;
    double slice[2] = {0, 0}, moved[2] = {0, 0};
    for (unsigned i = 0; i < count; i++) {
        for (unsigned s = 0; s < 2; s++) {
            struct cost cost = cost_of(s == 1);
            rounds.ns[s][i] = cost.ns;
            moved[s] += (double)cost.moved;
            slice[s] = cost.slice_us > slice[s] ? cost.slice_us : slice[s];
        }
        rounds.count++;
    }
    report_value("a move of 488 bytes", "ns", rounds_median_ns(&rounds, 0));
    report_value("a move with 60 full cells", "ns", rounds_median_ns(&rounds, 1));
    rounds_report_ratio("a move", "60 full cells", &rounds, 1, 4);
    report_value("moved, none", "thousand", moved[0] / 1e3);
    report_value("moved, 60 full cells", "thousand", moved[1] / 1e3);
    report_value("longest slice of 500, none", "us", slice[0]);
    report_value("longest slice of 500, 60 full cells", "us", slice[1]);
}

typedef struct handle_cells cells_of(void *opaque, const void *object, size_t size);

static handle_store *
open_store(cells_of *of)
{
    subject_cells = of;
    subject_open();
    subject_set("defrag.enabled", "no");
    subject_set("defrag.ignore_bytes", "0");
    return subject_store;
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "objects with cells inside, and without (X5)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("X5", "objects with cells inside, and without", subject_label());
    report_case("pairs of %u bytes, moves of %zu; CPU time, median of rounds' ratios to those "
                "without",
                PAIR_BYTES, sizeof(struct parent));
    without = open_store(NULL);
    with = open_store(cells_of_parent);
    cells = memory_map(opt_objects * 1000 * sizeof(*cells));
    compare_pairs("pair, free", false);
    compare_pairs("pair, free_now", true);
    compare_moves();
    report_end();
    subject_close();
    subject_store = without;
    subject_close();
    rcu_unregister_thread();
    return 0;
}
