/* SPDX-License-Identifier: MIT */
/*
 * sinter/handle.h - a compacting, handle-based object store. This header is the interface and its
 * manual; it holds no mechanism beyond the inline read path. The move protocol and its guarantees
 * (G1 to G13) stand in src/reference/reference.h.
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
 *   - An address must not leave its section.
 *     Fix: keep the handle or the cell, and resolve again. For I/O: handle_pin.
 *   - A write through handle_deref's pointer may go to a copy that nobody reads any more.
 *     Fix: write through handle_deref_mut, which cancels a pending move.
 *   - Sinter does not serialise two writers of one object, or a writer and its readers.
 *     Fix: a lock or a protocol of the application's; or handle_update_begin and its commit, after
 *     which readers see the old version or the new one, each complete.
 *   - Two resolutions of one handle in one section may give different addresses; the older one is
 *     then a frozen copy.
 *     Fix: after handle_deref_mut, resolve again before reading.
 *   - So a version number or a lock inside a movable object protects nothing: who looks at it twice
 *     through one address may look at a frozen copy, in which it never changes.
 *     Fix: resolve the handle again for the second look (examples/index), or keep it outside of the
 *     object (in the bucket, say).
 *   - A freed handle is stale at once, for a reader that has just read it from another object, too.
 *     The address that a reader has lasts until its section ends, the name does not.
 *     Fix: unlink the object, and handle_retire it; or let readers take NULL for "not there any
 *     more", and begin again.
 *   - Nobody waits for the sections of a thread that is not registered: what it reads may be used
 *     for something else meanwhile.
 *     Fix: rcu_register_thread in every thread. Under development compile the program with
 *     -D_LGPL_SOURCE -DDEBUG_RCU: liburcu's rcu_read_lock, then inline, asserts it. A store made
 *     with `hardened` finds such threads by its own means (MISUSE below).
 *   - Under QSBR a section reaches from one quiescent state to the next. Threads that never
 *     announce one stop reclamation and compaction (not allocation: memory stays within max_bytes).
 *     Fix: rcu_quiescent_state now and then; rcu_thread_offline before what blocks.
 *   - The pressure callback runs while the allocating thread holds its own locks, and in its
 *     section: evicting under another lock there can deadlock.
 *     Fix: only try other locks in it; or do without it, and evict on ENOMEM, when the locks are
 *     free again (ERRORS below).
 *   - Handles are values of one store. Any other 64 bits (another store's handle; one that was read
 *     while it was being written) resolve by chance only (2^-24), to some object of this store, and
 *     never crash.
 *     Fix: a type of its own for each store's handles: struct user_handle { handle_t h; }. Look
 *     again whether a link that is read without a lock is what it was (examples/index).
 *   - The library is not unloadable (it owns threads and thread-local storage).
 *     Fix: none is needed; dlclose leaves it where it is.
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
 *   page       as the kernel gives and takes them: 4, 16 or 64 KiB, found out when the library is
 *              loaded. Memory goes back in whole pages: with large ones sparse spans keep more, and
 *              small stores and limits take more (an object of each size class takes a page)
 *
 * WHO MAY CALL WHAT, WHERE
 *
 *   section     R required, A allowed, F forbidden (-EDEADLK where the flavour can see sections;
 *               before_fork: reported)
 *   registered  R the calling thread is registered with the flavour (QSBR: and online); - need not
 *   call_rcu    may it be called from a call_rcu callback; S: in a section the callback opens
 *   signal      may it be called from a signal handler
 *   blocks      L short locks of the store, never held across a GP; G waits for GPs; - never
 *
 *   call                                              section  registered  call_rcu  signal  blocks
 *   ------------------------------------------------  -------  ----------  --------  ------  ------
 *   create, create_flavor, create_version, destroy    F        R           no        no      G
 *   compact, purge, reclaim, reclaim_until,
 *     defrag_stop, before_fork                        F        R           no        no      G
 *   good_size                                         A        -           yes       no      -
 *   deref, deref_many, cell_deref, cell_read,
 *     cell_tag, cell_match,
 *     cell_deref_many                                 R        R           S         yes     -
 *   deref_mut, cell_deref_mut                         R        R           S         no      -
 *   handle_capacity, cell_capacity,
 *     sparsity, cell_sparsity                         R        R           S         no      -
 *   handle_size, cell_size, cell_set_tag              R        R           S         no      -
 *   handle_alloc_object, cell_alloc,
 *     alloc_many, cell_alloc_many                     R        R           S         no      L
 *   handle_alloc, prepare                             A        R           yes       no      L
 *   reserve, publish, reserved_abort                  A        R           yes       no      L
 *   cell_publish                                      R        R           S         no      L
 *   handle_free, handle_retire, free_many             A        R           yes       no      L
 *   free_now, cell_free, cell_free_now,
 *     cell_free_many                                  R        R           S         no      L
 *   handle_resize, resize_reserve, clear              A        R           yes       no      L
 *   cell_resize, cell_resize_reserve, cell_relocate   R        R           S         no      L
 *   cell_retire, cell_unlink                          R        R           S         no      L
 *   update_begin, update_commit,
 *     cell_update_begin, cell_update_commit           R        R           S         no      L
 *   update_abort, unpin                               A        R           yes       no      L
 *   pin, pin_mut, cell_pin                            R        R           S         no      L
 *   set, get, used, estimate                          A        -           yes       no      L
 *   stats, class_stats, stats_print, map              A        -           yes       no      L
 *   handle_store_doctor                               A        -           no        no      L
 *   handle_stats_doctor, handle_stats_diff            A        -           yes       no      -
 *   each, each_from, check, used_exact,
 *     exact stats_print, census                       A        R           no        no      L
 *   profile                                           A        -           no        no      L
 *   defrag_start                                      A        -           no        no      L
 *   defrag_step                                       A        R           no        no      L
 *   thread_detach                                     A        -           no        no      L
 *   after_fork_parent, after_fork_child               A        R           no        no      L
 *
 *   No call is a cancellation point: a thread that pthread_cancel ends leaves no call half done.
 *   All callbacks run with cancellation disabled. Asynchronous
 *   cancellation is not supported, nor longjmp or an exception out of a callback.
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
 *     ENOMEM   no memory: max_bytes reached and waiting would not help, or has not (what came went
 *              to other threads), or the kernel refused. To be answered by freeing something
 *     EAGAIN   max_bytes reached, but what comes by itself is enough (limbo, spans that compaction
 *              empties, idle threads' caches): call handle_store_reclaim, then try again; from
 *              update_commit: another version was committed first
 *     ENOENT   the handle is stale (or the cell empty), or the object was freed meanwhile
 *     EEXIST   the cell already names an object
 *     EBUSY    pinned (resize, destroy); a walk was asked for by a visitor, and one is under way;
 *              cells inside the object still name others
 *     EDEADLK  a call that waits for a GP was made inside a section
 *     ENOTSUP  the kernel or the platform cannot do it, or this is a forked child
 *
 *   A cache at its limit waits on EAGAIN, evicts on ENOMEM, and tries again (outside of sections;
 *   examples/at_limit.c; `oldest` to `newest` are its entries in `ring`):
 *
 *       handle_t entry;
 *       while ((entry = handle_alloc(store, size)) == HANDLE_NULL) {
 *           if (errno == EAGAIN)
 *               handle_store_reclaim(store, size); // it is on its way: wait for it
 *           else if (errno == ENOMEM && oldest < newest)
 *               handle_free(store, ring[oldest++ % RING]); // it is not: evict
 *           else
 *               return HANDLE_NULL;
 *       }
 *       return entry;
 *
 *   What is evicted comes back with the end of a grace period. So evict several at a time, if you
 *   can: one wait then serves them all (examples/block_cache.c).
 *
 * MISUSE, AND THE OPTION hardened
 *
 *   Errors above stay errors everywhere. What they do not cover is undefined, or reported through
 *   the error callback where it is noticed by chance (an unpin without a pin; a damaged header, by
 *   what reads it: see the option error). A store made with `hardened` looks for it, and ends the
 *   process by abort() with one line:
 *
 *       sinter: handle_free: store sessions, handle 0x5d00000000002b: the object of 100 bytes was
 *       written past its end      (one line: function; store; handle, "a cell" or handle 0; reason)
 *
 *   The error callback gets the line first (without "sinter: "); it must not call the store, since
 *   locks may be held. The function is "in the background" for what compaction finds.
 *
 *   found                                         when
 *   --------------------------------------------  ------------------------------------------------
 *   write past an object's end: the next byte,    at its free, resize, commit and abort, when it is
 *     and those to the end of its 8-byte word     moved; handle_store_check counts it
 *   write in front of it, or over its header      the same (but for the header's first byte alone,
 *                                                 and lies about the size by less than a word)
 *   write that runs on behind a large object, or  SIGSEGV, at once: inaccessible pages behind each
 *     on and on over small ones                   large object and every 512th span, at most 4096
 *                                                 in the process
 *   write after free, or to an address that the   when the memory is used again: by an allocation
 *     object has moved away from                  or a move; handle_store_check counts it. Not
 *                                                 large objects, nor pages the kernel got back, nor
 *                                                 before the grace period has ended (free)
 *   a cell copied by memcpy                       when it is freed or relocated
 *                                                 (the copy: the object knows its cell); what it
 *                                                 names meanwhile may look freed
 *   call outside a section where one is required  at once, by column R of the table above; inline
 *                                                 deref is not looked at. QSBR shows no sections
 *   thread not registered                         at once under QSBR, where an offline one is found
 *                                                 too; else as outside a section. Inside one (which
 *                                                 nobody waits for) by its first call that takes no
 *                                                 fast path, or a later one: it gives a grace
 *                                                 period a millisecond to end, 1st, 16th, 256th
 *                                                 ... time
 *   use of a destroyed store, a second destroy    at once, for the last 64 destroyed; deref then
 *                                                 gives NULL, cell_deref an address that faults
 *   cell inside an object of any store, but for   cell_alloc, cell_publish, cell_relocate,
 *     those made with HANDLE_CELLS                  cell_unlink
 *   cell inside an object that has moved, got     at once, by each call by which a cell changes
 *     another size or version, or was freed
 *     since it was resolved
 *   cell inside what it would come to name, or    cell_publish, cell_relocate, cell_unlink; up to
 *     below that                                    64 objects below
 *   child forked without the hooks                its first call
 *   unpin of what is not pinned                   at once (hardened only: else reported)
 *
 *   Cost: 1 to 8 bytes of each object, in the room behind it (memory rounds up a little sooner: +1
 *   byte on average); every free writes and every allocation reads the whole slot once. A store
 *   that is not hardened pays nothing on its inline and cached paths. Debug builds of the library
 *   check calls, threads, stores and cells of every store in the same way; memory only if hardened.
 *
 * ORIGINS
 *
 *   Grace periods: read-copy update (McKenney and Slingwine), in user space by liburcu. Size-class
 *   slabs: Bonwick. Moving live objects out of sparse slabs: the consolidator of illumos' kmem; the
 *   plan of the fewest spans per class stands in the place of Redis' comparison with the average.
 *   Generations in handles: as in slot maps. Thread caches that others drain by membarrier: the
 *   asymmetric fence of liburcu's memb flavour.
 *
 * PLATFORM
 *
 *   Locked memory. After mlockall(MCL_FUTURE) a store makes resident, and locks, what it uses, and
 *   gives it back as ever (Linux 5.18; before, shrink_reason is PURGE_FAILED). Its address range
 *   counts against RLIMIT_MEMLOCK all the same: without CAP_IPC_LOCK set arena_bytes. MCL_CURRENT
 *   fills what the stores that there are have reserved, about a fiftieth of their largest arena
 *   and more: add MCL_ONFAULT, or make stores after it, or call handle_store_purge, which gives it
 *   back.
 *
 *   64-bit Linux, user addresses below 2^48. Words shared with the application are plain uint64_t
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
#define HANDLE_VERSION_MINOR 2
#define HANDLE_VERSION_PATCH 0

#if defined(__GNUC__)
#define HANDLE_API __attribute__((visibility("default")))
#else
#error "sinter needs gcc or clang"
#endif

/*
 * Calls whose result must not be dropped, since nothing else leads to what was made: the compiler
 * warns. And those whose failure shows in nothing else, where it warns only if (void) in front of
 * the call can say that this is meant (C++17, C23, clang).
 */
