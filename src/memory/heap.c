/* SPDX-License-Identifier: MIT */
/* heap.c - see heap.h. */
#include "memory/heap.h"

#include <string.h>

#include "base/probes.h"
#include "memory/guard.h"
#include "memory/trim.h"
#include "os/osmem.h"

/* ---- occupancy lists ------------------------------------------------------------------------- */

static unsigned
occupancy(const struct sn_class *c, uint32_t free)
{
    return (c->slots - free) * SN_FULL / c->slots;
}

static unsigned
occupancy_of(const struct sn_class *c, const struct sn_span *span)
{
    return occupancy(c, span->free);
}

static enum sn_kind
kind_of(const struct sn_span *span)
{
    return span->flags & SN_SPAN_UNMOVABLE ? SN_UNMOVABLE : SN_MOVABLE;
}

/* Relaxed: whoever owns a slot of the span reads UNMOVABLE without the lock; that flag does not
 * change while the span has objects. */
static void
set_flags_locked(struct sn_span *span, unsigned flags)
{
    sn_store_relaxed(&span->flags, (uint16_t)flags);
}

/* Which of the SN_SPAN_LISTS kinds of lists holds the span when it is OPEN. */
static unsigned
lists_of(const struct sn_span *span)
{
    return span->flags & SN_SPAN_ASIDE ? SN_ASIDE : (unsigned)kind_of(span);
}

/* Inserts at the list's head; at its tail a span that the mover has tried in vain, since the mover
 * looks at the first few only. A span that a walk has passed goes to the tail, too, so that each
 * side of the walk is found at one of the ends. */
static void
list_insert_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    struct sn_span *spans = heap->pool->spans;
    uint32_t number = sn_span_number(heap->pool, span);
    unsigned list = occupancy_of(sn_heap_class_of_span(heap, span), span);
    uint32_t *head = &hc->list[lists_of(span)][list];
    uint32_t first = *head, last = first ? spans[first].prev : number;
    bool last_one = (span->flags & SN_SPAN_TRIED) || sn_heap_side(heap, number) == SN_BEHIND;
    bool behind = first && last_one;
    span->list = (uint8_t)list;
    span->next = behind ? 0 : first;
    span->prev = last;
    if (first)
        spans[first].prev = number;
    if (behind)
        spans[last].next = number;
    else
        *head = number;
    sn_owner_add(&hc->spans_in[lists_of(span)][list], 1);
}

static void
list_remove_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    struct sn_span *spans = heap->pool->spans;
    uint32_t *head = &hc->list[lists_of(span)][span->list];
    if (*head == sn_span_number(heap->pool, span))
        *head = span->next;
    else
        spans[span->prev].next = span->next;
    if (span->next)
        spans[span->next].prev = span->prev;
    else if (*head)
        spans[*head].prev = span->prev;
    sn_owner_sub(&hc->spans_in[lists_of(span)][span->list], 1);
}

/* The number of free slots has changed: into the list of the occupancy that it has now. */
static void
relist_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    if (occupancy_of(sn_heap_class_of_span(heap, span), span) == span->list)
        return;
    list_remove_locked(heap, hc, span);
    list_insert_locked(heap, hc, span);
}

/* ---- spans ----------------------------------------------------------------------------------- */

/* Prefetches what taking slots or giving them back reads of a span, the descriptor and the first
 * line of the bitmap at once: the code finds the second by the first. A hint only: the number may
 * be of no span, or of a block inside of one. */
SN_FORCE_INLINE void
prefetch_span(const struct sn_pool *pool, uint32_t number)
{
    __builtin_prefetch(&pool->spans[number], 1);
    __builtin_prefetch(sn_span_bits(pool, number, 0), 1);
}

/*
 * Slots freed in a span may go to a thread's cache while it is OPEN, holds movable objects, and
 * nothing in it is pinned: a cache mixes no kinds, and a free must look for pins (G5). Of hardened
 * stores those of small objects only.
 */
static void
set_bins_locked(struct sn_heap *heap, const struct sn_span *span)
{
    bool small = sn_heap_class_of_span(heap, span)->payload <= SN_SMALL_MAX_BYTES;
    bool fast = small || !heap->pool->has_guards;
    bool bins = fast && sn_span_state(span) == SN_SPAN_OPEN && kind_of(span) == SN_MOVABLE;
    sn_pins_set_bins(&heap->pins, sn_span_number(heap->pool, span), bins);
}

/* No slot is in use. */
static void
format_bits(struct sn_pool *pool, uint32_t number, const struct sn_class *c)
{
    uint32_t words = (c->slots + 63) / 64;
    for (uint32_t word = 0; word < words; word++)
        *sn_span_bits(pool, number, word) = 0;
    if (c->slots % 64 != 0) /* slots that do not exist are never free */
        *sn_span_bits(pool, number, words - 1) = ~UINT64_C(0) << (c->slots % 64);
}

/* Clears the header words of all slots: the run had other contents. Pages that are not committed
 * read as zero. */
static void
clear_headers(struct sn_pool *pool, uint32_t number, const struct sn_class *c)
{
    for (uint32_t slot = 0; slot < c->slots; slot++) {
        uint32_t at = c->lead + slot * c->slot_bytes;
        if (sn_pool_page_is_committed(pool, number, at >> SN_PAGE_SHIFT))
            sn_store_relaxed((uint64_t *)(void *)(pool->arena + sn_span_offset(number) + at), 0);
    }
}

static void
format_span(struct sn_heap *heap, uint32_t number, unsigned class_id, bool clear)
{
    struct sn_pool *pool = heap->pool;
    const struct sn_class *c = &heap->classes->of[class_id];
    struct sn_span *span = &pool->spans[number];
    format_bits(pool, number, c);
    for (uint32_t block = 0; block < span->blocks; block++)
        sn_store_release(&pool->class_of[number + block], (uint8_t)class_id);
    if (clear)
        clear_headers(pool, number, c);
    span->class_id = (uint8_t)class_id;
    sn_store_relaxed(&span->free, c->slots);
    span->hint = 0;
    uint32_t missing = sn_pool_missing_pages(pool, number, 0, c->pages);
    sn_store_relaxed(&span->pages, (uint16_t)(c->pages - missing));
    span->v.use.pass = 0;
}

