/* SPDX-License-Identifier: MIT */
/* hugepages.h - what a store does about huge pages: see enum handle_hugepages. */
#ifndef SN_HUGEPAGES_H
#define SN_HUGEPAGES_H

#include "core/store.h"

/** Whether the kernel is asked for huge pages, so that single pages would split them. */
static inline bool
sn_hugepages_are_asked_for(const handle_store *store)
{
    enum handle_hugepages mode = sn_load_relaxed(&store->options.hugepages);
    return mode == HANDLE_HUGEPAGES_ADVISE || mode == HANDLE_HUGEPAGES_ALWAYS;
}

/** At creation, before the kernel is told anything: whether the arena stays plain, so that dense
 * parts of it can become huge pages. */
void sn_hugepages_init(handle_store *store);

/** What becomes of dense parts now. */
enum handle_dense_reason sn_hugepages_reason(handle_store *store);

/** Whether they are to become huge pages. */
static inline bool
sn_hugepages_are_made(handle_store *store)
{
    enum handle_dense_reason reason = sn_hugepages_reason(store);
    return reason == HANDLE_DENSE_WORKING || reason == HANDLE_DENSE_REFUSED;
}

#endif
