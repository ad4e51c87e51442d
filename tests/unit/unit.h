/* SPDX-License-Identifier: MIT */
/*
 * unit.h - what the unit tests share: the modules of a store put together by hand, one on top of
 * the other and without the store; faults on demand; waiting for other threads. Contents, random
 * numbers and seeds are those of the interface tests (support.h).
 */
#ifndef TEST_UNIT_H
#define TEST_UNIT_H

#include "waiting.h"

#include "base/hooks.h"
#include "memory/large.h"
#include "os/osmem.h"
#include "reference/handle_table.h"
#include "thread/thread_cache.h"

/** A pool, heap and caches over an arena of their own. Nothing limits it until budget.max_bytes is
 * set. */
struct world {
    struct sn_budget budget;
    struct sn_pool pool;
    struct sn_classes classes;
    struct sn_heap heap;
    struct sn_large large;
    struct sn_caches caches;
    bool has_caches;
    char *arena;
    size_t arena_bytes;
    char *metadata;
    size_t metadata_bytes;
    char *pins;
    size_t pins_bytes;
};

/** An arena of so many blocks (block 0 is never used); alignment 8, 16 or 64. */
struct world *world_make(uint32_t blocks, uint32_t alignment);
/** Adds thread caches, with no bound on their bytes but the classes' own. */
void world_add_caches(struct world *world);
void world_free(struct world *world);
/** A test whose state is a world of so many blocks; faults that it has set end with it. */
#define WORLD_TEST(function, blocks)                                                               \
    {                                                                                              \
#function, function, world_setup, world_teardown, (void *)(uintptr_t)(blocks)              \
    }
int world_setup(void **state);
int world_teardown(void **state);

/** The header word of a slot of a class. */
uint64_t *world_header(const struct world *world, uint64_t slot);
/** Asserts what span.h says of the pool: runs tile the arena and are merged, lists and sums
 * agree. */
void assert_pool_sound(const struct world *world);
/** Asserts what heap.h says of one class: bitmaps, lists, counters. */
void assert_class_sound(const struct world *world, unsigned class_id);

/** The next `times` calls of this kind fail, after `after` that do not. */
void fail_next(enum sn_inject_point point, unsigned after, unsigned times);
/** No call fails any more. Result: how many failed since fail_next. */
unsigned fail_none(void);

#endif
