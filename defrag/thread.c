/* SPDX-License-Identifier: MIT */
/*
 * thread.c - the background thread: a loop around the state machine (machine.c) that paces it,
 * sleeps when there is nothing to do, and is started and stopped at any moment.
 */
#include "defrag/thread.h"

#include <stdio.h>

#include "core/hugepages.h"
#include "core/misuse.h"
#include "defrag/machine.h"
#include "memory/dense.h"

/* A store without a free for so long is at rest: idle threads' caches have been emptied by then. */
#define REST_NS UINT64_C(500000000)
/* How often it looks for what wakes nobody: the end of a child, of a pause, of a grace period. */
#define POLL_NS            UINT64_C(100000000)
#define WIND_DOWN_SLICE_NS 5000000
/* With nothing to do for so long the thread ends. Longer than pauses between bursts of frees. */
#define LAST_REST_NS UINT64_C(1000000000)
/* What handle_defrag_step has left under way a thread finishes when no other step came for so long.
 */
#define LEFT_NS UINT64_C(1500000000)
/* From a thread that could not be started to the next try. */
#define TRY_AGAIN_NS UINT64_C(1000000000)
/* From a look at a thread that has ended, and is not gone yet, to the next. */
#define JOIN_AGAIN_NS UINT64_C(10000000)

/* ---- the thread ------------------------------------------------------------------------------ */

/* Sleeps until the condition or the time. False: the time has come. */
static bool
sleep_locked(struct sn_defrag *d, uint64_t until_ns)
{
    struct timespec until = sn_os_timespec(until_ns);
    if (until_ns != SN_NEVER)
        return sn_wait_until(&d->mover->wake, &d->mover->wake_lock, &until);
    sn_wait(&d->mover->wake, &d->mover->wake_lock);
    return true;
}

/* During a long grace period the grace-period thread cannot purge, so this one does. The lock is
 * let go meanwhile. */
static void
purge_in_its_stead_locked(struct sn_defrag *d)
{
    sn_store_relaxed(&d->mover->purge_during_gp, sn_rcu_age_ns(d->store->rcu) != 0);
    sn_unlock(&d->mover->wake_lock);
    sn_defrag_purge(d->store, 0);
    sn_lock(&d->mover->wake_lock);
}

/*
 * Sleeps until woken or until the time; offline, so that it holds up no grace period. While one is
 * under way, for as long as some reader stays in its section, it purges now and then, and when the
 * time has come. Result: whether it was woken.
 */
static bool
rest_until(struct sn_defrag *d, uint64_t until_ns)
{
    sn_lock(&d->mover->wake_lock);
    while (!d->mover->woken && !d->stopping) {
        bool purging = sn_load_relaxed(&d->mover->purge_during_gp);
        uint64_t look_ns = purging ? sn_os_now_ns() + POLL_NS : SN_NEVER;
        if (sleep_locked(d, sn_min(until_ns, look_ns)))
            continue;
        if (purging)
            purge_in_its_stead_locked(d);
        if (until_ns <= look_ns)
            break;
    }
    bool woken = d->mover->woken;
    d->mover->woken = woken && d->stopping; /* one that ends by itself looks at it once more */
    sn_unlock(&d->mover->wake_lock);
    return woken;
}

static bool
is_stopping(struct sn_defrag *d)
{
    sn_lock(&d->mover->wake_lock);
    bool stopping = d->stopping;
    sn_unlock(&d->mover->wake_lock);
    return stopping;
}

/* Nothing to do: sets the mark at which frees wake us. Result: until when to sleep at most. */
static uint64_t
arm_wake_up(struct sn_defrag *d)
{
    handle_store *store = d->store;
    uint64_t live = sn_load_relaxed(&store->pool.arena_committed);
    uint64_t notice =
        sn_policy_notice_bytes(live, sn_load_relaxed(&store->options.defrag.ignore_bytes));
    uint64_t mark = sn_load_relaxed(&d->surveyed_freed) + notice;
    sn_store_relaxed(&store->heap.wake_at, mark);
    /* What was freed while the policy was asked, or before the mark stood, woke nobody. */
    sn_fence_seq_cst();
    if (sn_load_relaxed(&store->heap.freed_bytes) >= mark)
        return 0;
    uint32_t reason = sn_load_relaxed(&d->mover->idle_reason);
    if (reason == HANDLE_IDLE_BACKOFF)
        return sn_os_now_ns() + POLL_NS; /* looks whether the pause is over */
    return sn_force_moves() ? sn_os_now_ns() + POLL_NS / 10 : SN_NEVER;
}

