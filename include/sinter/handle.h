/* SPDX-License-Identifier: MIT */
/*
 * sinter/handle.h - a compacting, handle-based object store. This header is the interface and its
 * manual; it holds no mechanism beyond the inline read path. The move protocol and its guarantees
 * (G1 to G10) stand in src/reference.h.
 *
 * WHAT IT IS
 *
 *   A store keeps objects that are named by handles (or by cells, see below) instead of addresses.
 *   Because nobody but the store knows where an object lies, a background thread can move live
 *   objects out of sparse pages into dense ones, while readers and writers go on, and give the
 *   emptied pages back to the kernel. An address is valid only inside the RCU read-side critical
 *   section in which it was resolved, or for as long as the object is pinned.
 *
 *       rcu_read_lock();
 *       const struct session *s = handle_deref(store, h);
 *       if (s)
 *           use(s);                   // stays mapped, is not reused, until ...
 *       rcu_read_unlock();            // ... here
 *
 * CAVEATS, FIRST
 *
 *   - An address must not leave its section. Keep the handle, resolve again.
 *   - Readers never write through handle_deref's pointer. Writers use handle_deref_mut, which calls
 *     off a pending move. Sinter does not serialise two writers of one object, or a writer and its
 *     readers: that is the application's.
 *   - Two resolutions of one handle in one section may give different addresses; the older one is
 *     then a frozen copy. After handle_deref_mut, resolve again before reading.
 *   - Under QSBR a section reaches from one quiescent state to the next. Threads that never
 *     announce one stop reclamation and compaction (not allocation: memory stays within max_bytes).
 *   - Handles are values of one store. Another store's handle resolves by chance only (2^-24), and
 *     never crashes.
 *   - The library is not unloadable (it owns threads and thread-local storage).
 *
 * WORDS
 *
 *   section    an RCU read-side critical section of the store's flavour; under QSBR, between two
 *              quiescent states
 *   GP         a grace period: every section that was open when it began has ended
 *   limbo      memory of freed objects that readers may still see; becomes reusable after a GP
 *   handle     64-bit name of an object; 0 is HANDLE_NULL. A stale handle (its object was freed)
 *              never names another object
 *   cell       8 bytes in the application's own structure that name one object: like a handle,
 *              without a table entry
 *   committed  memory of the store that is backed by pages; bounded by max_bytes
 *
 * WHO MAY CALL WHAT, WHERE
 *
 *   section     R required, A allowed, F forbidden (-EDEADLK where the flavour can see sections)
 *   registered  R the calling thread is registered with the flavour (QSBR: and online); - need not
 *   call_rcu    may it be called from a call_rcu callback; S: in a section the callback opens
 *   signal      may it be called from a signal handler
 *   blocks      L short locks of the store, never held across a GP; G waits for GPs; - never
 *
 *   call                                              section  registered  call_rcu  signal  blocks
 *   ------------------------------------------------  -------  ----------  --------  ------  ------
 *   create, create_flavor, destroy                    F        R           no        no      G
 *   compact, purge, reclaim, defrag_stop, before_fork F        R           no        no      G
 *   deref, deref_many, cell_deref, cell_read,
 *     cell_deref_many                                 R        R           S         yes     -
 *   deref_mut, cell_deref_mut                         R        R           S         no      -
 *   handle_size, cell_size, cell_set_tag              R        R           S         no      -
 *   handle_alloc_object, cell_alloc                   R        R           S         no      L
 *   handle_alloc                                      A        R           yes       no      L
 *   handle_free                                       A        R           yes       no      L
 *   free_now, cell_free, cell_free_now                R        R           S         no      L
 *   handle_resize, clear                              A        R           yes       no      L
 *   cell_resize, cell_relocate                        R        R           S         no      L
 *   update_begin, update_commit, cell_update_begin    R        R           S         no      L
 *   update_abort, unpin                               A        R           yes       no      L
 *   pin, pin_mut, cell_pin                            R        R           S         no      L
 *   set, get, used, estimate                          A        -           yes       no      L
 *   stats, stats_print                                A        -           yes       no      L
 *   each, check                                       A        R           no        no      L
 *   defrag_start                                      A        -           no        no      L
 *   defrag_step                                       A        R           no        no      L
 *   thread_detach                                     A        -           no        no      L
 *   after_fork_parent, after_fork_child               A        R           no        no      -
 *
 * ERRORS
 *
 *   int functions return 0 or a negative errno. Functions that return a pointer or a handle return
 *   NULL or HANDLE_NULL and set errno. Deref functions only return NULL; errno is left alone. A
 *   function that fails has changed nothing, unless its text says otherwise. A NULL store answers
 *   EINVAL (inline deref: undefined, it is three loads from the store).
 *
 *     EINVAL   an argument is out of range; for options the error callback gets a text with option,
 *              value and range
 *     ENOMEM   no memory: max_bytes reached and nothing in limbo would help, or the kernel refused
 *     EAGAIN   max_bytes reached, but memory is on its way (limbo, compaction): call
 *              handle_store_reclaim, then try again; from update_commit: another version was
 *              committed first
 *     ENOENT   the handle is stale (or the cell empty), or the object was freed meanwhile
 *     EEXIST   the cell already names an object
 *     EBUSY    pinned (resize, destroy)
 *     EDEADLK  a call that waits for a GP was made inside a section
 *     ENOTSUP  the kernel or the platform cannot do it, or this is a forked child
 *
 * PLATFORM
 *
 *   64-bit Linux, user addresses below 2^47. Words shared with the application are plain uint64_t
 *   used through __atomic builtins, so that C and C++ see one type.
 */
