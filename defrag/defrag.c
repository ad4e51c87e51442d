/* SPDX-License-Identifier: MIT */
/*
 * defrag.c - who drives the state machine (machine.c): the background thread with its pacing, the
 * step for event loops, the full compaction; and what the rest of the library asks of it.
 */
#include "defrag.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "misuse.h"

#define STEP_BUDGET_MAX_US 1000000
#define STEP_PURGE_BYTES   ((size_t)1 << 20)
#define COMPACT_SLICE_NS   5000000
#define REST_NS            500000000 /* without a free: idle caches have been emptied by then */
#define POLL_NS            100000000 /* looks again at what nobody announces: forked children */

/* ---- damage is reported without locks -------------------------------------------------------- */

/* The handle whose word names a slot, found by a walk over the table; HANDLE_NULL: a cell's. */
static handle_t
find_handle(const handle_store *store, uint64_t slot)
{
    uint64_t end = (uint64_t)sn_load_relaxed(&store->table.high) << SN_PAGE_SHIFT;
    for (uint64_t at = 0; at < end; at += 8) {
        const uint64_t *reference = sn_table_word(&store->table, at);
        uint64_t word = sn_load_relaxed(reference);
        if (sn_word_has_object(word) && sn_word_offset(word) == slot)
            return sn_table_handle(&store->table, reference, word);
    }
    return HANDLE_NULL;
}

/* offline: the caller is, and callbacks want to read. */
static void
unlock_and_report(struct sn_defrag *d, bool offline)
{
    const struct rcu_flavor_struct *flavor = d->store->rcu->flavor;
    struct sn_damage damage = d->evacuation.damage;
    d->evacuation.damage.count = 0;
    sn_unlock(&d->lock);
    if (sn_likely(damage.count == 0))
        return;
    if (offline)
        flavor->thread_online();
    for (uint32_t i = 0; i < damage.count; i++) {
        handle_t handle = find_handle(d->store, damage.slot[i]);
        sn_store_error(d->store,
                       "compaction: header of the object at offset %#llx (handle %#llx, 0: a "
                       "cell's) is damaged; its span is left alone from now on",
                       (unsigned long long)damage.slot[i], (unsigned long long)handle);
    }
    if (offline)
        flavor->thread_offline();
}

/* ---- the thread ------------------------------------------------------------------------------ */

static struct timespec
as_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};
}

static size_t
purge_some(handle_store *store, size_t max_bytes)
{
    uint64_t next;
    int64_t delay_ms = sn_load_relaxed(&store->options.purge_delay_ms);
    if (delay_ms < 0)
        return 0;
    uint64_t now = sn_os_now_ns();
    uint64_t delay_ns = (uint64_t)delay_ms * 1000000;
    if (now < delay_ns)
        return 0;
    return sn_pool_purge(&store->pool, now - delay_ns, max_bytes, &next);
}

/* Sleeps until the condition or the time. False: the time has come. */
static bool
sleep_locked(struct sn_defrag *d, uint64_t until_ns)
{
    struct timespec until = as_timespec(until_ns);
    if (until_ns == SN_NEVER)
        return pthread_cond_wait(&d->wake, &d->wake_lock.mutex) == 0;
    return pthread_cond_timedwait(&d->wake, &d->wake_lock.mutex, &until) != ETIMEDOUT;
}

/*
 * Sleeps until woken or until the time; offline, so that it holds up no grace period. While one is
 * under way the thread that purges otherwise waits for it, for as long as some reader stays in its
 * section: we look after it.
 */
static void
rest_until(struct sn_defrag *d, uint64_t until_ns)
{
    sn_lock(&d->wake_lock);
    while (!d->woken && !d->stopping) {
        bool watching = sn_load_relaxed(&d->watching);
        uint64_t look_ns = watching ? sn_os_now_ns() + POLL_NS : SN_NEVER;
        if (sleep_locked(d, sn_min(until_ns, look_ns)))
            continue;
        if (until_ns <= look_ns)
            break;
        sn_store_relaxed(&d->watching, sn_rcu_age_ns(d->store->rcu) != 0);
        sn_unlock(&d->wake_lock);
        purge_some(d->store, 0);
        sn_lock(&d->wake_lock);
    }
    d->woken = false;
    sn_unlock(&d->wake_lock);
}

