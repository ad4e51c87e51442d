/* SPDX-License-Identifier: MIT */
/* move.c - see move.h. */
#include "cache/move.h"

bool
sc_move_item(sinter_cache *cache, const struct sc_spot *from, struct sc_bucket *to, unsigned cell)
{
    bool in_main = sc_in_main(from->bucket, from->cell);
    bool expires = sc_load(&from->bucket->state) & SC_EXPIRES(from->cell);
    sc_bucket_mark(to, cell, in_main, expires, sc_bucket_heat(from->bucket, from->cell));
    if (handle_cell_relocate(cache->store, &from->bucket->cell[from->cell], &to->cell[cell]) != 0)
        return false;
    sc_bucket_mark(from->bucket, from->cell, false, false, 0);
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
        sc_away_up(home);
    sc_index_step(cache); /* I3 */
    if (!sc_move_item(cache, from, to, cell))
        return false;
    if (to == home)
        sc_away_down(home);
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

/* False: both buckets are the same. */
static bool
where_to(const sinter_cache *cache, const struct sc_spot *from, const struct sc_bucket *stands_for,
         struct moving *moving)
{
    uint32_t place = sc_place(sc_hash_of_item(cache, from->item));
    uint64_t count = sc_buckets(cache), other = sc_bucket_number(sc_other_place(place), count);
    moving->at = *from;
    moving->place = place;
    moving->home = sc_bucket_number(place, count);
    bool at_home = sc_bucket(cache, moving->home) == stands_for;
    moving->from = at_home ? moving->home : other;
    moving->to = at_home ? other : moving->home;
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

bool
sc_move_elsewhere(sinter_cache *cache, const struct sc_spot *from,
                  const struct sc_bucket *stands_for)
{
    struct moving moving;
    if (!where_to(cache, from, stands_for, &moving) ||
        sc_bucket_free_cell(sc_bucket(cache, moving.to)) == SC_CELLS || !lock_to(cache, &moving))
        return false;
    bool moved = move_there(cache, &moving);
    sc_bucket_unlock(sc_bucket(cache, moving.to));
    return moved;
}

/* The spot of an item in a locked bucket; false: the cell is empty. */
static bool
spot_of(const sinter_cache *cache, struct sc_bucket *bucket, unsigned cell, struct sc_spot *spot)
{
    *spot = (struct sc_spot){bucket, cell, sc_cell_item(cache, &bucket->cell[cell])};
    return spot->item;
}

/* A free cell in a locked bucket, by moving one of its items. */
static bool
make_cell(sinter_cache *cache, struct sc_bucket *bucket, struct sc_spot *spot)
{
    for (unsigned i = 0; i < SC_CELLS; i++) {
        if (spot_of(cache, bucket, i, spot) && sc_move_elsewhere(cache, spot, bucket))
            return true;
    }
    return false;
}

/* The same, by moving one that it moves another for. */
static bool
make_cell_by_two(sinter_cache *cache, struct sc_bucket *bucket, struct sc_spot *spot)
{
    for (unsigned i = 0; i < SC_CELLS; i++) {
        struct moving moving;
        struct sc_spot freed;
        if (!spot_of(cache, bucket, i, spot) || !where_to(cache, spot, bucket, &moving))
            continue;
        struct sc_bucket *to = sc_bucket(cache, moving.to);
        if (!lock_to(cache, &moving))
            continue;
        bool moved = make_cell(cache, to, &freed) && move_there(cache, &moving);
        sc_bucket_unlock(to);
        if (moved)
            return true;
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
