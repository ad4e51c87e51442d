/* SPDX-License-Identifier: MIT */
/*
 * sinter/cache.h - a cache to embed, on a compacting store: keys and values of bytes, one limit of
 * everything it holds. This header is the interface and its manual; link sinter-cache, and the
 * liburcu flavour whose header was included before this one. For C++ see sinter/cache.hpp.
 *
 *       #include <urcu-bp.h>                    // this flavour: no thread registers anything
 *       #include <sinter/cache.h>
 *
 *       struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
 *       options.limit_bytes = 256 << 20;
 *       sinter_cache *cache = sinter_cache_create(&options);
 *       sinter_cache_set(cache, "key", 3, "value", 5, 0, 0);
 *       char value[100];
 *       struct sinter_cache_info info;
 *       if (sinter_cache_get(cache, "key", 3, value, sizeof(value), &info) == 0)
 *           use(value, info.size);
 *       sinter_cache_destroy(cache);
 *
 * WHAT IT PROMISES
 *
 *   - The limit is of memory, not of values: items, index, what the policy remembers, and the
 *     store's own bookkeeping, as resident pages. What sizes were in use before does not matter:
 *     the store compacts. The limit can be changed at any time.
 *   - Readers take no lock, and write nothing shared for an item that is hit often.
 *   - A reader sees the old value or the new one, whole, also of values that are kept in pieces.
 *   - What was set stays until it is deleted, replaced, expired, cleared or evicted; each is
 *     counted. New keys enter a ring of their own; what is asked for again stays (a scan does not
 *     push out what is in use); how large the ring is follows from what was missed.
 *   - The hash is keyed with a secret of the cache: nobody can choose keys that meet in it.
 *
 * THREADS, SECTIONS, FORKS
 *
 *   Any number of threads may make any calls at once, except destroy. A thread is registered with
 *   the flavour (not under urcu-bp; under QSBR: and online).
 *
 *   Calls that copy (get, get_copy, set, add, replace, cas, append, prepend, incr, decr, touch,
 *   delete, walk, clear, sweep) open a read-side section of their own, and may stand in one.
 *   Calls that show memory of the cache (look, next) stand in a section of the caller's: what they
 *   show is good until it ends (QSBR: until the next quiescent state, or the next call that
 *   writes, which may be one).
 *
 *   Calls that write may have to wait for memory that is on its way, at most wait_ms. In a section
 *   of the caller's, and in a callback, they never wait: they answer EAGAIN instead. (QSBR shows no
 *   sections: there they wait, offline, but for callbacks.) At the limit a section that sets one
 *   item after the other is answered so sooner or later, since nothing that goes for the new ones
 *   can be used again before it ends.
 *
 *   call                                            section     waits
 *   ----------------------------------------------  ----------  ------------------------------
 *   walk_pausing                                    outside     as long as its callback does
 *   create, destroy, before_fork                    outside     for grace periods; create with a
 *                                                               budget also for wait_ms
 *   look, next                                      inside      never
 *   get, get_copy, walk, stats, print, doctor,
 *     options_init                                  either      never
 *   census                                          outside     never
 *   set, add, replace, cas, append, prepend, incr,
 *     decr, touch, delete, clear, configure, sweep  either      outside of sections, for wait_ms
 *   after_fork_parent, after_fork_child, written    either      never
 *   budget_create, _destroy, _limit, _stats         either      never
 *
 *   Around fork(): sinter_cache_before_fork before, then one of after_fork_parent (also when fork
 *   failed) and after_fork_child; they stand where handle_store_before_fork and its like would, and
 *   call them; all caches of the process come before stores of the program's own. The child can use
 *   the cache; in it nothing is compacted, swept or evicted: once the cache is full, which it may
 *   be from the begin, what writes answers EAGAIN.
 *
 * SEVERAL CACHES, ONE LIMIT
 *
 *   A budget is a limit of several caches, its tenants, of any flavours. Each has a share of it, by
 *   its weight, and may have all that the others do not use: one that is full gets what is free,
 *   and if nothing is and it has less than its share, gets back what was lent to others; these
 *   evict, and their stores compact, in their caches' own threads, within a second or so. Until
 *   that memory is back it counts as theirs, so that all tenants together never hold more than the
 *   limit. A tenant begins with 8 MiB and is never lowered below; it never lends what its items
 *   are in while it is within its share.
 *
 * ERRORS
 *
 *   int functions return 0 or a negative errno; the others return NULL and set errno. A function
 *   that fails has changed nothing. NULL for a cache, or for a key: EINVAL.
 *
 *     EINVAL   an argument is out of range; of options the error callback gets a line about it
 *     ENOENT   no such key, or it has expired
 *     EEXIST   add: the key is there; cas: it was changed meanwhile
 *     E2BIG    the item could not be held if all others were evicted (of a budget's tenant: within
 *              its present limit)
 *     EAGAIN   memory is on its way, and the call must not wait (any longer) for it: a long section
 *              of a reader holds it, say
 *     ENOMEM   the kernel refused memory
 *     ENOSPC   get: the buffer is too small; the size is in info
 *     EDOM     incr, decr: the value is no decimal number of 64 bits
 *     EDEADLK  destroy: inside a section
 */
