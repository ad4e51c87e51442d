/* SPDX-License-Identifier: MIT */
/* mover.c - see mover.h. */
#include "core/mover.h"

#include "core/store.h"
#include "memory/policy.h"

static void
init_wake(struct sn_mover *mover)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&mover->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    sn_lock_init(&mover->wake_lock, SN_RANK_WAKE);
}

void
sn_mover_init(struct sn_mover *mover)
{
    sn_lock_init(&mover->lock, SN_RANK_MOVER);
    init_wake(mover);
}

void
sn_mover_destroy(struct sn_mover *mover)
{
    sn_lock_destroy(&mover->lock);
    sn_lock_destroy(&mover->wake_lock);
    pthread_cond_destroy(&mover->wake);
}

void
sn_mover_begin_child(struct sn_mover *mover)
{
    init_wake(mover);
    mover->running = mover->exiting = false;
    mover->idle_reason = HANDLE_IDLE_FORKED;
}

bool
sn_mover_is_available(struct sn_mover *mover)
{
    sn_lock(&mover->wake_lock);
    bool available = !mover->ended && !mover->failed;
    sn_unlock(&mover->wake_lock);
    return available;
}

bool
sn_mover_has_thread(struct sn_mover *mover)
{
    sn_lock(&mover->wake_lock);
    bool running = mover->running && !mover->exiting;
    sn_unlock(&mover->wake_lock);
    return running;
}

static bool
is_enabled(const handle_store *store)
{
    return sn_load_relaxed(&store->options.defrag.enabled);
}

/* ---- waking ---------------------------------------------------------------------------------- */

void
sn_mover_arm(handle_store *store)
{
    uint64_t ignore = sn_load_relaxed(&store->options.defrag.ignore_bytes);
    sn_store_relaxed(&store->heap.wake_at, sn_policy_notice_bytes(0, ignore));
}

/* Wakes the thread. True: there is none. */
static bool
wake(struct sn_mover *mover)
{
    sn_lock(&mover->wake_lock);
    mover->woken = true;
    pthread_cond_broadcast(&mover->wake);
    bool none = !mover->running || mover->exiting;
    sn_unlock(&mover->wake_lock);
    return none;
}

void
sn_mover_wake(handle_store *store)
{
    struct sn_mover *mover = &store->mover;
    if (store->forked)
        return;
    if (sn_load_relaxed(&store->heap.freed_bytes) == 0 && !sn_mover_is_requested(mover) &&
        !sn_force_moves() && !sn_mover_has_thread(mover)) {
        sn_mover_arm(store); /* by the option as it is now; there is nothing to gain yet */
        sn_fence_seq_cst();  /* as in arm_wake_up */
        if (sn_load_relaxed(&store->heap.freed_bytes) == 0)
            return;
    }
    /* Once is enough until the mover has looked. */
    sn_store_relaxed(&store->heap.wake_at, UINT64_MAX);
    if (wake(mover) && is_enabled(store))
        sn_store_signal(store, true);
}

void
sn_mover_wake_for_dense(handle_store *store)
{
    if (wake(&store->mover) && is_enabled(store))
        sn_store_signal(store, true);
}

void
sn_mover_unpinned(handle_store *store)
{
    struct sn_mover *mover = &store->mover;
    if (sn_likely(sn_load_relaxed(&mover->unpinned)))
        return;
    sn_store_relaxed(&mover->unpinned, 1);
    sn_store_relaxed(&mover->stuck_bytes, 0);
}

void
sn_mover_walked(handle_store *store)
{
    sn_mover_unpinned(store);
    if (!store->forked && sn_mover_has_thread(&store->mover))
        sn_mover_wake(store);
}

/* ---- memory ---------------------------------------------------------------------------------- */

bool
sn_mover_shares_pages(handle_store *store)
{
    return sn_load_relaxed(&store->options.defrag.pause_while_forked) &&
           sn_children_live(&store->children);
}

uint64_t
sn_mover_fork_copy_bytes(const handle_store *store)
{
    int64_t option = sn_load_relaxed(&store->options.defrag.fork_copy_bytes);
    return option < 0 ? sn_load_relaxed(&store->budget.max_bytes) / 10 : (uint64_t)option;
}

bool
sn_mover_may_copy(const handle_store *store, uint64_t bytes)
{
    return sn_load_relaxed(&store->mover.fork_copied_bytes) + bytes <=
           sn_mover_fork_copy_bytes(store);
}

uint64_t
sn_mover_gain(handle_store *store, const struct sn_gain *gain)
{
    struct sn_mover *mover = &store->mover;
    if (store->forked || !is_enabled(store) || !sn_mover_is_available(mover))
        return 0;
    bool shared = sn_mover_shares_pages(store);
    if (shared && sn_mover_fork_copy_bytes(store) == 0)
        return 0;
    uint64_t bytes = shared ? gain->excess_bytes : sn_gain_bytes(gain);
    bool judged = sn_load_relaxed(&store->heap.freed_bytes) < sn_load_relaxed(&mover->pause_freed);
    uint64_t stuck = judged ? sn_load_relaxed(&mover->stuck_bytes) : 0;
    return sn_at_least_zero(sn_wrapping_sub(bytes, stuck));
}

uint64_t
sn_mover_gained(const handle_store *store)
{
    return sn_wrapping_sub(sn_load_relaxed(&store->mover.totals.released_bytes),
                           sn_load_relaxed(&store->heap.moved_into));
}

void
sn_mover_request_memory(handle_store *store)
{
    /* Release: pairs with the acquire in sn_mover_requests. */
    (void)__atomic_add_fetch(&store->mover.memory_requests, 1, __ATOMIC_RELEASE);
    sn_mover_wake(store); /* also when others wait: they may just have been answered */
}

bool
sn_mover_wait_relief(handle_store *store, uint64_t bytes, uint64_t deadline_ns)
{
    enum { PASSES = 2 }; /* the one under way may have been planned before */
    struct sn_mover *mover = &store->mover;
    uint64_t before = sn_mover_gained(store);
    uint64_t passes = sn_load_relaxed(&mover->passes);
    uint64_t requests = sn_load_relaxed(&mover->memory_requests);
    while (sn_load_relaxed(&mover->memory_answered) < requests && is_enabled(store) &&
           sn_mover_is_available(mover) &&
           sn_at_least_zero(sn_mover_gained(store) - before) < bytes &&
           sn_load_relaxed(&mover->passes) - passes < PASSES) {
        if (sn_os_now_ns() >= deadline_ns)
            return false;
        sn_os_sleep_ns(200000);
    }
    return true;
}

bool
sn_mover_open_class(handle_store *store, unsigned class_id)
{
    struct sn_mover *mover = &store->mover;
    if (store->forked)
        return false;
    sn_store_relaxed(&mover->wanted[class_id], 1);
    /* Release: whoever takes the request down finds the class. */
    sn_store_release(&mover->any_wanted, 1);
    if (!sn_try_lock(&mover->lock))
        return false;
    mover->open_wanted(store);
    sn_unlock(&mover->lock);
    return true;
}
