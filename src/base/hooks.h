/* SPDX-License-Identifier: MIT */
/*
 * hooks.h - points in the protocol where debug builds let a test step in: to stage a race, to
 * delay, to fail a system call, to make rare paths common. In release builds (SN_DEBUG 0) every
 * hook is an empty inline function. Nothing here is part of the interface.
 */
#ifndef SN_HOOKS_H
#define SN_HOOKS_H

#include <stdbool.h>

#ifndef SN_DEBUG
#define SN_DEBUG 0
#endif

/** Where a hook stands. `object` is the slot's address, unless said otherwise. */
enum sn_hook_point {
    SN_HOOK_AFTER_MARK,     /* mover: step 1 done for this object */
    SN_HOOK_BEFORE_COPY,    /* mover: step 3 passed, mover's lock held */
    SN_HOOK_AFTER_COPY,     /* mover: step 4 done, destination not yet published */
    SN_HOOK_BEFORE_PUBLISH, /* mover: header of the destination names R */
    SN_HOOK_AFTER_PUBLISH,  /* mover: step 5 done */
    SN_HOOK_BEFORE_RECLAIM, /* mover: step 6; object: the span about to be reclaimed */
    SN_HOOK_FREE_LOADED,    /* a free has loaded the word, before its CAS or store */
    SN_HOOK_FREE_PINNED,    /* a free has found the object pinned, not yet told its pins */
    SN_HOOK_MUT_LOADED,     /* deref_mut has loaded the word, before a cancel */
    SN_HOOK_PIN_COUNTED,    /* pin has raised the count, before it looks again */
    SN_HOOK_RESIZE_LOADED,  /* resize has found the object, not yet looked whether it is pinned */
    SN_HOOK_RESIZE_COPIED,  /* resize has filled the new slot, before its CAS */
    SN_HOOK_COMMIT_HEADER,  /* update_commit has written the header, before its CAS */
    SN_HOOK_PUBLISH_LOADED, /* cell_publish has loaded the word, before its store */
    SN_HOOK_PUBLISH_SLOW,   /* the same on its slow path, before its store or CAS */
    SN_HOOK_RETIRE_WORD,    /* retire: the word is RETIRED, the header still names it */
    SN_HOOK_RETIRE_LISTED,  /* retire: it is in the list (object: the word) */
    SN_HOOK_RELOCATE_TO,    /* relocate: `to` is filled, `from` still is */
    SN_HOOK_RELOCATE_GOING, /* relocate: `from` is GOING, the header names it */
    SN_HOOK_RELOCATE,       /* relocate: the header names `to`, `from` is not yet empty */
    SN_HOOK_CACHE_INSIDE,   /* thread cache: the owner has entered, before it looks at the gate */
    SN_HOOK_CACHE_ENTERED,  /* a hardened store's fast path: it has looked, and uses the cache */
    SN_HOOK_CACHE_DRAIN,    /* drainer: gates shut, membarrier done, before it empties caches */
    SN_HOOK_GP_START,       /* grace-period thread: before synchronize_rcu (object NULL) */
    SN_HOOK_GP_END,         /* grace-period thread: after it (object NULL) */
    SN_HOOK_GIVE_WAY,       /* after a free: much is in limbo (object: the store) */
    SN_HOOK_PURGE,        /* purger: runs are in no list, their pages still there (object: pool) */
    SN_HOOK_RUN_FORGET,   /* its blocks are about to be no span's any more (object: pool) */
    SN_HOOK_CHECK_HEADER, /* checker: before it looks at a header (object: the word) */
    SN_HOOK_CHECK_SUMS,   /* checker: it has seen who is inside (object: the caches), then
                               counted free slots (object: the pool) */
    SN_HOOK_STATS_SUMS, /* statistics: caches are summed up, classes not yet (object: the caches) */
    SN_HOOK_WALK_HEADER,  /* walk: it has read a header, not yet the word (object: the word) */
    SN_HOOK_MOVER_ENDS,   /* mover's thread: it ends by itself, unless woken (object: the store) */
    SN_HOOK_STEP_LEFT,    /* step: it has let the mover's lock go (the store) */
    SN_HOOK_MOVER_GONE,   /* mover's thread: it has ended, but for being joined (the store) */
    SN_HOOK_WALK_SECTION, /* walk: before it opens a section, no lock held (object: the span) */
    SN_HOOK_TRIM,         /* trim: the span is detached (object: the heap); or claimed (object: the
                             large spans) */
    SN_HOOK_AWAIT_CLAIM,  /* resize: about to wait for such a claim (object: the large spans) */
    SN_HOOK_COLLAPSE,     /* mover: a dense run is about to become a huge page (object: the pool) */
    SN_HOOK_CARRY, /* a parent is copied: before one of its cells is (object: the old cell) */
    SN_HOOK_TURN,  /* a parent was published: before a header is turned (object: it) */
    SN_HOOK_PARENT_LOADED, /* an end has loaded the word, before it looks for cells (object: it) */
    SN_HOOK_SHORTAGE,      /* allocation: found nothing, before it looks at what comes by itself */
    SN_HOOK_POINTS
};

