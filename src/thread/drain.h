/* SPDX-License-Identifier: MIT */
/*
 * drain.h - what threads keep is drained, and their counters are summed up, by other threads: see
 * the lock at the head of thread_cache.h.
 */
#ifndef SN_DRAIN_H
#define SN_DRAIN_H

#include "thread/thread_cache.h"

/** Grace-period thread: takes all that is in limbo, handed over or still with a thread that is not
 * inside its cache. False: nothing. Their bytes stay counted in limbo_bytes. */
bool sn_caches_drain_limbo(struct sn_caches *caches, struct sn_limbo *taken);

/**
 * Drains free slots of threads that are not inside their cache. only_closed: only slots of
 * CLOSED spans; only_idle: only from caches without a call since the last housekeeping (and
 * remembers where they are now). Result: caches skipped.
 */
unsigned
sn_caches_drain(struct sn_caches *caches, bool only_closed, bool only_idle, bool *any_active);

/** Drains the free slots of one class of threads that are not inside their cache. Result: how
 * many. */
uint64_t sn_caches_drain_class(struct sn_caches *caches, unsigned class_id);

/** What the caches hold and count: read beside their owners, so an estimate while those work. */
struct sn_cache_estimate {
    uint64_t limbo_bytes; /* what a grace period brings back */
    uint64_t indexes;
    uint64_t out[SN_CLASSES_MAX]; /* slots that live or are cached; not filled in without limbo */
    uint64_t cached[SN_CLASSES_MAX];
    uint64_t idle[SN_CLASSES_MAX]; /* of those, by threads without a call since the last tick */
};
void sn_caches_estimate(struct sn_caches *caches, struct sn_cache_estimate *estimate);
/** Whether a cache holds free slots of the class; free table entries. */
bool sn_caches_hold_class(struct sn_caches *caches, unsigned class_id);
bool sn_caches_hold_indexes(struct sn_caches *caches);
/** Objects that live, by class. */
void sn_caches_live(struct sn_caches *caches, uint64_t live[SN_CLASSES_MAX]);

/** Bytes that a grace period brings back, with threads and handed over; and the same with what
 * threads cache, at most. They look at next to nothing of the caches, so that their owners do not
 * wait for it to come back from our processor. */
uint64_t sn_caches_limbo(struct sn_caches *caches);
/** Whether an owner is inside its cache that has limbo there; counts as a skip. */
bool sn_caches_any_inside(struct sn_caches *caches);
uint64_t sn_caches_reclaimable_max(struct sn_caches *caches);

/** Keeps all owners out of their caches, for a walk; nests. free_now retires meanwhile. False: no
 * membarrier could be had, nobody is kept out. */
bool sn_caches_lock_out(struct sn_caches *caches);
void sn_caches_let_in(struct sn_caches *caches);

/** Whether any owner used its cache since the last housekeeping, or has something in limbo. */
bool sn_caches_are_active(struct sn_caches *caches);

/** Sums over all threads; exact when none is at work. */
struct sn_cache_sums {
    uint64_t threads;
    uint64_t indexes;     /* free table entries that threads keep */
    uint64_t limbo_bytes; /* unreclaimable_bytes included */
    uint64_t unreclaimable_bytes;
    uint64_t busy; /* threads inside a call that changes the counters */
    uint64_t frees;
    uint64_t reserved; /* objects; part of those that live */
    uint64_t live[SN_CLASSES_MAX], cached[SN_CLASSES_MAX];
};
void sn_caches_sum(struct sn_caches *caches, struct sn_cache_sums *sums);
/** The sum of `frees` alone. */
uint64_t sn_caches_frees(struct sn_caches *caches);

#endif
