/* SPDX-License-Identifier: MIT */
/*
 * migrate.h - the move of one object: steps 1 and 3 to 5 of the protocol (reference/reference.h),
 * one function per step that changes a word. Grace periods, batches and spans are the callers'.
 */
#ifndef SN_MIGRATE_H
#define SN_MIGRATE_H

#include "object/object.h"

/** An object that was marked, on its way. */
struct sn_move {
    uint64_t *reference; /* R; touched only under the rule of the protocol */
    uint64_t slot;       /* S: offset of the object */
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
 * period of step 2. `to`: a free slot of the same class. SN_MOVED: `to` holds a copy, *word what R
 * was; the same section publishes it. Else: nothing happened, `to` is free as before.
 */
enum sn_outcome sn_migrate_copy(handle_store *store, const struct sn_span *span,
                                const struct sn_move *move, uint64_t to, uint64_t *word);

/** Step 5. SN_MOVED: R names `to`, S waits for step 6. Else: the copy is thrown away, `to` is
 * free. */
enum sn_outcome
sn_migrate_publish(handle_store *store, const struct sn_move *move, uint64_t to, uint64_t word);

/** Gives a marked move up: R is LIVE again, if it still is MOVING. In a section, mover's lock. */
void sn_migrate_cancel(handle_store *store, const struct sn_move *move);

#endif
