/* SPDX-License-Identifier: MIT */
/*
 * walk.h - a walk over every object of a store, span by span in rising address. For each and check.
 *
 * What lives throughout is met once, though the mover works: it moves an object only from a span
 * ahead of the walk to another one ahead, or from one behind to another one behind, and the span
 * that is being walked is the walk's (DETACHED). Where the walk is changes under the mover's lock;
 * destinations are chosen, filled and published under one hold of it. Threads keep out of their
 * caches meanwhile (free_now retires).
 */
#ifndef SN_WALK_H
#define SN_WALK_H

#include "object/object.h"

/** An object as the walk found it: its header named R, and R named its slot. */
struct sn_found {
    uint64_t *reference;
    uint64_t word;
    uint64_t slot;
    uint64_t header;
};

/**
 * Calls visit for every object, in rising address, inside a section and with no lock held. A result
 * other than 0 ends the walk and is handed on; -EBUSY: called by a visitor, and a walk over this
 * store is under way; -EAGAIN: no membarrier could be had.
 */
int sn_walk(handle_store *store, int (*visit)(void *opaque, const struct sn_found *found),
            void *opaque);

/** The same as the public visitors see it. */
void sn_found_show(handle_store *store, const struct sn_found *found, struct handle_object *object);

/** handle_store_used_exact, of arguments that are right. */
int sn_walk_requested(handle_store *store, size_t *bytes);

#endif
