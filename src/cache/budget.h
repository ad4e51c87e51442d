/* SPDX-License-Identifier: MIT */
/*
 * budget.h - one limit of several caches. Each has a share of it, by its weight, and a limit of its
 * own, `room.limit`, that follows what it needs: one at its limit, which would have to evict, gets
 * what is free; if nothing is, and it has less than its share, then the one that is furthest above
 * its own gets a lower limit. That one keeps what it was granted until its thread sees that it
 * holds no more than its limit. So nobody waits for anybody, and:
 *
 *   what a cache holds <= granted to it;   sum of what is granted <= limit of the budget
 */
#ifndef SC_BUDGET_H
#define SC_BUDGET_H

#include "cache/room.h"

/** A new cache gets the least limit. 0; -ENOSPC: the budget is too small for another one; -EAGAIN:
 * others have it all, and were asked to give some back; outside of sections. */
int sc_budget_join(sinter_cache *cache, sinter_cache_budget *budget, uint32_t weight);
/** It is about to end: nobody looks at it any more, but what it has counts until it is released. */
void sc_budget_leave(sinter_cache *cache);
/** Its memory is gone. */
void sc_budget_release(sinter_cache *cache);

/** The cache is at its limit: may raise it. In a section that sc_enter_writing has opened. */
void sc_budget_ask(sinter_cache *cache);

/** Whether more is granted than the limit says; then sc_budget_give_back, by the owner of `slow`,
 * outside of sections, evicts and lets the store give pages back. */
static inline bool
sc_budget_owes(const sinter_cache *cache)
{
    return sc_unlikely(sc_load(&cache->tenant.granted) > sc_load(&cache->room.limit));
}
void sc_budget_give_back(sinter_cache *cache);

/** In a forked child, where nobody holds its lock. */
void sc_budget_begin_again(sinter_cache *cache);

#endif
