/* SPDX-License-Identifier: MIT */
/*
 * fork.h - forks. No writer is inside of any cache of the process while it forks: there is one gate
 * for all, which the first before_fork closes, before any store is held, and the last of the hooks
 * after it opens. (Whoever waited for a grace period when stores are held already might wait for a
 * reader that waits for one of them.)
 */
#ifndef SC_FORK_H
#define SC_FORK_H

#include "cache/whole.h"

/** No fork begins, or is under way, between these; outside of sections. */
void sc_fork_hold(const sinter_cache *cache);
void sc_fork_let(void);
/** A cache that is made, and one that is about to go. */
void sc_fork_add(sinter_cache *cache);
void sc_fork_remove(sinter_cache *cache);

/** Atomic: a fork is being prepared, or under way. */
extern uint32_t sc_fork_under_way;

#endif
