/* SPDX-License-Identifier: MIT */
/* heap.c - see heap.h. */
#include "heap.h"

#include <string.h>

#include "guard.h"
#include "osmem.h"

/* ---- occupancy lists ------------------------------------------------------------------------- */

static unsigned
occupancy_of(const struct sn_class *c, const struct sn_span *span)
{
    uint32_t used = c->slots - span->free;
    return used * SN_FULL / c->slots;
}

static enum sn_kind
kind_of(const struct sn_span *span)
{
    return span->flags & SN_SPAN_UNMOVABLE ? SN_UNMOVABLE : SN_MOVABLE;
}

/* Relaxed: read without the lock by who owns one of the slots, for UNMOVABLE, which stays. */
static void
set_flags_locked(struct sn_span *span, unsigned flags)
{
    sn_store_relaxed(&span->flags, (uint8_t)flags);
}

static void
list_insert_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    struct sn_pool *pool = heap->pool;
    uint32_t number = sn_span_number(pool, span);
    unsigned list = occupancy_of(sn_heap_class_of_span(heap, span), span);
    uint32_t *head = &hc->list[kind_of(span)][list];
    span->list = (uint8_t)list;
    span->prev = 0;
    span->next = *head;
    if (*head)
        pool->spans[*head].prev = number;
    *head = number;
    sn_owner_add(&hc->spans_in[kind_of(span)][list], 1);
}

static void
list_remove_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    struct sn_pool *pool = heap->pool;
    if (span->next)
        pool->spans[span->next].prev = span->prev;
    if (span->prev)
        pool->spans[span->prev].next = span->next;
    else
        hc->list[kind_of(span)][span->list] = span->next;
    sn_owner_sub(&hc->spans_in[kind_of(span)][span->list], 1);
}

/* After its free slots have changed. */
static void
relist_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    if (occupancy_of(sn_heap_class_of_span(heap, span), span) == span->list)
        return;
    list_remove_locked(heap, hc, span);
    list_insert_locked(heap, hc, span);
}

/* ---- spans ----------------------------------------------------------------------------------- */

/* Asks for what taking slots or giving them back reads of a span, the descriptor and the first line
 * of the bitmap at once: the code finds the second by the first. A hint only: the number may be of
 * no span, or of a block inside of one. */
SN_FORCE_INLINE void
prefetch_span(const struct sn_pool *pool, uint32_t number)
{
    __builtin_prefetch(&pool->spans[number], 1);
    __builtin_prefetch(sn_span_bits(pool, number, 0), 1);
}

/*
 * Slots freed in a span may go to a thread's cache while it is OPEN, holds movable objects, and
 * nothing in it was ever pinned: a cache mixes no kinds, and a free must look for pins (G5).
 */
