/* SPDX-License-Identifier: MIT */
/*
 * leave.h - how items leave. Under a bucket's lock an item is taken out of its cell and freed; the
 * section keeps it readable, so that the application can be told once the lock is released.
 */
#ifndef SC_LEAVE_H
#define SC_LEAVE_H

#include "cache/policy.h"

/** Items that left in one section, and are to be told of. */
struct sc_left {
    uint64_t need; /* slot bytes that they left for; 0: for nobody's */
    unsigned count;
    struct {
        const struct sc_item *item;
        enum sinter_cache_reason reason;
    } of[2 * SC_CELLS];
};

/** None yet. (A plain {0} would write all of it, in calls of which hardly any has one.) */
static inline void
sc_left_none(struct sc_left *left, uint64_t need)
{
    left->need = need;
    left->count = 0;
}

/** Takes an item out of a cell of a locked bucket, in a section: cell, marks, sums, memory. */
void sc_take_out(sinter_cache *cache, const struct sc_spot *spot);

/** The same for one that nobody asked to leave: counted, and noted to be told of. */
void sc_let_go(sinter_cache *cache, const struct sc_spot *spot, enum sinter_cache_reason reason,
               struct sc_left *left);

/** Tells of what has left, with no lock held, in the same section. */
void sc_tell_slow(sinter_cache *cache, const struct sc_left *left);
static inline void
sc_tell(sinter_cache *cache, const struct sc_left *left)
{
    if (sc_unlikely(left->count > 0))
        sc_tell_slow(cache, left);
}

/** In a callback that is told of what has left this cache: slot bytes that its caller needs. */
uint64_t sc_told_need(const sinter_cache *cache);

/** What is known of an item, and the item as a view of it. */
void sc_info(const sinter_cache *cache, const struct sc_item *item, struct sinter_cache_info *info);
void sc_view(const sinter_cache *cache, const struct sc_item *item, struct sinter_cache_view *view);

#endif
