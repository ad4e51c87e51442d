/* SPDX-License-Identifier: MIT */
/*
 * hash.h - the keyed hash of keys, and which of its bits serve what.
 *
 *   bits 31..0   `place`: numbers of the two buckets where the key may be; what the ring remembers
 *   bits 46..32  what a ghost remembers
 *   bits 63..48  with 8 bits that follow from `place`: the cell's tag
 *
 * SipHash-1-3 (Aumasson and Bernstein) with 128 bits of secret: whoever does not know it cannot
 * choose keys that meet.
 */
#ifndef SC_HASH_H
#define SC_HASH_H

#include "cache/base.h"

uint64_t sc_hash(const uint64_t secret[2], const void *key, size_t size);

/** A secret from the kernel, or, where it gives none, from addresses and the clock. */
void sc_hash_secret(uint64_t secret[2]);

static inline uint32_t
sc_place(uint64_t hash)
{
    return (uint32_t)hash;
}

/** The place that stands for the second bucket; follows from the first. */
static inline uint32_t
sc_other_place(uint32_t place)
{
    place = (place ^ place >> 16) * 0x85ebca6bu;
    place = (place ^ place >> 13) * 0xc2b2ae35u;
    return place ^ place >> 16;
}

/** The part of a tag that is known of a place alone. */
static inline uint32_t
sc_tag_of_place(uint32_t place)
{
    return place * 0x9e3779b1u >> 24;
}

/** 24 bits, never 0, which is the tag of an object that is being written. */
static inline uint32_t
sc_tag(uint64_t hash)
{
    uint32_t tag = (uint32_t)(hash >> 48) << 8 | sc_tag_of_place(sc_place(hash));
    return tag ? tag : 0x100;
}

#endif
