/* SPDX-License-Identifier: MIT */
/*
 * refill.h - a thread's stacks of free slots and of free table entries: their arrays, how these
 * grow, and how slots come from the heap and go back to it.
 */
#ifndef SN_REFILL_H
#define SN_REFILL_H

#include "thread/thread_cache.h"

/** A new cache's stacks: all empty. */
void sn_cache_init_stacks(struct sn_thread_cache *cache, const struct sn_classes *classes);
/** Frees all arrays; what was in them has been put elsewhere. caches: NULL, the store is gone. */
void sn_cache_free_arrays(struct sn_caches *caches, struct sn_thread_cache *cache);

/** A slot when the bin is empty or the owner locked out: refills where it may. 0: no memory. */
SN_NOINLINE uint64_t sn_cache_refill(struct sn_caches *caches, struct sn_thread_cache *cache,
                                     unsigned class_id);
/** Puts a free slot (header clear) where it belongs when the bin is full or the owner locked
 * out. */
SN_NOINLINE void sn_cache_flush(struct sn_caches *caches, struct sn_thread_cache *cache,
                                unsigned class_id, uint64_t slot);

/** Owner, inside, when there is no room for an index: doubles it, if indexes come and go in bursts.
 * False: it stays as it is. */
bool sn_cache_grow_indexes(struct sn_caches *caches, struct sn_thread_cache *cache);

/** The slots of one bin go back; by whoever may change the cache. Result: how many. */
uint32_t
sn_cache_empty_bin(struct sn_caches *caches, struct sn_thread_cache *cache, unsigned class_id);

#endif