#define HANDLE_MUST_USE __attribute__((warn_unused_result))
#if (defined(__cplusplus) && __cplusplus >= 201703L) ||                                            \
    (!defined(__cplusplus) && defined(__STDC_VERSION__) && __STDC_VERSION__ > 201710L)
#define HANDLE_CHECK [[nodiscard]]
#elif defined(__clang__)
#define HANDLE_CHECK __attribute__((warn_unused_result))
#else
#define HANDLE_CHECK
#endif

#if defined(__has_attribute)
#if __has_attribute(error)
#define HANDLE_NO_FLAVOR                                                                           \
    __attribute__((error("include the header of one liburcu flavour before <sinter/handle.h>, "    \
                         "or call handle_store_create_flavor")))
#endif
#endif
#ifndef HANDLE_NO_FLAVOR
#define HANDLE_NO_FLAVOR
#endif

/* ---- types ----------------------------------------------------------------------------------- */

struct rcu_flavor_struct; /* <urcu/flavor.h> */

/** Names one object of one store: index:40, generation:24. Opaque; compare with ==. 0 is never
 * issued. */
typedef uint64_t handle_t;
#define HANDLE_NULL UINT64_C(0)

/** A store: an address range, its objects, statistics and one defragmenter. */
typedef struct handle_store handle_store;

/**
 * A reference in the application's own memory. All zero bits: empty. 8-byte aligned, below 2^48,
 * not copied by memcpy (use handle_cell_relocate), not inside an object of a store but for one made
 * with HANDLE_CELLS (see "cells inside objects"). Its memory may be freed a grace period after the
 * cell was emptied: free the cell when its structure is unlinked, then call_rcu the structure.
 */
typedef struct {
    uint64_t word;
} handle_cell;
/* clang-format off */
#define HANDLE_CELL_INIT {0}
/* clang-format on */

/** Flags of handle_alloc_object, handle_cell_alloc and handle_reserve. */
enum {
    HANDLE_ZERO = 1u, /**< the object's bytes are zero */
    /** Never moved by compaction; placed apart from movable objects. resize, update may move it */
    HANDLE_UNMOVABLE = 2u,
    /** Has cells inside, where the option cells says; all its bytes are zero. Not UNMOVABLE */
    HANDLE_CELLS = 4u,
};

/** Where the cells of an object lie: `count` of them, one behind the other. Answer of the option
 * cells. */
struct handle_cells {
    size_t offset; /**< of the first one in the object, in bytes: a multiple of 8 */
    size_t count;  /**< 0: it has none (just now) */
};

/** How transparent huge pages are used. */
enum handle_hugepages {
    /** MADV_NOHUGEPAGE for arena and table: RSS follows the live data (default) */
    HANDLE_HUGEPAGES_NEVER = 0,
    /** MADV_HUGEPAGE for the arena: fewer TLB misses, RSS in steps of 2 MiB. While the store is
     * busy blocks of 64 KiB that become free go back to the kernel, single pages only when it is
     * not */
    HANDLE_HUGEPAGES_ADVISE = 1,
    HANDLE_HUGEPAGES_ALWAYS = 2, /**< as advise, and for the handle table */
    /**
     * Parts of the arena of 2 MiB, all pages of which are in use by objects, become huge pages
     * (MADV_COLLAPSE: Linux 6.1, x86-64, or 4 KiB pages elsewhere): fewer TLB misses, and RSS
     * follows the live data as with never. For stores that have committed 64 MiB and more. To be
     * chosen at creation: later it has no effect, except after it was set to never. The mover's
     * thread does it when it has nothing to move, one part at a time, that was full for about 2 s;
     * the kernel copies 2 MiB for that, 0.1 to 1 ms during which accesses to them wait (more where
     * its free memory is in small pieces, or processors are busy). Where the kernel's own mode is
     * always, the arena gets none; that mode must not be set while such a store lives. None is made
     * while a forked child shares the pages (defrag.pause_while_forked). dense_reason of the
     * statistics says why nothing happens otherwise
     */
    HANDLE_HUGEPAGES_DENSE = 3,
};

/** What a core of the process holds of a store. */
enum handle_core {
    HANDLE_CORE_FULL = 0, /**< all that is in use; not what is reserved beyond it (default) */
    /** Without what objects hold: small, and nothing of the application's data is in it */
    HANDLE_CORE_METADATA = 1,
    HANDLE_CORE_NONE = 2, /**< nothing */
};

/** Why the mover left an object where it was, and what comes of it. Index of `refused` arrays. */
enum handle_refusal {
    /** Pinned: its span is left alone until the last unpin there, and then tried again */
    HANDLE_REFUSED_PINNED = 0,
    /**
     * A writer resolved it between mark and publish, or it went to another cell, or is named by a
     * cell inside an object that was moved just then: tried again in a later pass
     */
    HANDLE_REFUSED_WRITTEN,
    HANDLE_REFUSED_FREED, /**< freed meanwhile: nothing left to move */
    /** No destination slot (max_bytes, or the kernel refused): tried again in a later pass */
    HANDLE_REFUSED_NO_ROOM,
    HANDLE_REFUSED_UNMOVABLE, /**< HANDLE_UNMOVABLE in a span of movable objects: stays there */
    /**
     * Its header fails the check: reported, its span is left alone from then on; or what the option
     * cells says of it is wrong: reported, it stays
     */
    HANDLE_REFUSED_DAMAGED,
    HANDLE_REFUSED_REASONS
};

/** Why compaction is not moving anything just now. */
enum handle_idle_reason {
    HANDLE_IDLE_RUNNING = 0,  /**< it is moving */
    HANDLE_IDLE_DISABLED,     /**< defrag.enabled is no, or the thread was stopped */
    HANDLE_IDLE_BELOW_IGNORE, /**< recoverable bytes below defrag.ignore_bytes */
    /** Recoverable bytes below defrag.threshold_lower_percent of the live spans */
    HANDLE_IDLE_BELOW_THRESHOLD,
    HANDLE_IDLE_BACKOFF, /**< the last passes released less than 1 % of what they moved; pausing */
    HANDLE_IDLE_GRACE_PERIOD, /**< waiting for a grace period: see grace_period_age_ns */
    /** A forked child shares the pages (defrag.pause_while_forked), or this is the child */
    HANDLE_IDLE_FORKED,
    HANDLE_IDLE_REASONS
};

/** The largest cause that keeps resident bytes above the live bytes. */
enum handle_shrink_reason {
    HANDLE_SHRINK_DENSE = 0, /**< nothing notable: overhead below 1/16 of the live bytes */
    /** Free slots in live spans: compaction's work, see the idle reason */
    HANDLE_SHRINK_FRAGMENTED,
    /** Free slots in live spans, and the mover was refused mostly because of pins */
    HANDLE_SHRINK_PINNED,
    HANDLE_SHRINK_LIMBO, /**< freed bytes wait for a grace period: see grace_period_age_ns */
    HANDLE_SHRINK_THREAD_CACHES, /**< free slots cached by threads */
    HANDLE_SHRINK_PURGE_DELAY,   /**< empty spans wait for purge_delay_ms, or purging is off (-1) */
    /**
     * The kernel refused madvise; tried again later. Linux before 5.18 does so while memory is
     * locked (mlockall)
     */
    HANDLE_SHRINK_PURGE_FAILED,
    HANDLE_SHRINK_TABLE, /**< handle table pages pinned by surviving handles */
    HANDLE_SHRINK_REASONS
};

/** What becomes of HANDLE_HUGEPAGES_DENSE. */
enum handle_dense_reason {
    HANDLE_DENSE_WORKING = 0, /**< full parts of the arena become huge pages */
    HANDLE_DENSE_OFF,         /**< the option has another value */
    HANDLE_DENSE_SMALL,       /**< the objects' pages are less than 64 MiB */
    HANDLE_DENSE_DISABLED,    /**< defrag.enabled is no: there is no thread to do it */
    HANDLE_DENSE_REFUSED,     /**< the kernel refused the last one; tried again, less often */
    /** The store was made with another value, or is hardened, or the value was advise or always */
    HANDLE_DENSE_FLAGGED,
    HANDLE_DENSE_ALWAYS, /**< the kernel's own mode was always: the arena is kept from huge pages */
    /** No transparent huge pages of 2 MiB on this machine, or no MADV_COLLAPSE for this process */
    HANDLE_DENSE_UNSUPPORTED,
    HANDLE_DENSE_REASONS
};

/** What the last allocation that was answered with ENOMEM lacked. */
enum handle_alloc_failure {
    HANDLE_ALLOC_FAILURE_NONE = 0, /**< there was none */
    HANDLE_ALLOC_FAILURE_MEMORY,   /**< max_bytes is reached, or the kernel has no memory */
    /**
     * Address space: the arena has no run of pages that is long enough, and is as large as planned,
     * or cannot be extended; or it has no room for another pin
     */
    HANDLE_ALLOC_FAILURE_ARENA_SMALL,
    HANDLE_ALLOC_FAILURES
};

/**
 * Options of a store, for handle_store_create. Start from HANDLE_STORE_OPTIONS_INIT, which holds
 * every default. The names of handle_store_set are the members' names, "defrag." in front of those
 * of the inner struct.
 */
struct handle_store_options {
    /**
     * sizeof of the caller's struct: set by the initialiser. A caller that was built with an
     * earlier header has a smaller struct: the members that it does not have keep their defaults.
     * What a later header has added must be 0
     */
    size_t struct_size;

    /* at creation only */
    /** Copied; in texts, labels and thread names. 0 to 31 bytes; default "store" */
    const char *name;
    /**
     * Canaries, poisoned free memory, guard pages, checks at every entry: see MISUSE above. Default
     * no
     */
    bool hardened;
    /**
     * Address range for objects: 1 MiB to 1 TiB, rounded up to 64 KiB, all of it reserved at once,
     * and half as much for handles. 0: a store begins with 16 MiB, and extends them in place while
     * it grows: up to four times the physical memory (at least 64 GiB, at most 1 TiB), or its share
     * of 64 TiB where a process has hundreds of stores (4 GiB for each of 10,000). Reservations of
     * one store stay within a quarter of RLIMIT_AS and RLIMIT_DATA, and of what a kernel that
     * overcommits nothing (vm.overcommit_memory 2) commits to. Where others lie above, the store
     * goes on with what it has: see HANDLE_ALLOC_FAILURE_ARENA_SMALL. Get tells how far it may grow
     */
    uint64_t arena_bytes;
    uint32_t alignment; /**< of every object: 8 (default), 16 or 64 bytes */
    /**
     * Called when an allocation finds max_bytes reached, before it fails, in the allocating thread,
     * with no lock of the library held; may free objects. The caller's own locks are held, and its
     * section is open: what a section forbids is forbidden, and evicting what one of those locks
     * guards can deadlock. Allocations that it makes are refused without asking it again. bytes:
     * what is missing.
     */
    void (*pressure)(void *opaque, handle_store *store, size_t bytes);
    /**
     * Called with one line of text for what no return value can say: a damaged header, a bad option
     * value, misuse. No lock of the library is held, except before an abort (MISUSE above). NULL:
     * the line goes to stderr. A header that was damaged is reported when something reads it:
     * compaction, a walk, handle_store_check, size, resize and relocate. A free need not wait for
     * the header to come from memory: it reads it on its slow path alone (hardened stores: each
     * does). With every object damaged, of up to 1 KiB (of 4 KiB), 1 to 9 percent (12 to 16) of
     * many frees in a row reported it; 0 to 3 (6 to 14) in bursts of 1000 that came again and
     * again; by turns with allocations 1 to 3 (12 to 17), free_now less than 0.01 (0.05).
     * What compaction finds is reported by a thread that is registered with the flavour, and
     * online: the callback can open sections, must not register, and makes no call that waits for a
     * GP, since a fork waits for the callback.
     */
    void (*error)(void *opaque, const char *message);
    void *opaque; /**< first argument of these, and of `cells` */

