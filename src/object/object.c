/* SPDX-License-Identifier: MIT */
/* object.c - see object.h. The protocol's guarantees stand in reference.h. */
#include "object/object.h"

#include <sched.h>
#include <string.h>

#include "core/hardened.h"
#include "core/report.h"
#include "memory/trim.h"
#include "object/inner.h"
#include "object/shortage.h"
#include "thread/limbo.h"
#include "thread/refill.h"

/* ---- slots ----------------------------------------------------------------------------------- */

void
sn_object_report_damage(handle_store *store, uint64_t slot, const char *where)
{
    if (store->hardened)
        sn_hardened_header_report(store, slot, 0, NULL);
    sn_heap_note_damage(&store->heap, slot);
    sn_store_print_damage(store, slot, where);
}

size_t
sn_object_slot_bytes(const handle_store *store, uint64_t slot)
{
    unsigned class_id = sn_object_class(store, slot);
    if (class_id < SN_CLASSES_MAX)
        return store->classes.of[class_id].slot_bytes;
    return (size_t)sn_load_relaxed(&store->pool.spans[sn_block_of(slot)].free) << SN_PAGE_SHIFT;
}

static void
count_alloc(handle_store *store, uint64_t slot, size_t size)
{
    unsigned class_id = sn_object_class(store, slot);
    struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    if (class_id < SN_CLASSES_MAX) {
        sn_cache_count_alloc(cache, class_id);
    } else {
        sn_add_relaxed(&store->large.objects, 1);
        sn_add_relaxed(&store->large.requested, size);
        sn_add_relaxed(&store->large.live_bytes, sn_object_slot_bytes(store, slot));
        sn_add_relaxed(&store->large.allocs, 1);
    }
}

static void
count_free(handle_store *store, uint64_t slot, size_t size)
{
    unsigned class_id = sn_object_class(store, slot);
    struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    if (class_id < SN_CLASSES_MAX) {
        sn_cache_count_free(cache, class_id);
    } else {
        sn_sub_relaxed(&store->large.objects, 1);
        sn_sub_relaxed(&store->large.requested, size);
        sn_sub_relaxed(&store->large.live_bytes, sn_object_slot_bytes(store, slot));
        sn_add_relaxed(&store->large.frees, 1);
    }
}

/* What sn_slot_acquire asks for. */
struct slot_request {
    size_t size;
    size_t capacity; /* not 0: a large object, with room for so many bytes, which stays */
    unsigned flags;
    bool zero; /* answer: the bytes are zero already */
};

/* One attempt. */
static uint64_t
try_take(handle_store *store, void *opaque)
{
    struct slot_request *request = opaque;
    request->zero = false;
    if (request->capacity > 0)
        return sn_large_take_capacity(&store->large, request->size, request->capacity,
                                      &request->zero);
    if (request->size > sn_classes_max_size(&store->classes))
        return sn_large_take(&store->large, request->size, request->flags & SN_OBJECT_GROWS,
                             &request->zero);
    unsigned class_id = sn_class_for(&store->classes, request->size + store->classes.extra);
    if (request->flags & HANDLE_UNMOVABLE) {
        uint64_t slot;
        return sn_heap_take(&store->heap, class_id, SN_UNMOVABLE, SN_CHARGE_APPLICATION, 1, &slot)
                   ? slot
                   : 0;
    }
    if (sn_unlikely(sn_budget_credit > 0)) /* for this object alone */
        return sn_heap_take_one(&store->heap, class_id);
    return sn_cache_refill(&store->caches, sn_cache_self(&store->caches), class_id);
}

static struct sn_need
need_of(const handle_store *store, const struct slot_request *request)
{
    struct sn_need need = {.bytes = request->size, .class_id = SN_CLASS_NONE};
    if (request->capacity > 0 || request->size > sn_classes_max_size(&store->classes)) {
        size_t extra = store->classes.extra, room = sn_max(request->size, request->capacity);
        need.page_bytes = sn_round_up(request->size + extra, SN_PAGE_BYTES);
        need.run_bytes = sn_round_up(room + extra, SN_PAGE_BYTES);
        if (sn_budget_lacks(&store->budget, need.page_bytes, SN_CHARGE_APPLICATION) == 0)
            need.bytes = room; /* there is no run so long */
        return need;
    }
    need.class_id = sn_class_for(&store->classes, request->size + store->classes.extra);
    need.page_bytes = sn_round_up(store->classes.of[need.class_id].slot_bytes, SN_PAGE_BYTES);
    need.unmovable = (request->flags & HANDLE_UNMOVABLE) != 0;
    return need;
}