#ifndef SINTER_CACHE_H
#define SINTER_CACHE_H

#include <sinter/handle.h>

#include <errno.h> /* what the calls answer */

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__has_attribute)
#if __has_attribute(error)
#define SINTER_CACHE_NO_FLAVOR                                                                     \
    __attribute__((error("include the header of one liburcu flavour, say <urcu-bp.h>, before "     \
                         "<sinter/cache.h>, or call sinter_cache_create_flavor")))
#endif
#endif
#ifndef SINTER_CACHE_NO_FLAVOR
#define SINTER_CACHE_NO_FLAVOR
#endif

/** A cache: a store of its own, an index, a policy, and a thread that sweeps. */
typedef struct sinter_cache sinter_cache;

/** One limit that several caches share. */
typedef struct sinter_cache_budget sinter_cache_budget;

/** Longest key, bytes. */
#define SINTER_CACHE_KEY_MAX 1024u

/** What the cache is to save where items differ in size. */
enum sinter_cache_favour {
    SINTER_CACHE_FAVOUR_REQUESTS = 0, /**< misses by number: small items stay somewhat longer */
    SINTER_CACHE_FAVOUR_BYTES = 1,    /**< misses by bytes: size does not matter */
};

/** Why an item left without being asked to. */
enum sinter_cache_reason {
    SINTER_CACHE_EVICTED = 0, /**< for its memory */
    SINTER_CACHE_EXPIRED,     /**< its time to live was over */
    SINTER_CACHE_CROWDED,     /**< its place in the index was full (rare; see `crowded`) */
    SINTER_CACHE_REASONS
};

/** What is known of an item beside its value. */
struct sinter_cache_info {
    size_t size;     /**< of the value, bytes */
    uint64_t cas;    /**< changes with every write of the item, not with a touch; never 0 */
    uint64_t ttl_ms; /**< what is left of its time to live, at least 1; 0: it does not expire */
    uint32_t flags;  /**< the caller's */
    uint32_t reserved;
};

/** An item as look and walk show it: one piece of its value after the other. */
struct sinter_cache_view {
    struct sinter_cache_info info;
    const void *key;
    size_t key_size;
    const void *data; /**< of this piece */
    size_t data_size; /**< of this piece; info.size where the value is in one piece */
    const void *reserved[2];
};

