/* SPDX-License-Identifier: MIT */
/*
 * thread_cache.h - what a thread keeps of a store for itself: free slots per class, free handle
 * indexes, the list of slots it retired, and its share of the counters. The owner works on it with
 * plain loads and stores; others may take the contents back while the owner is idle or blocked.
 *
 * Taking back (an asymmetric lock):
 *
 *   owner: busy (seq odd)            taker: held++ in every cache
 *          look at held                     membarrier
 *          0: use the cache                 skip caches whose seq is odd; empty the others
 *          else: go to the heap itself      held--
 *          not busy (seq even)
 *
 * The membarrier puts a fence into each running owner, between its store to seq and its load of
 * held or before or after both: so either the taker sees the owner busy, or the owner sees held.
 * Nobody waits. The owner pays two plain stores and a load. Without membarrier in the kernel the
 * owner executes a fence itself.
 *
 * Order of the fields follows who touches them: owner on every call; owner on slow paths; others.
 */
#ifndef SN_THREAD_CACHE_H
#define SN_THREAD_CACHE_H

#include "heap.h"
#include "hooks.h"
#include "osmem.h"

struct sn_bin {
    uint32_t count;
    uint32_t cap;    /* grows from 0 by doubling while the budget allows, to the class's bound */
    uint64_t allocs; /* of this class by this thread, since it has this cache */
    uint64_t frees;
    uint64_t *slots;
};

struct sn_thread_cache {
    /* owner; seq is read by takers, held written by them */
    uint64_t seq;  /* odd: the owner is inside */
    uint32_t held; /* atomic; takers and walkers that keep the owner out */
    bool fenced;   /* the kernel has no membarrier */
    bool shared;   /* the store's spare: used by threads that could not get a cache of their own */
    uint32_t index_count;
    uint32_t pending;   /* calls under way outside of enter and leave: counters may be ahead */
    uint64_t requested; /* bytes, by allocs less frees; wraps, only the sum over threads counts */
    uint64_t by_handle; /* objects, likewise */
    uint64_t by_cell;
    uint64_t limbo_head; /* offset of the newest retired slot; linked through header words */
    uint64_t *limbo_end; /* link word of the oldest */
    uint64_t limbo_slots, limbo_bytes;
    uint64_t indexes[SN_CACHE_INDEXES]; /* table offsets of free reference words */
    uint64_t cap_bytes;                 /* sum over bins of cap * slot size */

    /* guarded by the caches' lock */
    struct sn_thread_cache *next;
    uint64_t seen_seq; /* at the last housekeeping: equal again means idle */
    bool in_use;       /* a live thread owns it */

    /* guarded by the registry's lock (thread exit against store destroy) */
    struct sn_caches *caches; /* NULL: the store is gone, the thread frees this */
    struct sn_thread_cache *next_of_thread;

    struct sn_bin bin[SN_CLASSES_MAX];
    uint64_t slots[]; /* the bins' arrays */
};

/** All thread caches of a store. */
struct sn_caches {
    uint64_t id; /* of the store: unique in the process, so that it can be compared for ever */
    struct sn_heap *heap;
    size_t arrays_bytes; /* of the flexible array */
    /* What a thread gives back besides slots; set by the store. */
    void (*put_indexes)(struct sn_caches *caches, uint64_t *indexes, uint32_t count);
    void (*retired)(struct sn_caches *caches, bool urgent); /* limbo is no longer empty */

    uint64_t thread_bytes_max; /* option thread_cache_bytes */
    uint64_t total_bytes_max;  /* option thread_cache_total_bytes */
    uint64_t total_cap_bytes;  /* atomic */

    /* Retired slots handed over by threads: a stack of lists, links in header words; atomic. */
    uint64_t limbo SN_ALIGNED(64);
    uint64_t limbo_bytes; /* atomic; slots in `limbo` or with the grace-period thread */
    uint64_t
        held_bytes;   /* atomic; freed and pinned, or versions under way: no GP brings them back */
    uint32_t workers; /* atomic; who else changes counters just now: GP thread, mover, takers */
    uint32_t walkers; /* atomic; while not 0, free_now retires instead of reusing */