/* A slot, not yet counted. 0: errno is set. */
static uint64_t
take(handle_store *store, struct slot_request *request)
{
    if (request->size > (uint64_t)store->pool.blocks << SN_BLOCK_SHIFT) {
        errno = EINVAL;
        return 0;
    }
    uint64_t slot = try_take(store, request);
    if (sn_likely(slot != 0)) {
        unsigned class_id = sn_object_class(store, slot);
        sn_shortage_end_wait(store, class_id < SN_CLASSES_MAX ? class_id : SN_CLASS_NONE, false);
    } else {
        struct sn_need need = need_of(store, request);
        slot = sn_shortage_resolve(store, &need, try_take, request);
        if (!slot)
            return 0;
    }
    if (sn_unlikely(store->hardened))
        sn_poison_check(store, slot);
    if ((request->flags & HANDLE_ZERO) && !request->zero)
        memset(sn_store_address(store, slot), 0, request->size);
    return slot;
}

/* Counts a slot that no grace period brings back. */
static void
count_unreclaimable(handle_store *store, uint64_t slot, uint64_t bytes)
{
    unsigned class_id = sn_object_class(store, slot);
    sn_add_relaxed(&store->caches.unreclaimable_bytes, bytes);
    if (class_id < SN_CLASSES_MAX)
        sn_add_relaxed(&store->heap.of[class_id].unreclaimable, 1);
}

/* Ends that, before the slot may come back. */
static void
count_reclaimable(handle_store *store, uint64_t slot, uint64_t bytes)
{
    unsigned class_id = sn_object_class(store, slot);
    sn_sub_relaxed(&store->caches.unreclaimable_bytes, bytes);
    if (class_id < SN_CLASSES_MAX)
        sn_sub_relaxed(&store->heap.of[class_id].unreclaimable, 1);
}

static uint64_t
acquire(handle_store *store, struct slot_request *request)
{
    uint64_t slot = take(store, request);
    if (sn_likely(slot != 0))
        count_alloc(store, slot, request->size);
    return slot;
}

uint64_t
sn_slot_acquire(handle_store *store, size_t size, unsigned flags)
{
    struct slot_request request = {.size = size, .flags = flags};
    return acquire(store, &request);
}

uint64_t
sn_slot_acquire_uncommitted(handle_store *store, size_t size, unsigned flags)
{
    struct slot_request request = {.size = size, .flags = flags};
    uint64_t slot = take(store, &request);
    if (slot)
        count_unreclaimable(store, slot, sn_object_slot_bytes(store, slot));
    return slot;
}

void
sn_object_count_committed(handle_store *store, uint64_t slot, size_t size)
{
    count_alloc(store, slot, size);
    count_reclaimable(store, slot, sn_object_slot_bytes(store, slot));
}

/* Makes a slot whose header is clear free. */
static void
give_slot_back(handle_store *store, uint64_t slot)
{
    unsigned class_id = sn_object_class(store, slot);
    if (class_id < SN_CLASSES_MAX && sn_object_bin(store, slot) != class_id)
        sn_heap_put(&store->heap, class_id, &slot, 1);
    else if (class_id < SN_CLASSES_MAX)
        sn_cache_flush(&store->caches, sn_cache_self(&store->caches), class_id, slot);
    else
        sn_sub_relaxed(&store->caches.limbo_bytes, sn_large_put(&store->large, slot));
    if (class_id >= SN_CLASSES_MAX)
        sn_store_signal(store, false); /* there is something to purge */
}

/* A slot that nobody has seen goes back. */
static void
drop(handle_store *store, uint64_t slot)
{
    sn_store_release(sn_header_of(&store->pool, slot), 0);
    if (store->hardened)
        sn_poison_write(store, slot);
    give_slot_back(store, slot);
}

void
sn_slot_abandon(handle_store *store, uint64_t slot, size_t size)
{
    count_free(store, slot, size);
    drop(store, slot);
}

void
sn_slot_retire_unseen(handle_store *store, uint64_t slot, size_t size)
{
    count_free(store, slot, size);
    sn_store_release(sn_header_of(&store->pool, slot), 0);
    sn_object_leave(store, slot);
}

void
sn_object_drop_uncommitted(handle_store *store, uint64_t slot)
{
    count_reclaimable(store, slot, sn_object_slot_bytes(store, slot));
    drop(store, slot);
}