/* c: the class whose slots it is for, lacks as of sn_pool_try_take; or NULL, then room is made. */
static uint32_t
take_blocks(struct sn_pool *pool, uint32_t blocks, uint32_t pages, const struct sn_class *c,
            enum sn_charge who, bool *zero, uint8_t *old_class, uint64_t *lacks)
{
    uint32_t number = c ? sn_pool_try_take_slots(pool, blocks, c, who, zero, old_class, lacks)
                        : sn_pool_take(pool, blocks, pages, who, zero, old_class);
    if (!number)
        return 0;
    set_flags_locked(&pool->spans[number], 0);
    sn_probe(3, span_new, pool->label, number, blocks);
    return number;
}

/* A run of blocks for a span that touches its first `pages` pages; with a guard behind them, where
 * there are such, and room for it. c, lacks: as above. */
static uint32_t
take_run(struct sn_pool *pool, uint32_t blocks, uint32_t pages, const struct sn_class *c,
         enum sn_charge who, bool *zero, uint8_t *old_class, uint64_t *lacks)
{
    bool guarded;
    uint32_t wanted = sn_guard_blocks(pool, blocks, pages, c == NULL, &guarded);
    uint32_t number = take_blocks(pool, wanted, pages, c, who, zero, old_class, lacks);
    if (number && guarded)
        sn_guard_raise(pool, number, pages);
    else if (guarded)
        sn_guard_cancel(pool);
    if (!number && wanted > blocks)
        number = take_blocks(pool, blocks, pages, c, who, zero, old_class, lacks);
    return number;
}

uint32_t
sn_heap_take_run(struct sn_heap *heap, uint32_t blocks, uint32_t pages, bool *zero)
{
    uint8_t old_class;
    return take_run(heap->pool, blocks, pages, NULL, SN_CHARGE_APPLICATION, zero, &old_class, NULL);
}

void
sn_heap_put_run(struct sn_heap *heap, uint32_t number)
{
    struct sn_pool *pool = heap->pool;
    if (sn_likely(sn_guard_lower(pool, number)))
        sn_pool_put(pool, number, sn_os_now_ns());
    else
        sn_pool_abandon(pool, number);
}

void
sn_heap_note_excess(struct sn_heap *heap)
{
    if (sn_pool_has_much_excess(heap->pool))
        heap->excess(heap);
}

/* The run may come with committed pages behind the last slot: lists the span, so that a trim gives
 * them back. Result: SN_SPAN_EXCESS, or 0. */
static unsigned
note_excess(struct sn_heap *heap, uint32_t number, const struct sn_class *c)
{
    uint32_t end = c->blocks * (uint32_t)SN_BLOCK_PAGES; /* a guard's block is behind that */
    uint32_t pages = end - c->pages - sn_pool_missing_pages(heap->pool, number, c->pages, end);
    if (pages == 0)
        return 0;
    sn_pool_list_excess(heap->pool, number, pages);
    sn_heap_note_excess(heap);
    return SN_SPAN_EXCESS;
}

static struct sn_span *
new_span_locked(struct sn_heap *heap, struct sn_heap_class *hc, unsigned class_id,
                enum sn_kind kind, enum sn_charge who, uint64_t *lacks)
{
    sn_assert_locked(&hc->lock);
    const struct sn_class *c = &heap->classes->of[class_id];
    bool zero;
    uint8_t old_class;
    uint32_t number = take_run(heap->pool, c->blocks, c->pages, c, who, &zero, &old_class, lacks);
    if (!number)
        return NULL;
    format_span(heap, number, class_id, !zero && old_class != class_id);
    struct sn_span *span = &heap->pool->spans[number];
    unsigned flags = (kind == SN_UNMOVABLE ? SN_SPAN_UNMOVABLE : 0u) | note_excess(heap, number, c);
    set_flags_locked(span, span->flags | flags);
    sn_span_set_state(span, SN_SPAN_OPEN);
    set_bins_locked(heap, span);
    sn_owner_add(&hc->spans[kind], 1);
    sn_owner_add(&hc->pages[kind], span->pages);
    list_insert_locked(heap, hc, span);
    return span;
}

/* Pages committed for the mover's destinations are subtracted from what it has gained. */
static void
count_pages_taken(struct sn_heap *heap, enum sn_charge who, uint32_t pages)
{
    if (who == SN_CHARGE_MOVER)
        sn_owner_add(&heap->moved_into, (uint64_t)pages << SN_PAGE_SHIFT);
}

/* An empty span leaves its class, and goes to the pool. It was removed from its list before. */
static void
release_span_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    sn_owner_sub(&hc->spans[kind_of(span)], 1);
    sn_owner_sub(&hc->pages[kind_of(span)], span->pages);
    if (span->flags & SN_SPAN_ASIDE)
        sn_owner_sub(&hc->aside, 1);
    set_flags_locked(span, span->flags & ~(unsigned)SN_SPAN_ASIDE);
    sn_heap_put_run(heap, sn_span_number(heap->pool, span));
}

/* After slots of an OPEN span were given back, or taken: relists it or, if it is empty, returns it
 * to the pool (true). */
static bool
relist_or_release_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    if (sn_span_state(span) != SN_SPAN_OPEN)
        return false; /* only who closed or detached it pools or reopens it */
    const struct sn_class *c = sn_heap_class_of_span(heap, span);
    if (span->free < c->slots) {
        relist_locked(heap, hc, span);
        return false;
    }
    list_remove_locked(heap, hc, span);
    release_span_locked(heap, hc, span);
    return true;
}

/* ---- taking slots ---------------------------------------------------------------------------- */

/*
 * Pages are charged when the first slot on them is taken. What a span has committed already comes
 * first: its free slots cost nothing.
 */

/* Who takes, how many slots at most and where to; lacks: once the limit has refused pages, bytes
 * that must become free, at least 1. */
struct taking {
    enum sn_charge who;
    enum sn_side side; /* SN_NO_WALK: any */
    uint32_t want, taken;
    uint64_t *slots;
    uint64_t lacks;
};

/* Bits of bitmap word `word` whose slots lie wholly on committed pages. */
static uint64_t
committed_slots(const struct sn_pool *pool, uint32_t number, const struct sn_class *c,
                uint32_t word)
{
    uint64_t mask = ~UINT64_C(0);
    uint32_t first = word * 64, end = (uint32_t)sn_min(first + 64, c->slots);
    uint32_t page = (c->lead + first * c->slot_bytes) >> SN_PAGE_SHIFT;
    uint32_t last = (c->lead + end * c->slot_bytes - 1) >> SN_PAGE_SHIFT;
    for (; page <= last; page++) {
        if (sn_pool_page_is_committed(pool, number, page))
            continue;
        uint32_t at = page << SN_PAGE_SHIFT, behind = at + (uint32_t)SN_PAGE_BYTES;
        uint32_t from = at > c->lead ? (at - c->lead) / c->slot_bytes : 0;
        uint32_t to = (behind - c->lead + c->slot_bytes - 1) / c->slot_bytes;
        from = from > first ? from - first : 0;
        to = (uint32_t)sn_min(to - first, 64);
        mask &= ~((~UINT64_C(0) >> (64 - (to - from))) << from);
    }
    return mask;
}