static bool
is_stopping(struct sn_defrag *d)
{
    sn_lock(&d->wake_lock);
    bool stopping = d->stopping;
    sn_unlock(&d->wake_lock);
    return stopping;
}

static bool
is_running(struct sn_defrag *d)
{
    sn_lock(&d->wake_lock);
    bool running = d->running && !d->stopping;
    sn_unlock(&d->wake_lock);
    return running;
}

/* TSan learns from annotations where a thread's accesses to objects end (QSBR has no unlock). */
static void
section_for_tsan(const struct sn_rcu *rcu)
{
#if SN_TSAN
    sn_rcu_read_lock(rcu);
    sn_rcu_read_unlock(rcu);
#else
    (void)rcu;
#endif
}

/* One advance by a caller that is offline: online only under the mover's lock. So it holds up no
 * grace period while it waits for the lock, and no fork finds it online. */
static enum sn_advance
advance_online_locked(struct sn_defrag *d, uint64_t deadline_ns, uint64_t *ticket)
{
    const struct sn_rcu *rcu = d->store->rcu;
    rcu->flavor->thread_online();
    enum sn_advance advance = sn_defrag_advance_locked(d, deadline_ns, ticket);
    section_for_tsan(rcu);
    rcu->flavor->thread_offline();
    return advance;
}

static bool
is_enabled(const struct sn_defrag *d)
{
    return sn_load_relaxed(&d->store->options.defrag.enabled);
}

/* A child that shares our pages makes every move cost a copied page. */
static bool
is_forked_away(struct sn_defrag *d)
{
    if (!sn_load_relaxed(&d->store->options.defrag.pause_while_forked) ||
        !sn_fork_child_lives(d->store))
        return false;
    sn_store_relaxed(&d->idle_reason, HANDLE_IDLE_FORKED);
    return true;
}

/* Nothing to do: sets the mark at which frees wake us. Result: until when to sleep at most. */
static uint64_t
arm_wake_up(struct sn_defrag *d)
{
    handle_store *store = d->store;
    if (sn_load_relaxed(&d->idle_reason) == HANDLE_IDLE_WALK)
        return sn_os_now_ns() + POLL_NS; /* the walk's end wakes us */
    uint64_t live = sn_load_relaxed(&store->pool.arena_committed);
    uint64_t notice =
        sn_policy_notice_bytes(live, sn_load_relaxed(&store->options.defrag.ignore_bytes));
    uint64_t mark = sn_load_relaxed(&d->surveyed_freed) + notice;
    sn_store_relaxed(&store->heap.wake_at, mark);
    /* What was freed while the policy was asked, or before the mark stood, woke nobody. */
    sn_fence_seq_cst();
    if (sn_load_relaxed(&store->heap.freed_bytes) >= mark)
        return 0;
    uint32_t reason = sn_load_relaxed(&d->idle_reason);
    if (reason == HANDLE_IDLE_BACKOFF)
        return sn_os_now_ns() + POLL_NS; /* looks whether the pause is over */
    return sn_force_moves() ? sn_os_now_ns() + POLL_NS / 10 : SN_NEVER;
}

/* Nothing to do: sleeps. When something was freed since the last rest, it looks after a while whether
 * this is one: then what is left of waste is compacted by lower thresholds. */
static void
idle(struct sn_defrag *d)
{
    uint64_t until_ns = arm_wake_up(d);
    uint64_t freed = sn_load_relaxed(&d->store->heap.freed_bytes);
    bool look = until_ns == SN_NEVER && freed != d->rest_freed;
    rest_until(d, look ? sn_os_now_ns() + REST_NS : until_ns);
    bool at_rest = look && sn_load_relaxed(&d->store->heap.freed_bytes) == freed;
    sn_lock(&d->lock);
    d->at_rest = at_rest;
    sn_unlock(&d->lock);
    if (at_rest)
        d->rest_freed = freed;
}

