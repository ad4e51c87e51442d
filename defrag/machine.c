/* SPDX-License-Identifier: MIT */
/* machine.c - the state machine of defrag.h: no thread, no pacing, no waiting. */
#include "defrag/machine.h"

#include <string.h>
#include <unistd.h>

#include "base/histogram.h"
#include "base/probes.h"
#include "thread/drain.h"

static struct sn_batch *
current_batch(struct sn_defrag *d)
{
    return &d->batch[d->current];
}

static void
reset_batch(struct sn_batch *batch)
{
    batch->ticket = 0;
    batch->moves_max = SN_BATCH_OBJECTS;
    batch->move_count = batch->move_at = 0;
    batch->span_count = batch->span_at = 0;
    batch->bytes = batch->span_bytes = 0;
}

/* ---- passes ---------------------------------------------------------------------------------- */

void
sn_defrag_survey(const handle_store *store, struct sn_policy_sum *sum,
                 struct sn_class_use classes[SN_CLASSES_MAX])
{
    memset(sum, 0, sizeof(*sum));
    for (unsigned i = 0; i < store->classes.count; i++) {
        classes[i] = sn_heap_class_use(&store->heap, i);
        sn_policy_add(sum, &classes[i]);
    }
}

static struct sn_policy_limits
limits_of(const struct sn_defrag *d)
{
    const struct handle_store_options *o = &d->store->options;
    struct sn_policy_limits limits = {
        .ignore_bytes = sn_load_relaxed(&o->defrag.ignore_bytes),
        .lower_percent = sn_load_relaxed(&o->defrag.threshold_lower_percent),
        .upper_percent = sn_load_relaxed(&o->defrag.threshold_upper_percent),
        .cpu_min_percent = sn_load_relaxed(&o->defrag.cpu_min_percent),
        .cpu_max_percent = sn_load_relaxed(&o->defrag.cpu_max_percent)};
    return d->at_rest ? sn_policy_at_rest(limits) : limits;
}

/* Whether a pass should begin, with so many requests of memory before the sum; sets effort and idle
 * reason. */
static bool
decide_locked(struct sn_defrag *d, const struct sn_policy_sum *sum, bool forced, uint64_t requests)
{
    struct sn_policy_limits limits = limits_of(d);
    bool requested = requests != sn_load_relaxed(&d->mover->memory_answered);
    bool helps = requested && sn_mover_gain(d->store, &sum->gain) > 0;
    enum handle_idle_reason reason = sn_policy_decide(sum, &limits);
    d->effort_percent = requested || forced ? 100 : sn_policy_effort(sum, &limits);
    if (forced || sn_force_moves())
        return true;
    if (helps)
        reason = HANDLE_IDLE_RUNNING;
    else if (reason == HANDLE_IDLE_RUNNING && sn_os_now_ns() < d->pause_until_ns &&
             sn_load_relaxed(&d->store->heap.freed_bytes) < sn_load_relaxed(&d->mover->pause_freed))
        reason = HANDLE_IDLE_BACKOFF;
    if (!helps && d->evacuation.shared)
        reason = HANDLE_IDLE_FORKED;
    sn_store_relaxed(&d->mover->idle_reason, reason);
    if (reason != HANDLE_IDLE_RUNNING) /* nobody must wait for what will not come */
        sn_mover_answer(d->mover, requests);
    return reason == HANDLE_IDLE_RUNNING;
}

/* Release: who waits for it reads the totals without the lock. */
static void
count_forced_locked(struct sn_defrag *d)
{
    sn_store_release(&d->forced_done, d->forced_done + 1);
}

/* There is no memory for the batches' lists: no pass begins, and those who wait for one are
 * answered. */
static void
give_pass_up_locked(struct sn_defrag *d, bool forced)
{
    sn_mover_answer(d->mover, d->pass_requests);
    if (forced)
        count_forced_locked(d);
    else
        sn_store_relaxed(&d->mover->idle_reason, HANDLE_IDLE_BACKOFF);
}

/* Spans of a class that a pass is to empty. */
static uint32_t
plan_of(const struct sn_defrag *d, const struct sn_class_use *c)
{
    uint32_t excess = sn_excess_spans(c, 0);
    return excess == 0 && d->pass_packs && sn_loose_bytes(c, 0) > 0 ? 1 : excess;
}

