/* SPDX-License-Identifier: MIT */
/* sweep.h - the cache's thread: frees what has expired, and pages of the index.
 * It sleeps while there is nothing to do. */
#ifndef SC_SWEEP_H
#define SC_SWEEP_H

#include "cache/evict.h"

/** 0 or a negative errno. */
int sc_sweep_open(sinter_cache *cache, uint32_t percent);
/** Ends the thread, if there is one; outside of sections. */
void sc_sweep_close(sinter_cache *cache);
/** Makes it look for work. */
void sc_sweep_wake(sinter_cache *cache);
static inline void
sc_sweep_wake_if_asleep(sinter_cache *cache)
{
    if (sc_unlikely(sc_load(&cache->sweep.asleep)))
        sc_sweep_wake(cache);
}

#endif