/** System calls and allocations that a test can make fail. */
enum sn_inject_point {
    SN_INJECT_MMAP, /* a store's address range */
    SN_INJECT_MADVISE,
    SN_INJECT_THREAD,     /* pthread_create */
    SN_INJECT_MEMBARRIER, /* as if the kernel had none, or took no registration; once per process */
    SN_INJECT_MALLOC,     /* the library's own calloc and malloc */
    SN_INJECT_PIPE,
    SN_INJECT_KEY,             /* pthread_key_create: no cache without it, asked once per process */
    SN_INJECT_RANDOM,          /* getrandom */
    SN_INJECT_STATM,           /* the process's resident pages, from /proc; what the kernel tells */
    SN_INJECT_MPROTECT,        /* guards of hardened stores */
    SN_INJECT_PROCESS_MADVISE, /* as if the kernel had none: one madvise per run of pages */
    SN_INJECT_BARRIER,         /* a running membarrier, and the slow one instead */
    SN_INJECT_WIPE,            /* memory that a forked child finds empty: asked once per process */
    SN_INJECT_POINTS
};

#if SN_DEBUG
/** Set by tests while no other thread is inside the library; called with whatever locks are
 * held. */
extern void (*sn_hook_fn)(enum sn_hook_point point, const void *object);
/** Non-zero answer: the call fails. */
extern int (*sn_inject_fn)(enum sn_inject_point point);
/** Compaction treats every span as worth evacuating: moves although nothing is fragmented. */
extern bool sn_debug_force_moves;

static inline void
sn_hook(enum sn_hook_point point, const void *object)
{
    void (*fn)(enum sn_hook_point, const void *) = __atomic_load_n(&sn_hook_fn, __ATOMIC_ACQUIRE);
    if (fn)
        fn(point, object);
}

static inline bool
sn_inject(enum sn_inject_point point)
{
    int (*fn)(enum sn_inject_point) = __atomic_load_n(&sn_inject_fn, __ATOMIC_ACQUIRE);
    return fn && fn(point);
}

static inline bool
sn_hooks_are_set(void)
{
    return __atomic_load_n(&sn_hook_fn, __ATOMIC_RELAXED) ||
           __atomic_load_n(&sn_inject_fn, __ATOMIC_RELAXED);
}

static inline bool
sn_force_moves(void)
{
    return __atomic_load_n(&sn_debug_force_moves, __ATOMIC_RELAXED);
}
#else
static inline void
sn_hook(enum sn_hook_point point, const void *object)
{
    (void)point;
    (void)object;
}

static inline bool
sn_inject(enum sn_inject_point point)
{
    (void)point;
    return false;
}

static inline bool
sn_hooks_are_set(void)
{
    return false;
}

static inline bool
sn_force_moves(void)
{
    return false;
}
#endif

#endif
