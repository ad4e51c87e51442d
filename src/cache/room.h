/* SPDX-License-Identifier: MIT */
/*
 * room.h - the limit. What the cache holds beside the store (index, policy, records) is charged
 * first; the rest is the store's max_bytes, which bounds its pages. `budget`, of slot bytes of
 * items, is where eviction begins: it follows from what the store says of itself (share.h), looked
 * at anew while the cache is at its limit, so that room is mostly made before it is asked for.
 */
#ifndef SC_ROOM_H
#define SC_ROOM_H

#include "cache/evict.h"

#define SC_LIMIT_LEAST  (UINT64_C(8) << 20)
#define SC_LIMIT_MOST   (UINT64_C(1) << 40)
#define SC_STORE_LEAST  (UINT64_C(4) << 20)  /* the least max_bytes of a store */
#define SC_BESIDE_BYTES (UINT64_C(64) << 10) /* the thread's stack, and the like */

/** One call's attempts to get memory. */
struct sc_try {
    uint64_t need; /* slot bytes */
    uint64_t began_ns;
    unsigned refusals;
    bool nested; /* the caller has a section open: no waiting */
    bool large;  /* makes pieces, and keeps them between its attempts */
    bool turn;   /* owns `turn` */
};

/** What the cache holds beside the store. */
uint64_t sc_room_beside(const sinter_cache *cache);
/** max_bytes for a limit, with what is beside the store now. */
uint64_t sc_room_store_most(const sinter_cache *cache, uint64_t limit);
/** Before the store is made. */
void sc_room_open(sinter_cache *cache, uint64_t limit, uint32_t wait_ms);
/** Sets another limit; items follow when room is made. */
void sc_room_allow(sinter_cache *cache, uint64_t limit);
/** Evicts down to the limit; outside of locks. */
void sc_room_follow(sinter_cache *cache);
/** Follows what is beside the store. */
void sc_room_refit(sinter_cache *cache);
/** Whether the index may have so many buckets. */
bool sc_room_for_index(sinter_cache *cache, uint64_t buckets);
/** Most slot bytes that one item can have. */
uint64_t sc_room_most(const sinter_cache *cache);

/** Before an item is made: evicts what has to go for it. */
void sc_room_make(sinter_cache *cache, uint64_t need);
/** The store has refused, with -EAGAIN or -ENOMEM: evicts, waits. 0: try again; else the answer.
 * Outside of locks, and of sections but the caller's. */
int sc_room_answer(sinter_cache *cache, struct sc_try *attempt, int refusal);
/** Nanoseconds that a call which was refused may still wait. */
uint64_t sc_room_time_left(const sinter_cache *cache, const struct sc_try *attempt);

#endif
