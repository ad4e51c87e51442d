/* SPDX-License-Identifier: MIT */
/*
 * config.h - the library's constants, each with its unit in the name and where it comes from. What
 * a user may tune is an option in handle.h, not here.
 */
#ifndef SN_CONFIG_H
#define SN_CONFIG_H

#include "base/page.h"

/* Spans are runs of blocks. 64 KiB: large enough that span metadata (64 + 64 bytes a block) costs
 * 0.2 %, small enough that a sparse class costs half of it and not more. */
#define SN_BLOCK_SHIFT       16
#define SN_BLOCK_BYTES       ((size_t)1 << SN_BLOCK_SHIFT)
#define SN_BLOCK_PAGES       (SN_BLOCK_BYTES >> SN_PAGE_SHIFT) /* 16, 4 or 1 */
#define SN_BLOCK_PAGES_SHIFT (SN_BLOCK_SHIFT - SN_PAGE_SHIFT)

/*
 * Metadata that grows with a store lies in groups, the first of which ends highest: in each the
 * bitmaps of 64 blocks, 4 KiB for each of eight lines, and behind them the descriptors of 512 pages
 * of the handle table. So all that is used of it is one range, which ends in one place. Lines share
 * larger pages: with a page for each a small store would be little else.
 */
#define SN_GROUP_BLOCKS      64
#define SN_GROUP_TABLE_PAGES 512
#define SN_GROUP_LINE_BYTES  ((size_t)4096)
#define SN_GROUP_TABLE_AT    (8 * SN_GROUP_LINE_BYTES)
#define SN_GROUP_BYTES       (10 * SN_GROUP_LINE_BYTES)

#define SN_ARENA_MIN_BYTES         ((uint64_t)1 << 20)
#define SN_ARENA_MAX_BYTES         ((uint64_t)1 << 40) /* 37 bits of a reference word, times 8 */
#define SN_ARENA_DEFAULT_MIN_BYTES ((uint64_t)64 << 30)
/* Below this, halving the default arena stops and creation fails. */
#define SN_ARENA_LEAST_BYTES ((uint64_t)4 << 20)

/* What a store begins with, and grows by at least; the table by half of it. */
#define SN_ARENA_STEP_BYTES ((uint64_t)16 << 20)

#define SN_HEADER_BYTES    8
#define SN_SLOT_MIN_BYTES  16    /* header and 8 bytes of payload */
#define SN_SLOT_MAX_BYTES  65536 /* above: page runs */
#define SN_SPAN_BLOCKS_MAX 8     /* 512 KiB: eight of the largest slots */
#define SN_CLASSES_MAX     208

/* Kept back below max_bytes for the mover's destinations: a share of the limit, at least the pages
 * of one of the largest slots, of a new span's metadata and of a batch's lists, and at most two of
 * the longest spans. */
#define SN_RESERVE_SHARE     32
#define SN_RESERVE_MIN_BYTES (((uint64_t)128 << 10) + 4 * (SN_PAGE_BYTES - 4096))
#define SN_RESERVE_MAX_BYTES ((uint64_t)SN_BLOCK_BYTES * SN_SPAN_BLOCKS_MAX * 2)
#define SN_MAX_BYTES_MIN     ((uint64_t)4 << 20)

/* Thread caches: slots per class bounded by bytes and by number. The number is where the class
 * lock (about 20 ns a pair, uncontended) falls below a nanosecond per object. */
#define SN_CACHE_CLASS_BYTES 16384
#define SN_CACHE_CLASS_SLOTS 64
/* Of large slots so many may be more bytes than that, within bounds: who works with a few objects
 * of one size finds them. */
#define SN_CACHE_FEW_SLOTS 8
#define SN_CACHE_FEW_BYTES 131072
/* The bins of slots above so many bytes begin with one. */
#define SN_CACHE_ONE_BYTES 4096
/* After so many refusals of the budgets to let a bin grow, one that is not in use is dropped. */
#define SN_CACHE_REFUSALS 16
/* Free table entries that a thread keeps. */
#define SN_CACHE_INDEXES 64
/* Bounds of a bin whose class's allocations and frees come in bursts longer than it. */
#define SN_CACHE_BURST_BYTES 131072
#define SN_CACHE_BURST_SLOTS 1024 /* no bin has more; so many indexes, too */

/* A thread hands its limbo over when it is so many bytes. Each slot counts as SN_LIMBO_LEAST_BYTES
 * at least, so that a chunk never overflows; one of SN_LIMBO_CHUNK_SLOTS takes 2 KiB of malloc. */
#define SN_LIMBO_HANDOVER_BYTES 65536
#define SN_LIMBO_LEAST_BYTES    262
#define SN_LIMBO_CHUNK_SLOTS    253
/* Shares of max_bytes that what threads keep to themselves may have, where that is less: 64 KiB of
 * free slots and 16 KiB of limbo for a thread, of the smallest limit. */
#define SN_CACHE_SHARE          64
#define SN_CACHE_TOTAL_SHARE    16
#define SN_LIMBO_HANDOVER_SHARE 256
#define SN_LIMBO_URGENT_SHARE   32
/* Lists (of slots for which there was no chunk) go to several stacks: who follows a list waits for
 * each slot's header in turn, so several lists are followed at once. About as many as a core has
 * misses under way. */
#define SN_LIMBO_LISTS 8
/* Limbo of a store above which the grace-period thread is woken at once; below, it gathers for the
 * time of one tick. */
#define SN_LIMBO_URGENT_BYTES ((uint64_t)512 << 10)
/* What the grace-period thread gives back to the kernel before it looks again whether a grace
 * period is wanted: 0.1 ms, or 1 ms where many processors have to forget the pages. */
#define SN_PURGE_PIECE_BYTES ((size_t)4 << 20)
/* Limbo of a store, if it is more than a twentieth of its memory too, above which those who free
 * give way to others. */
#define SN_LIMBO_MUCH_BYTES ((uint64_t)32 << 20)
#define SN_GP_GATHER_NS     5000000   /* 5 ms */
#define SN_HOUSEKEEPING_NS  200000000 /* 200 ms: idle caches are found in two of these */

/* Below this a store's dense parts do not become huge pages: the second-level TLB has entries for
 * 4 to 8 MiB, and what the caches hold is found without it. */
#define SN_DENSE_MIN_BYTES ((uint64_t)64 << 20)

/* One batch of moves: as much as the second-level cache holds, and bounded: its slots wait for a
 * grace period. Marking touches one line of a small slot, and its word; the copy finds them in the
 * cache, and the two context switches of a grace period are shared by so many. */
#define SN_BATCH_OBJECTS    8192
#define SN_BATCH_SPANS      256
#define SN_BATCH_BYTES_MAX  ((size_t)2 << 20)
#define SN_L2_DEFAULT_BYTES ((size_t)1 << 20) /* where the system does not say */

/* The longest line that the error callback gets, with its terminating 0; what is longer is cut. */
#define SN_ERROR_LINE_BYTES 256

/* Stacks of the library's threads; error callbacks run on them. Surveys of all size classes have
 * frames of 14 KiB, two of them at once; sanitizers triple that. */
#define SN_STACK_BYTES ((size_t)512 << 10)

#endif
