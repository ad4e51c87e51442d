/* SPDX-License-Identifier: MIT */
/*
 * policy.h - who stays. New items enter a ring, which is a FIFO; one that was hit in it goes on to
 * main, one that was not is evicted. Main is every other item; a hand goes round over the buckets
 * and takes one hit from each item that has one, and evicts those that have none (CLOCK). Both
 * leave ghosts: 15 bits of a hash, in a line for each four buckets, the newest first. A ghost of
 * the ring that is asked for again was thrown out too early: it goes to main, and the ring's share
 * (5 to 90 %) grows; one of main shrinks it.
 *
 *   charge   what an item takes: its slots, and 16 bytes for its part of index, ghosts and ring
 *
 * The idea of two queues and ghosts is S3-FIFO's (Yang and others, SOSP'23).
 */
#ifndef SC_POLICY_H
#define SC_POLICY_H

#include "cache/index.h"

#define SC_CHARGE_OF_INDEX 16u

/** Who left a ghost. */
enum sc_origin { SC_OF_RING = 0, SC_OF_MAIN = 1 };

struct sc_ring_chunk;

/** A key is about to be written: makes the lines of its ghosts and its buckets come. */
void sc_policy_expect(const sinter_cache *cache, uint64_t hash);

/** Remembers that an item has been evicted. */
void sc_ghost_put(sinter_cache *cache, uint64_t hash, enum sc_origin origin);

/** Somebody has asked for a key that is not there: if it left not long ago, moves the ring's
 * target, once for each ghost. In a section. */
void sc_policy_missed(sinter_cache *cache, uint64_t hash);

/** A key that was not there is about to be inserted: takes its ghost. True: the item goes to main,
 * else to the ring. */
bool sc_policy_admit(sinter_cache *cache, uint64_t hash);

/** There is an item more (1), one less (-1), or one that has another size (0); `charge` is the
 * difference. */
void sc_policy_change(sinter_cache *cache, int64_t items, int64_t charge, bool in_main);
/** An item was evicted. */
void sc_policy_left(sinter_cache *cache, enum sc_origin origin);

/** Whose turn it is to give an item up. */
bool sc_policy_ring_is_next(const sinter_cache *cache);

/** What the hand does with an item of main that has this charge: evict it, or spare it; takes a hit
 * from it. */
bool
sc_policy_hand_takes(sinter_cache *cache, struct sc_bucket *bucket, unsigned cell, uint64_t charge);

static inline uint64_t
sc_charge_of(const struct sc_item *item)
{
    return sc_item_slots(item) + SC_CHARGE_OF_INDEX;
}

/** Slot bytes of all items. */
static inline uint64_t
sc_policy_slots(const sinter_cache *cache)
{
    return sc_less(sc_load(&cache->policy.used),
                   SC_CHARGE_OF_INDEX * sc_load(&cache->policy.items));
}

static inline uint64_t
sc_policy_bytes(const sinter_cache *cache)
{
    return sc_lines_bytes(&cache->policy.ghosts) + sc_load(&cache->policy.ring.bytes);
}

#endif
