/* SPDX-License-Identifier: MIT */
/* dense.c - see dense.h. */
#include "memory/dense.h"

#include <sinter/handle.h>

#include "base/hooks.h"
#include "os/osmem.h"

_Static_assert(SN_REGION_BLOCKS *SN_BLOCK_BYTES == SN_HUGE_PAGE_BYTES, "a region is a huge page");

#define REGION_PAGES ((uint64_t)SN_REGION_BLOCKS << SN_BLOCK_PAGES_SHIFT)
#define ALL_PAGES    ((uint16_t)((UINT32_C(1) << SN_BLOCK_PAGES) - 1)) /* of a block */

static uint32_t
first_of_region(uint32_t block)
{
    return block & ~(SN_REGION_BLOCKS - 1);
}

static char *
address_of_page(const struct sn_pool *pool, uint64_t page)
{
    return pool->arena + (page << SN_PAGE_SHIFT);
}

static void
set_region_locked(struct sn_pool *pool, uint32_t first, enum sn_region state)
{
    uint8_t *region = &pool->spans[first].region;
    sn_owner_sub(&pool->regions[*region], 1);
    sn_owner_add(&pool->regions[state], 1);
    *region = (uint8_t)state;
}

/* ---- what is dense --------------------------------------------------------------------------- */

/* Whether seven of eight slots of a span in use are taken. A guess: that changes meanwhile. */
static bool
is_full(const struct sn_heap *heap, uint32_t number)
{
    enum { PART = 8 };
    const struct sn_span *span = &heap->pool->spans[number];
    uint8_t state = sn_span_state(span);
    if (state != SN_SPAN_OPEN)
        return state == SN_SPAN_LARGE;
    unsigned class_id = sn_load_relaxed(&heap->pool->class_of[number]);
    return class_id < SN_CLASSES_MAX &&
           sn_load_relaxed(&span->free) <= heap->classes->of[class_id].slots / PART;
}

/* Whether all pages of a block are committed, and it is part of such a span: in a free run the head
 * of a block may be what it was before. */
static bool
is_block_full_locked(const struct sn_heap *heap, uint32_t block)
{
    const struct sn_pool *pool = heap->pool;
    uint32_t head = sn_span_head(&pool->spans[block]);
    return pool->spans[block].dirty == ALL_PAGES && is_full(heap, head) && head <= block &&
           block - head < pool->spans[head].blocks;
}

static bool
is_dense_locked(const struct sn_heap *heap, uint32_t first)
{
    for (uint32_t block = first; block < first + SN_REGION_BLOCKS; block++) {
        if (!is_block_full_locked(heap, block))
            return false;
    }
    return true;
}

static void
look_at_locked(const struct sn_heap *heap, uint32_t first)
{
    struct sn_pool *pool = heap->pool;
    uint8_t state = pool->spans[first].region;
    if (state == SN_REGION_HUGE)
        return;
    bool dense = is_dense_locked(heap, first);
    enum sn_region next = state == SN_REGION_PAGES ? SN_REGION_SEEN : SN_REGION_DUE;
    set_region_locked(pool, first, dense ? next : SN_REGION_PAGES);
}

uint32_t
sn_dense_look(struct sn_heap *heap, uint32_t at, unsigned looks)
{
    struct sn_pool *pool = heap->pool;
    uint32_t first = first_of_region(at);
    for (; looks > 0 && first + SN_REGION_BLOCKS <= sn_load_relaxed(&pool->high); looks--) {
        sn_lock(&pool->lock);
        look_at_locked(heap, first);
        sn_unlock(&pool->lock);
        first += SN_REGION_BLOCKS;
    }
    return looks > 0 ? 0 : first;
}

/* ---- to huge pages --------------------------------------------------------------------------- */

/* The first region that is due and still dense, of so many that are looked at with the lock held;
 * the search goes on where the last has ended. 0: there is none, as block 0 is never used. */
static uint32_t
next_due_locked(const struct sn_heap *heap)
{
    enum { LOOKS = 256 };
    struct sn_pool *pool = heap->pool;
    for (uint32_t left = sn_min(pool->high / SN_REGION_BLOCKS, LOOKS); left > 0; left--) {
        uint32_t first = pool->due_at;
        if (pool->regions[SN_REGION_DUE] == 0)
            return 0;
        pool->due_at = first + 2 * SN_REGION_BLOCKS <= pool->high ? first + SN_REGION_BLOCKS : 0;
        if (pool->spans[first].region != SN_REGION_DUE)
            continue;
        if (is_dense_locked(heap, first))
            return first;
        set_region_locked(pool, first, SN_REGION_PAGES);
    }
    return 0;
}

