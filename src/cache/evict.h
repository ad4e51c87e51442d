/* SPDX-License-Identifier: MIT */
/*
 * evict.h - room is made: by the ring and the hand (policy.h), by what has expired, and in a pair
 * of buckets that is full. None of it with a lock held, each step in a section of its own.
 */
#ifndef SC_EVICT_H
#define SC_EVICT_H

#include "cache/leave.h"

/** Evicts items until their slots leave `need` bytes of the budget, and at least `least` items. In
 * a section of the caller's or in none. Result: how many left. */
uint64_t sc_evict(sinter_cache *cache, uint64_t need, uint64_t least);

/** Drops an entry of the ring whose item has been deleted, where these are many; in a section. */
void sc_ring_trim(sinter_cache *cache);

/** Lets an item of a locked pair go, the coldest, but not `keep` (NULL: any); its cell is free
 * then.
 */
void sc_evict_crowded(sinter_cache *cache, const struct sc_pair *pair, const struct sc_item *keep,
                      struct sc_left *left);

/** Lets what has expired in a bucket go. Result: how many. Outside of locks, in a section. */
unsigned sc_evict_expired(sinter_cache *cache, uint64_t number);

#endif
