/* SPDX-License-Identifier: MIT */
/* grow.h - the number of buckets follows the number of items, one bucket at a time. */
#ifndef SC_GROW_H
#define SC_GROW_H

#include "cache/leave.h"

/** Makes the first buckets. 0 or -ENOMEM. */
int sc_index_open(sinter_cache *cache);
void sc_index_close(sinter_cache *cache);

/** Bytes of buckets and ghosts that so many items need. */
uint64_t sc_index_bytes_for(uint64_t items);

/** Makes or takes away a bucket or two, if it is time. Outside of locks, in a section. */
void sc_index_fit(sinter_cache *cache);
/** Takes buckets away until they are not too many, or somebody walks. Outside of locks. */
void sc_index_settle(sinter_cache *cache);

/** No bucket is taken away between these. */
void sc_index_hold(sinter_cache *cache);
/** Says where the walk is, before it takes that bucket's lock. */
void sc_index_walk_at(sinter_cache *cache, uint64_t number);
/** And takes away what has become too many. Outside of locks. */
void sc_index_let(sinter_cache *cache);

/** Gives pages of buckets back that were taken away, after a grace period; outside of sections, by
 * the owner of `slow`. */
void sc_index_release(sinter_cache *cache);
/** Whether that is worth while. */
bool sc_index_has_spare(const sinter_cache *cache);

#endif
