/* SPDX-License-Identifier: MIT */
/*
 * dense.h - huge pages for the parts of an arena that are full. A region is 2 MiB of the arena,
 * aligned. One that is dense (every page of it committed, by spans in use that have few free slots)
 * in two looks becomes one huge page by MADV_COLLAPSE: no page more is resident than was committed,
 * and no mapping is split. What is given back of a huge page is made pages again before.
 *
 * A region's state is in the descriptor of its first block, guarded by the pool's lock:
 *
 *   SN_REGION_PAGES   not dense at the last look, or never looked at
 *   SN_REGION_SEEN    dense at the last look
 *   SN_REGION_DUE     dense at two looks: the mover's thread makes it a huge page
 *   SN_REGION_HUGE    a huge page, as far as the kernel has left it one
 *
 * A collapse would make pages resident again that are being given back at the same time. So the
 * pool says which region is being collapsed, and who wants to give pages of it back waits
 * (sn_dense_begin_locked); and where pages of spans in use are being given back (pool.trimming) no
 * collapse begins. Those of free runs need no mark: a region that has one is not dense.
 */
#ifndef SN_DENSE_H
#define SN_DENSE_H

#include "memory/heap.h"

#define SN_REGION_BLOCKS ((uint32_t)32) /* 2 MiB */

/** Looks at regions from the one of block `at` on, so many at most. Result: the block where the
 * next look goes on; 0: all were looked at. */
uint32_t sn_dense_look(struct sn_heap *heap, uint32_t at, unsigned looks);

/** Makes one region that is due a huge page; waits for the kernel, with no lock held. True: it did,
 * or the next call goes on with the search, of which each does a piece. False: none is due, or the
 * kernel refused, or it cannot be done just now. */
bool sn_dense_collapse(struct sn_heap *heap);

/** Whether a region is being collapsed that has this block, or lies right behind: who gives pages
 * of a span back that begins there would wait. A guess: one may begin just now. */
static inline bool
sn_dense_is_collapsing(const struct sn_pool *pool, uint32_t block)
{
    uint32_t first = sn_load_relaxed(&pool->collapsing);
    return first > 0 && first < block + 2 * SN_REGION_BLOCKS && block < first + SN_REGION_BLOCKS;
}

/** Whether there is something left to look at again; to collapse. */
static inline bool
sn_dense_has_seen(const struct sn_pool *pool)
{
    return sn_load_relaxed(&pool->regions[SN_REGION_SEEN]) > 0;
}

static inline bool
sn_dense_has_due(const struct sn_pool *pool)
{
    return sn_load_relaxed(&pool->regions[SN_REGION_DUE]) > 0;
}

/** Of a range of blocks that is given back in part: a page in each huge page at its ends. */
struct sn_split {
    unsigned count;
    char *page[2];
};

/** Before pages [from, to) of the arena are given back, with the pool's lock: waits for a collapse
 * of their region, and notes that huge pages end here. */
void
sn_dense_begin_locked(struct sn_pool *pool, uint64_t from, uint64_t to, struct sn_split *split);
/** Then without the lock, before they are given back: makes pages of these huge pages. */
void sn_dense_split(const struct sn_split *split);

#endif
