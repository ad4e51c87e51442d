/* SPDX-License-Identifier: MIT */
/*
 * walk.h - a walk over every object of a store, by span, while objects stand still: the mover is
 * paused and threads keep out of their caches (free_now retires). For each and check.
 */
#ifndef SN_WALK_H
#define SN_WALK_H

#include "object.h"

/** An object as the walk found it: its header named R, and R named its slot. */
struct sn_found {
    uint64_t *reference;
    uint64_t word;
    uint64_t slot;
    uint64_t header;
};

/**
 * Calls visit for every object, in rising address, inside a section and with no lock held. A result
 * other than 0 ends the walk and is handed on; -EBUSY when called by a visitor of this store.
 */
int sn_walk(handle_store *store, int (*visit)(void *opaque, const struct sn_found *found),
            void *opaque);

#endif
