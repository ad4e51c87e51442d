/* SPDX-License-Identifier: MIT */
/* large.c - see memory/large.h. */
#include "memory/large.h"

#include "base/hooks.h"
#include "os/osmem.h"

#define NONE SN_LARGE_LISTS

/* One at least: what nothing is held of could not be in limbo, whose sum is of bytes. */
static uint32_t
pages_for(const struct sn_large *large, size_t size)
{
    uint64_t bytes = sn_max(size + large->extra, 1);
    return (uint32_t)(sn_round_up(bytes, SN_PAGE_BYTES) >> SN_PAGE_SHIFT);
}

static uint32_t
blocks_for(uint32_t pages)
{
    return (pages + (uint32_t)SN_BLOCK_PAGES - 1) >> SN_BLOCK_PAGES_SHIFT;
}

static size_t
tail_bytes(const struct sn_span *span)
{
    return (size_t)(span->v.large.held - span->free) << SN_PAGE_SHIFT;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static bool
is_excess(unsigned list)
{
    return list == SN_LARGE_EXCESS || list == SN_LARGE_EXCESS_BLOCKS;
}

static void
list_remove_locked(struct sn_large *large, struct sn_span *span)
{
    struct sn_span *spans = large->heap->pool->spans;
    if (span->list == NONE)
        return;
    if (span->next)
        spans[span->next].prev = span->prev;
    if (span->prev)
        spans[span->prev].next = span->next;
    else
        large->list[span->list] = span->next;
    if (is_excess(span->list))
        sn_pool_count_excess_locked(large->heap->pool, sn_span_number(large->heap->pool, span), 0);
    span->list = NONE;
}

static void
list_insert_locked(struct sn_large *large, struct sn_span *span, enum sn_large_list list)
{
    struct sn_span *spans = large->heap->pool->spans;
    uint32_t number = sn_span_number(large->heap->pool, span);
    span->list = (uint8_t)list;
    span->prev = 0;
    span->next = large->list[list];
    if (span->next)
        spans[span->next].prev = number;
    large->list[list] = number;
}

/* Relaxed: an unpin reads the flags without the lock, to look for SN_SPAN_ASIDE, which large spans
 * never have. */
static void
set_flags_locked(struct sn_span *span, unsigned flags)
{
    sn_store_relaxed(&span->flags, (uint16_t)flags);
}

/* Committed pages behind those held: they belong to no object, and wait for a trim. */
static uint32_t
excess_pages(const struct sn_large *large, const struct sn_span *span)
{
    const struct sn_pool *pool = large->heap->pool;
    uint32_t held = span->v.large.held, end = span->blocks * (uint32_t)SN_BLOCK_PAGES;
    return end - held - sn_pool_missing_pages(pool, sn_span_number(pool, span), held, end);
}

static void
list_excess_locked(struct sn_large *large, struct sn_span *span, uint32_t pages)
{
    struct sn_pool *pool = large->heap->pool;
    list_insert_locked(large, span,
                       pages < SN_BLOCK_PAGES ? SN_LARGE_EXCESS : SN_LARGE_EXCESS_BLOCKS);
    sn_pool_count_excess_locked(pool, sn_span_number(pool, span), pages);
}

/* Inserts a span that is in no list: SHRUNK if it has a tail, else by its excess pages. */
static void
list_anew_locked(struct sn_large *large, struct sn_span *span)
{
    uint32_t excess;
    if (span->list != NONE)
        return;
    if (span->free < span->v.large.held)
        list_insert_locked(large, span, SN_LARGE_SHRUNK);
    else if ((excess = excess_pages(large, span)) > 0)
        list_excess_locked(large, span, excess);
}

/*
 * Who works on a span without the lock claims it first, and takes it out of its list: it is not
 * given back meanwhile, nor does its object grow into what is behind the pages held.
 */
static struct sn_span *
claim_first(struct sn_large *large, enum sn_large_list list, uint32_t *held)
{
    struct sn_pool *pool = large->heap->pool;
    struct sn_span *span = NULL;
    sn_lock(&pool->lock);
    if (large->list[list]) {
        span = &pool->spans[large->list[list]];
        list_remove_locked(large, span);
        set_flags_locked(span, span->flags | SN_SPAN_CLAIMED);
        *held = span->v.large.held;
    }
    sn_unlock(&pool->lock);
    return span;
}

/* Ends a claim. True: the span was to be given back meanwhile, the caller does it. */
static bool
end_claim_locked(struct sn_large *large, struct sn_span *span)
{
    pthread_cond_broadcast(&large->unclaimed);
    bool was_put = (span->flags & SN_SPAN_PUT) != 0;
    set_flags_locked(span, span->flags & ~(unsigned)(SN_SPAN_CLAIMED | SN_SPAN_PUT));
    if (was_put)
        sn_span_set_state(span, SN_SPAN_TAKEN); /* from here on its run is the caller's alone */
    return was_put;
}

/* ---- taking and giving back ------------------------------------------------------------------ */

static uint32_t
take_run(struct sn_large *large, uint32_t pages, bool room, bool *zero)
{
    struct sn_pool *pool = large->heap->pool;
    uint32_t blocks = blocks_for(pages);
    uint32_t number = 0;
    if (room && !pool->has_guards && blocks < pool->blocks / 2)
        number = sn_pool_try_take_there(pool, 2 * blocks, pages, zero);
    if (number) {
        sn_store_relaxed(&pool->spans[number].flags, 0);
        return number;
    }
    return sn_heap_take_run(large->heap, blocks, pages, zero);
}

/* Whether it can be that there is a run so long; after that what is added does not wrap. */
static bool
is_within_arena(const struct sn_large *large, size_t size)
{
    const struct sn_pool *pool = large->heap->pool;
    return size <= ((uint64_t)pool->blocks << SN_BLOCK_SHIFT) - large->extra &&
           blocks_for(pages_for(large, size)) < pool->blocks;
}

/* Makes a run that was just taken the span of an object. */
static uint64_t
begin_span(struct sn_large *large, uint32_t number, size_t size, uint32_t reserved)
{
    struct sn_pool *pool = large->heap->pool;
    uint32_t pages = pages_for(large, size);
    struct sn_span *span = &pool->spans[number];
    span->class_id = SN_CLASS_LARGE;
    span->list = NONE;
    sn_store_relaxed(&span->free, pages);
    sn_store_relaxed(&span->reserved, reserved);
    span->v.large.held = span->v.large.floor = pages;
    sn_store_relaxed(&span->large_header, 0); /* a walker may look that saw the last one */
    sn_store_relaxed(&span->u.large_size, size);
    for (uint32_t block = 0; block < span->blocks; block++)
        sn_store_release(&pool->class_of[number + block], SN_CLASS_LARGE);
    sn_pins_set_bins(&large->heap->pins, number, false);
    bool excess = excess_pages(large, span) > 0;
    /* Release: a walker that sees the state also sees the cleared header word. Others may cut room
     * off its run from here on. */
    sn_span_set_state(span, SN_SPAN_LARGE);
    if (sn_unlikely(excess)) {
        sn_lock(&pool->lock);
        list_anew_locked(large, span);
        sn_unlock(&pool->lock);
        sn_heap_note_excess(large->heap);
    }
    return sn_span_offset(number);
}

uint64_t
sn_large_take(struct sn_large *large, size_t size, bool room, bool *zero)
{
    if (!is_within_arena(large, size))
        return 0;
    uint32_t number = take_run(large, pages_for(large, size), room, zero);
    return number ? begin_span(large, number, size, 0) : 0;
}

uint64_t
sn_large_take_capacity(struct sn_large *large, size_t size, size_t capacity, bool *zero)
{
    if (!is_within_arena(large, capacity))
        return 0;
    uint32_t blocks = blocks_for(pages_for(large, capacity)), pages = pages_for(large, size);
    uint32_t number = sn_heap_take_run(large->heap, blocks, pages, zero);
    return number ? begin_span(large, number, size, blocks) : 0;
}

size_t
sn_large_capacity(const struct sn_large *large, uint64_t offset)
{
    const struct sn_span *span = sn_span_at(large->heap->pool, offset);
    uint32_t reserved = sn_load_relaxed(&span->reserved);
    return reserved ? ((size_t)reserved << SN_BLOCK_SHIFT) - large->extra : 0;
}

size_t
sn_large_put(struct sn_large *large, uint64_t offset)
{
    struct sn_pool *pool = large->heap->pool;
    struct sn_span *span = sn_span_at(pool, offset);
    sn_lock(&pool->lock);
    size_t bytes = tail_bytes(span);
    list_remove_locked(large, span);
    span->v.large.held = span->free;
    bool claimed = (span->flags & SN_SPAN_CLAIMED) != 0;
    sn_store_relaxed(&large->ended, large->ended - ((span->flags & SN_SPAN_ENDED) != 0));
    set_flags_locked(span, span->flags | SN_SPAN_PUT);
    if (!claimed)
        (void)end_claim_locked(large, span);
    sn_unlock(&pool->lock);
    if (!claimed)
        sn_heap_put_run(large->heap, sn_span_number(pool, span));
    return bytes;
}

uint64_t
sn_large_coming_bytes(struct sn_large *large)
{
    const struct sn_pool *pool = large->heap->pool;
    uint64_t free = 0, ended = 0;
    if (sn_load_relaxed(&large->ended) == 0)
        return 0;
    sn_lock(&large->heap->pool->lock);
    for (uint32_t number = 1; number < pool->limit; number += pool->spans[number].blocks) {
        const struct sn_span *run = &pool->spans[number];
        uint8_t state = sn_span_state(run);
        if (state == SN_SPAN_LARGE)
            ended += run->flags & SN_SPAN_ENDED ? run->blocks : 0;
        else if (state <= SN_SPAN_PURGING)
            free += run->blocks;
    }
    sn_unlock(&large->heap->pool->lock);
    return ended > 0 ? (free + ended) << SN_BLOCK_SHIFT : 0;
}

uint64_t
sn_large_end(struct sn_large *large, uint64_t offset)
{
    struct sn_pool *pool = large->heap->pool;
    sn_lock(&pool->lock);
    struct sn_span *span = sn_span_at(pool, offset);
    /* Release: as in end_header (object.c). Acquire: the caller reads the size by this header. */
    uint64_t header = sn_swap_acq_rel(&span->large_header, 0);
    sn_store_relaxed(&large->ended, large->ended + !(span->flags & SN_SPAN_ENDED));
    set_flags_locked(span, span->flags | SN_SPAN_ENDED);
    sn_unlock(&pool->lock);
    return header;
}

/* ---- resize ---------------------------------------------------------------------------------- */

/* Makes the first `pages` pages usable, by more pages or blocks if need be, and the run at least
 * `blocks` blocks long. A claimed span cannot grow beyond the pages held. */
static enum sn_resized
grow_locked(struct sn_large *large, struct sn_span *span, uint32_t blocks, uint32_t pages,
            uint64_t *lacks)
{
    if (pages <= span->v.large.held && blocks <= span->blocks)
        return SN_RESIZED;
    if (span->flags & SN_SPAN_CLAIMED)
        return SN_RESIZE_CLAIMED;
    switch (sn_pool_extend_locked(large->heap->pool, sn_span_number(large->heap->pool, span),
                                  blocks, pages, lacks)) {
    case SN_EXTENDED:
        return SN_RESIZED;
    case SN_EXTEND_REFUSED:
        return SN_RESIZE_REFUSED;
    default:
        return SN_RESIZE_NO_ROOM;
    }
}

/* Room that nobody asked for goes, but of a claimed run. */
static void
cut_room_locked(struct sn_large *large, struct sn_span *span)
{
    struct sn_pool *pool = large->heap->pool;
    uint32_t kept = sn_span_kept_blocks(span);
    if (kept < span->blocks && !(span->flags & SN_SPAN_CLAIMED))
        sn_pool_cut_locked(pool, sn_span_number(pool, span), kept, sn_os_now_ns());
    pool->has_rooms |= kept < span->blocks;
}

/* The capacity from now on. An object that grows beyond the one that it had has none. */
static void
set_capacity_locked(struct sn_large *large, struct sn_span *span,
                    const struct sn_large_resize *resize, uint32_t blocks)
{
    if (resize->capacity == 0 && blocks <= span->reserved)
        return;
    sn_store_relaxed(&span->reserved, resize->capacity >= resize->size ? blocks : 0);
    if (resize->capacity > 0)
        cut_room_locked(large, span);
}

static enum sn_resized
resize_locked(struct sn_large *large, struct sn_span *span, struct sn_large_resize *resize)
{
    uint32_t pages = pages_for(large, resize->size);
    uint32_t blocks = blocks_for(pages_for(large, sn_max(resize->size, resize->capacity)));
    if (sn_load_relaxed(&span->large_header) != resize->header)
        return SN_RESIZE_LOST;
    enum sn_resized grown = grow_locked(large, span, blocks, pages, &resize->lacks);
    if (grown != SN_RESIZED)
        return grown;
    size_t tail_before = tail_bytes(span);
    resize->before = span->u.large_size;
    resize->pages = (int64_t)pages - (int64_t)span->free;
    sn_store_relaxed(&span->u.large_size, resize->size);
    sn_store_relaxed(&span->free, pages);
    span->v.large.held = (uint32_t)sn_max(span->v.large.held, pages);
    /* Readers from now on see so many, also if they are cut off again at once. */
    span->v.large.floor = (uint32_t)sn_max(span->v.large.floor, pages);
    resize->tail_bytes = (int64_t)tail_bytes(span) - (int64_t)tail_before;
    /* Release: as in sn_object_set_owner. */
    sn_store_release(&span->large_header, resize->want);
    if (is_excess(span->list))
        list_remove_locked(large, span);
    set_capacity_locked(large, span, resize, blocks);
    if (!(span->flags & SN_SPAN_CLAIMED))
        list_anew_locked(large, span);
    return SN_RESIZED;
}

enum sn_resized
sn_large_resize(struct sn_large *large, struct sn_large_resize *resize)
{
    struct sn_pool *pool = large->heap->pool;
    if (!is_within_arena(large, sn_max(resize->size, resize->capacity)))
        return SN_RESIZE_NO_ROOM;
    sn_lock(&pool->lock);
    enum sn_resized result = resize_locked(large, sn_span_at(pool, resize->offset), resize);
    sn_unlock(&pool->lock);
    return result;
}

void
sn_large_await_claim(struct sn_large *large, uint64_t offset)
{
    struct sn_pool *pool = large->heap->pool;
    const struct sn_span *span = sn_span_at(pool, offset);
    sn_hook(SN_HOOK_AWAIT_CLAIM, large);
    sn_lock(&pool->lock);
    while (sn_span_state(span) == SN_SPAN_LARGE && (span->flags & SN_SPAN_CLAIMED))
        sn_wait(&large->unclaimed, &pool->lock);
    sn_unlock(&pool->lock);
}

/* ---- tails ----------------------------------------------------------------------------------- */

/* Moves all spans of one list to another. False: there were none. */
static bool
move_all_locked(struct sn_large *large, enum sn_large_list from, enum sn_large_list to)
{
    bool any = large->list[from] != 0;
    while (large->list[from]) {
        struct sn_span *span = &large->heap->pool->spans[large->list[from]];
        list_remove_locked(large, span);
        list_insert_locked(large, span, to);
        if (from == SN_LARGE_SHRUNK)
            span->v.large.floor = span->free; /* what is cut off later waits for the next one */
    }
    return any;
}

bool
sn_large_gather(struct sn_large *large)
{
    struct sn_pool *pool = large->heap->pool;
    sn_lock(&pool->lock);
    bool any = move_all_locked(large, SN_LARGE_SHRUNK, SN_LARGE_WAITING);
    sn_unlock(&pool->lock);
    return any;
}

static bool
has_any(struct sn_large *large, const enum sn_large_list *lists, unsigned count)
{
    struct sn_pool *pool = large->heap->pool;
    bool any = false;
    sn_lock(&pool->lock);
    for (unsigned i = 0; i < count; i++)
        any |= large->list[lists[i]] != 0;
    sn_unlock(&pool->lock);
    return any;
}

bool
sn_large_has_tails(struct sn_large *large)
{
    const enum sn_large_list lists[] = {SN_LARGE_SHRUNK, SN_LARGE_PINNED};
    return has_any(large, lists, 2);
}

bool
sn_large_has_work(struct sn_large *large, bool trims)
{
    const enum sn_large_list lists[] = {SN_LARGE_PINNED, SN_LARGE_EXCESS, SN_LARGE_EXCESS_BLOCKS};
    return has_any(large, lists, trims ? 3 : 1);
}

/* After the grace period: no reader sees pages behind `floor` any more. Whole blocks behind them
 * become free, single pages wait for a trim. Result: bytes by which the tail is shorter. */
static size_t
finish_tail_locked(struct sn_large *large, struct sn_span *span, uint64_t now_ns)
{
    struct sn_pool *pool = large->heap->pool;
    size_t before = tail_bytes(span);
    uint32_t seen = (uint32_t)sn_max(span->free, span->v.large.floor);
    span->v.large.held = (uint32_t)sn_min(span->v.large.held, seen);
    uint32_t blocks = sn_span_kept_blocks(span);
    if (blocks < span->blocks && !(span->flags & SN_SPAN_PUT))
        sn_pool_cut_locked(pool, sn_span_number(pool, span), blocks, now_ns);
    return before - tail_bytes(span);
}

/* Ends a claim. Result: bytes that are tail no more. */
static size_t
finish_claimed(struct sn_large *large, struct sn_span *span, bool pinned)
{
    struct sn_pool *pool = large->heap->pool;
    size_t bytes = 0;
    uint64_t now_ns = sn_os_now_ns();
    sn_lock(&pool->lock);
    if (!pinned)
        bytes = finish_tail_locked(large, span, now_ns);
    bool was_put = end_claim_locked(large, span);
    if (!was_put && pinned)
        list_insert_locked(large, span, SN_LARGE_PINNED);
    else if (!was_put)
        list_anew_locked(large, span);
    sn_unlock(&pool->lock);
    if (was_put)
        sn_heap_put_run(large->heap, sn_span_number(pool, span));
    return bytes;
}

size_t
sn_large_finish_tails(struct sn_large *large, bool (*is_pinned)(void *opaque, uint64_t offset),
                      void *opaque)
{
    struct sn_pool *pool = large->heap->pool;
    struct sn_span *span;
    size_t bytes = 0;
    uint32_t held;
    sn_lock(&pool->lock);
    (void)move_all_locked(large, SN_LARGE_PINNED, SN_LARGE_WAITING);
    sn_unlock(&pool->lock);
    while ((span = claim_first(large, SN_LARGE_WAITING, &held)) != NULL) {
        uint64_t offset = sn_span_offset(sn_span_number(pool, span));
        bytes += finish_claimed(large, span, is_pinned(opaque, offset));
    }
    return bytes;
}

/* ---- trim ------------------------------------------------------------------------------------ */

/* Ends a claim. False: the kernel refused some pages, which stay. */
static bool
end_trim(struct sn_large *large, struct sn_span *span)
{
    struct sn_pool *pool = large->heap->pool;
    sn_lock(&pool->lock);
    bool refused = excess_pages(large, span) > 0;
    bool was_put = end_claim_locked(large, span);
    if (!was_put)
        list_anew_locked(large, span);
    sn_unlock(&pool->lock);
    if (was_put)
        sn_heap_put_run(large->heap, sn_span_number(pool, span));
    return !refused;
}

size_t
sn_large_trim(struct sn_large *large, size_t max_bytes, bool pages)
{
    struct sn_pool *pool = large->heap->pool;
    size_t bytes = 0;
    bool trimmed = true;
    while (trimmed && bytes < max_bytes) {
        uint32_t held;
        struct sn_span *span = claim_first(large, SN_LARGE_EXCESS_BLOCKS, &held);
        if (!span && pages)
            span = claim_first(large, SN_LARGE_EXCESS, &held);
        if (!span)
            break;
        sn_hook(SN_HOOK_TRIM, large);
        bytes += sn_pool_trim(pool, sn_span_number(pool, span), held,
                              span->blocks * (uint32_t)SN_BLOCK_PAGES);
        trimmed = end_trim(large, span);
    }
    return bytes;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

void
sn_large_init(struct sn_large *large, struct sn_heap *heap, size_t extra)
{
    large->heap = heap;
    large->extra = extra;
    pthread_cond_init(&large->unclaimed, NULL);
}

void
sn_large_after_fork_child(struct sn_large *large)
{
    pthread_cond_init(&large->unclaimed, NULL);
    struct sn_pool *pool = large->heap->pool;
    for (uint32_t number = 1; number < pool->high; number++) {
        struct sn_span *span = &pool->spans[number];
        if (sn_span_state(span) != SN_SPAN_LARGE || !(span->flags & SN_SPAN_CLAIMED))
            continue;
        if (end_claim_locked(large, span))
            sn_heap_put_run(large->heap, number);
        else
            list_anew_locked(large, span);
    }
}