    /* at any time, through handle_store_set */
    /**
     * Limit on committed bytes; 0: none (default); else at least 4 MiB. One 32nd of it, 128 KiB to
     * 1 MiB, is kept back for compaction. Pages count when an object first needs them. Set below
     * what is committed, it empties threads' caches, and until committed is below it allocations
     * are refused (but those that a thread's own frees have just made room for): a program that
     * evicts when it is refused gets there
     */
    uint64_t max_bytes;
    /**
     * Empty spans wait this long for reuse before their pages go back to the kernel, a quarter of
     * it while they are more than 0.5 % of what is committed: 0 (at once) to 3600000; -1: never.
     * Default 200
     */
    int64_t purge_delay_ms;
    enum handle_hugepages hugepages; /**< by name: never, advise, always, dense. Default never */
    /**
     * Free slots a thread may cache in this store: 0 to 64 MiB. Default 1 MiB. Not more than a
     * 64th of max_bytes. Where many threads use the store each may cache less: an even share of one
     * half of thread_cache_total_bytes, but no less than a quarter of this
     */
    uint64_t thread_cache_bytes;
    /** All threads' together: 0 to 1 TiB. Default 16 MiB. Not more than a 16th of max_bytes */
    uint64_t thread_cache_total_bytes;
    struct {
        bool enabled; /**< background compaction. Default yes */
        /**
         * Waste below this is left alone: 0 to 1 TiB. Default 1 MiB. A store at rest is compacted
         * once more, down to a quarter of this and of the next
         */
        uint64_t ignore_bytes;
        /**
         * Compaction starts when waste exceeds this share of the live spans: 0 to 100, not above
         * upper (raise that first). Default 1
         */
        uint32_t threshold_lower_percent;
        /**
         * Waste at which it works with cpu_max_percent; between the two thresholds the effort grows
         * linearly: 0 to 100. Default 1: no such range
         */
        uint32_t threshold_upper_percent;
        /**
         * Of one core, at the lower threshold, if that is not the upper one, too: 1 to 100, not
         * above max. Default 5
         */
        uint32_t cpu_min_percent;
        uint32_t cpu_max_percent; /**< of one core, at the upper threshold: 1 to 100. Default 50 */
        /** Length of one slice of work: 50 to 100000 microseconds. Default 500 */
        uint32_t slice_us;
        /**
         * No compaction while a forked child shares the pages: until it exits, executes or destroys
         * its store; the first 8 children at once are watched. Default yes. Except at max_bytes,
         * see next
         */
        bool pause_while_forked;
        /**
         * While compaction pauses for a child, an allocation that max_bytes refuses makes it work
         * all the same, until it has written to so many bytes of pages shared with children: each
         * such page is copied by the kernel. What would cost more it leaves where it is, and works
         * on what has been written to since the fork. Counted anew when no child lives. 0: it
         * pauses then, too; to 1 TiB; -1 (default): a tenth of max_bytes
         */
        int64_t fork_copy_bytes;
    } defrag;
    /**
     * At creation only. What a core of the process holds of the store, the kernel's or one that a
     * debugger takes; by name: full (default), metadata, none. What the store has reserved and
     * never used is in no core
     */
    enum handle_core core;
    uint32_t reserved; /**< 0 */
    /** At any time: the profile of handle_store_profile. */
    struct {
        /**
         * A sample of the allocations is kept with their stacks, from here on until it is no again:
         * what was drawn stays known. Takes up to 10 MiB, part of metadata. Default no
         */
        bool enabled;
        /**
         * One object of so many requested bytes is drawn, on average: 64 to 1 GiB; 0 (default): a
         * 16384th of what is committed, 4 KiB to 2 MiB
         */
        uint64_t sample_bytes;
    } profile;

    /* at creation only */
    /**
     * Says where the cells of an object made with HANDLE_CELLS lie ("cells inside objects", below);
     * NULL (default): the store has none such. size: the object's, as requested. Called at any
     * time, by any thread, with locks held: looks at the object's bytes and nothing else, above all
     * calls nothing of the library (waits and walks are refused meanwhile). What it looks at is
     * constant, or changed only by the cells' writer; of an object that is all zero the answer is
     * right, too. An answer outside of the object, or a call of the store, is reported by the error
     * callback, and the object stays where it is, and cannot be freed or resized.
     */
    struct handle_cells (*cells)(void *opaque, const void *object, size_t size);
};
/* clang-format off */
#ifdef __cplusplus
static inline struct handle_store_options
handle_store_options_init_(void)
{
    struct handle_store_options options = handle_store_options();
    options.struct_size = sizeof(options);
    options.name = "store";
    options.alignment = 8;
    options.purge_delay_ms = 200;
    options.hugepages = HANDLE_HUGEPAGES_NEVER;
    options.thread_cache_bytes = 1u << 20;
    options.thread_cache_total_bytes = 16u << 20;
    options.defrag.enabled = true;
    options.defrag.ignore_bytes = 1u << 20;
    options.defrag.threshold_lower_percent = 1;
    options.defrag.threshold_upper_percent = 1;
    options.defrag.cpu_min_percent = 5;
    options.defrag.cpu_max_percent = 50;
    options.defrag.slice_us = 500;
    options.defrag.pause_while_forked = true;
    options.defrag.fork_copy_bytes = -1;
    options.core = HANDLE_CORE_FULL;
    return options;
}
#define HANDLE_STORE_OPTIONS_INIT handle_store_options_init_()
#else
#define HANDLE_STORE_OPTIONS_INIT \
    {.struct_size = sizeof(struct handle_store_options), .name = "store", .alignment = 8, \
     .purge_delay_ms = 200, .hugepages = HANDLE_HUGEPAGES_NEVER, \
     .thread_cache_bytes = 1u << 20, .thread_cache_total_bytes = 16u << 20, \
     .defrag = {.enabled = true, .ignore_bytes = 1u << 20, .threshold_lower_percent = 1, \
                .threshold_upper_percent = 1, .cpu_min_percent = 5, .cpu_max_percent = 50, \
                .slice_us = 500, .pause_while_forked = true, .fork_copy_bytes = -1}, \
     .core = HANDLE_CORE_FULL}
#endif
/* clang-format on */

