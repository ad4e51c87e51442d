/* SPDX-License-Identifier: MIT */
/*
 * test_dense.c - what is a dense region; that it becomes a huge page after two looks, and pages
 * again before a part of it is given back; that what is given back beside a collapse is gone; what
 * is done where the kernel refuses. What asks the kernel is left out where it has no such pages.
 */
#include "unit.h"

#include <sinter/handle.h>

#include <sys/mman.h>
#include <sys/prctl.h>

#include "memory/dense.h"
#include "os/smaps.h"

#define FIRST  SN_REGION_BLOCKS       /* the region looked at: the second, as block 0 is not used */
#define BLOCKS (3 * SN_REGION_BLOCKS) /* of the world */
#define PAGES  (SN_REGION_BLOCKS * (uint32_t)SN_BLOCK_PAGES) /* of a region */
#define BYTES  SN_HUGE_PAGE_BYTES

/* ---- what the kernel says -------------------------------------------------------------------- */

static void
test_modes(void **state)
{
    (void)state;
    assert_int_equal(sn_os_thp_of("always [madvise] never\n", "2097152\n"), SN_THP_ON_DEMAND);
    assert_int_equal(sn_os_thp_of("always madvise [never]\n", "2097152\n"), SN_THP_ON_DEMAND);
    assert_int_equal(sn_os_thp_of("[always] madvise never\n", "2097152\n"), SN_THP_ALWAYS);
    assert_int_equal(sn_os_thp_of("always [madvise] never\n", "33554432\n"), SN_THP_NONE);
    assert_int_equal(sn_os_thp_of("", ""), SN_THP_NONE);
    fail_next(SN_INJECT_STATM, 0, 2);
    assert_int_equal(sn_os_thp(), SN_THP_NONE);
    assert_int_equal(fail_none(), 2);
}

/* Whether this machine can do it at all: asked once, as it takes long where processors are busy. */
static bool
can_collapse(void)
{
    static bool asked, can;
    if (asked)
        return can;
    char *page = sn_os_reserve_plain(BYTES, BYTES);
    assert_non_null(page);
    memset(page, 1, BYTES);
    can = sn_os_thp() != SN_THP_NONE && sn_os_collapse(page);
    asked = true;
    sn_os_release(page, BYTES);
    return can;
}

/* Bytes in huge pages of the mapping of an address. */
static uint64_t
huge_bytes_at(const void *address)
{
    return sn_smaps_read("/proc/self/smaps", (uintptr_t)address, (uintptr_t)address + 1).huge;
}

/* ---- the ground ------------------------------------------------------------------------------ */

/* A plain arena, aligned; all of it but block 0 is one large span up to the region, one in it, and
 * free behind. */
static int
dense_setup(void **state)
{
    struct world *world = world_make(BLOCKS, 8);
    bool zero;
    uint8_t class_id;
    sn_os_release(world->arena, world->arena_bytes);
    world->arena = world->pool.arena = sn_os_reserve_plain(world->arena_bytes, BYTES);
    assert_non_null(world->arena);
    world->pool.plain = true;
    *state = world;
    assert_int_equal(sn_pool_take(&world->pool, FIRST - 1, 1, SN_CHARGE_ALWAYS, &zero, &class_id),
                     1);
    assert_int_equal(
        sn_pool_take(&world->pool, SN_REGION_BLOCKS, PAGES, SN_CHARGE_ALWAYS, &zero, &class_id),
        FIRST);
    sn_span_set_state(&world->pool.spans[1], SN_SPAN_LARGE);
    sn_span_set_state(&world->pool.spans[FIRST], SN_SPAN_LARGE);
    for (size_t i = 0; i < BYTES; i += SN_PAGE_BYTES)
        world->arena[BYTES + i] = (char)(1 + i / SN_PAGE_BYTES % 100);
    return 0;
}
#define DENSE_TEST(function) cmocka_unit_test_setup_teardown(function, dense_setup, world_teardown)