/** Options, for sinter_cache_create. Start from SINTER_CACHE_OPTIONS_INIT, the defaults. */
struct sinter_cache_options {
    size_t struct_size;     /**< set by the initialiser */
    const char *name;       /**< copied; in statistics, where what is not printable ASCII is a _,
                                 and the name of the store. 1 to 24 bytes; default "cache" */
    uint64_t limit_bytes;   /**< of all that the cache holds: 8 MiB to 1 TiB; default 64 MiB */
    uint32_t limit_percent; /**< instead of it, percent of the memory that there is, by the
                                 process's cgroup or the machine: 1 to 90; 0 (default): not used */
    uint32_t wait_ms;       /**< longest time that one call waits for memory on its way: 0 to 60000;
                                 default 1000 */
    enum sinter_cache_favour favour; /**< default: requests */
    uint32_t sweep_percent; /**< of one core: what the thread may take that frees expired items and
                                 shrinks the index: 1 to 50; default 1 */
    bool hardened;          /**< the store looks for misuse and damage: see handle.h. Default no */
    /** Called for each item that leaves without being asked to, before its memory goes: in the
       thread that needs its place or in the cache's own, inside a section, with no lock held. The
       view is good until it returns. It may call this cache (but for destroy; nothing waits, and
       what leaves this cache by such calls is counted, but not told) and others, which tell theirs:
       so one cache's evictions can go into another one. */
    void (*evicted)(void *opaque, const struct sinter_cache_view *item,
                    enum sinter_cache_reason reason);
    /** Called with a line about an option out of range, or damage; NULL: it goes to stderr. */
    void (*error)(void *opaque, const char *message);
    /** Milliseconds of a clock that never goes back, below 2^47, for times to live; NULL: the
       kernel's monotonic one, which no step of the time of day touches. (Where one goes back all
       the same, items live longer by as much.) Called with locks of the cache held: it must not
       call the cache. */
    uint64_t (*clock_ms)(void *opaque);
    void *opaque;                /**< first argument of the three */
    sinter_cache_budget *budget; /**< the cache is its tenant; the two limits above are not used
                                      then. NULL (default): it has a limit of its own */
    uint32_t weight;             /**< its part of the budget's limit is this, divided by the sum of
                                      all tenants': 1 to 1000; default 100 */
};
/* clang-format off */
#define SINTER_CACHE_OPTIONS_INIT \
    {sizeof(struct sinter_cache_options), "cache", UINT64_C(64) << 20, 0, 1000, \
     SINTER_CACHE_FAVOUR_REQUESTS, 1, false, NULL, NULL, NULL, NULL, NULL, 100}
/* clang-format on */

/**
 * Fills a struct with the defaults, as SINTER_CACHE_OPTIONS_INIT does: for languages that have no
 * macros. From any thread, in sections or outside.
 *
 *   options      gets them
 *   struct_size  sizeof of the caller's struct, which may be another version's: what of it this
 *                version does not know becomes 0
 *   errors       EINVAL: NULL, or a struct_size that no version has; *options is left as it was
 */
HANDLE_API int sinter_cache_options_init(struct sinter_cache_options *options, size_t struct_size);

/**
 * Statistics. Those from `gets` on count since creation.
 *
 *   gets = hits + misses;   items = inserted - deleted - evicted - crowded - expired - cleared
 */
struct sinter_cache_stats {
    size_t struct_size;
    /* bytes */
    uint64_t limit_bytes;   /**< the option, or what its percentage came to; of a budget's tenant:
                               what it may have at present */
    uint64_t held_bytes;    /**< of the limit: index, policy, and what the store has committed */
    uint64_t payload_bytes; /**< keys and values */
    uint64_t index_bytes;   /**< buckets */
    uint64_t policy_bytes;  /**< ring and ghosts */
    uint64_t store_bytes;   /**< committed by the store */
    uint64_t used_bytes;    /**< what the policy charges for items */
    uint64_t budget_bytes;  /**< and at which it evicts; follows what the store can hold */
    uint64_t ring_bytes;    /**< part of used: new items */
    uint64_t ring_target_bytes;
    /* numbers */
    uint64_t items;   /**< expired ones included until their memory goes */
    uint64_t buckets; /**< of the index, seven places each */
    /* since creation */
    uint64_t gets;
    uint64_t hits;
    uint64_t misses;   /**< expired ones included */
    uint64_t sets;     /**< writes that were done: set, add, replace, cas, and what uses them */
    uint64_t inserted; /**< of them, of keys that were not there */
    uint64_t refused;  /**< writes answered with E2BIG, EAGAIN or ENOMEM */
    uint64_t deleted;
    uint64_t evicted; /**< for their memory */
    uint64_t crowded; /**< for a place in the index */
    uint64_t expired;
    uint64_t cleared;
    uint64_t ghost_hits;  /**< inserted keys that had been evicted not long ago */
    uint64_t splits;      /**< buckets added to the index */
    uint64_t merges;      /**< and taken away */
    uint64_t waits;       /**< for memory on its way */
    uint64_t wait_ns;     /**< all of them together */
    uint64_t wait_max_ns; /**< the longest call's */
    uint64_t last_cas;    /**< of the item that was written last; or cas_above, if none was */
};
/* clang-format off */
#ifdef __cplusplus
static inline struct sinter_cache_stats
sinter_cache_stats_init_(void)
{
    struct sinter_cache_stats stats = sinter_cache_stats();
    stats.struct_size = sizeof(stats);
    return stats;
}
#define SINTER_CACHE_STATS_INIT sinter_cache_stats_init_()
#else
#define SINTER_CACHE_STATS_INIT {.struct_size = sizeof(struct sinter_cache_stats)}
#endif
/* clang-format on */

