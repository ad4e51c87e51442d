/* SPDX-License-Identifier: MIT */
/*
 * hash.h - the keyed hash of keys, and which of its bits serve what.
 *
 *   bits 31..0   `place`: numbers of the two buckets where the key may be; what the ring remembers
 *   bits 46..32  what a ghost remembers
 *   bits 51..48  below the upper 20 bits of `place`: the cell's tag
 *
 * The lower 12 bits of a place are those of its bucket's number, as soon as there are that many
 * buckets: from then on tag and bucket tell the place (index.h), and no item is read to move it.
 *
 * SipHash-1-3 (Aumasson and Bernstein) with 128 bits of secret: whoever does not know it cannot
 * choose keys that meet.
 */
#ifndef SC_HASH_H
#define SC_HASH_H

#include "cache/base.h"

#define SC_SECRET_WORDS 2u

uint64_t sc_hash(const uint64_t secret[SC_SECRET_WORDS], const void *key, size_t size);

/** A secret from the kernel, or, where it gives none, from addresses and the clock. */
void sc_hash_secret(uint64_t secret[SC_SECRET_WORDS]);

#define SC_PLACE_LOW 12u /* bits of a place that its bucket tells; the tag has the others */
#define SC_TAG_REST  4u  /* bits of a tag below them */

static inline uint32_t
sc_place(uint64_t hash)
{
    return (uint32_t)hash;
}

/** Between the two places of a key; follows from what its tag tells of them. */
static inline uint32_t
sc_place_step(uint32_t upper)
{
    uint32_t step = (upper + 1) * 0x85ebca6bu;
    step = (step ^ step >> 13) * 0xc2b2ae35u;
    return step ^ step >> 16;
}

/** The place that stands for the second bucket; follows from the first. */
static inline uint32_t
sc_other_place(uint32_t place)
{
    return place ^ sc_place_step(place >> SC_PLACE_LOW);
}

/** 24 bits, never 0, which is the tag of an object that is being written. */
static inline uint32_t
sc_tag(uint64_t hash)
{
    uint32_t rest = (uint32_t)(hash >> 48) & ((1u << SC_TAG_REST) - 1);
    uint32_t tag = sc_place(hash) >> SC_PLACE_LOW << SC_TAG_REST | rest;
    return tag ? tag : 1;
}

#endif
