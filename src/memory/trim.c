/* SPDX-License-Identifier: MIT */
/* trim.c - see trim.h. */
#include "memory/trim.h"
#include "base/hooks.h"

/* Where no more than this is lacking, any free is a reason to look again: see note_squeeze. */
#define SQUEEZE_ALWAYS_BYTES (UINT64_C(4) * SN_BLOCK_BYTES)

static bool
slot_is_free(const uint64_t *bits, uint32_t slot)
{
    return (bits[slot / 64] >> (slot % 64) & 1) == 0;
}

/* The header of a free slot that begins in front of the pages that go back, and reaches into them,
 * stays: it is cleared, so that it does not describe contents that are gone. */
static void
clear_cut_header(struct sn_pool *pool, uint32_t number, const struct sn_class *c, uint32_t page)
{
    uint32_t at = page << SN_PAGE_SHIFT;
    if (at <= c->lead)
        return;
    uint32_t slot = (at - c->lead) / c->slot_bytes;
    uint32_t header = c->lead + slot * c->slot_bytes;
    /* Release: whoever reads the rest as zero finds the header clear. */
    if (slot < c->slots && header < at &&
        sn_pool_page_is_committed(pool, number, header >> SN_PAGE_SHIFT))
        sn_store_release((uint64_t *)(void *)(pool->arena + sn_span_offset(number) + header), 0);
}

/* Pages [from, to) of a span, which lie under free slots alone: block by block, as the kernel may
 * take one and refuse another. *refused: it has not taken them all. */
static size_t
trim_pages(struct sn_heap *heap, uint32_t number, uint32_t from, uint32_t to, bool *refused)
{
    struct sn_pool *pool = heap->pool;
    const struct sn_class *c = sn_heap_class_of_span(heap, &pool->spans[number]);
    size_t bytes = 0;
    for (uint32_t at = from, end; at < to; at = end) {
        end = (uint32_t)sn_min(to, ((at >> SN_BLOCK_PAGES_SHIFT) + 1) << SN_BLOCK_PAGES_SHIFT);
        clear_cut_header(pool, number, c, at);
        bytes += sn_pool_trim(pool, number, at, end);
    }
    *refused |= sn_pool_missing_pages(pool, number, from, to) < to - from;
    return bytes;
}

/* Pages that lie wholly under slots [begin, end) of a span. */
static size_t
trim_slots(struct sn_heap *heap, uint32_t number, uint32_t begin, uint32_t end, bool *refused)
{
    struct sn_pool *pool = heap->pool;
    const struct sn_class *c = sn_heap_class_of_span(heap, &pool->spans[number]);
    uint64_t from = begin == 0 ? 0 : c->lead + (uint64_t)begin * c->slot_bytes;
    uint64_t to = c->lead + (uint64_t)end * c->slot_bytes;
    if (end == c->slots)
        to = (uint64_t)c->pages << SN_PAGE_SHIFT; /* nothing lives in the tail */
    uint32_t first_page = (uint32_t)((from + SN_PAGE_BYTES - 1) >> SN_PAGE_SHIFT);
    uint32_t end_page = (uint32_t)(to >> SN_PAGE_SHIFT);
    if (first_page >= end_page ||
        sn_pool_missing_pages(pool, number, first_page, end_page) == end_page - first_page)
        return 0;
    return trim_pages(heap, number, first_page, end_page, refused);
}

/* Gives the committed pages behind the last slot of a detached span back. Result: bytes. */
static size_t
trim_behind(struct sn_heap *heap, uint32_t number)
{
    struct sn_pool *pool = heap->pool;
    const struct sn_class *c = sn_heap_class_of_span(heap, &pool->spans[number]);
    return sn_pool_trim(pool, number, c->pages, c->blocks * (uint32_t)SN_BLOCK_PAGES);
}

size_t
sn_heap_trim_excess(struct sn_heap *heap, size_t max_bytes)
{
    struct sn_pool *pool = heap->pool;
    size_t bytes = 0;
    bool refused = false;
    for (uint32_t number; bytes < max_bytes && !refused;) {
        number = sn_pool_next_excess(pool);
        if (!number)
            break;
        /* Not OPEN: the mover or a walk has it. The pages stay committed until the run is taken
         * again. */
        if (!sn_heap_detach_excess(heap, number))
            continue;
        size_t released = trim_behind(heap, number);
        refused = released == 0;
        bytes += released;
        sn_heap_reopen(heap, number, refused ? SN_SPAN_EXCESS : 0, 0);
    }
    return bytes;
}