/* ---- life cycle ------------------------------------------------------------------------------ */

/**
 * Makes a cache for one RCU flavour.
 *
 *   options  NULL: all defaults. Read during the call; `name` is copied
 *   flavor   not NULL; stays valid for the life of the process
 *   result   the cache, until sinter_cache_destroy; NULL on error
 *   errors   EINVAL: an option is out of range (the error callback says which), or the header is of
 *            another version; ENOMEM, EAGAIN (a thread could not be started), EDEADLK, ENOTSUP: as
 *            handle_store_create_version. With a budget: ENOSPC: its limit is less than 8 MiB for
 *            each tenant; EAGAIN: others have it all, and did not give back enough within wait_ms
 */
HANDLE_API sinter_cache *sinter_cache_create_version(const struct sinter_cache_options *options,
                                                     const struct rcu_flavor_struct *flavor,
                                                     uint32_t header_major, uint32_t header_minor);

/** sinter_cache_create_version with the version of this header. */
static inline sinter_cache *
sinter_cache_create_flavor(const struct sinter_cache_options *options,
                           const struct rcu_flavor_struct *flavor)
{
    return sinter_cache_create_version(options, flavor, HANDLE_VERSION_MAJOR, HANDLE_VERSION_MINOR);
}

#ifdef HANDLE_FLAVOR
/** sinter_cache_create_flavor with the flavour whose header was included before this one. */
static inline sinter_cache *
sinter_cache_create(const struct sinter_cache_options *options)
{
    return sinter_cache_create_flavor(options, &HANDLE_FLAVOR);
}
#else
/* A call does not compile, and says why. */
sinter_cache *
sinter_cache_create(const struct sinter_cache_options *options) SINTER_CACHE_NO_FLAVOR;
#endif

/**
 * Ends the cache with all its items; nobody is told of them. No other thread may use it any more,
 * nor what a call has shown.
 *
 *   errors   EDEADLK: inside a section, in a callback that is shown items, or during a walk; the
 *            cache goes on as before. EBUSY: the program has pinned an object of the cache's store:
 *            the cache has ended, its memory stays
 */
HANDLE_API int sinter_cache_destroy(sinter_cache *cache);

/**
 * Changes an option while the cache works. A lowered limit is reached before the call returns as
 * far as items are concerned (it evicts, step by step); pages follow within a second or so, while
 * the store compacts, unless readers hold them.
 *
 *   name     limit_bytes, limit_percent (the later of the two holds), wait_ms, sweep_percent,
 *            favour; cas_above: what is written from now on has a cas above this (up to 2^47), as
 *            long as it counts up, so that numbers of a cache before this one do not come again
 *   value    a decimal number, bytes may end in K, M, G, T (powers of 1024); requests or bytes
 *   errors   EINVAL: an unknown name or a value out of range; a limit of a budget's tenant
 */
HANDLE_API int sinter_cache_configure(sinter_cache *cache, const char *name, const char *value);

/** The cache's store, for its statistics, check and options of compaction; not for objects of one's
 * own, nor for max_bytes. Good until destroy. NULL for NULL. */
HANDLE_API handle_store *sinter_cache_store(sinter_cache *cache);