/* Waits for a grace period, but not longer than until somebody stops the thread. */
static void
await_ticket(struct sn_defrag *d, uint64_t ticket)
{
    while (!sn_rcu_wait(d->store->rcu, ticket, sn_os_now_ns() + POLL_NS) && !is_stopping(d))
        purge_some(d->store, 0); /* the thread that purges otherwise waits in that GP */
}

/* Gives up the batch under way and carries what was moved through its grace period, so that nothing
 * stays closed, MOVING or in limbo for as long as the mover rests. */
static void
wind_down(struct sn_defrag *d)
{
    const struct rcu_flavor_struct *flavor = d->store->rcu->flavor;
    enum sn_advance advance;
    bool first = true;
    do {
        uint64_t ticket = 0;
        sn_lock(&d->lock);
        d->winding_down = true;
        bool walked = d->paused > 0; /* a walk relies on closed spans staying so */
        if (first && !walked) {
            flavor->thread_online();
            sn_defrag_call_off_locked(d);
            flavor->thread_offline();
            first = false;
        }
        advance = advance_online_locked(d, sn_os_now_ns() + COMPACT_SLICE_NS, &ticket);
        d->winding_down = false;
        unlock_and_report(d, true);
        if (advance == SN_ADVANCE_WAIT)
            (void)sn_rcu_wait(d->store->rcu, ticket, SN_NEVER);
        else if (first)
            nanosleep(&(struct timespec){.tv_nsec = POLL_NS / 100}, NULL);
    } while (first || advance != SN_ADVANCE_NOTHING);
}

/* Enabled or not, and whose pages they are. True: the mover rests. */
static bool
must_rest(struct sn_defrag *d)
{
    bool enabled = is_enabled(d);
    if (enabled && !is_forked_away(d))
        return false;
    sn_store_relaxed(&d->pressure, 0);
    wind_down(d);
    sn_store_relaxed(&d->idle_reason, enabled ? HANDLE_IDLE_FORKED : HANDLE_IDLE_DISABLED);
    rest_until(d, enabled ? sn_os_now_ns() + POLL_NS : SN_NEVER);
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
    sn_lock(&d->lock);
    enum sn_advance advance = advance_online_locked(d, begin + slice_ns, &ticket);
    uint32_t effort = sn_load_relaxed(&d->pressure) ? 100 : d->effort_percent;
    unlock_and_report(d, true);
    uint64_t end = sn_os_now_ns();
    if (advance == SN_ADVANCE_NOTHING)
        idle(d);
    if (advance == SN_ADVANCE_WAIT)
        await_ticket(d, ticket);
    /* Waiting for a grace period was rest, too. */
    uint64_t rested_ns = end + sn_policy_rest_ns(end - begin, effort);
    if (advance != SN_ADVANCE_NOTHING && rested_ns > sn_os_now_ns())
        rest_until(d, rested_ns);
}

/* The thread has wound down. True: it was started again meanwhile, and goes on. */
static bool
goes_on(struct sn_defrag *d)
{
    sn_lock(&d->wake_lock);
    bool again = d->restarted && !d->ended;
    d->restarted = false;
    d->exiting = !again;
    d->stopping = !again;
    d->stops++;
    pthread_cond_broadcast(&d->wake);
    sn_unlock(&d->wake_lock);
    return again;
}

static void *
defrag_thread(void *argument)
{
    struct sn_defrag *d = argument;
    const struct rcu_flavor_struct *flavor = d->store->rcu->flavor;
    sn_lock(&d->lock); /* against forks, see fork.c */
    flavor->register_thread();
    flavor->thread_offline();
    sn_unlock(&d->lock);
    do {
        while (!is_stopping(d))
            work_once(d);
        wind_down(d);
    } while (goes_on(d));
    sn_caches_detach(&d->store->caches);
    sn_lock(&d->lock);
    flavor->unregister_thread();
    sn_unlock(&d->lock);
    return NULL;
}

