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

/* Shortest span whose pages hold at most 1 % that is no slot. Pages behind the last slot are never
 * touched, so that address space alone may go unused. */
static void
lay_out_span(struct sn_class *c, uint32_t alignment)
{
    c->lead = alignment - SN_HEADER_BYTES;
    for (c->blocks = 1; c->blocks <= SN_SPAN_BLOCKS_MAX; c->blocks++) {
        uint32_t bytes = c->blocks << SN_BLOCK_SHIFT;
        c->slots = (bytes - c->lead) / c->slot_bytes;
        uint32_t used = c->slots * c->slot_bytes;
        c->pages = (uint32_t)(sn_round_up(c->lead + used, SN_PAGE_BYTES) >> SN_PAGE_SHIFT);
        uint32_t waste = (c->pages << SN_PAGE_SHIFT) - used;
        if (c->slots > 0 && waste * 100 <= used)
            return;
    }
    c->blocks = SN_SPAN_BLOCKS_MAX;
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
