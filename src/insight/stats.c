/* SPDX-License-Identifier: MIT */
/* stats.c - see stats.h. Everything is read from counters; nothing here walks objects. */
#include "insight/stats.h"

#include <string.h>

#include "base/growing.h"
#include "core/hugepages.h"
#include "core/misuse.h"
#include "core/profile.h"
#include "defrag/life.h"
#include "insight/doctor.h"
#include "insight/requested.h"
#include "memory/dense.h"
#include "os/osmem.h"
#include "thread/drain.h"

static uint64_t
metadata_bytes(handle_store *store, uint64_t threads)
{
    return store->base_metadata_bytes + sn_load_relaxed(&store->batch_bytes) +
           sn_load_relaxed(&store->pool.metadata_bytes) +
           sn_load_relaxed(&store->table.metadata_bytes) +
           sn_load_relaxed(&store->heap.pins.bytes) + sn_caches_bytes(&store->caches, threads) +
           sn_load_relaxed(&store->profile_bytes);
}

static void
fill_class(handle_store *store, unsigned i, const struct sn_cache_sums *sums,
           struct handle_class_stats *to)
{
    memset(to, 0, sizeof(*to));
    const struct sn_class *c = &store->classes.of[i];
    const struct sn_heap_class *hc = &store->heap.of[i];
    uint64_t used = 0, spans = 0;
    for (unsigned kind = 0; kind < 2; kind++) {
        used += sn_load_relaxed(&hc->used[kind]);
        spans += sn_load_relaxed(&hc->spans[kind]);
    }
    for (unsigned lists = 0; lists < SN_SPAN_LISTS; lists++) {
        to->spans_full += sn_load_relaxed(&hc->spans_in[lists][SN_FULL]);
        for (unsigned k = 0; k < SN_FULL; k++)
            to->occupancy[k] += sn_load_relaxed(&hc->spans_in[lists][k]);
    }
    to->object_bytes = sn_class_payload(c) - store->classes.extra;
    to->slot_bytes = c->slot_bytes;
    to->span_bytes = (uint64_t)c->pages << SN_PAGE_SHIFT;
    to->span_slots = c->slots;
    to->spans = spans;
    to->live = sn_at_least_zero(sums->live[i]);
    to->cached = sums->cached[i];
    to->free = sn_at_least_zero(spans * c->slots - used);
    uint64_t other = to->live + to->cached;
    to->limbo = used > other ? used - other : 0;
    struct sn_class_use use = sn_heap_class_use(&store->heap, i);
    to->recoverable_bytes = sn_excess_bytes(&use, 0);
    to->moved = sn_load_relaxed(&hc->moved);
    for (unsigned k = 0; k < HANDLE_REFUSED_REASONS; k++)
        to->refused[k] = sn_load_relaxed(&hc->refused[k]);
}

/* The memory breakdown. Beside other threads its steps are of slightly different moments. free_slot
 * is what is left of the arena's pages; check counts it the other way. */
static void
fill_breakdown(handle_store *store, const struct sn_cache_sums *sums, struct handle_stats *stats)
{
    uint64_t payload = 0, objects = 0;
    for (unsigned i = 0; i < store->classes.count; i++) {
        uint64_t live = sn_at_least_zero(sums->live[i]);
        uint64_t slot_bytes = store->classes.of[i].slot_bytes;
        payload += live * (slot_bytes - SN_HEADER_BYTES);
        objects += live;
        stats->thread_cache += sums->cached[i] * slot_bytes;
    }
    sn_lock(&store->pool.lock); /* of one moment: else a purge shows as free slots */
    uint64_t arena = sn_load_relaxed(&store->pool.arena_committed);
    stats->empty_span = sn_load_relaxed(&store->pool.empty_bytes);
    uint64_t since = sn_pool_oldest_ns_locked(&store->pool);
    sn_unlock(&store->pool.lock);
    stats->empty_span_age_ns = since ? sn_at_least_zero(sn_os_now_ns() - since) : 0;
    struct sn_estimate estimate = sn_requested_estimate(store, sums->live);
    payload += sn_load_relaxed(&store->large.live_bytes);
    stats->requested = sn_min(estimate.bytes, payload);
    stats->requested_error = estimate.error;
    stats->large = sn_load_relaxed(&store->large.requested);
    stats->rounding = payload - stats->requested;
    stats->header = objects * SN_HEADER_BYTES;
    stats->limbo = sums->limbo_bytes;
    stats->free_slot =
        sn_at_least_zero(arena - stats->empty_span - stats->requested - stats->rounding -
                         stats->header - stats->thread_cache - stats->limbo);
    stats->table = sn_load_relaxed(&store->table.committed_bytes);
    stats->metadata = metadata_bytes(store, sums->threads);
    stats->committed = arena + stats->table + stats->metadata;
    stats->objects_large = sn_load_relaxed(&store->large.objects);
    stats->objects = objects + stats->objects_large;
}