/* The thread ends, unless somebody has woken it: frees do so again at their mark, or it is not to
 * work. */
static void
end_by_itself(struct sn_defrag *d)
{
    sn_lock(&d->mover->wake_lock);
    if (!d->mover->woken && !d->stopping && !sn_load_relaxed(&d->mover->purge_during_gp))
        d->idle_end = d->stopping = true;
    bool ends = d->idle_end;
    sn_unlock(&d->mover->wake_lock);
    if (ends)
        sn_hook(SN_HOOK_MOVER_ENDS, d->store);
}

/* Dense parts of the arena become huge pages, so many at a time: the next ones wake the thread. Not
 * while a forked child shares the pages, which it would copy. */
static void
collapse_some(struct sn_defrag *d)
{
    enum { MOST = 16 };
    for (unsigned left = MOST; left > 0 && !is_stopping(d); left--) {
        if (!sn_hugepages_are_made(d->store) || sn_mover_shares_pages(d->store) ||
            !sn_dense_collapse(&d->store->heap))
            return;
    }
}

/* Nothing to do: sleeps. When something was freed since the last rest, it looks after a while
 * whether this is one: then what is left of waste is compacted by lower thresholds. */
static void
idle(struct sn_defrag *d)
{
    collapse_some(d);
    uint64_t until_ns = arm_wake_up(d);
    uint64_t freed = sn_load_relaxed(&d->store->heap.freed_bytes);
    bool look = until_ns == SN_NEVER && freed != d->rest_freed;
    if (until_ns == SN_NEVER && !look)
        sn_defrag_rest_batches(d);
    uint64_t rest_end_ns = sn_os_now_ns() + (look ? REST_NS : LAST_REST_NS);
    bool woken = rest_until(d, sn_min(until_ns, rest_end_ns));
    if (until_ns == SN_NEVER && !look && !woken)
        end_by_itself(d);
    bool at_rest = look && sn_load_relaxed(&d->store->heap.freed_bytes) == freed;
    sn_lock(&d->mover->lock);
    d->at_rest = at_rest;
    sn_unlock(&d->mover->lock);
    if (at_rest)
        d->rest_freed = freed;
}

/* Waits for a grace period, but not longer than until somebody stops the thread. */
static void
await_ticket(struct sn_defrag *d, uint64_t ticket)
{
    while (!sn_rcu_wait(d->store->rcu, ticket, sn_os_now_ns() + POLL_NS) && !is_stopping(d))
        sn_defrag_purge(d->store, 0); /* the thread that purges otherwise waits in that GP */
}

/* Gives up the batch under way and carries what was moved through its grace period, so that nothing
 * stays closed, MOVING or in limbo for as long as the mover rests. What handle_defrag_step has
 * begun is finished: who steps only now and then gets somewhere, too. */
static void
wind_down(struct sn_defrag *d)
{
    enum sn_advance advance;
    bool first = true, left = sn_swap_acq_rel(&d->left_ns, 0) != 0;
    do {
        uint64_t ticket = 0;
        sn_defrag_enter(d, SN_UNREGISTERED);
        d->winding_down = true;
        if (first && left) /* once: what begins meanwhile is a compaction's that somebody awaits */
            sn_defrag_end_plan_locked(d);
        else if (first)
            sn_defrag_cancel_locked(d);
        first = false;
        advance = sn_defrag_advance_locked(d, sn_os_now_ns() + WIND_DOWN_SLICE_NS, &ticket);
        d->winding_down = false;
        sn_defrag_leave(d, SN_UNREGISTERED);
        if (advance == SN_ADVANCE_WAIT)
            (void)sn_rcu_wait(d->store->rcu, ticket, SN_NEVER);
    } while (advance != SN_ADVANCE_NOTHING);
    sn_defrag_rest_batches(d);
}

/* True: compaction is disabled, or a forked child shares the pages; the mover has wound down, and
 * has slept. */
