/* SPDX-License-Identifier: MIT */
/*
 * guard.h - guard spans of hardened stores: inaccessible pages behind every large object, and
 * behind every 512th span of slots, so that a write that runs on ends in a fault. A guard is
 * the end of its span's own run of blocks, and goes when the span goes back to the pool.
 *
 * Each guard splits the arena's mapping: their number is bounded for the whole process, far below
 * vm.max_map_count. Beyond the bound, or when the kernel refuses, a span has none.
 */
#ifndef SN_GUARD_H
#define SN_GUARD_H

#include "memory/span.h"

/** Guards of the process: each costs two mappings at most, of 65530 that Linux allows. */
#define SN_GUARDS_MAX 4096

/**
 * Blocks to take for a span of `blocks` blocks whose first `pages` pages are used: one more when
 * there is to be a guard, and no page is left over for it. *reserved: whether there is to be one.
 */
uint32_t
sn_guard_blocks(struct sn_pool *pool, uint32_t blocks, uint32_t pages, bool large, bool *reserved);
/** Ends what sn_guard_blocks has reserved: no run could be had. */
void sn_guard_cancel(struct sn_pool *pool);
/** Makes the pages behind the first `pages` of a span just taken inaccessible, as reserved. */
void sn_guard_raise(struct sn_pool *pool, uint32_t number, uint32_t pages);
/** Makes the whole span accessible again. False: the kernel refused, it must not be used again. */
bool sn_guard_lower(struct sn_pool *pool, uint32_t number);
/** The arena goes with all its guards. */
void sn_guard_end(struct sn_pool *pool);

#endif