static int
start_thread(struct sn_defrag *d)
{
    sigset_t all, before;
    if (sn_fault(SN_FAULT_THREAD))
        return -EAGAIN;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&d->thread, NULL, defrag_thread, d);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error)
        return -error;
    char name[16];
    snprintf(name, sizeof(name), "sn-%.12s", d->store->name);
    pthread_setname_np(d->thread, name);
    return 0;
}

/* Waits for no grace period: only for the last steps of a thread that has wound down. */
static int
ensure_thread_locked(struct sn_defrag *d)
{
    while (d->exiting)
        pthread_cond_wait(&d->wake, &d->wake_lock.mutex);
    if (d->ended)
        return -EBUSY;
    if (d->running) {
        d->restarted = d->stopping;
        return 0;
    }
    int error = start_thread(d);
    d->running = error == 0;
    return error;
}

static int
ensure_thread(struct sn_defrag *d)
{
    sn_lock(&d->wake_lock);
    int error = ensure_thread_locked(d);
    sn_unlock(&d->wake_lock);
    return error;
}

static void
join_thread_locked(struct sn_defrag *d)
{
    d->joined = true;
    sn_unlock(&d->wake_lock);
    pthread_join(d->thread, NULL);
    sn_lock(&d->wake_lock);
    d->running = d->stopping = d->exiting = d->joined = false;
    pthread_cond_broadcast(&d->wake);
}

/* Returns when the thread has wound down, by whomever it was asked; it has then ended, unless it was
 * started again. The caller is offline. */
static void
stop_thread_locked(struct sn_defrag *d)
{
    uint64_t before = d->stops;
    d->restarted = false;
    d->stopping = d->running;
    pthread_cond_broadcast(&d->wake);
    while (d->running && (d->joined || (d->stops == before && !d->exiting)))
        pthread_cond_wait(&d->wake, &d->wake_lock.mutex);
    if (d->running && d->exiting)
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
    sn_lock(&d->wake_lock);
    int error = ensure_thread_locked(d);
    if (!error)
        sn_store_relaxed(&store->options.defrag.enabled, true);
    sn_unlock(&d->wake_lock);
    if (!error)
        sn_defrag_wake(store);
    return error;
}

/* A callback of the mover's thread, say for damage, can not wait for that thread. */
static bool
is_own_thread_locked(const struct sn_defrag *d)
{
    return d->running && pthread_equal(d->thread, pthread_self());
}

int
handle_defrag_stop(handle_store *store)
{
    bool was_online;
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store)
        return -EINVAL;
    if (!sn_rcu_leave(store->rcu->flavor, &was_online))
        return -EDEADLK;
    struct sn_defrag *d = store->defrag;
    sn_lock(&d->wake_lock);
    int result = is_own_thread_locked(d) ? -EDEADLK : 0;
    if (!result) {
        sn_store_relaxed(&store->options.defrag.enabled, false);
        stop_thread_locked(d);
        sn_store_relaxed(&d->idle_reason, HANDLE_IDLE_DISABLED);
    }
    sn_unlock(&d->wake_lock);
    sn_rcu_return(store->rcu->flavor, was_online);
    return result;
}

/* ---- public: step, compact, estimate --------------------------------------------------------- */

static bool
check_report(const struct handle_defrag_report *report)
{
    return !report || report->struct_size >= sizeof(*report);
}

/* A caller built with a later version has a larger struct: its size is kept. */
static void
begin_report(struct handle_defrag_report *report, const struct sn_policy_sum *sum)
{
    size_t struct_size = report->struct_size;
    *report = (struct handle_defrag_report)HANDLE_DEFRAG_REPORT_INIT;
    report->struct_size = struct_size;
    report->live_bytes = sum->live_bytes;
    report->span_bytes = sum->span_bytes;
    report->recoverable_bytes = sum->recoverable_bytes;
}