static bool
must_rest(struct sn_defrag *d)
{
    uint64_t requests = sn_mover_requests(d->mover);
    bool enabled = sn_defrag_is_enabled(d);
    if (enabled && !sn_defrag_is_forked_away(d))
        return false;
    if (!enabled || sn_mover_fork_copy_bytes(d->store) == 0)
        sn_mover_answer(d->mover, requests); /* nobody must wait for what will not come */
    wind_down(d);
    sn_store_relaxed(&d->mover->idle_reason, enabled ? HANDLE_IDLE_FORKED : HANDLE_IDLE_DISABLED);
    if (!enabled)
        end_by_itself(d);
    (void)rest_until(d, sn_os_now_ns() + POLL_NS);
    return true;
}

/* One slice and the rest that belongs to it. */
static void
work_once(struct sn_defrag *d)
{
    uint64_t ticket = 0;
    uint64_t slice_ns = sn_load_relaxed(&d->store->options.defrag.slice_us) * UINT64_C(1000);
    if (must_rest(d))
        return;
    sn_store_relaxed(&d->store->heap.wake_at, UINT64_MAX);
    uint64_t begin = sn_os_now_ns();
    sn_defrag_enter(d, SN_UNREGISTERED);
    uint64_t worked_before = d->mover->totals.cpu_ns;
    enum sn_advance advance = sn_defrag_advance_locked(d, begin + slice_ns, &ticket);
    uint32_t effort = sn_mover_is_requested(d->mover) ? 100 : d->effort_percent;
    uint64_t work_ns = d->mover->totals.cpu_ns - worked_before;
    sn_defrag_leave(d, SN_UNREGISTERED);
    if (advance == SN_ADVANCE_NOTHING)
        idle(d);
    if (advance == SN_ADVANCE_WAIT)
        await_ticket(d, ticket);
    d->due_ns = sn_policy_due_ns(d->due_ns, begin, work_ns, effort);
    if (advance != SN_ADVANCE_NOTHING && d->due_ns > sn_os_now_ns())
        (void)rest_until(d, d->due_ns);
}

/* The thread has wound down. True: it was started again meanwhile, and goes on. */
static bool
goes_on(struct sn_defrag *d)
{
    sn_lock(&d->mover->wake_lock);
    bool woken = d->idle_end && d->mover->woken && sn_defrag_is_enabled(d);
    bool again = (d->restarted || woken) && !d->mover->ended;
    d->restarted = d->idle_end = false;
    d->mover->exiting = !again;
    d->stopping = !again;
    d->stops++;
    pthread_cond_broadcast(&d->mover->wake);
    sn_unlock(&d->mover->wake_lock);
    return again;
}

static void *
defrag_thread(void *argument)
{
    struct sn_defrag *d = argument;
    do {
        while (!is_stopping(d))
            work_once(d);
        wind_down(d);
        sn_caches_detach(&d->store->caches);
    } while (goes_on(d));
    sn_store_signal(d->store, true); /* the grace-period thread joins this one */
    sn_hook(SN_HOOK_MOVER_GONE, d->store);
    return NULL;
}

static int
start_thread(struct sn_defrag *d)
{
    char name[sizeof("sn-") + sizeof(d->store->name)];
    snprintf(name, sizeof(name), "sn-%s", d->store->name);
    return -sn_os_start_thread(&d->thread, defrag_thread, d, name);
}

static void
end_join_locked(struct sn_defrag *d)
{
    d->mover->running = d->stopping = d->mover->exiting = d->joined = false;
    d->stops++; /* who waits for this thread's end sees it, even if the next one runs by then */
    pthread_cond_broadcast(&d->mover->wake);
}

/* Drops the lock while it waits for the thread to be gone. */
static void
join_thread_locked(struct sn_defrag *d)
{
    SN_NO_CANCELLATION;
    d->joined = true;
    sn_unlock(&d->mover->wake_lock);
    pthread_join(d->thread, NULL);
    sn_lock(&d->mover->wake_lock);
    end_join_locked(d);
}

/* The same without waiting, for callers that hold up others: destructors of the application's may
 * run in a thread that has ended, and wait for those. False: it is not gone yet. */
static bool
try_join_thread_locked(struct sn_defrag *d)
{
    bool gone = pthread_tryjoin_np(d->thread, NULL) == 0;
    if (gone)
        end_join_locked(d);
    return gone;
}