#ifndef SINTER_HANDLE_H
#define SINTER_HANDLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define HANDLE_VERSION_MAJOR 0
#define HANDLE_VERSION_MINOR 1
#define HANDLE_VERSION_PATCH 0

#if defined(__GNUC__)
#define HANDLE_API __attribute__((visibility("default")))
#else
#error "sinter needs gcc or clang"
#endif

/* ---- types ----------------------------------------------------------------------------------- */

struct rcu_flavor_struct; /* <urcu/flavor.h> */

/** Names one object of one store: generation:24, index:40. Opaque; compare with ==. 0 is never
 * issued. */
typedef uint64_t handle_t;
#define HANDLE_NULL ((handle_t)0)

/** A store: an address range, its objects, statistics and one defragmenter. */
typedef struct handle_store handle_store;

/**
 * A reference in the application's own memory. All zero bits: empty. 8-byte aligned, below 2^47,
 * not copied by memcpy (use handle_cell_relocate), not inside an object of a store. Its memory may
 * be freed a grace period after the cell was emptied: free the cell when its structure is unlinked,
 * then call_rcu the structure.
 */
typedef struct {
    uint64_t word;
} handle_cell;
/* clang-format off */
#define HANDLE_CELL_INIT {0}
/* clang-format on */

/** Flags of handle_alloc_object and handle_cell_alloc. */
enum {
    HANDLE_ZERO = 1u,      /**< the object's bytes are zero */
    HANDLE_UNMOVABLE = 2u, /**< never moved by compaction; placed apart from movable objects.
                              resize, update may move it */
};

/** How transparent huge pages are used. */
enum handle_hugepages {
    HANDLE_HUGEPAGES_NEVER =
        0, /**< MADV_NOHUGEPAGE for arena and table: RSS follows the live data (default) */
    HANDLE_HUGEPAGES_ADVISE =
        1, /**< MADV_HUGEPAGE for the arena: fewer TLB misses, RSS in steps of 2 MiB */
    HANDLE_HUGEPAGES_ALWAYS = 2, /**< as advise, and for the handle table */
};

/** Why the mover left an object where it was. Index of the `refused` arrays. */
enum handle_refusal {
    HANDLE_REFUSED_PINNED = 0, /**< pinned: stays until the last unpin */
    HANDLE_REFUSED_WRITTEN, /**< a writer resolved it between mark and publish; tried again later */
    HANDLE_REFUSED_FREED,   /**< freed meanwhile: nothing left to move */
    HANDLE_REFUSED_NO_ROOM, /**< no destination slot (max_bytes, or the kernel refused) */
    HANDLE_REFUSED_UNMOVABLE, /**< HANDLE_UNMOVABLE in a span of movable objects */
    HANDLE_REFUSED_DAMAGED,   /**< its header fails the check: reported, its span is left alone from
                                 then on */
    HANDLE_REFUSED_REASONS
};

/** Why compaction is not moving anything just now. */
enum handle_idle_reason {
    HANDLE_IDLE_RUNNING = 0,     /**< it is moving */
    HANDLE_IDLE_DISABLED,        /**< defrag.enabled is no, or the thread was stopped */
    HANDLE_IDLE_BELOW_IGNORE,    /**< recoverable bytes below defrag.ignore_bytes */
    HANDLE_IDLE_BELOW_THRESHOLD, /**< recoverable bytes below defrag.threshold_lower_percent of the
                                    live spans */
    HANDLE_IDLE_BACKOFF, /**< the last passes released less than 1 % of what they moved; pausing */
    HANDLE_IDLE_GRACE_PERIOD, /**< waiting for a grace period: see grace_period_age_ns */
    HANDLE_IDLE_FORKED, /**< a forked child shares the pages (defrag.pause_while_forked), or this is
                           the child */
    HANDLE_IDLE_WALK,   /**< handle_store_each or handle_store_check is walking */
    HANDLE_IDLE_REASONS
};

