/* SPDX-License-Identifier: MIT */
/* size_class.c - see size_class.h. */
#include "memory/size_class.h"

#include <string.h>

_Static_assert(SN_SLOT_MAX_BYTES == SN_BLOCK_BYTES, "the largest slot is a block");
_Static_assert(SN_CACHE_FEW_BYTES >= 2 * SN_SLOT_MAX_BYTES, "a thread caches two of any class");
_Static_assert(SN_SPAN_BLOCKS_MAX *SN_BLOCK_BYTES / 8 <= UINT16_MAX + 1,
               "sn_slot_index is exact for distances below 2^19");

/* Step between slot sizes just above `slot` bytes. */
static uint32_t
step_above(uint32_t slot)
{
    if (slot < 512)
        return 8;
    uint32_t doubling = 1u << (31 - __builtin_clz(slot));
    return doubling < 2048 ? doubling / 32 : doubling / 16;
}

/* Makes the span so many blocks long. Result: the share of its pages, in permille, that is no slot.
 * Pages behind the last slot are never touched, so that address space alone may go unused. */
static uint32_t
lay_out_blocks(struct sn_class *c, uint32_t blocks)
{
    c->blocks = blocks;
    c->slots = ((blocks << SN_BLOCK_SHIFT) - c->lead) / c->slot_bytes;
    uint32_t used = c->slots * c->slot_bytes;
    c->pages = (uint32_t)(sn_round_up(c->lead + used, SN_PAGE_BYTES) >> SN_PAGE_SHIFT);
    uint32_t waste = (c->pages << SN_PAGE_SHIFT) - used;
    return c->slots > 0 ? (waste * 1000 + used - 1) / used : UINT32_MAX;
}

/* The shortest span that wastes at most 1 %, which there is with pages of 4 KiB; else the one that
 * wastes least. */
static void
lay_out_span(struct sn_class *c, uint32_t alignment)
{
    uint32_t best = 1, least = UINT32_MAX;
    c->lead = alignment - SN_HEADER_BYTES;
    for (uint32_t blocks = 1; blocks <= SN_SPAN_BLOCKS_MAX && least > 10; blocks++) {
        uint32_t waste = lay_out_blocks(c, blocks);
        best = waste < least ? blocks : best;
        least = (uint32_t)sn_min(least, waste);
    }
    lay_out_blocks(c, best);
}

static uint32_t
cache_slots(uint32_t slot_bytes)
{
    uint64_t few = sn_min(SN_CACHE_FEW_BYTES / slot_bytes, SN_CACHE_FEW_SLOTS);
    return (uint32_t)sn_min(sn_max(SN_CACHE_CLASS_BYTES / slot_bytes, few), SN_CACHE_CLASS_SLOTS);
}

static void
fill_lookup(struct sn_classes *classes)
{
    uint32_t at = 0;
    for (uint32_t unit = 0; unit <= SN_SMALL_MAX_BYTES / 8; unit++) {
        while (classes->of[at].slot_bytes < unit * 8 + SN_HEADER_BYTES)
            at++;
        classes->by_8[unit] = (uint8_t)at;
    }
    at = 0;
    for (uint32_t unit = 0; unit <= SN_SLOT_MAX_BYTES / 64; unit++) {
        while (classes->of[at].slot_bytes < unit * 64)
            at++;
        classes->by_64[unit] = (uint8_t)at;
    }
}

void
sn_classes_init(struct sn_classes *classes, uint32_t alignment, uint32_t extra)
{
    memset(classes, 0, sizeof(*classes));
    classes->extra = extra;
    uint32_t last = 0;
    for (uint32_t slot = SN_SLOT_MIN_BYTES; slot <= SN_SLOT_MAX_BYTES; slot += step_above(slot)) {
        uint32_t aligned = (uint32_t)sn_round_up(slot, alignment);
        if (aligned == last || aligned > SN_SLOT_MAX_BYTES)
            continue;
        last = aligned;
        struct sn_class *c = &classes->of[classes->count++];
        c->slot_bytes = aligned;
        c->payload = aligned - SN_HEADER_BYTES;
        lay_out_span(c, alignment);
        c->reciprocal = (uint32_t)(((UINT64_C(1) << 32) + aligned / 8 - 1) / (aligned / 8));
        c->cache_slots = cache_slots(aligned);
    }
    sn_assert(classes->count <= SN_CLASSES_MAX);
    fill_lookup(classes);
}
