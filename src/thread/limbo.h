/* SPDX-License-Identifier: MIT */
/*
 * limbo.h - the slots that a thread has retired, until the grace-period thread takes them over. It
 * writes them into a chunk, an array of its own: so neither it nor the grace-period thread follows
 * links through objects that are in no cache any more. A free allocates nothing: it is the thread's
 * allocations, on their slow path, that see to an empty chunk; without one, or behind a full one,
 * the slots are linked through their header words.
 */
#ifndef SN_LIMBO_H
#define SN_LIMBO_H

#include "thread/thread_cache.h"

/**
 * Retires a slot of `bytes` bytes: reusable after a grace period. Its header word becomes 0, or the
 * link of a list, check bits 0. Between enter and leave; entered: what enter answered.
 */
void sn_cache_retire(struct sn_caches *caches, struct sn_thread_cache *cache, bool entered,
                     uint64_t slot, uint64_t bytes);

/** What a slot's link word says comes next; 0: the end. */
static inline uint64_t
sn_limbo_next(uint64_t link)
{
    return link >> 8;
}

/** Owner, inside, on an allocation's slow path: makes the thread's spare chunk if it has none, has
 * ever retired anything, and memory is plenty. */
void sn_limbo_provide_spare(struct sn_caches *caches, struct sn_thread_cache *cache);
/** A chunk that nobody fills any more, with its charge. */
void sn_limbo_free_chunk(struct sn_caches *caches, struct sn_limbo_chunk *chunk);
/** By whoever may change the cache. */
void sn_limbo_drop_spare(struct sn_caches *caches, struct sn_thread_cache *cache);

/** What the thread has retired goes to the store. By whoever may change the cache. */
void sn_cache_hand_over(struct sn_caches *caches, struct sn_thread_cache *cache);
/** All that was handed over. False: that is nothing. */
bool sn_limbo_take(struct sn_caches *caches, struct sn_limbo *taken);
/** Whether anything was. */
bool sn_limbo_any(const struct sn_caches *caches);
/** The chunks of a store that ends; the slots are its own. */
void sn_limbo_free_chunks(struct sn_caches *caches, struct sn_limbo *limbo);

#endif