/** The largest cause that keeps resident bytes above the live bytes. */
enum handle_shrink_reason {
    HANDLE_SHRINK_DENSE = 0,  /**< nothing notable: overhead below 1/16 of the live bytes */
    HANDLE_SHRINK_FRAGMENTED, /**< free slots in live spans: compaction's work, see the idle reason
                               */
    HANDLE_SHRINK_PINNED, /**< free slots in live spans, and the mover was refused mostly because of
                             pins */
    HANDLE_SHRINK_LIMBO,  /**< freed bytes wait for a grace period: see grace_period_age_ns */
    HANDLE_SHRINK_THREAD_CACHES, /**< free slots cached by threads */
    HANDLE_SHRINK_PURGE_DELAY,   /**< empty spans wait for purge_delay_ms, or purging is off (-1) */
    HANDLE_SHRINK_PURGE_FAILED,  /**< the kernel refused madvise; tried again later */
    HANDLE_SHRINK_TABLE,         /**< handle table pages pinned by surviving handles */
    HANDLE_SHRINK_REASONS
};

/**
 * Options of a store, for handle_store_create. Start from HANDLE_STORE_OPTIONS_INIT, which holds
 * every default. The names of handle_store_set are the members' names, "defrag." in front of those
 * of the inner struct.
 */
struct handle_store_options {
    size_t struct_size; /**< sizeof of the caller's struct: set by the initialiser */

    /* at creation only */
    const char
        *name;     /**< copied; in texts, labels and thread names. 0 to 31 bytes; default "store" */
    bool hardened; /**< poison freed slots, canaries, checks at every entry. Default no */
    uint64_t arena_bytes; /**< address range for objects: 1 MiB to 1 TiB, rounded up to 64 KiB. 0:
                             four times the physical memory, at least 64 GiB; halved on ENOMEM */
    uint32_t alignment;   /**< of every object: 8 (default), 16 or 64 bytes */
    /** Called when an allocation finds max_bytes reached, before it fails, with no lock held, in
       the allocating thread; may free objects. bytes: what is missing. */
    void (*pressure)(void *opaque, handle_store *store, size_t bytes);
    /** Called with one line of text for what no return value can say: a damaged header, a bad
       option value, misuse. No lock is held. NULL: the line goes to stderr. */
    void (*error)(void *opaque, const char *message);
    void *opaque; /**< first argument of both */

    /* at any time, through handle_store_set */
    uint64_t max_bytes;     /**< limit on committed bytes; 0: none (default); else at least 4 MiB */
    int64_t purge_delay_ms; /**< empty spans wait this long for reuse before their pages go back to
                               the kernel: 0 (at once) to 3600000; -1: never. Default 200 */
    enum handle_hugepages hugepages; /**< by name: never, advise, always */
    uint64_t thread_cache_bytes;     /**< free slots a thread may cache in this store: 0 to 64 MiB.
                                        Default 256 KiB */
    uint64_t thread_cache_total_bytes; /**< all threads' together: 0 to 1 TiB. Default 16 MiB */
    struct {
        bool enabled;          /**< background compaction. Default yes */
        uint64_t ignore_bytes; /**< waste below this is left alone: 0 to 1 TiB. Default 1 MiB */
        uint32_t threshold_lower_percent; /**< compaction starts when waste exceeds this share of
                                             the live spans: 0 to 100, not above upper. Default 1 */
        uint32_t threshold_upper_percent; /**< waste at which it works with cpu_max_percent: 0 to
                                             100. Default 10 */
        uint32_t cpu_min_percent; /**< of one core, at the lower threshold: 1 to 100, not above max.
                                     Default 5 */
        uint32_t cpu_max_percent; /**< of one core, at the upper threshold: 1 to 100. Default 50 */
        uint32_t
            slice_us; /**< length of one slice of work: 50 to 100000 microseconds. Default 500 */
        bool pause_while_forked; /**< no compaction while a forked child shares the pages. Default
                                    yes */
    } defrag;
};
/* clang-format off */
#define HANDLE_STORE_OPTIONS_INIT \
    {sizeof(struct handle_store_options), "store", false, 0, 8, 0, 0, 0, \
     0, 200, HANDLE_HUGEPAGES_NEVER, 256u << 10, 16u << 20, \
     {true, 1u << 20, 1, 10, 5, 50, 500, true}}
/* clang-format on */

/** What a compaction did, or (estimate) would do. Sums over the call, not over the store's life. */
struct handle_defrag_report {
    size_t struct_size;
    uint64_t live_bytes; /**< bytes of occupied slots in spans of movable objects, at the end */
    uint64_t span_bytes; /**< bytes of those spans, at the end */
    uint64_t
        recoverable_bytes; /**< span bytes that a perfect compaction would still free, at the end */
    uint64_t moved_objects; /**< estimate: objects that would have to be moved */
    uint64_t
        moved_bytes; /**< estimate: bytes that would have to be moved (slots, headers included) */
    uint64_t released_bytes;  /**< bytes of the spans emptied; estimate: that would be emptied */
    uint64_t purged_bytes;    /**< bytes given back to the kernel */
    uint64_t spans_evacuated; /**< spans emptied; estimate: that would be emptied */
    uint64_t grace_periods;   /**< grace periods waited for */
    uint64_t cpu_ns;          /**< time spent working, without waits */
    uint64_t refused[8];      /**< objects left in place, by enum handle_refusal */
    uint32_t busy;        /**< step: 1 when another thread was compacting and nothing was done */
    uint32_t more;        /**< 1 when work is left (step: call again) */
    uint32_t idle_reason; /**< enum handle_idle_reason at the end of the call */
    uint32_t reserved;
};
/* clang-format off */
#define HANDLE_DEFRAG_REPORT_INIT \
    {sizeof(struct handle_defrag_report), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
     {0, 0, 0, 0, 0, 0, 0, 0}, 0, 0, 0, 0}
