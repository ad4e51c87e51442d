/* SPDX-License-Identifier: MIT */
/*
 * thread_cache.h - what a thread keeps of a store for itself: free slots per class, free handle
 * indexes, the slots it has retired, and its share of the counters. The owner works on it with
 * plain loads and stores; others may drain it while the owner is idle or blocked.
 *
 * Draining (an asymmetric lock):
 *
 *   owner: phase = INSIDE          drainer: gate = shut in every cache
 *          look at gate                     membarrier
 *          open: use the cache              skip caches whose owner is INSIDE; empty the others
 *          shut: go to the heap itself      gate = open, unless a walk keeps owners out
 *          phase = USED
 *
 * The membarrier puts a fence into each running owner, between its store to phase and its load of
 * gate or before or after both: so either the drainer sees the owner inside, or the owner sees the
 * gate shut. Nobody waits. (A membarrier that fails leaves all skipped.) What opens a gate is the
 * store's address, so that one comparison says, too, whether a cache that was found is of this
 * store: the owner pays two stores of constants and a load. Without membarrier in the kernel no
 * fast path finds a gate open, and on slow paths the owner executes a fence itself.
 *
 * Order of the fields follows who touches them: owner on every call; owner on slow paths; others.
 */
#ifndef SN_THREAD_CACHE_H
#define SN_THREAD_CACHE_H

#include "base/hooks.h"
#include "memory/heap.h"
#include "os/osmem.h"

/** Retired slots, see limbo.h. */
struct sn_limbo_chunk {
    struct sn_limbo_chunk *next;         /* of those handed over */
    uint32_t count;                      /* once it is */
    uint64_t slot[SN_LIMBO_CHUNK_SLOTS]; /* behind the last: 0 */
};

/** What threads have handed over: a stack of chunks, and stacks of lists. */
struct sn_limbo {
    struct sn_limbo_chunk *chunks;
    uint64_t list[SN_LIMBO_LISTS];
};

/**
 * A thread's free slots of one class are a stack between `slots` and the cache's `end`; its `top`
 * is behind the slot that is taken next. The word below the first slot is 0: who takes it has found
 * the stack empty. What is here is for slow paths. All members: between enter and leave, or by a
 * drainer.
 */
struct sn_bin {
    uint64_t *slots; /* atomic; arena offsets */
    uint32_t cap;    /* grows from 0 by doubling while the budgets allow, to the class's bound; to
                        that for bursts when it runs dry and overflows in turn */
    uint32_t slot_bytes;
    uint32_t limbo_bytes; /* what a slot takes of a thread's room in limbo */
    uint64_t bulk_in; /* slots put into the bin less those taken out, but for allocs and frees */
};
/** Stacks by class; so many that SN_CLASS_NONE has one, too, which is always full and empty. */
#define SN_STACKS 256
_Static_assert(SN_CLASS_NONE < SN_STACKS, "SN_CLASS_NONE has a stack, too");
_Static_assert(SN_CLASS_LARGE < SN_STACKS, "and SN_CLASS_LARGE");

/* Where the owner is. */
enum sn_cache_phase {
    SN_CACHE_IDLE = 0, /* out, not inside since the last housekeeping, which has written this */
    SN_CACHE_INSIDE,
    SN_CACHE_USED, /* out */
};

/*
 * Counting. The fast paths count frees, of all classes together, and no allocations. How many
 * objects of a class live follows from how its bins have changed:
 *
 *   live, of a class = bin.bulk_in - slots in the bin + live_slow
 *
 * A slot that leaves a bin is allocated, one that enters it was freed; who moves slots in bulk
 * corrects by bulk_in; so does a free whose slot goes to limbo. Sums over all threads count: an
 * object may be freed by another thread than allocated it.
 */