static enum sn_region
region(const struct world *world)
{
    return (enum sn_region)world->pool.spans[FIRST].region;
}

static void
look(struct world *world)
{
    assert_int_equal(sn_dense_look(&world->heap, 0, 100), 0);
}

/* Two looks, and the collapse. The kernel may have no such page for a while, or for longer. */
static void
make_huge(struct world *world)
{
    enum { TRIES = 5 };
    bool made = false;
    if (!can_collapse())
        skip();
    for (unsigned i = 0; i < TRIES && !made; i++) {
        look(world);
        look(world);
        made = sn_dense_collapse(&world->heap);
    }
    if (!made)
        skip();
    assert_int_equal(region(world), SN_REGION_HUGE);
    assert_int_equal(huge_bytes_at(world->arena + BYTES), BYTES);
}

/* Contents from this page of the region on. */
static void
assert_contents(const struct world *world, uint32_t from)
{
    for (uint32_t page = from; page < PAGES; page++)
        assert_int_equal(world->arena[BYTES + (size_t)page * SN_PAGE_BYTES], 1 + page % 100);
}

/* ---- looks ----------------------------------------------------------------------------------- */

static void
test_two_looks(void **state)
{
    struct world *world = *state;
    assert_int_equal(region(world), SN_REGION_PAGES);
    look(world);
    assert_int_equal(region(world), SN_REGION_SEEN);
    assert_true(sn_dense_has_seen(&world->pool));
    assert_false(sn_dense_collapse(&world->heap)); /* none is due */
    look(world);
    assert_int_equal(region(world), SN_REGION_DUE);
    assert_int_equal(world->pool.regions[SN_REGION_SEEN], 0);
    assert_int_equal(world->pool.regions[SN_REGION_DUE], 1);
    world->pool.spans[FIRST + 5].dirty &= (uint16_t)~1;
    look(world); /* a page is lacking */
    assert_int_equal(region(world), SN_REGION_PAGES);
    assert_false(sn_dense_has_seen(&world->pool) || sn_dense_has_due(&world->pool));
    world->pool.spans[FIRST + 5].dirty |= 1;
}

static void
test_looks_go_on(void **state)
{
    struct world *world = *state;
    assert_int_equal(sn_dense_look(&world->heap, 0, 1), FIRST);
    assert_int_equal(region(world), SN_REGION_PAGES);
    assert_int_equal(sn_dense_look(&world->heap, FIRST, 1), 2 * FIRST);
    assert_int_equal(region(world), SN_REGION_SEEN);
    assert_int_equal(sn_dense_look(&world->heap, 2 * FIRST, 1), 0);
}

/* Slots: an eighth of them may be free. Of a free run the blocks' heads say what they were before,
 * and a span that the mover or a purger has is not dense. */
static void
test_what_is_dense(void **state)
{
    struct world *world = *state;
    struct sn_span *span = &world->pool.spans[FIRST];
    const unsigned class_id = sn_class_for(&world->classes, 1000);
    uint32_t slots = world->classes.of[class_id].slots;
    world->pool.class_of[FIRST] = (uint8_t)class_id;
    sn_span_set_state(span, SN_SPAN_OPEN);
    const struct {
        uint32_t free;
        enum sn_span_state state;
        uint32_t blocks;
        bool dense;
    } cases[] = {
        {0, SN_SPAN_OPEN, SN_REGION_BLOCKS, true},
        {slots / 8, SN_SPAN_OPEN, SN_REGION_BLOCKS, true},
        {slots / 8 + 1, SN_SPAN_OPEN, SN_REGION_BLOCKS, false},
        {0, SN_SPAN_CLOSED, SN_REGION_BLOCKS, false},
        {0, SN_SPAN_DETACHED, SN_REGION_BLOCKS, false},
        {0, SN_SPAN_DIRTY, SN_REGION_BLOCKS, false},
        {0, SN_SPAN_PURGING, SN_REGION_BLOCKS, false},
        {0, SN_SPAN_OPEN, 1, false}, /* shorter than it was */
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        span->free = cases[i].free;
        span->blocks = cases[i].blocks;
        sn_span_set_state(span, cases[i].state);
        look(world);
        assert_int_equal(region(world), cases[i].dense ? SN_REGION_SEEN : SN_REGION_PAGES);
        span->free = slots;
        sn_span_set_state(span, SN_SPAN_OPEN);
        look(world);
        assert_int_equal(region(world), SN_REGION_PAGES);
    }
    span->blocks = SN_REGION_BLOCKS;
}

