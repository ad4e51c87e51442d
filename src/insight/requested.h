/* SPDX-License-Identifier: MIT */
/*
 * requested.h - how many bytes the live objects asked for: an estimate with a stated error.
 *
 * A free does not read the object, so nobody counts sizes as they come and go. Known exactly is how
 * many objects of each class live; what is estimated is their slack, the bytes by which a size is
 * less than the largest that its class serves. The grace-period thread looks at the headers of a
 * sample as it keeps house: of every slot where there are few, else of so many that three standard
 * errors are about 0.4 % of the bytes. The slots are drawn from all spans evenly, by chance one of
 * each few neighbours (stratified sampling), and a class gets as many looks as its number and the
 * spread of its slack ask for (Neyman 1934).
 *
 * What has come since a class was looked at is taken to be like the rest, but where it makes the
 * class larger: of that nothing is known but the class, and the error says so.
 */
#ifndef SN_REQUESTED_H
#define SN_REQUESTED_H

#include "core/store.h"

struct sn_estimate {
    uint64_t bytes; /* requested, large objects included, whose sizes are known */
    uint64_t error; /* three standard errors; 0: exact, as far as nothing has changed since */
};

/** live: objects by class. */
struct sn_estimate sn_requested_estimate(const handle_store *store, const uint64_t *live);

/** The grace-period thread, at each tick: begins a look if it is time. active: threads were at
 * work. */
void sn_requested_tend(handle_store *store, bool active, uint64_t now_ns);

/** The grace-period thread: whether one is under way, and a piece of it, which takes about a
 * millisecond where each header is a miss. */
static inline bool
sn_requested_is_looking(const handle_store *store)
{
    return store->requested.looks != NULL;
}
void sn_requested_look_some(handle_store *store);
/** Ends it without a result, if there is one. */
void sn_requested_give_up(handle_store *store);

/** Looks at a sample now, from the first piece to the last; result: how many. For a test that keeps
 * the grace-period thread out. */
unsigned sn_requested_look(handle_store *store);

#endif
