/* SPDX-License-Identifier: MIT */
/*
 * defrag.c - who else drives the state machine (machine.c) than the background thread (thread.c):
 * the step for event loops, the full compaction; and what the rest of the library asks of it.
 */
#include "defrag/defrag.h"

#include <string.h>

#include "core/misuse.h"

#define STEP_BUDGET_MAX_US 1000000
#define STEP_PURGE_BYTES   ((size_t)1 << 20)
#define COMPACT_SLICE_NS   5000000
#define POLL_NS            100000000

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

static void
report_damage(struct sn_defrag *d, const struct sn_damage *damage)
{
    for (uint32_t i = 0; i < damage->count; i++) {
        handle_t handle = find_handle(d->store, damage->slot[i]);
        sn_store_error(d->store,
                       "compaction: header of the object at offset %#llx (handle %#llx, 0: a "
                       "cell's) is damaged; its span is left alone from now on",
                       (unsigned long long)damage->slot[i], (unsigned long long)handle);
    }
}

/* ---- readers --------------------------------------------------------------------------------- */

void
sn_defrag_enter(struct sn_defrag *d, enum sn_presence presence)
{
    const struct rcu_flavor_struct *flavor = d->store->rcu->flavor;
    sn_rcu_join(d->store->rcu);
    sn_lock(&d->lock);
    if (presence == SN_UNREGISTERED)
        flavor->register_thread();
    else
        flavor->thread_online();
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

void
sn_defrag_leave(struct sn_defrag *d, enum sn_presence presence)
{
    const struct rcu_flavor_struct *flavor = d->store->rcu->flavor;
    struct sn_damage damage = d->evacuation.damage;
    d->evacuation.damage.count = 0;
    sn_unlock(&d->lock);
    report_damage(d, &damage);
    if (presence == SN_ONLINE)
        return;
    section_for_tsan(d->store->rcu);
    if (presence == SN_UNREGISTERED)
        flavor->unregister_thread();
    else
        flavor->thread_offline();
    sn_rcu_part(d->store->rcu);
}

void
sn_defrag_rest_batches(struct sn_defrag *d)
{
    sn_lock(&d->lock);
    if (d->state == SN_DEFRAG_IDLE && !d->in_pass && !d->draining) {
        sn_batch_rest(d->store, &d->batch[0]);
        sn_batch_rest(d->store, &d->batch[1]);
    }
    sn_unlock(&d->lock);
}

/* ---- for both drivers ------------------------------------------------------------------------ */

size_t
sn_defrag_purge(handle_store *store, size_t max_bytes)
{
    uint64_t next_ns;
    return sn_store_purge_due(store, sn_os_now_ns(), max_bytes, &next_ns);
}

bool
sn_defrag_may_copy(const struct sn_defrag *d, uint64_t bytes)
{
    int64_t option = sn_load_relaxed(&d->store->options.defrag.fork_copy_bytes);
    uint64_t most =
        option < 0 ? sn_load_relaxed(&d->store->budget.max_bytes) / 10 : (uint64_t)option;
    return sn_load_relaxed(&d->evacuation.fork_copied_bytes) + bytes <= most;
}

bool
sn_defrag_is_forked_away(struct sn_defrag *d)
{
    bool shared = sn_load_relaxed(&d->store->options.defrag.pause_while_forked) &&
                  sn_fork_child_lives(d->store);
    sn_store_relaxed(&d->shared, shared);
    if (!shared)
        sn_store_relaxed(&d->evacuation.fork_copied_bytes, 0);
    if (!shared || (sn_defrag_is_pressed(d) && sn_defrag_may_copy(d, SN_BLOCK_BYTES)))
        return false;
    sn_store_relaxed(&d->idle_reason, HANDLE_IDLE_FORKED);
    return true;
}

bool
sn_defrag_is_available(struct sn_defrag *d)
{
    sn_lock(&d->wake_lock);
    bool available = !d->ended && !d->failed;
    sn_unlock(&d->wake_lock);
    return available;
}

bool
sn_defrag_has_thread(struct sn_defrag *d)
{
    sn_lock(&d->wake_lock);
    bool running = d->running && !d->exiting;
    sn_unlock(&d->wake_lock);
    return running;
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
    struct sn_class_use classes[SN_CLASSES_MAX];
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

/* Who steps may do so no more, and its spans stay closed: the grace-period thread sees to that. */
static void
note_left(struct sn_defrag *d, bool left)
{
    bool first = sn_load_relaxed(&d->left_ns) == 0;
    sn_store_relaxed(&d->left_ns, left ? sn_os_now_ns() : 0);
    if (left && first)
        sn_store_nudge(d->store, false);
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
    bool away = sn_defrag_is_forked_away(d);
    bool mine = sn_try_lock(&d->lock); /* G8: never waits for another mover */
    bool busy = !mine && sn_load_relaxed(&d->working);
    enum sn_advance advance = SN_ADVANCE_NOTHING;
    if (mine) {
        if (!away) {
            advance = sn_defrag_advance_locked(d, deadline, &ticket);
            note_left(d, advance != SN_ADVANCE_NOTHING);
        }
        sn_defrag_leave(d, SN_ONLINE);
        if (advance == SN_ADVANCE_NOTHING && !sn_defrag_has_thread(d))
            sn_defrag_rest_batches(d);
    }
    size_t purged = sn_os_now_ns() < deadline ? sn_defrag_purge(store, STEP_PURGE_BYTES) : 0;
    fill_report(d, report, &before, purged);
    if (report) {
        report->busy = busy;
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
        sn_defrag_enter(d, SN_OFFLINE);
        d->only_forced = true;
        enum sn_advance advance =
            sn_defrag_advance_locked(d, sn_os_now_ns() + COMPACT_SLICE_NS, &ticket);
        d->only_forced = false;
        sn_defrag_leave(d, SN_OFFLINE);
        if (advance == SN_ADVANCE_WAIT)
            (void)sn_rcu_wait(d->store->rcu, ticket, sn_os_now_ns() + POLL_NS);
    }
    if (!sn_defrag_has_thread(d))
        sn_defrag_rest_batches(d); /* else the thread does, when it rests */
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
    /* What is in limbo now need not be moved around. */
    sn_rcu_wait_cycle(store->rcu, &store->client);
    run_forced_pass(store->defrag);
    int error = handle_store_purge(store, &purged);
    fill_report(store->defrag, report, &before, purged);
    sn_rcu_return(store->rcu->flavor, was_online);
    return error;
}

int
handle_defrag_estimate(handle_store *store, struct handle_defrag_report *report)
{
    struct sn_class_use classes[SN_CLASSES_MAX];
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

static void
free_defrag(struct sn_defrag *d)
{
    sn_batch_rest(d->store, &d->batch[0]);
    sn_batch_rest(d->store, &d->batch[1]);
    sn_lock_destroy(&d->lock);
    sn_lock_destroy(&d->wake_lock);
    pthread_cond_destroy(&d->wake);
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

/* Before anything was freed: the mark at which frees wake the mover. */
static void
arm(struct sn_defrag *d)
{
    uint64_t ignore = sn_load_relaxed(&d->store->options.defrag.ignore_bytes);
    sn_store_relaxed(&d->store->heap.wake_at, sn_policy_notice_bytes(0, ignore));
}

void
sn_defrag_create(handle_store *store)
{
    struct sn_defrag *d = (struct sn_defrag *)(void *)((char *)store + SN_DEFRAG_AT);
    d->store = store;
    d->evacuation.store = store;
    d->evacuation.pagemap = -1;
    d->evacuation.bytes_max = sn_min(sn_os_l2_bytes(), SN_BATCH_BYTES_MAX);
    d->effort_percent = 1;
    d->idle_reason =
        store->options.defrag.enabled ? HANDLE_IDLE_BELOW_IGNORE : HANDLE_IDLE_DISABLED;
    sn_lock_init(&d->lock, SN_RANK_MOVER);
    init_wake(d);
    store->defrag = d;
    d->woken = sn_force_moves(); /* else the first frees wake it */
    arm(d);
}

int
sn_defrag_configure(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    int error = 0;
    if (store->forked)
        return 0;
    bool enabled = sn_defrag_is_enabled(d);
    sn_lock(&d->wake_lock);
    if (enabled)
        error = sn_defrag_allow_thread_locked(d);
    else if (!d->running)
        sn_store_relaxed(&d->idle_reason, HANDLE_IDLE_DISABLED);
    sn_unlock(&d->wake_lock);
    return error;
}

uint64_t
sn_defrag_tend(handle_store *store, uint64_t now_ns)
{
    struct sn_defrag *d = store->defrag;
    sn_lock(&d->wake_lock);
    uint64_t due = sn_defrag_tend_locked(d, now_ns);
    sn_unlock(&d->wake_lock);
    return due;
}

void
sn_defrag_end(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    if (store->forked)
        return;
    sn_lock(&d->wake_lock);
    d->ended = true;
    sn_defrag_stop_locked(d);
    sn_unlock(&d->wake_lock);
}

void
sn_defrag_destroy(handle_store *store)
{
    free_defrag(store->defrag);
    store->defrag = NULL;
}

/* Wakes the thread. True: there is none. */
static bool
wake(struct sn_defrag *d)
{
    sn_lock(&d->wake_lock);
    d->woken = true;
    pthread_cond_broadcast(&d->wake);
    bool none = !d->running || d->exiting;
    sn_unlock(&d->wake_lock);
    return none;
}

void
sn_defrag_wake(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    if (!d || store->forked)
        return;
    if (sn_load_relaxed(&store->heap.freed_bytes) == 0 && !sn_defrag_is_pressed(d) &&
        !sn_force_moves() && !sn_defrag_has_thread(d)) {
        arm(d);             /* by the option as it is now; there is nothing to gain yet */
        sn_fence_seq_cst(); /* as in arm_wake_up */
        if (sn_load_relaxed(&store->heap.freed_bytes) == 0)
            return;
    }
    /* Once is enough until the mover has looked. */
    sn_store_relaxed(&store->heap.wake_at, UINT64_MAX);
    if (wake(d) && sn_defrag_is_enabled(d))
        sn_store_nudge(store, true);
}

void
sn_defrag_watch(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    bool purgeable = sn_load_relaxed(&store->pool.empty_bytes) > 0 &&
                     sn_load_relaxed(&store->options.purge_delay_ms) >= 0;
    if (sn_load_relaxed(&d->watching) && sn_defrag_has_thread(d))
        return;
    sn_lock(&d->wake_lock);
    sn_store_relaxed(&d->watching, 1);
    d->woken |= purgeable && (!d->running || d->exiting);
    pthread_cond_broadcast(&d->wake);
    (void)sn_defrag_tend_locked(d, sn_os_now_ns());
    sn_unlock(&d->wake_lock);
}

uint64_t
sn_defrag_gain(handle_store *store, const struct sn_gain *gain)
{
    struct sn_defrag *d = store->defrag;
    bool shared = d && sn_load_relaxed(&d->shared);
    if (!d || store->forked || !sn_defrag_is_enabled(d) || !sn_defrag_is_available(d) ||
        (shared && !sn_defrag_may_copy(d, SN_BLOCK_BYTES)))
        return 0;
    uint64_t bytes = shared ? gain->excess_bytes : sn_gain_bytes(gain);
    bool judged = sn_load_relaxed(&store->heap.freed_bytes) < sn_load_relaxed(&d->pause_freed);
    uint64_t stuck = judged ? sn_load_relaxed(&d->stuck_bytes) : 0;
    return sn_at_least_zero(sn_wrapping_sub(bytes, stuck));
}

uint64_t
sn_defrag_gained_so_far(handle_store *store)
{
    return store->defrag ? sn_defrag_gained(store->defrag) : 0;
}

uint64_t
sn_defrag_undecided(handle_store *store)
{
    return store->defrag ? sn_load_relaxed(&store->defrag->undecided) : 0;
}

void
sn_defrag_press(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    /* Release: pairs with the acquire in sn_defrag_presses. */
    (void)__atomic_add_fetch(&d->presses, 1, __ATOMIC_RELEASE);
    sn_defrag_wake(store); /* also when others wait: they may just have been answered */
}

bool
sn_defrag_wait_relief(handle_store *store, uint64_t bytes, uint64_t deadline_ns)
{
    enum { PASSES = 2 }; /* the one under way may have been planned before */
    struct sn_defrag *d = store->defrag;
    uint64_t before = sn_defrag_gained(d);
    uint64_t passes = sn_load_relaxed(&d->passes), presses = sn_load_relaxed(&d->presses);
    while (sn_load_relaxed(&d->answered) < presses && sn_defrag_is_enabled(d) &&
           sn_defrag_is_available(d) && sn_at_least_zero(sn_defrag_gained(d) - before) < bytes &&
           sn_load_relaxed(&d->passes) - passes < PASSES) {
        if (sn_os_now_ns() >= deadline_ns)
            return false;
        sn_os_sleep_ns(200000);
    }
    return true;
}

bool
sn_defrag_open_class(handle_store *store, unsigned class_id)
{
    struct sn_defrag *d = store->defrag;
    if (!d || store->forked)
        return false;
    sn_store_relaxed(&d->wanted[class_id], 1);
    /* Release: whoever takes the wish down finds the class. */
    sn_store_release(&d->any_wanted, 1);
    if (!sn_try_lock(&d->lock))
        return false;
    sn_defrag_open_wanted_locked(d);
    sn_unlock(&d->lock);
    return true;
}

/* How many batches will have been reclaimed when all that was moved until now has come back. */
static uint64_t
reclaimed_when_back(struct sn_defrag *d)
{
    sn_lock(&d->lock);
    bool moved = d->state == SN_DEFRAG_MOVING && d->batch[d->current].move_at > 0;
    uint64_t reclaimed = d->reclaimed + d->draining + moved;
    sn_unlock(&d->lock);
    return reclaimed;
}

/* One slice of finishing what is under way; the batches until so many are reclaimed by all means.
 */
static enum sn_advance
settle_once(struct sn_defrag *d, uint64_t reclaimed, uint64_t *ticket)
{
    enum sn_advance advance = SN_ADVANCE_NOTHING;
    sn_defrag_enter(d, SN_OFFLINE);
    sn_defrag_open_wanted_locked(d);
    bool forced = sn_load_relaxed(&d->forced_wanted) > sn_load_relaxed(&d->forced_done);
    bool alone = !forced && !sn_defrag_has_thread(d); /* else others carry it on */
    if (alone)
        sn_defrag_end_plan_locked(d);
    if (alone || d->reclaimed < reclaimed) {
        d->winding_down = true;
        advance = sn_defrag_advance_locked(d, sn_os_now_ns() + COMPACT_SLICE_NS, ticket);
        d->winding_down = false;
        if (advance == SN_ADVANCE_NOTHING)
            sn_store_relaxed(&d->left_ns, 0);
    }
    bool back = d->reclaimed >= reclaimed;
    sn_defrag_leave(d, SN_OFFLINE);
    return back && !alone ? SN_ADVANCE_NOTHING : advance;
}

bool
sn_defrag_settle(handle_store *store, bool moved, uint64_t deadline_ns)
{
    struct sn_defrag *d = store->defrag;
    enum sn_advance advance;
    if (store->forked)
        return true;
    uint64_t reclaimed = moved ? reclaimed_when_back(d) : 0;
    do {
        uint64_t ticket = 0;
        advance = settle_once(d, reclaimed, &ticket);
        if (advance == SN_ADVANCE_WAIT)
            (void)sn_rcu_wait(store->rcu, ticket, deadline_ns);
    } while (advance != SN_ADVANCE_NOTHING && sn_os_now_ns() < deadline_ns);
    if (!sn_defrag_has_thread(d))
        sn_defrag_rest_batches(d); /* their lists count against max_bytes, too */
    return advance == SN_ADVANCE_NOTHING;
}

void
sn_defrag_unpinned(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    if (!d || sn_likely(sn_load_relaxed(&d->unpinned)))
        return;
    sn_store_relaxed(&d->unpinned, 1);
    sn_store_relaxed(&d->stuck_bytes, 0);
}

void
sn_defrag_walked(handle_store *store)
{
    sn_defrag_unpinned(store);
    if (!store->forked && sn_defrag_has_thread(store->defrag))
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
    d->running = d->stopping = d->restarted = d->exiting = d->joined = d->idle_end = false;
    d->idle_reason = HANDLE_IDLE_FORKED;
}

void
sn_defrag_fill_stats(handle_store *store, struct handle_stats *stats)
{
    struct sn_class_use classes[SN_CLASSES_MAX];
    struct sn_policy_sum sum;
    struct sn_defrag_totals totals;
    struct sn_defrag *d = store->defrag;
    sn_defrag_survey(store, &sum, classes);
    copy_totals(&totals, &d->evacuation.totals);
    stats->recoverable = sum.recoverable_bytes;
    stats->moved_objects = totals.moved_objects;
    stats->moved_bytes = totals.moved_bytes;
    stats->compaction_released = totals.released_bytes;
    stats->moved_per_released_permille = sn_permille(totals.moved_bytes, totals.released_bytes);
    stats->compaction_cpu_ns = totals.cpu_ns;
    stats->passes = sn_load_relaxed(&d->passes);
    stats->fork_copied_bytes = totals.fork_copied_bytes;
    stats->fork_refused_bytes = totals.fork_refused_bytes;
    memcpy(stats->refused, totals.refused, sizeof(stats->refused));
    stats->idle_reason = sn_load_relaxed(&d->idle_reason);
    for (size_t i = 0; i < sizeof(d->slices) / sizeof(uint64_t); i++)
        ((uint64_t *)&stats->slice)[i] = sn_load_relaxed(&((uint64_t *)&d->slices)[i]);
}

size_t
sn_defrag_metadata_bytes(void)
{
    return sizeof(struct sn_defrag);
}