static bool
begin_pass_locked(struct sn_defrag *d)
{
    struct sn_class_use classes[SN_CLASSES_MAX] = {0};
    struct sn_policy_sum sum;
    bool forced = sn_defrag_is_forced(d);
    sn_store_relaxed(&d->surveyed_freed, sn_load_relaxed(&d->store->heap.freed_bytes));
    d->pass_requests = sn_mover_requests(d->mover);
    if (forced) {
        sn_caches_drain(&d->store->caches, false, false, NULL);
        (void)sn_heap_end_kept(&d->store->heap, SN_CLASS_NONE);
    }
    sn_defrag_survey(d->store, &sum, classes);
    if (!decide_locked(d, &sum, forced, d->pass_requests))
        return false;
    d->pass_packs =
        sn_mover_is_requested(d->mover) && !d->evacuation.shared && sn_gain_is_loose(&sum.gain);
    for (unsigned i = 0; i < d->store->classes.count; i++) {
        d->quota[i] = plan_of(d, &classes[i]);
        if (sn_force_moves() && classes[i].used > 0 && d->quota[i] == 0)
            d->quota[i] = 1;
    }
    if (!sn_batch_begin(&d->batch[0]) || !sn_batch_begin(&d->batch[1])) {
        give_pass_up_locked(d, forced);
        return false;
    }
    d->in_pass = true;
    d->forced_pass = d->evacuation.may_copy_all = forced;
    d->pass_let_go = false;
    sn_store_relaxed(&d->mover->unpinned, 0);
    d->pass_gain = sn_gain_bytes(&sum.gain);
    d->evacuation.pass++;
    d->pass_moved = d->mover->totals.moved_bytes;
    d->pass_gained = sn_mover_gained(d->store);
    sn_store_relaxed(&d->mover->idle_reason, HANDLE_IDLE_RUNNING);
    sn_probe(2, pass_begin, d->store->name, d->pass_gain);
    return true;
}

/* What a pass without gain has left will not be gained by another, until pins end or much was
 * freed. */
static void
judge_pass_locked(struct sn_defrag *d, uint64_t gained)
{
    struct sn_class_use classes[SN_CLASSES_MAX];
    struct sn_policy_sum sum;
    uint64_t stuck = 0;
    bool unpinned = sn_load_relaxed(&d->mover->unpinned) != 0;
    if (gained == 0 && unpinned)
        sn_owner_add(&d->mover->undecided, 1);
    if (gained == 0 && !d->pass_let_go && !unpinned) {
        sn_defrag_survey(d->store, &sum, classes);
        stuck = sn_min(sn_gain_bytes(&sum.gain), d->pass_gain);
    }
    sn_store_relaxed(&d->mover->stuck_bytes, stuck);
    if (sn_swap_acq_rel(&d->mover->unpinned, 0) != 0) /* meanwhile */
        sn_store_relaxed(&d->mover->stuck_bytes, 0);
}

/* After the last batch of a pass has drained. */
static void
end_pass_locked(struct sn_defrag *d)
{
    const struct sn_mover_totals *totals = &d->mover->totals;
    uint64_t moved = totals->moved_bytes - d->pass_moved;
    uint64_t gained = sn_at_least_zero(sn_mover_gained(d->store) - d->pass_gained);
    d->pause_ns = d->forced_pass ? 0 : sn_policy_pause_ns(d->pause_ns, moved, gained);
    d->pause_until_ns = d->pause_ns ? sn_os_now_ns() + d->pause_ns : 0;
    uint64_t live = sn_load_relaxed(&d->store->pool.arena_committed);
    sn_store_relaxed(&d->mover->pause_freed,
                     sn_load_relaxed(&d->store->heap.freed_bytes) + live / 100);
    judge_pass_locked(d, gained);
    sn_probe(4, pass_end, d->store->name, moved, gained, totals->cpu_ns);
    d->in_pass = false;
    d->at_rest = false; /* the lower thresholds of a rest are for one pass */
    sn_owner_add(&d->mover->passes, 1);
    if (d->forced_pass)
        count_forced_locked(d);
    if (gained == 0)
        sn_mover_answer(d->mover, d->pass_requests);
}

/* ---- draining spans -------------------------------------------------------------------------- */