static void
set_bin_class_locked(struct sn_heap *heap, const struct sn_span *span, bool pinned)
{
    bool fast = heap->classes->of[span->class_id].slot_bytes <= SN_FREED_SLOT_MAX_BYTES &&
                sn_span_state(span) == SN_SPAN_OPEN && kind_of(span) == SN_MOVABLE && !pinned;
    uint32_t number = sn_span_number(heap->pool, span);
    for (uint32_t block = 0; block < span->blocks; block++)
        sn_store_relaxed(&heap->pool->bin_class[number + block],
                         fast ? span->class_id : SN_CLASS_NONE);
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

static void
format_span(struct sn_heap *heap, uint32_t number, unsigned class_id, bool clear_headers)
{
    struct sn_pool *pool = heap->pool;
    const struct sn_class *c = &heap->classes->of[class_id];
    struct sn_span *span = &pool->spans[number];
    format_bits(pool, number, c);
    for (uint32_t block = 0; block < span->blocks; block++)
        sn_store_release(&pool->class_of[number + block], (uint8_t)class_id);
    if (clear_headers) {
        char *header = pool->arena + sn_slot_offset(c, number, 0) - SN_HEADER_BYTES;
        for (uint32_t slot = 0; slot < c->slots; slot++, header += c->slot_bytes)
            sn_store_relaxed((uint64_t *)(void *)header, 0);
    }
    span->class_id = (uint8_t)class_id;
    span->free = c->slots;
    span->hint = 0;
    span->v.use.pass = 0;
    sn_pool_note_lines(pool, number, c->slots);
}

/* lacks: NULL, then room is made for the run; else as of sn_pool_try_take. */
static uint32_t
take_blocks(struct sn_pool *pool, uint32_t blocks, uint32_t pages, enum sn_charge who, bool *zero,
            uint8_t *old_class, uint64_t *lacks)
{
    uint32_t number = lacks ? sn_pool_try_take(pool, blocks, pages, who, zero, old_class, lacks)
                            : sn_pool_take(pool, blocks, pages, who, zero, old_class);
    if (number)
        set_flags_locked(&pool->spans[number], 0);
    return number;
}

/* A run of blocks for a span that touches its first `pages` pages; with a guard behind them, where
 * there are such, and room for it. */
static uint32_t
take_run(struct sn_pool *pool, uint32_t blocks, uint32_t pages, enum sn_charge who, bool *zero,
         uint8_t *old_class, uint64_t *lacks)
{
    bool guarded;
    uint32_t wanted = sn_guard_blocks(pool, blocks, pages, lacks == NULL, &guarded);
    uint32_t number = take_blocks(pool, wanted, pages, who, zero, old_class, lacks);
    if (number && guarded)
        sn_guard_raise(pool, number, pages);
    else if (guarded)
        sn_guard_cancel(pool);
    if (!number && wanted > blocks)
        number = take_blocks(pool, blocks, pages, who, zero, old_class, lacks);
    return number;
}

/* A span's run goes back to the pool. */
static void
put_run(struct sn_pool *pool, uint32_t number)
{
    if (sn_likely(sn_guard_lower(pool, number)))
        sn_pool_put(pool, number, sn_os_now_ns());
    else
        sn_pool_abandon(pool, number);
}

static struct sn_span *
new_span_locked(struct sn_heap *heap, struct sn_heap_class *hc, unsigned class_id,
                enum sn_kind kind, enum sn_charge who, uint64_t *lacks)
{
    sn_assert_locked(&hc->lock);
    const struct sn_class *c = &heap->classes->of[class_id];
    bool zero;
    uint8_t old_class;
    uint32_t number = take_run(heap->pool, c->blocks, c->pages, who, &zero, &old_class, lacks);
    if (!number)
        return NULL;
    format_span(heap, number, class_id, !zero && old_class != class_id);
    struct sn_span *span = &heap->pool->spans[number];
    set_flags_locked(span, span->flags | (kind == SN_UNMOVABLE ? SN_SPAN_UNMOVABLE : 0u));
    sn_span_set_state(span, SN_SPAN_OPEN);
    set_bin_class_locked(heap, span, false);
    sn_owner_add(&hc->spans[kind], 1);
    list_insert_locked(heap, hc, span);
    return span;
}

/* An empty span leaves its class. It is in no list. */
static void
release_span_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    sn_owner_sub(&hc->spans[kind_of(span)], 1);
    uint32_t *pins = sn_load_relaxed(&span->pins);
    if (pins) {
        sn_store_relaxed(&span->pins, NULL);
        uint32_t slots = heap->classes->of[span->class_id].slots;
        sn_sub_relaxed(&heap->pin_array_bytes, slots * sizeof(*pins));
        sn_budget_refund(heap->pool->budget, slots * sizeof(*pins));
        sn_os_free(pins);
    }
    put_run(heap->pool, sn_span_number(heap->pool, span));
}

/* ---- taking slots ---------------------------------------------------------------------------- */