/* An upper bound of the free slots that lie wholly on committed pages: as many slots as these pages
 * have room for, less those in use. */
static uint32_t
committed_at_most(const struct sn_class *c, const struct sn_span *span)
{
    uint32_t used = c->slots - span->free;
    uint32_t room = ((uint32_t)span->pages << SN_PAGE_SHIFT) / c->slot_bytes;
    return room > used ? room - used : 0;
}

/* Takes free slots of one span that lie wholly on committed pages, in rising address. */
static void
take_committed_locked(struct sn_heap *heap, struct sn_span *span, struct taking *taking)
{
    struct sn_pool *pool = heap->pool;
    const struct sn_class *c = sn_heap_class_of_span(heap, span);
    uint32_t number = sn_span_number(pool, span), words = (c->slots + 63) / 64;
    uint32_t most = (uint32_t)sn_min(taking->want - taking->taken, committed_at_most(c, span));
    uint32_t end = taking->taken + most;
    for (uint32_t word = span->hint; word < words && taking->taken < end; word++) {
        uint64_t *bits = sn_span_bits(pool, number, word);
        uint64_t vacant = ~*bits;
        if (vacant)
            vacant &= committed_slots(pool, number, c, word);
        for (; vacant && taking->taken < end; vacant &= vacant - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(vacant);
            taking->slots[taking->taken++] = sn_slot_offset(c, number, slot);
            *bits |= UINT64_C(1) << (slot % 64);
            sn_owner_sub(&span->free, 1);
        }
    }
}

/* Commits the pages under bytes [begin, end) of a span, a slot. False: max_bytes refuses them,
 * taking->lacks says how much must become free. */
static bool
commit_slot_locked(struct sn_heap *heap, struct sn_span *span, uint32_t begin, uint32_t end,
                   struct taking *taking)
{
    struct sn_pool *pool = heap->pool;
    uint32_t number = sn_span_number(pool, span);
    uint32_t from = begin >> SN_PAGE_SHIFT, to = ((end - 1) >> SN_PAGE_SHIFT) + 1;
    uint32_t missing = sn_pool_missing_pages(pool, number, from, to);
    if (sn_likely(missing == 0))
        return true;
    if (!sn_pool_commit(pool, number, from, to, taking->who)) {
        uint64_t bytes = (uint64_t)missing << SN_PAGE_SHIFT;
        taking->lacks = sn_max(sn_budget_lacks(pool->budget, bytes, taking->who), 1);
        return false;
    }
    sn_store_relaxed(&span->pages, (uint16_t)(span->pages + missing));
    sn_owner_add(&heap->of[span->class_id].pages[kind_of(span)], missing);
    count_pages_taken(heap, taking->who, missing);
    return true;
}

/* Takes the lowest free slots of one span, in rising address. */
static void
take_lowest_locked(struct sn_heap *heap, struct sn_span *span, struct taking *taking)
{
    struct sn_pool *pool = heap->pool;
    const struct sn_class *c = sn_heap_class_of_span(heap, span);
    uint32_t number = sn_span_number(pool, span);
    /* Up to here the pages are known to be committed: slots are taken in rising address. */
    uint32_t ready = span->pages == c->pages ? UINT32_MAX : 0;
    uint32_t end = taking->taken + (uint32_t)sn_min(taking->want - taking->taken, span->free);
    for (uint32_t word = span->hint; taking->taken < end && taking->lacks == 0; word++) {
        uint64_t *bits = sn_span_bits(pool, number, word);
        uint64_t vacant = ~*bits;
        while (vacant && taking->taken < end) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(vacant);
            uint32_t begin = c->lead + slot * c->slot_bytes, behind = begin + c->slot_bytes;
            if (behind > ready) {
                if (!commit_slot_locked(heap, span, begin, behind, taking))
                    break;
                ready = (uint32_t)sn_round_up(behind, SN_PAGE_BYTES);
            }
            taking->slots[taking->taken++] = sn_slot_offset(c, number, slot);
            vacant &= vacant - 1;
            sn_owner_sub(&span->free, 1);
        }
        *bits = ~vacant;
        span->hint = (uint8_t)word;
    }
}

/* The list's head; beside a walk the first span on the given side of it, looked for from both ends
 * of the list, not far. */
static uint32_t
first_on_side_locked(const struct sn_heap *heap, uint32_t first, enum sn_side side)
{
    enum { LOOKS = 16 };
    const struct sn_span *spans = heap->pool->spans;
    uint32_t last = first ? spans[first].prev : 0;
    if (sn_likely(side == SN_NO_WALK))
        return first;
    for (unsigned look = 0; look < LOOKS && first; look++) {
        if (sn_heap_side(heap, first) == side)
            return first;
        if (sn_heap_side(heap, last) == side)
            return last;
        first = spans[first].next;
        last = spans[last].prev;
    }
    return 0;
}

/* The fullest OPEN span that has a free slot. Of equally full ones those that were set aside come
 * first: no compaction empties them. */
static struct sn_span *
fullest_locked(struct sn_heap *heap, const struct sn_heap_class *hc, enum sn_kind kind,
               enum sn_side side)
{
    for (unsigned list = SN_FULL; list > 0;) {
        list--;
        uint32_t at =
            kind == SN_MOVABLE ? first_on_side_locked(heap, hc->list[SN_ASIDE][list], side) : 0;
        if (at == 0)
            at = first_on_side_locked(heap, hc->list[kind][list], side);
        if (at != 0)
            return &heap->pool->spans[at];
    }
    return NULL;
}

static void
reverse(uint64_t *slots, uint32_t count)
{
    for (uint32_t i = 0; i < count / 2; i++) {
        uint64_t other = slots[count - 1 - i];
        slots[count - 1 - i] = slots[i];
        slots[i] = other;
    }
}

