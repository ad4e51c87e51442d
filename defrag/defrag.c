/* SPDX-License-Identifier: MIT */
/*
 * defrag.c - what all who drive the state machine share: how they take the mover's lock as readers,
 * how damage is reported, and how what is under way is finished.
 */
#include "defrag/defrag.h"

#include "core/purge.h"
#include "core/report.h"
#include "defrag/machine.h"
#include "rcu/rcu_fork.h"

#define FINISH_SLICE_NS 5000000

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
    if (damage->lie != 0)
        sn_inner_report(d->store, "compaction", damage->lie);
}

/* ---- readers --------------------------------------------------------------------------------- */

void
sn_defrag_enter(struct sn_defrag *d, enum sn_presence presence)
{
    const struct rcu_flavor_struct *flavor = d->store->rcu->flavor;
    sn_rcu_join(d->store->rcu);
    sn_lock(&d->mover->lock);
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
    d->evacuation.damage.lie = 0;
    sn_unlock(&d->mover->lock);
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
sn_defrag_rest_batches_locked(struct sn_defrag *d)
{
    sn_assert_locked(&d->mover->lock);
    if (d->state == SN_DEFRAG_IDLE && !d->in_pass && !d->draining) {
        sn_batch_rest(d->store, &d->batch[0]);
        sn_batch_rest(d->store, &d->batch[1]);
    }
}

void
sn_defrag_rest_batches(struct sn_defrag *d)
{
    sn_lock(&d->mover->lock);
    sn_defrag_rest_batches_locked(d);
    sn_unlock(&d->mover->lock);
}

/* ---- for all drivers ------------------------------------------------------------------------- */

size_t
sn_defrag_purge(handle_store *store, size_t max_bytes)
{
    uint64_t next_ns;
    return sn_store_purge_due(store, sn_os_now_ns(), max_bytes, &next_ns);
}

bool
sn_defrag_is_forked_away(struct sn_defrag *d)
{
    if ((sn_mover_is_requested(d->mover) && sn_mover_fork_copy_bytes(d->store) > 0) ||
        !sn_mover_shares_pages(d->store))
        return false;
    sn_store_relaxed(&d->mover->idle_reason, HANDLE_IDLE_FORKED);
    return true;
}

/* ---- finishing what is under way ------------------------------------------------------------- */

/* How many batches will have been reclaimed when all that was moved until now has come back. */
static uint64_t
reclaimed_when_back(struct sn_defrag *d)
{
    sn_lock(&d->mover->lock);
    bool moved = d->state == SN_DEFRAG_MOVING && d->batch[d->current].move_at > 0;
    uint64_t reclaimed = d->reclaimed + d->draining + moved;
    sn_unlock(&d->mover->lock);
    return reclaimed;
}

/* One slice of finishing what is under way; its batches until so many are reclaimed, whoever else
 * works. */
static enum sn_advance
finish_once(struct sn_defrag *d, uint64_t reclaimed, uint64_t *ticket)
{
    enum sn_advance advance = SN_ADVANCE_NOTHING;
    sn_defrag_enter(d, SN_OFFLINE);
    sn_defrag_open_wanted_locked(d);
    bool forced = sn_defrag_is_forced(d);
    bool alone = !forced && !sn_mover_has_thread(d->mover); /* else others carry it on */
    if (alone)
        sn_defrag_end_plan_locked(d);
    if (alone || d->reclaimed < reclaimed) {
        d->winding_down = true;
        advance = sn_defrag_advance_locked(d, sn_os_now_ns() + FINISH_SLICE_NS, ticket);
        d->winding_down = false;
        if (advance == SN_ADVANCE_NOTHING)
            sn_store_relaxed(&d->left_ns, 0);
    }
    bool back = d->reclaimed >= reclaimed;
    sn_defrag_leave(d, SN_OFFLINE);
    return back && !alone ? SN_ADVANCE_NOTHING : advance;
}

bool
sn_defrag_finish(handle_store *store, bool moved, uint64_t deadline_ns)
{
    struct sn_defrag *d = store->defrag;
    enum sn_advance advance;
    if (store->forked)
        return true;
    uint64_t reclaimed = moved ? reclaimed_when_back(d) : 0;
    do {
        uint64_t ticket = 0;
        advance = finish_once(d, reclaimed, &ticket);
        if (advance == SN_ADVANCE_WAIT)
            (void)sn_rcu_wait(store->rcu, ticket, deadline_ns);
    } while (advance != SN_ADVANCE_NOTHING && sn_os_now_ns() < deadline_ns);
    if (!sn_mover_has_thread(d->mover))
        sn_defrag_rest_batches(d); /* their lists count against max_bytes, too */
    return advance == SN_ADVANCE_NOTHING;
}

size_t
sn_defrag_purge_all(handle_store *store)
{
    uint64_t before = sn_store_released_bytes(store);
    /* The first round ends what was retired: its slots are in limbo only then. */
    unsigned rounds = sn_load_relaxed(&store->retired_entries) > 0 ? 2 : 1;
    for (unsigned round = 0; round < rounds && !store->forked; round++)
        sn_rcu_wait_cycle(store->rcu, &store->client);
    (void)sn_defrag_finish(store, false, SN_NEVER);
    sn_store_purge_all(store);
    return sn_store_released_bytes(store) - before;
}
