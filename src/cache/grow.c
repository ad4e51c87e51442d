/* SPDX-License-Identifier: MIT */
/*
 * grow.c - see grow.h. A split makes bucket n out of some of the items of its parent; a merge is
 * the way back. Both hold the two buckets' locks throughout, and change `shape` before and after
 * (I2).
 */
#include "cache/grow.h"

#include "cache/move.h"
#include "cache/room.h"
#include "cache/sweep.h"

#define FILL_MOST   78u /* percent of cells: above it, a bucket is made */
#define FILL_LEAST  66u /* below: one is taken away */
#define SPARE_LINES (UINT64_C(4) * SC_LINES_OF_PAGE)

int
sc_index_open(sinter_cache *cache)
{
    if (!sc_lines_reach(&cache->index.buckets, SC_BUCKETS_MIN) ||
        !sc_lines_reach(&cache->policy.ghosts, SC_BUCKETS_MIN / 4))
        return -ENOMEM;
    pthread_mutex_init(&cache->index.resizing, NULL);
    cache->index.highest = SC_BUCKETS_MIN;
    sc_store_release(&cache->index.shape, SC_BUCKETS_MIN);
    return 0;
}

void
sc_index_close(sinter_cache *cache)
{
    sc_lines_free(&cache->index.buckets);
    sc_lines_free(&cache->policy.ghosts);
}

/* Release: what was written under the shape before is seen with it. */
static void
set_shape(sinter_cache *cache, uint64_t count, uint64_t bits)
{
    uint64_t old = sc_load(&cache->index.shape), new;
    do
        new = ((old & ~(SC_SHAPE_STEP - 1)) + SC_SHAPE_STEP) | bits | count;
    while (!__atomic_compare_exchange_n(&cache->index.shape, &old, new, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED));
}

/* ---- splitting ------------------------------------------------------------------------------- */

static bool
goes_to_new(const sinter_cache *cache, const struct sc_bucket *from, unsigned cell, uint64_t count)
{
    uint32_t place = sc_place_of(cache, from, cell);
    if (sc_bucket_marks(from, cell) & SC_AWAY)
        place = sc_other_place(place);
    return sc_bucket_number(place, count + 1) == count;
}

static void
split_items(sinter_cache *cache, uint64_t parent, uint64_t count)
{
    struct sc_bucket *from = sc_bucket(cache, parent), *to = sc_bucket(cache, count);
    struct sc_spot goes[SC_CELLS];
    unsigned many = 0;
    for (unsigned i = 0; i < SC_CELLS; i++) {
        const struct sc_item *item = sc_cell_item(cache, &from->cell[i]);
        if (!item || !goes_to_new(cache, from, i, count))
            continue;
        __builtin_prefetch((const char *)item - 8, 1); /* the move writes its header */
        goes[many++] = (struct sc_spot){from, i, item};
    }
    for (unsigned i = 0, next = 0; i < many; i++)
        next += sc_move_item(cache, &goes[i], to, next, 0);
}

static void
copy_ghosts(sinter_cache *cache, uint64_t parent, uint64_t count)
{
    const uint64_t *from = sc_line(&cache->policy.ghosts, parent / 4);
    uint64_t *to = sc_line(&cache->policy.ghosts, count / 4);
    for (unsigned i = 0; i < 8; i++)
        sc_store(&to[i], sc_load(&from[i]));
}

/* The next split writes the headers of these; until then they are on their way. */
static void
expect_split(const sinter_cache *cache)
{
    const struct sc_bucket *next = sc_bucket(cache, sc_bucket_parent(sc_buckets(cache)));
    for (unsigned i = 0; i < SC_CELLS; i++) {
        const struct sc_item *item = sc_cell_item(cache, &next->cell[i]);
        if (item)
            __builtin_prefetch((const char *)item - 8, 1);
    }
}

/* By the owner of `resizing`, in a section. */
static void
split(sinter_cache *cache)
{
    uint64_t count = sc_buckets(cache), parent = sc_bucket_parent(count);
    if (!sc_room_for_index(cache, count + 1) || !sc_lines_reach(&cache->index.buckets, count + 1) ||
        !sc_lines_reach(&cache->policy.ghosts, count / 4 + 1))
        return;
    struct sc_bucket *from = sc_bucket(cache, parent), *to = sc_bucket(cache, count);
    sc_lock_both(from, to);
    sc_store(&to->away, sc_load(&from->away));
    if (count % 4 == 0)
        copy_ghosts(cache, parent, count);
    set_shape(cache, count, SC_SHAPE_MOVING);
    split_items(cache, parent, count);
    set_shape(cache, count + 1, 0);
    cache->index.highest = sc_max(cache->index.highest, count + 1);
    sc_bucket_unlock(to);
    sc_bucket_unlock(from);
    sc_count(cache, SC_SPLITS);
    expect_split(cache);
}

/* ---- merging --------------------------------------------------------------------------------- */

/* Into the parent, or else into its other bucket, or into the parent in somebody's place. */
static bool
merge_item(sinter_cache *cache, const struct sc_spot *from, struct sc_bucket *to)
{
    struct sc_spot freed = {.cell = sc_bucket_free_cell(to)};
    if (freed.cell == SC_CELLS &&
        (sc_move_elsewhere(cache, from) || !sc_bucket_make_cell(cache, to, &freed)))
        return !sc_cell_item(cache, &from->bucket->cell[from->cell]);
    return sc_move_item(cache, from, to, freed.cell, 0);
}

