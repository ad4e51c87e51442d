/* SPDX-License-Identifier: MIT */
/*
 * x3_chains.c - X3: what does a hash table cost whose chains are cells inside the items? A million
 * items of 120 bytes in half as many buckets: a random one is looked up, unlinked, and linked again
 * at the head of its chain; by cells in a store, and by pointers with the peer's malloc, in one
 * process, in turns (rounds.h). And the look-up alone.
 */
#include "memory.h"
#include "peer.h"
#include "report.h"
#include "rounds.h"
#include "subject.h"

static uint64_t opt_objects, opt_rounds, opt_moves;
static const struct bench_option options[] = {
    {"objects", BENCH_COUNT, &opt_objects, "thousand", 1, 100000, 1000, 20, "Items in the table"},
    {"rounds", BENCH_COUNT, &opt_rounds, "", 3, ROUNDS_MAX, 31, 3, "Rounds of each question"},
    {"moves", BENCH_COUNT, &opt_moves, "thousand", 1, 100000, 20, 1, "Items in a turn"},
};

#define PAYLOAD 104

static uint32_t buckets;

static uint32_t
bucket_of(uint64_t key)
{
    return (uint32_t)(((bench_mix(key) >> 32) * buckets) >> 32);
}

/* ---- by pointers */

struct linked {
    struct linked *next;
    uint64_t key;
    char payload[PAYLOAD];
};
static struct linked **heads;

static void
push_pointer(uint64_t key)
{
    struct linked **head = &heads[bucket_of(key)], *made = malloc(sizeof(*made));
    if (!made)
        bench_fatal("no memory for item %llu", (unsigned long long)key);
    *made = (struct linked){.next = *head, .key = key};
    *head = made;
}

static bool
find_pointer(uint64_t key)
{
    const struct linked *item = heads[bucket_of(key)];
    while (item && item->key != key)
        item = item->next;
    return item != NULL;
}

static bool
move_pointer(uint64_t key)
{
    struct linked **head = &heads[bucket_of(key)], **at = head;
    while (*at && (*at)->key != key)
        at = &(*at)->next;
    struct linked *item = *at;
    if (!item)
        return false;
    *at = item->next;
    item->next = *head;
    *head = item;
    return true;
}

/* ---- by cells */

struct chained {
    handle_cell next;
    uint64_t key;
    char payload[PAYLOAD];
};
static handle_cell *firsts, between;

static struct handle_cells
cells_of_item(void *opaque, const void *object, size_t size)
{
    (void)opaque;
    (void)object;
    (void)size;
    return (struct handle_cells){offsetof(struct chained, next), 1};
}

/* What `from` names, if anything, is named by `to`. */
static void
pass(handle_cell *from, handle_cell *to)
{
    int error = handle_cell_relocate(subject_store, from, to);
    if (error != 0 && error != -ENOENT)
        subject_failed("handle_cell_relocate", error);
}

static void
push_cell(uint64_t key)
{
    handle_cell *first = &firsts[bucket_of(key)];
    subject_enter();
    struct chained *made =
        handle_cell_alloc(subject_store, &between, sizeof(struct chained), HANDLE_CELLS);
    if (!made)
        bench_fatal("no memory for item %llu", (unsigned long long)key);
    made->key = key;
    pass(first, &made->next);
    pass(&between, first);
    subject_leave();
}

static const struct chained *
read_cell(const handle_cell *cell)
{
    return handle_cell_deref(subject_store, cell);
}

static bool
find_cell(uint64_t key)
{
    subject_enter();
    const struct chained *item = read_cell(&firsts[bucket_of(key)]);
    while (item && item->key != key)
        item = read_cell(&item->next);
    subject_leave();
    return item != NULL;
}

/* The item's cell, and whose it is, for writing. NULL: it is not there. */
static handle_cell *
cell_of(handle_cell *first, uint64_t key)
{
    handle_cell *at = first;
    struct chained *item;
    while ((item = handle_cell_deref_mut(subject_store, at)) && item->key != key)
        at = &item->next;
    return item ? at : NULL;
}

/* By way of a cell of our own, since a cell that names an object takes no other one. */
static void
move_to_front(handle_cell *first, handle_cell *at)
{
    struct chained *item = handle_cell_deref_mut(subject_store, at);
    pass(at, &between);
    pass(&item->next, at);
    pass(first, &item->next);
    pass(&between, first);
}

static bool
move_cell(uint64_t key)
{
    handle_cell *first = &firsts[bucket_of(key)];
    subject_enter();
    handle_cell *at = cell_of(first, key);
    if (at && at != first)
        move_to_front(first, at);
    subject_leave();
    return at != NULL;
}

/* ---- turns */

typedef bool operation(uint64_t key);

static double
turn_ns(operation *operate, uint64_t seed)
{
    struct rng rng = rng_stream(seed);
    uint64_t start = bench_cpu_ns();
    for (uint64_t i = 0; i < opt_moves * 1000; i++)
        if (!operate(rng_below(&rng, (uint32_t)(opt_objects * 1000))))
            bench_fatal("an item is not in the table");
    return (double)(bench_cpu_ns() - start) / (double)(opt_moves * 1000);
}

static void
compare(const char *question, operation *by_pointer, operation *by_cell, double target)
{
    static struct rounds rounds;
    operation *const operate[] = {by_pointer, by_cell};
    rounds.count = 0;
    for (unsigned s = 0; s < 2; s++)
        turn_ns(operate[s], ROUNDS_MAX);
    for (unsigned i = 0; i < opt_rounds; i++) {
        for (unsigned step = 0; step < 2; step++) {
            unsigned s = (step + i) % 2;
            rounds.ns[s][i] = turn_ns(operate[s], i); /* the same items */
        }
        rounds.count++;
    }
    double ratio = rounds_report_ratio(question, "cells", &rounds, 1,
                                       rounds_target_beside("jemalloc", target));
    double ns = rounds_report_peer(question, &rounds);
    bench_progress("%-24s %s %.1f ns, cells %.2f x", question, peer_label(), ns, ratio);
}

static void
make_tables(void)
{
    buckets = (uint32_t)(opt_objects * 500);
    heads = memory_map(buckets * sizeof(*heads));
    firsts = memory_map(buckets * sizeof(*firsts));
    for (uint64_t key = 0; key < opt_objects * 1000; key++) {
        push_pointer(key);
        push_cell(key);
    }
}

/* Both tables have all items, in chains of the same order. */
static void
check_tables(void)
{
    uint64_t items = 0;
    subject_enter();
    for (uint32_t i = 0; i < buckets; i++) {
        const struct chained *item = read_cell(&firsts[i]);
        for (const struct linked *at = heads[i]; at; at = at->next, items++) {
            if (!item || item->key != at->key)
                bench_fatal("chain %u differs", i);
            item = read_cell(&item->next);
        }
        if (item)
            bench_fatal("chain %u is too long", i);
    }
    subject_leave();
    if (items != opt_objects * 1000)
        bench_fatal("the tables have %llu items", (unsigned long long)items);
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "a hash table with chains inside the items (X3)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("X3", "a chained hash table, by cells in the items and by pointers", peer_label());
    report_case("%u000 items of %zu bytes, half as many buckets; thread CPU time, median of %u "
                "rounds' ratios",
                (unsigned)opt_objects, sizeof(struct chained), (unsigned)opt_rounds);
    subject_cells = cells_of_item;
    subject_open();
    make_tables();
    compare("look up", find_pointer, find_cell, NAN);
    compare("look up, to the head", move_pointer, move_cell, 1.3);
    check_tables();
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