/* From spans there are, the fullest first. */
static void
take_fullest_locked(struct sn_heap *heap, struct sn_heap_class *hc, enum sn_kind kind,
                    struct taking *taking)
{
    struct sn_span *span;
    while (taking->taken < taking->want && taking->lacks == 0 &&
           (span = fullest_locked(heap, hc, kind, taking->side)) != NULL) {
        prefetch_span(heap->pool, sn_span_number(heap->pool, span));
        prefetch_span(heap->pool, span->next); /* where spans have few free slots, it is needed */
        if (span->pages < sn_heap_class_of_span(heap, span)->pages)
            take_committed_locked(heap, span, taking);
        take_lowest_locked(heap, span, taking);
        if (span->flags & SN_SPAN_QUIET)
            set_flags_locked(span, span->flags & ~(unsigned)SN_SPAN_QUIET);
        relist_locked(heap, hc, span);
    }
}

/* Takes committed free slots from a list's spans, from `at` on; *looks: spans left to look at. */
static void
take_list_committed_locked(struct sn_heap *heap, struct sn_heap_class *hc, uint32_t at,
                           struct taking *taking, unsigned *looks)
{
    for (uint32_t next; at && *looks > 0 && taking->taken < taking->want; at = next, --*looks) {
        struct sn_span *span = &heap->pool->spans[at];
        next = span->next;
        if (taking->side != SN_NO_WALK && sn_heap_side(heap, at) != taking->side)
            continue;
        take_committed_locked(heap, span, taking);
        relist_locked(heap, hc, span);
    }
}

/* max_bytes has refused more pages: takes free slots on pages that are committed already, from the
 * fullest spans first. */
static void
take_all_committed_locked(struct sn_heap *heap, struct sn_heap_class *hc, enum sn_kind kind,
                          struct taking *taking)
{
    unsigned looks = 64; /* spans looked at under the lock, at most */
    for (unsigned list = SN_FULL; list > 0;) {
        list--;
        if (kind == SN_MOVABLE)
            take_list_committed_locked(heap, hc, hc->list[SN_ASIDE][list], taking, &looks);
        take_list_committed_locked(heap, hc, hc->list[kind][list], taking, &looks);
    }
}

/* What is kept for applications serves one that has found no other. */
static void
take_kept_locked(struct sn_heap_class *hc, enum sn_kind kind, struct taking *taking)
{
    uint64_t slot = sn_load_relaxed(&hc->kept);
    if (slot == 0 || kind != SN_MOVABLE || taking->who != SN_CHARGE_APPLICATION)
        return;
    sn_store_relaxed(&hc->kept, 0);
    taking->slots[taking->taken++] = slot;
}

/* Takes from a new span. Its run may come with committed pages; if there are none, and max_bytes
 * allows no page, the span goes back to the pool. */
static void
take_new_locked(struct sn_heap *heap, unsigned class_id, enum sn_kind kind, struct taking *taking)
{
    struct sn_heap_class *hc = &heap->of[class_id];
    struct sn_span *span = new_span_locked(heap, hc, class_id, kind, taking->who, &taking->lacks);
    if (!span)
        return;
    taking->lacks = 0;
    count_pages_taken(heap, taking->who, span->pages);
    take_committed_locked(heap, span, taking);
    take_lowest_locked(heap, span, taking);
    (void)relist_or_release_locked(heap, hc, span);
}

/* Whether pages of empty spans may be used where no more may be committed. Not by applications
 * while the mover uses what is kept back for it: it is given back first, or the mover could move
 * nothing any more. */
static bool
may_use_empty(const struct sn_pool *pool, enum sn_charge who)
{
    return sn_load_relaxed(&pool->empty_bytes) > 0 && sn_budget_lacks(pool->budget, 0, who) == 0;
}

/* From spans there are, else from a new one. 0: `lacks` bytes must become free first. Above a limit
 * that was lowered applications get nothing, not even what is committed: what they free then goes
 * back. */
static uint32_t
take_locked(struct sn_heap *heap, unsigned class_id, enum sn_kind kind, struct taking *taking)
{
    struct sn_heap_class *hc = &heap->of[class_id];
    taking->taken = 0;
    taking->lacks = taking->who == SN_CHARGE_APPLICATION ? sn_budget_excess(heap->pool->budget) : 0;
    if (sn_unlikely(taking->lacks > 0))
        return 0;
    take_fullest_locked(heap, hc, kind, taking);
    if (taking->lacks > 0)
        take_all_committed_locked(heap, hc, kind, taking);
    if (taking->taken == 0)
        take_kept_locked(hc, kind, taking);
    bool may_be_new = taking->side == SN_NO_WALK &&
                      (taking->lacks == 0 || may_use_empty(heap->pool, taking->who));
    if (taking->taken == 0 && may_be_new)
        take_new_locked(heap, class_id, kind, taking);
    return taking->taken;
}

/* The first use of a class. */
static SN_NOINLINE void
begin_class(struct sn_heap *heap, unsigned class_id)
{
    struct sn_heap_class *hc = &heap->of[class_id];
    sn_lock(&heap->lock);
    if (sn_load_relaxed(&hc->used_before) == 0) {
        sn_lock_init(&hc->lock, SN_RANK_CLASS);
        heap->used_class[heap->used_classes] = (uint8_t)class_id;
        /* Release: pairs with the acquire in sn_heap_used_classes. */
        sn_store_release(&heap->used_classes, heap->used_classes + 1);
        /* Release: pairs with the acquire in sn_heap_class_is_used. */
        sn_store_release(&hc->used_before, 1);
    }
    sn_unlock(&heap->lock);
}

/* Whether pages are given back to the kernel to make room below max_bytes: not to fill a thread's
 * cache (an application that wants more than one slot), and not where the limit has refused nothing
 * because no span was found on the walk's side. */
static bool
wants_room(const struct taking *taking)
{
    if (taking->side != SN_NO_WALK && taking->lacks == 0)
        return false;
    return taking->who != SN_CHARGE_APPLICATION || taking->want == 1;
}

static uint32_t
take(struct sn_heap *heap, unsigned class_id, enum sn_kind kind, struct taking *taking)
{
    struct sn_heap_class *hc = &heap->of[class_id];
    if (sn_unlikely(!sn_heap_class_is_used(heap, class_id)))
        begin_class(heap, class_id);
    sn_lock(&hc->lock);
    uint32_t taken = take_locked(heap, class_id, kind, taking);
    for (int round = 0; taken == 0 && round < SN_POOL_ROUNDS && wants_room(taking); round++) {
        if (taking->who == SN_CHARGE_MOVER) /* a slice gives back no more than this at once */
            taking->lacks = sn_min(taking->lacks, SN_RESERVE_MAX_BYTES);
        sn_unlock(&hc->lock); /* others of the class need not wait for the kernel */
        bool room = sn_heap_make_room(heap, taking->lacks);
        sn_lock(&hc->lock);
        if (!room)
            break;
        taken = take_locked(heap, class_id, kind, taking);
    }
    sn_owner_add(&hc->used[kind], taken);
    sn_unlock(&hc->lock);
    reverse(taking->slots, taken);
    return taken;
}

