/* SPDX-License-Identifier: MIT */
/*
 * reclaim.h - what the grace-period thread does with retired slots: takes the lists over before a
 * grace period (GP), gives the slots back after it.
 */
#ifndef SN_RECLAIM_H
#define SN_RECLAIM_H

#include "object.h"

#define SN_RECLAIM_SLOTS ((size_t)2048)
#define SN_RECLAIM_BYTES (SN_RECLAIM_SLOTS * 2 * sizeof(uint64_t))

/** False: no memory. */
bool sn_reclaim_init(struct sn_reclaim *reclaim);
void sn_reclaim_fini(struct sn_reclaim *reclaim);

/** Takes over all that is in limbo. True: there is something to give back after a GP. */
bool sn_reclaim_gather(handle_store *store);
/** The GP is over: gives back what was gathered before it. */
void sn_reclaim_give_back(handle_store *store);

#endif
