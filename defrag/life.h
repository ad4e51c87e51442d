/* SPDX-License-Identifier: MIT */
/* life.h - the defragmenter as the store sees it: made, set, looked after, ended. */
#ifndef SN_DEFRAG_LIFE_H
#define SN_DEFRAG_LIFE_H

#include "defrag/defrag.h"

void sn_defrag_create(handle_store *store);

/** Stops the thread for good; the other functions may still be called. */
void sn_defrag_end(handle_store *store);

/** Frees it; nobody calls any more. */
void sn_defrag_destroy(handle_store *store);

/** The option has changed. 0 or a negative errno. */
int sn_defrag_configure(handle_store *store);

/** The grace-period thread: starts the mover's thread if it is wanted, joins one that has ended.
 * Result: when to look again. */
uint64_t sn_defrag_tend(handle_store *store, uint64_t now_ns);

/** A grace period begins, which may be long: until it ends the mover purges. */
void sn_defrag_purge_during_gp(handle_store *store);

void sn_defrag_fill_stats(handle_store *store, struct handle_stats *stats);

/** In a forked child: there is no thread. */
void sn_defrag_after_fork_child(handle_store *store);

size_t sn_defrag_metadata_bytes(void);

#endif
