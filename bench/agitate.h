/* SPDX-License-Identifier: MIT */
/*
 * agitate.h - a thread that fragments the store and compacts it again without pause, beside the
 * thread whose latency is measured: it frees a random half of its objects, has everything that is
 * left moved together by handle_store_compact, and allocates the freed half again. Objects are
 * named by the subject's refs; other threads may read them meanwhile.
 */
#ifndef BENCH_AGITATE_H
#define BENCH_AGITATE_H

#include "subject.h"

struct agitator {
    /* constant while it runs */
    ref_t *refs;
    uint32_t count;
    size_t size;
    bool compact; /* false: everything but the compaction */
    /* the agitator's own */
    pthread_t thread;
    struct rng rng;
    uint32_t *freed; /* indexes of the empty refs */
    /* read by others, atomically */
    bool stop;
    uint64_t rounds;
    uint64_t moved; /* objects */
};

/** Fills the table: count objects of size bytes. */
void agitator_init(struct agitator *agitator, uint32_t count, size_t size);

/** Starts the thread, on a processor of its own; returns once it works. */
void agitator_start(struct agitator *agitator, bool compact);

/** Ends it; all refs name objects again. */
void agitator_stop(struct agitator *agitator);

/** Turns the background thread off: agitators do its work where the measurement wants it. */
void agitator_prepare_store(void);

#endif