/* ---- a limit of several caches --------------------------------------------------------------- */

/** What a budget's tenants have. */
struct sinter_cache_budget_stats {
    size_t struct_size;
    uint64_t limit_bytes;
    uint64_t granted_bytes;   /**< what the tenants may hold at most at present */
    uint64_t lent_bytes;      /**< part of it: limits above tenants' shares */
    uint64_t returning_bytes; /**< part of granted: called back, and still held */
    uint64_t caches;          /**< tenants */
};
#ifdef __cplusplus
#define SINTER_CACHE_BUDGET_STATS_INIT                                                             \
    {                                                                                              \
        sizeof(struct sinter_cache_budget_stats), 0, 0, 0, 0, 0                                    \
    }
#else
#define SINTER_CACHE_BUDGET_STATS_INIT                                                             \
    {                                                                                              \
        .struct_size = sizeof(struct sinter_cache_budget_stats)                                    \
    }
#endif

/**
 * Makes a budget. Caches become its tenants by the option of their creation, and leave it when they
 * are destroyed.
 *
 *   limit_bytes    of all tenants together: 8 MiB to 1 TiB; or 0, and
 *   limit_percent  percent of the memory that there is, as the cache's option: 1 to 90; else 0
 *   result         the budget, until sinter_cache_budget_destroy; NULL on error
 *   errors         EINVAL, ENOMEM
 */
HANDLE_API sinter_cache_budget *
sinter_cache_budget_create(uint64_t limit_bytes, uint32_t limit_percent);

/** Ends a budget without tenants. Errors: EBUSY: it has some; EINVAL. */
HANDLE_API int sinter_cache_budget_destroy(sinter_cache_budget *budget);

/**
 * Changes the limit, the parameters are those of sinter_cache_budget_create. A lowered one is
 * reached as what is called back returns: items leave at once, pages within a second or so.
 *
 *   errors   EINVAL; ENOSPC: less than 8 MiB for each tenant
 */
HANDLE_API int sinter_cache_budget_limit(sinter_cache_budget *budget, uint64_t limit_bytes,
                                         uint32_t limit_percent);

/** Fills *stats, begun as SINTER_CACHE_BUDGET_STATS_INIT; the sums are of one moment. Errors:
 * EINVAL. */
#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* the struct of this name is called `struct` there */
#endif
HANDLE_API int
sinter_cache_budget_stats(sinter_cache_budget *budget, struct sinter_cache_budget_stats *stats);
#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

/* ---- reading --------------------------------------------------------------------------------- */

/**
 * Copies a value.
 *
 *   key, key_size    1 to SINTER_CACHE_KEY_MAX bytes
 *   buffer, size     room for the value; NULL and 0 ask for info alone: ENOSPC says that the key
 *                    is there, 0 that its value is empty
 *   info             NULL, or gets what is known of the item (also on ENOSPC)
 *   errors           ENOENT; ENOSPC: `buffer` is left as it was
 */
HANDLE_API int sinter_cache_get(sinter_cache *cache, const void *key, size_t key_size, void *buffer,
                                size_t size, struct sinter_cache_info *info);

/**
 * Copies a value into memory from malloc, with a 0 behind it; the caller frees it.
 *
 *   info     NULL, or gets what is known of the item
 *   errors   ENOENT, ENOMEM
 */
HANDLE_API void *sinter_cache_get_copy(sinter_cache *cache, const void *key, size_t key_size,
                                       struct sinter_cache_info *info);

/**
 * Shows a value where it lies. Inside a section of the caller's, and good until it ends.
 *
 *   view     gets the item and the first piece of its value: all of it up to 60 KiB or so. For the
 *            others call sinter_cache_next
 *   errors   ENOENT
 */
HANDLE_API int sinter_cache_look(sinter_cache *cache, const void *key, size_t key_size,
                                 struct sinter_cache_view *view);

/** Goes on to the next piece of the value that a view shows, in the same section. False: there is
 * none, the view is left as it was. */
HANDLE_API bool sinter_cache_next(sinter_cache *cache, struct sinter_cache_view *view);

/* ---- writing --------------------------------------------------------------------------------- */