/* clang-format on */

/** A version of an object that nobody sees yet; between update_begin and commit or abort. Owned by
 * the caller. */
struct handle_update {
    void *object; /**< the new version, to be filled; valid until commit or abort, sections aside */
    uint64_t reserved[7];
};

/** What handle_store_each shows of an object. Valid during the visit. */
struct handle_object {
    handle_t handle;         /**< HANDLE_NULL for an object named by a cell */
    const handle_cell *cell; /**< NULL for an object named by a handle. Its memory may change hands
                                after the visit */
    const void *data;
    size_t size;    /**< as requested */
    uint32_t tag;   /**< of the cell; 0 for handles */
    uint32_t flags; /**< HANDLE_UNMOVABLE or 0 */
};

/** Histogram of durations: bucket i counts those below 2^i microseconds (and not below 2^(i-1)),
 * the last all longer. */
struct handle_histogram {
    uint64_t count;
    uint64_t sum_ns;
    uint64_t max_ns;
    uint64_t bucket[24];
};

/** One size class. */
struct handle_class_stats {
    uint64_t object_bytes; /**< largest request this class serves */
    uint64_t slot_bytes;   /**< what one object takes, header included */
    uint64_t span_bytes;   /**< resident bytes of one full span */
    uint64_t span_slots;
    uint64_t live;   /**< live objects */
    uint64_t free;   /**< free slots in this class's spans; thread caches and limbo not counted */
    uint64_t cached; /**< free slots in thread caches */
    uint64_t limbo;  /**< freed slots that wait for a grace period */
    uint64_t spans;  /**< spans of this class */
    uint64_t spans_full;   /**< of them without a free slot */
    uint64_t occupancy[8]; /**< spans with a free slot, by eighths of occupancy, sparsest first */
    uint64_t recoverable_bytes; /**< by a perfect compaction */
    uint64_t moved;             /**< objects moved so far */
    uint64_t refused[8];        /**< objects left in place so far, by enum handle_refusal */
};
#define HANDLE_CLASSES_MAX 256

/**
 * Statistics. The ladder adds up exactly when no other thread is at work:
 *   requested + rounding + header + free_slot + thread_cache + limbo + empty_span + table +
 * metadata = committed
 */
struct handle_stats {
    size_t struct_size;
    /* the ladder, bytes */
    uint64_t requested; /**< asked for by live objects */
    uint64_t
        rounding; /**< class rounding and alignment of live objects, large objects' page rounding */
    uint64_t header;       /**< header words of live objects */
    uint64_t free_slot;    /**< free slots and tails of spans in use */
    uint64_t thread_cache; /**< free slots held by threads */
    uint64_t limbo;        /**< freed, waiting for a grace period or for the last unpin */
    uint64_t empty_span;   /**< empty spans whose pages are kept for reuse */
    uint64_t table;        /**< handle table pages */
    uint64_t metadata;     /**< span descriptors, bitmaps, caches, pins, the store itself */
    uint64_t committed;    /**< sum of all above */
    /* beside the ladder, bytes */
    uint64_t released; /**< given back to the kernel, all together, since creation */
    uint64_t reserved; /**< address range, committed or not */
    uint64_t resident; /**< of the process, read from the kernel when the statistics are */
    int64_t resident_unexplained; /**< resident - committed: other stores, the program itself, the C
                                     library */
    uint64_t committed_peak;
    uint64_t max_bytes;
    uint64_t large; /**< part of requested in large objects */
    /* objects */
    uint64_t objects; /**< live */
    uint64_t objects_by_handle;
    uint64_t objects_by_cell;
    uint64_t objects_large;
    uint64_t allocs;             /**< since creation */
    uint64_t frees;              /**< since creation */
    uint64_t alloc_failures;     /**< answered with ENOMEM */
    uint64_t alloc_retries;      /**< answered with EAGAIN */
    uint64_t pins;               /**< held now, updates included */
    uint64_t table_entries_dead; /**< indexes whose generations are used up */
    /* compaction */
    uint64_t recoverable; /**< bytes that a perfect compaction would free */
    uint64_t moved_objects;
    uint64_t moved_bytes;
    uint64_t compaction_released;         /**< bytes of the spans emptied by moves */
    uint64_t moved_per_released_permille; /**< moved_bytes * 1000 / compaction_released; 0 before
                                             the first release */
    uint64_t compaction_cpu_ns;
    uint64_t passes;
    uint64_t refused[8];      /**< by enum handle_refusal */
    uint64_t errors_reported; /**< lines given to the error callback */
    uint32_t idle_reason;     /**< enum handle_idle_reason */
    uint32_t shrink_reason;   /**< enum handle_shrink_reason */
    /* time */
    struct handle_histogram slice; /**< of the mover */
    struct handle_histogram
        grace_period; /**< of the flavour's grace-period thread, all stores together */
    uint64_t
        grace_period_age_ns; /**< age of the oldest unfinished grace period; 0: none under way */
    uint64_t grace_periods;
    /* threads */
    uint64_t threads; /**< with a cache in this store */
    uint64_t purge_failures;
    /* classes */
    uint32_t classes;
    uint32_t reserved_word;
    struct handle_class_stats class_stats[HANDLE_CLASSES_MAX];
};
/* clang-format off */
#ifdef __cplusplus
static inline struct handle_stats
handle_stats_init_(void)
{
    struct handle_stats stats = handle_stats();
    stats.struct_size = sizeof(stats);
    return stats;
}
#define HANDLE_STATS_INIT handle_stats_init_()
#else
#define HANDLE_STATS_INIT {.struct_size = sizeof(struct handle_stats)}
#endif
/* clang-format on */

