/* SPDX-License-Identifier: MIT */
/* purge.c - see purge.h. */
#include "core/purge.h"

#include "memory/policy.h"
#include "os/osmem.h"
#include "thread/drain.h"

size_t
sn_store_purge_due(handle_store *store, uint64_t now_ns, size_t max_bytes, uint64_t *next_ns)
{
    int64_t delay_ms = sn_load_relaxed(&store->options.purge_delay_ms);
    uint64_t empty = sn_load_relaxed(&store->pool.empty_bytes);
    *next_ns = SN_NEVER;
    if (delay_ms < 0 || empty == 0)
        return 0;
    uint64_t delay_ns = sn_policy_purge_delay_ns((uint64_t)delay_ms, empty,
                                                 sn_load_relaxed(&store->pool.arena_committed));
    uint64_t since;
    uint64_t before = now_ns > delay_ns ? now_ns - delay_ns : 0;
    size_t released = sn_pool_purge(&store->pool, before, max_bytes, &since);
    /* What the kernel has just refused is not asked for again in a hurry. */
    bool failed = sn_load_relaxed(&store->pool.last_purge_failed);
    if (since <= before && !failed)
        *next_ns = now_ns; /* max_bytes came first */
    else if (since != SN_POOL_NONE_LEFT)
        *next_ns = sn_max(since + delay_ns, now_ns + (failed ? SN_HOUSEKEEPING_NS : 1000000));
    return released;
}

/* Groups of metadata (base/config.h) of which neither pool nor table has used any. Each of the two
 * gives back whole pages of its own part: of pages larger than 4 KiB there may be none. */
static void
discard_unused_groups(handle_store *store)
{
    struct sn_pool *pool = &store->pool;
    sn_lock(&pool->lock); /* neither comes to use more meanwhile */
    sn_lock(&store->table.lock);
    size_t pools = sn_pool_groups_bytes(pool->high);
    size_t tables = sn_table_groups_bytes((uint64_t)store->table.high << SN_PAGE_SHIFT);
    sn_os_discard_between(pool->groups_end - store->reservation.groups_bytes,
                          pool->groups_end - sn_max(pools, tables));
    sn_unlock(&store->table.lock);
    sn_unlock(&pool->lock);
}

void
sn_store_purge_all(handle_store *store)
{
    uint64_t next;
    sn_caches_drain(&store->caches, false, false, NULL);
    (void)sn_heap_end_kept(&store->heap, SN_CLASS_NONE);
    sn_pool_purge(&store->pool, UINT64_MAX, 0, &next);
    (void)sn_large_trim(&store->large, SIZE_MAX, true);
    sn_caches_begin_work(&store->caches);
    sn_table_purge(&store->table, UINT32_MAX);
    sn_caches_end_work(&store->caches);
    (void)sn_pool_await_purges(&store->pool);
    if (sn_table_discard_unused(&store->table)) {
        sn_pool_discard_unused(&store->pool);
        discard_unused_groups(store);
        sn_pins_discard_unused(&store->heap.pins);
    }
    sn_caches_begin_work(&store->caches);
    sn_pins_purge(&store->heap.pins);
    sn_caches_end_work(&store->caches);
}
