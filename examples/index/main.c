/* SPDX-License-Identifier: MIT */
/*
 * main.c - an ordered index in a store, and whether it is one. A writer puts in, overwrites and
 * takes out keys at random, and compares the whole tree with a sorted array now and then; readers
 * look up and scan beside it, and the store compacts without pause, so that the nodes move under
 * all of them. Then the same kind of tree at a memory limit.
 *
 * What to take from it (files in the order to read): node.h, a page of entries; memory.h, all that
 * the tree does with the store; tree.h and tree.c, the tree, whose readers take no lock;
 * memory_cells.h, the same with children that are named by cells inside the nodes.
 */
#include "tree.h"

#include "../expect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define KEYS      4000u
#define KEEPERS   8u /* one key of so many is never taken out */
#define READERS   2u
#define BURSTS    1000u
#define BURST     200u  /* operations of one kind on as many neighbouring keys */
#define SCAN      160u  /* keys that a reader scans */
#define FILLER    4000u /* other objects that come and go */
#define MAX_BYTES (UINT64_C(4) << 20)

static struct tree tree;
static handle_store *store;
static bool writer_done;
static pthread_barrier_t all_started;

/*
 * The sorted array: key number i has been put in and taken out state[i].confirmed times together.
 * Odd: it is there, and that is its value's lower half; the upper half is i. `begun` is ahead of it
 * while an operation is under way. So a reader knows which answers are right.
 */
static struct {
    uint32_t begun, confirmed;
} state[KEYS];

static uint64_t moved, lookups, scans;

static uint32_t
next_random(uint32_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random;
}

/** Keys of 8 to 32 bytes whose order is that of their numbers. */
static struct key
make_key(uint32_t number, char text[40])
{
    int length = snprintf(text, 40, "%08" PRIu32 "%.*s", number, (int)(number * 7 % 25),
                          "abcdefghijklmnopqrstuvwxyz");
    return (struct key){(const unsigned char *)text, (unsigned)length};
}

static uint32_t
number_of(struct key key)
{
    char digits[9] = "";
    memcpy(digits, key.bytes, 8);
    return (uint32_t)strtoul(digits, NULL, 10);
}

static uint64_t
value_of(uint32_t number, uint32_t version)
{
    return (uint64_t)number << 32 | version;
}

static uint32_t
load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_SEQ_CST);
}

/* ---- readers --------------------------------------------------------------------------------- */

/** The answer is one that was right at some moment between the call and its return. */
static void
look_up(uint32_t number)
{
    char text[40];
    uint64_t value = 0;
    uint32_t before = load(&state[number].confirmed);
    bool found = tree_get(&tree, make_key(number, text), &value);
    uint32_t behind = load(&state[number].begun);
    uint32_t version = (uint32_t)value;
    if (found)
        expect(value == value_of(number, version) && version % 2 == 1 && version >= before &&
               version <= behind);
    else
        expect(number % KEEPERS != 0 && (before % 2 == 0 || behind > before));
}

struct scan {
    uint32_t first, last; /* keys that may come, both included */
    uint32_t next;        /* the lowest that may come now */
    uint32_t keepers;
};

static int
see(void *opaque, const struct entry *entry)
{
    struct scan *scan = opaque;
    uint32_t number = number_of(entry->key);
    expect(number >= scan->next && number < KEYS);
    expect(entry->value >> 32 == number && (uint32_t)entry->value <= load(&state[number].begun));
    if (number > scan->last)
        return 1;
    scan->next = number + 1;
    scan->keepers += number % KEEPERS == 0;
    return 0;
}

/** Of what comes and goes some is seen, in order; of what stays, all. */
static void
look_over(uint32_t first)
{
    char text[40];
    struct scan scan = {.first = first, .last = first + SCAN - 1, .next = first};
    tree_scan(&tree, make_key(first, text), see, &scan);
    expect(scan.keepers == SCAN / KEEPERS);
}

static void *
read_tree(void *seed)
{
    uint32_t random = (uint32_t)(uintptr_t)seed;
    rcu_register_thread();
    pthread_barrier_wait(&all_started);
    do {
        for (int i = 0; i < 20; i++)
            look_up(next_random(&random) % KEYS);
        look_over(next_random(&random) % (KEYS - SCAN));
        __atomic_fetch_add(&lookups, 20, __ATOMIC_RELAXED);
        __atomic_fetch_add(&scans, 1, __ATOMIC_RELAXED);
    } while (!__atomic_load_n(&writer_done, __ATOMIC_ACQUIRE));
    rcu_unregister_thread();
    return NULL;
}

static void
compact(void)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    expect(handle_store_compact(store, &report) == 0);
    moved += report.moved_objects;
}

/** An object that lies among the leaves, or among the inner nodes where these have cells. */
static handle_t
make_filler(bool inner)
{
    void *object;
    rcu_read_lock();
    handle_t made = handle_alloc_object(store, NODE_BYTES,
                                        inner && NODE_PLACES > 0 ? HANDLE_CELLS : 0, &object);
    rcu_read_unlock();
    return made;
}

/** Objects like the nodes come, and most of them go again, so that nodes lie sparse. */
static void
scatter(handle_t *filler)
{
    for (uint32_t i = 0; i < FILLER; i++)
        handle_free(store, filler[i]); /* of the round before; -ENOENT for HANDLE_NULL */
    for (uint32_t i = 0; i < FILLER; i++)
        expect((filler[i] = make_filler(i % 4 == 3)) != HANDLE_NULL);
    for (uint32_t i = 0; i < FILLER; i++) {
        if (i % 8)
            expect(handle_free(store, filler[i]) == 0);
    }
}

