/* SPDX-License-Identifier: MIT */
/*
 * test_span.c - the pool of free runs: what is taken first, what merges, what goes back to the
 * kernel and when, what is charged and refunded. A random sequence is held against
 * assert_pool_sound and a model of who owns which block.
 */
#include "unit.h"

#include <semaphore.h>

#define BLOCKS 64

#define POOL_TEST(function) WORLD_TEST(function, BLOCKS)

static uint32_t
take(struct world *world, uint32_t blocks, uint32_t pages)
{
    bool zero;
    uint8_t old_class;
    return sn_pool_take(&world->pool, blocks, pages, SN_CHARGE_APPLICATION, &zero, &old_class);
}

static uint32_t
take_whole(struct world *world, uint32_t blocks)
{
    return take(world, blocks, blocks * SN_BLOCK_PAGES);
}

static char *
bytes_of(const struct world *world, uint32_t number)
{
    return world->arena + sn_span_offset(number);
}

static bool
reads_as_zero(const struct world *world, uint32_t number, uint32_t blocks)
{
    const uint64_t *words = (const uint64_t *)(const void *)bytes_of(world, number);
    for (size_t i = 0; i < blocks * SN_BLOCK_BYTES / 8; i++) {
        if (words[i] != 0)
            return false;
    }
    return true;
}

static size_t
purge(struct world *world, uint64_t before_ns, size_t max_bytes)
{
    uint64_t next;
    return sn_pool_purge(&world->pool, before_ns, max_bytes, &next);
}

/* ---- take and put ---------------------------------------------------------------------------- */

static void
test_first_take_is_clean(void **state)
{
    struct world *world = *state;
    bool zero = false;
    uint8_t old_class = 0;
    assert_pool_sound(world);
    uint32_t number =
        sn_pool_take(&world->pool, 2, 2 * SN_BLOCK_PAGES, SN_CHARGE_APPLICATION, &zero, &old_class);
    assert_int_not_equal(number, 0);
    assert_true(zero);
    assert_int_equal(old_class, SN_CLASS_NONE);
    assert_true(reads_as_zero(world, number, 2));
    assert_int_equal(world->pool.arena_committed, 2 * SN_BLOCK_BYTES);
    assert_int_equal(world->budget.committed,
                     world->pool.arena_committed + world->pool.metadata_bytes);
    assert_pool_sound(world);
}

static void
test_dirty_before_clean(void **state)
{
    struct world *world = *state;
    bool zero = true;
    uint8_t old_class = 0;
    uint32_t first = take_whole(world, 3);
    uint32_t fence = take_whole(world, 1); /* keeps the run from touching the clean rest */
    memset(bytes_of(world, first), 7, SN_BLOCK_BYTES);
    world->pool.spans[first].class_id = 5;
    sn_pool_put(&world->pool, first, 1);
    assert_int_equal(world->pool.empty_bytes, 3 * SN_BLOCK_BYTES);
    uint64_t committed = world->budget.committed;
    /* The clean rest of the arena would fit as well. */
    uint32_t again =
        sn_pool_take(&world->pool, 3, 3 * SN_BLOCK_PAGES, SN_CHARGE_APPLICATION, &zero, &old_class);
    assert_int_equal(again, first);
    assert_false(zero);
    assert_int_equal(old_class, 5); /* whole and unmerged: its slots are still those of class 5 */
    assert_int_equal(bytes_of(world, again)[0], 7);
    assert_int_equal(world->budget.committed, committed); /* its pages were charged already */
    assert_int_equal(world->pool.empty_bytes, 0);
    assert_true(fence != first);
    assert_pool_sound(world);
}

static void
test_part_of_a_dirty_run(void **state)
{
    needs_pages_of_4_kib();
    struct world *world = *state;
    bool zero = true;
    uint8_t old_class = 0;
    uint32_t first = take_whole(world, 4);
    take_whole(world, 1);
    world->pool.spans[first].class_id = 5;
    sn_pool_put(&world->pool, first, 1);
    uint32_t part = sn_pool_take(&world->pool, 1, 16, SN_CHARGE_APPLICATION, &zero, &old_class);
    assert_in_range(part, first, first + 3);
    assert_false(zero);
    assert_int_equal(old_class, SN_CLASS_NONE); /* slots of class 5 began elsewhere */
    assert_int_equal(world->pool.empty_bytes, 3 * SN_BLOCK_BYTES);
    assert_pool_sound(world);
}