/* Takes the lowest free slots of one span, in rising address. */
static uint32_t
take_from_span_locked(struct sn_heap *heap, struct sn_span *span, uint32_t want, uint64_t *slots)
{
    struct sn_pool *pool = heap->pool;
    const struct sn_class *c = sn_heap_class_of_span(heap, span);
    uint32_t number = sn_span_number(pool, span);
    uint32_t taken = 0;
    want = (uint32_t)sn_min(want, span->free);
    for (uint32_t word = span->hint; taken < want; word++) {
        uint64_t *bits = sn_span_bits(pool, number, word);
        uint64_t vacant = ~*bits;
        while (vacant && taken < want) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(vacant);
            slots[taken++] = sn_slot_offset(c, number, slot);
            vacant &= vacant - 1;
        }
        *bits = ~vacant;
        span->hint = (uint16_t)word;
    }
    span->free -= taken;
    return taken;
}

/* whole: spans that were trimmed are passed over. */
static struct sn_span *
fullest_locked(struct sn_heap *heap, struct sn_heap_class *hc, enum sn_kind kind, bool whole)
{
    struct sn_span *spans = heap->pool->spans;
    for (unsigned list = SN_FULL; list-- > 0;) {
        uint32_t at = hc->list[kind][list];
        while (whole && at && (spans[at].flags & SN_SPAN_TRIMMED))
            at = spans[at].next;
        if (at)
            return &spans[at];
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

/* A span that was trimmed commits its pages again before its slots are used. */
static bool
recommit_locked(struct sn_heap *heap, struct sn_span *span, enum sn_charge who, uint64_t *lacks)
{
    uint32_t pages = sn_heap_class_of_span(heap, span)->pages;
    if (sn_likely(!(span->flags & SN_SPAN_TRIMMED)))
        return true;
    if (!sn_pool_recommit(heap->pool, sn_span_number(heap->pool, span), pages, who)) {
        uint64_t bytes = (uint64_t)pages << SN_PAGE_SHIFT; /* at most; some may be there */
        *lacks = sn_max(sn_budget_lacks(heap->pool->budget, bytes, who), 1);
        return false;
    }
    set_flags_locked(span, span->flags & ~(unsigned)SN_SPAN_TRIMMED);
    return true;
}

/* From spans there are, else from a new one. Once the limit has refused what a trimmed span lacks,
 * from those that lack nothing. 0: *lacks bytes must become free first. */
static uint32_t
take_locked(struct sn_heap *heap, unsigned class_id, enum sn_kind kind, enum sn_charge who,
            uint32_t want, uint64_t *slots, uint64_t *lacks)
{
    struct sn_heap_class *hc = &heap->of[class_id];
    uint64_t new_lacks = UINT64_MAX;
    bool refused = false;
    uint32_t taken = 0;
    *lacks = UINT64_MAX;
    while (taken < want) {
        struct sn_span *span = fullest_locked(heap, hc, kind, refused);
        if (!span && taken == 0)
            span = new_span_locked(heap, hc, class_id, kind, who, &new_lacks);
        if (!span)
            break;
        prefetch_span(heap->pool, sn_span_number(heap->pool, span));
        prefetch_span(heap->pool, span->next); /* where spans have few free slots, it is needed */
        if (!recommit_locked(heap, span, who, lacks)) {
            refused = true;
            continue;
        }
        taken += take_from_span_locked(heap, span, want - taken, slots + taken);
        relist_locked(heap, hc, span);
    }
    *lacks = sn_min(*lacks, new_lacks);
    return taken;
}

uint32_t
sn_heap_take(struct sn_heap *heap, unsigned class_id, enum sn_kind kind, enum sn_charge who,
             uint32_t want, uint64_t *slots)
{
    struct sn_heap_class *hc = &heap->of[class_id];
    uint64_t lacks = 0;
    sn_lock(&hc->lock);
    uint32_t taken = take_locked(heap, class_id, kind, who, want, slots, &lacks);
    for (int round = 0; taken == 0 && round < SN_POOL_ROUNDS; round++) {
        if (who == SN_CHARGE_MOVER) /* a slice asks the kernel for no more */
            lacks = sn_min(lacks, SN_RESERVE_BYTES);
        sn_unlock(&hc->lock); /* others of the class need not wait for the kernel */
        bool room = sn_pool_make_room(heap->pool, lacks);
        sn_lock(&hc->lock);
        if (!room)
            break;
        taken = take_locked(heap, class_id, kind, who, want, slots, &lacks);
    }
    sn_owner_add(&hc->used[kind], taken);
    sn_unlock(&hc->lock);
    reverse(slots, taken);
    return taken;
}

/* ---- giving slots back ----------------------------------------------------------------------- */

static void
clear_slot_locked(struct sn_heap *heap, struct sn_span *span, uint64_t offset)
{
    const struct sn_class *c = sn_heap_class_of_span(heap, span);
    uint32_t number = sn_span_number(heap->pool, span);
    uint32_t slot = sn_slot_of(c, number, offset);
    uint64_t *bits = sn_span_bits(heap->pool, number, slot / 64);
    uint64_t bit = UINT64_C(1) << (slot % 64);
    sn_assert(slot < c->slots && (*bits & bit));
    *bits &= ~bit;
    if (slot / 64 < span->hint)
        span->hint = (uint16_t)(slot / 64);
    span->free++;
    uint32_t *pins = sn_load_relaxed(&span->pins);
    if (sn_unlikely(pins != NULL))
        sn_store_relaxed(&pins[slot], 0);
}

/* After slots of an OPEN span were given back: its place in the lists, or its end. */
static void
settle_locked(struct sn_heap *heap, struct sn_heap_class *hc, struct sn_span *span)
{
    if (sn_span_state(span) != SN_SPAN_OPEN)
        return; /* CLOSED: only who closed it pools or reopens it */
    const struct sn_class *c = sn_heap_class_of_span(heap, span);
    if (span->free == c->slots) {
        list_remove_locked(heap, hc, span);
        release_span_locked(heap, hc, span);
    } else {
        relist_locked(heap, hc, span);
    }
}

/* After locks are given up. */
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

void
sn_heap_put(struct sn_heap *heap, unsigned class_id, const uint64_t *slots, uint32_t count)
{
    enum { AHEAD = 8 }; /* slots; with two lines each, the misses that a core has under way */
    struct sn_heap_class *hc = &heap->of[class_id];
    for (uint32_t i = 0; i < AHEAD && i < count; i++)
        prefetch_span(heap->pool, sn_block_of(slots[i]));
    sn_lock(&hc->lock);
    for (uint32_t i = 0; i < count;) {
        struct sn_span *span = sn_span_at(heap->pool, slots[i]);
        sn_assert(span->class_id == class_id);
        uint32_t begin = i;
        do {
            if (i + AHEAD < count)
                prefetch_span(heap->pool, sn_block_of(slots[i + AHEAD]));
            clear_slot_locked(heap, span, slots[i++]);
        } while (i < count && sn_span_at(heap->pool, slots[i]) == span);
        sn_owner_sub(&hc->used[kind_of(span)], i - begin);
        settle_locked(heap, hc, span);
    }
    sn_unlock(&hc->lock);
    note_freed(heap, class_id, count);
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
    bool all = span->free + count == c->slots && sn_load_relaxed(&span->pins) == NULL;
    if (all) {
        format_bits(heap->pool, number, c);
        span->free = c->slots;
        span->hint = 0;
        sn_owner_sub(&hc->used[kind_of(span)], count);
    }
    sn_unlock(&hc->lock);
    if (all)
        note_freed(heap, span->class_id, count);
    return all;
}

/* ---- large objects --------------------------------------------------------------------------- */

static uint32_t
pages_for(size_t bytes)
{
    return (uint32_t)(sn_round_up(bytes, SN_PAGE_BYTES) >> SN_PAGE_SHIFT);
}

uint64_t
sn_heap_take_large(struct sn_heap *heap, size_t size, size_t extra, bool *zero)
{
    uint8_t old_class;
    if (size > ((uint64_t)heap->pool->blocks << SN_BLOCK_SHIFT) - extra)
        return 0; /* before anything is added to it */
    size_t bytes = size + extra;
    uint64_t blocks = (bytes + SN_BLOCK_BYTES - 1) >> SN_BLOCK_SHIFT;
    if (blocks >= heap->pool->blocks)
        return 0;
    uint32_t number = take_run(heap->pool, (uint32_t)blocks, pages_for(bytes),
                               SN_CHARGE_APPLICATION, zero, &old_class, NULL);
    if (!number)
        return 0;
    struct sn_span *span = &heap->pool->spans[number];
    span->class_id = SN_CLASS_LARGE;
    span->free = pages_for(bytes);
    sn_store_relaxed(&span->large_header, 0); /* a walker may look that saw the last one */
    span->u.large_size = size;
    for (uint32_t block = 0; block < span->blocks; block++) {
        sn_store_release(&heap->pool->class_of[number + block], SN_CLASS_LARGE);
        sn_store_relaxed(&heap->pool->bin_class[number + block], SN_CLASS_NONE);
    }
    /* Release: a walker that sees the state also sees the cleared header word. */
    sn_span_set_state(span, SN_SPAN_LARGE);
    return sn_span_offset(number);
}

void
sn_heap_put_large(struct sn_heap *heap, uint64_t offset)
{
    struct sn_span *span = sn_span_at(heap->pool, offset);
    uint32_t *pins = sn_load_relaxed(&span->pins);
    if (pins) {
        sn_store_relaxed(&span->pins, NULL);
        sn_sub_relaxed(&heap->pin_array_bytes, sizeof(*pins));
        sn_budget_refund(heap->pool->budget, sizeof(*pins));
        sn_os_free(pins);
    }
    put_run(heap->pool, sn_span_number(heap->pool, span));
}

/* ---- closed spans ---------------------------------------------------------------------------- */

uint32_t
sn_heap_close_sparsest(struct sn_heap *heap, unsigned class_id, uint32_t pass,
                       unsigned max_occupancy)
{
    struct sn_heap_class *hc = &heap->of[class_id];
    uint32_t found = 0;
    sn_lock(&hc->lock);
    for (unsigned list = 0; list <= max_occupancy && !found; list++) {
        for (uint32_t at = hc->list[SN_MOVABLE][list]; at; at = heap->pool->spans[at].next) {
            struct sn_span *span = &heap->pool->spans[at];
            bool tried = (span->flags & SN_SPAN_TRIED) && span->v.use.pass == pass;
            if (!tried && !(span->flags & SN_SPAN_DAMAGED)) {
                found = at;
                list_remove_locked(heap, hc, span);
                sn_span_set_state(span, SN_SPAN_CLOSED);
                set_bin_class_locked(heap, span, false);
                break;
            }
        }
    }
    sn_unlock(&hc->lock);
    return found;
}

bool
sn_heap_hold(struct sn_heap *heap, uint32_t number, uint64_t free_bytes)
{
    struct sn_span *span = &heap->pool->spans[number];
    uint8_t class_id = sn_load_relaxed(&heap->pool->class_of[number]);
    if (class_id >= SN_CLASSES_MAX)
        return false;
    struct sn_heap_class *hc = &heap->of[class_id];
    sn_lock(&hc->lock);
    bool open = sn_span_state(span) == SN_SPAN_OPEN &&
                sn_load_relaxed(&heap->pool->class_of[number]) == class_id &&
                sn_span_head(span) == number &&
                (uint64_t)span->free * heap->classes->of[class_id].slot_bytes >= free_bytes;
    if (open) {
        list_remove_locked(heap, hc, span);
        sn_span_set_state(span, SN_SPAN_HELD);
    }
    sn_unlock(&hc->lock);
    return open;
}

bool
sn_heap_reopen(struct sn_heap *heap, uint32_t number, uint8_t flags, uint32_t pass)
{
    struct sn_span *span = &heap->pool->spans[number];
    struct sn_heap_class *hc = &heap->of[span->class_id];
    sn_lock(&hc->lock);
    bool empty = span->free == sn_heap_class_of_span(heap, span)->slots;
    if (empty) {
        release_span_locked(heap, hc, span);
    } else {
        set_flags_locked(span, span->flags | flags);
        if (flags & SN_SPAN_TRIED)
            span->v.use.pass = pass;
        sn_span_set_state(span, SN_SPAN_OPEN);
        set_bin_class_locked(heap, span, sn_load_relaxed(&span->pins) != NULL);
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
    struct sn_span *span = &heap->pool->spans[number];
    struct sn_heap_class *hc = &heap->of[span->class_id];
    uint32_t words = (sn_heap_class_of_span(heap, span)->slots + 63) / 64;
    sn_lock(&hc->lock);
    for (uint32_t word = 0; word < words; word++)
        bits[word] = *sn_span_bits(heap->pool, number, word);
    sn_unlock(&hc->lock);
}

uint32_t
sn_heap_recoverable(const struct sn_heap *heap, unsigned class_id)
{
    const struct sn_heap_class *hc = &heap->of[class_id];
    uint32_t slots = heap->classes->of[class_id].slots;
    uint64_t used = sn_load_relaxed(&hc->used[SN_MOVABLE]);
    uint64_t spans = sn_load_relaxed(&hc->spans[SN_MOVABLE]);
    uint64_t least = (used + slots - 1) / slots;
    return spans > least ? (uint32_t)(spans - least) : 0;
}

/* ---- pins ------------------------------------------------------------------------------------ */

/* Publishes the counts of a span, unless another pinner was faster: the result is whose stand. */
static uint32_t *
publish_pins(struct sn_heap *heap, struct sn_span *span, uint32_t *made)
{
    uint32_t *there = NULL;
    if (sn_span_state(span) == SN_SPAN_LARGE)
        return sn_cas_acq_rel(&span->pins, &there, made) ? made : there;
    struct sn_heap_class *hc = &heap->of[span->class_id];
    sn_lock(&hc->lock);
    /* First: whoever learns of a pin from its pinner must not free past it. */
    set_bin_class_locked(heap, span, true);
    /* Release: pairs with the acquire in sn_heap_pins; the counts are seen as zeroed. */
    bool first = sn_cas_acq_rel(&span->pins, &there, made);
    sn_unlock(&hc->lock);
    return first ? made : there;
}

uint32_t *
sn_heap_pins(struct sn_heap *heap, struct sn_span *span)
{
    /* Acquire: pairs with the publishing CAS; the counts are seen as zeroed. */
    uint32_t *pins = sn_load_acquire(&span->pins);
    if (sn_likely(pins != NULL))
        return pins;
    uint32_t slots =
        sn_span_state(span) == SN_SPAN_LARGE ? 1 : heap->classes->of[span->class_id].slots;
    uint32_t *made = sn_os_zalloc(slots * sizeof(*made));
    if (!made)
        return NULL;
    pins = publish_pins(heap, span, made);
    if (pins != made) {
        sn_os_free(made);
        return pins;
    }
    sn_add_relaxed(&heap->pin_array_bytes, slots * sizeof(*made));
    sn_budget_charge(heap->pool->budget, slots * sizeof(*made), SN_CHARGE_ALWAYS);
    return made;
}

/* ---- life cycle ------------------------------------------------------------------------------ */

void
sn_heap_init(struct sn_heap *heap, struct sn_pool *pool, const struct sn_classes *classes)
{
    heap->pool = pool;
    heap->classes = classes;
    heap->wake_at = UINT64_MAX;
    for (unsigned i = 0; i < classes->count; i++)
        sn_lock_init(&heap->of[i].lock, SN_RANK_CLASS);
}
