/* SPDX-License-Identifier: MIT */
/*
 * runs.h - the free runs of one state by length: the shortest that is long enough is found in time
 * that does not grow with their number.
 *
 * To 32 blocks there is a list for each length. All longer runs are in one digital search tree
 * (Knuth, TAOCP 3, 6.3; as in the large bins of dlmalloc): a node may be any run of its subtree,
 * and level k decides by bit 24 - k of the length. Runs of one length form a list behind the one
 * in the tree. So a search looks at two runs for each bit, at most.
 */
#ifndef SN_RUNS_H
#define SN_RUNS_H

#include "base/config.h"

struct sn_span;

#define SN_RUNS_LISTS 32
#define SN_RUNS_BITS  25 /* of a length: an arena has 2^24 blocks at most */

/** All members are guarded by the pool's lock. */
struct sn_runs {
    uint32_t list[SN_RUNS_LISTS]; /* [length - 1]: heads */
    uint32_t used;                /* which lists hold a run */
    uint32_t root;                /* of the tree; 0: empty */
    uint64_t looked_at;           /* runs, by all searches since creation */
};

/** Links are in the runs' own descriptors; spans: the array of them. */
void sn_runs_insert(struct sn_runs *runs, struct sn_span *spans, uint32_t first);
void sn_runs_remove(struct sn_runs *runs, struct sn_span *spans, uint32_t first);
/** The shortest run of at least `blocks` blocks; 0: none. Of several as long it is the one inserted
 * last, or, in the tree, one of the last two. */
uint32_t sn_runs_find(struct sn_runs *runs, const struct sn_span *spans, uint32_t blocks);

#endif