/**
 * Sets a value, whether the key is there or not.
 *
 *   value, size  0 bytes up to what the limit holds
 *   flags        32 bits of the caller's, kept with the item
 *   ttl_ms       after how many milliseconds it expires: up to 2^47; 0: never
 *   errors       E2BIG, EAGAIN, ENOMEM. What the key named before is still there, unless it was
 *                evicted, as any item can be
 */
HANDLE_API int sinter_cache_set(sinter_cache *cache, const void *key, size_t key_size,
                                const void *value, size_t size, uint32_t flags, uint64_t ttl_ms);

/** sinter_cache_set for a key that is not there; else EEXIST. */
HANDLE_API int sinter_cache_add(sinter_cache *cache, const void *key, size_t key_size,
                                const void *value, size_t size, uint32_t flags, uint64_t ttl_ms);

/** For ttl_ms of replace and cas: the item keeps the time to live that it has when the new value
 * takes the old one's place. */
#define SINTER_CACHE_TTL_KEEP UINT64_MAX

/** sinter_cache_set for a key that is there; else ENOENT. */
HANDLE_API int sinter_cache_replace(sinter_cache *cache, const void *key, size_t key_size,
                                    const void *value, size_t size, uint32_t flags,
                                    uint64_t ttl_ms);

/** sinter_cache_set for an item that was not written since info.cas was `cas`; EEXIST: it was;
 * ENOENT: it is not there. */
HANDLE_API int sinter_cache_cas(sinter_cache *cache, const void *key, size_t key_size,
                                const void *value, size_t size, uint32_t flags, uint64_t ttl_ms,
                                uint64_t cas);

/** The cas of the item that this thread wrote last, into whichever cache, by a call that has
 * succeeded; what callbacks of that call wrote does not count. 0: none yet. */
HANDLE_API uint64_t sinter_cache_written(void);

/** Puts bytes behind a value; flags and time to live stay. ENOENT: it is not there; else as set.
 * For a moment the value is there twice, and once more in memory from malloc. E2BIG, where both
 * together are more than the limit holds: the item stays as it is. */
HANDLE_API int sinter_cache_append(sinter_cache *cache, const void *key, size_t key_size,
                                   const void *data, size_t size);

/** The same, in front of it. */
HANDLE_API int sinter_cache_prepend(sinter_cache *cache, const void *key, size_t key_size,
                                    const void *data, size_t size);

/**
 * Adds to a value that is a decimal number, as of 64 bits: it wraps. Flags and time to live stay.
 *
 *   result_value  NULL, or gets the new number
 *   errors        ENOENT; EDOM: it is no number; else as set
 */
HANDLE_API int sinter_cache_incr(sinter_cache *cache, const void *key, size_t key_size,
                                 uint64_t delta, uint64_t *result_value);

/** Subtracts from it; what would be below 0 becomes 0. */
HANDLE_API int sinter_cache_decr(sinter_cache *cache, const void *key, size_t key_size,
                                 uint64_t delta, uint64_t *result_value);

/** Gives an item a new time to live, as set would; counts as a hit for the policy. The item keeps
 * its cas. One that did not expire before is written anew for it, but for the pieces of a large
 * value. ENOENT; else as set. */
HANDLE_API int
sinter_cache_touch(sinter_cache *cache, const void *key, size_t key_size, uint64_t ttl_ms);

/**
 * Deletes an item.
 *
 *   cas      0, or deletes only what was not written since info.cas was this
 *   errors   ENOENT; EEXIST: it was written; EAGAIN: in a section, while a fork is being prepared
 */
HANDLE_API int
sinter_cache_delete(sinter_cache *cache, const void *key, size_t key_size, uint64_t cas);

/** Deletes every item that is there when the call begins (one that is set meanwhile may go, too);
 * they are counted as cleared. Errors: EAGAIN: a fork is being prepared, in a section. */
HANDLE_API int sinter_cache_clear(sinter_cache *cache);

/* ---- insight --------------------------------------------------------------------------------- */

