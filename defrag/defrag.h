/* SPDX-License-Identifier: MIT */
/*
 * defrag.h - a store's defragmenter: the state machine that carries batches through the protocol,
 * the pacing, and the thread. The thread is a loop around sn_defrag_advance_locked;
 * handle_defrag_step and handle_store_compact call the same. It is there while something can be
 * gained: who notices that (often a free) asks the grace-period thread to start it, and it ends
 * when it has had nothing to do for a while.
 *
 *   state      what it waits for or does                             next
 *   IDLE       nothing under way; may begin a pass                   MARKING
 *   MARKING    closes spans, step 1 for their objects                MARKED
 *   MARKED     step 2: the batch's first grace period                MOVING
 *   MOVING     steps 3 to 5                                          IDLE or MARKING; batch drains
 *
 *   Beside it one batch may drain: step 6, then its slots are reclaimed. Its grace period is the
 *   next batch's first, so that no more than one ever drains, and each batch costs one.
 *
 * An allocation that needs a slot of a class gets the class's spans out of either batch: its moves
 * are given up, the spans are open at once, and only what was moved already waits for step 6. So
 * does a walk with the span that it comes to. Beside a walk objects are moved on either side of it,
 * and not from one to the other (heap.h); where there is no room for a batch's objects, the last of
 * its spans is opened, and takes those of the others.
 *
 * A pass is one plan: per class a quota of spans to evacuate. It ends when the quotas are used up
 * or nothing sparse is left; then the policy is asked again.
 */
#ifndef SN_DEFRAG_H
#define SN_DEFRAG_H

#include "defrag/evacuate.h"
#include "defrag/policy.h"

enum sn_defrag_state { SN_DEFRAG_IDLE, SN_DEFRAG_MARKING, SN_DEFRAG_MARKED, SN_DEFRAG_MOVING };

#define SN_LINGER_MAX   128
#define SN_LINGER_TRIES 16

struct sn_defrag {
    handle_store *store;

    struct sn_lock lock; /* the mover's lock */
    /* guarded by lock */
    enum sn_defrag_state state;
    unsigned current; /* which of them is under way; the other may drain */
    bool draining;
    uint64_t reclaimed;                  /* batches, so far */
    struct sn_evacuation evacuation;     /* totals are read by anybody */
    uint32_t linger[SN_LINGER_MAX];      /* closed spans without objects that are not yet empty */
    uint8_t linger_tries[SN_LINGER_MAX]; /* looks at each; 0 beyond linger_count */
    uint32_t linger_count;
    uint64_t linger_ticket; /* of the grace period before the next look */
    uint32_t quota[SN_CLASSES_MAX];
    bool winding_down; /* nothing new is begun: stopped, disabled, or a child shares the pages */
    bool only_forced;  /* a compact drives: no pass but the forced one is begun */
    bool in_pass;
    bool forced_pass; /* whatever the thresholds say */
    bool pass_packs;  /* classes without a span too many are packed, too */
    bool pass_let_go; /* spans of its plan were opened for others */
    uint32_t effort_percent;
    uint64_t pass_moved, pass_gained;  /* so far, when the pass began */
    uint64_t pass_gain;                /* bytes that there were to gain, then */
    uint64_t pass_presses;             /* that it answers */
    uint64_t pause_ns, pause_until_ns; /* after passes without gain */
    uint64_t surveyed_freed;           /* freed bytes when the policy was last asked */
    bool at_rest;                      /* nothing was freed for a while: thresholds are lower */
    struct handle_histogram slices;

    /* the thread's */
    uint64_t due_ns;     /* when its schedule has the next slice */
    uint64_t rest_freed; /* freed bytes at the last rest */

    /* atomic */
    uint64_t passes;        /* ended */
    uint64_t undecided;     /* of these, without gain, and something was unpinned meanwhile */
    uint64_t forced_wanted; /* forced passes asked for ... */
    uint64_t forced_done;   /* ... and ended */
    uint32_t idle_reason;
    uint64_t left_ns;     /* when a step last left something under way; 0: none did, or it ended */
    uint32_t working;     /* a slice is under way: who has the lock otherwise does not compact */
    uint64_t presses;     /* how often an allocation that max_bytes refused has asked for work at
                           * full effort ... */
    uint64_t answered;    /* ... and how many of these are answered: by a pass that began later and
                           * gained nothing, or since there is nothing to gain */
    uint64_t pause_freed; /* freed bytes that end the pause after a pass, and its verdict */
    uint64_t stuck_bytes; /* recoverable, but the last pass has tried them in vain */
    uint32_t unpinned;    /* something was, or a walk has ended, since the pass began */
    uint32_t shared;      /* a forked child shares the pages: no work without pressure */
    uint32_t any_wanted;  /* a class is wanted ... */
    uint8_t wanted[SN_CLASSES_MAX]; /* ... this: an allocation needs a slot of its closed spans */
    uint32_t watching; /* a grace period may be long: the mover purges in the GP thread's stead */

