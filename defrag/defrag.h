/* SPDX-License-Identifier: MIT */
/*
 * defrag.h - a store's defragmenter: the state machine that carries batches through the protocol,
 * the pacing, and the thread. The thread is a loop around sn_defrag_advance_locked;
 * handle_defrag_step and handle_store_compact call the same. It is there while something can be
 * gained: who notices that (often a free) asks the grace-period thread to start it, and it ends
 * when it has had nothing to do for a while.
 *
 *   state      what it waits for or does                             next
 *   IDLE       begins a pass, or goes on with one                    MARKING
 *   MARKING    closes spans, step 1 for their objects                MARKED; IDLE: none is left
 *   MARKED     step 2: the batch's first grace period                MOVING
 *   MOVING     steps 3 to 5                                          IDLE; the batch drains
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

#include "core/mover.h"
#include "defrag/evacuate.h"
#include "memory/policy.h"

enum sn_defrag_state { SN_DEFRAG_IDLE, SN_DEFRAG_MARKING, SN_DEFRAG_MARKED, SN_DEFRAG_MOVING };

#define SN_DRAINING_SPANS_MAX 128
#define SN_DRAINING_TRIES     16

/** The state machine's own. What others ask of it, and the mover's lock, are in core/mover.h. */
struct sn_defrag {
    handle_store *store;
    struct sn_mover *mover; /* the store's */

    /* guarded by the mover's lock */
    enum sn_defrag_state state;
    unsigned current; /* which of them is under way; the other may drain */
    bool draining;
    uint64_t reclaimed; /* batches, so far */
    struct sn_evacuation evacuation;
    /* closed spans without objects that are not yet empty */
    uint32_t draining_spans[SN_DRAINING_SPANS_MAX];
    uint8_t draining_span_tries[SN_DRAINING_SPANS_MAX]; /* looks at each; 0 beyond the count */
    uint32_t draining_span_count;
    uint64_t draining_spans_ticket; /* of the grace period before the next look */
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
    uint64_t pass_requests;            /* of memory, that it answers */
    uint64_t pause_ns, pause_until_ns; /* after passes without gain */
    uint64_t surveyed_freed;           /* freed bytes when the policy was last asked */
    bool at_rest;                      /* nothing was freed for a while: thresholds are lower */
    struct handle_histogram slices;

    /* the thread's */
    uint64_t due_ns;     /* when its schedule has the next slice */
    uint64_t rest_freed; /* freed bytes at the last rest */

    /* atomic */
    uint64_t forced_wanted; /* forced passes asked for ... */
    uint64_t forced_done;   /* ... and ended */
    uint64_t left_ns; /* when a step last left something under way; 0: none did, or it ended */
    uint32_t working; /* a slice is under way: who has the lock otherwise does not compact */

    /* guarded by the mover's wake_lock */
    bool stopping;         /* the thread is asked to wind down, or does */
    bool restarted;        /* start was called since: it goes on afterwards */
    bool joined;           /* who joins it has been found */
    bool idle_end;         /* it stops by itself, having had nothing to do for a while */
    uint64_t try_again_ns; /* when to start a thread again after a failure */
    uint64_t stops;        /* how often it has wound down or been joined */
    pthread_t thread;

    /* guarded by the mover's lock; last, since a store that is not compacted does not touch them */
    struct sn_batch batch[2];
};
_Static_assert(SN_DEFRAG_AT + sizeof(struct sn_defrag) <= HANDLE_TABLE_OFFSET,
               "it lies between the store and its table");

/**
 * How a thread stands to the flavour while it does not drive the machine. The first two hold up no
 * grace period while they wait. The background thread is not even in the flavour's list of readers
 * then: a child's thread may get its stack, and only bp's hooks clear the list (see sn_gp_thread).
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
/** The same under the mover's lock. */
void sn_defrag_rest_batches_locked(struct sn_defrag *d);

/** Gives at most max_bytes of empty spans back whose delay is over (0: no bound). Result: bytes. */
size_t sn_defrag_purge(handle_store *store, size_t max_bytes);

/** A child that shares our pages makes moves cost copied pages: nothing is to be moved, but under
 * pressure, and within defrag.fork_copy_bytes. */
bool sn_defrag_is_forked_away(struct sn_defrag *d);

static inline bool
sn_defrag_is_enabled(const struct sn_defrag *d)
{
    return sn_load_relaxed(&d->store->options.defrag.enabled);
}

/** Whether a compaction that was asked for by a call is not done. */
static inline bool
sn_defrag_is_forced(const struct sn_defrag *d)
{
    return sn_load_relaxed(&d->forced_wanted) > sn_load_relaxed(&d->forced_done);
}

/**
 * Opens spans that were closed for moves: those that an allocation wants and, if nobody carries the
 * pass on, all. The batch under way is finished, no other begins. moved: somebody was told to wait
 * for the slots that objects have left so far, so the caller works, and waits until these have come
 * back, whoever else works, too. Waits for grace periods; the caller is offline. False: the time
 * came first.
 */
bool sn_defrag_finish(handle_store *store, bool moved, uint64_t deadline_ns);

/** handle_store_purge, for a caller that is offline. Result: bytes given back. */
size_t sn_defrag_purge_all(handle_store *store);

#endif