void
sn_object_set_owner_any(handle_store *store, uint64_t slot, size_t size, const uint64_t *reference)
{
    if (sn_unlikely(store->hardened))
        sn_canary_write(store, slot, size);
    unsigned class_id = sn_object_class(store, slot);
    if (sn_likely(class_id < SN_CLASSES_MAX))
        sn_object_set_owner(store, slot, size & SN_HEADER_SIZE, reference);
    else
        /* Release: as in sn_object_set_owner; a walk follows it. */
        sn_store_release(sn_header_of(&store->pool, slot),
                         sn_header_make(store->secret, reference, 0, slot));
}

uint64_t
sn_object_hand_on_mark(handle_store *store, uint64_t header, uint64_t from, uint64_t to)
{
    uint64_t *header_word = sn_header_of(&store->pool, to);
    if (sn_likely(!sn_marks_sampled(sn_header_marks(store->secret, header, from))))
        return 0;
    uint64_t draws = sn_profile_draws(store);
    /* Release: as in sn_object_set_owner. */
    sn_store_release(header_word,
                     sn_header_with_mark(sn_load_relaxed(header_word), SN_HEADER_SAMPLED));
    return draws + 1;
}

/* ---- the end of an object -------------------------------------------------------------------- */

/* Clears the header of an object whose word has ended, and counts. This is what fast frees leave
 * out: it looks whether the header is sound. */
static void
end_header(handle_store *store, uint64_t slot, const uint64_t *reference)
{
    uint64_t *header = sn_header_of(&store->pool, slot);
    bool large = sn_object_class(store, slot) == SN_CLASS_LARGE;
    uint64_t seen = large ? sn_large_end(&store->large, slot) : sn_load_relaxed(header);
    bool sound = sn_object_is_named_by(store, slot, seen, reference);
    size_t size = sn_object_size(store, slot, sound ? seen : 0);
    if (sn_unlikely(store->hardened)) {
        if (!sound)
            sn_hardened_header_report(store, slot, seen, reference);
        sn_canary_require(store, slot, size, reference);
    }
    /* Release: whoever sees it clear also sees that the word has ended. A resize in place that
     * races with us has changed it before, or finds it clear (G4). */
    sn_store_release(header, 0);
    count_free(store, slot, size);
    if (sn_unlikely(!sound))
        sn_object_report_damage(store, slot, "free");
}

bool
sn_object_has_older_name(const handle_store *store, uint64_t slot, uint64_t header,
                         const uint64_t *reference)
{
    return sn_reference_is_inner(store, reference) &&
           sn_header_has_object(store->secret, header, slot) &&
           sn_reference_is_inner(store, sn_header_reference(header));
}

/* ---- retiring -------------------------------------------------------------------------------- */

static void
put_in_limbo(handle_store *store, uint64_t slot, uint64_t bytes)
{
    struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    bool own = !cache->shared;
    bool entered = own && sn_cache_enter(cache);
    sn_cache_retire(&store->caches, cache, entered, slot, bytes);
    if (own)
        sn_cache_leave(cache);
}

/* A slot as pins know it: its span, and its number there. */
struct place {
    uint32_t number, slot;
};

static struct place
place_of(const handle_store *store, uint64_t slot)
{
    const struct sn_span *span = sn_span_at(&store->pool, slot);
    uint32_t number = sn_span_number(&store->pool, span);
    if (sn_object_class(store, slot) == SN_CLASS_LARGE) /* also of one that is just ending */
        return (struct place){number, 0};
    return (struct place){number,
                          sn_slot_of(sn_heap_class_of_span(&store->heap, span), number, slot)};
}

/* Of any address: false if it is not that of a slot's object in a span in use. */
static bool
find_place(const handle_store *store, const void *object, struct place *place)
{
    if (!sn_store_contains(store, object))
        return false;
    uint64_t offset = sn_store_offset(store, object);
    unsigned class_id = sn_object_class(store, offset);
    uint32_t number = sn_span_number(&store->pool, sn_span_at(&store->pool, offset));
    *place = (struct place){number, 0};
    if (class_id == SN_CLASS_LARGE)
        return offset == sn_span_offset(number);
    if (class_id >= SN_CLASSES_MAX)
        return false;
    const struct sn_class *c = &store->classes.of[class_id];
    if (offset < sn_slot_offset(c, number, 0))
        return false;
    place->slot = sn_slot_of(c, number, offset);
    return place->slot < c->slots && sn_slot_offset(c, number, place->slot) == offset;
}