/* Whether the kernel makes no huge page of a mapping with nothing special about it either. EINVAL
 * of a region may be for what its pages are just then: shared with a child, pinned by a device. */
static bool
is_never_done(void)
{
    char *scratch = sn_os_reserve_plain(SN_HUGE_PAGE_BYTES, SN_HUGE_PAGE_BYTES);
    if (!scratch)
        return false;
    *(volatile char *)scratch = 1;
    bool never = !sn_os_collapse(scratch) && errno == EINVAL;
    sn_os_release(scratch, SN_HUGE_PAGE_BYTES);
    return never;
}

static void
note_refusal_locked(struct sn_pool *pool, bool never)
{
    sn_owner_add(&pool->collapses_refused, 1);
    sn_owner_add(&pool->collapse_refusals, 1);
    if (never)
        sn_store_relaxed(&pool->dense_reason, HANDLE_DENSE_UNSUPPORTED);
}

static void
end_collapse_locked(struct sn_pool *pool, uint32_t first, bool done, bool never)
{
    sn_store_relaxed(&pool->collapsing, 0);
    set_region_locked(pool, first, done ? SN_REGION_HUGE : SN_REGION_PAGES);
    if (done) {
        sn_owner_add(&pool->collapses, 1);
        sn_store_relaxed(&pool->collapse_refusals, 0);
    } else {
        note_refusal_locked(pool, never);
    }
    pthread_cond_broadcast(&pool->purged);
}

/* The kernel is asked what it never does where the first region of all is refused: once. */
static bool
is_first_refused(const struct sn_pool *pool, int error)
{
    return error == EINVAL && sn_load_relaxed(&pool->collapses) == 0 &&
           sn_load_relaxed(&pool->collapses_refused) == 0;
}

bool
sn_dense_collapse(struct sn_heap *heap)
{
    struct sn_pool *pool = heap->pool;
    sn_lock(&pool->lock);
    bool can = pool->trimming == 0 && pool->dense_reason == HANDLE_DENSE_WORKING;
    uint32_t first = can ? next_due_locked(heap) : 0;
    bool goes_on = can && pool->regions[SN_REGION_DUE] > 0;
    sn_store_relaxed(&pool->collapsing, first);
    sn_unlock(&pool->lock);
    if (!first)
        return goes_on;
    sn_hook(SN_HOOK_COLLAPSE, pool);
    bool done = sn_os_collapse(pool->arena + sn_span_offset(first));
    bool never = !done && is_first_refused(pool, errno) && is_never_done();
    sn_lock(&pool->lock);
    end_collapse_locked(pool, first, done, never);
    sn_unlock(&pool->lock);
    return done;
}

/* ---- and back -------------------------------------------------------------------------------- */

/* The huge page of a region ends, of which pages [from, to) are given back. */
static void
end_huge_locked(struct sn_pool *pool, uint32_t first, uint64_t from, uint64_t to,
                struct sn_split *split)
{
    uint64_t begin = (uint64_t)first << SN_BLOCK_PAGES_SHIFT;
    set_region_locked(pool, first, SN_REGION_PAGES);
    sn_owner_add(&pool->collapses_undone, 1);
    if (from > begin || to < begin + REGION_PAGES)
        split->page[split->count++] = address_of_page(pool, sn_max(from, begin));
}

void
sn_dense_begin_locked(struct sn_pool *pool, uint64_t from, uint64_t to, struct sn_split *split)
{
    uint32_t first = first_of_region((uint32_t)(from >> SN_BLOCK_PAGES_SHIFT));
    uint32_t last = first_of_region((uint32_t)((to - 1) >> SN_BLOCK_PAGES_SHIFT));
    split->count = 0;
    while (pool->collapsing && pool->collapsing >= first && pool->collapsing <= last)
        sn_wait(&pool->purged, &pool->lock);
    for (uint32_t region = first; region <= last; region += SN_REGION_BLOCKS) {
        if (pool->spans[region].region == SN_REGION_HUGE)
            end_huge_locked(pool, region, from, to, split);
    }
}

void
sn_dense_split(const struct sn_split *split)
{
    for (unsigned i = 0; i < split->count; i++)
        sn_os_split(split->page[i]);
}