    /* guarded by wake_lock */
    struct sn_lock wake_lock;
    pthread_cond_t wake;
    bool woken;     /* there may be something to do; without a thread: one is to be started */
    bool running;   /* there is a thread that nobody has joined */
    bool stopping;  /* it is asked to wind down, or does */
    bool restarted; /* start was called since: it goes on afterwards */
    bool exiting;   /* it has wound down and ends: the first of those who stop it joins */
    bool joined;    /* that one has been found */
    bool idle_end;  /* it stops by itself, having had nothing to do for a while */
    bool ended;     /* the store is being destroyed: no thread is started any more */
    bool failed;    /* no thread could be started when one was wanted ... */
    uint64_t try_again_ns; /* ... not before that time */
    uint64_t stops;        /* how often it has wound down or been joined */
    pthread_t thread;

    /* guarded by lock; last, since a store that is not compacted does not touch them */
    struct sn_batch batch[2];
};
_Static_assert(SN_DEFRAG_AT + sizeof(struct sn_defrag) <= HANDLE_TABLE_OFFSET,
               "it lies between the store and its table");

/** What an advance came to. */
enum sn_advance {
    SN_ADVANCE_MORE,    /* the deadline ended it */
    SN_ADVANCE_WAIT,    /* a grace period is needed: *ticket */
    SN_ADVANCE_NOTHING, /* there is nothing to do: idle_reason says why */
};

/** Works until the deadline, or until it would have to wait. Under the mover's lock. */
enum sn_advance
sn_defrag_advance_locked(struct sn_defrag *d, uint64_t deadline_ns, uint64_t *ticket);

/** Gives up the batch under way and opens its spans; what drains goes on. */
void sn_defrag_call_off_locked(struct sn_defrag *d);

/** Opens the closed spans of the classes that are wanted. */
void sn_defrag_open_wanted_locked(struct sn_defrag *d);

/** Adds up what compacting the store fully would mean. */
void sn_defrag_survey(const handle_store *store, struct sn_policy_sum *sum,
                      struct sn_class_use classes[SN_CLASSES_MAX]);

/* ---- shared by thread.c and defrag.c ---- */

/**
 * How a thread stands to the flavour while it does not drive the machine. The first two hold up no
 * grace period while they wait. The background thread is not even in the flavour's list of readers
 * then: a child's thread may get its stack, and only bp's hooks clear the list (see rcu.c).
 */
enum sn_presence {
    SN_UNREGISTERED, /* the background thread */
    SN_OFFLINE,      /* registered */
    SN_ONLINE
};

/** Takes the mover's lock as a reader, after forks under way. Not for threads that are online. */
void sn_defrag_enter(struct sn_defrag *d, enum sn_presence presence);

/** Lets it go, and reports damage that was found under it: still as a reader, since callbacks want
 * to read. A fork waits for them. */
void sn_defrag_leave(struct sn_defrag *d, enum sn_presence presence);

/** Gives the batches' lists back, if the mover is between two passes. */
void sn_defrag_rest_batches(struct sn_defrag *d);

/** Gives at most max_bytes of empty spans back whose delay is over (0: no bound). Result: bytes. */
size_t sn_defrag_purge(handle_store *store, size_t max_bytes);

/** A child that shares our pages makes moves cost copied pages: nothing is to be moved, but under
 * pressure, and within defrag.fork_copy_bytes. */
bool sn_defrag_is_forked_away(struct sn_defrag *d);

/** Whether so many bytes more may be copied for children. */
bool sn_defrag_may_copy(const struct sn_defrag *d, uint64_t bytes);

static inline bool
sn_defrag_is_enabled(const struct sn_defrag *d)
{
    return sn_load_relaxed(&d->store->options.defrag.enabled);
}

/** Bytes of spans emptied, less pages that were taken for what was moved: it may fall for a while,
 * and wraps. */
static inline uint64_t
sn_defrag_gained(const struct sn_defrag *d)
{
    return sn_load_relaxed(&d->evacuation.totals.released_bytes) -
           sn_load_relaxed(&d->store->heap.moved_into);
}

/** Whether an allocation waits for what compaction gains. */
static inline bool
sn_defrag_is_pressed(const struct sn_defrag *d)
{
    return sn_load_relaxed(&d->presses) != sn_load_relaxed(&d->answered);
}

/** The presses until now. Acquire: what had been freed or unpinned before them is seen. */
static inline uint64_t
sn_defrag_presses(const struct sn_defrag *d)
{
    return sn_load_acquire(&d->presses);
}

/** Nothing more comes to those who have pressed until `presses` was read; later ones go on. */
static inline void
sn_defrag_answer(struct sn_defrag *d, uint64_t presses)
{
    sn_store_relaxed(&d->answered, presses);
}

/** Whether the background thread runs, or will when it is woken (if enabled). */
bool sn_defrag_is_available(struct sn_defrag *d);
/** Whether it is there now. */
bool sn_defrag_has_thread(struct sn_defrag *d);

/** It may run from now on: one that is being stopped goes on. 0 or a negative errno. */
int sn_defrag_allow_thread_locked(struct sn_defrag *d);
/** Starts it if it is wanted, joins it if it has ended; see sn_defrag_tend. Under wake_lock.
 * Result: when to look again. */
uint64_t sn_defrag_tend_locked(struct sn_defrag *d, uint64_t now_ns);

/** Plans nothing more: what is under way is finished by the advances that follow. */
void sn_defrag_end_plan_locked(struct sn_defrag *d);

/** Returns when the thread has wound down, by whomever it was asked; it has then ended, unless it
 * was started again. Under wake_lock; the caller is offline. */
void sn_defrag_stop_locked(struct sn_defrag *d);

#endif