    struct sn_lock lock; /* guards the list, folded, and taking */
    struct sn_thread_cache *all;
    uint32_t threads;
    struct sn_thread_cache *spare; /* also: counters of threads that have gone */
};

struct sn_tls_entry {
    uint64_t id;
    struct sn_thread_cache *cache;
};
#define SN_TLS_ENTRIES 16
extern _Thread_local struct sn_tls_entry sn_tls_cache[SN_TLS_ENTRIES];

bool sn_caches_init(struct sn_caches *caches, struct sn_heap *heap);
/** The store ends: no thread uses it any more. Caches of living threads are freed by their owners.
 * */
void sn_caches_destroy(struct sn_caches *caches);

SN_NOINLINE struct sn_thread_cache *sn_cache_self_slow(struct sn_caches *caches);

/** The calling thread's cache; the spare one when there is no memory for its own. */
static inline struct sn_thread_cache *
sn_cache_self(struct sn_caches *caches)
{
    struct sn_tls_entry *entry = &sn_tls_cache[caches->id % SN_TLS_ENTRIES];
    return sn_likely(entry->id == caches->id) ? entry->cache : sn_cache_self_slow(caches);
}

/** Owner: begins using the cache. False: it is being taken back, go to the heap. Then leave, too.
 * */
static inline bool
sn_cache_enter(struct sn_thread_cache *cache)
{
    sn_store_relaxed(&cache->seq, cache->seq + 1);
    /* Orders the store to seq before the load of held; pairs with the taker's membarrier. Without
     * it both could miss each other and use the arrays at once. */
    if (sn_unlikely(cache->fenced))
        sn_fence_seq_cst();
    else
        sn_fence_compiler();
    sn_hook(SN_HOOK_CACHE_BUSY, cache);
    /* Acquire: pairs with the taker's release when it lets go; its changes to the arrays are seen.
     * */
    return sn_likely(sn_load_acquire(&cache->held) == 0);
}

static inline void
sn_cache_leave(struct sn_thread_cache *cache)
{
    /* Release: pairs with the taker's load of seq; what the owner did to the arrays is seen. */
    sn_store_release(&cache->seq, cache->seq + 1);
}

/** Between enter (true) and leave. 0: empty. */
static inline uint64_t
sn_cache_pop(struct sn_thread_cache *cache, unsigned class_id)
{
    struct sn_bin *bin = &cache->bin[class_id];
    if (sn_unlikely(bin->count == 0))
        return 0;
    sn_store_relaxed(&bin->count, bin->count - 1); /* statistics look at it */
    return bin->slots[bin->count];
}

/** Between enter (true) and leave. False: full. */
static inline bool
sn_cache_push(struct sn_thread_cache *cache, unsigned class_id, uint64_t slot)
{
    struct sn_bin *bin = &cache->bin[class_id];
    if (sn_unlikely(bin->count >= bin->cap))
        return false;
    bin->slots[bin->count] = slot;
    sn_store_relaxed(&bin->count, bin->count + 1);
    return true;
}

/** Adds to one of the owner's counters (the spare cache has many owners). */
static inline void
sn_cache_add(const struct sn_thread_cache *cache, uint64_t *counter, uint64_t by)
{
    if (sn_unlikely(cache->shared))
        sn_add_relaxed(counter, by);
    else
        sn_owner_add(counter, by);
}

/** Calls of this thread under way that began with a spare cache: until they end it gets none of its
 * own, so that a call ends with the cache that it began with. */
extern _Thread_local unsigned sn_calls_on_spares;

/**
 * Around a call that takes the long way: what it counts and what it publishes come at different
 * moments, and a checker must know. (Fast paths are between enter and leave.)
 */
static inline void
sn_cache_begin(struct sn_caches *caches)
{
    struct sn_thread_cache *cache = sn_cache_self(caches);
    if (sn_unlikely(cache->shared)) {
        sn_calls_on_spares++;
        sn_add_relaxed(&cache->pending, 1);
    } else {
        sn_store_release(&cache->pending, cache->pending + 1);
    }
}

