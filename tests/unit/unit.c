/* SPDX-License-Identifier: MIT */
/*
 * unit.c - the helpers of unit.h. Not a test by itself. The two soundness walks are written from
 * what the headers promise, and share no code with the library's own check.
 */
#include "unit.h"

/* ---- faults ---------------------------------------------------------------------------------- */

static struct {
    enum sn_inject_point point;
    unsigned after, times, failed;
} plan;

static int
fault(enum sn_inject_point point)
{
    if (point != __atomic_load_n(&plan.point, __ATOMIC_ACQUIRE))
        return 0;
    if (plan.after > 0) {
        plan.after--;
        return 0;
    }
    if (plan.times == 0)
        return 0;
    plan.times--;
    plan.failed++;
    return 1;
}

void
fail_next(enum sn_inject_point point, unsigned after, unsigned times)
{
    plan.after = after;
    plan.times = times;
    plan.failed = 0;
    /* Release: a thread of the library that finds its point there finds the rest, too. */
    __atomic_store_n(&plan.point, point, __ATOMIC_RELEASE);
    __atomic_store_n(&sn_inject_fn, fault, __ATOMIC_RELEASE);
}

unsigned
fail_none(void)
{
    __atomic_store_n(&sn_inject_fn, NULL, __ATOMIC_RELEASE);
    return plan.failed;
}

/* ---- the world ------------------------------------------------------------------------------- */

static void
nobody_wakes(struct sn_heap *heap)
{
    (void)heap;
}

struct world *
world_make(uint32_t blocks, uint32_t alignment)
{
    struct world *world = calloc(1, sizeof(*world));
    assert_non_null(world);
    world->arena_bytes = (size_t)blocks << SN_BLOCK_SHIFT;
    size_t below = sn_pool_spans_bytes(blocks) + sn_pool_groups_bytes(blocks);
    world->metadata_bytes = below + sn_pool_classes_bytes(blocks);
    world->arena = sn_os_reserve(world->arena_bytes, SN_BLOCK_BYTES);
    world->metadata = sn_os_reserve(world->metadata_bytes, SN_PAGE_BYTES);
    assert_non_null(world->arena);
    assert_non_null(world->metadata);
    world->pins_bytes = sn_pins_bytes(world->arena_bytes);
    world->pins = sn_os_reserve(world->pins_bytes, SN_PAGE_BYTES);
    assert_non_null(world->pins);
    sn_classes_init(&world->classes, alignment, 0);
    sn_pool_init(&world->pool, world->arena, blocks, blocks, world->metadata,
                 world->metadata + below, &world->budget);
    sn_heap_init(&world->heap, &world->pool, &world->classes);
    sn_pins_init(&world->heap.pins, &world->pool, world->pins, world->pins_bytes);
    sn_large_init(&world->large, &world->heap, 0);
    world->heap.freed = nobody_wakes;
    world->heap.excess = nobody_wakes;
    return world;
}

static void
drop_indexes(struct sn_caches *caches, uint64_t *indexes, uint32_t count)
{
    (void)caches;
    (void)indexes;
    (void)count;
}

static void
nobody_reclaims(struct sn_caches *caches, bool urgent)
{
    (void)caches;
    (void)urgent;
}

void
world_add_caches(struct world *world)
{
    world->caches.put_indexes = drop_indexes;
    world->caches.retired = nobody_reclaims;
    world->caches.thread_bytes_max = UINT64_MAX / 4;
    world->caches.total_bytes_max = UINT64_MAX / 4;
    sn_caches_init(&world->caches, &world->heap, world, false);
    world->has_caches = true;
}

void
world_free(struct world *world)
{
    if (world->has_caches)
        sn_caches_destroy(&world->caches);
    sn_os_release(world->pins, world->pins_bytes);
    sn_os_release(world->arena, world->arena_bytes);
    sn_os_release(world->metadata, world->metadata_bytes);
    free(world);
}

int
world_setup(void **state)
{
    *state = world_make((uint32_t)(uintptr_t)*state, 8);
    return 0;
}

int
world_teardown(void **state)
{
    fail_none();
    world_free(*state);
    return 0;
}

uint64_t *
world_header(const struct world *world, uint64_t slot)
{
    return (uint64_t *)(void *)(world->arena + slot - SN_HEADER_BYTES);
}

/* ---- soundness of the pool ------------------------------------------------------------------- */

