/* SPDX-License-Identifier: MIT */
/*
 * migrate.h - the move of one object: steps 1 and 3 to 5 of the protocol (reference/reference.h),
 * one function per step that changes a word. Grace periods, batches and spans are the callers'.
 */
#ifndef SN_MIGRATE_H
#define SN_MIGRATE_H

#include "object/inner.h"

/** An object that was marked, on its way. */
struct sn_move {
    uint64_t *reference; /* R; touched only under the rule of the protocol */
    uint64_t slot;       /* S: offset of the object */
};

/** A copy that is not published yet. */
struct sn_copy {
    uint64_t to;               /* its slot; 0: there is none */
    uint64_t word;             /* what R was when it was made */
    uint64_t special;          /* SN_WORD_SPECIAL, of an object with cells; or 0 */
    struct handle_cells cells; /* of such a one */
};

/** What became of a move; refusals are 1 + enum handle_refusal. */
enum sn_outcome {
    SN_MOVED = 0,
    SN_REFUSED_PINNED = 1 + HANDLE_REFUSED_PINNED,
    SN_REFUSED_WRITTEN = 1 + HANDLE_REFUSED_WRITTEN,
    SN_REFUSED_FREED = 1 + HANDLE_REFUSED_FREED,
    SN_REFUSED_NO_ROOM = 1 + HANDLE_REFUSED_NO_ROOM,
    SN_REFUSED_UNMOVABLE = 1 + HANDLE_REFUSED_UNMOVABLE,
    SN_REFUSED_DAMAGED = 1 + HANDLE_REFUSED_DAMAGED,
    SN_NOTHING_THERE, /* no live object in the slot */
    SN_REFUSED_LIE,   /* of the option cells; counts as damaged */
};

/** Prefetches the word that a slot's header names, if it names one. */
SN_FORCE_INLINE void
sn_migrate_prefetch(const handle_store *store, uint64_t slot)
{
    uint64_t header = sn_load_relaxed(sn_object_header(store, slot));
    if (!sn_header_is_clear(header))
        __builtin_prefetch(sn_header_reference(header), 1);
}

/** Step 1 for a slot of the mover's span, in a section, under the mover's lock. SN_MOVED: marked,
 * *move is filled. */
enum sn_outcome sn_migrate_mark(handle_store *store, const struct sn_span *span, uint64_t slot,
                                struct sn_move *move);

/**
 * Steps 3 and 4 for an object of the span, in a section, under the mover's lock, after the grace
 * period of step 2. copy->to: a free slot of the same class. SN_MOVED: it holds a copy; the same
 * section publishes it. Else: nothing happened, `to` is free as before.
 */
enum sn_outcome sn_migrate_copy(handle_store *store, const struct sn_span *span,
                                const struct sn_move *move, struct sn_copy *copy);

/** Step 5. SN_MOVED: R names copy->to, S waits for step 6. Else: the copy is thrown away, `to` is
 * free. */
enum sn_outcome
sn_migrate_publish(handle_store *store, const struct sn_move *move, const struct sn_copy *copy);

/** Gives a marked move up: R is LIVE again, if it still is MOVING. In a section, mover's lock. */
void sn_migrate_cancel(handle_store *store, const struct sn_move *move);

#endif