/* ---- there and back -------------------------------------------------------------------------- */

static void
test_becomes_huge(void **state)
{
    struct world *world = *state;
    uint64_t committed = world->budget.committed;
    make_huge(world);
    assert_int_equal(world->budget.committed, committed);
    assert_int_equal(world->pool.regions[SN_REGION_HUGE], 1);
    assert_int_equal(world->pool.collapses, 1);
    assert_contents(world, 0);
    look(world);
    assert_int_equal(region(world), SN_REGION_HUGE); /* once is enough */
    assert_false(sn_dense_has_seen(&world->pool) || sn_dense_has_due(&world->pool));
}

static unsigned madvises;

static int
count_madvises(enum sn_inject_point point)
{
    madvises += point == SN_INJECT_MADVISE;
    return 0;
}

/* Seen failing without the split: one call, and the kernel keeps the memory. */
static void
test_part_is_trimmed(void **state)
{
    struct world *world = *state;
    make_huge(world);
    uint64_t committed = world->budget.committed;
    madvises = 0;
    sn_inject_fn = count_madvises;
    assert_int_equal(sn_pool_trim(&world->pool, FIRST, 0, 1), SN_PAGE_BYTES);
    assert_int_equal(madvises, 2); /* the split, and what was asked for */
    assert_int_equal(sn_pool_trim(&world->pool, FIRST, 1, 2), SN_PAGE_BYTES);
    assert_int_equal(madvises, 3);
    sn_inject_fn = NULL;
    assert_int_equal(world->budget.committed, committed - 2 * SN_PAGE_BYTES);
    assert_int_equal(region(world), SN_REGION_PAGES);
    assert_int_equal(world->pool.regions[SN_REGION_HUGE], 0);
    assert_int_equal(world->pool.collapses_undone, 1);
    assert_int_equal(huge_bytes_at(world->arena + BYTES), 0);
    assert_false(sn_os_is_resident(world->arena + BYTES));
    assert_contents(world, 2);
}

static void
test_whole_is_purged(void **state)
{
    struct world *world = *state;
    uint64_t next;
    make_huge(world);
    sn_pool_put(&world->pool, FIRST, 1);
    assert_int_equal(region(world), SN_REGION_HUGE); /* kept for reuse, as it is */
    madvises = 0;
    sn_inject_fn = count_madvises;
    assert_int_equal(sn_pool_purge(&world->pool, UINT64_MAX, 0, &next), BYTES);
    sn_inject_fn = NULL;
    assert_int_equal(madvises, 1); /* nothing is left of it: no split */
    assert_int_equal(region(world), SN_REGION_PAGES);
    assert_int_equal(huge_bytes_at(world->arena + BYTES), 0);
    assert_false(sn_os_is_resident(world->arena + BYTES));
}

/* A purge of its last blocks and of what is behind. */
static void
test_end_is_purged(void **state)
{
    struct world *world = *state;
    uint64_t next;
    make_huge(world);
    sn_lock(&world->pool.lock);
    sn_pool_cut_locked(&world->pool, FIRST, SN_REGION_BLOCKS - 2, 1);
    sn_unlock(&world->pool.lock);
    madvises = 0;
    sn_inject_fn = count_madvises;
    assert_int_equal(sn_pool_purge(&world->pool, UINT64_MAX, 0, &next), 2 * SN_BLOCK_BYTES);
    sn_inject_fn = NULL;
    assert_int_equal(madvises, 2);
    assert_int_equal(huge_bytes_at(world->arena + BYTES), 0);
    assert_false(sn_os_is_resident(world->arena + 2 * BYTES - SN_PAGE_BYTES));
    assert_int_equal(world->arena[BYTES], 1);
}

