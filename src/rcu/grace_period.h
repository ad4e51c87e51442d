/* SPDX-License-Identifier: MIT */
/*
 * grace_period.h - a flavour's one thread, which goes round: it gathers what all clients have in
 * limbo, waits for one grace period, lets each client reclaim and keep house, and sleeps. What is
 * asked of it, and who wakes it, is in rcu.c; forks, which put it aside, are in rcu_fork.c.
 */
#ifndef SN_GRACE_PERIOD_H
#define SN_GRACE_PERIOD_H

#include "rcu/rcu.h"

/** The thread; its argument: the flavour's struct sn_rcu. It never ends. */
void *sn_gp_thread(void *argument);

/** A client that is awake takes part from the next round on. Under the clients' lock. */
void sn_gp_add_locked(struct sn_rcu *rcu, struct sn_rcu_client *client);

#endif