uint32_t
sn_heap_take(struct sn_heap *heap, unsigned class_id, enum sn_kind kind, enum sn_charge who,
             uint32_t want, uint64_t *slots)
{
    struct taking taking = {.who = who, .want = want, .slots = slots};
    return take(heap, class_id, kind, &taking);
}

uint32_t
sn_heap_take_beside(struct sn_heap *heap, uint32_t number, uint32_t want, uint64_t *slots)
{
    struct taking taking = {
        .who = SN_CHARGE_MOVER, .side = sn_heap_side(heap, number), .want = want, .slots = slots};
    return take(heap, heap->pool->spans[number].class_id, SN_MOVABLE, &taking);
}

/* ---- what is kept for the application -------------------------------------------------------- */

static bool
wants_kept(const struct sn_heap *heap, const struct sn_heap_class *hc)
{
    return sn_unlikely(sn_load_relaxed(&heap->keeps) != 0) && hc->kept == 0;
}

/* A free slot of an OPEN span, on committed pages; it is counted as free. 0: there is none. */
static uint64_t
find_to_keep_locked(struct sn_heap *heap, struct sn_heap_class *hc)
{
    uint64_t slot = 0;
    struct taking taking = {.who = SN_CHARGE_APPLICATION, .want = 1, .slots = &slot};
    take_all_committed_locked(heap, hc, SN_MOVABLE, &taking);
    return slot;
}

/* The first slot that may be kept; `open`: of an OPEN span. What comes back to a span that is being
 * walked is not used before the walk has gone on: by free_now it comes without a grace period. */
static uint32_t
first_to_keep(const struct sn_heap *heap, const uint64_t *slots, uint32_t count, bool open)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct sn_span *span = sn_span_at(heap->pool, slots[i]);
        if (kind_of(span) == SN_MOVABLE && (!open || sn_span_state(span) == SN_SPAN_OPEN) &&
            sn_load_relaxed(&heap->walked) != sn_span_number(heap->pool, span))
            return i;
    }
    return count;
}

/* Keeps one of the slots that come back; if none of their spans is OPEN, rather one that is free
 * already. Result: which; count: all are to be given back. */
static uint32_t
keep_one_locked(struct sn_heap *heap, struct sn_heap_class *hc, const uint64_t *slots,
                uint32_t count)
{
    uint64_t other = 0;
    uint32_t at = first_to_keep(heap, slots, count, true);
    if (at == count) {
        at = first_to_keep(heap, slots, count, false);
        other = at < count ? find_to_keep_locked(heap, hc) : 0;
    }
    if (other)
        at = count;
    sn_store_relaxed(&hc->kept, at < count ? slots[at] : other);
    sn_owner_sub(&hc->used[SN_MOVABLE], at < count);
    return at;
}

/* ---- giving slots back ----------------------------------------------------------------------- */

/* Slots ahead of the one that is given back; with two lines each, the misses that a core has under
 * way. */
#define PUT_AHEAD 8

/* Slots of one span; the class and the span's fields are looked up once for all of them. */
static void
clear_slots_locked(struct sn_heap *heap, struct sn_span *span, const uint64_t *slots,
                   uint32_t count)
{
    const struct sn_class *c = sn_heap_class_of_span(heap, span);
    uint32_t number = sn_span_number(heap->pool, span), lowest = span->hint;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = sn_slot_of(c, number, slots[i]);
        uint64_t *bits = sn_span_bits(heap->pool, number, slot / 64);
        uint64_t bit = UINT64_C(1) << (slot % 64);
        sn_assert(slot < c->slots && (*bits & bit));
        *bits &= ~bit;
        lowest = (uint32_t)sn_min(lowest, slot / 64);
    }
    span->hint = (uint8_t)lowest;
    sn_owner_add(&span->free, count);
    if (span->flags & (SN_SPAN_TIGHT | SN_SPAN_QUIET))
        set_flags_locked(span, span->flags & ~(unsigned)(SN_SPAN_TIGHT | SN_SPAN_QUIET));
}

/* Slots have become free, or a span with free slots is no longer set aside: wakes the mover if that
 * is enough. Called without locks. */
static void
note_freed(struct sn_heap *heap, unsigned class_id, uint32_t slots)
{
    uint64_t bytes = (uint64_t)slots * heap->classes->of[class_id].slot_bytes;
    /* Sequentially consistent, both: pairs with arm_wake_up's fence between its store of the mark
     * and its look at the sum. Otherwise each could miss the other, and the last free before a rest
     * would wake nobody. */
    uint64_t freed = __atomic_add_fetch(&heap->freed_bytes, bytes, __ATOMIC_SEQ_CST);
    if (freed >= __atomic_load_n(&heap->wake_at, __ATOMIC_SEQ_CST))
        heap->freed(heap);
}

/* How many slots, from the first on, lie in the span of the first. Some may lie below it. */
static uint32_t
count_in_span(const struct sn_pool *pool, const struct sn_span *span, const uint64_t *slots,
              uint32_t count)
{
    uint64_t begin = sn_span_offset(sn_span_number(pool, span));
    uint64_t bytes = sn_span_offset(span->blocks);
    uint32_t same = 1;
    while (same < count && sn_wrapping_sub(slots[same], begin) < bytes)
        same++;
    return same;
}

/* What is wanted of the spans of slots [from, to), those of one block once. */
static void
prefetch_spans(const struct sn_pool *pool, const uint64_t *slots, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++) {
        if (i == 0 || sn_block_of(slots[i]) != sn_block_of(slots[i - 1]))
            prefetch_span(pool, sn_block_of(slots[i]));
    }
}