static void
forget_draining_locked(struct sn_defrag *d, uint32_t i)
{
    uint32_t last = --d->draining_span_count;
    d->draining_spans[i] = d->draining_spans[last];
    d->draining_span_tries[i] = d->draining_span_tries[last];
    d->draining_span_tries[last] = 0;
}

/*
 * Closed spans whose objects are gone: a cached slot or one in limbo keeps them from being empty.
 * Looked at once per grace period, however often a step asks: before, limbo brings nothing back.
 * Each has its own number of tries, so that every pass ends.
 */
static void
retry_draining_spans_locked(struct sn_defrag *d)
{
    struct sn_heap *heap = &d->store->heap;
    struct sn_mover_totals *totals = &d->mover->totals;
    if (d->draining_span_count == 0 || !sn_rcu_is_done(d->store->rcu, d->draining_spans_ticket))
        return;
    sn_caches_drain(&d->store->caches, true, false, NULL);
    uint64_t before = totals->spans_emptied;
    for (uint32_t i = 0; i < d->draining_span_count;) {
        uint32_t number = d->draining_spans[i];
        if (!sn_heap_is_empty(heap, number) && ++d->draining_span_tries[i] < SN_DRAINING_TRIES) {
            i++;
            continue;
        }
        sn_evacuation_reopen(&d->evacuation, number, SN_SPAN_TRIED);
        forget_draining_locked(d, i);
    }
    if (totals->spans_emptied != before)
        sn_store_signal(d->store, false); /* there is something to purge */
    if (d->draining_span_count > 0)
        d->draining_spans_ticket = sn_rcu_request(d->store->rcu);
}

static void
open_draining_locked(struct sn_defrag *d, uint32_t i)
{
    sn_evacuation_reopen(&d->evacuation, d->draining_spans[i], SN_SPAN_TRIED);
    forget_draining_locked(d, i);
}

/* ---- what walks need ------------------------------------------------------------------------- */

void
sn_defrag_let_go_span_locked(handle_store *store, uint32_t number)
{
    struct sn_defrag *d = store->defrag;
    sn_assert_locked(&d->mover->lock);
    d->pass_let_go = true;
    if (sn_batch_let_go_span(&d->evacuation, &d->batch[0], number) ||
        sn_batch_let_go_span(&d->evacuation, &d->batch[1], number))
        return;
    for (uint32_t i = d->draining_span_count; i > 0;) {
        i--;
        if (d->draining_spans[i] == number)
            open_draining_locked(d, i);
    }
}

/* ---- what allocations need ------------------------------------------------------------------- */

static void
open_class_locked(struct sn_defrag *d, unsigned class_id)
{
    sn_batch_let_go(&d->evacuation, &d->batch[0], class_id);
    sn_batch_let_go(&d->evacuation, &d->batch[1], class_id);
    for (uint32_t i = d->draining_span_count; i > 0;) {
        i--;
        if (d->store->pool.spans[d->draining_spans[i]].class_id == class_id)
            open_draining_locked(d, i);
    }
    d->quota[class_id] = 0;
    d->pass_let_go = true;
}

void
sn_defrag_open_wanted_locked(struct sn_defrag *d)
{
    sn_assert_locked(&d->mover->lock);
    if (sn_likely(sn_load_relaxed(&d->mover->any_wanted) == 0))
        return;
    /* Acquire: pairs with the release in sn_mover_open_class; the class is seen marked. */
    (void)sn_swap_acq_rel(&d->mover->any_wanted, 0);
    for (unsigned i = 0; i < d->store->classes.count; i++) {
        if (sn_load_relaxed(&d->mover->wanted[i]) == 0)
            continue;
        sn_store_relaxed(&d->mover->wanted[i], 0);
        open_class_locked(d, i);
    }
}

/* ---- states ---------------------------------------------------------------------------------- */

/* Beside a forked child objects are moved only as long as allocations lack memory. True: they lack
 * none any more. */
static bool
is_relieved(struct sn_defrag *d)
{
    const struct sn_budget *budget = &d->store->budget;
    uint64_t requests = sn_mover_requests(d->mover);
    uint64_t room = sn_budget_reserve(sn_load_relaxed(&budget->max_bytes));
    if (!d->evacuation.shared || d->forced_pass ||
        sn_budget_lacks(budget, room, SN_CHARGE_APPLICATION) > 0)
        return false;
    sn_mover_answer(d->mover, requests);
    return true;
}

