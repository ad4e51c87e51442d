/* SPDX-License-Identifier: MIT */
/* thread.h - the background thread as those start and stop it who hold the mover's wake_lock. */
#ifndef SN_DEFRAG_THREAD_H
#define SN_DEFRAG_THREAD_H

#include "defrag/defrag.h"

/** It may run from now on: one that is being stopped goes on. 0 or a negative errno. */
int sn_defrag_allow_thread_locked(struct sn_defrag *d);

/** Starts it if it is wanted, joins it if it has ended and is gone; see sn_defrag_tend. Does not
 * wait. Result: when to look again. */
uint64_t sn_defrag_tend_locked(struct sn_defrag *d, uint64_t now_ns);

/** Returns when the thread has wound down, by whomever it was asked; it has then ended, unless it
 * was started again. Drops the lock while it waits. The caller is offline. */
void sn_defrag_stop_locked(struct sn_defrag *d);

#endif
