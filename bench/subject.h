/* SPDX-License-Identifier: MIT */
/*
 * subject.h - the one place where the allocators under test differ. A benchmark is compiled once
 * per subject: BENCH_SUBJECT is 0 for malloc (each peer by LD_PRELOAD), 1 for handles, 2 for cells;
 * 3 is no allocator at all: the time that remains is the benchmark's own.
 * The operations are inline and mean the same for all, so that only the allocator differs.
 *
 * A ref is what the application keeps of an object: a pointer, a handle or a cell. Refs lie in
 * tables of the benchmark's own and stay at their place; all zero bits is empty.
 */
#ifndef BENCH_SUBJECT_H
#define BENCH_SUBJECT_H

#define SUBJECT_MALLOC 0
#define SUBJECT_HANDLE 1
#define SUBJECT_CELL   2
#define SUBJECT_NONE   3

#ifndef BENCH_SUBJECT
#error "BENCH_SUBJECT must be 0 (malloc), 1 (handles), 2 (cells) or 3 (none)"
#endif

/* A subject with a store. */
#define SUBJECT_IS_STORE (BENCH_SUBJECT == SUBJECT_HANDLE || BENCH_SUBJECT == SUBJECT_CELL)

#include "bench.h"
#include "section.h"

#include <stdlib.h>

#if SUBJECT_IS_STORE
#include <sinter/handle.h>
extern handle_store *subject_store;
/** The option cells of stores that are opened from here on; NULL. */
extern struct handle_cells (*subject_cells)(void *opaque, const void *object, size_t size);
#endif

/** How an object is given up: no reader can hold it, or a grace period must pass first. */
enum free_mode { FREE_NOW, FREE_AFTER_GP };
#define FREE_MODE_CHOICES "now|gp"

/* ---- life cycle, out of line ----------------------------------------------------------------- */

/**
 * "cells", "handles", "driver alone" for no allocator, or the malloc in use: glibc, jemalloc,
 * tcmalloc, mimalloc, a file name.
 */
const char *subject_label(void);

/** Makes the store, with --set applied; for malloc nothing. The caller is registered. */
void subject_open(void);

/** Sets a store option on top, in a program that needs it; ends the program when it is refused. */
void subject_set(const char *name, const char *value);

/** Until every free of mode FREE_AFTER_GP up to now is done. Outside a section. */
void subject_settle(void);

/** Prints the statistics if --stats was given, destroys the store; a failure ends the program. */
void subject_close(void);

/** Bytes that one object of this size takes when perfectly packed: class rounding and header. */
uint64_t subject_unit(size_t size, enum free_mode mode);

/** Bytes that each reference costs outside the application's table: 8 in the handle table, or 0. */
uint64_t subject_reference_bytes(void);

/** Processor time of all compaction so far; 0 without a store. */
uint64_t subject_compaction_ns(void);

/** A call on the store failed that must not: says which and ends the program. */
void subject_failed(const char *call, int error) __attribute__((noreturn));

/* ---- operations ------------------------------------------------------------------------------ */

#if BENCH_SUBJECT == SUBJECT_MALLOC

typedef void *ref_t;

/* With call_rcu an object must carry the callback's head, as every such application does. */
static inline size_t
subject_head(enum free_mode mode)
{
    return mode == FREE_AFTER_GP ? sizeof(struct rcu_head) : 0;
}

static inline void
subject_free_rcu(struct rcu_head *head)
{
    free(head);
}

static inline void *
subject_alloc(ref_t *ref, size_t size, enum free_mode mode)
{
    char *block = malloc(size + subject_head(mode));
    *ref = block ? block + subject_head(mode) : NULL;
    return *ref;
}

static inline const void *
subject_read(const ref_t *ref)
{
    return *ref;
}

static inline void *
subject_write(ref_t *ref)
{
    return *ref;
}

static inline void
subject_free(ref_t *ref, enum free_mode mode)
{
    char *block = (char *)*ref - subject_head(mode);
    *ref = NULL;
    if (mode == FREE_NOW)
        free(block);
    else
        call_rcu((struct rcu_head *)(void *)block, subject_free_rcu);
}

#elif BENCH_SUBJECT == SUBJECT_NONE

/*
 * The reference is the size. The object lies where the reference's own place says, over others: as
 * much memory is touched, as much at random, as with an allocator that reuses what was freed last.
 */
typedef uint64_t ref_t;
#define SUBJECT_NONE_STEP UINT64_C(640) /* between the objects of neighbouring references */
extern char *subject_ground;
extern uint64_t subject_ground_mask; /* of offsets: a power of two less one */

