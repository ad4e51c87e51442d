/* SPDX-License-Identifier: MIT */
/*
 * share.h - what of a limit the items get: a pure function of what the store says of itself and of
 * what items need beside it; no lock, no clock, no memory.
 */
#ifndef SC_SHARE_H
#define SC_SHARE_H

#include <stdint.h>

/** Bytes; of what the cache holds now. */
struct sc_share {
    uint64_t limit; /* of all that it holds */
    uint64_t fixed; /* beside its store, however many items there are */
    uint64_t slots; /* of the items */
    /* What these need of index and policy; pages of more that go back do not count. */
    uint64_t beside;
    /* The store's: metadata, table, what threads keep, and pages that free slots lie on and that a
     * perfect compaction would not gain. */
    uint64_t store_own;
    uint64_t reserve; /* what the store is to keep free, see below */
};

/** The least that a store keeps free of so much, so that it can compact, and for what waits for
 * readers. */
uint64_t sc_share_least_reserve(uint64_t store_bytes);

/** The next reserve: while more than one in 4096 bytes that are set at the limit has to wait, it
 * grows, up to a 16th, so that compaction gains more for what it moves; else it shrinks. */
uint64_t sc_share_next_reserve(uint64_t reserve, uint64_t store_bytes, uint64_t set_bytes,
                               uint64_t waited_bytes);

/** Slot bytes of items at which eviction begins: so many of these fit, with all that they need. */
uint64_t sc_share_of_items(const struct sc_share *share);

#endif
