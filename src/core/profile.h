/* SPDX-License-Identifier: MIT */
/*
 * profile.h - which call sites the live objects come from: a sample of them, drawn by requested
 * bytes, each with the stack of its allocation. What a profile says is put together and printed in
 * insight/profile.c.
 *
 * Drawing. A thread counts the bytes that it allocates down from a random number of them, whose
 * distribution is exponential with the mean in force (a Poisson process, as in tcmalloc and
 * jemalloc): an object of s bytes is drawn with p = 1 - exp(-s / mean), and stands for 1 / p
 * objects. The mean is the committed bytes / 16384, at least 4 KiB and at most 2 MiB, or the
 * option's; it may change at any time, since each record keeps the weight that it was drawn with.
 * Where the table is full it is doubled, and half of the records go; where there is room again it
 * is halved. An allocation pays a subtraction and a jump; when it is drawn, or without a profile
 * never, it takes its slow path.
 *
 * The mark. A drawn object's header has other check bits (reference.h), and a record is kept under
 * its slot. So a free need not know of it: it clears the header, and a record whose slot has no
 * marked header speaks of nobody; it goes when its turn comes. Who writes a header anew (a move, a
 * resize in place, a commit, relocate) hands the mark on, and, if the slot is another, the record
 * after the object is published there. A resize to another slot, or of a large object, is as an
 * allocation: the object is drawn by its new size, or is not any more, at the site of the resize.
 */
#ifndef SN_PROFILE_H
#define SN_PROFILE_H

#include "core/store.h"

#define SN_PROFILE_FRAMES      32
#define SN_PROFILE_SITES_MAX   8192
#define SN_PROFILE_RECORDS_MAX (UINT32_C(1) << 17)
#define SN_PROFILE_MEAN_MIN    (UINT64_C(4) << 10)
#define SN_PROFILE_MEAN_MAX    (UINT64_C(2) << 20) /* chosen by itself; the option allows more */
#define SN_PROFILE_SAMPLES     16384               /* of what lives, about */

struct sn_profile_site {
    uint64_t hash;
    uint32_t next; /* of the same bucket; 0: none */
    uint32_t depth;
    double allocs, alloc_bytes; /* estimates, since the profile was first enabled */
    void *frame[SN_PROFILE_FRAMES];
};

struct sn_profile_record {
    uint64_t slot;     /* 0: free */
    uint64_t since_ns; /* when it was allocated */
    double weight;     /* objects that it stands for */
    uint32_t site;
    uint32_t next; /* of the same bucket, or of the free ones; 0: none */
    uint32_t moves;
    uint64_t number; /* of the draw that made it, from 1 on */
};

struct sn_profile; /* made when a profile is first enabled */

/** Option profile.enabled or profile.sample_bytes has changed, or is set at creation. By one thread
 * at a time. False: no memory. */
bool sn_profile_configure(handle_store *store);
void sn_profile_destroy(handle_store *store);
/** Objects that were drawn and have no record, for want of memory or of room for their sites. */
uint64_t sn_profile_lost(const handle_store *store);

/** On the slow paths of allocation, for an object that the fast path has not counted, or has: the
 * objects that it stands for if it is drawn, else 0. */
double sn_profile_draw(handle_store *store, size_t size);
/** An object that was drawn, when its header is written and it is not published: it gets a record
 * and the mark. Takes the stack: the caller holds no lock and is not inside its cache. */
void sn_profile_keep(handle_store *store, uint64_t slot, size_t size, double weight);
/** The record only: the object is published with the mark. */
void sn_profile_keep_marked(handle_store *store, uint64_t slot, size_t size, double weight);
/** sn_profile_draw for an object that is allocated anew, in a call that never was a fast path: a
 * thread that finds no profile need not look what is in force. */
static inline double
sn_profile_draw_again(handle_store *store, size_t size)
{
    return sn_unlikely(sn_load_relaxed(&store->profile) != NULL) ? sn_profile_draw(store, size) : 0;
}

/** sn_profile_draw and sn_profile_keep. */
static inline void
sn_profile_see(handle_store *store, uint64_t slot, size_t size)
{
    double weight = sn_profile_draw(store, size);
    if (sn_unlikely(weight > 0))
        sn_profile_keep(store, slot, size, weight);
}

/** How many were drawn so far: for sn_profile_moved. */
uint64_t sn_profile_draws(const handle_store *store);
/**
 * An object that is marked has been published in another slot. before: sn_profile_draws as it was
 * before that: what has been drawn in the slot since is of another object, to which it has come
 * meanwhile; what was before is of one that is gone. by_mover: it counts as a move.
 */
void
sn_profile_moved(handle_store *store, uint64_t from, uint64_t to, uint64_t before, bool by_mover);

/** Copies records from index *at on into `to`, as far as there is room for `max`; *at goes behind
 * them. Result: how many; 0: that was all. */
uint32_t
sn_profile_records(handle_store *store, uint32_t *at, struct sn_profile_record *to, uint32_t max);
/** A site by its number, from 1 on. False: there is none. */
bool sn_profile_site(handle_store *store, uint32_t number, struct sn_profile_site *to);

/** What a record's object is now; under no lock. */
struct sn_profile_object {
    uint64_t size, slot_bytes, rounding;
    double sparse; /* its share of the committed free bytes of its span */
    double pinned; /* if it is pinned, slot_bytes and its share of those bytes among pinned ones */
};
/** False: there is no marked object in the slot. */
bool sn_profile_look(handle_store *store, uint64_t slot, struct sn_profile_object *object);
/** The same for any object, marked or not. */
bool sn_profile_look_any(handle_store *store, uint64_t slot, struct sn_profile_object *object);

/** Exponential with mean 1, from a random number; and 1 - exp(-x), of x >= 0. */
double sn_profile_exponential(uint64_t random);
double sn_profile_probability(double x);

#endif
