/* SPDX-License-Identifier: MIT */
/*
 * retire.h - objects that are freed a grace period later (G11 in reference.h): until then every
 * section resolves the handle. They form a list without memory of its own: each header names the
 * next entry of the table, whose word names the next slot. Any thread adds, the grace-period thread
 * takes the whole list before a grace period, and ends it after.
 */
#ifndef SN_RETIRE_H
#define SN_RETIRE_H

#include "object/object.h"

/** Before a grace period: the whole list; 0: it is empty. */
uint64_t sn_retired_take(handle_store *store);

/** After it: frees some of them, as by handle_free; *list is what is left. True: there are more. */
bool sn_retired_end(handle_store *store, uint64_t *list);

#endif
