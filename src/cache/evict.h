/* SPDX-License-Identifier: MIT */
/*
 * evict.h - room is made: by the ring and the hand (policy.h), by what has expired, and in a pair
 * of buckets that is full. None of it with a lock held, each step in a section of its own.
 */
#ifndef SC_EVICT_H
#define SC_EVICT_H

#include "cache/leave.h"

/** Evicts items until their slots leave `need` bytes of the budget, and at least `least` items, or
 * so many steps are done: a bucket looked at, or an entry of the ring. In a section of the caller's
 * or in none. Result: how many left, if `least` is not 0. */
uint64_t sc_evict(sinter_cache *cache, uint64_t need, uint64_t least, uint64_t steps);
/** As many steps as can be of use: the hand takes a hit from each item in a pass, so that what may
 * go, goes in five of them, and the ring has as many entries as items were set since. */
static inline uint64_t
sc_evict_all(const sinter_cache *cache)
{
    return 8 * sc_buckets(cache) + 1024;
}

/** Drops an entry of the ring if its item is gone, where these are many; in a section. False: they
 * are not. */
bool sc_ring_trim(sinter_cache *cache);

/** Lets an item of a locked pair go, the coldest; its cell is free then. */
void sc_evict_crowded(sinter_cache *cache, const struct sc_pair *pair, struct sc_left *left);

/** Whose items the hand looks at, beside those that have expired: nobody's; main's; also those that
 * are in the ring, though it has no entry for them. */
enum sc_whose { SC_NOBODY = 0, SC_MAIN = SC_IN_MAIN, SC_ANYBODY };

/** The hand looks at a bucket: lets go what has expired, and, of the others, what it takes. Result:
 * how many had expired. Outside of locks, in a section. */
uint64_t
sc_evict_bucket(sinter_cache *cache, uint64_t number, enum sc_whose whose, struct sc_left *left);

#endif
