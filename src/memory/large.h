/* SPDX-License-Identifier: MIT */
/*
 * large.h - objects too long for a slot: each has a run of blocks for itself, and is resized where
 * it lies while that is possible.
 *
 * A large span's pages, from its first one on:
 *
 *   free (its member)  pages of the object as it is now
 *   held               of the object, or of a longer one that readers may still see: a tail. What a
 *                      resize cuts off is held for a grace period (G2), counts as limbo meanwhile,
 *                      and may be grown into again
 *   blocks             of the run. What is beyond is room to grow, not committed; or pages that
 *                      were committed when the run was taken, until a trim
 *
 * Growing takes free blocks behind the run, too. An object that has to move because it grows gets
 * as many blocks of room as it has itself, so that n appends copy O(n) bytes; room is address space
 * only, and goes when another span finds no run. Room that the application asked for (a capacity)
 * stays: so many blocks of the run as its span's member `reserved` says.
 *
 * The lists that a span may be in, linked by its next and prev:
 *
 *   list      its pages                                     leaves it
 *   SHRUNK    has a tail                                    when a grace period begins: WAITING
 *   WAITING   has a tail that readers before the grace      after it: SHRUNK, cut again meanwhile;
 *             period may see                                EXCESS; none; pinned: PINNED
 *   PINNED    the same, and a grace period has passed       as from WAITING, when looked at again
 *   EXCESS    has committed pages that nobody sees, less    by a trim of pages
 *             than a block
 *   EXCESS_BLOCKS  a block of them or more                  by any trim
 *
 * The pool's lock guards the lists, the members above, and the header word: who changes a header
 * finds sizes as they belong to it.
 */
#ifndef SN_LARGE_H
#define SN_LARGE_H

#include "memory/heap.h"

enum sn_large_list {
    SN_LARGE_SHRUNK,
    SN_LARGE_WAITING,
    SN_LARGE_PINNED,
    SN_LARGE_EXCESS,
    SN_LARGE_EXCESS_BLOCKS,
    SN_LARGE_LISTS, /* in none */
};

struct sn_large {
    struct sn_heap *heap;
    size_t extra;                  /* bytes added to every request */
    uint32_t list[SN_LARGE_LISTS]; /* heads; guarded by the pool's lock */
    pthread_cond_t unclaimed;      /* a span is claimed no more */
    /* atomic */
    uint64_t objects;
    uint64_t requested;
    uint64_t live_bytes; /* whole pages of those live */
    uint64_t allocs, frees;
    uint64_t ended; /* objects whose runs come back: spans with SN_SPAN_ENDED */
};

void sn_large_init(struct sn_large *large, struct sn_heap *heap, size_t extra);

/** A run for an object of `size` bytes; 0 when there is none. room: with room to grow, where there
 * is some. *zero: its bytes are zero. Result: the object's offset. */
uint64_t sn_large_take(struct sn_large *large, size_t size, bool room, bool *zero);

/** The same with room for `capacity` bytes, which stays. */
uint64_t sn_large_take_capacity(struct sn_large *large, size_t size, size_t capacity, bool *zero);

/** Bytes that an object has room for, where that was asked for; else 0. In a section. */
size_t sn_large_capacity(const struct sn_large *large, uint64_t offset);

/** Gives an object's run back; its header is clear. Result: bytes of its tail, which is limbo no
 * more. */
size_t sn_large_put(struct sn_large *large, uint64_t offset);

/** Addresses of free runs and of those that ended objects give back, if any does; else 0. A longer
 * run there will not be. */
uint64_t sn_large_coming_bytes(struct sn_large *large);

/** Clears an object's header. Result: what it was. Nobody resizes the object any more. */
uint64_t sn_large_end(struct sn_large *large, uint64_t offset);

enum sn_resized {
    SN_RESIZED,
    SN_RESIZE_LOST,    /* the header is another: freed, or resized, meanwhile */
    SN_RESIZE_NO_ROOM, /* not where it lies */
    SN_RESIZE_REFUSED, /* max_bytes: `lacks` bytes must become free first */
    SN_RESIZE_CLAIMED, /* somebody works on what is behind it: sn_large_await_claim, and again */
};

struct sn_large_resize {
    uint64_t offset;
    uint64_t header, want; /* expected; and the new one */
    size_t size;
    size_t capacity; /* room from now on; less than the size: none; 0: as it is */
    /* answers */
    size_t before;      /* bytes requested until now */
    int64_t pages;      /* more than before */
    int64_t tail_bytes; /* more than before: limbo */
    uint64_t lacks;
};

/** Resizes in place. In a section in which the header was read. */
enum sn_resized sn_large_resize(struct sn_large *large, struct sn_large_resize *resize);

/** Waits while somebody works on the span, which is short: no grace period is in it. No lock is
 * held. */
void sn_large_await_claim(struct sn_large *large, uint64_t offset);

/** Before a grace period: takes over the tails of the moment. False: there are none. */
bool sn_large_gather(struct sn_large *large);
/**
 * After it: what was taken over is no tail any more, unless the object is pinned: then a later call
 * looks again, a grace period need not pass. By the grace-period thread. Result: bytes.
 */
size_t sn_large_finish_tails(struct sn_large *large,
                             bool (*is_pinned)(void *opaque, uint64_t offset), void *opaque);
/** Whether sn_large_gather, or a later sn_large_finish_tails, will find some. */
bool sn_large_has_tails(struct sn_large *large);
/** Whether a later sn_large_finish_tails has something to do, or (trims) a later trim has. */
bool sn_large_has_work(struct sn_large *large, bool trims);

/** Gives excess pages back to the kernel, about max_bytes at most; not `pages`: only where they are
 * a block or more, as a purge does. The caller holds no lock. Result: bytes. */
size_t sn_large_trim(struct sn_large *large, size_t max_bytes, bool pages);

/** In a forked child: ends the claims of threads that are not there any more. */
void sn_large_after_fork_child(struct sn_large *large);

#endif