/* Result: spans that have gone to the pool by it. */
static uint32_t
put_locked(struct sn_heap *heap, struct sn_heap_class *hc, const uint64_t *slots, uint32_t count)
{
    uint32_t emptied = 0, ahead = (uint32_t)sn_min(PUT_AHEAD, count);
    for (uint32_t i = 0, end; i < count; i = end) {
        struct sn_span *span = sn_span_at(heap->pool, slots[i]);
        sn_assert(hc == &heap->of[span->class_id]);
        end = i + count_in_span(heap->pool, span, slots + i, count - i);
        uint32_t next = (uint32_t)sn_min((uint64_t)end + PUT_AHEAD, count);
        prefetch_spans(heap->pool, slots, ahead, next);
        ahead = next;
        clear_slots_locked(heap, span, slots + i, end - i);
        sn_owner_sub(&hc->used[kind_of(span)], end - i);
        emptied += relist_or_release_locked(heap, hc, span);
    }
    return emptied;
}

static void
prefetch_first(const struct sn_pool *pool, const uint64_t *slots, uint32_t count)
{
    prefetch_spans(pool, slots, 0, (uint32_t)sn_min(PUT_AHEAD, count));
}

void
sn_heap_put(struct sn_heap *heap, unsigned class_id, const uint64_t *slots, uint32_t count)
{
    struct sn_heap_class *hc = &heap->of[class_id];
    prefetch_first(heap->pool, slots, count);
    sn_lock(&hc->lock);
    uint32_t kept = wants_kept(heap, hc) ? keep_one_locked(heap, hc, slots, count) : count;
    (void)put_locked(heap, hc, slots, kept);
    if (sn_unlikely(kept < count))
        (void)put_locked(heap, hc, slots + kept + 1, count - kept - 1);
    sn_unlock(&hc->lock);
    note_freed(heap, class_id, count);
}

uint32_t
sn_heap_put_moved(struct sn_heap *heap, unsigned class_id, const uint64_t *slots, uint32_t count)
{
    struct sn_heap_class *hc = &heap->of[class_id];
    prefetch_first(heap->pool, slots, count);
    sn_lock(&hc->lock);
    uint32_t emptied = put_locked(heap, hc, slots, count);
    sn_unlock(&hc->lock);
    note_freed(heap, class_id, count);
    return emptied;
}

/* Gives back what a class keeps. */
static bool
end_kept(struct sn_heap *heap, unsigned class_id)
{
    struct sn_heap_class *hc = &heap->of[class_id];
    sn_lock(&hc->lock);
    const uint64_t slot[] = {hc->kept};
    if (slot[0] != 0) {
        sn_store_relaxed(&hc->kept, 0);
        sn_owner_add(&hc->used[SN_MOVABLE], 1);
        (void)put_locked(heap, hc, slot, 1);
    }
    sn_unlock(&hc->lock);
    if (slot[0] != 0)
        note_freed(heap, class_id, 1);
    return slot[0] != 0;
}

bool
sn_heap_end_kept(struct sn_heap *heap, unsigned but)
{
    bool any = false;
    for (unsigned n = sn_heap_used_classes(heap); n > 0; n--) {
        unsigned i = heap->used_class[n - 1];
        if (i != but && sn_load_relaxed(&heap->of[i].kept) != 0)
            any |= end_kept(heap, i);
    }
    return any;
}

bool
sn_heap_put_rest(struct sn_heap *heap, uint32_t number, uint32_t count)
{
    struct sn_span *span = &heap->pool->spans[number];
    const struct sn_class *c = sn_heap_class_of_span(heap, span);
    struct sn_heap_class *hc = &heap->of[span->class_id];
    sn_assert(sn_span_state(span) == SN_SPAN_CLOSED);
    sn_lock(&hc->lock);
    sn_assert(span->free + count <= c->slots);
    bool all = span->free + count == c->slots;
    if (all) {
        format_bits(heap->pool, number, c);
        sn_store_relaxed(&span->free, c->slots);
        span->hint = 0;
        sn_owner_sub(&hc->used[kind_of(span)], count);
    }
    sn_unlock(&hc->lock);
    if (all)
        note_freed(heap, span->class_id, count);
    return all;
}

/* ---- closed and detached spans --------------------------------------------------------------- */

static void
copy_bits_locked(const struct sn_heap *heap, uint32_t number, uint64_t bits[SN_BITMAP_WORDS])
{
    const struct sn_span *span = &heap->pool->spans[number];
    uint32_t words = (sn_heap_class_of_span(heap, span)->slots + 63) / 64;
    for (uint32_t word = 0; word < words; word++)
        bits[word] = *sn_span_bits(heap->pool, number, word);
}

/* Takes an OPEN span out of its list; `state`: CLOSED or DETACHED. */
static void
detach_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span, uint8_t state)
{
    list_remove_locked(heap, hc, span);
    sn_owner_add(&hc->detached, 1);
    sn_span_set_state(span, state);
}

/* Moves a span to the lists that the mover does not look at, if it is damaged, or if it has pins
 * and the mover has tried it already. False: it stays where it is. */
static bool
set_aside_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    bool damaged = (span->flags & SN_SPAN_DAMAGED) != 0;
    bool pinned = (span->flags & SN_SPAN_TRIED) && sn_pins_any(span);
    if (sn_likely(!damaged && !pinned))
        return false;
    list_remove_locked(heap, hc, span);
    if (damaged)
        set_flags_locked(span, span->flags | SN_SPAN_ASIDE);
    bool aside = damaged || sn_pins_set_aside(&heap->pins, sn_span_number(heap->pool, span));
    sn_owner_add(&hc->aside, aside);
    list_insert_locked(heap, hc, span);
    return aside;
}

enum keeping { KEPT_ELSEWHERE, KEPT_HERE, KEPT_AND_GONE };

/* Before an OPEN span is closed: a slot of another span is kept in the place of its own. HERE:
 * there is none. GONE: without its own the span was empty, and is the pool's, or another's by now;
 * that other span may have come into the next list. */
static enum keeping
keep_another_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    uint64_t slot = hc->kept;
    if (sn_likely(slot == 0) || sn_span_at(heap->pool, slot) != span)
        return KEPT_ELSEWHERE;
    list_remove_locked(heap, hc, span);
    uint64_t other = find_to_keep_locked(heap, hc);
    list_insert_locked(heap, hc, span);
    if (other == 0)
        return KEPT_HERE;
    sn_store_relaxed(&hc->kept, other);
    clear_slots_locked(heap, span, &slot, 1);
    return relist_or_release_locked(heap, hc, span) ? KEPT_AND_GONE : KEPT_ELSEWHERE;
}