/* Whether the pages of a span that was just closed may be copied for a child; else it is opened. */
static bool
may_evacuate_locked(struct sn_defrag *d, uint32_t span)
{
    struct sn_evacuation *e = &d->evacuation;
    size_t bytes =
        (size_t)sn_heap_class_of_span(&d->store->heap, &d->store->pool.spans[span])->pages
        << SN_PAGE_SHIFT;
    const void *pages = sn_store_address(d->store, sn_span_offset(span));
    if (sn_evacuation_may_write(e, pages, bytes))
        return true;
    sn_evacuation_reopen(e, span, SN_SPAN_TRIED);
    return false;
}

static uint32_t
close_next_locked(struct sn_defrag *d)
{
    enum { REFUSALS = 64 }; /* those behind them may have fewer pages that are still shared */
    struct sn_class_use classes[SN_CLASSES_MAX];
    handle_store *store = d->store;
    unsigned refusals = 0;
    if (is_relieved(d))
        return 0;
    for (unsigned i = 0; i < store->classes.count; i++) {
        if (d->quota[i] == 0)
            continue;
        classes[i] = sn_heap_class_use(&store->heap, i);
        /* Quotas are as of the pass's begin: a class that needs fewer by now gives up fewer. */
        if (!sn_force_moves())
            d->quota[i] = (uint32_t)sn_min(d->quota[i], plan_of(d, &classes[i]));
    }
    for (;;) {
        int class_id = sn_policy_pick(classes, d->quota, store->classes.count);
        if (class_id < 0)
            return 0;
        uint32_t span = sn_heap_close_sparsest(&store->heap, (unsigned)class_id, d->evacuation.pass,
                                               SN_FULL - 1);
        if (span && may_evacuate_locked(d, span)) {
            d->quota[class_id]--;
            return span;
        }
        if (span && ++refusals == REFUSALS)
            return 0;
        if (span)
            continue;
        d->quota[class_id] = 0; /* all that is left was tried, pinned, or damaged */
    }
}

static uint64_t
request_locked(struct sn_defrag *d)
{
    sn_owner_add(&d->mover->totals.grace_periods, 1);
    return sn_rcu_request(d->store->rcu);
}

/* The grace period of step 6 is asked for when the next batch needs that of step 2, and is the
 * same; or when nothing else is left to do. */
static void
drain_current_locked(struct sn_defrag *d)
{
    struct sn_batch *batch = current_batch(d);
    batch->span_at = 0;
    batch->ticket = 0;
    d->draining = true;
    d->current ^= 1;
    reset_batch(current_batch(d));
    d->state = SN_DEFRAG_IDLE;
}

/* The ticket of the draining batch's grace period, which is requested now if it was not before. */
static uint64_t
drain_ticket_locked(struct sn_defrag *d)
{
    struct sn_batch *batch = &d->batch[d->current ^ 1];
    if (batch->ticket == 0)
        batch->ticket = request_locked(d);
    return batch->ticket;
}

/* Bytes that a batch may mark. Their copies take memory until the second grace period is over: at
 * max_bytes there is no more for them than what is kept back for the mover. */
static uint64_t
batch_bytes_max(const struct sn_defrag *d)
{
    uint64_t max = sn_load_relaxed(&d->store->budget.max_bytes);
    return max ? sn_min(d->evacuation.bytes_max, sn_budget_reserve(max)) : d->evacuation.bytes_max;
}

/* Bytes of spans that a batch may close: with max_bytes, where their free slots may be needed, a
 * sixteenth of it. */
static uint64_t
span_bytes_max(const struct sn_defrag *d)
{
    uint64_t max = sn_load_relaxed(&d->store->budget.max_bytes);
    return max == 0 ? UINT64_MAX : sn_max(max / 16, SN_BLOCK_BYTES * SN_SPAN_BLOCKS_MAX);
}

/* Closes spans and marks their objects, at least some groups whatever the deadline. True: no more
 * spans are wanted, or there are none. */
