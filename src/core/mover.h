/* SPDX-License-Identifier: MIT */
/*
 * mover.h - the bell and the notice board between the library and its mover (defrag/). Whoever
 * makes work for the mover, or waits for it, says so here: it sets a field and wakes the mover, and
 * reads here what the mover has done. It knows nothing of the state machine, which in turn only
 * reads and answers. Its one call upwards is open_wanted, below.
 */
#ifndef SN_MOVER_H
#define SN_MOVER_H

#include "base/atomic.h"
#include "base/lock.h"
#include "memory/class_use.h"
#include "memory/size_class.h"

#include <sinter/handle.h>

/** Counters since the store was made; written under the mover's lock, read by anybody. */
struct sn_mover_totals {
    uint64_t moved_objects, moved_bytes, released_bytes, spans_emptied, grace_periods, cpu_ns,
        fork_copied_bytes, fork_refused_bytes, refused[8];
};

struct sn_mover {
    struct sn_lock lock; /* the mover's lock: for moving, and for going from span to span */

    /* Opens the closed spans of the classes that are wanted; the state machine's, called under the
     * lock. An allocation that finds the lock free need not wait for the next slice. Immutable. */
    void (*open_wanted)(handle_store *store);

    /* atomic: written by the mover */
    struct sn_mover_totals totals;
    uint32_t idle_reason;
    uint64_t fork_copied_bytes; /* since there were children */
    uint64_t passes;            /* ended */
    uint64_t undecided;         /* of these, without gain, and something was unpinned meanwhile */
    uint64_t memory_answered;   /* see memory_requests */
    uint64_t pause_freed;       /* freed bytes that end the pause after a pass, and its verdict */
    uint64_t stuck_bytes;       /* recoverable, but the last pass has tried them in vain */

    /* atomic: asked of the mover */
    uint64_t memory_requests; /* how often an allocation that max_bytes refused has asked for work
                                 at full effort; of these memory_answered are answered: by a pass
                                 that began later and gained nothing, or since there is nothing to
                                 gain */
    uint32_t unpinned;        /* something was, or a walk has ended, since the pass began */
    uint32_t any_wanted;      /* a class is wanted ... */
    uint8_t wanted[SN_CLASSES_MAX]; /* ... this: an allocation needs a slot of its closed spans */
    uint32_t purge_during_gp; /* a grace period may be long: the mover purges in the GP thread's
                                 stead */

    /* guarded by wake_lock */
    struct sn_lock wake_lock;
    pthread_cond_t wake;
    bool woken;   /* there may be something to do; without a thread: one is to be started */
    bool running; /* there is a thread that nobody has joined */
    bool exiting; /* it has wound down and ends: the first of those who stop it joins */
    bool ended;   /* the store is being destroyed: no thread is started any more */
    bool failed;  /* no thread could be started when one was wanted; tried again */
};

void sn_mover_init(struct sn_mover *mover);
void sn_mover_destroy(struct sn_mover *mover);
/** In a forked child: there is no thread, and a thread that is gone may have held wake_lock. */
void sn_mover_begin_child(struct sn_mover *mover);

/** Whether the background thread runs, or will when it is woken (if enabled). */
bool sn_mover_is_available(struct sn_mover *mover);
/** Whether it is there now. */
bool sn_mover_has_thread(struct sn_mover *mover);

/** Freed bytes passed the mark, or an option changed: the mover looks whether to work. */
void sn_mover_wake(handle_store *store);

/** Parts of the arena are due to become huge pages: its thread does it when it has nothing else to
 * do, and is started for that if there is none. */
void sn_mover_wake_for_dense(handle_store *store);

/** Before anything was freed: sets the mark at which frees wake the mover. */
void sn_mover_arm(handle_store *store);

/** Whether a forked child shares the pages: nothing is moved then unless memory lacks. Asks the
 * kernel, once for each child. */
bool sn_mover_shares_pages(handle_store *store);
/** Whether so many bytes more may be copied for children. */
bool sn_mover_may_copy(const handle_store *store, uint64_t bytes);
/** How many in all. When they are used up, what has been written to since the fork is still
 * moved. */
uint64_t sn_mover_fork_copy_bytes(const handle_store *store);

/** What compaction can gain now, at the limit, of all that there is to gain; 0: it does not work,
 * or has tried in vain. */
uint64_t sn_mover_gain(handle_store *store, const struct sn_gain *gain);

/** Bytes of spans emptied so far, less pages that were taken for what was moved: it may fall for a
 * while, and wraps. */
uint64_t sn_mover_gained(const handle_store *store);

/** Passes that gained nothing and yet say nothing about the next. */
static inline uint64_t
sn_mover_undecided(const struct sn_mover *mover)
{
    return sn_load_relaxed(&mover->undecided);
}

/** Whether an allocation waits for what compaction gains. */
static inline bool
sn_mover_is_requested(const struct sn_mover *mover)
{
    return sn_load_relaxed(&mover->memory_requests) != sn_load_relaxed(&mover->memory_answered);
}

/** The requests until now. Acquire: what had been freed or unpinned before them is seen. */
static inline uint64_t
sn_mover_requests(const struct sn_mover *mover)
{
    return sn_load_acquire(&mover->memory_requests);
}

/** Nothing more comes to those who have asked until `requests` was read; later ones go on. */
static inline void
sn_mover_answer(struct sn_mover *mover, uint64_t requests)
{
    sn_store_relaxed(&mover->memory_answered, requests);
}

/** An allocation found max_bytes reached, and compaction can help: work at full effort. */
void sn_mover_request_memory(handle_store *store);

/** Waits until compaction has released `bytes` on request, or has come to an end. False: the time
 * came first. */
bool sn_mover_wait_relief(handle_store *store, uint64_t bytes, uint64_t deadline_ns);

/** Opens the spans of a class that the mover has closed: a slot of them is needed. False: not at
 * once, but by the next who holds the mover's lock. */
bool sn_mover_open_class(handle_store *store, unsigned class_id);

/** Something was unpinned: what could not be moved may be moved now. */
void sn_mover_unpinned(handle_store *store);

/** A walk has ended: what it kept apart can be moved together. */
void sn_mover_walked(handle_store *store);

#endif
