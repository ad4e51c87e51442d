/* SPDX-License-Identifier: MIT */
/*
 * store.h - the store: what it is made of, and the few operations on it that several files share.
 * The modules it assembles do not know it.
 */
#ifndef SN_STORE_H
#define SN_STORE_H

#include "core/mover.h"
#include "core/reservation.h"
#include "memory/large.h"
#include "os/children.h"
#include "rcu/rcu.h"
#include "reference/handle_table.h"
#include "reference/reference.h"
#include "thread/thread_cache.h"

struct sn_defrag;
struct sn_profile;

/** What the grace-period thread works on, see reclaim.h. */
struct sn_reclaim {
    struct sn_limbo limbo; /* taken over, waiting for the GP under way */
    uint64_t retired;      /* the same of the entries of retired objects */
    uint64_t *keys;        /* two arrays, allocated with the store: a reclaim must not fail */
    uint32_t slots;        /* entries of each */
    uint32_t count;        /* filled, of the first */
};

/** What a look at the objects of a class plans and finds. */
struct sn_looks {
    uint64_t slots;         /* in use */
    uint64_t rate;          /* of them, in 2^-32 */
    uint64_t due;           /* of a look, in 2^-32 */
    uint64_t count;         /* objects looked at */
    uint64_t slack, square; /* sums over them */
};

/** What is known of the bytes that objects asked for, see insight/requested.h. */
struct sn_requested {
    struct sn_slack {
        uint64_t known;   /* atomic; of the slack: its mean and 1, above that three standard errors
                               of the mean, in 2^-16 bytes; 0: nothing */
        uint64_t objects; /* atomic; so many there were */
        uint32_t deviation; /* of the slack, in 1/16 byte; grace-period thread */
    } of[SN_CLASSES_MAX];
    /* grace-period thread only */
    uint64_t random;
    uint64_t frees, used; /* as they were when the last look began */
    uint64_t next_ns;     /* no look before */
    unsigned ticks;       /* since the last look */
    bool rests;           /* nobody was at work */
    /* of the look under way */
    struct sn_looks *looks; /* by class; NULL: none is */
    uint32_t at, end;       /* blocks: where it goes on, and ends */
    uint64_t spent_ns;
};

struct handle_store {
    struct handle_store_head head; /* what the inline read path sees; first */

    /* immutable after create */
    uint64_t magic;                    /* SN_STORE_LIVE; see misuse.c */
    uint64_t secret;                   /* of the check bits */
    uint64_t number;                   /* a multiple of 4; no other store has, or had, it */
    uint64_t extent_bytes;             /* from here to the end of the largest arena planned */
    struct sn_reservation reservation; /* as it was made; table and pool know what it has become */
    bool hardened;
    uint32_t alignment;
    struct sn_rcu *rcu;
    char name[32];
    char table_label[SN_OS_NAME_BYTES], arena_label[SN_OS_NAME_BYTES]; /* of its mappings */
    uint64_t born;             /* mark of the process that made or adopted it */
    handle_store **store_link; /* the link to it; NULL: not in the list; by the same lock */
    handle_store *next_store;  /* all of the process; guarded by misuse.c's lock */

    struct sn_caches caches;
    struct sn_table table;
    struct sn_budget budget;
    struct sn_pool pool;
    struct sn_classes classes;

    struct sn_lock walk_lock;
    uintptr_t walker; /* atomic; the thread that holds walk_lock, 0: none */

    /* atomic */
    uint64_t batch_bytes; /* pages of the mover's lists that are charged */
    uint64_t alloc_failures, alloc_retries, errors_reported;
    uint32_t alloc_failure_reason; /* enum handle_alloc_failure */
    uint32_t thread_failed;        /* the mover's, not yet reported */
    uint32_t small_reported;       /* that the arena could not be extended */
    uint32_t forked;               /* this is a forked child (G10) */
    struct {
        uint64_t told;           /* bytes that the last request told to wait for pages lacked */
        uint32_t told_cached;    /* one was told to wait for what threads cache */
        uint32_t pass_over;      /* refusals for which caches will not be emptied */
        uint32_t last_pass_over; /* what pass_over began with */
    } shortage;                  /* see object/shortage.c */

    /* atomic; see object/retire.h */
    uint64_t retired;         /* table entry of the object retired last; 0: none */
    uint64_t retired_entries; /* how many there are */

