/* SPDX-License-Identifier: MIT */
/* stats.h - the statistics, put together from the counters that the modules keep as they go. */
#ifndef SN_STATS_H
#define SN_STATS_H

#include "core/store.h"

/** Fills *stats, and, if it is not NULL, classes[stats->classes], of the same moment. Result:
 * threads found inside a call that changes counters, which may be half changed then. */
uint64_t
sn_stats_fill(handle_store *store, struct handle_stats *stats, struct handle_class_stats *classes);

/** The same, of one moment if there is one: beside the library's own threads it tries again. */
void sn_stats_fill_whole(handle_store *store, struct handle_stats *stats,
                         struct handle_class_stats *classes);

/** Replaces the estimate of the requested bytes by their exact sum. */
void sn_stats_set_requested(struct handle_stats *stats, uint64_t requested);

/** Whether no thread was inside a call that changes counters. */
bool sn_stats_at_rest(handle_store *store);

/** Pages of spans in use, found by a walk over the descriptors, less the classes' occupied slots:
 * what the memory breakdown's free_slot must come to. For check. */
uint64_t sn_stats_count_free(handle_store *store);

#endif