struct sn_thread_cache {
    /* owner; gate and caches are read by it, phase is read by drainers, gate written by them */
    uintptr_t gate; /* atomic; SN_GATE_SHUT, or the caches' open_gate */
    uint32_t phase; /* atomic; enum above */
    /* from here on: between enter and leave, or by a drainer */
    struct sn_caches *caches; /* atomic; NULL, by the registry's lock: the store is gone, the thread
                                 frees this */
    /* Indexes are a stack as the slots of a bin are: behind the one that is taken next; its end. */
    uint64_t *index_top; /* atomic */
    uint64_t *index_end;
    uint64_t frees;    /* of objects, by fast paths */
    int64_t draw_in;   /* bytes to the next object of the profile, see core/profile.h */
    uint64_t reserved; /* objects reserved less those published or aborted here; wraps */
    /* Limbo, see limbo.h: where the next slot is written, what is there becoming the slot's link;
     * by how many bytes that place moves on; how much may come before one takes the slow path. */
    uint64_t *limbo_top;
    size_t limbo_step;
    int64_t limbo_room;
    uint64_t limbo_head; /* offset of the newest slot, if they are linked */
    uint64_t *limbo_end; /* then the link word of the oldest */
    /* owner: of its caches that share an entry below, the one used before this one */
    struct sn_thread_cache *next_of_entry;
    uint64_t *indexes; /* atomic; table offsets of free reference words: in own_indexes, or, where
                          they come and go in bursts, in an array that has grown by doubling */
    bool indexes_ran_dry;                       /* they were refilled since they last overflowed */
    uint64_t own_indexes[1 + SN_CACHE_INDEXES]; /* the first: 0 */
    uint64_t no_slots[1];                       /* 0: below the slots of bins that have none */
    uint64_t *top[SN_STACKS];                   /* by class, see sn_bin; atomic */
    uint64_t *end[SN_STACKS];                   /* behind: found from an address in top */
    struct sn_bin bin[SN_CLASSES_MAX];
    uint64_t limbo_bytes;
    struct sn_limbo_chunk *chunk; /* that holds it; NULL: it is linked, or there is none */
    struct sn_limbo_chunk *spare; /* the next one, empty, or NULL */
    bool wants_spare;
    uint64_t cap_bytes;           /* sum over bins of cap * slot size */
    bool ran_dry[SN_CLASSES_MAX]; /* bins refilled since they last overflowed */
    /* Which bin is dropped when the budgets refuse another one to grow. */
    uint32_t refusals, hand;
    const uint64_t *seen_top[SN_CLASSES_MAX]; /* as the hand found it */

    /* owner, on slow paths; atomic in the fallback cache */
    uint32_t draw_epoch; /* the profile's when draw_in was drawn */
    uint64_t draw_mean, draw_random;
    uint32_t pending;  /* calls under way outside of enter and leave: counters may be ahead */
    uint64_t prepared; /* charged for this thread's allocations to come; the owner's alone */
    bool shared;       /* the fallback cache: used by threads that could not get one of their own */
    uint64_t frees_slow;
    uint64_t live_slow[SN_CLASSES_MAX]; /* allocs less frees; wraps */

    /* guarded by the caches' lock */
    struct sn_thread_cache *next;
    bool gone; /* in a forked child: its thread is not there, who ends the store frees it */
};

_Static_assert(offsetof(struct sn_thread_cache, end) - offsetof(struct sn_thread_cache, top) ==
                   SN_STACKS * sizeof(uint64_t *),
               "a class's end lies at a constant distance from its top");

/* Of gates. An open one: the store's address, of a hardened store SN_GATE_HARDENED more; or, where
 * the kernel has no membarrier, what no fast path finds: the owner executes a fence itself. */
#define SN_GATE_SHUT     ((uintptr_t)0)
#define SN_GATE_HARDENED ((uintptr_t)1)
#define SN_GATE_FENCED   ((uintptr_t)2)

/** All thread caches of a store. */
struct sn_caches {
    struct sn_heap *heap;
    size_t tls_entry;    /* where threads look for their cache */
    uintptr_t open_gate; /* SN_GATE_... above */
    size_t arrays_bytes; /* atomic; of all bins' arrays, and of chunks */
    /* What a thread gives back besides slots; set by the store. */
    void (*put_indexes)(struct sn_caches *caches, uint64_t *indexes, uint32_t count);
    /* Limbo is no longer empty, or a thread's first bin has come: there is something to tend. */
    void (*retired)(struct sn_caches *caches, bool urgent);

    uint64_t thread_bytes_max; /* option thread_cache_bytes, or a share of the limit */
    uint64_t total_bytes_max;  /* option thread_cache_total_bytes, or a share of the limit */
    uint64_t handover_bytes;   /* of limbo, that a thread keeps */
    uint64_t urgent_bytes;     /* of limbo, above which a grace period begins at once */
    uint64_t total_cap_bytes;  /* atomic */