static void *
keep_compacting(void *argument)
{
    static handle_t filler[FILLER];
    rcu_register_thread();
    pthread_barrier_wait(&all_started);
    do {
        scatter(filler);
        compact();
    } while (!__atomic_load_n(&writer_done, __ATOMIC_ACQUIRE));
    rcu_unregister_thread();
    return argument;
}

/* ---- the writer ------------------------------------------------------------------------------ */

static bool
is_there(uint32_t number)
{
    return state[number].confirmed % 2 == 1;
}

/** A key that is there is overwritten: as for versions, it goes and comes again at once. */
static void
put(uint32_t number)
{
    char text[40];
    uint32_t version = state[number].confirmed + (is_there(number) ? 2 : 1);
    __atomic_store_n(&state[number].begun, version, __ATOMIC_SEQ_CST);
    expect(tree_put(&tree, make_key(number, text), value_of(number, version)) == 0);
    __atomic_store_n(&state[number].confirmed, version, __ATOMIC_SEQ_CST);
}

static void
take_out(uint32_t number)
{
    char text[40];
    if (number % KEEPERS == 0)
        return;
    if (!is_there(number)) {
        expect(tree_remove(&tree, make_key(number, text)) == -ENOENT);
        return;
    }
    __atomic_store_n(&state[number].begun, state[number].confirmed + 1, __ATOMIC_SEQ_CST);
    expect(tree_remove(&tree, make_key(number, text)) == 0);
    __atomic_store_n(&state[number].confirmed, state[number].begun, __ATOMIC_SEQ_CST);
}

/** The next entry of the array, which the tree's next one has to be. */
static int
compare(void *opaque, const struct entry *entry)
{
    uint32_t *next = opaque;
    while (*next < KEYS && !is_there(*next))
        ++*next;
    if (!expect(*next < KEYS) || !expect(entry->value == value_of(*next, state[*next].confirmed)))
        return 1;
    ++*next;
    return 0;
}

/** The tree and the array have the same contents. */
static void
check(void)
{
    uint32_t next = 0;
    char text[40];
    expect(tree_scan(&tree, make_key(0, text), compare, &next) == 0);
    while (next < KEYS && !is_there(next))
        next++;
    expect(next == KEYS);
    expect(tree_check(&tree) == 0);
}

/** Some neighbouring keys come, or go: nodes are split there, or joined. */
static void
work_at(uint32_t first, bool putting, uint32_t *random)
{
    for (uint32_t i = 0; i < BURST; i++) {
        uint32_t number = first + next_random(random) % BURST;
        if (putting)
            put(number);
        else
            take_out(number);
    }
}

static void
write_tree(void)
{
    uint32_t random = 2463534242u;
    for (unsigned i = 0; i < BURSTS; i++) {
        uint32_t first = next_random(&random) % (KEYS - BURST);
        work_at(first, next_random(&random) % 2, &random);
        if (i % (BURSTS / 4) == 0)
            check();
    }
    check();
    printf("%zu entries in %zu nodes of %u levels\n", tree.entries, tree.nodes, tree.height);
}

static void
run_beside_readers(void)
{
    pthread_t threads[READERS + 1];
    pthread_barrier_init(&all_started, NULL, READERS + 2);
    for (uintptr_t i = 0; i <= READERS; i++) {
        void *(*run)(void *) = i < READERS ? read_tree : keep_compacting;
        if (!expect(pthread_create(&threads[i], NULL, run, (void *)(i + 1)) == 0))
            exit(expect_status());
    }
    pthread_barrier_wait(&all_started);
    write_tree();
    __atomic_store_n(&writer_done, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i <= READERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&all_started);
}

static bool
open_tree(uint64_t max_bytes)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "index";
    options.max_bytes = max_bytes;
    node_store_options(&options);
    store = handle_store_create(&options);
    return expect(store != NULL) && expect(tree_open(&tree, store) == 0);
}

static void
close_tree(void)
{
    tree_close(&tree);
    expect(handle_store_check(store, expect_violation, NULL) == 0);
    expect(handle_store_destroy(store) == 0);
}

/* ---- at a limit ------------------------------------------------------------------------------ */

/** Puts in as many keys as fit; a refusal leaves the tree whole. Result: how many. */
static uint32_t
fill(void)
{
    char text[40];
    uint32_t number = 0;
    int error = 0;
    for (; error == 0 && number < 100 * KEYS; number++)
        error = tree_put(&tree, make_key(number, text), number);
    expect(error == -ENOMEM);
    expect(tree_check(&tree) == 0);
    return number - 1;
}

static void
run_at_limit(void)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    char text[40];
    uint32_t first = fill();
    for (uint32_t number = 0; number < first; number++)
        expect(tree_remove(&tree, make_key(number, text)) == 0);
    expect(tree.entries == 0 && tree.nodes == 1 && tree.height == 1);
    uint32_t second = fill();
    expect(handle_store_stats(store, &stats) == 0);
    printf("%" PRIu32 " entries fit, %" PRIu32 " again, in %.1f MiB\n", first, second,
           (double)stats.committed_peak / (1 << 20));
    expect(stats.committed_peak <= MAX_BYTES);
    expect(second >= first / 10 * 9);
}

int
main(void)
{
    rcu_register_thread();
    if (!open_tree(0))
        return expect_status();
    for (uint32_t number = 0; number < KEYS; number += KEEPERS)
        put(number);
    run_beside_readers();
    for (int i = 0; i < 100 && moved == 0; i++)
        compact();
    check();
    printf("%" PRIu64 " lookups and %" PRIu64 " scans beside the writer, %" PRIu64 " moves\n",
           lookups, scans, moved);
    expect(moved > 0);
    close_tree();
    if (open_tree(MAX_BYTES)) {
        run_at_limit();
        close_tree();
    }
    rcu_unregister_thread();
    return expect_status();
}