static void
fill_report(struct sn_defrag *d, struct handle_defrag_report *report,
            const struct sn_defrag_totals *before, uint64_t purged)
{
    struct sn_policy_class classes[SN_CLASSES_MAX];
    struct sn_policy_sum sum;
    const struct sn_defrag_totals *now = &d->evacuation.totals;
    if (!report)
        return;
    sn_defrag_survey(d->store, &sum, classes);
    begin_report(report, &sum);
    report->moved_objects = sn_load_relaxed(&now->moved_objects) - before->moved_objects;
    report->moved_bytes = sn_load_relaxed(&now->moved_bytes) - before->moved_bytes;
    report->released_bytes = sn_load_relaxed(&now->released_bytes) - before->released_bytes;
    report->spans_evacuated = sn_load_relaxed(&now->spans_emptied) - before->spans_emptied;
    report->grace_periods = sn_load_relaxed(&now->grace_periods) - before->grace_periods;
    report->cpu_ns = sn_load_relaxed(&now->cpu_ns) - before->cpu_ns;
    for (unsigned i = 0; i < HANDLE_REFUSED_REASONS; i++)
        report->refused[i] = sn_load_relaxed(&now->refused[i]) - before->refused[i];
    report->purged_bytes = purged;
    report->idle_reason = sn_load_relaxed(&d->idle_reason);
}

static void
copy_totals(struct sn_defrag_totals *to, const struct sn_defrag_totals *from)
{
    uint64_t *words = (uint64_t *)to;
    const uint64_t *source = (const uint64_t *)from;
    for (size_t i = 0; i < sizeof(*to) / sizeof(uint64_t); i++)
        words[i] = sn_load_relaxed(&source[i]);
}

int
handle_defrag_step(handle_store *store, uint32_t budget_us, struct handle_defrag_report *report)
{
    struct sn_defrag_totals before;
    uint64_t ticket;
    sn_check_call(store, SN_REGISTERED, 0, NULL);
    if (!store || budget_us == 0 || budget_us > STEP_BUDGET_MAX_US || !check_report(report))
        return -EINVAL;
    if (store->forked)
        return -ENOTSUP;
    struct sn_defrag *d = store->defrag;
    uint64_t deadline = sn_os_now_ns() + budget_us * UINT64_C(1000);
    copy_totals(&before, &d->evacuation.totals);
    bool away = is_forked_away(d);
    bool mine = sn_try_lock(&d->lock); /* G8: never waits for another mover */
    enum sn_advance advance = SN_ADVANCE_NOTHING;
    if (mine) {
        if (!away)
            advance = sn_defrag_advance_locked(d, deadline, &ticket);
        unlock_and_report(d, false);
    }
    size_t purged = sn_os_now_ns() < deadline ? purge_some(store, STEP_PURGE_BYTES) : 0;
    fill_report(d, report, &before, purged);
    if (report) {
        report->busy = !mine;
        report->more = !mine || advance != SN_ADVANCE_NOTHING;
    }
    return 0;
}

/* Drives the machine until the forced pass is over, by whichever thread. */
static void
run_forced_pass(struct sn_defrag *d)
{
    uint64_t wanted = __atomic_add_fetch(&d->forced_wanted, 1, __ATOMIC_RELAXED);
    while (sn_load_relaxed(&d->forced_done) < wanted) {
        uint64_t ticket = 0;
        sn_lock(&d->lock);
        d->only_forced = true;
        enum sn_advance advance =
            advance_online_locked(d, sn_os_now_ns() + COMPACT_SLICE_NS, &ticket);
        d->only_forced = false;
        unlock_and_report(d, true);
        if (advance == SN_ADVANCE_WAIT)
            (void)sn_rcu_wait(d->store->rcu, ticket, sn_os_now_ns() + POLL_NS);
        else if (advance == SN_ADVANCE_NOTHING) /* a walk holds the objects in place */
            nanosleep(&(struct timespec){.tv_nsec = POLL_NS / 100}, NULL);
    }
}