enum handle_stats_format {
    HANDLE_STATS_TEXT = 0,
    HANDLE_STATS_JSON = 1,
    HANDLE_STATS_PROMETHEUS = 2,
};

/* ---- life cycle ------------------------------------------------------------------------------ */

/**
 * Makes a store for one RCU flavour. The library links no flavour: the caller's is passed in.
 *
 * options: NULL for all defaults. flavor: not NULL, stays valid for the life of the process.
 * Result: the store; NULL with errno EINVAL (an option is out of range; the error callback names
 * option, value and range), ENOMEM (address space or memory), EAGAIN (a thread could not be
 * started), EDEADLK (inside a section). Outside a section, by a registered thread; may block.
 * Starts the flavour's grace-period thread (once per process) and the store's defragmenter.
 */
HANDLE_API handle_store *handle_store_create_flavor(const struct handle_store_options *options,
                                                    const struct rcu_flavor_struct *flavor);

#ifdef URCU_API_MAP
/** handle_store_create_flavor with the flavour whose header was included before this one. */
static inline handle_store *
handle_store_create(const struct handle_store_options *options)
{
    return handle_store_create_flavor(options, &rcu_flavor);
}
#endif

/**
 * Ends the store with all its objects. Waits for limbo and stops the defragmenter. No other thread
 * may use the store any more, except thread exit, which is safe at any time.
 *
 * Result: 0; -EBUSY while pins or updates are held (the store goes on as before); -EDEADLK inside
 * a section; -EINVAL for NULL. Cells that named objects of the store are left as they are.
 */
HANDLE_API int handle_store_destroy(handle_store *store);

/**
 * Frees every object that is named by a handle when the call begins, each as if by handle_free (one
 * allocated meanwhile may go, too). Objects named by cells stay. Concurrent handle_free is fine,
 * concurrent free_now is not. Result: 0; -EINVAL for NULL. Inside or outside a section; does not
 * wait.
 */
HANDLE_API int handle_store_clear(handle_store *store);

/**
 * Sets an option by name, for example ("defrag.cpu_max_percent", "25"). Numbers are decimal; byte
 * counts take the suffixes K, M, G, T (powers of 1024); switches take yes and no.
 * Result: 0; -EINVAL: unknown name, not to be changed after creation, or value out of range (the
 * error callback gets name, value and range; nothing has changed); -EAGAIN: defrag.enabled, and no
 * thread can be had (it stays off). Takes effect at once.
 */
HANDLE_API int handle_store_set(handle_store *store, const char *name, const char *value);

/**
 * Writes an option's value as handle_store_set would take it.
 * Result: 0; -EINVAL: unknown name or NULL; -ENOSPC: size bytes do not hold it (nothing written).
 */
HANDLE_API int handle_store_get(handle_store *store, const char *name, char *value, size_t size);

/** The library's version, "major.minor.patch". Static string. */
HANDLE_API const char *handle_version(void);

/* ---- objects by handle ----------------------------------------------------------------------- */

/**
 * Allocates an object of size bytes (0 is allowed) with undefined contents; it is live at once.
 * Fill it through handle_deref_mut, or use handle_alloc_object, which saves the second look.
 *
 * Result: a handle; HANDLE_NULL with errno ENOMEM (max_bytes reached and nothing will come back by
 * itself, or the kernel refused), EAGAIN (max_bytes reached, limbo or compaction will satisfy it:
 * handle_store_reclaim and try again), EINVAL (NULL store, or larger than the arena).
 * Inside or outside a section. Never waits for a GP or for compaction.
 */
HANDLE_API handle_t handle_alloc(handle_store *store, size_t size);

/**
 * handle_alloc that also gives the object's address, for filling it.
 * flags: HANDLE_ZERO, HANDLE_UNMOVABLE or 0. *object is valid, and may be written, until the
 * section ends. Inside a section. Errors as handle_alloc; then *object is NULL.
 */
HANDLE_API handle_t handle_alloc_object(handle_store *store, size_t size, unsigned flags,
                                        void **object);