static bool
is_free_state(uint8_t state)
{
    return state == SN_SPAN_CLEAN || state == SN_SPAN_DIRTY;
}

/* How often a run stands in a subtree, whose nodes agree in the bits above. */
static unsigned
count_in_tree(const struct sn_pool *pool, uint32_t root, uint32_t first, unsigned level,
              uint32_t prefix)
{
    unsigned found = 0;
    if (!root)
        return 0;
    const struct sn_span *node = &pool->spans[root];
    assert_true(level <= SN_RUNS_BITS && node->prev == 0);
    assert_int_equal((uint64_t)node->blocks >> (SN_RUNS_BITS - level), prefix);
    for (uint32_t at = root; at; at = pool->spans[at].next) {
        assert_int_equal(pool->spans[at].blocks, node->blocks);
        found += at == first;
    }
    for (unsigned side = 0; side < 2; side++)
        found += count_in_tree(pool, node->child[side], first, level + 1, prefix * 2 + side);
    return found;
}

/* How often a free run stands in the lists of its state, and whether their bits say so. */
static unsigned
count_in_runs(const struct sn_pool *pool, uint32_t first)
{
    const struct sn_runs *runs = &pool->runs[pool->spans[first].state == SN_SPAN_DIRTY];
    unsigned found = count_in_tree(pool, runs->root, first, 0, 0);
    for (unsigned list = 0; list < SN_RUNS_LISTS; list++) {
        assert_int_equal(runs->list[list] != 0, runs->used >> list & 1);
        for (uint32_t at = runs->list[list]; at; at = pool->spans[at].next) {
            assert_int_equal(pool->spans[at].blocks, list + 1);
            found += at == first;
        }
    }
    return found;
}

static unsigned
count_in_ages(const struct sn_pool *pool, uint32_t first)
{
    unsigned found = 0;
    uint32_t before = 0;
    for (uint32_t at = pool->oldest; at; at = pool->spans[at].v.age.next) {
        assert_int_equal(pool->spans[at].v.age.prev, before);
        found += at == first;
        before = at;
    }
    assert_int_equal(pool->youngest, before);
    return found;
}

static uint64_t
assert_free_run(const struct world *world, uint32_t first)
{
    const struct sn_pool *pool = &world->pool;
    const struct sn_span *run = &pool->spans[first];
    uint64_t bytes = 0;
    assert_int_equal(count_in_runs(pool, first), 1);
    assert_int_equal(count_in_ages(pool, first), run->state == SN_SPAN_DIRTY);
    assert_int_equal(pool->spans[first + run->blocks - 1].head, first);
    for (uint32_t i = 0; i < run->blocks; i++) {
        if (first + i < pool->high)
            assert_int_equal(pool->class_of[first + i], SN_CLASS_NONE);
        bytes += (uint64_t)sn_block_dirty_pages(&pool->spans[first + i]) << SN_PAGE_SHIFT;
    }
    if (run->state == SN_SPAN_CLEAN)
        assert_int_equal(bytes, 0);
    return bytes;
}

static uint64_t
assert_run_in_use(const struct world *world, uint32_t first)
{
    const struct sn_pool *pool = &world->pool;
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < pool->spans[first].blocks; i++) {
        assert_int_equal(pool->spans[first + i].head, first);
        assert_in_range(sn_block_dirty_pages(&pool->spans[first + i]), 0, SN_BLOCK_PAGES);
        bytes += (uint64_t)sn_block_dirty_pages(&pool->spans[first + i]) << SN_PAGE_SHIFT;
    }
    return bytes;
}

void
assert_pool_sound(const struct world *world)
{
    const struct sn_pool *pool = &world->pool;
    uint64_t empty = 0, used = 0;
    uint8_t before = SN_SPAN_NONE;
    uint32_t at = 1;
    while (at < pool->blocks) {
        const struct sn_span *run = &pool->spans[at];
        assert_in_range(run->blocks, 1, pool->blocks - at);
        assert_int_not_equal(run->state, SN_SPAN_NONE);
        if (is_free_state(run->state)) {
            assert_int_not_equal(run->state, before); /* neighbours of one state are merged */
            empty += assert_free_run(world, at);
        } else {
            used += assert_run_in_use(world, at);
        }
        before = run->state;
        at += run->blocks;
    }
    assert_int_equal(at, pool->blocks);
    assert_int_equal(empty, pool->empty_bytes);
    assert_int_equal(empty + used, pool->arena_committed);
}

