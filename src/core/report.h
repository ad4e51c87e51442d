/* SPDX-License-Identifier: MIT */
/*
 * report.h - what a store says to the error callback: one line at a time, by a caller that holds no
 * lock. What is found under a lock is noted and reported later.
 */
#ifndef SN_REPORT_H
#define SN_REPORT_H

#include "core/store.h"

/** One line to the error callback, or to stderr. */
__attribute__((format(printf, 2, 3))) void
sn_store_error(handle_store *store, const char *format, ...);

/** Counts an allocation that gets ENOMEM. Any lock may be held. */
void sn_store_count_failure(handle_store *store, enum handle_alloc_failure reason);

/** Counts an allocation that gets ENOMEM, and says why. small: sn_store_small() when it began. */
void sn_store_note_failure(handle_store *store, uint64_t small);

/** The header of an object was found damaged by the call `where`. */
void sn_store_print_damage(handle_store *store, uint64_t slot, const char *where);

/** Reports what was noted under a lock: that no thread could be started to compact. */
void sn_store_report_no_thread_slow(handle_store *store);

static inline void
sn_store_report_no_thread(handle_store *store)
{
    if (sn_unlikely(sn_load_relaxed(&store->thread_failed)))
        sn_store_report_no_thread_slow(store);
}

#endif