int
sn_defrag_allow_thread_locked(struct sn_defrag *d)
{
    if (d->mover->ended)
        return -EBUSY;
    d->restarted = d->mover->running && d->stopping && !d->mover->exiting;
    if (!d->mover->running || d->mover->exiting)
        sn_store_relaxed(&d->mover->idle_reason, HANDLE_IDLE_BELOW_IGNORE);
    return 0;
}

static void
start_wanted_locked(struct sn_defrag *d, uint64_t now_ns)
{
    d->mover->running = start_thread(d) == 0;
    d->mover->woken = !d->mover->running;
    if (!d->mover->running) {
        sn_mover_answer(d->mover,
                        sn_mover_requests(d->mover)); /* nobody must wait for what does not come */
        if (!d->mover->failed)
            sn_store_relaxed(&d->store->thread_failed, 1);
    }
    d->mover->failed = !d->mover->running;
    d->try_again_ns = now_ns + TRY_AGAIN_NS;
}

uint64_t
sn_defrag_tend_locked(struct sn_defrag *d, uint64_t now_ns)
{
    if (d->mover->running && d->mover->exiting && !d->joined && !try_join_thread_locked(d))
        return now_ns + JOIN_AGAIN_NS; /* it takes its last steps */
    if (d->mover->running || d->mover->ended)
        return SN_NEVER;
    uint64_t left_ns = sn_load_relaxed(&d->left_ns);
    uint64_t due_ns = left_ns ? left_ns + LEFT_NS : SN_NEVER;
    bool wanted = (d->mover->woken && sn_defrag_is_enabled(d)) || due_ns <= now_ns;
    d->mover->failed &= wanted;
    if (!wanted)
        return due_ns;
    if (!d->mover->failed || now_ns >= d->try_again_ns)
        start_wanted_locked(d, now_ns);
    return d->mover->failed ? d->try_again_ns : SN_NEVER;
}

void
sn_defrag_stop_locked(struct sn_defrag *d)
{
    uint64_t before = d->stops;
    d->restarted = d->idle_end = false;
    d->stopping = d->mover->running;
    pthread_cond_broadcast(&d->mover->wake);
    while (d->mover->running && (d->joined || (d->stops == before && !d->mover->exiting)))
        sn_wait(&d->mover->wake, &d->mover->wake_lock);
    if (d->mover->running && d->mover->exiting)
        join_thread_locked(d);
}

/* ---- public: on and off ---------------------------------------------------------------------- */

/* Option and thread change under one lock: of a start and a stop at once, the later one holds. */
int
handle_defrag_start(handle_store *store)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store)
        return -EINVAL;
    if (store->forked)
        return -ENOTSUP;
    struct sn_defrag *d = store->defrag;
    sn_lock(&d->mover->wake_lock);
    int error = sn_defrag_allow_thread_locked(d);
    if (!error)
        sn_store_relaxed(&store->options.defrag.enabled, true);
    sn_unlock(&d->mover->wake_lock);
    if (!error)
        sn_mover_wake(store);
    return error;
}

/* A callback of the mover's thread, say for damage, cannot wait for that thread. */
static bool
is_own_thread_locked(const struct sn_defrag *d)
{
    return d->mover->running && pthread_equal(d->thread, pthread_self());
}

int
handle_defrag_stop(handle_store *store)
{
    bool was_online;
    int error = sn_begin_waiting(store, &was_online);
    if (error)
        return error;
    struct sn_defrag *d = store->defrag;
    sn_lock(&d->mover->wake_lock);
    error = is_own_thread_locked(d) ? -EDEADLK : 0;
    bool alone = !d->mover->running;
    if (!error) {
        sn_store_relaxed(&store->options.defrag.enabled, false);
        sn_defrag_stop_locked(d);
        if (!sn_defrag_is_enabled(d)) /* a start may have come since */
            sn_store_relaxed(&d->mover->idle_reason, HANDLE_IDLE_DISABLED);
    }
    sn_unlock(&d->mover->wake_lock);
    sn_store_signal(store, true); /* it may want another thread, now that this one is joined */
    if (!error && alone)          /* what steps have begun no thread has wound down */
        (void)sn_defrag_finish(store, false, SN_NEVER);
    sn_rcu_return(store->rcu->flavor, was_online);
    return error;
}
