/* SPDX-License-Identifier: MIT */
/*
 * counts.h - what is counted since creation, in stripes: a thread adds to one of its own, as long
 * as there are no more threads than stripes, so that counting shares no line. Relaxed throughout:
 * the sums order nothing.
 */
#ifndef SC_COUNTS_H
#define SC_COUNTS_H

#include "cache/base.h"

enum sc_count {
    SC_HITS,
    SC_MISSES,
    SC_SETS,
    SC_INSERTED,
    SC_REFUSED,
    SC_DELETED,
    SC_EVICTED,
    SC_EXPIRED,
    SC_CROWDED,
    SC_CLEARED,
    SC_GHOST_HITS,
    SC_SPLITS,
    SC_MERGES,
    SC_WAITS,
    SC_WAIT_NS,
    SC_COUNTS
};

#define SC_STRIPES 32u

struct sc_stripe {
    uint64_t count[16];
} __attribute__((aligned(64)));
_Static_assert(SC_COUNTS <= 16, "a stripe has room for all counts");

/** The calling thread's, the same in all caches. */
unsigned sc_my_stripe(void);

static inline void
sc_count_by(struct sc_stripe *stripes, enum sc_count what, uint64_t by)
{
    sc_add(&stripes[sc_my_stripe()].count[what], by);
}

uint64_t sc_counted(const struct sc_stripe *stripes, enum sc_count what);

#endif
