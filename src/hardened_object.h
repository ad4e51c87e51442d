/* SPDX-License-Identifier: MIT */
/*
 * hardened_object.h - the short ways of hardened stores: what an allocation and a free of a small
 * object do with its slot, between enter and leave. Handles and cells (handle.c, cell.c) come here
 * instead of their plain short ways, after their checks at entry; where these give up, the same
 * long ways follow.
 *
 * Unlike a plain free, one here notes nothing: what it looks for has to be found, and what it
 * writes has to be there, when its call returns.
 */
#ifndef SN_HARDENED_OBJECT_H
#define SN_HARDENED_OBJECT_H

#include "hardened.h"
#include "object.h"

/** Begins a short free: the check at entry, then the thread's cache, entered. NULL: there is none,
 * or the store is not hardened; the caller goes its long way. */
static inline struct sn_thread_cache *
sn_hardened_begin_free(handle_store *store, const char *function, enum sn_place place,
                       handle_t handle, const handle_cell *cell)
{
    if (sn_unlikely(!store->hardened))
        return NULL;
    sn_check_entry(store, function, place, handle, cell);
    return sn_cache_try_enter_hardened(&store->caches);
}

/**
 * Takes a slot for `size` bytes out of the thread's bin; with a canary in it, and counted, not yet
 * named. 0: the bin is empty.
 */
static inline uint64_t
sn_hardened_take(handle_store *store, struct sn_thread_cache *cache, struct sn_bin *bin,
                 size_t size)
{
    uint64_t slot;
    if (sn_unlikely(!sn_cache_pop(bin, &slot)))
        return 0;
    const uint64_t *data = sn_store_address(store, slot);
    if (sn_likely(data[-1] == SN_POISONED_HEADER) &&
        sn_unlikely(!sn_poison_has(data, bin->payload)))
        sn_poison_fault(store, slot);
    sn_canary_put(store, slot, size);
    sn_owner_add(&cache->requested, size);
    return slot;
}

/* The word of an object in a slot of the class has ended: header and canary are as they were made,
 * or the process ends. Counts the free. */
static inline void
sn_hardened_end(const handle_store *store, struct sn_thread_cache *cache, unsigned class_id,
                uint64_t slot, const uint64_t *reference)
{
    const uint64_t *data = sn_store_address(store, slot);
    size_t payload = sn_class_payload(&store->classes.of[class_id]);
    /* No other thread writes it: hardened stores do not resize in place (G4). */
    uint64_t header = sn_load_relaxed(&data[-1]);
    if (sn_unlikely(!sn_object_is_named(store, slot, header, reference)))
        sn_hardened_header_fault(store, slot, header, reference);
    size_t size = payload - sn_header_slack(header); /* beyond payload, if that is damaged */
    if (sn_unlikely(!sn_canary_has(store, slot, size, payload)))
        sn_canary_fault(store, sn_min(size, payload), reference);
    sn_owner_add(&cache->requested, (uint64_t)0 - size);
    sn_owner_add(&cache->frees, 1);
}

/** sn_object_retire, for a slot whose block has a bin. */
static inline void
sn_hardened_retire(handle_store *store, struct sn_thread_cache *cache, uint64_t slot,
                   const uint64_t *reference)
{
    unsigned class_id = sn_object_class(store, slot);
    sn_hardened_end(store, cache, class_id, slot, reference);
    /* Release: whoever sees it clear also sees that the word has ended. */
    sn_store_release(sn_object_header(store, slot), 0);
    sn_cache_finish_retire(&store->caches, cache, class_id, slot);
}

/** sn_object_reuse, for a slot whose block has a bin. */
static inline void
sn_hardened_reuse(handle_store *store, struct sn_thread_cache *cache, uint64_t slot,
                  const uint64_t *reference)
{
    unsigned class_id = sn_object_class(store, slot);
    /* As in sn_object_reuse: a walk that began after we entered may look at the object. */
    sn_fence_compiler();
    if (sn_unlikely(sn_load_acquire(&store->caches.walkers) != 0)) {
        sn_hardened_retire(store, cache, slot, reference);
        return;
    }
    sn_hardened_end(store, cache, class_id, slot, reference);
    sn_poison_put(sn_store_address(store, slot), sn_class_payload(&store->classes.of[class_id]));
    struct sn_bin *bin = sn_cache_bin(cache, class_id);
    /* Since the word was loaded the span may have been closed. */
    if (sn_unlikely(sn_object_bin(store, slot) != class_id) ||
        sn_unlikely(!sn_cache_push(bin, slot)))
        sn_cache_finish_free(&store->caches, cache, class_id, slot);
}

#endif
