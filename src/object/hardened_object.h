/* SPDX-License-Identifier: MIT */
/*
 * hardened_object.h - the fast paths of hardened stores: what an allocation and a free of a small
 * object do with its slot, between enter and leave. handle.c, cell.c and free.c come here instead
 * of their plain fast paths, after their checks at entry; where these give up, the same slow paths
 * follow.
 *
 * A free looks at header and canary before the slot can be used again.
 */
#ifndef SN_HARDENED_OBJECT_H
#define SN_HARDENED_OBJECT_H

#include "core/hardened.h"
#include "object/object.h"
#include "thread/limbo.h"

/* Whole slots are read and written here, where plain frees and allocations touch a line: asked for
 * ahead, they come while other things are done. (In T1 3 % of the rate by handle, by cell none that
 * could be measured.) */
#define SN_FETCH_AHEAD 4u /* slots */

/* The slot's first lines, four at most, and the one it ends in: no loop, which would take longer
 * than they. */
static inline void
sn_hardened_fetch(const handle_store *store, uint64_t slot, uint64_t payload)
{
    const char *header = sn_store_address(store, slot - SN_HEADER_BYTES);
    __builtin_prefetch(header, 1);
    __builtin_prefetch(header + payload, 1);
    if (payload > 64)
        __builtin_prefetch(header + 64, 1);
    if (payload > 128)
        __builtin_prefetch(header + 128, 1);
    if (payload > 192)
        __builtin_prefetch(header + 192, 1);
}

/**
 * Takes a slot for `size` bytes out of the thread's bin; with a canary in it, and counted, not yet
 * named. 0: the bin is empty.
 */
static inline uint64_t
sn_hardened_take(handle_store *store, struct sn_thread_cache *cache, unsigned class_id, size_t size)
{
    const struct sn_bin *bin = &cache->bin[class_id];
    uint64_t slot = sn_cache_pop(cache, class_id);
    if (sn_unlikely(slot == 0))
        return 0;
    uint32_t count = sn_cache_count(cache, class_id);
    if (sn_likely(count >= SN_FETCH_AHEAD))
        sn_hardened_fetch(store, bin->slots[count - SN_FETCH_AHEAD], sn_bin_payload(bin));
    sn_poison_require(store, slot, sn_bin_payload(bin));
    /* A whole word: what of it is the object's is not filled yet. */
    ((uint64_t *)sn_store_address(store, slot))[size / 8] = sn_canary_of(store, slot);
    return slot;
}

/* The word, which named the object until now, has ended: header and canary are as they were made,
 * or the process ends. No other thread changes the header, but for whoever turns it (G13): hardened
 * stores do not resize in place (G4). */
SN_FORCE_INLINE void
sn_hardened_require(const handle_store *store, const struct sn_bin *bin, uint64_t slot,
                    const uint64_t *reference)
{
    uint64_t header = sn_load_relaxed(sn_object_header(store, slot));
    if (sn_unlikely(!sn_object_is_named_by(store, slot, header, reference)))
        sn_hardened_header_report(store, slot, header, reference);
    uint64_t largest = sn_bin_payload(bin) - SN_CANARY_MIN_BYTES;
    size_t size = largest - sn_min(sn_header_slack(header, largest), largest);
    if (sn_unlikely(!sn_canary_has(store, slot, size, sn_bin_payload(bin))))
        sn_canary_report(store, size, reference);
}

/** As sn_object_retire_fast, once the word has ended. */
SN_FORCE_INLINE void
sn_hardened_retire(const handle_store *store, struct sn_thread_cache *cache, uint64_t slot,
                   const uint64_t *reference)
{
    unsigned class_id = sn_object_class(store, slot);
    sn_hardened_require(store, &cache->bin[class_id], slot, reference);
    sn_object_retire_fast(store, cache, class_id, slot);
}

/** As sn_object_reuse_fast; but the slot is retired if a walk may read it. */
SN_FORCE_INLINE void
sn_hardened_reuse(handle_store *store, struct sn_thread_cache *cache, unsigned class_id,
                  uint64_t slot, const uint64_t *reference)
{
    const struct sn_bin *bin = &cache->bin[class_id];
    sn_hardened_require(store, bin, slot, reference);
    sn_owner_add(&cache->frees, 1);
    /* As in sn_object_reuse: a walk that began after we entered may look at the object. */
    sn_fence_compiler();
    if (sn_unlikely(sn_load_acquire(&store->caches.walkers) != 0)) {
        sn_owner_sub(&cache->bin[class_id].bulk_in, 1);
        /* Release: as in end_header. */
        sn_store_release(sn_object_header(store, slot), 0);
        sn_cache_retire(&store->caches, cache, true, slot, bin->slot_bytes);
        return;
    }
    sn_poison_put(sn_store_address(store, slot), sn_bin_payload(bin));
    sn_cache_push_room(cache, class_id, slot);
}

#endif