static inline void *
subject_object(const ref_t *ref)
{
    uint64_t at = (uint64_t)(uintptr_t)ref / sizeof(*ref) * SUBJECT_NONE_STEP;
    return subject_ground + (at & subject_ground_mask);
}

static inline void *
subject_alloc(ref_t *ref, size_t size, enum free_mode mode)
{
    (void)mode;
    *ref = size;
    return subject_object(ref);
}

/* The first word tells the size to who wrote one there (object.h). */
static inline const void *
subject_read(const ref_t *ref)
{
    uint64_t *object = subject_object(ref);
    *object = *ref << 40 | (*object & ((UINT64_C(1) << 40) - 1));
    return *ref ? object : NULL;
}

static inline void *
subject_write(ref_t *ref)
{
    return subject_object(ref);
}

static inline void
subject_free(ref_t *ref, enum free_mode mode)
{
    (void)mode;
    *ref = 0;
}

#endif

#if !SUBJECT_IS_STORE

/* Nobody else reads: malloc's callers need no section. */
static inline void
subject_enter(void)
{
}

static inline void
subject_leave(void)
{
}

#else

/** The store's statistics now; good until the next call. */
static inline const struct handle_stats *
subject_stats(void)
{
    static struct handle_stats stats = HANDLE_STATS_INIT;
    int error = handle_store_stats(subject_store, &stats);
    if (error)
        subject_failed("handle_store_stats", error);
    return &stats;
}

/** Those of the store's size classes, smallest first; *count: how many. Valid until the next
 * call. */
static inline const struct handle_class_stats *
subject_classes(uint32_t *count)
{
    static struct handle_class_stats classes[HANDLE_CLASSES_MAX];
    int result =
        handle_store_class_stats(subject_store, classes, sizeof(classes[0]), HANDLE_CLASSES_MAX);
    if (result < 0)
        subject_failed("handle_store_class_stats", result);
    *count = (uint32_t)result;
    return classes;
}

static inline void
subject_enter(void)
{
    section_enter();
}

static inline void
subject_leave(void)
{
    section_leave();
}

#if BENCH_SUBJECT == SUBJECT_HANDLE

typedef handle_t ref_t;

static inline void *
subject_alloc(ref_t *ref, size_t size, enum free_mode mode)
{
    void *object;
    (void)mode;
    *ref = handle_alloc_object(subject_store, size, 0, &object);
    return object;
}

static inline const void *
subject_read(const ref_t *ref)
{
    return handle_deref(subject_store, *ref);
}

static inline void *
subject_write(ref_t *ref)
{
    return handle_deref_mut(subject_store, *ref);
}

static inline void
subject_free(ref_t *ref, enum free_mode mode)
{
    int error =
        mode == FREE_NOW ? handle_free_now(subject_store, *ref) : handle_free(subject_store, *ref);
    if (__builtin_expect(error != 0, 0))
        subject_failed(mode == FREE_NOW ? "handle_free_now" : "handle_free", error);
    *ref = HANDLE_NULL;
}

#else

typedef handle_cell ref_t;

static inline void *
subject_alloc(ref_t *ref, size_t size, enum free_mode mode)
{
    (void)mode;
    return handle_cell_alloc(subject_store, ref, size, 0);
}

static inline const void *
subject_read(const ref_t *ref)
{
    return handle_cell_deref(subject_store, ref);
}

static inline void *
subject_write(ref_t *ref)
{
    return handle_cell_deref_mut(subject_store, ref);
}

static inline void
subject_free(ref_t *ref, enum free_mode mode)
{
    int error = mode == FREE_NOW ? handle_cell_free_now(subject_store, ref)
                                 : handle_cell_free(subject_store, ref);
    if (__builtin_expect(error != 0, 0))
        subject_failed(mode == FREE_NOW ? "handle_cell_free_now" : "handle_cell_free", error);
}

#endif
#endif

/** What a look at an object's contents said. Without an allocator they are not kept, and nothing is
 * judged; the look was taken all the same. */
static inline bool
subject_verdict(bool intact)
{
#if BENCH_SUBJECT == SUBJECT_NONE
    __asm__ volatile("" : : "r"(intact));
    return true;
#else
    return intact;
#endif
}

/** Picks the value that belongs to this subject: of targets, say. Others have no targets. */
static inline double
subject_pick(double if_cells, double if_handles)
{
    return BENCH_SUBJECT == SUBJECT_CELL     ? if_cells
           : BENCH_SUBJECT == SUBJECT_HANDLE ? if_handles
                                             : (double)__builtin_nan("");
}

#endif