static void
fill_counters(handle_store *store, const struct sn_cache_sums *sums, struct handle_stats *stats)
{
    stats->released = sn_store_released_bytes(store);
    stats->reserved = sn_store_reserved_bytes(store);
    stats->resident = sn_os_resident_bytes();
    stats->resident_unexplained = (int64_t)stats->resident - (int64_t)stats->committed;
    stats->committed_peak = sn_load_relaxed(&store->budget.peak);
    stats->max_bytes = sn_load_relaxed(&store->budget.max_bytes);
    /* Every object named by a handle has a table entry, and no other entry is in use. */
    stats->objects_by_handle = sn_at_least_zero(
        sn_load_relaxed(&store->table.used_entries) - sums->indexes -
        sn_load_relaxed(&store->retired_entries) - sn_load_relaxed(&store->table.dead_entries));
    stats->objects_reserved = sums->reserved;
    stats->objects_by_cell =
        sn_at_least_zero(stats->objects - stats->objects_by_handle - stats->objects_reserved);
    stats->allocs = sn_load_relaxed(&store->large.allocs);
    stats->frees = sn_load_relaxed(&store->large.frees) + sums->frees;
    stats->allocs += sums->frees;
    for (unsigned i = 0; i < store->classes.count; i++)
        stats->allocs += sums->live[i];
    stats->alloc_failures = sn_load_relaxed(&store->alloc_failures);
    stats->alloc_failure_reason = sn_load_relaxed(&store->alloc_failure_reason);
    stats->alloc_retries = sn_load_relaxed(&store->alloc_retries);
    stats->pins = sn_pins_held(&store->heap.pins);
    stats->table_entries_dead = sn_load_relaxed(&store->table.dead_entries);
    stats->errors_reported = sn_load_relaxed(&store->errors_reported);
    stats->purge_failures = sn_load_relaxed(&store->pool.purge_failures);
    stats->threads = sums->threads;
}

static void
fill_hugepages(handle_store *store, struct handle_stats *stats)
{
    const struct sn_pool *pool = &store->pool;
    stats->hugepage = sn_load_relaxed(&pool->regions[SN_REGION_HUGE]) * SN_HUGE_PAGE_BYTES;
    stats->hugepages_made = sn_load_relaxed(&pool->collapses);
    stats->hugepages_undone = sn_load_relaxed(&pool->collapses_undone);
    stats->hugepages_refused = sn_load_relaxed(&pool->collapses_refused);
    stats->dense_reason = sn_hugepages_reason(store);
}

static void
fill_grace_periods(handle_store *store, struct handle_stats *stats)
{
    sn_copy_counters(&stats->grace_period, &store->rcu->durations, sizeof(stats->grace_period));
    stats->grace_periods = sn_load_relaxed(&store->rcu->completed);
    stats->grace_period_age_ns = sn_rcu_age_ns(store->rcu);
}

uint64_t
sn_stats_fill(handle_store *store, struct handle_stats *stats, struct handle_class_stats *classes)
{
    struct sn_cache_sums sums;
    *stats = (struct handle_stats)HANDLE_STATS_INIT;
    sn_caches_sum(&store->caches, &sums);
    sn_hook(SN_HOOK_STATS_SUMS, &store->caches);
    stats->classes = store->classes.count;
    for (unsigned i = 0; classes && i < store->classes.count; i++)
        fill_class(store, i, &sums, &classes[i]);
    fill_breakdown(store, &sums, stats);
    fill_counters(store, &sums, stats);
    fill_hugepages(store, stats);
    fill_grace_periods(store, stats);
    sn_defrag_fill_stats(store, stats);
    stats->shrink_reason =
        (uint32_t)sn_shrink_reason(stats, sn_load_relaxed(&store->pool.last_purge_failed) != 0);
    return sums.busy;
}

