/* SPDX-License-Identifier: MIT */
/* purge.h - pages that a store does not use go back to the kernel: after a delay, or all. */
#ifndef SN_PURGE_H
#define SN_PURGE_H

#include "core/store.h"

/**
 * Gives empty spans back to the kernel whose delay is over, at most max_bytes (0: no bound).
 * *next_ns: when to look again; now_ns: there is more at once; SN_NEVER: nothing waits. Result:
 * bytes.
 */
size_t
sn_store_purge_due(handle_store *store, uint64_t now_ns, size_t max_bytes, uint64_t *next_ns);

/** Empties caches of threads that are not inside, and gives all back that is not used now. */
void sn_store_purge_all(handle_store *store);

#endif