    struct sn_limbo limbo SN_ALIGNED(64); /* retired slots handed over by threads; atomic */
    uint64_t limbo_bytes; /* atomic; slots in `limbo` or with the grace-period thread */
    /* atomic; freed and pinned, or versions under way: no grace period brings them back */
    uint64_t unreclaimable_bytes;
    /* atomic; how often a grace period began without what a thread had in limbo, which had lost the
     * processor inside its cache */
    uint32_t limbo_skips;
    uint32_t workers; /* atomic; who else changes counters just now: GP thread, mover, drainers */
    uint32_t works;   /* atomic; how often one of them has ended */
    uint32_t walkers; /* atomic; while not 0, free_now retires instead of reusing */

    struct sn_lock lock; /* guards the list, and draining */
    struct sn_thread_cache *all;
    uint32_t threads;                      /* changed under the lock, read without */
    struct sn_thread_cache *fallback;      /* also: counters of threads that have gone */
    struct sn_thread_cache fallback_cache; /* it; its bins are not used, and stay zero */
};

/* Where a thread finds its caches: stores share the entries in turn. An entry is the head of a list
 * of all caches that the thread has of its stores, the one used last first; the end, also of an
 * empty one, is a cache of no store, never NULL. Who works on two stores of one entry in turn takes
 * the slow path each time; more entries would take more of the static TLS that the C library keeps
 * for libraries loaded late, 1.6 KiB for all of them. */
#define SN_TLS_ENTRIES 64
extern _Thread_local struct sn_thread_cache *sn_tls_cache[SN_TLS_ENTRIES];

/** store: what fast paths ask for their cache by. The memory is all zero. */
void
sn_caches_init(struct sn_caches *caches, struct sn_heap *heap, const void *store, bool hardened);
/** What threads may keep: by the options, and not more than a share of max_bytes (0: no limit). */
void sn_caches_set_bounds(struct sn_caches *caches, uint64_t thread_bytes, uint64_t total_bytes,
                          uint64_t max_bytes);
/** The store ends: no thread uses it any more. Caches of living threads are freed by their owners,
 * those of threads that a fork has left behind at once. */
void sn_caches_destroy(struct sn_caches *caches);

SN_NOINLINE struct sn_thread_cache *sn_cache_self_slow(struct sn_caches *caches);

/** The calling thread's cache; the fallback cache when there is no memory for its own. */
static inline struct sn_thread_cache *
sn_cache_self(struct sn_caches *caches)
{
    struct sn_thread_cache *cache = sn_tls_cache[caches->tls_entry];
    return sn_likely(sn_load_relaxed(&cache->caches) == caches) ? cache
                                                                : sn_cache_self_slow(caches);
}

/** Shows the owner inside. Result: the gate as it was after that. */
static inline uintptr_t
sn_cache_show(struct sn_thread_cache *cache)
{
    sn_store_relaxed(&cache->phase, SN_CACHE_INSIDE);
    /* Orders the store to phase before the load of gate; pairs with the drainer's membarrier.
     * Without it both could miss each other and use the arrays at once. */
    sn_fence_compiler();
    sn_hook(SN_HOOK_CACHE_INSIDE, cache);
    /* Acquire: pairs with the drainer's release when it lets the owner in; its changes to the
     * arrays are seen. */
    return sn_load_acquire(&cache->gate);
}

/** Owner, on slow paths: begins using the cache. False: it is being drained, go to the heap.
 * Then leave, too. */
static inline bool
sn_cache_enter(struct sn_thread_cache *cache)
{
    uintptr_t gate = sn_cache_show(cache);
    if (sn_unlikely(gate == SN_GATE_FENCED)) {
        /* What the drainer's membarrier is elsewhere. */
        sn_fence_seq_cst();
        gate = sn_load_acquire(&cache->gate);
    }
    return sn_likely(gate != SN_GATE_SHUT);
}

static inline void
sn_cache_leave(struct sn_thread_cache *cache)
{
    /* Release: pairs with the drainer's load of phase; what the owner did to the arrays is seen. */
    sn_store_release(&cache->phase, SN_CACHE_USED);
}

/**
 * For the fast paths: the calling thread's cache, entered. NULL: it has none for this store yet, or
 * is locked out, or has to execute a fence; the caller takes the slow path. All in one function
 * without calls, so that fast paths are leaves of the call graph and save no registers (a sixth of
 * their instructions otherwise).
 */