/* Ends the object for its pinners (G5). False: the last unpin will retire the slot. So long it is
 * counted; and before, since from then on the slot is the unpin's, which takes that back. */
static bool
end_or_leave_to_pinners(handle_store *store, uint64_t slot)
{
    if (sn_likely(sn_object_pins(store, slot) == 0))
        return true;
    struct place at = place_of(store, slot);
    uint64_t bytes = sn_object_slot_bytes(store, slot);
    count_unreclaimable(store, slot, bytes);
    sn_hook(SN_HOOK_FREE_PINNED, sn_store_address(store, slot));
    if (!sn_pins_end_object(&store->heap.pins, at.number, at.slot))
        return false;
    count_reclaimable(store, slot, bytes); /* nobody pins it any more */
    return true;
}

bool
sn_object_is_unpinned(handle_store *store, uint64_t slot)
{
    if (sn_likely(end_or_leave_to_pinners(store, slot)))
        return true;
    sn_sub_relaxed(&store->caches.limbo_bytes, sn_object_slot_bytes(store, slot));
    return false;
}

void
sn_object_give_way(handle_store *store)
{
    uint64_t live = sn_load_relaxed(&store->pool.arena_committed);
    if (sn_likely(sn_load_relaxed(&store->caches.limbo_bytes) <=
                  sn_max(SN_LIMBO_MUCH_BYTES, live / 20)))
        return;
    sn_hook(SN_HOOK_GIVE_WAY, store);
    sn_store_signal(store, true);
    if (!store->rcu->flavor->read_ongoing())
        sched_yield();
}

void
sn_object_end(handle_store *store, uint64_t slot, const uint64_t *reference)
{
    end_header(store, slot, reference);
}

void
sn_object_leave(handle_store *store, uint64_t slot)
{
    if (end_or_leave_to_pinners(store, slot))
        put_in_limbo(store, slot, sn_object_slot_bytes(store, slot));
    sn_object_give_way(store);
}

void
sn_object_retire(handle_store *store, uint64_t slot, const uint64_t *reference)
{
    sn_object_end(store, slot, reference);
    sn_object_leave(store, slot);
}

uint64_t
sn_object_begin_retired(handle_store *store, uint64_t slot, const uint64_t *reference)
{
    uint64_t *header = sn_header_of(&store->pool, slot);
    uint64_t size, seen;
    if (sn_object_class(store, slot) == SN_CLASS_LARGE) {
        seen = sn_large_end(&store->large, slot);
    } else { /* by CAS: a resize in place may race (G4); there is always a size */
        seen = sn_load_relaxed(header);
        while (!sn_cas_acq_rel(header, &seen, sn_header_make_retired(sn_header_size(seen), 0)))
            ;
    }
    size = sn_object_size(store, slot, seen);
    if (sn_unlikely(!sn_object_is_owned_by(store, slot, seen, reference))) {
        if (store->hardened)
            sn_hardened_header_report(store, slot, seen, reference);
        sn_object_report_damage(store, slot, "retire");
    }
    sn_add_relaxed(&store->caches.limbo_bytes, sn_object_slot_bytes(store, slot));
    count_free(store, slot, size);
    return sn_header_size(seen);
}

void
sn_object_end_retired(handle_store *store, uint64_t slot)
{
    uint64_t *header = sn_header_of(&store->pool, slot);
    uint64_t bytes = sn_object_slot_bytes(store, slot);
    if (store->hardened)
        sn_canary_require(store, slot, sn_object_size(store, slot, sn_load_relaxed(header)), NULL);
    /* Release: whoever sees it clear also sees that the word has ended, as in end_header. */
    sn_store_release(header, 0);
    if (end_or_leave_to_pinners(store, slot)) /* by the fallback cache: the thread keeps none */
        sn_cache_retire(&store->caches, store->caches.fallback, false, slot, bytes);
    sn_sub_relaxed(&store->caches.limbo_bytes, bytes);
}

void
sn_object_reuse(handle_store *store, uint64_t slot, const uint64_t *reference)
{
    bool pinned = sn_object_pins(store, slot) != 0;
    /* The word has ended before we look for walkers; one that found it live has counted itself
     * before. Its membarrier stands for our fence, where the kernel has that. Acquire: pairs with
     * the release of a walk's end; what it read it has read before the slot is used again. */
    if (sn_unlikely(!sn_os_membarrier_init()))
        sn_fence_seq_cst();
    else
        sn_fence_compiler();
    if (pinned || sn_load_acquire(&store->caches.walkers) != 0) {
        sn_object_retire(store, slot, reference);
        return;
    }
    end_header(store, slot, reference);
    if (store->hardened)
        sn_poison_write(store, slot);
    give_slot_back(store, slot);
}

