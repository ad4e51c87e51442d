/* SPDX-License-Identifier: MIT */
/*
 * evacuate.h - spans on their way to being empty: a batch of them is closed and its objects marked,
 * later moved, later reclaimed. Each function does a bounded piece and goes on where it stopped.
 * When to call them, and the grace periods between, is machine.c's business; the move of one object
 * is migrate.c's.
 */
#ifndef SN_EVACUATE_H
#define SN_EVACUATE_H

#include "defrag/migrate.h"

/** A span of a batch. */
struct sn_evacuee {
    uint32_t span;  /* number */
    uint32_t moves; /* end of its moves in the batch's array */
    uint32_t moved; /* so many of them were published */
    bool refused;   /* an object stayed for a reason that will last a while */
    bool damaged;
    bool let_go; /* open again: what was moved out of it still waits for its grace period */
};

#define SN_DESTINATIONS  80 /* at hand at most */
#define SN_GROUP_OBJECTS 16 /* marked, or copied and then published, at once */

/*
 * The moves of all spans lie in one array, span by span:
 *
 *   moves     [ of spans[0] .......... )[ of spans[1] ..... )[ of spans[2], being marked
 *             0                  spans[0].moves     spans[1].moves          move_count
 *
 * Marking appends to it; move_at is the next to be moved, of spans[span_at]; reclaiming goes over
 * the spans once more.
 */
struct sn_batch {
    struct sn_move *moves; /* SN_BATCH_OBJECTS; slot 0: not moved (any more) */
    uint32_t moves_room;   /* of them, on pages that are charged */
    uint32_t moves_max;    /* SN_BATCH_OBJECTS, or fewer: the limit has refused a page */
    uint32_t move_count, move_at;
    struct sn_evacuee spans[SN_BATCH_SPANS];
    uint32_t span_count, span_at;
    uint32_t slot_at;               /* marking: next slot of the last span */
    uint64_t bits[SN_BITMAP_WORDS]; /* marking: its bitmap when it was closed */
    uint64_t bytes;                 /* of marked slots */
    uint64_t span_bytes;            /* of its spans */
    uint64_t ticket;                /* grace period it waits for */
    /* free slots of the class being moved */
    uint64_t to[SN_DESTINATIONS];
    uint32_t to_count;
    unsigned to_class;
    enum sn_side to_side; /* of the walk, where they lie */
};

#define SN_DAMAGED_NOTES 8
/** Damaged headers found under the mover's lock, to be reported without it. */
struct sn_damage {
    uint64_t slot[SN_DAMAGED_NOTES];
    uint32_t count;
    uint64_t lie; /* slot of an object of which the option cells has lied; 0: there was none */
};

/** What the functions below work for. */
struct sn_evacuation {
    handle_store *store;
    struct sn_damage damage;
    uint32_t pass;
    uint64_t bytes_max; /* of a batch */
    /* While a forked child shares the pages: what writing to them copies is counted. */
    bool shared;
    bool may_copy_all; /* a forced pass: who asked for it has its copies, too */
    int pagemap;       /* of this slice; see sn_os_open_pagemap */
};

/** The mover is about to write there: counts the pages that it copies for children. False: they
 * would be too many, and it may not. */
bool sn_evacuation_may_write(struct sn_evacuation *e, const void *address, size_t bytes);

/** Makes the batch's list, if there is none. False: no memory. */
bool sn_batch_begin(struct sn_batch *batch);
/** Gives the list of a batch back that is in no use now. */
void sn_batch_rest(handle_store *store, struct sn_batch *batch);

static inline bool
sn_batch_is_full(const struct sn_batch *batch, uint64_t bytes_max, uint64_t span_bytes_max)
{
    return batch->bytes >= bytes_max || batch->span_bytes >= span_bytes_max ||
           batch->span_count == SN_BATCH_SPANS || batch->move_count == batch->moves_max ||
           batch->move_count > SN_BATCH_OBJECTS - SN_BITMAP_WORDS * 64; /* a span's fit */
}

/** Adds a closed span. */
void sn_batch_add(struct sn_evacuation *e, struct sn_batch *batch, uint32_t span);
/** Whether all objects of the last span were looked at. */
bool sn_batch_span_is_marked(const struct sn_evacuation *e, const struct sn_batch *batch);

/** Step 1 for objects of the last span, until the deadline. True: the span is through. */
bool sn_batch_mark(struct sn_evacuation *e, struct sn_batch *batch, uint64_t deadline_ns);

/** Steps 3 to 5 until the deadline. True: the batch is through. */
bool sn_batch_move(struct sn_evacuation *e, struct sn_batch *batch, uint64_t deadline_ns);

/** Ends the closed state of a span, with these flags of SN_SPAN_...: to the pool, if it is empty,
 * which is counted. */
void sn_evacuation_reopen(struct sn_evacuation *e, uint32_t number, unsigned flags);

/**
 * Gives up the moves out of the batch's spans of one class (SN_CLASS_NONE: of all) and opens these
 * spans at once: their free slots serve allocations, while what was moved already still waits for
 * step 6. The batch goes on with the others.
 */
void sn_batch_let_go(struct sn_evacuation *e, struct sn_batch *batch, unsigned class_id);
/** The same for one span. False: the batch has not got it. */
bool sn_batch_let_go_span(struct sn_evacuation *e, struct sn_batch *batch, uint32_t number);

/**
 * Step 6 is over: reclaims the moved slots, span by span, until the deadline. Spans that are empty
 * go to the pool, spans with objects that stayed are opened again, and spans that only hold slots
 * of thread caches or limbo are put into draining_spans[] (while there is room). True: the batch is
 * through.
 */
bool sn_batch_reclaim(struct sn_evacuation *e, struct sn_batch *batch, uint64_t deadline_ns,
                      uint32_t *draining_spans, uint32_t *draining_span_count,
                      uint32_t draining_spans_max);

#endif