/**
 * Shows every item that is there throughout the call, at least once (twice, where the index grows
 * meanwhile), in no order; none that has expired.
 *
 *   visit    runs in a section, one for each bucket (QSBR: the whole call is one); the view is
 *            good until it returns. May call the cache. A result other than 0 ends the walk
 *   result   0, or the visitor's
 *   errors   EAGAIN: inside a section, while a fork is being prepared
 */
HANDLE_API int sinter_cache_walk(sinter_cache *cache,
                                 int (*visit)(void *opaque, const struct sinter_cache_view *item),
                                 void *opaque);

/**
 * sinter_cache_walk with pauses.
 *
 *   between  runs after each bucket, outside of the walk's sections: it may wait, and write what
 *            `visit` has copied. A result other than 0 ends the walk, and is its result
 */
HANDLE_API int
sinter_cache_walk_pausing(sinter_cache *cache,
                          int (*visit)(void *opaque, const struct sinter_cache_view *item),
                          int (*between)(void *opaque), void *opaque);

/** Fills *stats, begun as SINTER_CACHE_STATS_INIT; does not look at items. Sums are exact when no
 * other thread is at work. Errors: EINVAL. */
#ifdef __cplusplus
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow" /* the struct of this name is called `struct` there */
#endif
HANDLE_API int sinter_cache_stats(sinter_cache *cache, struct sinter_cache_stats *stats);
#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

/**
 * Prints the statistics, as handle_store_stats_print does its own (which stand beside them:
 * sinter_cache_store). Metrics are named sinter_cache_NAME, with the label cache="NAME".
 *
 *   format   HANDLE_STATS_TEXT, HANDLE_STATS_JSON or HANDLE_STATS_PROMETHEUS
 *   write    gets the text piece by piece, with `opaque` as its first argument
 *   errors   EINVAL
 */
HANDLE_API int sinter_cache_print(sinter_cache *cache, enum handle_stats_format format,
                                  void (*write)(void *opaque, const char *text, size_t length),
                                  void *opaque);

/**
 * handle_store_census of what the cache's store holds, by kinds of items.
 *
 *   label    names an item's kind, as in handle_store_census; in a section; the view is good until
 *            it returns, and has no data of a value in several pieces. It must not call the cache.
 *            NULL, or its result is NULL: "items". The pieces themselves are a kind of their own.
 *            Items that go meanwhile may be among them. Index and policy are not of the store: see
 *            index_bytes and policy_bytes of the statistics
 *   errors   as handle_store_census
 */
HANDLE_API int
sinter_cache_census(sinter_cache *cache,
                    const char *(*label)(void *opaque, const struct sinter_cache_view *item),
                    void *label_opaque, enum handle_profile_format format,
                    void (*write)(void *opaque, const char *text, size_t length), void *opaque);

/** What handle_store_doctor finds of the cache's store, but that its limit is near, or was hit: a
 * cache makes room itself. Result: how many it has found. Errors: EINVAL. */
HANDLE_API int
sinter_cache_doctor(sinter_cache *cache,
                    void (*finding)(void *opaque, const struct handle_finding *finding),
                    void *opaque);

/** The number of items, expired ones included until their memory goes. 0 for NULL. */
HANDLE_API uint64_t sinter_cache_items(const sinter_cache *cache);

/**
 * Frees expired items, as the cache's thread does within a minute or so: now, going on where the
 * last call or the thread stopped.
 *
 *   buckets  how many to look at: 1 to 2^32; at most one round over all of them
 *   result   how many items were freed; 0 also while the thread is at it
 */
HANDLE_API int64_t sinter_cache_sweep(sinter_cache *cache, uint64_t buckets);

/* ---- processes ------------------------------------------------------------------------------- */

/** Before fork(), outside of sections; see the head, and handle_store_before_fork. This and the two
 * below do nothing for NULL. */
HANDLE_API void sinter_cache_before_fork(sinter_cache *cache);
/** In the parent, also when fork() failed. */
HANDLE_API void sinter_cache_after_fork_parent(sinter_cache *cache);
/** In the child, before any other call on the cache. */
HANDLE_API void sinter_cache_after_fork_child(sinter_cache *cache);

#ifdef __cplusplus
}
#endif

#endif /* SINTER_CACHE_H */
