/* SPDX-License-Identifier: MIT */
/*
 * whole.h - the struct of a cache, each part under the sentence that says who may touch it, and the
 * bracket around every call: section, gate.
 *
 * Locks, outermost first: turn; slow; a budget's; resizing; buckets (two in address order, more
 * only by trying); the ring's; the room's. None but `turn` and `slow` are held across a grace
 * period, and these two are only tried in sections. The store's own locks come below all of them.
 */
#ifndef SC_WHOLE_H
#define SC_WHOLE_H

#include "cache/base.h"
#include "cache/counts.h"
#include "cache/hash.h"
#include "cache/item.h"
#include "cache/lines.h"

#include <time.h>

#define SC_CELLS       7u
#define SC_BUCKETS_MIN 64u

/**
 * A bucket, one line. It is locked by whoever changes its cells, or main and expires. Readers look
 * at cells and `away`, and add to `heat`.
 *
 *   state  bit 0: locked; for each cell 1 bit each from 1: the item is in main (else in the ring);
 *          from 8: it expires; from 15: its home is its other bucket. Written by the owner alone
 *   heat   2 bits for each cell: hits since it was put there or the hand came by, at most 3
 *   away   at least as many as items whose home this is and that are in their other bucket
 */
struct sc_bucket {
    uint32_t state;
    uint16_t heat;
    uint16_t away;
    handle_cell cell[SC_CELLS];
} __attribute__((aligned(64)));
_Static_assert(sizeof(struct sc_bucket) == SC_LINE_BYTES, "a bucket is a line");

#define SC_LOCKED      1u
#define SC_IN_MAIN     (1u << 1) /* marks of cell 0; of others so much to the left */
#define SC_EXPIRES     (1u << 8)
#define SC_AWAY        (1u << 15)
#define SC_MARKS       (SC_IN_MAIN | SC_EXPIRES | SC_AWAY)
#define SC_EXPIRES_ANY (SC_EXPIRES * ((1u << SC_CELLS) - 1))
#define SC_AWAY_MOST   UINT16_MAX
#define SC_HEAT_MOST   3u

/*
 * `shape` of the index, atomic: bits 0 to 31 the number of buckets; bit 32: the bucket of that
 * number is being made or taken away; 33: taken away; above: changes with every change, and with
 * every move of an item that is not from the first to the second of that pair.
 */
#define SC_SHAPE_COUNT   UINT64_C(0xffffffff)
#define SC_SHAPE_MOVING  (UINT64_C(1) << 32)
#define SC_SHAPE_MERGING (UINT64_C(1) << 33)
#define SC_SHAPE_STEP    (UINT64_C(1) << 34)

struct sc_index {
    uint64_t shape; /* its lower half is written under `resizing` */
    struct sc_lines buckets;
    /* guarded by resizing */
    pthread_mutex_t resizing;
    uint64_t highest; /* number of buckets since a release began */
    unsigned walkers; /* no bucket is taken away; atomic */
    /* atomic: the bucket that the only walk is at; UINT64_MAX: there are several */
    uint64_t walk_at;
};

struct sc_ring {
    struct sc_ring_chunk *first, *last; /* guarded by lock */
    unsigned char lock;
    uint64_t places; /* in it, of items that are gone included; atomic */
    uint64_t bytes;  /* of chunks; atomic */
};

/* Atomic, relaxed: a lost update of target, or sums that are off by an item of each thread, do no
 * harm. */
struct sc_policy {
    struct sc_ring ring;
    struct sc_lines ghosts; /* a line for four buckets; grows and shrinks with the index */
    bool favour_bytes;
    uint64_t used; /* charges of items */
    uint64_t items;
    uint64_t ring_used; /* part of used: of items in the ring */
    uint64_t target;    /* of ring_used */
    uint64_t left_ring, left_main;
    uint64_t hand;
};

struct sc_room {
    pthread_mutex_t lock; /* of what follows, to write it */
    uint64_t limit;       /* atomic */
    uint64_t store_most;  /* atomic: the store's part of it */
    uint64_t max_bytes; /* the store's; more while it has not given back what a budget asked for */
    uint64_t budget;    /* atomic: slot bytes of items at which eviction begins */
    uint64_t reserve;   /* what the store is to keep free; see share.h */
    uint64_t set_bytes; /* atomic: at the limit, since `reserve` was worked out */
    uint64_t waited_bytes; /* atomic: of these, what the store refused at first */
    uint64_t wait_most_ns; /* atomic: the longest wait of a call */
    uint32_t wait_ms;
    uint32_t making;      /* atomic: writers of values in pieces */
    pthread_mutex_t turn; /* of those that have got no memory beside each other */
};

