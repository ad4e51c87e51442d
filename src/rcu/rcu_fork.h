/* SPDX-License-Identifier: MIT */
/*
 * rcu_fork.h - forks beside RCU: the threads of all flavours are put aside, and nobody is in a list
 * of readers, so that the child finds no lock of liburcu taken for ever.
 */
#ifndef SN_RCU_FORK_H
#define SN_RCU_FORK_H

#include "rcu/rcu.h"

/** Whether the calling thread is outside of the sections of all flavours; true while it prepares a
 * fork already, since it waits for no reader any more. */
bool sn_rcu_is_outside(void);

/**
 * Around the time in which a thread of the library, or one that does its work, is in the flavour's
 * list of readers (QSBR: online): no fork finds it there. join waits for forks under way: the
 * caller is offline and holds no lock. In between it waits for no GP. A thread joins one at a time.
 */
void sn_rcu_join(struct sn_rcu *rcu);
void sn_rcu_part(struct sn_rcu *rcu);

/**
 * Keeps the threads of all flavours out of all stores until after the fork, and out of the
 * flavours, whose locks the child would find taken for ever. wait: for the GPs under way; the
 * caller is outside of sections then, and offline meanwhile. Nests, for several stores; other
 * threads' forks wait.
 */
void sn_rcu_before_fork(bool wait);
/** In parent and child. */
void sn_rcu_after_fork(void);
/** In every child, first of all and once: no threads here, nothing will be reclaimed. A store
 * created later starts a new one. */
void sn_rcu_begin_child(void);

#endif