/* The three middle blocks go back in each of the six orders: always one run in the end. */
static void
test_coalesce_in_every_order(void **state)
{
    static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                          {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct world *world = *state;
    uint32_t low = take_whole(world, 1);
    uint32_t number[3];
    for (unsigned i = 0; i < 3; i++)
        number[i] = take_whole(world, 2);
    take_whole(world, 1);
    assert_int_equal(number[0], low + 1); /* neighbours, or the test means nothing */
    assert_int_equal(number[2], low + 5);
    for (unsigned order = 0; order < 6; order++) {
        for (unsigned i = 0; i < 3; i++) {
            sn_pool_put(&world->pool, number[orders[order][i]], order + 1);
            assert_pool_sound(world);
        }
        assert_int_equal(world->pool.spans[number[0]].blocks, 6);
        assert_int_equal(take_whole(world, 6), number[0]);
        sn_pool_put(&world->pool, number[0], 10);
        for (unsigned i = 0; i < 3; i++)
            assert_int_not_equal(take_whole(world, 2), 0);
    }
}

static void
test_dirty_and_clean_do_not_merge(void **state)
{
    struct world *world = *state;
    uint32_t first = take_whole(world, 2);
    sn_pool_put(&world->pool, first, 1); /* its neighbour is the clean rest of the arena */
    assert_int_equal(world->pool.spans[first].blocks, 2);
    assert_int_equal(world->pool.spans[first + 2].state, SN_SPAN_CLEAN);
    assert_pool_sound(world);
    assert_int_equal(purge(world, UINT64_MAX, 0), 2 * SN_BLOCK_BYTES);
    assert_int_equal(world->pool.spans[1].blocks, BLOCKS - 1); /* one clean run again */
    assert_pool_sound(world);
}

static void
test_smallest_run_that_fits(void **state)
{
    struct world *world = *state;
    static const uint32_t lengths[] = {9, 4, 6, 2};
    uint32_t number[4];
    for (unsigned i = 0; i < 4; i++) {
        number[i] = take_whole(world, lengths[i]);
        take_whole(world, 1);
    }
    for (unsigned i = 0; i < 4; i++)
        sn_pool_put(&world->pool, number[i], i + 1);
    assert_int_equal(take_whole(world, 5), number[2]);
    assert_int_equal(take_whole(world, 3), number[1]);
    assert_int_equal(take_whole(world, 2), number[3]);
    assert_int_equal(take_whole(world, 9), number[0]);
    assert_pool_sound(world);
}

/* Beyond 32 blocks runs are in a tree, where a shorter one may stand above. */
static void
test_long_runs(void **state)
{
    (void)state;
    struct world *world = world_make(512, 8);
    uint32_t large = take_whole(world, 60);
    take_whole(world, 1);
    uint32_t small = take_whole(world, 40);
    take_whole(world, 1);
    sn_pool_put(&world->pool, large, 1);
    sn_pool_put(&world->pool, small, 2);
    assert_pool_sound(world);
    assert_int_equal(take_whole(world, 50), large);
    assert_int_equal(take_whole(world, 33), small);
    assert_pool_sound(world);
    world_free(world);
}

/* A search looks at two runs for each bit of a length, however many are free. Seen failing with one
 * list for all lengths of a doubling: 400 looks. */
static void
test_search_does_not_grow(void **state)
{
    (void)state;
    enum { RUNS = 400 };
    struct world *world = world_make(RUNS * 48 + 100, 8);
    uint32_t number[RUNS];
    for (uint32_t i = 0; i < RUNS; i++) {
        number[i] = take_whole(world, 34 + i % 13);
        take_whole(world, 1);
    }
    for (uint32_t i = 0; i < RUNS; i++)
        sn_pool_put(&world->pool, number[i], i + 1);
    for (uint32_t blocks = 33; blocks <= 48; blocks++) {
        uint64_t before = world->pool.runs[1].looked_at;
        uint32_t found = take_whole(world, blocks);
        assert_true(world->pool.runs[1].looked_at - before <= 2 * SN_RUNS_BITS);
        assert_int_not_equal(found, 0);
        assert_true(blocks > 46 || found < number[RUNS - 1] + 46);
    }
    assert_pool_sound(world);
    world_free(world);
}

/* ---- the index by length --------------------------------------------------------------------- */

/* Every run of lengths that share many bits, at random: found is the shortest that fits. */
static void
test_runs_by_length(void **state)
{
    (void)state;
    enum { RUNS = 300 };
    static struct sn_span spans[RUNS + 1];
    struct sn_runs runs = {0};
    bool in[RUNS + 1] = {false};
    uint64_t random = random_seed("test_runs_by_length");
    memset(spans, 0, sizeof(spans));
    for (unsigned turn = 0; turn < scaled(100000); turn++) {
        uint32_t at = 1 + (uint32_t)random_below(&random, RUNS);
        uint32_t wanted = 1 + (uint32_t)random_below(&random, turn % 2 ? 80 : 1 << 24);
        if (in[at]) {
            sn_runs_remove(&runs, spans, at);
        } else {
            spans[at].blocks = 1 + (uint32_t)random_below(&random, turn % 3 ? 80 : 1 << 24);
            sn_runs_insert(&runs, spans, at);
        }
        in[at] = !in[at];
        uint32_t least = UINT32_MAX;
        for (uint32_t i = 1; i <= RUNS; i++)
            least = in[i] && spans[i].blocks >= wanted && spans[i].blocks < least ? spans[i].blocks
                                                                                  : least;
        uint32_t found = sn_runs_find(&runs, spans, wanted);
        assert_int_equal(found == 0, least == UINT32_MAX);
        assert_true(found == 0 || (in[found] && spans[found].blocks == least));
    }
}

/* ---- purge ----------------------------------------------------------------------------------- */

static void
test_purge_waits_for_the_delay(void **state)
{
    struct world *world = *state;
    uint64_t next = 0;
    uint32_t number[3];
    for (unsigned i = 0; i < 3; i++) {
        number[i] = take_whole(world, 1);
        take_whole(world, 1);
        memset(bytes_of(world, number[i]), 1, SN_BLOCK_BYTES);
    }
    for (unsigned i = 0; i < 3; i++)
        sn_pool_put(&world->pool, number[i], 100 * (i + 1));
    assert_int_equal(sn_pool_purge(&world->pool, 99, 0, &next), 0);
    assert_int_equal(next, 100);
    assert_int_equal(sn_pool_purge(&world->pool, 200, 0, &next), 2 * SN_BLOCK_BYTES);
    assert_int_equal(next, 300); /* the two oldest are gone */
    assert_true(reads_as_zero(world, number[0], 1));
    assert_true(reads_as_zero(world, number[1], 1));
    assert_false(reads_as_zero(world, number[2], 1));
    assert_pool_sound(world);
    assert_int_equal(sn_pool_purge(&world->pool, UINT64_MAX, 0, &next), SN_BLOCK_BYTES);
    assert_true(next == SN_POOL_NONE_LEFT);
    assert_int_equal(world->pool.released_bytes, 3 * SN_BLOCK_BYTES);
    assert_int_equal(world->pool.empty_bytes, 0);
    assert_pool_sound(world);
}

/* Four runs of one block, dirty from the times 1 to 4 on; those between are in use. */
static void
put_every_other(struct world *world, uint32_t number[4])
{
    for (unsigned i = 0; i < 4; i++) {
        number[i] = take_whole(world, 1);
        take_whole(world, 1);
    }
    for (unsigned i = 0; i < 4; i++)
        sn_pool_put(&world->pool, number[i], i + 1);
}

static void
test_purge_is_bounded(void **state)
{
    struct world *world = *state;
    uint32_t number[4];
    put_every_other(world, number);
    assert_int_equal(purge(world, UINT64_MAX, 2 * SN_BLOCK_BYTES), 2 * SN_BLOCK_BYTES);
    assert_int_equal(world->pool.spans[number[0]].state, SN_SPAN_CLEAN);
    assert_int_equal(world->pool.spans[number[3]].state, SN_SPAN_DIRTY);
    assert_int_equal(purge(world, UINT64_MAX, 1), SN_BLOCK_BYTES);
    assert_int_equal(purge(world, UINT64_MAX, 0), SN_BLOCK_BYTES);
    assert_pool_sound(world);
}

/* Fails when a purge takes whole runs: seen with that, six blocks at once. */
static void
test_purge_splits_a_run(void **state)
{
    struct world *world = *state;
    uint64_t next = 0;
    uint32_t number = take_whole(world, 6);
    take_whole(world, 1);
    memset(bytes_of(world, number), 1, 6 * SN_BLOCK_BYTES);
    sn_pool_put(&world->pool, number, 7);
    assert_int_equal(sn_pool_purge(&world->pool, 7, 2 * SN_BLOCK_BYTES + 1, &next),
                     2 * SN_BLOCK_BYTES);
    assert_int_equal(next, 7); /* the rest is as old as the run was */
    assert_int_equal(world->pool.spans[number].state, SN_SPAN_CLEAN);
    assert_int_equal(world->pool.spans[number + 2].state, SN_SPAN_DIRTY);
    assert_int_equal(world->pool.spans[number + 2].blocks, 4);
    assert_true(reads_as_zero(world, number, 2));
    assert_int_equal(bytes_of(world, number + 2)[0], 1);
    assert_pool_sound(world);
    assert_int_equal(purge(world, 7, 0), 4 * SN_BLOCK_BYTES);
    assert_pool_sound(world);
}

/* A long run goes back in pieces, and a purge without a bound takes them all. */
static void
test_purge_of_a_long_run(void **state)
{
    (void)state;
    struct world *world = world_make(512, 8);
    uint32_t number = take_whole(world, 300);
    sn_pool_put(&world->pool, number, 1);
    assert_int_equal(purge(world, 1, 0), 300 * SN_BLOCK_BYTES);
    assert_int_equal(world->pool.empty_bytes, 0);
    assert_pool_sound(world);
    world_free(world);
}

/*
 * A block beside an old run is used and freed over and over: the run is purged when it is due.
 * Fails when a merge makes the whole run young: seen with that.
 */
static void
test_churn_beside_an_old_run(void **state)
{
    struct world *world = *state;
    uint64_t next = 0;
    uint32_t low = take_whole(world, 1);
    uint32_t middle = take_whole(world, 3);
    uint32_t high = take_whole(world, 1);
    take_whole(world, 1);
    uint32_t apart = take_whole(world, 8);
    take_whole(world, 1);
    sn_pool_put(&world->pool, middle, 100);
    sn_pool_put(&world->pool, apart, 150);
    sn_pool_put(&world->pool, high, 160);
    for (uint64_t now = 200; now < 260; now += 10) {
        sn_pool_put(&world->pool, low, now);
        assert_int_equal(world->pool.oldest, low);
        assert_int_equal(world->pool.youngest, apart);
        assert_pool_sound(world);
        assert_int_equal(take_whole(world, 1), low); /* the run's front; the rest is as old */
        assert_int_equal(world->pool.oldest, middle);
        assert_int_equal(world->pool.youngest, apart);
        assert_pool_sound(world);
    }
    assert_int_equal(sn_pool_purge(&world->pool, 100, 0, &next), 4 * SN_BLOCK_BYTES);
    assert_int_equal(next, 150);
    assert_pool_sound(world);
}

/* ---- a purge under way ----------------------------------------------------------------------- */

struct under_way {
    struct world *world;
    sem_t reached, go;
    uint32_t taken;
};

static struct under_way *under_way; /* the hook's */

static void
stand_in_purge(enum sn_hook_point point, const void *object)
{
    if (point != SN_HOOK_PURGE || object != &under_way->world->pool)
        return;
    sem_post(&under_way->reached);
    while (sem_wait(&under_way->go) != 0)
        ;
}

static void *
purge_all(void *opaque)
{
    purge(opaque, UINT64_MAX, 0);
    return NULL;
}

static void *
take_two(void *opaque)
{
    under_way->taken = take_whole(opaque, 2);
    return NULL;
}

/*
 * All that would be free under the limit is with a purger. Fails when a take answers "none" to
 * that: seen with sn_pool_make_room not waiting.
 */
static void
test_take_waits_for_a_purge(void **state)
{
    struct world *world = *state;
    struct under_way here = {.world = world};
    pthread_t purger, taker;
    uint32_t number = take_whole(world, 2);
    take_whole(world, 1);
    world->budget.max_bytes = world->budget.committed + SN_RESERVE_MIN_BYTES;
    sn_pool_put(&world->pool, number, 1);
    sem_init(&here.reached, 0, 0);
    sem_init(&here.go, 0, 0);
    under_way = &here;
    __atomic_store_n(&sn_hook_fn, stand_in_purge, __ATOMIC_RELEASE);
    assert_int_equal(pthread_create(&purger, NULL, purge_all, world), 0);
    while (sem_wait(&here.reached) != 0)
        ;
    assert_int_equal(world->pool.spans[number].state, SN_SPAN_PURGING);
    assert_int_equal(pthread_create(&taker, NULL, take_two, world), 0);
    for (unsigned i = 0; i < 5; i++)
        nap(); /* so that it is most likely waiting by then; either way is right */
    sem_post(&here.go);
    pthread_join(purger, NULL);
    pthread_join(taker, NULL);
    __atomic_store_n(&sn_hook_fn, NULL, __ATOMIC_RELEASE);
    assert_int_not_equal(here.taken, 0);
    assert_pool_sound(world);
    sem_destroy(&here.reached);
    sem_destroy(&here.go);
}

static void
test_failing_madvise(void **state)
{
    struct world *world = *state;
    uint32_t number = take_whole(world, 2);
    memset(bytes_of(world, number), 1, 2 * SN_BLOCK_BYTES);
    sn_pool_put(&world->pool, number, 1);
    uint64_t committed = world->budget.committed;
    fail_next(SN_INJECT_MADVISE, 0, 1);
    assert_int_equal(purge(world, UINT64_MAX, 0), 0);
    assert_int_equal(fail_none(), 1);
    assert_int_equal(world->pool.purge_failures, 1);
    assert_true(world->pool.last_purge_failed);
    assert_int_equal(world->budget.committed, committed); /* the pages are still there */
    assert_int_equal(world->pool.empty_bytes, 2 * SN_BLOCK_BYTES);
    assert_pool_sound(world);
    assert_int_equal(take_whole(world, 2), number); /* and of use */
    sn_pool_put(&world->pool, number, 2);
    assert_int_equal(purge(world, UINT64_MAX, 0), 2 * SN_BLOCK_BYTES);
    assert_false(world->pool.last_purge_failed);
    assert_true(reads_as_zero(world, number, 2));
    assert_pool_sound(world);
}

/* A run that the kernel refuses again and again does not keep those behind it. Seen failing with
 * one that is put back before them. */
static void
test_refused_run_is_passed(void **state)
{
    struct world *world = *state;
    uint32_t number[5];
    for (unsigned i = 0; i < 5; i++) {
        number[i] = take_whole(world, 1);
        memset(bytes_of(world, number[i]), 1, SN_BLOCK_BYTES);
    }
    for (unsigned i = 0; i < 5; i += 2)
        sn_pool_put(&world->pool, number[i], i + 1);
    fail_next(SN_INJECT_MADVISE, 1, 1);
    assert_int_equal(purge(world, UINT64_MAX, 0), SN_BLOCK_BYTES);
    assert_int_equal(fail_none(), 1);
    assert_true(reads_as_zero(world, number[0], 1));
    assert_int_equal(world->pool.purge_failures, 1);
    assert_true(world->pool.last_purge_failed);
    assert_pool_sound(world);
    assert_int_equal(purge(world, UINT64_MAX, SN_BLOCK_BYTES), SN_BLOCK_BYTES);
    assert_true(reads_as_zero(world, number[4], 1));
    assert_int_equal(bytes_of(world, number[2])[0], 1);
    assert_int_equal(purge(world, UINT64_MAX, 0), SN_BLOCK_BYTES);
    assert_true(reads_as_zero(world, number[2], 1));
    assert_pool_sound(world);
}

/* A take gives nothing back, however many pages its run holds; a trim does. A tail that the kernel
 * does not take stays committed, and is not taken for zero pages later. Seen failing with a trim
 * that goes on as if it had worked, and with one by the taker. */
static void
test_failing_trim(void **state)
{
    needs_pages_of_4_kib();
    struct world *world = *state;
    uint32_t number = take_whole(world, 2);
    memset(bytes_of(world, number), 1, 2 * SN_BLOCK_BYTES);
    sn_pool_put(&world->pool, number, 1);
    fail_next(SN_INJECT_MADVISE, 0, UINT32_MAX);
    assert_int_equal(take(world, 2, 17), number);
    assert_int_equal(fail_none(), 0);
    fail_next(SN_INJECT_MADVISE, 0, UINT32_MAX);
    assert_int_equal(sn_pool_trim(&world->pool, number, 17, 32), 0);
    assert_int_equal(fail_none(), 1);
    assert_int_equal(world->pool.arena_committed, 2 * SN_BLOCK_BYTES);
    assert_int_equal(bytes_of(world, number)[2 * SN_BLOCK_BYTES - 1], 1);
    assert_pool_sound(world);
    assert_int_equal(sn_pool_trim(&world->pool, number, 17, 32), 15 * SN_PAGE_BYTES);
    assert_int_equal(bytes_of(world, number)[2 * SN_BLOCK_BYTES - 1], 0);
    assert_int_equal(world->pool.arena_committed, 17 * SN_PAGE_BYTES);
}

/* ---- charges --------------------------------------------------------------------------------- */

static void
test_pages_not_blocks_are_charged(void **state)
{
    needs_pages_of_4_kib();
    struct world *world = *state;
    uint32_t number = take(world, 2, 17);
    assert_int_equal(world->pool.arena_committed, 17 * SN_PAGE_BYTES);
    sn_pool_put(&world->pool, number, 1);
    assert_int_equal(world->pool.empty_bytes, 17 * SN_PAGE_BYTES);
    assert_int_equal(take(world, 2, 20), number); /* three more */
    assert_int_equal(world->pool.arena_committed, 20 * SN_PAGE_BYTES);
    sn_pool_put(&world->pool, number, 2);
    /* Fewer are needed now: a trim gives the rest of the last block back. */
    memset(bytes_of(world, number), 1, 20 * SN_PAGE_BYTES);
    assert_int_equal(take(world, 2, 18), number);
    assert_int_equal(sn_pool_trim(&world->pool, number, 18, 32), 2 * SN_PAGE_BYTES);
    assert_int_equal(world->pool.arena_committed, 18 * SN_PAGE_BYTES);
    assert_int_equal(bytes_of(world, number)[18 * SN_PAGE_BYTES], 0);
    assert_int_equal(bytes_of(world, number)[18 * SN_PAGE_BYTES - 1], 1);
    assert_int_equal(world->budget.committed,
                     world->pool.arena_committed + world->pool.metadata_bytes);
    assert_pool_sound(world);
}

static void
test_limit_and_reserve(void **state)
{
    needs_pages_of_4_kib();
    struct world *world = *state;
    bool zero;
    uint8_t old_class;
    uint64_t metadata = world->budget.committed; /* of few blocks: in the pages there are */
    world->budget.max_bytes = SN_RESERVE_MIN_BYTES + 4 * SN_BLOCK_BYTES + metadata;
    uint32_t number = take_whole(world, 4);
    assert_int_not_equal(number, 0);
    uint64_t committed = world->budget.committed;
    assert_int_equal(take_whole(world, 1), 0); /* the reserve is not for applications ... */
    assert_int_equal(world->budget.committed, committed);
    uint32_t moved =
        sn_pool_take(&world->pool, 2, 2 * SN_BLOCK_PAGES, SN_CHARGE_MOVER, &zero, &old_class);
    assert_int_not_equal(moved, 0); /* ... but for the mover */
    assert_int_equal(sn_pool_take(&world->pool, 1, 16, SN_CHARGE_MOVER, &zero, &old_class), 0);
    assert_true(world->budget.committed <= world->budget.max_bytes);
    assert_true(world->budget.peak <= world->budget.max_bytes);
    sn_pool_put(&world->pool, moved, 1);
    sn_pool_put(&world->pool, number, 1);
    assert_pool_sound(world);
}

/* What is dirty in the wrong place counts against the limit: as much as is needed of it is purged,
 * then there is room. */
static void
test_wrong_shapes_make_room(void **state)
{
    struct world *world = *state;
    uint32_t number[4];
    put_every_other(world, number);
    world->budget.max_bytes = world->budget.committed + SN_RESERVE_MIN_BYTES + 8192;
    uint32_t run = take_whole(world, 3);
    assert_int_not_equal(run, 0);
    assert_int_equal(world->pool.released_bytes, 3 * SN_BLOCK_BYTES);
    assert_true(world->budget.committed <= world->budget.max_bytes);
    assert_pool_sound(world);
}

static void
test_exhausted_arena(void **state)
{
    struct world *world = *state;
    uint32_t number[BLOCKS];
    unsigned count = 0;
    while ((number[count] = take_whole(world, 3)) != 0)
        count++;
    assert_int_equal(count, (BLOCKS - 1) / 3);
    uint64_t committed = world->budget.committed;
    assert_int_equal(take_whole(world, BLOCKS), 0);
    assert_int_equal(world->budget.committed, committed);
    sn_pool_put(&world->pool, number[7], 1);
    assert_int_equal(take_whole(world, 4), 0);
    assert_int_equal(take_whole(world, 3), number[7]);
    for (unsigned i = 0; i < count; i++)
        sn_pool_put(&world->pool, number[i], i + 1);
    assert_pool_sound(world);
    /* Whatever is asked for as a whole fits again, once clean and dirty have become one. */
    assert_int_equal(take_whole(world, BLOCKS - 1), 1);
    assert_pool_sound(world);
}

/* A run for slots of a class of the world's with so many of them. */
static uint32_t
take_for_slots(struct world *world, uint32_t slots, enum sn_charge who, uint64_t *lacks)
{
    bool zero;
    uint8_t old_class;
    struct sn_class c = {.slots = slots, .blocks = 1, .pages = SN_BLOCK_PAGES};
    return sn_pool_try_take_slots(&world->pool, 1, &c, who, &zero, &old_class, lacks);
}

/* Metadata is charged by the page, when a run first uses it; pages of slots are not yet. */
static void
test_metadata_is_charged_once(void **state)
{
    needs_pages_of_4_kib();
    struct world *world = *state;
    uint64_t lacks, before = world->budget.committed;
    assert_int_equal(before, 3 * SN_PAGE_BYTES); /* descriptors, and two bytes a block */
    assert_int_equal(world->pool.metadata_bytes, before);
    uint32_t number = take_for_slots(world, 100, SN_CHARGE_APPLICATION, &lacks);
    assert_int_not_equal(number, 0);
    assert_int_equal(world->budget.committed, before + SN_PAGE_BYTES); /* the first line's */
    assert_int_equal(world->pool.arena_committed, 0);
    assert_int_not_equal(take_for_slots(world, 512, SN_CHARGE_APPLICATION, &lacks), 0);
    assert_int_equal(world->budget.committed, before + SN_PAGE_BYTES);
    assert_int_not_equal(take_for_slots(world, 513, SN_CHARGE_APPLICATION, &lacks), 0);
    assert_int_equal(world->budget.committed, before + 2 * SN_PAGE_BYTES);
    assert_int_equal(world->pool.metadata_bytes, world->budget.committed);
    sn_pool_put(&world->pool, number, 1);
    assert_int_equal(world->pool.spans[number].state, SN_SPAN_CLEAN); /* it never had a page */
    assert_pool_sound(world);
}

/* ... and within the limit: no run is given out whose metadata it does not allow. */
static void
test_metadata_at_the_limit(void **state)
{
    needs_pages_of_4_kib();
    struct world *world = *state;
    uint64_t lacks, committed = world->budget.committed;
    world->budget.max_bytes = committed + SN_RESERVE_MIN_BYTES;
    assert_int_equal(take_for_slots(world, 100, SN_CHARGE_APPLICATION, &lacks), 0);
    assert_int_equal(lacks, SN_PAGE_BYTES);
    assert_int_equal(world->budget.committed, committed);
    assert_int_not_equal(take_for_slots(world, 100, SN_CHARGE_MOVER, &lacks), 0);
    assert_int_not_equal(take_for_slots(world, 100, SN_CHARGE_APPLICATION, &lacks), 0);
    assert_pool_sound(world);
}

/* Pages are charged one by one as they are first used, and what has been is not charged again. */
static void
test_commit(void **state)
{
    needs_pages_of_4_kib();
    struct world *world = *state;
    uint32_t number = take(world, 2, 0);
    uint64_t committed = world->budget.committed;
    assert_int_equal(world->pool.arena_committed, 0);
    assert_true(sn_pool_commit(&world->pool, number, 14, 18, SN_CHARGE_APPLICATION));
    assert_int_equal(world->pool.arena_committed, 4 * SN_PAGE_BYTES);
    assert_true(sn_pool_commit(&world->pool, number, 15, 20, SN_CHARGE_APPLICATION));
    assert_int_equal(world->pool.arena_committed, 6 * SN_PAGE_BYTES);
    assert_int_equal(world->budget.committed, committed + 6 * SN_PAGE_BYTES);
    assert_int_equal(sn_pool_missing_pages(&world->pool, number, 0, 32), 26);
    assert_true(sn_pool_page_is_committed(&world->pool, number, 14));
    assert_false(sn_pool_page_is_committed(&world->pool, number, 13));
    world->budget.max_bytes = world->budget.committed + SN_RESERVE_MIN_BYTES + SN_PAGE_BYTES;
    assert_false(sn_pool_commit(&world->pool, number, 12, 15, SN_CHARGE_APPLICATION));
    assert_int_equal(sn_pool_missing_pages(&world->pool, number, 0, 32), 26);
    assert_true(sn_pool_commit(&world->pool, number, 13, 15, SN_CHARGE_APPLICATION));
    assert_pool_sound(world);
}

/* ---- a random sequence ----------------------------------------------------------------------- */

/* Who owns a block, by the model: 0 nobody, else the number of the take. */
struct model {
    struct world *world;
    uint64_t random;
    uint32_t owner[BLOCKS];
    uint32_t first[BLOCKS], blocks[BLOCKS], stamp[BLOCKS]; /* runs in use */
    unsigned count;
    uint32_t takes;
    uint64_t now_ns;
};

static void
model_take(struct model *model)
{
    uint32_t blocks = 1 + (uint32_t)random_below(&model->random, 9);
    uint32_t pages = (blocks - 1) * (uint32_t)SN_BLOCK_PAGES + 1 +
                     (uint32_t)random_below(&model->random, SN_BLOCK_PAGES);
    bool zero;
    uint8_t old_class;
    uint32_t number =
        sn_pool_take(&model->world->pool, blocks, pages, SN_CHARGE_APPLICATION, &zero, &old_class);
    if (!number)
        return;
    model->takes++;
    for (uint32_t i = 0; i < blocks; i++) {
        assert_int_equal(model->owner[number + i], 0);
        model->owner[number + i] = model->takes;
    }
    for (uint32_t page = 0; zero && page < pages; page++) {
        uint32_t first_bytes;
        memcpy(&first_bytes, bytes_of(model->world, number) + page * SN_PAGE_BYTES, 4);
        assert_int_equal(first_bytes, 0);
    }
    memcpy(bytes_of(model->world, number), &model->takes, 4);
    memcpy(bytes_of(model->world, number) + pages * SN_PAGE_BYTES - 4, &model->takes, 4);
    model->first[model->count] = number;
    model->blocks[model->count] = blocks;
    model->stamp[model->count++] = pages;
}

static void
model_put(struct model *model)
{
    if (model->count == 0)
        return;
    unsigned i = (unsigned)random_below(&model->random, model->count);
    uint32_t number = model->first[i];
    const char *bytes = bytes_of(model->world, number);
    assert_memory_equal(bytes, &model->owner[number], 4);
    assert_memory_equal(bytes + model->stamp[i] * SN_PAGE_BYTES - 4, &model->owner[number], 4);
    for (uint32_t k = 0; k < model->blocks[i]; k++)
        model->owner[number + k] = 0;
    sn_pool_put(&model->world->pool, number, ++model->now_ns);
    model->count--;
    model->first[i] = model->first[model->count];
    model->blocks[i] = model->blocks[model->count];
    model->stamp[i] = model->stamp[model->count];
}

static void
test_random_sequence(void **state)
{
    struct model model = {.world = *state, .random = random_seed("test_random_sequence")};
    fail_next(SN_INJECT_MADVISE, 20, 10);
    for (unsigned i = 0; i < scaled(20000); i++) {
        uint64_t dice = random_below(&model.random, 10);
        if (dice < 5)
            model_take(&model);
        else if (dice < 9)
            model_put(&model);
        else
            purge(model.world, random_below(&model.random, model.now_ns + 1),
                  random_below(&model.random, 6) * SN_BLOCK_BYTES);
        if (i % 8 == 0)
            assert_pool_sound(model.world);
    }
    fail_none();
    while (model.count > 0)
        model_put(&model);
    purge(model.world, UINT64_MAX, 0);
    assert_pool_sound(model.world);
    assert_int_equal(model.world->pool.arena_committed, 0);
    assert_int_equal(model.world->budget.committed, model.world->pool.metadata_bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_first_take_is_clean),
        POOL_TEST(test_dirty_before_clean),
        POOL_TEST(test_part_of_a_dirty_run),
        POOL_TEST(test_coalesce_in_every_order),
        POOL_TEST(test_dirty_and_clean_do_not_merge),
        POOL_TEST(test_smallest_run_that_fits),
        cmocka_unit_test(test_long_runs),
        cmocka_unit_test(test_search_does_not_grow),
        cmocka_unit_test(test_runs_by_length),
        POOL_TEST(test_purge_waits_for_the_delay),
        POOL_TEST(test_purge_is_bounded),
        POOL_TEST(test_purge_splits_a_run),
        cmocka_unit_test(test_purge_of_a_long_run),
        POOL_TEST(test_churn_beside_an_old_run),
        POOL_TEST(test_take_waits_for_a_purge),
        POOL_TEST(test_failing_madvise),
        POOL_TEST(test_refused_run_is_passed),
        POOL_TEST(test_failing_trim),
        POOL_TEST(test_pages_not_blocks_are_charged),
        POOL_TEST(test_limit_and_reserve),
        POOL_TEST(test_wrong_shapes_make_room),
        POOL_TEST(test_exhausted_arena),
        POOL_TEST(test_metadata_is_charged_once),
        POOL_TEST(test_metadata_at_the_limit),
        POOL_TEST(test_commit),
        POOL_TEST(test_random_sequence),
    };
    return cmocka_run_group_tests_name("span", tests, NULL, NULL);
}