static bool
fill_batch_locked(struct sn_defrag *d, struct sn_batch *batch, uint64_t deadline_ns)
{
    do {
        if (sn_batch_span_is_marked(&d->evacuation, batch)) {
            bool full = sn_batch_is_full(batch, batch_bytes_max(d), span_bytes_max(d));
            uint32_t span = full ? 0 : close_next_locked(d);
            if (!span)
                return true;
            sn_batch_add(&d->evacuation, batch, span);
        }
        if (!sn_batch_mark(&d->evacuation, batch, deadline_ns))
            return false;
    } while (sn_os_now_ns() < deadline_ns);
    return false;
}

/* Step 1. True: the state changed or there is more to mark. False: nothing to evacuate. */
static bool
mark_locked(struct sn_defrag *d, uint64_t deadline_ns)
{
    struct sn_batch *batch = current_batch(d);
    if (!fill_batch_locked(d, batch, deadline_ns))
        return true;
    if (batch->span_count == 0)
        return false;
    sn_caches_drain(&d->store->caches, true, false, NULL);
    batch->span_at = 0;
    batch->ticket = request_locked(d);
    struct sn_batch *before = &d->batch[d->current ^ 1];
    if (d->draining && before->ticket == 0)
        before->ticket = batch->ticket;
    d->state = SN_DEFRAG_MARKED;
    return true;
}

/* Step 6 is over for the batch that drains: gives its slots back, as far as the deadline allows. */
static void
reclaim_locked(struct sn_defrag *d, uint64_t deadline_ns)
{
    struct sn_batch *batch = &d->batch[d->current ^ 1];
    if (!d->draining || batch->ticket == 0 || !sn_rcu_is_done(d->store->rcu, batch->ticket))
        return;
    if (sn_batch_reclaim(&d->evacuation, batch, deadline_ns, d->draining_spans,
                         &d->draining_span_count, SN_DRAINING_SPANS_MAX)) {
        d->draining = false;
        d->reclaimed++;
        reset_batch(batch);
        sn_store_signal(d->store, false); /* there may be something to purge */
    }
}

static enum sn_advance
wait_for(uint64_t ticket, uint64_t *wanted)
{
    *wanted = ticket;
    return SN_ADVANCE_WAIT;
}

/* Draining spans need a moment for limbo and caches: ask for a GP rather than spin. */
static enum sn_advance
await_draining_or_nothing_locked(struct sn_defrag *d, uint64_t *ticket)
{
    if (d->draining_span_count == 0)
        return SN_ADVANCE_NOTHING;
    if (sn_rcu_is_done(d->store->rcu, d->draining_spans_ticket))
        d->draining_spans_ticket = sn_rcu_request(d->store->rcu);
    *ticket = d->draining_spans_ticket;
    return SN_ADVANCE_WAIT;
}

/* Nothing is being marked or moved: begin something, or wait for what drains, or end the pass. */
static enum sn_advance
idle_locked(struct sn_defrag *d, uint64_t *ticket)
{
    if (d->in_pass) {
        d->state = SN_DEFRAG_MARKING;
        return SN_ADVANCE_MORE;
    }
    if (d->draining)
        return wait_for(drain_ticket_locked(d), ticket);
    bool forced = sn_defrag_is_forced(d);
    if (d->winding_down || (d->only_forced && !forced))
        return await_draining_or_nothing_locked(d, ticket);
    if (!begin_pass_locked(d))
        return SN_ADVANCE_NOTHING;
    d->state = SN_DEFRAG_MARKING;
    return SN_ADVANCE_MORE;
}

/* MARKING found nothing more for this pass. */
static enum sn_advance
finish_pass_locked(struct sn_defrag *d, uint64_t *ticket)
{
    d->state = SN_DEFRAG_IDLE;
    if (d->draining)
        return wait_for(drain_ticket_locked(d), ticket);
    if (await_draining_or_nothing_locked(d, ticket) == SN_ADVANCE_WAIT)
        return SN_ADVANCE_WAIT;
    end_pass_locked(d);
    return SN_ADVANCE_MORE;
}