/* Whether the sums are to be taken, or taken again: the library's own threads may have worked
 * meanwhile, and who asks of a store that nobody uses is to get sums of one moment. A few times at
 * most: beside a mover that works on and on there is none. Both numbers are 0 before the first
 * call. */
static bool
is_to_try(handle_store *store, uint32_t *works, unsigned *tries)
{
    enum { TRIES = 4 };
    bool quiet = sn_caches_are_quiet(&store->caches, works);
    return (*tries)++ == 0 || (!quiet && *tries <= TRIES);
}

void
sn_stats_fill_whole(handle_store *store, struct handle_stats *stats,
                    struct handle_class_stats *classes)
{
    uint32_t works = 0;
    unsigned tries = 0;
    while (is_to_try(store, &works, &tries))
        (void)sn_stats_fill(store, stats, classes);
}

int
handle_store_stats(handle_store *store, struct handle_stats *stats)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    struct handle_stats now;
    if (!store || !stats || !sn_growing_may_be(stats->struct_size))
        return -EINVAL;
    sn_stats_fill_whole(store, &now, NULL);
    sn_growing_fill(stats, &now, sizeof(now));
    return 0;
}

static void
fill_classes(handle_store *store, struct handle_class_stats *classes, size_t element_bytes,
             uint32_t room)
{
    struct sn_cache_sums sums;
    sn_caches_sum(&store->caches, &sums);
    sn_hook(SN_HOOK_STATS_SUMS, &store->caches);
    for (unsigned i = 0; i < store->classes.count && i < room; i++) {
        struct handle_class_stats now;
        char *to = (char *)classes + i * element_bytes;
        fill_class(store, i, &sums, &now);
        memset(to, 0, element_bytes);
        memcpy(to, &now, sn_min(element_bytes, sizeof(now)));
    }
}

int
handle_store_class_stats(handle_store *store, struct handle_class_stats *classes,
                         size_t element_bytes, uint32_t room)
{
    uint32_t works = 0;
    unsigned tries = 0;
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store || (!classes && room > 0) || !sn_growing_may_be(element_bytes))
        return -EINVAL;
    while (is_to_try(store, &works, &tries))
        fill_classes(store, classes, element_bytes, room);
    return (int)store->classes.count;
}

void
sn_stats_set_requested(struct handle_stats *stats, uint64_t requested)
{
    uint64_t payload = stats->requested + stats->rounding;
    stats->requested = sn_min(requested, payload); /* a sum above it is of a later moment */
    stats->rounding = payload - stats->requested;
    stats->requested_error = 0;
}

bool
sn_stats_at_rest(handle_store *store)
{
    struct sn_cache_sums sums;
    sn_caches_sum(&store->caches, &sums);
    return sums.busy == 0;
}

/* A run whose guard the kernel did not let us lift: nobody uses it any more. */
static uint64_t
lost_pages(const struct sn_span *span)
{
    uint64_t pages = 0;
    if (sn_span_state(span) == SN_SPAN_LOST)
        for (uint32_t i = 0; i < span->blocks; i++)
            pages += sn_block_dirty_pages(&span[i]);
    return pages;
}

uint64_t
sn_stats_count_free(handle_store *store)
{
    struct sn_pool *pool = &store->pool;
    uint64_t pages = 0, occupied = 0;
    for (unsigned c = 0; c < store->classes.count; c++) {
        const struct sn_heap_class *hc = &store->heap.of[c];
        uint64_t used = sn_load_relaxed(&hc->used[0]) + sn_load_relaxed(&hc->used[1]);
        occupied += used * store->classes.of[c].slot_bytes;
    }
    sn_lock(&pool->lock);
    for (uint32_t number = 1; number < pool->high; number++) {
        const struct sn_span *span = &pool->spans[number];
        uint8_t class_id = sn_load_relaxed(&pool->class_of[number]);
        if (class_id < SN_CLASSES_MAX || class_id == SN_CLASS_LARGE)
            pages += sn_block_dirty_pages(span);
        if (sn_span_state(span) == SN_SPAN_LARGE)
            pages -= span->v.large.held; /* the object's and limbo; what is left waits for a trim */
        pages += lost_pages(span);
    }
    sn_unlock(&pool->lock);
    return (pages << SN_PAGE_SHIFT) - occupied;
}
