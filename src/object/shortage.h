/* SPDX-License-Identifier: MIT */
/*
 * shortage.h - what an allocation does that found no memory: it gathers memory that is free in the
 * wrong place, asks the application, and answers. Slots, large runs, table pages and pin counts all
 * come here; the rule of the answer is memory/answer.h's.
 *
 * A refusal costs what it can gain: nobody's cache is emptied for a request that what it holds can
 * not serve.
 */
#ifndef SN_SHORTAGE_H
#define SN_SHORTAGE_H

#include "core/store.h"
#include "memory/answer.h"

/** What an allocation looks for. */
struct sn_need {
    size_t bytes;        /* missing, as the pressure callback is told */
    uint64_t page_bytes; /* pages that would do: of a new span, a run, the table */
    uint64_t run_bytes;  /* of a large object: addresses that it takes, with its capacity; else 0 */
    unsigned class_id;   /* a slot of this class would do; SN_CLASS_NONE: none */
    bool unmovable;      /* no slot of a movable span would do */
    bool index;          /* a free table entry would do */
};

/**
 * The last resort, when an attempt had no success: gathers free memory, asks the pressure callback,
 * and tries again after each. 0: errno says what the caller can do, EAGAIN or ENOMEM. No lock is
 * held.
 */
SN_NOINLINE uint64_t sn_shortage_resolve(handle_store *store, const struct sn_need *need,
                                         uint64_t (*attempt)(handle_store *store, void *opaque),
                                         void *opaque);

/** What an allocation of the thread was told to wait for. */
struct sn_wait {
    uint64_t store;          /* its number; 0: there is none */
    struct sn_waited waited; /* lacked_bytes: as it was told; times: that it has waited */
    uint64_t page_bytes;     /* of the request */
    uint64_t run_bytes;      /* the same */
    uint64_t frees;          /* of the thread, then */
    uint64_t gained;         /* by the mover, then */
    uint64_t undecided;      /* passes of it, then */
    unsigned class_id;
    bool unmovable, index; /* as in the request */
    bool by_pages;         /* no slot or entry would have done */
    bool cached;           /* threads cached what would do */
    bool over;             /* it has called reclaim since */
};

/* A thread may have several requests under way, by turns, of several stores: so many are kept. */
#define SN_WAITS 4
struct sn_waits {
    struct sn_wait of[SN_WAITS]; /* the latest first */
    unsigned in_a_row;           /* told to wait, since anything had success or was told ENOMEM */
};
extern _Thread_local struct sn_waits sn_shortage_waits;

void sn_shortage_drop_wait(const handle_store *store, unsigned class_id, bool index);
/** An attempt had success: for such a request the thread waits no more. */
static inline void
sn_shortage_end_wait(const handle_store *store, unsigned class_id, bool index)
{
    if (sn_unlikely(sn_shortage_waits.of[0].store != 0))
        sn_shortage_drop_wait(store, class_id, index);
}

/** What the calling thread was last told to wait for; if it was told nothing, what the last thread
 * was told that was told something. store 0: nobody was. It is being waited for from now on. */
struct sn_wait sn_shortage_begin_wait(handle_store *store);
static inline bool
sn_shortage_waits_for_slot(const struct sn_wait *wait)
{
    return wait->store != 0 && wait->class_id != SN_CLASS_NONE && !wait->unmovable &&
           !wait->by_pages;
}
/** Keeps the slot that has come for the calling thread, which waits for one. False: none has. */
bool sn_shortage_secure(handle_store *store, const struct sn_wait *wait);
/** The calling thread has waited to the end. */
void sn_shortage_note_waited(const handle_store *store);

/** Before waiting for the mover: asks it for work if it can gain anything. */
void sn_shortage_request_memory(handle_store *store, uint64_t lacks_bytes);

#endif
