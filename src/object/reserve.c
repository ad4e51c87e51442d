/* SPDX-License-Identifier: MIT */
/* reserve.c - see object/reserve.h: how a reservation begins, and how it ends in nothing. */
#include "object/reserve.h"

#include "core/hardened.h"
#include "object/inner.h"

/* ---- begin ----------------------------------------------------------------------------------- */

static inline void *
begin(handle_store *store, uint64_t slot, size_t size, unsigned flags, enum sn_reserved_kind kind,
      struct handle_reserved *public_reserved)
{
    struct sn_reserved *reserved = sn_reserved(public_reserved);
    reserved->object = sn_store_address(store, slot);
    reserved->size = size;
    reserved->slot = slot;
    reserved->word = sn_object_word(0, slot, flags);
    reserved->mark = sn_reserved_mark(store, kind);
    if (kind == SN_RESERVED_CELLS)
        sn_store_relaxed(sn_header_of(&store->pool, slot), SN_HEADER_RESERVED);
    return reserved->object;
}

/* A reservation that did not begin is over: nobody takes what its memory held before for one. */
static void *
refuse(struct handle_reserved *reserved, int error)
{
    if (reserved)
        *sn_reserved(reserved) = (struct sn_reserved){0};
    errno = error;
    return NULL;
}

static void
count(handle_store *store, uint64_t by)
{
    struct sn_thread_cache *cache = sn_cache_self(&store->caches);
    sn_cache_add(cache, &cache->reserved, by);
}

static uint64_t
take(handle_store *store, size_t size, unsigned flags)
{
    sn_slow_call_begin(&store->caches);
    uint64_t slot = sn_slot_acquire(store, size, flags);
    if (slot) {
        if (store->hardened)
            sn_canary_write(store, slot, size);
        count(store, 1);
    }
    sn_slow_call_end(&store->caches);
    return slot;
}

static SN_NOINLINE void *
reserve_slow(handle_store *store, size_t size, unsigned flags, struct handle_reserved *reserved)
{
    sn_check_call_named(store, "handle_reserve", SN_REGISTERED, HANDLE_NULL, NULL);
    if (!store || !reserved || !sn_object_flags_fit(store, &flags))
        return refuse(reserved, EINVAL);
    uint64_t slot = take(store, size, flags);
    if (!slot)
        return refuse(reserved, errno);
    bool large = sn_object_class(store, slot) == SN_CLASS_LARGE;
    double weight = sn_profile_draw(store, size);
    sn_reserved(reserved)->weight = weight;
    enum sn_reserved_kind kind = flags & HANDLE_CELLS  ? SN_RESERVED_CELLS
                                 : large || weight > 0 ? SN_RESERVED_ANY
                                                       : SN_RESERVED_CLASS;
    return begin(store, slot, size, flags, kind, reserved);
}

/* The rest of the fast path for an object that the profile draws. */
static SN_NOINLINE void *
end_drawn(handle_store *store, uint64_t slot, size_t size, struct handle_reserved *reserved)
{
    sn_reserved(reserved)->weight = sn_profile_draw(store, size);
    return begin(store, slot, size, 0, SN_RESERVED_ANY, reserved);
}

/* The fast path, of a class. */
SN_FORCE_INLINE void *
reserve_of_class(handle_store *store, size_t size, unsigned class_id,
                 struct handle_reserved *reserved)
{
    struct sn_thread_cache *cache = sn_cache_try_enter(&store->caches, store);
    if (sn_unlikely(!cache))
        return reserve_slow(store, size, 0, reserved);
    uint64_t slot = sn_cache_pop(cache, class_id);
    if (sn_unlikely(slot == 0)) {
        sn_cache_leave(cache);
        return reserve_slow(store, size, 0, reserved);
    }
    sn_owner_inc(&cache->reserved);
    bool drawn = sn_cache_is_drawn(cache, size);
    sn_cache_leave(cache);
    if (drawn)
        return end_drawn(store, slot, size, reserved);
    return begin(store, slot, size, 0, SN_RESERVED_CLASS, reserved);
}

static SN_OUTLINE void *
reserve_medium(handle_store *store, size_t size, unsigned flags, struct handle_reserved *reserved)
{
    if (!store || !reserved || !sn_class_is_medium(&store->classes, size, flags))
        return reserve_slow(store, size, flags, reserved);
    return reserve_of_class(store, size, sn_class_for(&store->classes, size), reserved);
}

void *
handle_reserve(handle_store *store, size_t size, unsigned flags, struct handle_reserved *reserved)
{
    sn_check_call_debug(store, SN_REGISTERED, HANDLE_NULL, NULL);
    if (sn_unlikely(!sn_class_is_in_table(size, flags)))
        return reserve_medium(store, size, flags, reserved);
    if (sn_unlikely(!store) || sn_unlikely(!reserved))
        return reserve_slow(store, size, flags, reserved);
    return reserve_of_class(store, size, sn_class_by_table(&store->classes, size), reserved);
}

/* ---- end ------------------------------------------------------------------------------------- */

/* Ends the reservation: the object is published next, or abandoned. */
static void
end(handle_store *store, struct sn_reserved *reserved)
{
    reserved->mark = 0;
    count(store, sn_wrapping_sub(0, 1));
    if (store->hardened)
        sn_canary_require(store, reserved->slot, reserved->size, NULL);
}

void
sn_reserved_publish_slow(handle_store *store, struct sn_reserved *reserved,
                         const uint64_t *reference)
{
    double weight = sn_reserved_has_class(store, reserved) ? 0 : reserved->weight;
    bool cells = reserved->mark == sn_reserved_mark(store, SN_RESERVED_CELLS);
    end(store, reserved);
    sn_object_set_owner_any(store, reserved->slot, reserved->size, reference);
    sn_object_note_flags(store, reserved->slot, cells ? HANDLE_CELLS : 0);
    if (weight > 0)
        sn_profile_keep(store, reserved->slot, reserved->size, weight);
}

void
handle_reserved_abort(handle_store *store, struct handle_reserved *public_reserved)
{
    sn_check_call(store, SN_REGISTERED, HANDLE_NULL, NULL);
    struct sn_reserved *reserved = sn_reserved(public_reserved);
    if (!sn_reserved_is(store, reserved))
        return;
    bool cells = reserved->mark == sn_reserved_mark(store, SN_RESERVED_CELLS);
    sn_slow_call_begin(&store->caches);
    if (!cells) {
        end(store, reserved);
        sn_slot_abandon(store, reserved->slot, reserved->size);
    } else if (sn_inner_empty_slot(store, "handle_reserved_abort", reserved->slot,
                                   reserved->size)) {
        end(store, reserved);
        sn_slot_retire_unseen(store, reserved->slot, reserved->size);
    }
    sn_slow_call_end(&store->caches);
}
