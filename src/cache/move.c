/* SPDX-License-Identifier: MIT */
/* move.c - see move.h. */
#include "cache/move.h"

bool
sc_move_item(sinter_cache *cache, const struct sc_spot *from, struct sc_bucket *to, unsigned cell,
             uint32_t flip)
{
    sc_bucket_mark(to, cell, sc_bucket_marks(from->bucket, from->cell) ^ flip,
                   sc_bucket_heat(from->bucket, from->cell));
    if (handle_cell_relocate(cache->store, &from->bucket->cell[from->cell], &to->cell[cell]) != 0)
        return false;
    sc_bucket_mark(from->bucket, from->cell, 0, 0);
    return true;
}

/* The bucket that it goes to is locked. */
static bool
move_to(sinter_cache *cache, const struct sc_spot *from, struct sc_bucket *to,
        struct sc_bucket *home)
{
    unsigned cell = sc_bucket_free_cell(to);
    if (cell == SC_CELLS)
        return false;
    if (to != home)
        sc_away_add(home, 1);
    sc_index_step(cache); /* I3 */
    if (!sc_move_item(cache, from, to, cell, SC_AWAY))
        return false;
    if (to == home)
        sc_away_add(home, -1);
    return true;
}

/* A walk goes from lower numbers to higher ones: it would miss an item that moves from where it has
 * not been yet to where it has. It takes the bucket's lock after it has said where it is: what it
 * has seen, the owner of both buckets' locks knows of. */
static bool
walk_would_miss(const sinter_cache *cache, uint64_t from, uint64_t to)
{
    uint64_t at = sc_load(&cache->index.walk_at);
    return sc_load(&cache->index.walkers) && to < from &&
           (at == UINT64_MAX || (to <= at && from >= at));
}

/** An item in a locked bucket, and the two buckets that it may be in. */
struct moving {
    struct sc_spot at;
    uint32_t place;
    uint64_t home, from, to; /* numbers */
};

/* False: both buckets are the same. A bucket that is being taken away counts as what it becomes. */
static bool
where_to(const sinter_cache *cache, const struct sc_spot *from, struct moving *moving)
{
    uint32_t place = sc_place_of(cache, from->bucket, from->cell);
    uint64_t count = sc_buckets(cache), other = sc_bucket_number(sc_other_place(place), count);
    bool away = sc_bucket_marks(from->bucket, from->cell) & SC_AWAY;
    moving->at = *from;
    moving->place = place;
    moving->home = sc_bucket_number(place, count);
    moving->from = away ? other : moving->home;
    moving->to = away ? moving->home : other;
    return moving->home != other;
}

/* Locks the bucket that it goes to, without waiting. Its number may have become another one's
 * before; with the lock it stays. */
static bool
lock_to(const sinter_cache *cache, const struct moving *moving)
{
    struct sc_bucket *to = sc_bucket(cache, moving->to);
    if (!sc_bucket_trylock(to))
        return false;
    uint64_t count = sc_buckets(cache);
    uint32_t place = moving->to == moving->home ? moving->place : sc_other_place(moving->place);
    if (sc_likely(sc_bucket_number(place, count) == moving->to))
        return true;
    sc_bucket_unlock(to);
    return false;
}

/* The bucket that it goes to is locked. */
static bool
move_there(sinter_cache *cache, const struct moving *moving)
{
    return !walk_would_miss(cache, moving->from, moving->to) &&
           move_to(cache, &moving->at, sc_bucket(cache, moving->to),
                   sc_bucket(cache, moving->home));
}

static bool
move_elsewhere(sinter_cache *cache, const struct moving *moving)
{
    struct sc_bucket *to = sc_bucket(cache, moving->to);
    __builtin_prefetch((const char *)moving->at.item - 8, 1); /* its header is written */
    if (sc_bucket_free_cell(to) == SC_CELLS || !lock_to(cache, moving))
        return false;
    bool moved = move_there(cache, moving);
    sc_bucket_unlock(to);
    return moved;
}

bool
sc_move_elsewhere(sinter_cache *cache, const struct sc_spot *from)
{
    struct moving moving;
    return where_to(cache, from, &moving) && move_elsewhere(cache, &moving);
}

/* Where an item of a locked bucket could go. False: nowhere, or there is none. */
static bool
may_go(const sinter_cache *cache, struct sc_bucket *bucket, unsigned cell, struct moving *moving)
{
    struct sc_spot spot = {bucket, cell, sc_cell_item(cache, &bucket->cell[cell])};
    return spot.item && where_to(cache, &spot, moving);
}

/* Whether a bucket has been split since their number was a power of two: it is half as full. */
static bool
is_split(const sinter_cache *cache, uint64_t number)
{
    uint64_t parent = sc_bucket_parent(sc_buckets(cache));
    return number < parent || number >= sc_buckets(cache) - parent;
}

/* A free cell in a locked bucket, by moving one of its items, to a bucket that has been split if
 * there is one. */
static bool
make_cell(sinter_cache *cache, struct sc_bucket *bucket, struct sc_spot *spot)
{
    for (unsigned i = 0; i < 2 * SC_CELLS; i++) {
        struct moving moving;
        if (may_go(cache, bucket, i % SC_CELLS, &moving) &&
            is_split(cache, moving.to) == (i < SC_CELLS) && move_elsewhere(cache, &moving)) {
            *spot = moving.at;
            return true;
        }
    }
    return false;
}

/* The same, by moving an item for which another one has to move first. */
static bool
make_cell_by_two(sinter_cache *cache, struct sc_bucket *bucket, struct sc_spot *spot)
{
    for (unsigned i = 0; i < SC_CELLS; i++) {
        struct moving moving;
        struct sc_spot freed;
        if (!may_go(cache, bucket, i, &moving) || !lock_to(cache, &moving))
            continue;
        struct sc_bucket *to = sc_bucket(cache, moving.to);
        bool moved = make_cell(cache, to, &freed) && move_there(cache, &moving);
        sc_bucket_unlock(to);
        if (moved) {
            *spot = moving.at;
            return true;
        }
    }
    return false;
}

bool
sc_bucket_make_cell(sinter_cache *cache, struct sc_bucket *bucket, struct sc_spot *spot)
{
    return make_cell(cache, bucket, spot) || make_cell_by_two(cache, bucket, spot);
}

bool
sc_pair_make_cell(sinter_cache *cache, const struct sc_pair *pair, struct sc_spot *spot)
{
    return make_cell(cache, pair->home, spot) || make_cell(cache, pair->other, spot) ||
           make_cell_by_two(cache, pair->home, spot) || make_cell_by_two(cache, pair->other, spot);
}