/**
 * Size as requested. 0 for a stale handle (and for objects of size 0: tell them apart by deref).
 * Inside a section.
 */
HANDLE_API size_t handle_size(const handle_store *store, handle_t handle);

/**
 * Address of an object for writing. A pending move of it is called off and no new one takes effect
 * before the section ends. NULL for a stale handle. Valid until the section ends. Inside a section;
 * never waits.
 */
HANDLE_API void *handle_deref_mut(handle_store *store, handle_t handle);

/**
 * Resolves n handles with their cache misses overlapping: objects[i] becomes what
 * handle_deref(store, handles[i]) gives. Result: how many were live. Inside a section.
 */
HANDLE_API size_t handle_deref_many(const handle_store *store, const handle_t *handles,
                                    const void **objects, size_t n);

/**
 * Frees an object that readers may still see: they keep it until their sections end. Any number of
 * threads may race to free one handle: exactly one gets 0, the others -ENOENT.
 * Result: 0; -ENOENT for a stale handle; -EINVAL for a NULL store. Inside or outside a section;
 * allocates nothing, waits for nothing.
 */
HANDLE_API int handle_free(handle_store *store, handle_t handle);

/**
 * Frees an object that nobody else can resolve or holds: its memory is reusable at once. The caller
 * is the only one who uses this handle. (A pinned object, or one that is being moved, is retired as
 * by handle_free instead.) Result as handle_free. Inside a section.
 */
HANDLE_API int handle_free_now(handle_store *store, handle_t handle);

/**
 * Changes an object's size under the same handle; contents are kept up to the smaller size, what
 * is added is undefined. Readers see the old object or the new one, both complete. The caller
 * serialises it with writers (deref_mut, pin_mut) of the same object.
 * Result: 0; -ENOENT stale, or freed meanwhile; -EBUSY pinned for writing; -ENOMEM, -EAGAIN,
 * -EINVAL as handle_alloc. On failure the object is unchanged. Inside or outside a section.
 */
HANDLE_API int handle_resize(handle_store *store, handle_t handle, size_t size);

/**
 * Begins a new version of an object: *update takes note of the version seen, the result is
 * memory for the new one (size bytes, contents undefined), which nobody else sees. The version seen
 * stays pinned until commit or abort, which may happen in a later section, by any thread.
 * Result: the new version's address; NULL with errno ENOENT, ENOMEM, EAGAIN, EINVAL. In a section.
 */
HANDLE_API void *handle_update_begin(handle_store *store, handle_t handle, size_t size,
                                     struct handle_update *update);

/**
 * Publishes the new version under the same handle (or in the same cell), atomically: readers see
 * either version complete. The old one is freed as by handle_free.
 * Result: 0; -ENOENT: the object was freed meanwhile; -EAGAIN: another version was committed (or
 * the object resized) since begin; -EINVAL: no update. The update is over in every case, and on
 * failure its version is gone. Inside a section. A move of the old version is never a conflict.
 */
HANDLE_API int handle_update_commit(handle_store *store, struct handle_update *update);

/** Drops the new version. An update that is over is left alone. Inside or outside a section. */
HANDLE_API void handle_update_abort(handle_store *store, struct handle_update *update);

/**
 * Resolves a handle for longer than the section: the address stays valid, and the object stays
 * where it is, until handle_unpin. Pins nest. If the object is freed meanwhile, its memory stays
 * until the last unpin. Pins hinder compaction: hold them for I/O, not for convenience.
 * Result: the address; NULL for a stale handle (errno ENOENT) or without memory for the span's pin
 * counts (ENOMEM). Inside a section.
 */
HANDLE_API const void *handle_pin(handle_store *store, handle_t handle);

/** handle_pin for writing: until the last unpin of the object, handle_resize gives -EBUSY. */
HANDLE_API void *handle_pin_mut(handle_store *store, handle_t handle);

/**
 * Ends one pin. object: the address that the pin gave, exactly. An address that is not pinned is
 * reported through the error callback and otherwise ignored. Inside or outside a section, by any
 * thread.
 */
HANDLE_API void handle_unpin(handle_store *store, const void *object);

/* ---- objects by cell ------------------------------------------------------------------------- */

/*
 * All cell calls stand inside a section. The caller serialises writers of one cell (its bucket's
 * lock); readers need only the section. An empty cell answers like a stale handle (NULL, -ENOENT).
 * Errors, lifetimes and blocking are those of the handle call of the same name.
 */

/**
 * Allocates an object named by an empty cell; its tag is 0. flags as in handle_alloc_object.
 * Result: the object, for filling it in this section; NULL with errno EEXIST (the cell is not
 * empty), EINVAL (cell unaligned, above 2^47 or inside a movable object), ENOMEM, EAGAIN.
 */
HANDLE_API void *
handle_cell_alloc(handle_store *store, handle_cell *cell, size_t size, unsigned flags);

/** Address and tag from one load. tag may be NULL; 0 is stored for an empty cell. */
HANDLE_API const void *
handle_cell_read(const handle_store *store, const handle_cell *cell, uint32_t *tag);