/* ---- beside others --------------------------------------------------------------------------- */

static struct {
    struct world *world;
    pthread_t trimmer;
    bool started;
} beside;

static void *
trim_first_page(void *opaque)
{
    struct world *world = opaque;
    sn_pool_trim(&world->pool, FIRST, 0, 1);
    return NULL;
}

/* The collapse is about to begin: a trim of the region comes, and gets some time. It waits, or it
 * would be over by now. */
static void
trim_comes(enum sn_hook_point point, const void *object)
{
    if (point != SN_HOOK_COLLAPSE || beside.started)
        return;
    beside.started = true;
    assert_ptr_equal(object, &beside.world->pool);
    assert_int_equal(pthread_create(&beside.trimmer, NULL, trim_first_page, beside.world), 0);
    for (unsigned i = 0; i < 20; i++)
        nap();
}

/* Seen failing without the wait: the collapse made the page resident again. */
static void
test_trim_beside_a_collapse(void **state)
{
    struct world *world = *state;
    if (!can_collapse())
        skip();
    beside.world = world;
    beside.started = false;
    look(world);
    look(world);
    __atomic_store_n(&sn_hook_fn, trim_comes, __ATOMIC_RELEASE);
    bool made = sn_dense_collapse(&world->heap);
    __atomic_store_n(&sn_hook_fn, NULL, __ATOMIC_RELEASE);
    assert_true(beside.started);
    pthread_join(beside.trimmer, NULL);
    if (!made)
        skip();
    assert_false(sn_os_is_resident(world->arena + BYTES));
    assert_int_equal(region(world), SN_REGION_PAGES);
    assert_int_equal(world->pool.collapses_undone, 1);
    assert_int_equal(world->pool.trimming, 0);
    assert_contents(world, 1);
}

static void
test_no_collapse_beside_a_trim(void **state)
{
    struct world *world = *state;
    look(world);
    look(world);
    world->pool.trimming = 1;
    assert_false(sn_dense_collapse(&world->heap));
    assert_int_equal(region(world), SN_REGION_DUE);
    world->pool.trimming = 0;
    sn_span_set_state(&world->pool.spans[FIRST], SN_SPAN_CLOSED); /* the mover has taken it */
    assert_false(sn_dense_collapse(&world->heap));
    assert_int_equal(region(world), SN_REGION_PAGES);
    assert_int_equal(world->pool.collapses_refused, 0);
}

/* A search far through the arena goes on at the next call. No look is taken here, so the regions
 * behind the first are what they are. Seen failing with all in one piece. */
static void
test_search_in_pieces(void **state)
{
    enum { LOOKS = 256, REGIONS = 2 * LOOKS + 10 };
    (void)state;
    struct world *world = world_make(REGIONS * SN_REGION_BLOCKS, 8);
    struct sn_pool *pool = &world->pool;
    uint32_t high = pool->high;
    sn_store_relaxed(&pool->high, REGIONS * SN_REGION_BLOCKS);
    pool->spans[FIRST].region = SN_REGION_DUE; /* it is not dense */
    pool->regions[SN_REGION_DUE] = 1;
    pool->due_at = 2 * FIRST;
    assert_true(sn_dense_collapse(&world->heap));
    assert_int_equal(pool->due_at, (2 + LOOKS) * SN_REGION_BLOCKS);
    assert_true(sn_dense_collapse(&world->heap));
    assert_int_equal(pool->due_at, (2 + 2 * LOOKS) * SN_REGION_BLOCKS);
    assert_int_equal(pool->regions[SN_REGION_DUE], 1);
    assert_false(sn_dense_collapse(&world->heap));
    assert_int_equal(pool->due_at, 2 * FIRST);
    assert_int_equal(pool->regions[SN_REGION_DUE], 0);
    sn_store_relaxed(&pool->high, high);
    world_free(world);
}

