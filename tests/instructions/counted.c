/* SPDX-License-Identifier: MIT */
/*
 * counted.c - the fast path of each public call, so that callgrind can count its instructions;
 * check.sh runs it and compares. Each entry of the list is a function measured_NAME that makes
 * BATCH calls and nothing else; what the calls need is made before, and undone after, outside it. A
 * call is counted with its part of the loop, its step into the shared library included.
 *
 * Nothing here depends on the processor: memory is neither copied nor compared. The mover is off; a
 * few calls in thousands take a slow path (a bin is full, the thread's cache is looked through),
 * which adds less than one instruction to a call.
 */
#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE
#endif
#include <urcu.h>

#include <sinter/handle.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define BATCH        16
#define ROUNDS_WARM  32
#define ROUNDS       512
#define ROUNDS_LIMBO 64   /* after so many limbo is waited for: what slow paths find is no chance */
#define POOL         4096 /* objects that are pinned in turn: where they lie is chance */

static handle_store *store;
static handle_t batch_handles[BATCH], pool_handles[POOL], *handles = batch_handles;
static handle_cell batch_cells[BATCH], pool_cells[POOL], *cells = batch_cells;
static const void *pinned[BATCH];
static uint64_t sum;

static void
require(int good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "counted: %s failed\n", what);
    exit(1);
}

static inline __attribute__((always_inline)) void
escape(const void *object)
{
    __asm__ volatile("" : : "r"(object) : "memory");
}

/* ---- before and after ------------------------------------------------------------------------ */

static void
nothing(size_t size)
{
    (void)size;
}

static void
alloc_handles(size_t size)
{
    void *object = NULL;
    for (unsigned i = 0; i < BATCH; i++) {
        handles[i] = handle_alloc_object(store, size, 0, &object);
        require(object != NULL, "handle_alloc_object");
        *(uint64_t *)object = i;
    }
}

static void
free_handles(size_t size)
{
    (void)size;
    for (unsigned i = 0; i < BATCH; i++)
        require(handle_free_now(store, handles[i]) == 0, "handle_free_now");
}

static void
alloc_cells(size_t size)
{
    for (unsigned i = 0; i < BATCH; i++) {
        uint64_t *object = handle_cell_alloc(store, &cells[i], size, 0);
        require(object != NULL, "handle_cell_alloc");
        *object = i;
    }
}

static void
free_cells(size_t size)
{
    (void)size;
    for (unsigned i = 0; i < BATCH; i++)
        require(handle_cell_free_now(store, &cells[i]) == 0, "handle_cell_free_now");
}

static void
fill_pools(void)
{
    for (unsigned at = 0; at < POOL; at += BATCH) {
        handles = pool_handles + at;
        cells = pool_cells + at;
        rcu_read_lock();
        alloc_handles(64);
        alloc_cells(64);
        rcu_read_unlock();
    }
    handles = batch_handles;
    cells = batch_cells;
}

/* The next ones of the pools. */
static void
move_on(size_t size)
{
    static unsigned at;
    (void)size;
    handles = pool_handles + at;
    cells = pool_cells + at;
    at = (at + BATCH) % POOL;
}

static void
pin_handles(size_t size)
{
    move_on(size);
    for (unsigned i = 0; i < BATCH; i++)
        pinned[i] = handle_pin(store, handles[i]);
}

static void
pin_cells(size_t size)
{
    move_on(size);
    for (unsigned i = 0; i < BATCH; i++)
        pinned[i] = handle_cell_pin(store, &cells[i]);
}

static void
unpin(size_t size)
{
    (void)size;
    for (unsigned i = 0; i < BATCH; i++)
        handle_unpin(store, pinned[i]);
}

/* ---- the calls ------------------------------------------------------------------------------- */

static void *object, *objects[BATCH];
static handle_cell *cell_names[BATCH];
static size_t sizes[BATCH];
static struct handle_reserved reserved;

