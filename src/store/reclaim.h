/* SPDX-License-Identifier: MIT */
/*
 * reclaim.h - what the grace-period thread does with retired slots: takes them over before a grace
 * period (GP), gives them back after it.
 */
#ifndef SN_RECLAIM_H
#define SN_RECLAIM_H

#include "object/object.h"

/** Slots that are given back at once, ordered by class and span: a store with a small limit has
 * room for fewer. */
#define SN_RECLAIM_SLOTS_MIN 256
_Static_assert(SN_RECLAIM_SLOTS_MIN >= SN_LIMBO_CHUNK_SLOTS, "room for those of a chunk");
#define SN_RECLAIM_SLOTS_MAX UINT64_C(2048)
#define SN_RECLAIM_SHARE     16384 /* bytes of the limit for each */

/** max_bytes: the store's limit, 0: none. */
void sn_reclaim_init(handle_store *store, uint64_t max_bytes);
/** The store ends: what it still has of others' memory goes. */
void sn_reclaim_end(handle_store *store);
/** Bytes that it uses. */
static inline size_t
sn_reclaim_bytes(const struct sn_reclaim *reclaim)
{
    return (size_t)reclaim->slots * 2 * sizeof(uint64_t);
}

/** Takes over all that is in limbo. True: there is something to give back after a GP. */
bool sn_reclaim_gather(handle_store *store);
/** What is given back before others are let in: 2 to 4 ms where each slot is a miss. */
#define SN_RECLAIM_PIECE_SLOTS 8192
/** The GP is over: gives back a piece of what was gathered before it. True: there is more. */
bool sn_reclaim_give_back(handle_store *store);
/** The same for what large objects were cut by, also later: what was pinned then. */
void sn_reclaim_tails(handle_store *store);

#endif
