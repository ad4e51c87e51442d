/* SPDX-License-Identifier: MIT */
/* walk.c - the calls that go over all buckets. None is taken away meanwhile. */
#include "cache/evict.h"
#include "cache/grow.h"

/* What is in a bucket, in a section. Under its lock, so that nothing moves past a walk (move.c). */
static unsigned
collect(sinter_cache *cache, struct sc_bucket *bucket, const struct sc_item *items[SC_CELLS])
{
    unsigned count = 0;
    sc_bucket_lock(bucket);
    for (unsigned i = 0; i < SC_CELLS; i++) {
        const struct sc_item *item = sc_cell_item(cache, &bucket->cell[i]);
        if (item && !sc_item_is_over(cache, item))
            items[count++] = item;
    }
    sc_bucket_unlock(bucket);
    return count;
}

/* One bucket, in a section of its own. */
static int
visit_bucket(sinter_cache *cache, uint64_t number,
             int (*visit)(void *, const struct sinter_cache_view *), void *opaque)
{
    const struct sc_item *items[SC_CELLS];
    int rc = 0;
    if (!sc_enter_writing(cache, sc_in_section(cache)))
        return -EAGAIN;
    sc_index_walk_at(cache, number);
    unsigned count = collect(cache, sc_bucket(cache, number), items);
    const struct sc_shown shown = {.outer = sc_shown};
    sc_shown = &shown;
    for (unsigned i = 0; i < count && rc == 0; i++) {
        struct sinter_cache_view view;
        sc_view(cache, items[i], &view);
        rc = visit(opaque, &view);
    }
    sc_shown = shown.outer;
    sc_leave(cache);
    return rc;
}

static int
go_on(void *opaque)
{
    (void)opaque;
    return 0;
}

int
sinter_cache_walk_pausing(sinter_cache *cache,
                          int (*visit)(void *, const struct sinter_cache_view *),
                          int (*between)(void *), void *opaque)
{
    if (!cache || !visit || !between)
        return -EINVAL;
    int rc = 0;
    sc_index_hold(cache);
    for (uint64_t i = 0; i < sc_buckets(cache) && rc == 0; i++) {
        rc = visit_bucket(cache, i, visit, opaque);
        if (rc == 0)
            rc = between(opaque);
    }
    sc_index_let(cache);
    return rc;
}

int
sinter_cache_walk(sinter_cache *cache, int (*visit)(void *, const struct sinter_cache_view *),
                  void *opaque)
{
    return sinter_cache_walk_pausing(cache, visit, go_on, opaque);
}

static void
clear_bucket(sinter_cache *cache, uint64_t number)
{
    struct sc_bucket *bucket = sc_bucket(cache, number);
    sc_index_walk_at(cache, number);
    sc_bucket_lock(bucket);
    for (unsigned i = 0; i < SC_CELLS; i++) {
        struct sc_spot spot = {bucket, i, sc_cell_item(cache, &bucket->cell[i])};
        if (!spot.item)
            continue;
        sc_count(cache, SC_CLEARED);
        sc_take_out(cache, &spot);
    }
    sc_bucket_unlock(bucket);
}

/* Most of its entries are of items that are gone. */
static void
forget_in_ring(sinter_cache *cache, bool nested)
{
    uint64_t most = sc_load(&cache->policy.ring.places);
    for (bool trims = true; trims && most > 0 && sc_enter_writing(cache, nested); most--) {
        trims = sc_ring_trim(cache);
        sc_leave(cache);
    }
}

int
sinter_cache_clear(sinter_cache *cache)
{
    int rc = 0;
    if (!cache)
        return -EINVAL;
    bool nested = sc_in_section(cache);
    sc_index_hold(cache);
    for (uint64_t i = 0; i < sc_buckets(cache) && rc == 0; i++) {
        if (sc_enter_writing(cache, nested)) {
            clear_bucket(cache, i);
            sc_leave(cache);
        } else {
            rc = -EAGAIN;
        }
    }
    sc_index_let(cache);
    forget_in_ring(cache, nested);
    return rc;
}

uint64_t
sinter_cache_items(const sinter_cache *cache)
{
    return cache ? sc_load(&cache->policy.items) : 0;
}