static inline struct sn_thread_cache *
sn_cache_try_enter_by(const struct sn_caches *caches, uintptr_t open_gate)
{
    struct sn_thread_cache *cache = sn_tls_cache[caches->tls_entry];
    if (!cache)
        __builtin_unreachable(); /* the caller need not look whether it is the NULL below */
    /* It may be of another store: then its thread is not inside, it is here. */
    if (sn_likely(sn_cache_show(cache) == open_gate))
        return cache;
    sn_cache_leave(cache);
    return NULL;
}

/** The same for those that look for no misuse: NULL, too, when the store is hardened. */
static inline struct sn_thread_cache *
sn_cache_try_enter(const struct sn_caches *caches, const void *store)
{
    return sn_cache_try_enter_by(caches, (uintptr_t)store);
}

/** The same for those of hardened stores. */
static inline struct sn_thread_cache *
sn_cache_try_enter_hardened(const struct sn_caches *caches, const void *store)
{
    struct sn_thread_cache *cache =
        sn_cache_try_enter_by(caches, (uintptr_t)store + SN_GATE_HARDENED);
    if (cache)
        sn_hook(SN_HOOK_CACHE_ENTERED, cache);
    return cache;
}

/* Length of a stack; of what is no stack, since one array is just replaced by another, 0. */
static inline uint32_t
sn_stack_count(const uint64_t *top, const uint64_t *begin)
{
    uintptr_t count = sn_wrapping_sub((uintptr_t)top, (uintptr_t)begin) / sizeof(*top);
    return count <= SN_CACHE_BURST_SLOTS ? (uint32_t)count : 0;
}

/** Free slots of a class. By others than the owner an estimate: it may just be growing the bin. */
static inline uint32_t
sn_cache_count(const struct sn_thread_cache *cache, unsigned class_id)
{
    return sn_stack_count(sn_load_relaxed(&cache->top[class_id]),
                          sn_load_relaxed(&cache->bin[class_id].slots));
}

/** Payload bytes of the class's slots. */
static inline uint32_t
sn_bin_payload(const struct sn_bin *bin)
{
    return bin->slot_bytes - SN_HEADER_BYTES;
}

static inline uint64_t **
sn_cache_top(struct sn_thread_cache *cache, unsigned class_id)
{
    uint64_t **top = &cache->top[class_id];
    __asm__("" : "+r"(top)); /* one address in a register: compilers compute it anew per use */
    return top;
}

/** Between enter (true) and leave. 0: there is none. */
static inline uint64_t
sn_cache_pop(struct sn_thread_cache *cache, unsigned class_id)
{
    uint64_t **top = sn_cache_top(cache, class_id);
    uint64_t slot = (*top)[-1];
    if (sn_likely(slot != 0))
        sn_owner_previous(top); /* statistics look at it */
    return slot;
}

/** Between enter (true) and leave: whether there is a slot to pop. */
static inline bool
sn_cache_has_slot(const struct sn_thread_cache *cache, unsigned class_id)
{
    const uint64_t *top = cache->top[class_id];
    return top[-1] != 0;
}

/** Between enter and leave: an allocation of so many bytes takes place. True: it takes its slow
 * path instead, where the profile draws it. */
static inline bool
sn_cache_is_drawn(struct sn_thread_cache *cache, size_t size)
{
    cache->draw_in -= (int64_t)size;
    return sn_unlikely(cache->draw_in < 0);
}

/** Between enter (true) and leave: whether there is room. A class that has no bin has none. */
static inline bool
sn_cache_has_room(struct sn_thread_cache *cache, unsigned class_id)
{
    uint64_t **top = sn_cache_top(cache, class_id);
    return sn_likely(*top != top[SN_STACKS]); /* its end, see the struct */
}

/** Pushes a slot where sn_cache_has_room has said yes. */
static inline void
sn_cache_push_room(struct sn_thread_cache *cache, unsigned class_id, uint64_t slot)
{
    uint64_t **top = sn_cache_top(cache, class_id);
    **top = slot;
    sn_owner_next(top);
}

/** Between enter (true) and leave. False: no room. */
static inline bool
sn_cache_push(struct sn_thread_cache *cache, unsigned class_id, uint64_t slot)
{
    if (!sn_cache_has_room(cache, class_id))
        return false;
    sn_cache_push_room(cache, class_id, slot);
    return true;
}

/** The same for free table entries. */
static inline uint32_t
sn_cache_index_count(const struct sn_thread_cache *cache)
{
    return sn_stack_count(sn_load_relaxed(&cache->index_top), sn_load_relaxed(&cache->indexes));
}