static void
merge_items(sinter_cache *cache, uint64_t parent, uint64_t count, struct sc_left *left)
{
    struct sc_bucket *from = sc_bucket(cache, count), *to = sc_bucket(cache, parent);
    for (unsigned i = 0; i < SC_CELLS; i++) {
        struct sc_spot spot = {from, i, sc_cell_item(cache, &from->cell[i])};
        if (spot.item && !merge_item(cache, &spot, to))
            sc_let_go(cache, &spot, SINTER_CACHE_CROWDED, left);
    }
}

static void
merge(sinter_cache *cache, struct sc_left *left)
{
    uint64_t count = sc_buckets(cache) - 1, parent = sc_bucket_parent(count);
    struct sc_bucket *from = sc_bucket(cache, count), *to = sc_bucket(cache, parent);
    sc_lock_both(from, to);
    sc_store(&to->away,
             (uint16_t)sc_min((uint64_t)sc_load(&to->away) + sc_load(&from->away), SC_AWAY_MOST));
    set_shape(cache, count, SC_SHAPE_MOVING | SC_SHAPE_MERGING);
    merge_items(cache, parent, count, left);
    sc_store(&from->away, 0);
    set_shape(cache, count, 0);
    sc_bucket_unlock(from);
    sc_bucket_unlock(to);
    sc_count(cache, SC_MERGES);
}

/* ---- when ------------------------------------------------------------------------------------ */

static bool
is_full(const sinter_cache *cache)
{
    return sc_load(&cache->policy.items) * 100 > sc_buckets(cache) * SC_CELLS * FILL_MOST;
}

static bool
is_sparse(const sinter_cache *cache)
{
    uint64_t buckets = sc_buckets(cache);
    return buckets > SC_BUCKETS_MIN &&
           sc_load(&cache->policy.items) * 100 < buckets * SC_CELLS * FILL_LEAST;
}

uint64_t
sc_index_bytes_for(uint64_t items)
{
    uint64_t buckets = sc_max(items * 100 / ((uint64_t)SC_CELLS * FILL_LEAST), SC_BUCKETS_MIN);
    return buckets * SC_LINE_BYTES + buckets / 4 * SC_LINE_BYTES;
}

/* By the owner of `resizing`, who releases it. False: there were not too many buckets, or somebody
 * walks. */
static bool
resize(sinter_cache *cache)
{
    struct sc_left left;
    sc_left_none(&left, 0);
    for (unsigned i = 0; i < 2 && is_full(cache); i++)
        split(cache);
    bool shrinks = is_sparse(cache) && !cache->index.walkers;
    if (shrinks)
        merge(cache, &left);
    pthread_mutex_unlock(&cache->index.resizing);
    sc_tell(cache, &left);
    if (sc_index_has_spare(cache))
        sc_sweep_wake_if_asleep(cache); /* it gives their pages back */
    return shrinks;
}

void
sc_index_fit(sinter_cache *cache)
{
    if (sc_unlikely(is_full(cache) || is_sparse(cache)) &&
        pthread_mutex_trylock(&cache->index.resizing) == 0)
        resize(cache);
}

void
sc_index_settle(sinter_cache *cache)
{
    for (bool shrinks = true; shrinks && sc_enter_writing(cache, sc_in_section(cache));
         sc_leave(cache)) {
        pthread_mutex_lock(&cache->index.resizing);
        shrinks = resize(cache);
    }
}

void
sc_index_hold(sinter_cache *cache)
{
    pthread_mutex_lock(&cache->index.resizing);
    sc_store(&cache->index.walk_at, cache->index.walkers ? UINT64_MAX : 0);
    sc_store(&cache->index.walkers, cache->index.walkers + 1);
    pthread_mutex_unlock(&cache->index.resizing);
}

void
sc_index_walk_at(sinter_cache *cache, uint64_t number)
{
    uint64_t at = sc_load(&cache->index.walk_at);
    while (at != UINT64_MAX &&
           !__atomic_compare_exchange_n(&cache->index.walk_at, &at, number, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED))
        ;
}

void
sc_index_let(sinter_cache *cache)
{
    pthread_mutex_lock(&cache->index.resizing);
    /* In a child that the walk has forked there is none any more. */
    sc_store(&cache->index.walkers, cache->index.walkers - (cache->index.walkers > 0));
    pthread_mutex_unlock(&cache->index.resizing);
    sc_index_settle(cache);
}

/* ---- pages that are not needed --------------------------------------------------------------- */

bool
sc_index_has_spare(const sinter_cache *cache)
{
    return sc_load(&cache->index.buckets.touched) > sc_buckets(cache) + SPARE_LINES;
}

void
sc_index_release(sinter_cache *cache)
{
    pthread_mutex_lock(&cache->index.resizing);
    uint64_t keep = sc_buckets(cache) + SPARE_LINES / 2;
    cache->index.highest = keep;
    pthread_mutex_unlock(&cache->index.resizing);
    /* Whoever has locked a bucket by an older number has left it. */
    sc_synchronize(cache);
    pthread_mutex_lock(&cache->index.resizing);
    if (cache->index.highest <= keep) {
        sc_lines_release(&cache->index.buckets, keep);
        sc_lines_release(&cache->policy.ghosts, (keep + 3) / 4);
    }
    pthread_mutex_unlock(&cache->index.resizing);
}