static inline void
sn_cache_end(struct sn_caches *caches)
{
    /* Looked up again: a callback may have run in between. A detach in it keeps the cache. */
    struct sn_thread_cache *cache = sn_cache_self(caches);
    if (sn_unlikely(cache->shared)) {
        sn_sub_relaxed(&cache->pending, 1);
        sn_calls_on_spares--;
    } else {
        sn_store_release(&cache->pending, cache->pending - 1);
    }
}

static inline void
sn_cache_count_alloc(struct sn_thread_cache *cache, unsigned class_id, size_t size)
{
    sn_cache_add(cache, &cache->bin[class_id].allocs, 1);
    sn_cache_add(cache, &cache->requested, size);
}

static inline void
sn_cache_count_free(struct sn_thread_cache *cache, unsigned class_id, size_t size)
{
    sn_cache_add(cache, &cache->bin[class_id].frees, 1);
    sn_cache_add(cache, &cache->requested, (uint64_t)0 - size);
}

/** A slot when the bin is empty or the cache held: refills where it may. 0: no memory. */
SN_NOINLINE uint64_t sn_cache_refill(struct sn_caches *caches, struct sn_thread_cache *cache,
                                     unsigned class_id);
/** Puts a free slot (header clear) where it belongs when the bin is full or the cache held. */
SN_NOINLINE void sn_cache_flush(struct sn_caches *caches, struct sn_thread_cache *cache,
                                unsigned class_id, uint64_t slot);

/**
 * Retires a slot of `bytes` bytes: reusable after a grace period. Its header word becomes the link
 * of the limbo list, check bits 0. Between enter and leave; entered: what enter answered.
 */
void sn_cache_retire(struct sn_caches *caches, struct sn_thread_cache *cache, bool entered,
                     uint64_t slot, uint64_t bytes);

/** What a slot's link word says comes next; 0: the end. */
static inline uint64_t
sn_limbo_next(uint64_t link)
{
    return link >> 8;
}

/** Grace-period thread: takes all that is in limbo, handed over or still with a thread that is not
 * inside its cache. Result: the list; its bytes stay counted in limbo_bytes. */
uint64_t sn_caches_take_limbo(struct sn_caches *caches);

/**
 * Takes free slots back from threads that are not inside their cache. class_mask: 1 bit per class
 * or NULL for all; only_closed: only slots of CLOSED spans; only_idle: only from caches without a
 * call since the last housekeeping (and remembers where they are now). Result: caches skipped.
 */
unsigned
sn_caches_take_slots(struct sn_caches *caches, bool only_closed, bool only_idle, bool *any_active);

/** Keeps all owners out of their caches, for a walk; nests. free_now retires meanwhile. */
void sn_caches_hold(struct sn_caches *caches);
void sn_caches_let_go(struct sn_caches *caches);

/** Whether any owner used its cache since the last housekeeping, or has something in limbo. */
bool sn_caches_stirred(struct sn_caches *caches);

/** The calling thread's cache goes back to the store. */
void sn_caches_detach(struct sn_caches *caches);

/** Sums over all threads; exact when none is at work. */
struct sn_cache_sums {
    uint64_t requested, by_handle, by_cell, threads;
    uint64_t limbo_bytes; /* held_bytes included */
    uint64_t held_bytes;
    uint64_t busy; /* threads inside a call that changes the counters */
    uint64_t allocs[SN_CLASSES_MAX], frees[SN_CLASSES_MAX], cached[SN_CLASSES_MAX];
};
void sn_caches_sum(struct sn_caches *caches, struct sn_cache_sums *sums);
/** The sum of `requested` alone. */
uint64_t sn_caches_requested(struct sn_caches *caches);
size_t sn_cache_bytes(const struct sn_caches *caches);

/** In a forked child: other threads may have held the registry's lock. */
void sn_caches_after_fork_child(struct sn_caches *caches);

#endif