int
handle_store_compact(handle_store *store, struct handle_defrag_report *report)
{
    struct sn_defrag_totals before;
    bool was_online;
    size_t purged = 0;
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store || !check_report(report))
        return -EINVAL;
    if (store->forked)
        return -ENOTSUP;
    if (!sn_rcu_leave(store->rcu->flavor, &was_online))
        return -EDEADLK;
    copy_totals(&before, &store->defrag->evacuation.totals);
    sn_rcu_wait_cycle(store->rcu); /* what is in limbo now need not be moved around */
    run_forced_pass(store->defrag);
    int error = handle_store_purge(store, &purged);
    fill_report(store->defrag, report, &before, purged);
    sn_rcu_return(store->rcu->flavor, was_online);
    return error;
}

int
handle_defrag_estimate(handle_store *store, struct handle_defrag_report *report)
{
    struct sn_policy_class classes[SN_CLASSES_MAX];
    struct sn_policy_sum sum;
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store || !report || !check_report(report))
        return -EINVAL;
    sn_defrag_survey(store, &sum, classes);
    begin_report(report, &sum);
    report->moved_objects = sum.move_objects;
    report->moved_bytes = sum.move_bytes;
    report->released_bytes = sum.recoverable_bytes;
    report->spans_evacuated = sum.recoverable_spans;
    report->more = sum.recoverable_spans > 0;
    report->idle_reason = sn_load_relaxed(&store->defrag->idle_reason);
    return 0;
}

/* ---- what the rest of the library asks ------------------------------------------------------- */

static bool
init_batches(struct sn_defrag *d)
{
    return sn_batch_init(&d->batch[0]) && sn_batch_init(&d->batch[1]);
}

static void
free_defrag(struct sn_defrag *d)
{
    sn_batch_fini(&d->batch[0]);
    sn_batch_fini(&d->batch[1]);
    sn_lock_destroy(&d->lock);
    sn_lock_destroy(&d->wake_lock);
    pthread_cond_destroy(&d->wake);
    sn_os_free(d);
}

static void
init_wake(struct sn_defrag *d)
{
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&d->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    sn_lock_init(&d->wake_lock, SN_RANK_WAKE);
}

int
sn_defrag_create(handle_store *store)
{
    struct sn_defrag *d = sn_os_zalloc(sizeof(*d));
    if (!d)
        return -ENOMEM;
    d->store = store;
    d->evacuation.store = store;
    d->evacuation.bytes_max = sn_os_l2_bytes() / 2;
    d->effort_percent = 1;
    d->idle_reason = HANDLE_IDLE_DISABLED;
    sn_lock_init(&d->lock, SN_RANK_MOVER);
    init_wake(d);
    int error = init_batches(d) ? 0 : -ENOMEM;
    store->defrag = d;
    if (!error && store->options.defrag.enabled)
        error = ensure_thread(d);
    if (error) {
        store->defrag = NULL;
        free_defrag(d);
    }
    return error;
}

int
sn_defrag_configure(handle_store *store)
{
    return !store->forked && is_enabled(store->defrag) ? ensure_thread(store->defrag) : 0;
}

void
sn_defrag_end(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    if (store->forked)
        return;
    sn_lock(&d->wake_lock);
    d->ended = true;
    stop_thread_locked(d);
    sn_unlock(&d->wake_lock);
}

void
sn_defrag_destroy(handle_store *store)
{
    free_defrag(store->defrag);
    store->defrag = NULL;
}

void
sn_defrag_wake(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    if (!d || store->forked)
        return;
    /* Once is enough until the mover has looked. */
    sn_store_relaxed(&store->heap.wake_at, UINT64_MAX);
    sn_lock(&d->wake_lock);
    d->woken = true;
    pthread_cond_broadcast(&d->wake);
    sn_unlock(&d->wake_lock);
}