static inline void
sn_cache_set_index_count(struct sn_thread_cache *cache, uint32_t count)
{
    sn_store_relaxed(&cache->index_top, cache->indexes + count);
}

static inline bool
sn_cache_has_room_for_index(const struct sn_thread_cache *cache)
{
    return cache->index_top != cache->index_end;
}

static inline uint64_t
sn_cache_pop_index(struct sn_thread_cache *cache)
{
    uint64_t entry = cache->index_top[-1];
    if (sn_likely(entry != 0))
        sn_owner_previous(&cache->index_top);
    return entry;
}

static inline void
sn_cache_push_index(struct sn_thread_cache *cache, uint64_t entry)
{
    sn_assert(sn_cache_has_room_for_index(cache));
    *cache->index_top = entry;
    sn_owner_next(&cache->index_top);
}

/** Adds to one of the owner's counters (the fallback cache has many owners). */
static inline void
sn_cache_add(const struct sn_thread_cache *cache, uint64_t *counter, uint64_t by)
{
    if (sn_unlikely(cache->shared))
        sn_add_relaxed(counter, by);
    else
        sn_owner_add(counter, by);
}

/** Calls of this thread under way that began with the fallback cache: until they end it gets none
 * of its own, so that a call ends with the cache that it began with. */
extern _Thread_local unsigned sn_calls_on_fallback;

/** Whether this thread asks the application where an object's cells lie (object/inner.h): that must
 * not call the store, which every slow path notes (below). */
enum sn_asking {
    SN_NOT_ASKING,
    SN_ASKING,
    SN_ASKING_CALLED, /* it has, all the same */
};
extern _Thread_local enum sn_asking sn_asking;

/** In calls that the application must not make then. */
static inline void
sn_note_call(void)
{
    if (sn_unlikely(sn_asking == SN_ASKING))
        sn_asking = SN_ASKING_CALLED;
}

/**
 * Around a call that takes the slow path: what it counts and what it publishes come at different
 * moments, so checks leave sums alone meanwhile. (Fast paths are between enter and leave.)
 */
static inline void
sn_slow_call_begin(struct sn_caches *caches)
{
    struct sn_thread_cache *cache = sn_cache_self(caches);
    sn_note_call();
    if (sn_unlikely(cache->shared)) {
        sn_calls_on_fallback++;
        sn_add_relaxed(&cache->pending, 1);
    } else {
        sn_store_relaxed(&cache->pending, cache->pending + 1);
    }
    /* Release, behind it: who sees what the call counts sees it pending, or over. */
    sn_fence_release();
}

static inline void
sn_slow_call_end(struct sn_caches *caches)
{
    /* Looked up again: a callback may have run in between. A detach in it keeps the cache. */
    struct sn_thread_cache *cache = sn_cache_self(caches);
    if (sn_unlikely(cache->shared)) {
        (void)__atomic_fetch_sub(&cache->pending, 1, __ATOMIC_RELEASE);
        sn_calls_on_fallback--;
    } else {
        sn_store_release(&cache->pending, cache->pending - 1);
    }
}

/** Counts an allocation, or a free, that took the slow path. */
static inline void
sn_cache_count_alloc(struct sn_thread_cache *cache, unsigned class_id)
{
    sn_cache_add(cache, &cache->live_slow[class_id], 1);
}

static inline void
sn_cache_count_free(struct sn_thread_cache *cache, unsigned class_id)
{
    sn_cache_add(cache, &cache->live_slow[class_id], sn_wrapping_sub(0, 1));
    sn_cache_add(cache, &cache->frees_slow, 1);
}

/** Between enter and leave: whether the next slot is one that sn_cache_retire_next may retire. The
 * first that the thread has in limbo takes the slow path, which tells the grace-period thread, and
 * so does the one that hands limbo over. */
static inline bool
sn_cache_retires(const struct sn_thread_cache *cache)
{
    return sn_likely(cache->limbo_room > 0);
}

/** For the owner, inside. In a chunk the slot goes to the next place, which was 0: so the header
 * becomes clear, by a store that waits for no line. Without a chunk the slot becomes the head of a
 * list, and the header its link. */
static inline void
sn_cache_put_in_limbo(struct sn_thread_cache *cache, uint64_t slot, uint64_t *header)
{
    uint64_t *at = cache->limbo_top, before = *at;
    *at = slot;
    cache->limbo_top = (uint64_t *)(void *)((char *)at + cache->limbo_step);
    /* Release: whoever sees it clear also sees that the word has ended; as in end_header. */
    sn_store_release(header, before << 8);
}