/* ---- pins ------------------------------------------------------------------------------------ */

/* What try_raise is asked for, and its answer. */
struct pin_request {
    uint64_t slot, flags;
    uint32_t changes;
};

static uint64_t
try_raise(handle_store *store, void *opaque)
{
    struct pin_request *request = opaque;
    struct place at = place_of(store, request->slot);
    return sn_pins_raise(&store->heap.pins, at.number, at.slot, request->flags, &request->changes);
}

bool
sn_object_pin(handle_store *store, uint64_t slot, uint64_t flags, uint32_t *changes)
{
    const struct sn_need need = {
        .bytes = SN_PAGE_BYTES, .page_bytes = SN_PAGE_BYTES, .class_id = SN_CLASS_NONE};
    struct pin_request request = {.slot = slot, .flags = flags};
    uint64_t small = sn_load_relaxed(&store->heap.pins.small);
    bool raised = try_raise(store, &request);
    if (sn_unlikely(!raised) && sn_load_relaxed(&store->heap.pins.small) != small) {
        sn_store_count_failure(store, HANDLE_ALLOC_FAILURE_ARENA_SMALL);
        errno = ENOMEM; /* whatever comes back: only an unpin helps */
        return false;
    }
    if (sn_likely(raised))
        sn_shortage_end_wait(store, SN_CLASS_NONE, false);
    else if (!sn_shortage_resolve(store, &need, try_raise, &request))
        return false;
    *changes = request.changes;
    sn_hook(SN_HOOK_PIN_COUNTED, sn_store_address(store, slot));
    return true;
}

static bool
unpin(handle_store *store, uint64_t slot, struct place at)
{
    unsigned last = sn_pins_lower(&store->heap.pins, at.number, at.slot);
    /* The span may end with this unpin, unless the slot is ours to retire. */
    if (last == SN_UNPIN_NOTHING)
        return false;
    if (last & SN_UNPIN_RETIRE) {
        uint64_t bytes = sn_object_slot_bytes(store, slot);
        count_reclaimable(store, slot, bytes);
        put_in_limbo(store, slot, bytes);
    }
    if (last & SN_UNPIN_COME_BACK)
        sn_heap_come_back(&store->heap, at.number);
    sn_mover_unpinned(store);
    return true;
}

bool
sn_object_unpin(handle_store *store, uint64_t slot)
{
    return unpin(store, slot, place_of(store, slot));
}

bool
sn_object_unpin_address(handle_store *store, const void *object)
{
    struct place at;
    return find_place(store, object, &at) && unpin(store, sn_store_offset(store, object), at);
}

uint64_t
sn_object_pins(handle_store *store, uint64_t slot)
{
    if (sn_likely(!sn_pins_any(sn_span_at(&store->pool, slot))))
        return 0;
    struct place at = place_of(store, slot);
    return sn_pins_look(&store->heap.pins, at.number, at.slot);
}

void
sn_object_note_relocation(handle_store *store, uint64_t slot)
{
    struct place at = place_of(store, slot);
    sn_pins_note_change(&store->heap.pins, at.number, at.slot);
}

/* ---- words ----------------------------------------------------------------------------------- */

uint64_t
sn_reference_unmark(const handle_store *store, uint64_t *reference, uint64_t word, uint64_t want,
                    uint64_t mask)
{
    /* G3: the CAS makes the mover's publish fail. The loop ends: MOVING is set again only after the
     * mover has seen LIVE, and a new mark needs a new batch. */
    while (((word ^ want) & mask) == 0 && sn_word_is_marked(word)) {
        if (sn_word_is_retired(word))
            return word & ~SN_WORD_LIVE;
        uint64_t live = sn_object_as_live(store, word);
        if (sn_cas_acq_rel(reference, &word, live))
            return live;
    }
    return word;
}