/* ---- refusals -------------------------------------------------------------------------------- */

static void
test_refused(void **state)
{
    struct world *world = *state;
    look(world);
    look(world);
    fail_next(SN_INJECT_MADVISE, 0, 1);
    assert_false(sn_dense_collapse(&world->heap));
    assert_int_equal(fail_none(), 1);
    assert_int_equal(region(world), SN_REGION_PAGES);
    assert_int_equal(world->pool.collapses_refused, 1);
    assert_int_equal(world->pool.collapse_refusals, 1);
    assert_int_equal(world->pool.dense_reason, HANDLE_DENSE_WORKING); /* it may do it later */
    assert_contents(world, 0);
    make_huge(world);
    assert_int_equal(world->pool.collapse_refusals, 0);
}

/* EINVAL for one region, here for a flag of its mapping: the next ones are tried all the same. Seen
 * failing where EINVAL was for ever. */
static void
test_region_refused(void **state)
{
    struct world *world = *state;
    if (!can_collapse())
        skip();
    sn_os_hugepages(world->arena, world->arena_bytes, false);
    for (unsigned i = 1; i <= 2; i++) {
        look(world);
        look(world);
        assert_false(sn_dense_collapse(&world->heap));
        assert_int_equal(region(world), SN_REGION_PAGES);
        assert_int_equal(world->pool.collapses_refused, i);
        assert_int_equal(world->pool.collapse_refusals, i);
        assert_int_equal(world->pool.dense_reason, HANDLE_DENSE_WORKING);
    }
    sn_os_hugepages(world->arena, world->arena_bytes, true);
    make_huge(world);
    assert_int_equal(world->pool.collapse_refusals, 0);
}

/* A process that is to have no huge pages, or a kernel without the call: once, and never again. */
static void
test_refused_for_ever(void **state)
{
    struct world *world = *state;
    (void)can_collapse(); /* asked before */
    if (prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) != 0)
        skip();
    for (unsigned i = 0; i < 2; i++) {
        look(world);
        look(world);
        assert_false(sn_dense_collapse(&world->heap));
        assert_int_equal(world->pool.collapses_refused, 1);
        assert_int_equal(world->pool.dense_reason, HANDLE_DENSE_UNSUPPORTED);
    }
    assert_int_equal(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
}

/* The split is refused: what was asked for goes back all the same. */
static void
test_split_refused(void **state)
{
    struct world *world = *state;
    make_huge(world);
    fail_next(SN_INJECT_MADVISE, 0, 1);
    assert_int_equal(sn_pool_trim(&world->pool, FIRST, 0, 1), SN_PAGE_BYTES);
    assert_int_equal(fail_none(), 1);
    assert_false(sn_os_is_resident(world->arena + BYTES));
    assert_contents(world, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_modes),
        DENSE_TEST(test_two_looks),
        DENSE_TEST(test_looks_go_on),
        DENSE_TEST(test_what_is_dense),
        DENSE_TEST(test_becomes_huge),
        DENSE_TEST(test_part_is_trimmed),
        DENSE_TEST(test_whole_is_purged),
        DENSE_TEST(test_end_is_purged),
        DENSE_TEST(test_trim_beside_a_collapse),
        DENSE_TEST(test_no_collapse_beside_a_trim),
        cmocka_unit_test(test_search_in_pieces),
        DENSE_TEST(test_refused),
        DENSE_TEST(test_region_refused),
        DENSE_TEST(test_refused_for_ever),
        DENSE_TEST(test_split_refused),
    };
    return cmocka_run_group_tests_name("dense", tests, NULL, NULL);
}
