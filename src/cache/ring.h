/* SPDX-License-Identifier: MIT */
/* ring.h - the FIFO of new items, see policy.h. */
#ifndef SC_RING_H
#define SC_RING_H

#include "cache/policy.h"

/** Puts a place at the ring's end. False: no memory (then the item goes to main). */
bool sc_ring_push(struct sc_ring *ring, uint32_t place);
/** Takes the oldest; after it come the next two, as far as they are at hand. False: it is empty. */
bool sc_ring_pop(struct sc_ring *ring, uint32_t places[3]);
void sc_ring_free(struct sc_ring *ring);

#endif