/* ---- soundness of a class -------------------------------------------------------------------- */

/* What is in use is committed, and the count of pages says what the bits do. */
static void
assert_pages_sound(const struct world *world, const struct sn_class *c, uint32_t number)
{
    const struct sn_pool *pool = &world->pool;
    assert_int_equal(pool->spans[number].pages + sn_pool_missing_pages(pool, number, 0, c->pages),
                     c->pages);
    for (uint32_t slot = 0; slot < c->slots; slot++) {
        uint32_t at = c->lead + slot * c->slot_bytes;
        uint32_t end = ((at + c->slot_bytes - 1) >> SN_PAGE_SHIFT) + 1;
        if (*sn_span_bits(pool, number, slot / 64) >> (slot % 64) & 1)
            assert_int_equal(sn_pool_missing_pages(pool, number, at >> SN_PAGE_SHIFT, end), 0);
    }
}

static uint32_t
assert_span_sound(const struct world *world, const struct sn_class *c, uint32_t number)
{
    const struct sn_span *span = &world->pool.spans[number];
    uint32_t used = 0;
    bool free_seen = false;
    for (uint32_t slot = 0; slot < c->slots; slot++) {
        bool taken = *sn_span_bits(&world->pool, number, slot / 64) >> (slot % 64) & 1;
        used += taken;
        if (taken)
            continue;
        assert_true(sn_header_is_clear(*world_header(world, sn_slot_offset(c, number, slot))));
        if (!free_seen)
            assert_true(slot / 64 >= span->hint);
        free_seen = true;
    }
    assert_int_equal(span->free, c->slots - used);
    assert_pages_sound(world, c, number);
    if (span->state == SN_SPAN_OPEN) {
        assert_true(used > 0); /* an empty one is the pool's */
        assert_int_equal(span->list, used * SN_FULL / c->slots);
    }
    return used;
}

static void
assert_lists_sound(const struct world *world, unsigned class_id, const uint32_t open[SN_SPAN_LISTS])
{
    const struct sn_heap_class *hc = &world->heap.of[class_id];
    for (unsigned lists = 0; lists < SN_SPAN_LISTS; lists++) {
        uint32_t listed = 0;
        for (unsigned list = 0; list < SN_OCCUPANCIES; list++) {
            uint32_t length = 0, last = 0, first = hc->list[lists][list];
            for (uint32_t at = first; at; at = world->pool.spans[at].next) {
                assert_int_equal(world->pool.spans[at].state, SN_SPAN_OPEN);
                assert_int_equal(world->pool.spans[at].list, list);
                assert_true(at == first || world->pool.spans[at].prev == last);
                last = at;
                length++;
            }
            assert_true(first == 0 || world->pool.spans[first].prev == last);
            assert_int_equal(length, hc->spans_in[lists][list]);
            listed += length;
        }
        assert_int_equal(listed, open[lists]);
    }
}

void
assert_class_sound(const struct world *world, unsigned class_id)
{
    const struct sn_class *c = &world->classes.of[class_id];
    const struct sn_heap_class *hc = &world->heap.of[class_id];
    uint32_t spans[2] = {0, 0}, open[SN_SPAN_LISTS] = {0, 0, 0}, aside = 0;
    uint64_t used[2] = {0, 0}, pages[2] = {0, 0};
    for (uint32_t at = 1; at < world->pool.blocks; at += world->pool.spans[at].blocks) {
        const struct sn_span *span = &world->pool.spans[at];
        if (world->pool.class_of[at] != class_id || is_free_state(span->state))
            continue;
        unsigned kind = span->flags & SN_SPAN_UNMOVABLE ? SN_UNMOVABLE : SN_MOVABLE;
        bool is_aside = (span->flags & SN_SPAN_ASIDE) != 0;
        spans[kind]++;
        aside += is_aside;
        open[is_aside ? SN_ASIDE : kind] += span->state == SN_SPAN_OPEN;
        used[kind] += assert_span_sound(world, c, at);
        pages[kind] += span->pages;
    }
    for (unsigned kind = 0; kind < 2; kind++) {
        assert_int_equal(hc->spans[kind], spans[kind]);
        bool keeps = kind == SN_MOVABLE && hc->kept != 0;
        assert_int_equal(hc->used[kind] + keeps, used[kind]);
        assert_int_equal(hc->pages[kind], pages[kind]);
    }
    assert_int_equal(hc->aside, aside);
    assert_lists_sound(world, class_id, open);
}