    /* grace-period thread only */
    struct sn_rcu_client client;
    struct sn_reclaim reclaim;
    uint64_t next_tick_ns;
    uint64_t seen_puts;     /* pool.puts at the last housekeeping */
    unsigned trim_ticks;    /* since the spans of a busy store were last looked at */
    bool trim_quiet;        /* the trim under way is of such a store: only what is quiet */
    uint64_t trimmed_freed; /* freed bytes when the spans were last trimmed at rest */
    uint32_t trim_at;       /* where the trim under way goes on; 0: none is */
    uint64_t trim_refusals; /* the pool's when the last trim began */
    unsigned trims_refused; /* trims in a row of which the kernel refused some */
    bool table_due;         /* empty table pages are being given back */
    bool excess_due;        /* excess pages are, see span.h */
    bool excess_pages;      /* single ones, too; else blocks of them */
    unsigned dense_ticks;   /* since the last round of looks for dense parts began */
    unsigned dense_rounds;  /* that are still to come, once the store is at rest */
    uint32_t dense_at;      /* where the round under way goes on; 0: none is */
    uint64_t excess_ns;     /* not before, as the kernel has refused some */
    struct sn_requested requested;

    struct sn_lock profile_lock;
    struct sn_profile *profile; /* atomic; NULL until one is enabled, see core/profile.h */
    uint32_t profile_epoch;     /* atomic; other options of it are in force */
    uint64_t profile_bytes;     /* atomic; that it takes, part of the metadata */

    /* immutable after create */
    uint64_t base_metadata_bytes;

    /* members are atomic; the callbacks immutable */
    struct handle_store_options options;

    struct sn_mover mover;       /* what others ask of the mover, and see of it */
    struct sn_defrag *defrag;    /* the mover itself, see defrag/defrag.h */
    struct sn_children children; /* that still share our pages */
    struct sn_large large;
    struct sn_heap heap;
};

#define SN_STORE_LIVE UINT64_C(0x9e1d4c5a73696e74)
#define SN_STORE_GONE UINT64_C(0x9e1d4c5a676f6e65)

/* Behind the struct, up to the table, lies what would else be memory of its own: it is zero, and
 * what is not used costs nothing. */
#define SN_RECLAIM_AT UINT64_C(0x40000)
#define SN_DEFRAG_AT  UINT64_C(0x80000)
_Static_assert(sizeof(struct handle_store) <= SN_RECLAIM_AT, "neither lies in another");

/** The store as the public functions get it, whether const or not. */
static inline handle_store *
sn_store_mutable(const handle_store *store)
{
    return (handle_store *)(uintptr_t)store;
}

static inline void *
sn_store_address(const handle_store *store, uint64_t offset)
{
    return (void *)(store->head.arena + offset);
}

/** Arena offset of an address; of one outside it is not below sn_pool_reserved_bytes. */
static inline uint64_t
sn_store_offset(const handle_store *store, const void *address)
{
    return (uint64_t)(uintptr_t)address - store->head.arena;
}

/** The reference word that a handle speaks of, or NULL: it cannot be one of this store. As in the
 * inline handle_deref. */
static inline uint64_t *
sn_store_word(const handle_store *store, handle_t handle)
{
    uint64_t index = handle >> HANDLE_INDEX_SHIFT;
    if (sn_unlikely(!store) || sn_unlikely(index >= HANDLE_TABLE_END(&store->head)))
        return NULL;
    uint64_t *word = (uint64_t *)((uintptr_t)store + HANDLE_TABLE_OFFSET + (index << 3));
    if (!word)
        __builtin_unreachable(); /* callers look for the NULL above only */
    return word;
}

static inline bool
sn_store_contains(const handle_store *store, const void *address)
{
    return sn_store_offset(store, address) < sn_pool_reserved_bytes(&store->pool);
}

/** Address space that it has now. */
static inline uint64_t
sn_store_reserved_bytes(const handle_store *store)
{
    return store->reservation.metadata_bytes + HANDLE_TABLE_OFFSET +
           sn_load_relaxed(&store->table.bytes) + sn_pool_reserved_bytes(&store->pool);
}

/** Bytes given back to the kernel since creation. */
static inline uint64_t
sn_store_released_bytes(const handle_store *store)
{
    return sn_load_relaxed(&store->pool.released_bytes) +
           sn_load_relaxed(&store->table.released_bytes) +
           sn_load_relaxed(&store->heap.pins.released_bytes);
}

/** Gives all of it back but the first `keep` bytes. The place stays taken. */
static inline void
sn_store_release_ranges(const handle_store *store, size_t keep)
{
    struct sn_reservation r = store->reservation; /* it may lie in what is given back */
    sn_reservation_release(&r, keep, store->table.bytes, sn_pool_reserved_bytes(&store->pool));
}

/** Requests so far that found arena or handle table too small, and not to be extended. */
static inline uint64_t
sn_store_small(const handle_store *store)
{
    return sn_load_relaxed(&store->pool.small) + sn_load_relaxed(&store->table.small);
}

/** There is work for the grace-period thread, see sn_rcu_signal. */
static inline void
sn_store_signal(handle_store *store, bool urgent)
{
    sn_rcu_signal_client(store->rcu, &store->client, urgent);
}

#endif