/* Looks at spans of one list, *looks at most. Result: the first that may be closed, 0: none. */
static uint32_t
find_to_close_locked(struct sn_heap *heap, struct sn_heap_class *hc, unsigned list, uint32_t pass,
                     unsigned *looks)
{
    struct sn_span *spans = heap->pool->spans;
    uint32_t next;
    for (uint32_t at = hc->list[SN_MOVABLE][list]; at && *looks > 0; at = next, --*looks) {
        next = spans[at].next;
        bool tried = (spans[at].flags & SN_SPAN_TRIED) && spans[at].v.use.pass == pass;
        if (tried || set_aside_locked(heap, hc, &spans[at]))
            continue;
        enum keeping keeping = keep_another_locked(heap, hc, &spans[at]);
        if (keeping == KEPT_ELSEWHERE)
            return at;
        if (keeping == KEPT_AND_GONE) /* the next may have, too */
            next = hc->list[SN_MOVABLE][list];
    }
    return 0;
}

static void
close_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    detach_locked(heap, hc, span, SN_SPAN_CLOSED);
    set_bins_locked(heap, span);
}

uint32_t
sn_heap_close_sparsest(struct sn_heap *heap, unsigned class_id, uint32_t pass,
                       unsigned max_occupancy)
{
    enum { LOOKS = 64 }; /* spans, for each hold of the lock: allocations wait for it */
    struct sn_heap_class *hc = &heap->of[class_id];
    uint32_t found = 0, aside;
    unsigned looks;
    if (!sn_heap_class_is_used(heap, class_id))
        return 0;
    do {
        looks = LOOKS;
        sn_lock(&hc->lock);
        aside = hc->aside;
        for (unsigned list = 0; list <= max_occupancy && looks > 0 && !found; list++)
            found = find_to_close_locked(heap, hc, list, pass, &looks);
        if (found)
            close_locked(heap, hc, &heap->pool->spans[found]);
        aside = hc->aside - aside;
        sn_unlock(&hc->lock);
    } while (!found && looks == 0 && aside > 0); /* fewer are left: others may stand behind them */
    return found;
}

/* Whether a block begins a span that may be looked at, under its class's lock; the class was read
 * before the lock was taken. */
static bool
is_span_locked(const struct sn_heap *heap, uint32_t number, uint8_t class_id)
{
    const struct sn_span *span = &heap->pool->spans[number];
    return sn_load_relaxed(&heap->pool->class_of[number]) == class_id &&
           sn_span_head(span) == number;
}

void
sn_heap_come_back(struct sn_heap *heap, uint32_t number)
{
    struct sn_span *span = &heap->pool->spans[number];
    uint8_t class_id = sn_load_relaxed(&heap->pool->class_of[number]);
    if (class_id >= SN_CLASSES_MAX)
        return;
    struct sn_heap_class *hc = &heap->of[class_id];
    uint32_t slots = 0;
    sn_lock(&hc->lock);
    /* The span may have gone back to the pool meanwhile, and its blocks be in use for another. */
    if (is_span_locked(heap, number, class_id) &&
        (span->flags & (SN_SPAN_ASIDE | SN_SPAN_DAMAGED)) == SN_SPAN_ASIDE) {
        bool listed = sn_span_state(span) == SN_SPAN_OPEN;
        if (listed)
            list_remove_locked(heap, hc, span);
        set_flags_locked(span, span->flags & ~(unsigned)(SN_SPAN_ASIDE | SN_SPAN_TRIED));
        if (listed)
            list_insert_locked(heap, hc, span);
        sn_owner_sub(&hc->aside, 1);
        slots = span->free;
    }
    sn_unlock(&hc->lock);
    if (slots > 0)
        note_freed(heap, class_id, slots);
}

/* The class of a span that is OPEN, locked; NULL: it is not. */
static struct sn_heap_class *
lock_if_open(struct sn_heap *heap, uint32_t number)
{
    const struct sn_span *span = &heap->pool->spans[number];
    uint8_t class_id = sn_load_relaxed(&heap->pool->class_of[number]);
    /* A block whose span is just being made for the first time reads as class 0. */
    if (class_id >= SN_CLASSES_MAX || !sn_heap_class_is_used(heap, class_id))
        return NULL;
    struct sn_heap_class *hc = &heap->of[class_id];
    sn_lock(&hc->lock);
    if (sn_span_state(span) == SN_SPAN_OPEN && is_span_locked(heap, number, class_id))
        return hc;
    sn_unlock(&hc->lock);
    return NULL;
}

bool
sn_heap_detach(struct sn_heap *heap, uint32_t number)
{
    struct sn_heap_class *hc = lock_if_open(heap, number);
    if (!hc)
        return false;
    detach_locked(heap, hc, &heap->pool->spans[number], SN_SPAN_DETACHED);
    sn_store_relaxed(&heap->walked, number);
    sn_unlock(&hc->lock);
    return true;
}

/* Counts the span's committed pages anew: a trim may have given some of them back. */
static void
count_pages_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    uint32_t all = sn_heap_class_of_span(heap, span)->pages;
    uint32_t missing = sn_pool_missing_pages(heap->pool, sn_span_number(heap->pool, span), 0, all);
    sn_owner_sub(&hc->pages[kind_of(span)], span->pages - (all - missing));
    sn_store_relaxed(&span->pages, (uint16_t)(all - missing));
}

bool
sn_heap_detach_loose(struct sn_heap *heap, uint32_t number, bool quiet,
                     uint64_t bits[SN_BITMAP_WORDS])
{
    struct sn_span *span = &heap->pool->spans[number];
    struct sn_heap_class *hc = lock_if_open(heap, number);
    if (!hc)
        return false;
    bool loose = sn_span_is_loose(sn_heap_class_of_span(heap, span), span);
    if (loose && quiet && !(span->flags & SN_SPAN_QUIET)) {
        set_flags_locked(span, span->flags | SN_SPAN_QUIET);
        loose = false;
    }
    if (loose) {
        detach_locked(heap, hc, span, SN_SPAN_DETACHED);
        /* A free from now on clears TIGHT. */
        set_flags_locked(span, (span->flags | SN_SPAN_TIGHT) & ~(unsigned)SN_SPAN_EXCESS);
        copy_bits_locked(heap, number, bits);
    }
    sn_unlock(&hc->lock);
    return loose;
}

void
sn_heap_note_refused(struct sn_heap *heap, uint32_t number)
{
    struct sn_span *span = &heap->pool->spans[number];
    struct sn_heap_class *hc = &heap->of[span->class_id];
    sn_lock(&hc->lock);
    /* EXCESS: some may be behind its last slot. */
    set_flags_locked(span, (span->flags | SN_SPAN_EXCESS) & ~(unsigned)SN_SPAN_TIGHT);
    sn_unlock(&hc->lock);
}