bool
sn_object_read_size(const handle_store *store, const uint64_t *reference, uint64_t want,
                    uint64_t mask, size_t *size, uint64_t *slot)
{
    uint64_t last = 0;
    for (;;) {
        uint64_t word = sn_load_acquire(reference);
        if (((word ^ want) & mask) != 0)
            return false;
        *slot = sn_word_offset(word);
        /* Acquire: pairs with the release in end_header; a clear header shows that R has
         * changed. */
        uint64_t header = sn_load_acquire(sn_header_of(&store->pool, *slot));
        if (sn_header_has_object(store->secret, header, *slot)) {
            /* It names R, or, just being relocated, the other cell of R's object. */
            *size = sn_object_size(store, *slot, header);
            if (sn_header_reference(header) == reference)
                return true;
            if (sn_load_acquire(reference) == word)
                return !sn_reference_is_left_cell(word, mask);
            continue;
        }
        if (sn_reference_is_left_cell(word, mask))
            return false;               /* no header keeps its size */
        if (sn_word_is_retired(word)) { /* the header still has it (G11) */
            *size = sn_object_size(store, *slot, header);
            if (sn_load_acquire(reference) == word)
                return true;
            continue;
        }
        if (word == last) { /* not a race: nobody changed R since the last look */
            if (!sn_reference_is_inner(store, reference)) /* a frozen cell does not show ends */
                sn_object_report_damage(sn_store_mutable(store), *slot, "size");
            return false;
        }
        last = word;
    }
}

/* ---- resize ---------------------------------------------------------------------------------- */

/* Same slot: only the size changes, by CAS from the value that named R (G4). */
static int
resize_in_place(handle_store *store, uint64_t slot, uint64_t header, const uint64_t *reference,
                size_t size)
{
    uint64_t want = sn_header_make(store->secret, reference, size & SN_HEADER_SIZE, slot);
    want = sn_header_with_mark(want, sn_header_marks(store->secret, header, slot));
    return sn_cas_acq_rel(sn_header_of(&store->pool, slot), &header, want) ? 0 : -ENOENT;
}

/*
 * The same, if nobody pins the slot. Kept from being pinned meanwhile: an update that begins sees
 * the size that we set, or has begun, and its commit will find the object in another slot (G5).
 * -E2BIG: it is pinned.
 */
static int
resize_unpinned(handle_store *store, uint64_t slot, uint64_t header, const uint64_t *reference,
                size_t size)
{
    int result = -E2BIG;
    struct place at = place_of(store, slot);
    struct sn_lock *lock = sn_pins_lock(&store->heap.pins, at.number);
    if (sn_pins_look_locked(&store->heap.pins, at.number, at.slot) == 0)
        result = resize_in_place(store, slot, header, reference, size);
    sn_unlock(lock);
    return result;
}

/* What a resize of a large object in place asks for. */
struct stretch {
    struct sn_large_resize resize;
    enum sn_resized result;
};

/* If nobody pins the object, as in resize_unpinned. */
static void
stretch_unpinned_once(handle_store *store, struct stretch *stretch)
{
    uint32_t number = sn_block_of(stretch->resize.offset);
    struct sn_lock *lock = sn_pins_lock(&store->heap.pins, number);
    stretch->result = sn_pins_look_locked(&store->heap.pins, number, 0) == 0
                          ? sn_large_resize(&store->large, &stretch->resize)
                          : SN_RESIZE_NO_ROOM;
    sn_unlock(lock);
}

/* Again when who works on the pages behind has finished: the lock is one that it may take. */
static void
stretch_unpinned(handle_store *store, struct stretch *stretch)
{
    stretch_unpinned_once(store, stretch);
    while (stretch->result == SN_RESIZE_CLAIMED) {
        sn_large_await_claim(&store->large, stretch->resize.offset);
        stretch_unpinned_once(store, stretch);
    }
}

/* One attempt, again while room can be made, which is done without the lock; 0: max_bytes refuses
 * the pages. */
static uint64_t
try_stretch(handle_store *store, void *opaque)
{
    struct stretch *stretch = opaque;
    stretch_unpinned(store, stretch);
    for (int round = 0; stretch->result == SN_RESIZE_REFUSED && round < SN_POOL_ROUNDS; round++) {
        if (!sn_heap_make_room(&store->heap, stretch->resize.lacks))
            break;
        stretch_unpinned(store, stretch);
    }
    return stretch->result == SN_RESIZE_REFUSED ? 0 : stretch->resize.offset;
}

static void
count_stretch(handle_store *store, const struct sn_large_resize *resize)
{
    uint64_t more = sn_wrapping_sub(resize->size, resize->before);
    sn_add_relaxed(&store->large.requested, more);
    sn_add_relaxed(&store->large.live_bytes, (uint64_t)(resize->pages * (int64_t)SN_PAGE_BYTES));
    uint64_t tail = (uint64_t)resize->tail_bytes;
    uint64_t limbo = __atomic_add_fetch(&store->caches.limbo_bytes, tail, __ATOMIC_RELAXED);
    if (resize->tail_bytes > 0)
        sn_store_signal(store, limbo >= sn_load_relaxed(&store->caches.urgent_bytes));
}

