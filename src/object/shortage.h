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

#include "store.h"

/** What an allocation looks for. */
struct sn_need {
    size_t bytes;        /* missing, as the pressure callback is told */
    uint64_t page_bytes; /* pages that would do: of a new span, a run, the table */
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

/** Before waiting for the mover: asks it for work if it can gain anything. */
void sn_shortage_press(handle_store *store, uint64_t lacks_bytes);

#endif