/** Its part of a limit that it shares, see budget.h. */
struct sc_tenant {
    sinter_cache_budget *budget; /* immutable after create; NULL: it has a limit of its own */
    uint32_t asks;               /* atomic */
    /* guarded by the budget's lock */
    uint32_t weight;
    sinter_cache *next;
    uint64_t granted; /* atomic */
};

struct sc_sweep {
    uint64_t hand;     /* guarded by slow */
    uint64_t expiring; /* atomic: items that expire */
    uint32_t percent;  /* atomic */
    /* guarded by lock */
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool stop, wanted;
    bool asleep; /* atomic: until it is woken */
    pthread_t thread;
};

struct sinter_cache {
    /* immutable after create */
    handle_store *store;
    const struct rcu_flavor_struct *flavor;
    bool sees_sections;
    uint64_t secret[SC_SECRET_WORDS];
    char name[32];
    void (*evicted)(void *, const struct sinter_cache_view *, enum sinter_cache_reason);
    void (*error)(void *, const char *);
    uint64_t (*clock_ms)(void *);
    void *opaque;
    /* each its own */
    struct sc_index index __attribute__((aligned(64)));
    struct sc_policy policy __attribute__((aligned(64)));
    struct sc_room room __attribute__((aligned(64)));
    struct sc_tenant tenant;
    struct sc_sweep sweep;
    bool fork_child;      /* this process is one: there is no thread of the cache */
    sinter_cache *next;   /* guarded by fork.c's lock */
    pthread_mutex_t slow; /* whoever waits for a grace period of its own, or sweeps */
    uint64_t cas __attribute__((aligned(64))); /* atomic: the last one given out */
    uint64_t payload;                          /* atomic: bytes of keys and values */
    struct sc_stripe counts[SC_STRIPES];
};

static inline void
sc_count(sinter_cache *cache, enum sc_count what)
{
    sc_count_by(cache->counts, what, 1);
}

uint64_t sc_clock_ns(clockid_t clock);
/** Of the clock that times to live follow. */
uint64_t sc_now_ms(const sinter_cache *cache);

static inline bool
sc_item_is_over(const sinter_cache *cache, const struct sc_item *item)
{
    uint64_t deadline = sc_item_deadline(item);
    return sc_unlikely(deadline) && deadline <= sc_now_ms(cache);
}

/* ---- the bracket around a call --------------------------------------------------------------- */

/*
 * liburcu is built without ThreadSanitizer's annotations, which does not see that a grace period
 * orders what sections did. Where this library enters and leaves sections it says so, by the
 * flavour's address, as the store does for grace periods. Nothing in other builds.
 */
#if SC_TSAN
void __tsan_acquire(void *);
void __tsan_release(void *);
#define sc_tsan_acquire(flavor) __tsan_acquire((void *)(uintptr_t)(flavor))
#define sc_tsan_release(flavor) __tsan_release((void *)(uintptr_t)(flavor))
#else
#define sc_tsan_acquire(flavor) ((void)(flavor))
#define sc_tsan_release(flavor) ((void)(flavor))
#endif

static inline void
sc_enter(const sinter_cache *cache)
{
    cache->flavor->read_lock();
    sc_tsan_acquire(cache->flavor);
}

static inline void
sc_leave(const sinter_cache *cache)
{
    sc_tsan_release(cache->flavor);
    cache->flavor->read_unlock();
}

/** Waits for a grace period; outside of sections. */
static inline void
sc_synchronize(const sinter_cache *cache)
{
    sc_tsan_release(cache->flavor);
    cache->flavor->update_synchronize_rcu();
    sc_tsan_acquire(cache->flavor);
}

/**
 * What a thread shows to a callback of the application's, the innermost first. It stays until the
 * callback returns: no call from there waits.
 */
struct sc_shown {
    const sinter_cache *telling; /* of what has left this one; NULL: a walk */
    uint64_t need; /* slot bytes that the callback's caller has made room for, and not used yet */
    const struct sc_shown *outer;
};
extern __thread const struct sc_shown *sc_shown;

/** Whether the caller has a section open, as far as the flavour shows it, or stands in a callback.
 */
static inline bool
sc_in_section(const sinter_cache *cache)
{
    return cache->sees_sections ? cache->flavor->read_ongoing() : sc_shown != NULL;
}

/** Around a wait outside of sections: offline, and no cancellation point. */
int sc_wait_begin(const sinter_cache *cache);
void sc_wait_end(const sinter_cache *cache, int cancel);
/** Locks a mutex whose owner may wait for a grace period. */
void sc_lock_offline(const sinter_cache *cache, pthread_mutex_t *mutex);
/** Sleeps for a millisecond. */
void sc_pause(const sinter_cache *cache);

/**
 * sc_enter for a call that writes. Whoever is past it is waited for by a fork; while one is
 * prepared, or under way, it waits outside. False: it would have to, and `nested` says that the
 * caller has a section open.
 */
bool sc_enter_writing(sinter_cache *cache, bool nested);

#endif