/* Large and stays large: where it lies, if nobody pins it and there is room; else -E2BIG. In the
 * place of the size a large object's header counts its resizes, so that each changes the header. */
static int
resize_large_in_place(handle_store *store, uint64_t slot, uint64_t header,
                      const uint64_t *reference, const struct sn_resize *to)
{
    uint64_t count = (sn_header_size(header) + 1) & SN_HEADER_SIZE;
    uint64_t want = sn_header_make(store->secret, reference, count, slot);
    double weight = sn_profile_draw_again(store, to->size);
    want = sn_header_with_mark(want, weight > 0 ? SN_HEADER_SAMPLED : 0);
    struct stretch stretch = {.resize = {.offset = slot,
                                         .header = header,
                                         .want = want,
                                         .size = to->size,
                                         .capacity = to->capacity}};
    if (try_stretch(store, &stretch)) {
        sn_shortage_end_wait(store, SN_CLASS_NONE, false);
    } else { /* only what is added may be refused */
        size_t before = sn_object_size(store, slot, header);
        size_t more = to->size > before ? to->size - before : 1; /* what keeps account of room */
        struct sn_need need = {.bytes = more,
                               .page_bytes = sn_round_up(more, SN_PAGE_BYTES),
                               .class_id = SN_CLASS_NONE};
        if (!sn_shortage_resolve(store, &need, try_stretch, &stretch))
            return -errno;
    }
    if (stretch.result == SN_RESIZED) {
        count_stretch(store, &stretch.resize);
        if (weight > 0)
            sn_profile_keep_marked(store, slot, to->size, weight);
    }
    return stretch.result == SN_RESIZED ? 0 : stretch.result == SN_RESIZE_LOST ? -ENOENT : -E2BIG;
}

/* The capacity that an object of a slot has from now on; 0: none. */
static size_t
capacity_of(const handle_store *store, uint64_t slot, const struct sn_resize *to)
{
    bool large = sn_object_class(store, slot) == SN_CLASS_LARGE;
    size_t capacity = to->capacity;
    if (capacity == 0 && large)
        capacity = sn_large_capacity(&store->large, slot);
    return capacity >= to->size && capacity > sn_classes_max_size(&store->classes) ? capacity : 0;
}

static bool
fits_in_place(const handle_store *store, uint64_t slot, const struct sn_resize *to)
{
    unsigned class_id = sn_object_class(store, slot);
    return class_id < SN_CLASSES_MAX && to->size <= sn_classes_max_size(&store->classes) &&
           sn_class_for(&store->classes, to->size + store->classes.extra) == class_id &&
           capacity_of(store, slot, to) == 0;
}

static bool
stays_large(const handle_store *store, uint64_t slot, const struct sn_resize *to)
{
    return sn_object_class(store, slot) == SN_CLASS_LARGE &&
           (to->size > sn_classes_max_size(&store->classes) || capacity_of(store, slot, to) > 0);
}

/* The same bytes; others may cancel moves by the cells among them. */
static void
copy_words(uint64_t *to, const uint64_t *from, size_t bytes)
{
    for (size_t i = 0; i < (bytes + 7) / 8; i++)
        to[i] = sn_load_relaxed(&from[i]);
}

/* Contents of the new slot. Of a parent what is added is zero. *cells: what was carried. */
static int
fill_resized(handle_store *store, uint64_t from, size_t before, uint64_t to, size_t size,
             bool parent, struct handle_cells *cells)
{
    char *object = sn_store_address(store, to);
    size_t kept = sn_min(before, size);
    if (!parent) {
        memcpy(object, sn_store_address(store, from), kept);
        return 0;
    }
    copy_words((uint64_t *)(void *)object, sn_store_address(store, from), kept);
    memset(object + kept, 0, size - kept);
    return sn_inner_replace(store, "resize", from, before, to, size, cells);
}

