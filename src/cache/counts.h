/* SPDX-License-Identifier: MIT */
/*
 * counts.h - what is counted since creation, in stripes: each of the first threads owns one, the
 * same in all caches, until it ends; the others share the last. So a hit writes no shared line, and
 * waits for nothing: a locked instruction would keep the processor from looking for the next item.
 * Relaxed throughout: the sums order nothing.
 */
#ifndef SC_COUNTS_H
#define SC_COUNTS_H

#include "cache/base.h"

/** In the order of struct sinter_cache_stats. */
enum sc_count {
    SC_HITS,
    SC_MISSES,
    SC_SETS,
    SC_INSERTED,
    SC_REFUSED,
    SC_DELETED,
    SC_EVICTED,
    SC_CROWDED,
    SC_EXPIRED,
    SC_CLEARED,
    SC_GHOST_HITS,
    SC_SPLITS,
    SC_MERGES,
    SC_WAITS,
    SC_WAIT_NS,
    SC_COUNTS
};

#define SC_STRIPES 32u
#define SC_SHARED  (SC_STRIPES - 1) /* nobody's own */

struct sc_stripe {
    uint64_t count[16];
} __attribute__((aligned(64)));
_Static_assert(SC_COUNTS <= 16, "a stripe has room for all counts");

/** The calling thread's number, + 1; 0: it has not counted yet. */
extern __thread unsigned sc_my_stripe;
/** Takes a stripe for the calling thread, or the shared one. */
void sc_take_stripe(void);

static inline void
sc_count_by(struct sc_stripe *stripes, enum sc_count what, uint64_t by)
{
    if (sc_unlikely(!sc_my_stripe))
        sc_take_stripe();
    uint64_t *count = &stripes[sc_my_stripe - 1].count[what];
    if (sc_likely(sc_my_stripe - 1 != SC_SHARED))
        sc_store(count, sc_load(count) + by);
    else
        sc_add(count, by);
}

uint64_t sc_counted(const struct sc_stripe *stripes, enum sc_count what);

#endif