HANDLE_API void *handle_cell_deref_mut(handle_store *store, handle_cell *cell);

/** handle_deref_many over cells. */
HANDLE_API size_t handle_cell_deref_many(const handle_store *store, handle_cell *const *cells,
                                         const void **objects, size_t n);

HANDLE_API size_t handle_cell_size(const handle_store *store, const handle_cell *cell);

/**
 * Sets the cell's tag: 24 bits of the application's (part of a key's hash, say), kept by update,
 * resize and relocate. A pending move is called off. -EINVAL above 0xffffff; -ENOENT when empty.
 */
HANDLE_API int handle_cell_set_tag(handle_store *store, handle_cell *cell, uint32_t tag24);

/** Frees the object, empties the cell; readers keep the object until their sections end. */
HANDLE_API int handle_cell_free(handle_store *store, handle_cell *cell);

/** As handle_free_now: no reader can hold the object or find the cell any more. */
HANDLE_API int handle_cell_free_now(handle_store *store, handle_cell *cell);

HANDLE_API int handle_cell_resize(handle_store *store, handle_cell *cell, size_t size);

/**
 * Moves a reference: `to` names the object, `from` is empty. Readers of either cell find the object
 * or an empty cell. -ENOENT: from is empty; -EEXIST: to is not; -EINVAL as cell_alloc.
 */
HANDLE_API int handle_cell_relocate(handle_store *store, handle_cell *from, handle_cell *to);

HANDLE_API void *handle_cell_update_begin(handle_store *store, handle_cell *cell, size_t size,
                                          struct handle_update *update);

HANDLE_API const void *handle_cell_pin(handle_store *store, handle_cell *cell);

/* ---- compaction ------------------------------------------------------------------------------ */

/**
 * Starts the background thread (as setting defrag.enabled to yes). 0, also when it runs already;
 * -EAGAIN when no thread can be had; -ENOTSUP in a forked child.
 */
HANDLE_API int handle_defrag_start(handle_store *store);

/** Stops it (as defrag.enabled no) and waits until it has ended; a batch under way is called off.
 */
HANDLE_API int handle_defrag_stop(handle_store *store);

/**
 * One bounded step of compaction, for event loops that run without the background thread: works at
 * most budget_us microseconds (1 to 1000000; madvise at most 1 MiB), never waits. Starts a pass
 * only when the thresholds ask for one; a pass under way is carried on. report: NULL or where to
 * put what this step did. busy is set when another thread is compacting, more when there is work
 * left. Result: 0; -EINVAL; -ENOTSUP in a forked child. By a registered thread. Inside a section it
 * is allowed but cannot get far: its grace periods wait for that section.
 */
HANDLE_API int
handle_defrag_step(handle_store *store, uint32_t budget_us, struct handle_defrag_report *report);

/**
 * Compacts everything now, whatever the thresholds say: makes one plan (per class the fewest spans
 * that hold its objects), carries it out at full speed and purges. Ends even under writers.
 * Result: 0; -EDEADLK inside a section; -EINVAL; -ENOTSUP in a forked child. report may be NULL.
 */
HANDLE_API int handle_store_compact(handle_store *store, struct handle_defrag_report *report);

/** Dry run of handle_store_compact: from counters, without touching objects. report: not NULL. */
HANDLE_API int handle_defrag_estimate(handle_store *store, struct handle_defrag_report *report);

/**
 * Gives back to the kernel, now: free slots that threads cache (idle ones', and the caller's),
 * empty spans, table pages without a live entry. Waits for the limbo of the moment of the call.
 * *released_bytes (may be NULL) gets what this call released. 0; -EDEADLK; -EINVAL.
 */
HANDLE_API int handle_store_purge(handle_store *store, size_t *released_bytes);

/**
 * Waits until `bytes` of limbo have become reusable since the call began, or all that was in limbo,
 * and, when max_bytes is what is short, until compaction has got as far or has ended.
 * 0; -EDEADLK inside a section; -EINVAL.
 */
HANDLE_API int handle_store_reclaim(handle_store *store, size_t bytes);

/* ---- insight --------------------------------------------------------------------------------- */

/**
 * Requested bytes of live objects. Exact when no other thread is at work. Its cost does not depend
 * on the number of objects. Any thread, any time.
 */
HANDLE_API size_t handle_store_used(const handle_store *store);

/** Fills *stats (struct_size set by HANDLE_STATS_INIT). From counters. 0; -EINVAL. */
HANDLE_API int handle_store_stats(handle_store *store, struct handle_stats *stats);

/**
 * Prints the statistics. write is called with pieces of text (not terminated by 0), in order.
 * TEXT is for people; JSON is one object; PROMETHEUS is the text exposition format, base units.
 * Result: 0; -EINVAL; -ENOMEM: nothing was written.
 */
HANDLE_API int
handle_store_stats_print(handle_store *store, enum handle_stats_format format,
                         void (*write)(void *opaque, const char *text, size_t length),
                         void *opaque);