/** What a compaction did, or (estimate) would do. Sums over the call, not over the store's life. */
struct handle_defrag_report {
    size_t
        struct_size; /**< sizeof of the caller's struct; what of it is not known stays as it is */
    uint64_t live_bytes; /**< bytes of occupied slots in spans of movable objects, at the end */
    uint64_t span_bytes; /**< bytes of those spans, at the end */
    /** Span bytes that a perfect compaction would still free, at the end */
    uint64_t recoverable_bytes;
    uint64_t moved_objects; /**< estimate: objects that would have to be moved */
    /** Estimate: bytes that would have to be moved (slots, headers included) */
    uint64_t moved_bytes;
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
#ifdef __cplusplus
static inline struct handle_defrag_report
handle_defrag_report_init_(void)
{
    struct handle_defrag_report report = handle_defrag_report();
    report.struct_size = sizeof(report);
    return report;
}
#define HANDLE_DEFRAG_REPORT_INIT handle_defrag_report_init_()
#else
#define HANDLE_DEFRAG_REPORT_INIT {.struct_size = sizeof(struct handle_defrag_report)}
#endif
/* clang-format on */

/** A version of an object that nobody sees yet; between update_begin and commit or abort. Owned by
 * the caller. */
struct handle_update {
    void *object; /**< the new version, to be filled; valid until commit or abort, sections aside */
    uint64_t reserved[7];
};

/**
 * An object that nobody sees yet; between handle_reserve and publish or abort. Owned by the caller,
 * and not copied: which of two copies was published is known to neither.
 */
struct handle_reserved {
    void *object; /**< to be filled; valid until publish or abort, sections aside */
    uint64_t reserved[5];
};

/** What handle_store_each shows of an object. Valid during the visit. */
struct handle_object {
    handle_t handle; /**< HANDLE_NULL for an object named by a cell */
    /** NULL for an object named by a handle. Its memory may change hands after the visit */
    const handle_cell *cell;
    const void *data;
    size_t size;    /**< as requested */
    uint32_t tag;   /**< of the cell; 0 for handles */
    uint32_t flags; /**< HANDLE_UNMOVABLE, HANDLE_CELLS or 0 */
};

/* ---- life cycle ------------------------------------------------------------------------------ */

/*
 * How to read the texts from here on. Sizes are bytes as requested, 0 included. Where a call may
 * stand, whether it may block, and whether its thread must be registered, is in the table at the
 * head. Any number of threads may make any calls at once; what the application has to serialise is
 * said. "Errors" are returned by int functions and set in errno by the others; EINVAL for a NULL
 * store is not repeated, nor that a failed call has changed nothing.
 */

/**
 * Makes a store for one RCU flavour. The library links no flavour: the caller's is passed in.
 * Starts the flavour's grace-period thread (once in a process). A thread that compacts is there
 * while something can be gained: the grace-period thread starts it when enough was freed, and it
 * ends after a second without work. Where none can be started then, the error callback is told,
 * once, and it is tried again. So a store at rest has no thread, and four mappings: its tables,
 * the metadata in use, what is not in use, and its arena; a program with many stores raises
 * vm.max_map_count, not its number of threads. The library's threads block all signals, have stacks
 * of 512 KiB, and run as SCHED_OTHER on the cores that the process's first thread had when the
 * library was loaded, whatever the thread that makes the store does; their nice value is that of
 * the thread that makes the flavour's first store.
 *
 *   options  NULL: all defaults. Read during the call only; `name` is copied. The struct of a
 *            program built with an older version is shorter: what it lacks has its default
 *   flavor   not NULL; stays valid for the life of the process
 *   result   the store, until handle_store_destroy; NULL on error
 *   errors   EINVAL: flavor is NULL, struct_size is too small, or an option is out of range (the
 *            error callback names option, value and range); ENOMEM: address space or memory;
 *            EAGAIN: a thread could not be started; EDEADLK: inside a section; ENOTSUP: the
 *            kernel's pages are not of 4, 16 or 64 KiB (or not of the size that the library was
 *            built for), or it gives no addresses below 2^48
 *
 * Programs carry the inline functions of this header, which know words of the store: so they say
 * which version of it they were compiled with. Until 1.0 major and minor version have to be the
 * library's; else EINVAL, with a line on standard error (another version's options may have the
 * callback elsewhere). The loader refuses such a program before it runs, since the library's soname
 * has both numbers; this is for what is linked statically. Languages that cannot inline C call this
 * function with the version that they were written for.
 */
HANDLE_MUST_USE HANDLE_API handle_store *
handle_store_create_version(const struct handle_store_options *options,
                            const struct rcu_flavor_struct *flavor, uint32_t header_major,
                            uint32_t header_minor);

/** handle_store_create_version with the version of this header. */
HANDLE_MUST_USE static inline handle_store *
handle_store_create_flavor(const struct handle_store_options *options,
                           const struct rcu_flavor_struct *flavor)
{
    return handle_store_create_version(options, flavor, HANDLE_VERSION_MAJOR, HANDLE_VERSION_MINOR);
}

/*
 * The flavour whose header was included before this one. <urcu.h>, <urcu-qsbr.h> and <urcu-bp.h>
 * give its functions the names without a flavour, rcu_flavor among them. <urcu/urcu-memb.h> and its
 * like do not; which of them came shows by their include guards. After none or several of these,
 * define HANDLE_FLAVOR, or use handle_store_create_flavor.
 */
#ifndef HANDLE_FLAVOR
#if defined(rcu_flavor)
#define HANDLE_FLAVOR rcu_flavor
#elif defined(_URCU_SIGNAL_H) /* is no flavour that the library is tested with */
#elif defined(_URCU_MEMB_H) + defined(_URCU_MB_H) + defined(_URCU_QSBR_H) + defined(_URCU_BP_H) == 1
#if defined(_URCU_MEMB_H)
#define HANDLE_FLAVOR urcu_memb_flavor
#elif defined(_URCU_MB_H)
#define HANDLE_FLAVOR urcu_mb_flavor
#elif defined(_URCU_QSBR_H)
#define HANDLE_FLAVOR urcu_qsbr_flavor
#else
#define HANDLE_FLAVOR urcu_bp_flavor
#endif
#endif
#endif

#ifdef HANDLE_FLAVOR
/** handle_store_create_flavor with the flavour whose header was included before this one. */
HANDLE_MUST_USE static inline handle_store *
handle_store_create(const struct handle_store_options *options)
{
    return handle_store_create_flavor(options, &HANDLE_FLAVOR);
}
#else
/* A call does not compile, and says why. */
handle_store *handle_store_create(const struct handle_store_options *options) HANDLE_NO_FLAVOR;
#endif

/**
 * Ends the store with all its objects. Waits for limbo and stops the defragmenter. No other thread
 * may use the store any more, except thread exit, which is safe at any time. Cells that named
 * objects of the store are left as they are: dangling. Reserved objects that were neither published
 * nor aborted go, too; in the process that reserved them the error callback is told how many.
 *
 *   result   0; the store is gone
 *   errors   EBUSY: pins or updates are held, the store goes on as before; EDEADLK: inside a
 *            section
 */
HANDLE_API int handle_store_destroy(handle_store *store);

/**
 * Frees every object that is named by a handle when the call begins, retired ones included, each
 * as if by handle_free (one allocated or published meanwhile may go, too). Objects named by cells
 * stay, and reserved ones; what cells inside the freed ones name goes with them, a whole tree in
 * one section, for which grace periods wait. handle_free may race with it, handle_free_now may not.
 * Time grows with the largest number of handles there ever was.
 * Result: 0.
 */
HANDLE_API int handle_store_clear(handle_store *store);

/**
 * Changes an option while the store works; takes effect at once.
 *
 *   name     of the member, "defrag." in front of the inner ones: "defrag.cpu_max_percent"
 *   value    a decimal number; byte counts may end in K, M, G, T (powers of 1024); switches are yes
 *            and no; hugepages is never, advise, always or dense
 *   result   0
 *   errors   EINVAL: NULL, an unknown name, an option that is for creation only, or a value out of
 *            range (the error callback gets name, value and range); EBUSY: defrag.enabled is set
 *            while the store is being destroyed
 */
HANDLE_CHECK HANDLE_API int
handle_store_set(handle_store *store, const char *name, const char *value);

/**
 * Writes an option's present value as handle_store_set would take it, without suffixes.
 *
 *   value    room for `size` bytes, the closing 0 included; 32 are always enough
 *   result   0
 *   errors   EINVAL: an unknown name, or NULL; ENOSPC: it does not fit, nothing is written
 */
HANDLE_API int handle_store_get(handle_store *store, const char *name, char *value, size_t size);

/** The library's version, "major.minor.patch": a static string. Any time, by anyone. */
HANDLE_API const char *handle_version(void);

/* ---- objects by handle ----------------------------------------------------------------------- */

/**
 * Allocates an object with undefined contents; it is live at once, for whoever knows the handle.
 * Fill it through handle_deref_mut, or use handle_alloc_object, which saves the second look.
 * Never waits for a GP or for compaction; at max_bytes it runs the pressure callback.
 *
 *   size     0 to the arena's size. Up to 64 KiB less the header: a slot of the next size class;
 *            above: pages of its own, which compaction does not move
 *   result   the handle, never issued before in this store; HANDLE_NULL on error
 *   errors   ENOMEM: max_bytes is reached and nothing will come back by itself, or no run of the
 *            arena is long enough, or the kernel refused (alloc_failure_reason in the statistics);
 *            EAGAIN: max_bytes is reached, limbo or
 *            compaction will help: handle_store_reclaim, then try again; EINVAL: larger than the
 *            arena
 */
HANDLE_MUST_USE HANDLE_API handle_t handle_alloc(handle_store *store, size_t size);

/**
 * handle_alloc that also gives the object's address, for filling it.
 *
 *   flags    0 or HANDLE_ZERO; and with it HANDLE_UNMOVABLE, or HANDLE_CELLS, or neither
 *   object   NULL, or where to put the address: for reading and writing, until the section ends;
 *            NULL on error
 *   result, errors  as handle_alloc; EINVAL also for an unknown flag, for HANDLE_CELLS with
 *            HANDLE_UNMOVABLE, and for HANDLE_CELLS in a store without the option cells
 */
HANDLE_MUST_USE HANDLE_API handle_t handle_alloc_object(handle_store *store, size_t size,
                                                        unsigned flags, void **object);

/**
 * handle_alloc_object, n times in one call: for loading many. To others it is n calls: objects
 * appear one after the other.
 *
 *   sizes    n, as handle_alloc
 *   flags    of all of them, as handle_alloc_object
 *   handles  room for n. Those behind the result become HANDLE_NULL
 *   objects  NULL, or room for n addresses; NULL behind the result
 *   n        any number, 0 included
 *   result   how many were allocated, the first so many; less than n: errno says why the next was
 *            not. They stay: free them, or go on behind them once there is memory
 *   errors   as handle_alloc_object; EINVAL, and nothing is written, also where sizes or handles is
 *            NULL
 */
HANDLE_CHECK HANDLE_API size_t handle_alloc_many(handle_store *store, const size_t *sizes,
                                                 unsigned flags, handle_t *handles, void **objects,
                                                 size_t n);

/**
 * Size of an object as requested. 0 for a stale handle, HANDLE_NULL, a NULL store, and for an
 * object of size 0: tell them apart by deref. Reads the object's header, a cache line that deref
 * does not touch; tries again while the object is being replaced (G2).
 */
HANDLE_API size_t handle_size(const handle_store *store, handle_t handle);

/**
 * The largest size that takes no more memory than this one: what the same slot serves, or the same
 * pages. What grows by and by is best made so large. 0 for a NULL store, and above the arena.
 */
HANDLE_API size_t handle_good_size(const handle_store *store, size_t size);

/**
 * The largest size that handle_resize gives an object where it lies, in memory that is its own
 * already, or behind it by handle_resize_reserve; in a hardened store its size, since there each
 * resize is a new slot. (Above 64 KiB a resize may find more behind it.) 0 for what handle_size
 * answers 0 for, but for size 0.
 */
HANDLE_API size_t handle_capacity(const handle_store *store, handle_t handle);

/**
 * Whether an object lies where compaction would move it away, and how little lies beside it: of
 * objects that may go equally well, evict that with the largest answer. Its memory is then given
 * back without a move, and those beside it have less to be moved.
 *
 *   result   the free share of its span of memory, in percent, 1 to 99, if that is one of those too
 *            many for the objects of its size, which compaction empties, the sparsest first (100 is
 *            possible while others free what is there); else 0: of large and unmovable objects,
 *            where it or one beside it is pinned, and for a stale or retired handle, HANDLE_NULL, a
 *            NULL store
 *   cost     about 150 instructions, of counters; the object is not touched, nothing is locked. So
 *            it is a guess: others allocate and free meanwhile, and what threads cache and what is
 *            in limbo counts as taken. In a store that has no more spans than it needs all answers
 *            are 0
 */
HANDLE_API uint32_t handle_sparsity(const handle_store *store, handle_t handle);

/**
 * Address of an object for writing: a pending move of it is cancelled, and no new one takes effect
 * before the section ends. Never waits (G3). The application serialises it with handle_resize and
 * updates of the same object: what is written into a version that is being replaced is lost.
 *
 *   result   the address, until the section ends; resolve again after it before reading through an
 *            address from earlier in the section. NULL for a stale handle, HANDLE_NULL, a NULL
 *            store; errno is left alone
 *   order    acquire, as handle_deref
 */
HANDLE_API void *handle_deref_mut(handle_store *store, handle_t handle);

/**
 * Resolves n handles with their cache misses overlapping.
 *
 *   objects  room for n addresses: objects[i] becomes what handle_deref(store, handles[i]) gives,
 *            NULL for a stale handle; each until the section ends
 *   n        any number, 0 included
 *   result   how many were live; 0, and nothing written, where a pointer is NULL
 */
HANDLE_API size_t handle_deref_many(const handle_store *store, const handle_t *handles,
                                    const void **objects, size_t n);

/**
 * Frees an object that readers may still see: they keep it until their sections end, pinners until
 * they unpin. The handle is stale from here on, for ever. Any number of threads may race to free
 * one handle, exactly one gets 0 (G4). Needs no memory, waits for nothing.
 *
 *   result   0
 *   errors   ENOENT: stale, HANDLE_NULL, or no handle of this store; EBUSY: cells inside it name
 *            objects; EINVAL: the option cells lies about it
 *   order    release: what the caller wrote before is written before the slot is used again
 */
HANDLE_API int handle_free(handle_store *store, handle_t handle);

/**
 * handle_free, n times in one call: for evicting many. Cache misses of their entries overlap.
 *
 *   handles  n; stale ones, HANDLE_NULL and one twice are passed over
 *   result   how many this call freed; 0 where a pointer is NULL
 *   order    as handle_free, each
 */
HANDLE_API size_t handle_free_many(handle_store *store, const handle_t *handles, size_t n);

/**
 * A free that takes effect a grace period later. Until then sections resolve the handle: those that
 * are open now, and may have read it from another object, do so to their end. So lists and trees by
 * handles work as with pointers and call_rcu, and need no record of their own. To unlink one:
 *
 *       under the writers' lock:
 *           link in its neighbour = its own link     (release)
 *           handle_retire(store, its handle)
 *
 * First out of reach, then retired: sections that begin later do not find it, and those that are in
 * it go on by its links, which nobody changes any more. From the call on it is there for readers
 * only: handle_deref, handle_deref_many and handle_size answer as before, deref_mut, pin, update
 * and resize as for a stale handle, and a walk leaves it out. A pin that was taken before, or an
 * update's, keeps the object to its end. It counts as freed, and with limbo (twice as long as by
 * handle_free: the memory waits for the grace period after). Allocates nothing, waits for nothing.
 * In a forked child it stays as it is, as limbo does.
 *
 *   result   0; of several that retire or free one handle at a time one gets it
 *   errors   ENOENT: stale, retired already, HANDLE_NULL, or no handle of this store. handle_free
 *            after it answers 0, once: the handle is stale from then on, at once
 *   order    release, as handle_free
 */
HANDLE_API int handle_retire(handle_store *store, handle_t handle);

/**
 * Frees an object that nobody else can resolve or holds: its memory is reusable at once, so that an
 * address of it must not be used after the call, not even in the same section. The caller is the
 * only one who uses this handle. (An object that is pinned, is being moved, or is met by a walk is
 * retired as by handle_free instead.) Result and errors as handle_free.
 */
HANDLE_API int handle_free_now(handle_store *store, handle_t handle);

/**
 * Changes an object's size under the same handle; contents are kept up to the smaller size, what
 * is added is undefined. Readers see the old object or the new one, both complete. The application
 * serialises it with those who write the object (handle_deref_mut, handle_pin_mut).
 *
 *   size     as handle_alloc
 *   result   0. Addresses resolved before may be of the old object, a frozen copy until their
 *            sections end or they are unpinned: resolve again
 *   cost     above 64 KiB an object grows and shrinks where it lies while memory behind it is free
 *            (never in a hardened store); one that moves because it grows gets address space for
 *            as much again, so that appending n bytes piece by piece copies O(n). What is cut off
 *            counts as limbo for a grace period
 *   errors   ENOENT: stale, or freed meanwhile; EBUSY: pinned for writing; ENOMEM, EAGAIN: as
 *            handle_alloc; EINVAL: larger than the arena, or the header is damaged
 */
HANDLE_CHECK HANDLE_API int handle_resize(handle_store *store, handle_t handle, size_t size);

/**
 * handle_resize that also keeps address space behind the object, for one that will grow to a known
 * size, be it from nothing: up to `capacity` bytes handle_resize then leaves it where it lies and
 * copies nothing, whatever is allocated meanwhile. Memory is taken as it grows, so that max_bytes
 * may refuse that (handle_store_prepare sets it aside), and given back as it shrinks.
 *
 * The capacity is kept until a further call, or until the object is resized beyond it. A new
 * version by handle_update_begin has none. A resize while the object is pinned copies it, and the
 * capacity goes with it. In a hardened store, where each resize is a copy, it has no effect.
 *
 *   capacity  bytes, at most the arena. Less than `size`: none is kept (any more). Up to 64 KiB
 *             less the header: the same, since there a slot's room is what there is
 *             (handle_good_size)
 *   cost      a kept capacity takes 1 KiB of memory for each MiB, and address space of the arena,
 *             which no other object gets. That memory stays charged to the store (`metadata`) when
 *             the capacity is given up, and serves the next objects that lie there. An object with
 *             a capacity above 64 KiB has pages of its own, however small it is
 *   result, errors  as handle_resize; ENOMEM also where the arena has no run so long, EAGAIN if a
 *             large object that ended has still to give its run back; EINVAL: capacity too is
 *             larger than the arena
 */
HANDLE_CHECK HANDLE_API int
handle_resize_reserve(handle_store *store, handle_t handle, size_t size, size_t capacity);

/**
 * Begins a new version of an object, in memory that nobody else sees. The version seen stays pinned
 * until commit or abort, which may come in a later section and from another thread.
 *
 *   size     of the new version, as handle_alloc. HANDLE_UNMOVABLE and a cell's tag carry over
 *   update   the caller's; is written in every case, and must be one that is not under way
 *   result   the new version for filling, contents undefined; until commit or abort, sections
 *            aside; NULL on error: there is nothing to abort
 *   errors   ENOENT: stale; ENOMEM, EAGAIN: as handle_alloc, also for the pin; EINVAL: update is
 *            NULL, or larger than the arena
 */
HANDLE_CHECK HANDLE_API void *handle_update_begin(handle_store *store, handle_t handle, size_t size,
                                                  struct handle_update *update);

/**
 * Publishes the new version under the same handle (or in the same cell), atomically: readers see
 * either version complete. The old one is freed as by handle_free. The update is over in every
 * case, and on failure its version is gone. A move of the old version is never a conflict. Commits
 * to one handle may race, with each other and with handle_free; a commit to a CELL is one of its
 * writers, to be serialised with the others (see "objects by cell").
 *
 *   result   0
 *   errors   ENOENT: the object was freed meanwhile (the cell: emptied); EAGAIN: another version
 *            was committed, or the object resized, since begin; EINVAL: no update of this store is
 *            under way
 *   order    release: whoever resolves the new version sees what was written into it
 */
HANDLE_CHECK HANDLE_API int handle_update_commit(handle_store *store, struct handle_update *update);

/** Drops the new version, and the pin on the one seen. An update that is over is left alone. Writes
 * nothing that readers or other writers look at. */
HANDLE_API void handle_update_abort(handle_store *store, struct handle_update *update);

/**
 * Resolves a handle for longer than the section: the object stays where it is until handle_unpin.
 * Pins nest, up to 2^29 - 1 on one object. If the object is freed, resized or updated meanwhile,
 * the pinned version stays, readable, until its last unpin. Pins hinder compaction: hold them for
 * I/O, not for convenience.
 *
 *   result   the address, until the matching handle_unpin, by whichever thread
 *   errors   ENOENT: stale; ENOMEM, EAGAIN: as handle_alloc, for the few bytes that a pinned object
 *            takes until its last unpin (a page, now and then). ENOMEM too when as many objects are
 *            pinned as there is room for beside the arena: 3,000 and one for each 8.3 KiB of it,
 *            five times as many where the pinned lie next to one another
 */
HANDLE_MUST_USE HANDLE_API const void *handle_pin(handle_store *store, handle_t handle);

/** handle_pin for writing: until the last unpin of the object, handle_resize gives EBUSY. */
HANDLE_MUST_USE HANDLE_API void *handle_pin_mut(handle_store *store, handle_t handle);

/**
 * Ends one pin.
 *
 *   object   the address that the pin gave, exactly. One that is not pinned is reported through the
 *            error callback and otherwise ignored (hardened: see MISUSE)
 *   order    release: what the caller wrote or read before comes before the slot is moved or reused
 */
HANDLE_API void handle_unpin(handle_store *store, const void *object);

/* ---- reserve, fill, publish ------------------------------------------------------------------ */

/*
 * A new object in three steps, of which the last one shows it to others: whole, under its name, and
 * in a cell with its tag.
 *
 *     struct handle_reserved new_item;
 *     struct item *item = handle_reserve(store, size, 0, &new_item); // no lock, no section is held
 *     if (!item)
 *         return errno; // EAGAIN, ENOMEM: wait or evict here, then again
 *     fill(item);
 *     rcu_read_lock();
 *     lock(bucket);
 *     int error = handle_cell_publish(store, &bucket->cell[i], &new_item, tag); // takes no memory
 *     unlock(bucket);
 *     rcu_read_unlock();
 *
 * So what can be refused for want of memory stands outside of locks and sections. (handle_publish
 * may be refused once more, for the handle table: so call it there, too, and link the handle under
 * the lock; nobody else knows it before.) A reserved object counts as a live one (objects_reserved
 * in the statistics), and against max_bytes; a walk leaves it out, handle_store_clear leaves it
 * alone, and compaction does not move it: hold it as long as it takes to fill it. It survives
 * sections, and any thread may publish or abort it, one at a time. After fork() parent and child
 * have one each, to be published or aborted in each.
 */

/**
 * Takes memory for an object that nobody sees until it is published.
 *
 *   size      as handle_alloc
 *   flags     as handle_alloc_object
 *   reserved  the caller's; is written in every case, and must be one that is not under way
 *   result    the object for filling, until publish or abort, sections aside: zero with
 *             HANDLE_ZERO or HANDLE_CELLS, else contents undefined; NULL on error: there is nothing
 *             to publish or to abort
 *   errors    EINVAL: reserved is NULL, flags as handle_alloc_object, or larger than the arena;
 *             ENOMEM, EAGAIN: as handle_alloc
 */
HANDLE_CHECK HANDLE_API void *
handle_reserve(handle_store *store, size_t size, unsigned flags, struct handle_reserved *reserved);

/**
 * Makes a reserved object live, under a handle of its own. The reservation is over; on error it is
 * as it was, to be published later, or aborted.
 *
 *   result   the handle, as of handle_alloc; HANDLE_NULL on error
 *   errors   EINVAL: nothing of this store is reserved there (never, any more, or by another one);
 *            ENOMEM, EAGAIN: as handle_alloc, for the handle table, a page of which is taken with
 *            one in 512 handles
 *   order    release: whoever resolves the handle sees what was written into the object
 */
HANDLE_MUST_USE HANDLE_API handle_t handle_publish(handle_store *store,
                                                   struct handle_reserved *reserved);

/**
 * Makes a reserved object live, in a cell: an empty one, or in the place of the object that the
 * cell names, which is freed as by handle_cell_free. Readers of the cell find what was there
 * before, or the new object with its tag, each whole, and never an empty cell in between. Pins
 * nothing and takes no memory. It is a writer of the cell (see "objects by cell"). An update that
 * was begun on the object that is replaced answers EAGAIN at its commit.
 *
 *   cell     as for handle_cell_alloc, but that it may name an object of this store
 *   tag24    the cell's tag from here on: 0 to 0xffffff
 *   result   0, and the reservation is over; on error it is as it was
 *   errors   EINVAL: nothing of this store is reserved there, the cell's address, or the tag
 *   order    release: whoever finds the object in the cell sees what was written into it
 */
HANDLE_CHECK HANDLE_API int handle_cell_publish(handle_store *store, handle_cell *cell,
                                                struct handle_reserved *reserved, uint32_t tag24);

/**
 * Gives a reserved object back: its memory is reusable at once, that of one with cells a GP later.
 * A reservation that is over (was
 * published, aborted, or failed), or of another store, is left alone. What is neither published
 * nor aborted goes with the store: handle_store_destroy says by the error callback how many.
 */
HANDLE_API void handle_reserved_abort(handle_store *store, struct handle_reserved *reserved);

/* ---- objects by cell ------------------------------------------------------------------------- */

/*
 * All cell calls stand inside a section. Readers of a cell need only that. WRITERS of one cell are
 * serialised by the application (its bucket's lock); they are
 *
 *   handle_cell_alloc, _publish, _set_tag, _free, _free_now, _retire, _resize, _resize_reserve,
 *   _relocate and _unlink (of both cells), _alloc_many and _free_many (of each cell), and
 *   handle_update_commit of an update that was begun on the cell.
 *
 * handle_cell_deref_mut, _pin, _update_begin and handle_update_abort are no writers in this sense;
 * what deref_mut's text says of resize and update holds for cells too. Relocating, freeing,
 * retiring or unlinking a cell ends the updates begun on it: their commit answers ENOENT.
 *
 * An empty cell answers like a stale handle (NULL, ENOENT). A NULL cell or store: EINVAL, NULL or
 * 0; for cell_deref and cell_read undefined. What is not said here is as in the handle call of the
 * same name: sizes, errors, lifetimes, order.
 */

/**
 * Allocates an object named by an empty cell; its tag is 0.
 *
 *   cell     8-byte aligned, below 2^48, outside the store's memory or one of an object made with
 *            HANDLE_CELLS; its memory stays readable until a GP after it was emptied
 *   flags    as handle_alloc_object
 *   result   the object, for filling it until the section ends; NULL on error
 *   errors   EEXIST: the cell is not empty; EINVAL: the cell's address, a flag, or larger than the
 *            arena; ENOMEM, EAGAIN: as handle_alloc
 */
HANDLE_CHECK HANDLE_API void *
handle_cell_alloc(handle_store *store, handle_cell *cell, size_t size, unsigned flags);

/**
 * handle_cell_alloc, n times, as handle_alloc_many. Cells behind the result are as they were.
 *
 *   cells    n, each to be filled; one that is not empty ends it (EEXIST)
 *   objects  NULL, or room for n addresses; NULL behind the result
 *   errors   as handle_cell_alloc; EINVAL, and nothing is written, also where cells or sizes is
 *            NULL
 */
HANDLE_CHECK HANDLE_API size_t handle_cell_alloc_many(handle_store *store,
                                                      handle_cell *const *cells,
                                                      const size_t *sizes, unsigned flags,
                                                      void **objects, size_t n);

/**
 * Address and tag from one load: they belong together.
 *
 *   tag      NULL, or where to put it; 0 is stored for an empty cell
 *   result   the object for reading, until the section ends; NULL for an empty cell
 *   order    acquire; pairs with handle_cell_set_tag too
 */
HANDLE_API const void *
handle_cell_read(const handle_store *store, const handle_cell *cell, uint32_t *tag);

/** As handle_deref_mut. */
HANDLE_API void *handle_cell_deref_mut(handle_store *store, handle_cell *cell);

/** As handle_deref_many; no element of cells is NULL. */
HANDLE_API size_t handle_cell_deref_many(const handle_store *store, handle_cell *const *cells,
                                         const void **objects, size_t n);

/** As handle_size. */
HANDLE_API size_t handle_cell_size(const handle_store *store, const handle_cell *cell);

/** As handle_capacity. */
HANDLE_API size_t handle_cell_capacity(const handle_store *store, const handle_cell *cell);

/** As handle_sparsity. */
HANDLE_API uint32_t handle_cell_sparsity(const handle_store *store, const handle_cell *cell);

/**
 * Sets the cell's tag: 24 bits of the application's (part of a key's hash, say), kept by moves,
 * update, resize and relocate. A pending move is cancelled.
 *
 *   tag24    0 to 0xffffff
 *   result   0
 *   errors   EINVAL: above 0xffffff; ENOENT: the cell is empty
 *   order    acquire and release: whoever gets the new tag from handle_cell_read sees what the
 *            caller wrote before this call (into the object through deref_mut, say). Another
 *            cell's tag is not ordered with it
 */
HANDLE_CHECK HANDLE_API int
handle_cell_set_tag(handle_store *store, handle_cell *cell, uint32_t tag24);

/** As handle_free; the cell is empty afterwards, and may be filled again at once. */
HANDLE_API int handle_cell_free(handle_store *store, handle_cell *cell);

/** As handle_free_many; NULL and empty cells are passed over. */
HANDLE_API size_t handle_cell_free_many(handle_store *store, handle_cell *const *cells, size_t n);

/** As handle_free_now: no reader can hold the object or find the cell any more. */
HANDLE_API int handle_cell_free_now(handle_store *store, handle_cell *cell);

/** As handle_resize. */
HANDLE_CHECK HANDLE_API int handle_cell_resize(handle_store *store, handle_cell *cell, size_t size);

/** As handle_resize_reserve. */
HANDLE_CHECK HANDLE_API int
handle_cell_resize_reserve(handle_store *store, handle_cell *cell, size_t size, size_t capacity);

/**
 * Moves a reference from one cell to another, tag included; the object stays where it is, but is
 * only reached through `to` from here on. A reader that looks at both, `from` first, finds it in
 * one of them; a reader of one cell finds the object or an empty cell.
 *
 *   to       empty; what cell_alloc asks of an address
 *   result   0
 *   errors   ENOENT: from is empty; EEXIST: to is not; EINVAL: to's address, or the object's header
 *            is damaged
 *   order    release: `to` is filled before `from` is empty
 */
HANDLE_CHECK HANDLE_API int
handle_cell_relocate(handle_store *store, handle_cell *from, handle_cell *to);

/*
 * UNLINKING. A reader that has come to a node of a list, a chain or a tree goes on by what it finds
 * there until its section ends, also if the node is being unlinked. By what it has to be kept for
 * it depends on what links the node:
 *
 *   what links it, and what it holds           to unlink it, under the writers' lock
 *   -----------------------------------------  ----------------------------------------------------
 *   a handle, in other objects; links by       the link that named it = its own link (release);
 *     handle                                   handle_retire
 *   a pointer; the node is the application's,  the pointer that led to it = its own (release);
 *     and has a cell                           handle_cell_retire(its cell); call_rcu(node)
 *   a pointer; nodes, or arrays of cells, are  in one section: handle_cell_unlink each cell of the
 *     replaced whole (a tree's node is split   old one into the new one; the pointer = the new one
 *     or merged, a table grows)                (release). Then call_rcu(old one)
 *   a cell; its own link is a cell, too        handle_cell_unlink(its link, the cell that named
 *     (of an array by number, say)             it): in one step, the node is freed with it. Has it
 *                                              none: handle_cell_free of the cell that named it
 *   a cell, to be found by another one from    handle_cell_relocate; readers look at both, first
 *     now on (a table that grows by and by)    where it was
 *
 * A retired or unlinked cell is for handle_cell_deref, _read, _deref_many, _match and _tag: they
 * answer as before. For every other call it is an empty one (size and capacity are 0), but that
 * cell_alloc, relocate and unlink put nothing into it (EEXIST): who tries has come to a node that
 * is not linked any more. handle_cell_publish does: to put a new object in between, where a cell
 * leads to the next one, unlink that cell into the new object's own, and publish the new one in it,
 * in one section. A grace period after it is out of reach a cell's memory is the application's
 * again: to be freed by call_rcu, or used for another structure, its cells as HANDLE_CELL_INIT.
 */

/**
 * A free that readers of the cell do not see: those that are in the structure around it find the
 * object there until their sections end. FIRST out of reach, then retired: a section that begins
 * after the call must not find the cell, since what it finds there may be memory of another object.
 * The object counts as freed; pins and updates that others hold of it go on as after a free.
 * Needs no memory, waits for nothing.
 *
 *   cell     a writer of it, see above
 *   result   0
 *   errors   ENOENT: the cell is empty, or was retired or unlinked before
 *   order    release, as handle_cell_free
 */
HANDLE_API int handle_cell_retire(handle_store *store, handle_cell *cell);

/**
 * handle_cell_relocate for a structure that goes: readers that are in it find the object by `from`
 * as before, until their sections end; all others find it by `to`, in one step also in the place of
 * what `to` names, which is freed as by handle_cell_free. So in a chain of cells that leads by `to`
 * to B, and from B by `from` to C, C is the next one at once, B is freed, and those who stand on B
 * go on to C.
 *
 * A section that begins after the caller's has ended must not find `from`, and until it is out of
 * reach nobody, the caller neither, is a writer of `to` (what was freed there would not be kept for
 * those who come by `from` later). If it gets out of reach only after the call, it does so before
 * the caller leaves its section. While others still come to `from`, they can read the object and
 * not write it: handle_cell_deref_mut gives NULL, to be taken for "not there any more".
 *
 *   from     names an object; a writer of it, see above
 *   to       another cell: empty, or names an object of this store; what cell_alloc asks of an
 *            address
 *   result   0; the object's tag, and updates begun on `from` and on what `to` named: as by
 *            relocate and publish
 *   errors   ENOENT: from is empty, or was retired or unlinked before (`to` is as it was); EEXIST:
 *            to was; EINVAL: to's address, the same cell twice, or the object's header is damaged
 *   order    release: `to` is changed before `from`
 */
HANDLE_CHECK HANDLE_API int
handle_cell_unlink(handle_store *store, handle_cell *from, handle_cell *to);

/*
 * CELLS INSIDE OBJECTS. An object made with HANDLE_CELLS may have cells, where the option `cells`
 * says: so trees, chains and queues are followed at the speed of pointers, and compacted. It is the
 * parent of what they name. It moves as any object does, its cells with it.
 *
 *     struct item {
 *         handle_cell next;
 *         char text[];
 *     };
 *
 *     static struct handle_cells
 *     cells_of(void *opaque, const void *object, size_t size)
 *     {
 *         return (struct handle_cells){offsetof(struct item, next), 1};
 *     }
 *
 *     options.cells = cells_of;
 *     ...
 *     struct item *item = handle_cell_alloc(store, &bucket, size, HANDLE_CELLS);
 *
 * A READER resolves the parent, and what its cells name, in one section. If the parent moves
 * meanwhile, or gets another size, he is in its frozen copy, whose cells go on to name what they
 * named: children leave by a move only after his section. Of what a writer has done since it shows
 * nothing, and deref_mut, size (0), pin and update_begin by its cells are as good as by the others.
 *
 * A WRITER of one of its cells (see above for who is one) is the only writer of all cells of that
 * parent, and the only one to free, retire, resize or update the parent; and before he uses the
 * address of a cell he has resolved the parent by deref_mut, IN THE SAME SECTION, on the whole way
 * whose cells he changes:
 *
 *     struct item *first = handle_cell_deref_mut(store, &bucket);
 *     struct item *second = handle_cell_deref_mut(store, &first->next);
 *     int error = handle_cell_unlink(store, &second->next, &first->next); // frees the second
 *
 * After resize or a commit of the parent its cells lie elsewhere: resolve it again. A pinned parent
 * does not move (resize and updates aside; of pin_mut not by resize). The pin holds its bytes, not
 * what its cells name: that is to be found by the parent as it is now, in the section.
 *
 *   free, free_now, retire, cell_publish and cell_unlink in the place of a parent: EBUSY while a
 *       cell of it names an object, but for unlink's own `from`
 *   resize      what is added is zero; cells stay at their offsets; EBUSY if one that names an
 *               object would be none any more; never in place
 *   commit      takes the cells as they are then, over whatever the version has there; EBUSY as
 *               resize
 *   reserve     a reserved parent may be filled, its cells, too; abort frees what they name (and
 *               leaves the reservation as it is where the option lies)
 *   cell_update_commit   of what an inner cell names, in the place of update_commit
 *   clear       frees all that is reached from what it frees
 *   each        `cell` may be one inside an object
 *
 * An object has one name. So cells serve what owns, and another way to the same object is a handle,
 * or a way from the root:
 *
 *     chain, tree, queue     A -> B -> C            each is named by one cell
 *     list with both ways    A <=> B                prev: a handle, or the way from the head, since
 *                                                   no second cell names A
 *     leaves in a row        leaf => next leaf      named by their parent: down from the root
 *     LRU beside a table     bucket -> item         recency as bits beside the bucket, or a table
 *                                                   of handles
 *
 * A cycle of parents is out of reach and lives on, as with pointers. Costs: nothing where no object
 * has cells. Free and resize of those that do, and their allocation by handle, take slow paths; a
 * parent's move touches the headers of what its cells name.
 */

/** As handle_update_begin; commit (but for cells inside objects) and abort are the same calls for
 * both. Until then the cell's memory must stay. */
HANDLE_CHECK HANDLE_API void *handle_cell_update_begin(handle_store *store, handle_cell *cell,
                                                       size_t size, struct handle_update *update);

/**
 * handle_update_commit of an update that was begun on a cell. For a cell inside an object it is the
 * only way, since the object may have moved since begin: a writer of the cell, see above. For
 * others it is the same call.
 *
 *   cell     the cell that names the object: where it is now
 *   result, errors, order  as handle_update_commit; EINVAL, and the update goes on, also for a cell
 *            that is not the one of begin, nor inside an object as that was; EINVAL, and it is
 *            over, where the option cells answers wrongly, which is reported
 */
HANDLE_CHECK HANDLE_API int
handle_cell_update_commit(handle_store *store, handle_cell *cell, struct handle_update *update);

/**
 * As handle_pin, of what the cell names at the moment of the call. That may be another object than
 * a look before it found: look at its key once more, behind the pin. So an object that is looked up
 * in a bucket outlives the section:
 *
 *     rcu_read_lock();
 *     const struct item *item = handle_cell_match(store, cell, tag); // touches the bucket only
 *     bool found = item && has_key(item, key);
 *     item = found ? handle_cell_pin(store, cell) : NULL;
 *     if (item && !has_key(item, key)) { // another one has come into its place
 *         handle_unpin(store, item);
 *         item = NULL;
 *     }
 *     rcu_read_unlock();
 */
HANDLE_MUST_USE HANDLE_API const void *handle_cell_pin(handle_store *store, handle_cell *cell);

/* ---- compaction ------------------------------------------------------------------------------ */

/**
 * Allows compaction in the background, as setting defrag.enabled to yes: its thread starts as soon
 * as something can be gained (see handle_store_create_flavor). One that is just being stopped goes
 * on once it has wound down.
 *
 *   result   0, also when it is allowed already
 *   errors   ENOTSUP: in a forked child; EBUSY: the store is being destroyed (from a callback)
 */
HANDLE_API int handle_defrag_start(handle_store *store);

/**
 * Stops the background thread, as setting defrag.enabled to no, and waits until it has ended; a
 * batch under way is cancelled. What steps have begun is finished, too. Stops at once all wait. A
 * start at the same time wins if it is the later of the two.
 *
 *   result   0, also when it does not run
 *   errors   EDEADLK: inside a section, or from a callback that the thread itself makes
 */
HANDLE_API int handle_defrag_stop(handle_store *store);

/**
 * One bounded step of compaction, for event loops that run without the background thread. Never
 * waits. Starts a pass only when the thresholds ask for one; a pass under way is carried on. What
 * is under way when no step follows for 1.5 s a thread of the library finishes, and ends. Inside
 * a section it is allowed but cannot get far: its grace periods wait for that section.
 *
 *   budget_us  1 to 1000000: microseconds; copies under way at their end are finished. Once 1 MiB
 *              went back to the kernel, no more empty spans do
 *   report     NULL, or begun as HANDLE_DEFRAG_REPORT_INIT: gets what this step did. busy: another
 *              thread was compacting; more: call again (also when somebody held the store for a
 *              moment, to give pages back say, and nothing was done)
 *   errors     EINVAL: budget_us, or the report's struct_size; ENOTSUP: in a forked child
 */
HANDLE_API int
handle_defrag_step(handle_store *store, uint32_t budget_us, struct handle_defrag_report *report);

/**
 * Compacts everything now, whatever the thresholds say: makes one plan (per class the fewest spans
 * that hold its objects), carries it out at full speed and purges. Waits for GPs; ends even under
 * writers and walks. Objects keep their handles, cells, tags and contents.
 *
 *   report   as in handle_defrag_step; a thread that compacts at the same time is counted in
 *   errors   EDEADLK: inside a section; EINVAL: the report's struct_size; ENOTSUP: in a forked
 *            child
 */
HANDLE_API int handle_store_compact(handle_store *store, struct handle_defrag_report *report);

/**
 * Dry run of handle_store_compact: from counters, without touching objects.
 * Pinned and damaged objects are not known to it. report: not NULL, else as in handle_defrag_step.
 * Result: 0. Errors: EINVAL.
 */
HANDLE_API int handle_defrag_estimate(handle_store *store, struct handle_defrag_report *report);

/**
 * Gives back to the kernel, now: free slots that threads cache (idle ones', and the caller's),
 * empty spans, table pages without a live entry. Waits for the limbo of the moment of the call, and
 * for what other threads are giving back; for two grace periods, if objects were retired. What a
 * thread has freed that has lost the processor inside a call is left out.
 *
 *   released_bytes  NULL, or gets the bytes that went back during the call, by whichever thread
 *   errors          EDEADLK: inside a section
 */
HANDLE_API int handle_store_purge(handle_store *store, size_t *released_bytes);

/**
 * What to call after EAGAIN: waits until limbo has become reusable, and, when max_bytes is what is
 * short, until compaction has got as far or has ended; finishes what a step has begun and nobody
 * carries on. Makes no promise that the next allocation fits: others allocate meanwhile. Without
 * others, after one object was freed one reclaim is enough for an object of its size and kind
 * (movable or not). What a thread has freed that has lost the processor inside a call is waited for
 * too, a hundred rounds of a millisecond at most.
 *
 *   bytes    how much is enough, counted from the call's begin; SIZE_MAX: all that was in limbo
 *   result   0, however much it was
 *   errors   EDEADLK: inside a section
 */
HANDLE_API int handle_store_reclaim(handle_store *store, size_t bytes);

/**
 * handle_store_reclaim that waits no longer than a given time: for callers that another thread's
 * long section must not hold up. What is under way when the time is over goes on by itself.
 *
 *   bytes       as in handle_store_reclaim
 *   timeout_us  microseconds from the call's begin; 0: asks for a grace period and does not wait;
 *               UINT64_MAX: no bound, as handle_store_reclaim
 *   result      0: as much was reclaimed, or nothing is left that waiting would bring
 *   errors      EDEADLK: inside a section; ETIMEDOUT: the time came first. What had become reusable
 *               by then is so
 */
HANDLE_API int handle_store_reclaim_until(handle_store *store, size_t bytes, uint64_t timeout_us);

/**
 * Sets memory aside for the calling thread's next allocations in this store: what is answered here,
 * where the caller can evict and wait, does not fail in a place where it cannot, say under a lock.
 * Allocations draw on it when max_bytes would refuse them, until it is used up. It stands against
 * max_bytes meanwhile (it is no part of `committed`, which counts pages), also against one that is
 * set lower, until it is used, given back by a call with 0, or the thread ends, detaches or is not
 * there in a forked child. A further call does not add to what is left: it replaces it. Without
 * max_bytes there is nothing to set aside; above one that was set lower what is set aside serves
 * nobody.
 *
 *   bytes    sizes of the objects to come, each with 64 bytes more; for each further size among
 *            them that the store has no objects of, 64 KiB more. 0: gives back what is left; at
 *            most 1 TiB. (A large object also needs a run of the arena, which is not set aside.)
 *   result   0
 *   errors   EINVAL: bytes is out of range; ENOMEM, EAGAIN: as handle_alloc, nothing is set aside
 *            any more
 */
HANDLE_CHECK HANDLE_API int handle_store_prepare(handle_store *store, size_t bytes);

/* ---- insight --------------------------------------------------------------------------------- */

/**
 * Requested bytes of live objects, as far as counters say: an estimate. Known exactly is how many
 * objects live in each class, so that slots and the sums of the memory breakdown are exact; by how
 * much less than its class serves an object asked for is known of a sample, which the grace-period
 * thread draws from the headers up to five times a second in a store at work, and once more when it
 * comes to rest. Of a store of a few hundred objects of each size the sample is all of them.
 *
 * The error stands beside the figure in the statistics (requested_error): three standard errors of
 * the sample, and what is possible for objects of which only the class is known, since their class
 * has grown by them since the last look. In stores above 1 MiB it comes to rest at 0.5 % or less
 * (objects below 16 bytes: 1 %). The sizes of what has only taken the place of others since the
 * last look are taken to be like those before.
 *
 *   result   bytes; 0 for a NULL store, and when nothing lives. Takes 20 instructions for each
 *            thread and size class in use, whatever the number of objects: with 64 threads 5 us for
 *            30 classes, 23 us for all, and some times that where the threads' counters come from
 *            memory. Fix, where an estimate is not enough: handle_store_used_exact
 */
HANDLE_API size_t handle_store_used(const handle_store *store);

/**
 * Counts the requested bytes of live objects: looks at every object, as handle_store_each does, and
 * like that counts what is live throughout the call, and nothing that is only reserved. Takes about
 * 10 ns for each object; compaction and all other calls go on beside it.
 *
 *   bytes    gets the sum; unchanged after an error
 *   result   0
 *   errors   EINVAL: NULL; EBUSY, EAGAIN: as handle_store_each
 */
HANDLE_CHECK HANDLE_API int handle_store_used_exact(handle_store *store, size_t *bytes);

/**
 * Writes a map of the heap: which pages of which spans live objects have, which are free, which the
 * kernel has. The program sinter makes a page of it ("sinter map FILE"). Each span is looked at by
 * itself, while all other calls and compaction go on. No address is in it, and of sizes only those
 * of size classes and large objects.
 *
 *   write    called with no lock held, with pieces of text of 1 to 4096 bytes, not ended by 0, in
 *            order: lines of JSON ("sinter.map", version 1). The first has the store's name, the
 *            number of blocks of 64 KiB and the size classes [largest size, slot bytes, slots,
 *            pages, bytes before the first slot]; then one for each run of blocks with pages; the
 *            last is the memory breakdown as handle_store_stats gives it afterwards. Of a run,
 *            "pages" has a character for each 4 KiB: "." the kernel has it, 0 to f: the share of
 *            it that live objects have, "w": most of what is taken of it waits, in a thread's cache
 *            or in limbo; "why" says why compaction leaves it: p pinned, u unmovable, t tried in
 *            vain, d damaged
 *   opaque   its first argument
 *   cost     about 1 us for a span, and a grab at all threads' caches, which are empty afterwards;
 *            of sizes that have slots in limbo, or that threads at work take meanwhile, 5 ns more
 *            for each object, since its header is read then
 *   result   0
 *   errors   EINVAL: NULL
 */
HANDLE_API int handle_store_map(handle_store *store,
                                void (*write)(void *opaque, const char *text, size_t length),
                                void *opaque);

/** How a profile is written. */
enum handle_profile_format {
    HANDLE_PROFILE_PPROF,     /**< profile.proto, uncompressed: for `go tool pprof` and its like */
    HANDLE_PROFILE_HEAP_TEXT, /**< a heap profile as text, of objects and bytes allocated and in use
                                   alone: for jeprof and google-pprof; of a profile, not a census */
};
#define HANDLE_PROFILE_FORMATS 2

/**
 * Writes which call sites the memory comes from: those of the objects that were drawn while the
 * option profile.enabled was yes, each for as many as it stands for. Sample types:
 *
 *   alloc_objects, alloc_space    allocated since the profile was first enabled, or resized to
 *                                 another place: the site is that of the last such resize
 *   inuse_objects, inuse_space    live; the sums are `objects` and `requested` of the statistics
 *   rounding_space                by which their slots are larger, less the header
 *   sparse_space                  their share of the free slots in their spans: what keeps sparse
 *                                 pages. The sum is free_slot, less spans without a live object
 *   pinned_space                  of pinned objects, the slot and a share of what is free beside it
 *   moved_space                   slot bytes times the moves by compaction so far
 *   limbo_space                   freed, not reclaimed yet; not by site, but exactly
 *
 * with the label `age`, seconds since the allocation, rounded down to a power of two: `go tool
 * pprof -sample_index=sparse_space -tagfocus=age=64s: FILE`. The file's comment has the sum of
 * inuse_space with three standard errors, beside what the store says. Objects that were there
 * before the profile was enabled are in no sum but limbo, and objects of 0 bytes in none; of what
 * was drawn and not kept for want of memory a comment tells the count. It has addresses of code
 * and the names of mapped files, as pprof needs them, and none of the store.
 *
 *   write, opaque  as in handle_store_map
 *   errors   EINVAL: NULL, or another format; ENOENT: no profile was ever enabled; ENOMEM
 */
HANDLE_API int handle_store_profile(handle_store *store, enum handle_profile_format format,
                                    void (*write)(void *opaque, const char *text, size_t length),
                                    void *opaque);

/**
 * A profile by the application's own kinds of objects, exact and without a sample: one walk over
 * all of them, as handle_store_each. Sample types: objects, space, rounding_space, sparse_space,
 * pinned_space, unmovable_space. Costs nothing while it is not asked for.
 *
 *   label    names an object's kind, up to 63 bytes, of which there are up to 4000; called as a
 *            visitor of handle_store_each; its result is copied. NULL: kinds are size classes
 *   label_opaque  its first argument
 *   errors   as handle_store_profile and handle_store_each
 */
HANDLE_API int
handle_store_census(handle_store *store,
                    const char *(*label)(void *opaque, const struct handle_object *object),
                    void *label_opaque, enum handle_profile_format format,
                    void (*write)(void *opaque, const char *text, size_t length), void *opaque);

/**
 * Calls visit once for every object that is live throughout the call, by address. (One allocated
 * or freed meanwhile may be visited or not; one resized or updated meanwhile may change its
 * address, and be missed or visited twice.) Compaction goes on beside it: it leaves the objects
 * around the visited one where they are, and moves no others past the walk, so that it may need up
 * to two spans of each size more than it would alone. Nobody waits for a walk to end but other
 * walks: one runs at a time.
 *
 * Free slots of the span being visited serve nobody until the walk leaves it, but for the one that
 * each size keeps at max_bytes for its next allocation, if it was kept before. Where a size has no
 * others then, an allocation answers EAGAIN, and after a reclaim, which then brings nothing,
 * ENOMEM, by turns.
 * Fix: a visit that takes long copies what it needs, and works on it after the walk; a visitor that
 * allocates takes EAGAIN for ENOMEM.
 *
 *   visit    runs inside a section that `each` opened, with no lock held, and that ends with the
 *            visit in which a GP begins (under QSBR the whole call is one, as it is inside a
 *            section of the caller's); may free the object and allocate; what waits for a GP
 *            answers -EDEADLK there, of any store and flavour. The handle_object is valid during
 *            the visit, its data until the visit returns (what else holds of addresses in sections
 *            holds here). A result other than 0 ends the walk
 *   result   0, or the visitor's
 *   errors   EINVAL: visit is NULL; EBUSY: called by a visitor (of this store, or of another
 *            while this one is being walked: visitors wait for no walk); EAGAIN: the kernel
 *            refused a membarrier (by a seccomp filter set later, say), nothing was visited
 */
HANDLE_API int handle_store_each(handle_store *store,
                                 int (*visit)(void *opaque, const struct handle_object *object),
                                 void *opaque);

/**
 * A piece of a walk: as handle_store_each from where *cursor is, until about max objects were
 * visited (it ends between two spans of memory: up to some thousand small ones more). For samplers
 * and evictions that have no index of their own, and rather look at some objects often than at all
 * of them at once. Between two calls nothing is held, and the mover is free: an object that it
 * moves then may be missed, or visited again. What is allocated after the walk began may be
 * visited.
 *
 *   cursor   0 to begin; is 0 again when the end was reached, else for the next call of this store
 *   max      1 to SIZE_MAX
 *   visit    as in handle_store_each; a result other than 0 ends the call, and the next one begins
 *            with the same span
 *   result, errors  as handle_store_each; EINVAL also for a cursor that no call gave, and max 0
 */
HANDLE_API int
handle_store_each_from(handle_store *store, uint64_t *cursor, size_t max,
                       int (*visit)(void *opaque, const struct handle_object *object),
                       void *opaque);

/**
 * Checks every invariant of the store's structures: bitmaps, counters and lists of spans, words
 * against headers, table pages, the memory breakdown. Touches every header; may run beside
 * everything else.
 *
 *   report   NULL, or gets one line of text for each violation; called with no lock held
 *   result   the number of violations
 *   errors   EINVAL: NULL
 */
HANDLE_API int handle_store_check(handle_store *store,
                                  void (*report)(void *opaque, const char *violation),
                                  void *opaque);

/* Statistics: structs and calls. */
#include <sinter/stats.h>

/* ---- threads and processes ------------------------------------------------------------------- */

/**
 * Gives the calling thread's caches in this store back. Optional: thread exit does it too. The
 * thread may go on using the store.
 */
HANDLE_API void handle_thread_detach(handle_store *store);

/**
 * Around fork(), per store: before_fork (outside sections; waits until the threads of all stores
 * are at rest), then exactly one of the others in each process, by the thread that forked. In the
 * child alloc, deref and free work; there is no compaction and nothing leaves limbo; destroy does
 * not wait (G10). Between before_fork and after_fork_parent every other call of the process may
 * block; in the child, until the last hook, every other call.
 *
 * Order: call_rcu_before_fork, all stores, urcu_bp_before_fork, fork(), and backwards in both
 * processes. A grace period may wait for a reader that waits for a store or a lock of liburcu's, so
 * nobody may wait for one meanwhile. Callbacks and resizing tables of liburcu pause by the first of
 * these calls: under QSBR it is made offline, and get_default_call_rcu_data() was called before
 * (else another thread's first call_rcu waits inside a section). Under bp, whose hook waits for
 * every grace period, the program's own synchronize_rcu calls are kept out. Stores that others make
 * or destroy just then are lost to the child. The child may register threads with a flavour other
 * than bp if no other thread of the program was registered: liburcu does not clear its list.
 *
 * before_fork waits for the grace periods under way of all flavours that have stores, and for error
 * callbacks that compaction makes; these must not wait for the fork in turn. So, in a process that
 * calls it, calls that wait (G above) are made outside of sections, and offline, of all those
 * flavours; and the forking thread holds no lock that readers in sections or such callbacks take.
 * Under QSBR it goes offline meanwhile. Inside a section of any of the flavours it waits for no
 * grace period, and says so through the error callback, before it takes a lock.
 *
 * Whether a child lives the parent sees by a pipe. Either process may close all its descriptors: a
 * number that was closed behind the library's back is not touched any more, and the child counts as
 * ended.
 *
 * Several stores nest, also of several flavours; forks of several threads wait for each other.
 * As handlers of pthread_atfork, which run backwards before a fork and forwards after it, bp's
 * calls are registered first and call_rcu's last. The library has a handler in the child, which
 * runs before those of the program.
 */
HANDLE_API void handle_store_before_fork(handle_store *store);
/** In the parent, also when fork() failed. */
HANDLE_API void handle_store_after_fork_parent(handle_store *store);
/** In the child, before any other call on the store. */
HANDLE_API void handle_store_after_fork_child(handle_store *store);

/* ---- the inline read path -------------------------------------------------------------------- */

/*
 * What the inline functions see of a store. The handle table begins HANDLE_TABLE_OFFSET bytes after
 * the store's address and never moves.
 *
 *   handle          63..24 index in the table, 23..0 generation
 *   reference word  63..27 the object's offset / 8, 26..3 the complement of the generation, 2 it
 *                   names an object; 1, 0 are not looked at
 *
 * So the word, 8 times the handle and 4 have a sum with nothing but zeros in bits 26 to 2 if and
 * only if the generations are the same and bit 2 of the word is set: the sum's bit 2 is that bit
 * inverted, whatever the handle is. No handle, forged or not, matches a word that names no object,
 * entry 0 and entries never used (0) included; no bits are compared one by one. Part of the ABI;
 * not for direct use.
 */
struct handle_store_head {
    uint64_t table_end; /* number of entries; grows with the table */
    uint64_t arena;     /* address of offset 0; constant */
};
#define HANDLE_TABLE_OFFSET (UINT64_C(1) << 20)

/*
 * It only grows, and in one piece; whoever has a handle sees an end beyond it (the library executes
 * a barrier in all threads before it issues the first handle of a new part). So a plain load
 * serves: an atomic one costs an instruction, since compilers do not compare with memory then.
 */
#if defined(__SANITIZE_THREAD__)
#define HANDLE_TABLE_END(head) __atomic_load_n(&(head)->table_end, __ATOMIC_RELAXED)
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define HANDLE_TABLE_END(head) __atomic_load_n(&(head)->table_end, __ATOMIC_RELAXED)
#endif
#endif
#ifndef HANDLE_TABLE_END
#define HANDLE_TABLE_END(head) ((head)->table_end)
#endif
#define HANDLE_INDEX_SHIFT  24
#define HANDLE_OFFSET_SHIFT 27
#define HANDLE_HAS_OBJECT   4u
#define HANDLE_TAG_SHIFT    3
#define HANDLE_TAG_MAX      0xffffffu
#define HANDLE_MATCH_MASK   0x7fffffcu

#ifdef __cplusplus /* what follows is C as well: casts and NULL */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wold-style-cast"
#pragma GCC diagnostic ignored "-Wzero-as-null-pointer-constant"
#endif

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
    uint64_t index = handle >> HANDLE_INDEX_SHIFT;
    if (__builtin_expect(index >= HANDLE_TABLE_END(head), 0))
        return NULL;
    /* In this order gcc makes one address of all parts. */
    const char *entry = (const char *)((const uint64_t *)(const void *)store + index);
    uint64_t word = __atomic_load_n((const uint64_t *)(const void *)(entry + HANDLE_TABLE_OFFSET),
                                    __ATOMIC_ACQUIRE);
    if (__builtin_expect(
            (((uint32_t)word + 8u * (uint32_t)handle + HANDLE_HAS_OBJECT) & HANDLE_MATCH_MASK) != 0,
            0))
        return NULL;
    uint64_t object = head->arena + 8 * (word >> HANDLE_OFFSET_SHIFT);
    if (object == 0)
        __builtin_unreachable(); /* who looks for NULL need not look at what was found */
    return (const void *)object;
}