/** Retires a slot of a class where sn_cache_retires has said yes. Its object has ended; the header
 * becomes clear, or a link. */
static inline void
sn_cache_retire_next(struct sn_thread_cache *cache, unsigned class_id, uint64_t slot,
                     uint64_t *header)
{
    struct sn_bin *bin = &cache->bin[class_id];
    __asm__("" : "+r"(bin)); /* as in sn_cache_top */
    sn_cache_put_in_limbo(cache, slot, header);
    cache->limbo_room -= bin->limbo_bytes;
    sn_owner_add(&cache->limbo_bytes, bin->slot_bytes);
    sn_owner_dec(&bin->bulk_in);
    sn_owner_inc(&cache->frees);
}

/** What the calling thread has prepared goes back. By the owner. */
void sn_cache_end_prepared(struct sn_caches *caches, struct sn_thread_cache *cache);

/** The calling thread's cache goes back to the store. */
void sn_caches_detach(struct sn_caches *caches);

/** Around what changes counters in a thread that is not the owner of a cache: sums that are taken
 * meanwhile are torn. */
static inline void
sn_caches_begin_work(struct sn_caches *caches)
{
    sn_add_relaxed(&caches->workers, 1);
    sn_fence_release(); /* as in sn_slow_call_begin */
}

static inline void
sn_caches_end_work(struct sn_caches *caches)
{
    /* Release, both: who sees that the work is done, or over, sees what it has counted, and that it
     * was. */
    (void)__atomic_fetch_add(&caches->works, 1, __ATOMIC_RELEASE);
    (void)__atomic_fetch_sub(&caches->workers, 1, __ATOMIC_RELEASE);
}

/** Whether nobody works now, nor did since *works was asked for; gives the number anew. */
static inline bool
sn_caches_are_quiet(const struct sn_caches *caches, uint32_t *works)
{
    /* What was summed up until now was read before. Without it a worker that changed it could be
     * missed. */
    sn_fence_acquire();
    bool quiet = sn_load_acquire(&caches->workers) == 0;
    uint32_t before = *works;
    *works = sn_load_acquire(&caches->works);
    return quiet && *works == before;
}

/** Bytes of all caches of a store. */
size_t sn_caches_bytes(const struct sn_caches *caches, uint64_t threads);

/** In every forked child: other threads may have held the registry's lock. */
void sn_caches_begin_child(void);
/** In a forked child, by the store's hook. */
void sn_caches_after_fork_child(struct sn_caches *caches);

/* ---- for the owner inside, or a drainer ------------------------------------------------------ */

/* Puts slots into a bin or takes them out, other than by its fast paths. */
static inline void
sn_cache_set_count(struct sn_thread_cache *cache, unsigned class_id, uint32_t count)
{
    struct sn_bin *bin = &cache->bin[class_id];
    sn_owner_add(&bin->bulk_in, sn_wrapping_sub(count, sn_cache_count(cache, class_id)));
    sn_store_relaxed(&cache->top[class_id], bin->slots + count);
}

/* Under the caches' lock: lets the owner in again, unless a walk keeps it out. */
static inline void
sn_cache_open_gate(const struct sn_caches *caches, struct sn_thread_cache *cache)
{
    bool walked = sn_load_relaxed(&caches->walkers) > 0;
    /* Release: pairs with the owner's acquire of gate; it sees what the drainer left. */
    sn_store_release(&cache->gate, walked ? SN_GATE_SHUT : caches->open_gate);
}

/** Everything a cache holds goes back; the counters stay. */
void sn_cache_empty(struct sn_caches *caches, struct sn_thread_cache *cache);

/* What a cache has counted, on whichever path. */

static inline uint64_t
sn_cache_frees(const struct sn_thread_cache *cache)
{
    return sn_load_relaxed(&cache->frees) + sn_load_relaxed(&cache->frees_slow);
}

/** Slots that live or are in the bin. */
static inline uint64_t
sn_cache_out(const struct sn_thread_cache *cache, unsigned class_id)
{
    return sn_wrapping_add(sn_load_relaxed(&cache->bin[class_id].bulk_in),
                           sn_load_relaxed(&cache->live_slow[class_id]));
}

static inline uint64_t
sn_cache_live_delta(const struct sn_thread_cache *cache, unsigned class_id)
{
    return sn_cache_out(cache, class_id) - sn_cache_count(cache, class_id);
}

#endif