/* Another slot: filled in private, then R is turned to it by CAS. */
static int
resize_by_copy(handle_store *store, uint64_t word, uint64_t header, uint64_t *reference,
               const struct sn_resize *to)
{
    uint64_t old_slot = sn_word_offset(word);
    unsigned flags = sn_object_flags(store, word, header);
    size_t before = sn_object_size(store, old_slot, header), size = to->size;
    unsigned grows = size > before ? SN_OBJECT_GROWS : 0;
    struct slot_request request = {.size = size, .flags = flags | grows};
    struct handle_cells cells;
    if (!store->hardened)
        request.capacity = capacity_of(store, old_slot, to);
    uint64_t slot = acquire(store, &request);
    if (!slot)
        return -errno;
    int result = fill_resized(store, old_slot, before, slot, size, flags & HANDLE_CELLS, &cells);
    if (sn_unlikely(result != 0)) {
        sn_slot_abandon(store, slot, size);
        return result;
    }
    sn_object_set_owner_any(store, slot, size, reference);
    sn_object_note_flags(store, slot, flags);
    double weight = sn_profile_draw_again(store, size);
    if (sn_unlikely(weight > 0))
        sn_profile_keep(store, slot, size, weight);
    sn_hook(SN_HOOK_RESIZE_COPIED, sn_store_address(store, old_slot));
    /* A mark (LIVE to MOVING) or a new tag meanwhile is no conflict; another slot or an end is. */
    while (sn_word_has_object(word) && sn_word_offset(word) == old_slot &&
           !sn_word_is_retired(word)) {
        uint64_t tag = sn_word_tag(word);
        uint64_t special = flags != 0 ? SN_WORD_SPECIAL : 0;
        if (sn_cas_acq_rel(reference, &word, sn_word_at(word, slot) | special)) {
            if (flags & HANDLE_CELLS)
                sn_inner_turn(store, old_slot, slot, &cells, true);
            sn_object_retire(store, old_slot, reference);
            return 0;
        }
        if (sn_table_owns(&store->table, reference) && sn_word_tag(word) != tag)
            break; /* freed, and the index issued again */
    }
    sn_slot_abandon(store, slot, size);
    return -ENOENT;
}

/* In place if it fits there; a parent always gets another slot. -ENOENT: lost to another resize,
 * commit or free, or the header was turned. In place it keeps the name that its header has, which
 * may be an older one (G13). */
static int
resize_found(handle_store *store, uint64_t word, uint64_t header, uint64_t *reference,
             const struct sn_resize *to)
{
    uint64_t slot = sn_word_offset(word);
    int result = -E2BIG;
    const uint64_t *name = sn_header_reference(header);
    bool may_stay = !store->hardened && !sn_object_has_cells(store, slot, header);
    if (may_stay && fits_in_place(store, slot, to))
        result = resize_unpinned(store, slot, header, name, to->size);
    else if (may_stay && stays_large(store, slot, to))
        result = resize_large_in_place(store, slot, header, name, to);
    return result == -E2BIG ? resize_by_copy(store, word, header, reference, to) : result;
}

static int
resize(handle_store *store, uint64_t *reference, uint64_t want, uint64_t mask,
       const struct sn_resize *to)
{
    uint64_t last = 0;
    for (;;) {
        /* A pending move is cancelled: the copy it would publish has the old size. */
        uint64_t word = sn_reference_cancel_move(store, reference, want, mask);
        if (((word ^ want) & mask) != 0)
            return -ENOENT;
        uint64_t slot = sn_word_offset(word);
        uint64_t header = sn_load_acquire(sn_header_of(&store->pool, slot));
        if (sn_object_is_named_by(store, slot, header, reference)) {
            if (sn_object_pins(store, slot) & SN_PIN_WRITTEN)
                return -EBUSY;
            /* A pinned object changes its slot, so that an update under way sees the change. */
            sn_hook(SN_HOOK_RESIZE_LOADED, sn_store_address(store, slot));
            int result = resize_found(store, word, header, reference, to);
            bool lives = ((sn_load_acquire(reference) ^ want) & mask) == 0;
            if (result != -ENOENT || !lives)
                return result;
            continue; /* lost to another resize or commit, not to a free */
        }
        if (sn_header_has_object(store->secret, header, slot)) {
            if (sn_load_acquire(reference) == word)
                return -ENOENT; /* just being relocated: the object has the other cell's name */
            continue;
        }
        if (word == last) {
            sn_object_report_damage(store, slot, "resize");
            return -EINVAL;
        }
        last = word;
    }
}

int
sn_object_resize(handle_store *store, uint64_t *reference, uint64_t want, uint64_t mask,
                 const struct sn_resize *to)
{
    if (sn_max(to->size, to->capacity) > (uint64_t)store->pool.blocks << SN_BLOCK_SHIFT)
        return -EINVAL;
    sn_slow_call_begin(&store->caches);
    int result = resize(store, reference, want, mask, to);
    sn_slow_call_end(&store->caches);
    return result;
}