/** handle_deref for a cell; NULL when it is empty. */
static inline const void *
handle_cell_deref(const handle_store *store, const handle_cell *cell)
{
    const struct handle_store_head *head = (const struct handle_store_head *)(const void *)store;
    uint64_t word = __atomic_load_n(&cell->word, __ATOMIC_ACQUIRE);
    if (__builtin_expect((word & HANDLE_HAS_OBJECT) == 0, 0))
        return NULL;
    uint64_t object = head->arena + 8 * (word >> HANDLE_OFFSET_SHIFT);
    if (object == 0)
        __builtin_unreachable(); /* as in handle_deref */
    return (const void *)object;
}

/**
 * The cell's tag; 0 for an empty cell. Of the same load as nothing else: for tag and object
 * together there are handle_cell_match and handle_cell_read.
 */
static inline uint32_t
handle_cell_tag(const handle_cell *cell)
{
    uint64_t word = __atomic_load_n(&cell->word, __ATOMIC_ACQUIRE);
    return word & HANDLE_HAS_OBJECT ? (uint32_t)(word >> HANDLE_TAG_SHIFT) & HANDLE_TAG_MAX : 0;
}

/**
 * handle_cell_deref if the cell has this tag, else NULL: of one load, and no object is touched. So
 * a bucket of cells is looked through at the cost of its own line. tag24 above 0xffffff: NULL.
 */