/* NAME, BEFORE, AFTER, SIZE, and the call, with i and size at hand. */
#define CALLS(X)                                                                                   \
    X(loop_alone, nothing, nothing, 64, escape(&cells[i]))                                         \
    X(cell_alloc, nothing, free_cells, 64, escape(handle_cell_alloc(store, &cells[i], size, 0)))   \
    X(cell_free, alloc_cells, nothing, 64, handle_cell_free(store, &cells[i]))                     \
    X(cell_free_now, alloc_cells, nothing, 64, handle_cell_free_now(store, &cells[i]))             \
    X(cell_alloc_many, nothing, free_cells, 64,                                                    \
      MANY(handle_cell_alloc_many(store, cell_names, sizes, 0, objects, BATCH)))                   \
    X(cell_free_many, alloc_cells, nothing, 64,                                                    \
      MANY(handle_cell_free_many(store, cell_names, BATCH)))                                       \
    X(cell_deref, alloc_cells, free_cells, 64, READ(handle_cell_deref(store, &cells[i])))          \
    X(cell_deref_mut, alloc_cells, free_cells, 64,                                                 \
      escape(handle_cell_deref_mut(store, &cells[i])))                                             \
    X(cell_size, alloc_cells, free_cells, 64, sum += handle_cell_size(store, &cells[i]))           \
    X(cell_sparsity, alloc_cells, free_cells, 64, sum += handle_cell_sparsity(store, &cells[i]))   \
    X(cell_resize, alloc_cells, free_cells, 64, handle_cell_resize(store, &cells[i], size - 1))    \
    X(cell_pin, move_on, unpin, 64, pinned[i] = handle_cell_pin(store, &cells[i]))                 \
    X(cell_unpin, pin_cells, nothing, 64, handle_unpin(store, pinned[i]))                          \
    X(cell_free_alloc, alloc_cells, free_cells, 64, CELL_FREE_ALLOC)                               \
    X(cell_insert, nothing, free_cells, 64, CELL_PUBLISH)                                          \
    X(cell_overwrite, alloc_cells, free_cells, 64, CELL_PUBLISH)                                   \
    X(cell_reserve_abort, nothing, nothing, 64, RESERVE_ABORT)                                     \
    X(cell_pair_64, nothing, nothing, 64, CELL_PAIR)                                               \
    X(cell_pair_256, nothing, nothing, 256, CELL_PAIR)                                             \
    X(cell_pair_3000, nothing, nothing, 3000, CELL_PAIR)                                           \
    X(cell_pair_12000, nothing, nothing, 12000, CELL_PAIR)                                         \
    X(cell_pair_30000, nothing, nothing, 30000, CELL_PAIR)                                         \
    X(handle_alloc, nothing, free_handles, 64, handles[i] = handle_alloc(store, size))             \
    X(handle_alloc_object, nothing, free_handles, 64,                                              \
      handles[i] = handle_alloc_object(store, size, 0, &object))                                   \
    X(handle_free, alloc_handles, nothing, 64, handle_free(store, handles[i]))                     \
    X(handle_free_now, alloc_handles, nothing, 64, handle_free_now(store, handles[i]))             \
    X(handle_alloc_many, nothing, free_handles, 64,                                                \
      MANY(handle_alloc_many(store, sizes, 0, handles, objects, BATCH)))                           \
    X(handle_free_many, alloc_handles, nothing, 64, MANY(handle_free_many(store, handles, BATCH))) \
    X(handle_deref, alloc_handles, free_handles, 64, READ(handle_deref(store, handles[i])))        \
    X(handle_deref_mut, alloc_handles, free_handles, 64,                                           \
      escape(handle_deref_mut(store, handles[i])))                                                 \
    X(handle_size, alloc_handles, free_handles, 64, sum += handle_size(store, handles[i]))         \
    X(handle_sparsity, alloc_handles, free_handles, 64, sum += handle_sparsity(store, handles[i])) \
    X(handle_resize, alloc_handles, free_handles, 64, handle_resize(store, handles[i], size - 1))  \
    X(handle_pin, move_on, unpin, 64, pinned[i] = handle_pin(store, handles[i]))                   \
    X(handle_unpin, pin_handles, nothing, 64, handle_unpin(store, pinned[i]))                      \
    X(handle_reserve_publish, nothing, free_handles, 64, HANDLE_PUBLISH)                           \
    X(handle_pair_64, nothing, nothing, 64, HANDLE_PAIR)                                           \
    X(handle_pair_256, nothing, nothing, 256, HANDLE_PAIR)                                         \
    X(handle_pair_3000, nothing, nothing, 3000, HANDLE_PAIR)                                       \
    X(handle_pair_12000, nothing, nothing, 12000, HANDLE_PAIR)                                     \
    X(handle_pair_30000, nothing, nothing, 30000, HANDLE_PAIR)

