/* SPDX-License-Identifier: MIT */
/* life.c - see life.h. */
#include "defrag/life.h"

#include <string.h>

#include "defrag/machine.h"
#include "defrag/thread.h"

static void
open_wanted(handle_store *store)
{
    sn_defrag_open_wanted_locked(store->defrag);
}

void
sn_defrag_create(handle_store *store)
{
    struct sn_defrag *d = (struct sn_defrag *)(void *)((char *)store + SN_DEFRAG_AT);
    d->store = store;
    d->mover = &store->mover;
    d->evacuation.store = store;
    d->evacuation.pagemap = -1;
    d->evacuation.bytes_max = sn_min(sn_os_l2_bytes(), SN_BATCH_BYTES_MAX);
    d->effort_percent = 1;
    d->mover->idle_reason =
        store->options.defrag.enabled ? HANDLE_IDLE_BELOW_IGNORE : HANDLE_IDLE_DISABLED;
    d->mover->open_wanted = open_wanted;
    store->defrag = d;
    d->mover->woken = sn_force_moves(); /* else the first frees wake it */
    sn_mover_arm(store);
}

int
sn_defrag_configure(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    int error = 0;
    if (store->forked)
        return 0;
    bool enabled = sn_defrag_is_enabled(d);
    sn_lock(&d->mover->wake_lock);
    if (enabled)
        error = sn_defrag_allow_thread_locked(d);
    else if (!d->mover->running)
        sn_store_relaxed(&d->mover->idle_reason, HANDLE_IDLE_DISABLED);
    sn_unlock(&d->mover->wake_lock);
    return error;
}

uint64_t
sn_defrag_tend(handle_store *store, uint64_t now_ns)
{
    struct sn_defrag *d = store->defrag;
    sn_lock(&d->mover->wake_lock);
    uint64_t due = sn_defrag_tend_locked(d, now_ns);
    sn_unlock(&d->mover->wake_lock);
    return due;
}

void
sn_defrag_end(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    if (store->forked)
        return;
    sn_lock(&d->mover->wake_lock);
    d->mover->ended = true;
    sn_defrag_stop_locked(d);
    sn_unlock(&d->mover->wake_lock);
}

void
sn_defrag_destroy(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    sn_batch_rest(store, &d->batch[0]);
    sn_batch_rest(store, &d->batch[1]);
    store->defrag = NULL;
}

void
sn_defrag_purge_during_gp(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    bool purgeable = sn_load_relaxed(&store->pool.empty_bytes) > 0 &&
                     sn_load_relaxed(&store->options.purge_delay_ms) >= 0;
    if (sn_load_relaxed(&d->mover->purge_during_gp) && sn_mover_has_thread(d->mover))
        return;
    sn_lock(&d->mover->wake_lock);
    sn_store_relaxed(&d->mover->purge_during_gp, 1);
    d->mover->woken |= purgeable && (!d->mover->running || d->mover->exiting);
    pthread_cond_broadcast(&d->mover->wake);
    (void)sn_defrag_tend_locked(d, sn_os_now_ns());
    sn_unlock(&d->mover->wake_lock);
}

void
sn_defrag_after_fork_child(handle_store *store)
{
    struct sn_defrag *d = store->defrag;
    sn_mover_begin_child(d->mover);
    d->stopping = d->restarted = d->joined = d->idle_end = false;
}

void
sn_defrag_fill_stats(handle_store *store, struct handle_stats *stats)
{
    struct sn_class_use classes[SN_CLASSES_MAX];
    struct sn_policy_sum sum;
    struct sn_mover_totals totals;
    struct sn_defrag *d = store->defrag;
    sn_defrag_survey(store, &sum, classes);
    sn_copy_counters(&totals, &d->mover->totals, sizeof(totals));
    stats->recoverable = sum.gain.excess_bytes;
    stats->moved_objects = totals.moved_objects;
    stats->moved_bytes = totals.moved_bytes;
    stats->compaction_released = totals.released_bytes;
    stats->moved_per_released_permille = sn_permille(totals.moved_bytes, totals.released_bytes);
    stats->compaction_cpu_ns = totals.cpu_ns;
    stats->passes = sn_load_relaxed(&d->mover->passes);
    stats->fork_copied_bytes = totals.fork_copied_bytes;
    stats->fork_refused_bytes = totals.fork_refused_bytes;
    memcpy(stats->refused, totals.refused, sizeof(stats->refused));
    stats->idle_reason = sn_load_relaxed(&d->mover->idle_reason);
    sn_copy_counters(&stats->slice, &d->slices, sizeof(stats->slice));
}

size_t
sn_defrag_metadata_bytes(void)
{
    return sizeof(struct sn_defrag);
}