static enum sn_advance
one_step_locked(struct sn_defrag *d, uint64_t deadline_ns, uint64_t *ticket)
{
    struct sn_batch *batch = current_batch(d);
    switch (d->state) {
    case SN_DEFRAG_IDLE:
        return idle_locked(d, ticket);
    case SN_DEFRAG_MARKING:
        return mark_locked(d, deadline_ns) ? SN_ADVANCE_MORE : finish_pass_locked(d, ticket);
    case SN_DEFRAG_MARKED:
        if (!sn_rcu_is_done(d->store->rcu, batch->ticket))
            return wait_for(batch->ticket, ticket);
        d->state = SN_DEFRAG_MOVING;
        return SN_ADVANCE_MORE;
    case SN_DEFRAG_MOVING:
        if (d->draining) { /* its GP was not after this one's, unless it was cancelled; or its
                            * reclaiming was cut short */
            uint64_t before = drain_ticket_locked(d);
            return sn_rcu_is_done(d->store->rcu, before) ? SN_ADVANCE_MORE
                                                         : wait_for(before, ticket);
        }
        if (sn_batch_move(&d->evacuation, batch, deadline_ns))
            drain_current_locked(d);
        return SN_ADVANCE_MORE;
    }
    return SN_ADVANCE_NOTHING;
}

/* Waste grows while a pass is under way: the effort follows it. */
static void
follow_waste_locked(struct sn_defrag *d)
{
    struct sn_class_use classes[SN_CLASSES_MAX];
    struct sn_policy_sum sum;
    if (!d->in_pass || d->forced_pass)
        return;
    struct sn_policy_limits limits = limits_of(d);
    sn_defrag_survey(d->store, &sum, classes);
    d->effort_percent = sn_mover_is_requested(d->mover) ? 100 : sn_policy_effort(&sum, &limits);
}

/* Before a slice, whoever drives: whether a forked child shares the pages. No fork comes during the
 * slice, since a fork takes the mover's lock. */
static void
look_for_children_locked(struct sn_defrag *d)
{
    d->evacuation.shared = sn_mover_shares_pages(d->store);
    if (!d->evacuation.shared)
        sn_store_relaxed(&d->mover->fork_copied_bytes, 0);
    d->evacuation.pagemap = d->evacuation.shared ? sn_os_open_pagemap() : -1;
}

enum sn_advance
sn_defrag_advance_locked(struct sn_defrag *d, uint64_t deadline_ns, uint64_t *ticket)
{
    sn_assert_locked(&d->mover->lock);
    enum sn_advance advance = SN_ADVANCE_NOTHING;
    SN_NO_CANCELLATION; /* beside a child /proc/self/pagemap is read */
    uint64_t begin = sn_os_now_ns(), begin_cpu = sn_os_thread_cpu_ns();
    sn_store_relaxed(&d->working, 1);
    look_for_children_locked(d);
    sn_caches_begin_work(&d->store->caches);
    follow_waste_locked(d);
    retry_draining_spans_locked(d);
    unsigned steps = 0;
    do {
        sn_defrag_open_wanted_locked(d);
        reclaim_locked(d, deadline_ns);
        advance = one_step_locked(d, deadline_ns, ticket);
        steps++;
    } while (advance == SN_ADVANCE_MORE && sn_os_now_ns() < deadline_ns);
    sn_caches_end_work(&d->store->caches);
    if (d->evacuation.pagemap >= 0)
        close(d->evacuation.pagemap);
    d->evacuation.pagemap = -1;
    if (advance == SN_ADVANCE_WAIT)
        sn_store_relaxed(&d->mover->idle_reason, HANDLE_IDLE_GRACE_PERIOD);
    sn_owner_add(&d->mover->totals.cpu_ns, sn_os_thread_cpu_ns() - begin_cpu);
    if (steps > 1 || advance != SN_ADVANCE_NOTHING)
        sn_histogram_add(&d->slices, sn_os_now_ns() - begin);
    sn_store_relaxed(&d->working, 0);
    return advance;
}

void
sn_defrag_end_plan_locked(struct sn_defrag *d)
{
    memset(d->quota, 0, sizeof(d->quota));
    d->in_pass = false;
}

void
sn_defrag_cancel_locked(struct sn_defrag *d)
{
    struct sn_batch *batch = current_batch(d);
    if (batch->span_count > 0) {
        sn_batch_let_go(&d->evacuation, batch, SN_CLASS_NONE);
        batch->move_at = batch->move_count;
        if (!d->draining) {
            drain_current_locked(d);
        } else {
            /* Its moved slots must outlive a GP too: it drains when the other has. */
            d->state = SN_DEFRAG_MOVING;
        }
    } else {
        d->state = SN_DEFRAG_IDLE;
    }
    sn_defrag_end_plan_locked(d);
}