bool
sn_heap_detach_excess(struct sn_heap *heap, uint32_t number)
{
    struct sn_span *span = &heap->pool->spans[number];
    struct sn_heap_class *hc = lock_if_open(heap, number);
    if (!hc)
        return false;
    bool excess = (span->flags & SN_SPAN_EXCESS) != 0;
    if (excess) {
        detach_locked(heap, hc, span, SN_SPAN_DETACHED);
        set_flags_locked(span, span->flags & ~(unsigned)SN_SPAN_EXCESS);
    }
    sn_unlock(&hc->lock);
    return excess;
}

bool
sn_heap_reopen(struct sn_heap *heap, uint32_t number, uint16_t flags, uint32_t pass)
{
    struct sn_span *span = &heap->pool->spans[number];
    struct sn_heap_class *hc = &heap->of[span->class_id];
    sn_lock(&hc->lock);
    count_pages_locked(heap, hc, span);
    bool empty = span->free == sn_heap_class_of_span(heap, span)->slots;
    sn_owner_sub(&hc->detached, 1);
    if (sn_load_relaxed(&heap->walked) == number)
        sn_store_relaxed(&heap->walked, 0);
    if (empty) {
        release_span_locked(heap, hc, span);
    } else {
        set_flags_locked(span, span->flags | flags);
        if (flags & SN_SPAN_TRIED)
            span->v.use.pass = pass;
        sn_store_relaxed(&heap->squeeze_due, 0); /* squeezes passed it by while detached */
        sn_span_set_state(span, SN_SPAN_OPEN);
        set_bins_locked(heap, span);
        list_insert_locked(heap, hc, span);
    }
    sn_unlock(&hc->lock);
    return empty;
}

void
sn_heap_note_damage(struct sn_heap *heap, uint64_t offset)
{
    struct sn_span *span = sn_span_at(heap->pool, offset);
    if (sn_span_state(span) == SN_SPAN_LARGE)
        return; /* never evacuated anyway */
    struct sn_heap_class *hc = &heap->of[span->class_id];
    sn_lock(&hc->lock);
    set_flags_locked(span, span->flags | SN_SPAN_DAMAGED);
    sn_unlock(&hc->lock);
}

bool
sn_heap_is_empty(struct sn_heap *heap, uint32_t number)
{
    struct sn_span *span = &heap->pool->spans[number];
    struct sn_heap_class *hc = &heap->of[span->class_id];
    sn_lock(&hc->lock);
    bool empty = span->free == sn_heap_class_of_span(heap, span)->slots;
    sn_unlock(&hc->lock);
    return empty;
}

void
sn_heap_copy_bits(struct sn_heap *heap, uint32_t number, uint64_t bits[SN_BITMAP_WORDS])
{
    struct sn_heap_class *hc = &heap->of[heap->pool->spans[number].class_id];
    sn_lock(&hc->lock);
    copy_bits_locked(heap, number, bits);
    sn_unlock(&hc->lock);
}

void
sn_heap_class_lists(const struct sn_heap *heap, unsigned class_id, struct sn_class_use *use)
{
    for (unsigned i = 0; i < SN_OCCUPANCIES; i++)
        use->spans_in[i] = sn_load_relaxed(&heap->of[class_id].spans_in[SN_MOVABLE][i]);
}

struct sn_class_use
sn_heap_class_use(const struct sn_heap *heap, unsigned class_id)
{
    struct sn_class_use use;
    sn_heap_class_sums(heap, class_id, &use);
    sn_heap_class_lists(heap, class_id, &use);
    return use;
}

/* Whether a span of this occupancy is one too many: sparser ones are emptied first, and those in no
 * list, closed ones mostly, are being emptied. */
static bool
is_excess(const struct sn_heap *heap, unsigned class_id, unsigned in_eighths)
{
    struct sn_class_use use;
    sn_heap_class_sums(heap, class_id, &use);
    uint64_t sparser = use.detached;
    for (unsigned i = 0; i < in_eighths; i++)
        sparser += sn_load_relaxed(&heap->of[class_id].spans_in[SN_MOVABLE][i]);
    return sparser < sn_excess_spans(&use, 0);
}

uint32_t
sn_heap_sparsity(const struct sn_heap *heap, uint64_t offset)
{
    enum { STAYS = SN_SPAN_UNMOVABLE | SN_SPAN_ASIDE | SN_SPAN_DAMAGED };
    const struct sn_pool *pool = heap->pool;
    unsigned class_id = sn_load_relaxed(&pool->class_of[sn_block_of(offset)]);
    if (class_id >= SN_CLASSES_MAX)
        return 0;
    const struct sn_span *span = &pool->spans[sn_span_head(&pool->spans[sn_block_of(offset)])];
    const struct sn_class *c = &heap->classes->of[class_id];
    uint32_t free = (uint32_t)sn_min(sn_load_relaxed(&span->free), c->slots);
    unsigned in_eighths = occupancy(c, free);
    if (in_eighths == SN_FULL || (sn_load_relaxed(&span->flags) & STAYS) || sn_pins_any(span))
        return 0;
    if (sn_span_state(span) != SN_SPAN_CLOSED && !is_excess(heap, class_id, in_eighths))
        return 0;
    return (100 * free + c->slots - 1) / c->slots;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

void
sn_heap_init(struct sn_heap *heap, struct sn_pool *pool, const struct sn_classes *classes)
{
    heap->pool = pool;
    heap->classes = classes;
    heap->wake_at = UINT64_MAX;
    sn_lock_init(&heap->lock, SN_RANK_HEAP);
}

static void
for_each_used_class(struct sn_heap *heap, int (*operation)(pthread_mutex_t *))
{
    for (unsigned i = 0; i < heap->classes->count; i++) {
        if (sn_heap_class_is_used(heap, i))
            operation(&heap->of[i].lock.mutex);
    }
}

void
sn_heap_lock_all(struct sn_heap *heap)
{
    pthread_mutex_lock(&heap->lock.mutex);
    for_each_used_class(heap, pthread_mutex_lock);
}

void
sn_heap_unlock_all(struct sn_heap *heap)
{
    for_each_used_class(heap, pthread_mutex_unlock);
    pthread_mutex_unlock(&heap->lock.mutex);
}