/**
 * Calls visit for every object that is live throughout the call, by address. (One allocated or
 * freed meanwhile may be visited or not; one resized or updated meanwhile may change its address,
 * and be missed or visited twice.) Objects do not move meanwhile, and one walk runs at a time. The
 * visitor runs inside a section that `each` opened, with no lock held; it may free the object or
 * allocate; it must not call anything that waits for a GP. A result other than 0 ends the walk and
 * is handed on. Result: 0, the visitor's, -EINVAL, or -EBUSY when a visitor of this store calls it.
 */
HANDLE_API int handle_store_each(handle_store *store,
                                 int (*visit)(void *opaque, const struct handle_object *object),
                                 void *opaque);

/**
 * Checks every invariant of the store's structures; may run beside everything else. report (may be
 * NULL) gets a line of text for each violation. Result: the number of violations; -EINVAL; -ENOMEM:
 * none found, but no memory for the check of the sums.
 */
HANDLE_API int handle_store_check(handle_store *store,
                                  void (*report)(void *opaque, const char *violation),
                                  void *opaque);

/* ---- threads and processes ------------------------------------------------------------------- */

/**
 * Gives the calling thread's caches in this store back. Optional: thread exit does it too. The
 * thread may go on using the store.
 */
HANDLE_API void handle_thread_detach(handle_store *store);

/**
 * Around fork(), per store: before_fork (outside a section; waits until the store is at rest), then
 * exactly one of the others in each process, by the thread that forked. In the child alloc, deref
 * and free work; there is no compaction and nothing leaves limbo; destroy does not wait (G10).
 * Call them outside the flavour's own fork hooks (call_rcu_before_fork and its like).
 */
HANDLE_API void handle_store_before_fork(handle_store *store);
HANDLE_API void handle_store_after_fork_parent(handle_store *store);
HANDLE_API void handle_store_after_fork_child(handle_store *store);

/* ---- the inline read path -------------------------------------------------------------------- */

/*
 * What the inline functions see of a store. The handle table begins HANDLE_TABLE_OFFSET bytes after
 * the store's address and never moves. The lowest bit of a handle is 1, and so is that of a
 * reference word that names an object: one masked compare answers "same generation, and live".
 * Rotated right by one, a handle has that bit on top and the index below, so that one signed
 * compare answers "is a handle, and within the table". Part of the ABI; not for direct use.
 */
struct handle_store_head {
    int64_t table_end; /* number of entries, with the top bit set; constant */
    uint64_t arena;    /* address of offset 0; constant */
};
#define HANDLE_TABLE_OFFSET ((size_t)1 << 20)
#define HANDLE_OFFSET_MASK  UINT64_C(0x000000fffffffff8)
#define HANDLE_MATCH_MASK   UINT64_C(0xffffff0000000001)
#define HANDLE_ENTRY_MASK   UINT64_C(0x8000007fffffffff)

/*
 * Acquire in both: orders the object's contents after the word that names it; pairs with the
 * release by which alloc, commit and the mover publish. Without it a reader on a weakly ordered
 * machine could see bytes from before the object was filled or copied.
 */

/**
 * Address of an object for reading; NULL for a stale handle, HANDLE_NULL or another store's. Valid
 * until the section ends. Inside a section; one acquire load of shared memory, never waits, never
 * writes (G1).
 */
#ifndef HANDLE_NO_INLINE
static inline const void *
handle_deref(const handle_store *store, handle_t handle)
{
    const struct handle_store_head *head = (const struct handle_store_head *)(const void *)store;
    uint64_t entry = (handle >> 1 | handle << 63) & HANDLE_ENTRY_MASK;
    if (__builtin_expect((int64_t)entry >= head->table_end, 0))
        return NULL;
    const char *table = (const char *)(const void *)store + HANDLE_TABLE_OFFSET;
    uint64_t word =
        __atomic_load_n((const uint64_t *)(const void *)(table + (entry << 3)), __ATOMIC_ACQUIRE);
    if (__builtin_expect(((word ^ handle) & HANDLE_MATCH_MASK) != 0, 0))
        return NULL;
    return (const void *)(head->arena + (word & HANDLE_OFFSET_MASK));
}

/** handle_deref for a cell; NULL when it is empty. */
static inline const void *
handle_cell_deref(const handle_store *store, const handle_cell *cell)
{
    const struct handle_store_head *head = (const struct handle_store_head *)(const void *)store;
    uint64_t word = __atomic_load_n(&cell->word, __ATOMIC_ACQUIRE);
    if (__builtin_expect((word & 1) == 0, 0))
        return NULL;
    return (const void *)(head->arena + (word & HANDLE_OFFSET_MASK));
}
#else
/* Exported for languages that cannot inline C. */
HANDLE_API const void *handle_deref(const handle_store *store, handle_t handle);
HANDLE_API const void *handle_cell_deref(const handle_store *store, const handle_cell *cell);
#endif

#ifdef __cplusplus
}
#endif

#endif /* SINTER_HANDLE_H */