void
sn_defrag_watch(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    if (!d || sn_load_relaxed(&d->watching))
        return;
    sn_lock(&d->wake_lock);
    sn_store_relaxed(&d->watching, 1);
    pthread_cond_broadcast(&d->wake);
    sn_unlock(&d->wake_lock);
}

bool
sn_defrag_press(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    if (!d || store->forked || !is_enabled(d) || !is_running(d))
        return false;
    uint64_t recoverable = 0;
    for (unsigned i = 0; i < store->classes.count; i++)
        recoverable += sn_heap_recoverable(&store->heap, i);
    uint32_t reason = sn_load_relaxed(&d->idle_reason);
    bool works = recoverable > 0 && reason != HANDLE_IDLE_BACKOFF && reason != HANDLE_IDLE_FORKED;
    if (works && !sn_load_relaxed(&d->pressure)) {
        sn_store_relaxed(&d->pressure, 1);
        sn_defrag_wake(store);
    }
    return works;
}

void
sn_defrag_wait_relief(handle_store *store, uint64_t bytes)
{
    enum { PASSES = 2 }; /* the one under way may have been planned before */
    struct sn_defrag *d = store->defrag;
    uint64_t released = sn_load_relaxed(&d->evacuation.totals.released_bytes);
    uint64_t passes = sn_load_relaxed(&d->passes);
    while (sn_load_relaxed(&d->pressure) && is_enabled(d) && is_running(d) &&
           sn_load_relaxed(&d->evacuation.totals.released_bytes) - released < bytes &&
           sn_load_relaxed(&d->passes) - passes < PASSES) {
        struct timespec moment = {.tv_nsec = 200000};
        nanosleep(&moment, NULL);
    }
}

void
sn_defrag_pause(handle_store *store)
{
    sn_lock(&store->defrag->lock);
    store->defrag->paused++;
    sn_unlock(&store->defrag->lock);
}

void
sn_defrag_resume(handle_store *store)
{
    sn_lock(&store->defrag->lock);
    store->defrag->paused--;
    sn_unlock(&store->defrag->lock);
    sn_defrag_wake(store);
}

struct sn_lock *
sn_defrag_lock(handle_store *store)
{
    return &store->defrag->lock;
}

void
sn_defrag_after_fork_child(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    init_wake(d); /* another thread may have held it */
    d->running = d->stopping = d->restarted = d->exiting = d->joined = false;
    d->paused = 0; /* a walk of another thread ended with the fork */
    d->idle_reason = HANDLE_IDLE_FORKED;
}

void
sn_defrag_fill_stats(handle_store *store, struct handle_stats *stats)
{
    struct sn_policy_class classes[SN_CLASSES_MAX];
    struct sn_policy_sum sum;
    struct sn_defrag_totals totals;
    struct sn_defrag *d = store->defrag;
    sn_defrag_survey(store, &sum, classes);
    copy_totals(&totals, &d->evacuation.totals);
    stats->recoverable = sum.recoverable_bytes;
    stats->moved_objects = totals.moved_objects;
    stats->moved_bytes = totals.moved_bytes;
    stats->compaction_released = totals.released_bytes;
    stats->moved_per_released_permille =
        totals.released_bytes ? totals.moved_bytes * 1000 / totals.released_bytes : 0;
    stats->compaction_cpu_ns = totals.cpu_ns;
    stats->passes = sn_load_relaxed(&d->passes);
    memcpy(stats->refused, totals.refused, sizeof(stats->refused));
    stats->idle_reason = sn_load_relaxed(&d->idle_reason);
    for (size_t i = 0; i < sizeof(d->slices) / sizeof(uint64_t); i++)
        ((uint64_t *)&stats->slice)[i] = sn_load_relaxed(&((uint64_t *)&d->slices)[i]);
}

size_t
sn_defrag_metadata_bytes(void)
{
    return sizeof(struct sn_defrag) + sizeof(struct sn_move) * SN_BATCH_OBJECTS * 2;
}