#define READ(at) sum += *(const uint64_t *)(at)

/* One call for all of the batch. */
#define MANY(call) ((call), i = BATCH - 1)

#define CELL_PAIR                                                                                  \
    (escape(handle_cell_alloc(store, &cells[i], size, 0)), handle_cell_free_now(store, &cells[i]))

/* What an overwrite is without reserve: a moment of an empty cell, and no tag yet. */
#define CELL_FREE_ALLOC                                                                            \
    (handle_cell_free(store, &cells[i]), escape(handle_cell_alloc(store, &cells[i], size, 0)))

#define CELL_PUBLISH                                                                               \
    (escape(handle_reserve(store, size, 0, &reserved)),                                            \
     handle_cell_publish(store, &cells[i], &reserved, i))

#define HANDLE_PUBLISH                                                                             \
    (escape(handle_reserve(store, size, 0, &reserved)),                                            \
     handles[i] = handle_publish(store, &reserved))

#define RESERVE_ABORT                                                                              \
    (escape(handle_reserve(store, size, 0, &reserved)), handle_reserved_abort(store, &reserved))

#define HANDLE_PAIR                                                                                \
    (handles[i] = handle_alloc_object(store, size, 0, &object), escape(object),                    \
     handle_free_now(store, handles[i]))

/* The same twice: callgrind looks at the one, the other makes the caches ready for it. */
#define DEFINE(NAME, BEFORE, AFTER, SIZE, CALL)                                                    \
    static inline __attribute__((always_inline)) void calls_##NAME(size_t size)                    \
    {                                                                                              \
        (void)size;                                                                                \
        for (unsigned i = 0; i < BATCH; i++) {                                                     \
            (void)(CALL);                                                                          \
            __asm__ volatile("" : "+r"(i) : : "memory");                                           \
        }                                                                                          \
    }                                                                                              \
    __attribute__((noinline)) void warm_##NAME(size_t size);                                       \
    void warm_##NAME(size_t size)                                                                  \
    {                                                                                              \
        calls_##NAME(size);                                                                        \
    }                                                                                              \
    __attribute__((noinline)) void measured_##NAME(size_t size);                                   \
    void measured_##NAME(size_t size)                                                              \
    {                                                                                              \
        calls_##NAME(size);                                                                        \
    }
CALLS(DEFINE)

#define ENTRY(NAME, BEFORE, AFTER, SIZE, CALL) {SIZE, BEFORE, warm_##NAME, measured_##NAME, AFTER},

static const struct entry {
    size_t size;
    void (*before)(size_t size), (*warm)(size_t size), (*count)(size_t size), (*after)(size_t size);
} entries[] = {CALLS(ENTRY)};

/* A section for each batch, as an application has them. */
static void
run(const struct entry *entry)
{
    for (unsigned round = 0; round < ROUNDS_WARM + ROUNDS; round++) {
        rcu_read_lock();
        entry->before(entry->size);
        (round < ROUNDS_WARM ? entry->warm : entry->count)(entry->size);
        entry->after(entry->size);
        rcu_read_unlock();
        if (round % ROUNDS_LIMBO == 0)
            require(handle_store_reclaim(store, SIZE_MAX) == 0, "handle_store_reclaim");
    }
    handles = batch_handles;
    cells = batch_cells;
    require(handle_store_reclaim(store, SIZE_MAX) == 0, "handle_store_reclaim");
}

int
main(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    rcu_register_thread();
    store = handle_store_create(&options);
    require(store != NULL, "handle_store_create");
    require(handle_store_set(store, "defrag.enabled", "no") == 0, "defrag.enabled");
    fill_pools();
    for (unsigned i = 0; i < BATCH; i++) {
        cell_names[i] = &batch_cells[i];
        sizes[i] = 64;
    }
    for (size_t i = 0; i < sizeof(entries) / sizeof(entries[0]); i++)
        run(&entries[i]);
    require(handle_store_check(store, NULL, NULL) == 0, "handle_store_check");
    require(handle_store_destroy(store) == 0, "handle_store_destroy");
    rcu_unregister_thread();
    printf("%u calls of each\n", ROUNDS * BATCH);
    return sum == UINT64_MAX;
}
