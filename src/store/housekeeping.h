/* SPDX-License-Identifier: MIT */
/* housekeeping.h - what the grace-period thread does for a store. */
#ifndef SN_HOUSEKEEPING_H
#define SN_HOUSEKEEPING_H

#include "core/store.h"

/** Makes the store a client of the grace-period thread, to be added, and of heap and caches. */
void sn_housekeeping_init(handle_store *store);

#endif