static inline const void *
handle_cell_match(const handle_store *store, const handle_cell *cell, uint32_t tag24)
{
    const struct handle_store_head *head = (const struct handle_store_head *)(const void *)store;
    uint64_t word = __atomic_load_n(&cell->word, __ATOMIC_ACQUIRE);
    uint64_t want = ((uint64_t)tag24 << HANDLE_TAG_SHIFT) + HANDLE_HAS_OBJECT;
    if (((word ^ want) & HANDLE_MATCH_MASK) != 0 || tag24 > HANDLE_TAG_MAX)
        return NULL;
    uint64_t object = head->arena + 8 * (word >> HANDLE_OFFSET_SHIFT);
    if (object == 0)
        __builtin_unreachable(); /* as in handle_deref */
    return (const void *)object;
}
#else
/* Exported for languages that cannot inline C. */
HANDLE_API uint32_t handle_cell_tag(const handle_cell *cell);
HANDLE_API const void *
handle_cell_match(const handle_store *store, const handle_cell *cell, uint32_t tag24);
HANDLE_API const void *handle_deref(const handle_store *store, handle_t handle);
HANDLE_API const void *handle_cell_deref(const handle_store *store, const handle_cell *cell);
#endif

#ifdef __cplusplus
#pragma GCC diagnostic pop
#endif

/*
 * The same with the type of the object in the place of void; in C++ see sinter/handle.hpp. What
 * they are given is used once.
 *
 *     const struct session *s = HANDLE_READ(struct session, store, h);
 *     struct session *made = HANDLE_RESERVE(struct session, store, &reserved);
 */
#ifndef __cplusplus
#define HANDLE_READ(type, store, handle)  ((const type *)handle_deref((store), (handle)))
#define HANDLE_WRITE(type, store, handle) ((type *)handle_deref_mut((store), (handle)))
#define HANDLE_RESERVE(type, store, reserved)                                                      \
    ((type *)handle_reserve((store), sizeof(type), 0, (reserved)))
#define HANDLE_CELL_READ(type, store, cell)  ((const type *)handle_cell_deref((store), (cell)))
#define HANDLE_CELL_WRITE(type, store, cell) ((type *)handle_cell_deref_mut((store), (cell)))
#endif

#ifdef __cplusplus
}
#endif

#endif /* SINTER_HANDLE_H */
