/* SPDX-License-Identifier: MIT */
/* class_use.c - see class_use.h. */
#include "memory/class_use.h"

#include "base/config.h"

/* A span is not emptied for fewer pages, nor when so many times the gain would be moved. */
#define LOOSE_PAGES  2
#define MOVES_A_GAIN 4
/* Nor for any, when those of all classes are less than this share of what is committed. */
#define LOOSE_SHARE 32

uint32_t
sn_excess_spans(const struct sn_class_use *c, uint64_t freed)
{
    uint64_t used = c->used > freed ? c->used - freed : 0;
    uint64_t dense = (used + c->slots - 1) / c->slots;
    uint64_t stay = dense > c->aside ? dense : c->aside;
    return c->spans > stay ? (uint32_t)(c->spans - stay) : 0;
}

static uint64_t
bytes_of_excess(const struct sn_class_use *c, uint32_t excess)
{
    uint64_t stay = (c->spans - excess) * c->span_bytes;
    return excess > 0 && c->committed > stay ? c->committed - stay : 0;
}

uint64_t
sn_excess_bytes(const struct sn_class_use *c, uint64_t freed)
{
    return bytes_of_excess(c, sn_excess_spans(c, freed));
}

/* Pages that so many used slots take where they lie close; they may begin anywhere in a page. */
static uint64_t
dense_bytes(const struct sn_class_use *c, uint64_t used)
{
    uint64_t rest = used % c->slots * c->slot_bytes;
    uint64_t pages = (rest + SN_PAGE_BYTES - 1) / SN_PAGE_BYTES + (rest > 0);
    uint64_t bytes = pages * SN_PAGE_BYTES < c->span_bytes ? pages * SN_PAGE_BYTES : c->span_bytes;
    return used / c->slots * c->span_bytes + bytes;
}

/* Whether it is worth to move what a span holds on average. */
static bool
is_worth(const struct sn_class_use *c, uint64_t used_bytes, uint64_t gain)
{
    return gain >= LOOSE_PAGES * SN_PAGE_BYTES && gain * MOVES_A_GAIN * c->spans >= used_bytes;
}

/* Of a class that has no span too many. */
static uint64_t
bytes_of_loose(const struct sn_class_use *c, uint64_t freed)
{
    uint64_t used = c->used > freed ? c->used - freed : 0, used_bytes = used * c->slot_bytes;
    if (c->spans <= c->aside || c->committed <= used_bytes ||
        !is_worth(c, used_bytes, c->committed - used_bytes))
        return 0;
    uint64_t dense = dense_bytes(c, used);
    uint64_t gain = c->committed > dense ? c->committed - dense : 0;
    return is_worth(c, used_bytes, gain) ? gain : 0;
}

uint64_t
sn_loose_bytes(const struct sn_class_use *c, uint64_t freed)
{
    return sn_excess_spans(c, freed) > 0 ? 0 : bytes_of_loose(c, freed);
}

uint32_t
sn_gain_add(struct sn_gain *gain, const struct sn_class_use *c, uint64_t freed)
{
    uint32_t excess = sn_excess_spans(c, freed);
    if (excess > 0)
        gain->excess_bytes += bytes_of_excess(c, excess);
    else
        gain->loose_bytes += bytes_of_loose(c, freed);
    gain->committed += c->committed;
    return excess;
}

bool
sn_gain_is_loose(const struct sn_gain *gain)
{
    return gain->loose_bytes > gain->committed / LOOSE_SHARE;
}

uint64_t
sn_gain_bytes(const struct sn_gain *gain)
{
    return gain->excess_bytes + (sn_gain_is_loose(gain) ? gain->loose_bytes : 0);
}
