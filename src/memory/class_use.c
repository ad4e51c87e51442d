/* SPDX-License-Identifier: MIT */
/* class_use.c - see class_use.h. */
#include "memory/class_use.h"

uint32_t
sn_excess_spans(const struct sn_class_use *c, uint64_t freed)
{
    uint64_t used = c->used > freed ? c->used - freed : 0;
    uint64_t dense = (used + c->slots - 1) / c->slots;
    uint64_t stay = dense > c->aside ? dense : c->aside;
    return c->spans > stay ? (uint32_t)(c->spans - stay) : 0;
}

uint64_t
sn_excess_bytes(const struct sn_class_use *c, uint64_t freed)
{
    uint32_t excess = sn_excess_spans(c, freed);
    uint64_t stay = (c->spans - excess) * c->span_bytes;
    return excess > 0 && c->committed > stay ? c->committed - stay : 0;
}
