/* SPDX-License-Identifier: MIT */
/*
 * model.h - what one thread knows of its keys, and so what each reply may be. A key is written over
 * one connection only; replies of a connection come in the order of its requests, and the model
 * goes on by one request with each reply. So it knows exactly what a key holds, if the key is
 * there: a cache may drop any item at any time, but it may not give back another value, an older
 * one, one that is deleted or whose time is over, or one that it has once denied to have.
 *
 * Keys are of three kinds: plain ones (set, add, replace, cas, touch, delete, with and without a
 * time to live; other threads read them, too), texts (append, prepend), counters (incr, decr).
 */
#ifndef BENCH_LOAD_MODEL_H
#define BENCH_LOAD_MODEL_H

#include "engine.h"

#include <stdatomic.h>

/** Of all threads. */
struct model_shared {
    uint64_t keys_each; /* of a thread; key numbers are thread * keys_each + i */
    unsigned threads;
    bool keeps; /* nothing is evicted: what is gone without a reason is wrong */
    bool multi; /* gets of several keys: text only */
    unsigned ranges;
    uint64_t range_ops;  /* requests of a thread until the next range of sizes */
    atomic_uint *issued; /* version sent last, by key number */
    atomic_uint *acked;  /* no version below this may be seen any more */
    atomic_bool failed;  /* a thread has seen something wrong: all end */
    atomic_bool over;    /* the time is over */
};

struct model_counts {
    uint64_t requests, hits, misses, read_bytes, refused, expired, stored, not_stored, cas_lost;
    uint64_t wrong;
};

struct model_item;

struct model {
    struct model_shared *shared;
    unsigned thread, connections;
    uint64_t left; /* requests until the end */
    uint64_t random;
    struct model_item *item;
    struct model_counts counts;
};

void model_init(struct model *model, struct model_shared *shared, unsigned thread,
                unsigned connections, uint64_t requests, uint64_t seed);
void model_end(struct model *model);

/** The two halves of an engine_source; arg is the model. */
bool model_next(void *arg, unsigned connection, struct wire_request *request);
void model_done(void *arg, unsigned connection, const struct wire_request *request,
                const struct wire_reply *reply, uint64_t now_ns);

/** Prints a line about what is wrong, and counts it. */
void model_complain(struct model *model, const struct wire_request *request,
                    const struct wire_reply *reply, const char *what);

#endif
