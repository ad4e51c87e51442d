/* SPDX-License-Identifier: MIT */
/*
 * misuse.h - what no return value can say of a wrong call, in stores that check every entry
 * (hardened ones, and all of them in debug builds): the call ends the process with one line that
 * names function, store, handle or cell, and reason. Errors that handle.h documents stay errors.
 *
 * An entry check looks at: the store (made, and not destroyed since), the process (not forked
 * without the hooks), the thread (in a section, or online, as far as the flavour shows it). It
 * leaves the call's name behind for whatever is found further in.
 *
 * Other stores do not come here: what they call decides by one predicted branch, and the paths that
 * are fast in them (inline deref, alloc, free_now) have not even that.
 */
#ifndef SN_MISUSE_H
#define SN_MISUSE_H

#include "core/store.h"

/** Where a public function may be called (the table in handle.h). */
enum sn_place {
    SN_ANYWHERE,
    SN_REGISTERED, /* by a registered thread; only QSBR shows it */
    SN_IN_SECTION, /* QSBR: by an online thread */
};

static inline bool
sn_checks_entries(const handle_store *store)
{
    return SN_DEBUG || store->hardened;
}

/** First in every public function. The handle or cell it is about, or 0 and NULL. */
#define sn_check_call(store, place, handle, cell)                                                  \
    sn_check_call_named(store, __func__, place, handle, cell)

#define sn_check_call_named(store, function, place, handle, cell)                                  \
    do {                                                                                           \
        if (sn_unlikely((store) && sn_checks_entries(store)))                                      \
            sn_check_entry(store, function, place, handle, cell);                                  \
    } while (0)

/** The same for those that signal handlers may call: what the interrupted call is about stays
 * known. */
#define sn_check_call_in_signal(store, cell)                                                       \
    do {                                                                                           \
        if (sn_unlikely((store) && sn_checks_entries(store)))                                      \
            sn_check_entry_in_signal(store, __func__, cell);                                       \
    } while (0)

/** The same for functions with a fast path that hardened stores do not take: their own paths check
 * for these stores, this one for debug builds. */
#define sn_check_call_debug(store, place, handle, cell)                                            \
    do {                                                                                           \
        if (SN_DEBUG && (store))                                                                   \
            sn_check_entry(store, __func__, place, handle, cell);                                  \
    } while (0)

/**
 * Begins a call that waits for grace periods or threads: the check at its entry, and the thread is
 * offline from then on; sn_rcu_return ends that. 0; -EINVAL: store is NULL; -EDEADLK: inside a
 * section.
 */
#define sn_begin_waiting(store, was_online) sn_begin_waiting_named(store, __func__, was_online)

/* What the calling thread is doing, for the line. */
struct sn_call {
    const char *function;
    handle_t handle;
    const handle_cell *cell;
};
extern _Thread_local struct sn_call sn_call;

/* A word that the kernel clears in a forked child; says which process this is. */
extern uint64_t *sn_process_marker;

/* The store is none, or not this process's: ends the process. */
SN_NOINLINE _Noreturn void sn_misuse_wrong_store(const handle_store *store);
/* The thread is outside a section, not registered, or offline: the same. */
SN_NOINLINE _Noreturn void sn_misuse_wrong_place(const handle_store *store);

/** sn_check_entry for fast paths; does not look whether the thread is registered. */
static inline void
sn_check_entry_inline(const handle_store *store, const char *function, enum sn_place place,
                      handle_t handle, const handle_cell *cell)
{
    sn_call = (struct sn_call){function, handle, cell};
    if (sn_unlikely(store->magic != SN_STORE_LIVE) ||
        sn_unlikely(store->born != sn_load_relaxed(sn_process_marker)))
        sn_misuse_wrong_store(store);
    if (place == SN_ANYWHERE || (place == SN_REGISTERED && store->rcu->sees_sections))
        return;
    if (sn_unlikely(!store->rcu->flavor->read_ongoing()))
        sn_misuse_wrong_place(store);
}

void sn_check_entry(const handle_store *store, const char *function, enum sn_place place,
                    handle_t handle, const handle_cell *cell);
void
sn_check_entry_in_signal(const handle_store *store, const char *function, const handle_cell *cell);

/** A cell that is about to name an object: it must not lie inside any store's arena (G6). */
void sn_check_cell_place(const handle_store *store, const handle_cell *cell);

/**
 * Ends the process. reference: the word of the object that the reason is about, or NULL: what the
 * call was about. The line goes to the error callback, then to stderr. Locks may be held.
 */
__attribute__((format(printf, 3, 4))) SN_NOINLINE _Noreturn void
sn_misuse(const handle_store *store, const uint64_t *reference, const char *format, ...);

/** Create: the store is known to the checks from here on. */
void sn_misuse_register(handle_store *store);
/** Destroy, or a failed create: it is not. */
void sn_misuse_unregister(handle_store *store);
/** In every forked child: other threads may have held the lock. */
void sn_misuse_begin_child(void);
/** In a forked child, by the hook: the store belongs to this process now. */
void sn_misuse_after_fork_child(handle_store *store);
/**
 * Destroy, in place of giving the whole address range back: its first pages stay for a while, so
 * that later calls on the store are told, and later derefs find nothing.
 */
void sn_misuse_leave_tombstone(handle_store *store);
/** Bytes of address space that tombstones keep: whoever looks for leaks does not count them. */
size_t sn_misuse_kept_bytes(void);

static inline int
sn_begin_waiting_named(handle_store *store, const char *function, bool *was_online)
{
    sn_check_call_named(store, function, SN_ANYWHERE, 0, NULL);
    if (!store)
        return -EINVAL;
    return sn_rcu_leave(store->rcu->flavor, was_online) ? 0 : -EDEADLK;
}

#endif
