/* SPDX-License-Identifier: MIT */
/*
 * compact.c - the drivers of the state machine beside the background thread, and all of them
 * public: the step for event loops, the full compaction, the estimate.
 */
#include "base/growing.h"
#include "core/misuse.h"
#include "core/report.h"
#include "defrag/defrag.h"
#include "defrag/machine.h"

#define STEP_BUDGET_MAX_US 1000000
#define STEP_PURGE_BYTES   ((size_t)1 << 20)
#define COMPACT_SLICE_NS   5000000
#define POLL_NS            100000000

static bool
check_report(const struct handle_defrag_report *report)
{
    return !report || sn_growing_may_be(report->struct_size);
}

static struct handle_defrag_report
begin_report(const struct sn_policy_sum *sum)
{
    return (struct handle_defrag_report){.live_bytes = sum->live_bytes,
                                         .span_bytes = sum->gain.committed,
                                         .recoverable_bytes = sum->gain.excess_bytes};
}

/* What was done since `before`. */
static struct handle_defrag_report
make_report(struct sn_defrag *d, const struct sn_mover_totals *before, uint64_t purged)
{
    struct sn_class_use classes[SN_CLASSES_MAX];
    struct sn_policy_sum sum;
    struct sn_mover_totals now;
    sn_copy_counters(&now, &d->mover->totals, sizeof(now));
    sn_defrag_survey(d->store, &sum, classes);
    struct handle_defrag_report report = begin_report(&sum);
    report.moved_objects = now.moved_objects - before->moved_objects;
    report.moved_bytes = now.moved_bytes - before->moved_bytes;
    report.released_bytes = now.released_bytes - before->released_bytes;
    report.spans_evacuated = now.spans_emptied - before->spans_emptied;
    report.grace_periods = now.grace_periods - before->grace_periods;
    report.cpu_ns = now.cpu_ns - before->cpu_ns;
    for (unsigned i = 0; i < HANDLE_REFUSED_REASONS; i++)
        report.refused[i] = now.refused[i] - before->refused[i];
    report.purged_bytes = purged;
    report.idle_reason = sn_load_relaxed(&d->mover->idle_reason);
    return report;
}

/* Who steps may stop doing so, and spans stay closed: then the grace-period thread starts a thread
 * that finishes what was begun. */
static void
note_left(struct sn_defrag *d, bool left)
{
    bool first = sn_load_relaxed(&d->left_ns) == 0;
    sn_store_relaxed(&d->left_ns, left ? sn_os_now_ns() : 0);
    if (left && first)
        sn_store_signal(d->store, false);
}

int
handle_defrag_step(handle_store *store, uint32_t budget_us, struct handle_defrag_report *report)
{
    struct sn_mover_totals before;
    uint64_t ticket;
    sn_check_call(store, SN_REGISTERED, 0, NULL);
    if (!store || budget_us == 0 || budget_us > STEP_BUDGET_MAX_US || !check_report(report))
        return -EINVAL;
    if (store->forked)
        return -ENOTSUP;
    struct sn_defrag *d = store->defrag;
    uint64_t deadline = sn_os_now_ns() + budget_us * UINT64_C(1000);
    sn_copy_counters(&before, &d->mover->totals, sizeof(before));
    bool away = sn_defrag_is_forked_away(d);
    bool mine = sn_try_lock(&d->mover->lock); /* G8: never waits for another mover */
    bool busy = !mine && sn_load_relaxed(&d->working);
    enum sn_advance advance = SN_ADVANCE_NOTHING;
    if (mine) {
        if (!away) {
            advance = sn_defrag_advance_locked(d, deadline, &ticket);
            note_left(d, advance != SN_ADVANCE_NOTHING);
        }
        if (advance == SN_ADVANCE_NOTHING && !sn_mover_has_thread(d->mover))
            sn_defrag_rest_batches_locked(d);
        sn_defrag_leave(d, SN_ONLINE);
        sn_hook(SN_HOOK_STEP_LEFT, store);
    }
    size_t purged = sn_os_now_ns() < deadline ? sn_defrag_purge(store, STEP_PURGE_BYTES) : 0;
    if (report) {
        struct handle_defrag_report done = make_report(d, &before, purged);
        done.busy = busy;
        done.more = !mine || advance != SN_ADVANCE_NOTHING;
        sn_growing_fill(report, &done, sizeof(done));
    }
    return 0;
}

/* Drives the machine until the forced pass is over, by whichever thread. */
static void
run_forced_pass(struct sn_defrag *d)
{
    uint64_t wanted = __atomic_add_fetch(&d->forced_wanted, 1, __ATOMIC_RELAXED);
    while (sn_load_acquire(&d->forced_done) < wanted) {
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
    if (!sn_mover_has_thread(d->mover))
        sn_defrag_rest_batches(d); /* else the thread does, when it rests */
}

int
handle_store_compact(handle_store *store, struct handle_defrag_report *report)
{
    struct sn_mover_totals before;
    bool was_online;
    if (!check_report(report))
        return -EINVAL;
    if (store && store->forked)
        return -ENOTSUP;
    int error = sn_begin_waiting(store, &was_online);
    if (error)
        return error;
    sn_copy_counters(&before, &store->mover.totals, sizeof(before));
    /* What is in limbo now need not be moved around. */
    sn_rcu_wait_cycle(store->rcu, &store->client);
    run_forced_pass(store->defrag);
    size_t purged = sn_defrag_purge_all(store);
    if (report) {
        struct handle_defrag_report done = make_report(store->defrag, &before, purged);
        sn_growing_fill(report, &done, sizeof(done));
    }
    sn_rcu_return(store->rcu->flavor, was_online);
    sn_store_report_no_thread(store);
    return 0;
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
    struct handle_defrag_report estimate = begin_report(&sum);
    estimate.moved_objects = sum.move_objects;
    estimate.moved_bytes = sum.move_bytes;
    estimate.released_bytes = sum.gain.excess_bytes;
    estimate.spans_evacuated = sum.recoverable_spans;
    estimate.more = sum.recoverable_spans > 0;
    estimate.idle_reason = sn_load_relaxed(&store->mover.idle_reason);
    sn_growing_fill(report, &estimate, sizeof(estimate));
    return 0;
}