static size_t
trim(struct sn_heap *heap, uint32_t number, bool quiet)
{
    uint64_t bits[SN_BITMAP_WORDS];
    /* Detached: no refill takes what is being given back. */
    if (!sn_heap_detach_loose(heap, number, quiet, bits))
        return 0;
    sn_hook(SN_HOOK_TRIM, heap);
    const struct sn_class *c = sn_heap_class_of_span(heap, &heap->pool->spans[number]);
    sn_pool_unlist_excess(heap->pool, number);
    size_t bytes = trim_behind(heap, number);
    uint32_t end = c->blocks * (uint32_t)SN_BLOCK_PAGES;
    bool refused = sn_pool_missing_pages(heap->pool, number, c->pages, end) < end - c->pages;
    for (uint32_t slot = 0; slot < c->slots;) {
        uint32_t begin = slot;
        while (slot < c->slots && slot_is_free(bits, slot))
            slot++;
        if (slot > begin)
            bytes += trim_slots(heap, number, begin, slot, &refused);
        else
            slot++;
    }
    if (refused)
        sn_heap_note_refused(heap, number);
    sn_heap_reopen(heap, number, 0, 0);
    return bytes;
}

size_t
sn_heap_trim(struct sn_heap *heap, uint32_t number)
{
    return trim(heap, number, false);
}

size_t
sn_heap_trim_quiet(struct sn_heap *heap, uint32_t number)
{
    return trim(heap, number, true);
}

/* Trims the span that begins at block `number`, if there is one and it is loose. Result: how many
 * blocks further on the next look is. */
static uint32_t
squeeze_one(struct sn_heap *heap, uint32_t number, uint32_t *trims, size_t *released)
{
    const struct sn_pool *pool = heap->pool;
    const struct sn_span *span = &pool->spans[number];
    unsigned class_id = sn_load_relaxed(&pool->class_of[number]);
    if (class_id >= SN_CLASSES_MAX || sn_span_state(span) != SN_SPAN_OPEN)
        return 1;
    if (sn_span_is_loose(&heap->classes->of[class_id], span)) {
        ++*trims;
        *released += sn_heap_trim(heap, number);
    }
    return heap->classes->of[class_id].blocks;
}

/* Once squeezes in a row have looked at all spans and gained nothing, none looks again until more
 * was freed: anything; or, where a lowered limit makes requests lack much, a 64th of that, since a
 * look at all spans costs as much as the store is large. */
static void
note_squeeze(struct sn_heap *heap, uint64_t freed, uint64_t bytes, uint32_t seen, bool in_vain)
{
    uint32_t all = in_vain ? sn_load_relaxed(&heap->squeeze_seen) + seen : 0;
    if (all >= sn_load_relaxed(&heap->pool->high)) {
        uint64_t share = sn_min(bytes, sn_load_relaxed(&heap->pool->arena_committed)) / 64;
        uint64_t patience = bytes > SQUEEZE_ALWAYS_BYTES ? sn_max(share, 1) : 1;
        sn_store_relaxed(&heap->squeeze_due, freed + patience);
        all = 0;
    }
    sn_store_relaxed(&heap->squeeze_seen, all);
}

size_t
sn_heap_squeeze(struct sn_heap *heap, uint64_t bytes)
{
    enum { LOOKS = 1024, TRIMS = 32 }; /* descriptors looked at and spans detached, at most */
    uint32_t high = sn_load_relaxed(&heap->pool->high), trims = 0, seen = 0;
    uint32_t at = sn_load_relaxed(&heap->squeeze_at);
    uint64_t freed = sn_load_relaxed(&heap->freed_bytes);
    size_t released = 0;
    if (freed < sn_load_relaxed(&heap->squeeze_due))
        return 0;
    for (uint32_t looks = 0; looks < LOOKS && seen < high && trims < TRIMS && released < bytes;
         looks++) {
        at = at > 0 && at < high ? at : 1;
        uint32_t step = squeeze_one(heap, at, &trims, &released);
        at += step;
        seen += step;
    }
    sn_store_relaxed(&heap->squeeze_at, at);
    note_squeeze(heap, freed, bytes, seen, released == 0);
    return released;
}

bool
sn_heap_make_room(struct sn_heap *heap, uint64_t bytes)
{
    if (sn_pool_make_room(heap->pool, bytes))
        return true;
    /* UINT64_MAX: not the limit refused, no run was long enough; pages would not help. */
    return bytes != UINT64_MAX && sn_heap_squeeze(heap, bytes) > 0;
}
