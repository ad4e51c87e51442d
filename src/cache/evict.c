/* SPDX-License-Identifier: MIT */
/* evict.c - see evict.h. */
#include "cache/evict.h"
#include "cache/ring.h"

#define HANDS_MOST 32u /* steps of the hand that free nothing; then it is the ring's turn */

static void
evict_item(sinter_cache *cache, const struct sc_spot *spot, uint64_t hash, enum sc_origin origin,
           struct sc_left *left)
{
    sc_ghost_put(cache, hash, origin);
    sc_policy_left(cache, origin);
    sc_let_go(cache, spot, hash, SINTER_CACHE_EVICTED, left);
}

/* ---- the ring -------------------------------------------------------------------------------- */

/* The item of the ring that a place stands for, in a locked bucket; others may share the tag's 8
 * bits. */
static bool
find_in_ring(const sinter_cache *cache, struct sc_bucket *bucket, uint32_t place,
             struct sc_spot *spot, uint64_t *hash)
{
    uint32_t wanted = sc_tag_of_place(place);
    for (unsigned i = 0; i < SC_CELLS; i++) {
        uint32_t tag;
        const struct sc_item *item = handle_cell_read(cache->store, &bucket->cell[i], &tag);
        if (!item || (tag & 0xff) != wanted || sc_in_main(bucket, i))
            continue;
        *hash = sc_hash_of_item(cache, item);
        if (sc_place(*hash) != place)
            continue;
        *spot = (struct sc_spot){bucket, i, item};
        return true;
    }
    return false;
}

/* Its turn has come: on to main, or out. */
static void
judge(sinter_cache *cache, const struct sc_spot *spot, uint64_t hash, struct sc_left *left)
{
    if (sc_item_is_over(cache, spot->item)) {
        sc_let_go(cache, spot, hash, SINTER_CACHE_EXPIRED, left);
    } else if (sc_bucket_heat(spot->bucket, spot->cell) > 0) {
        bool expires = sc_load(&spot->bucket->state) & SC_EXPIRES(spot->cell);
        sc_bucket_mark(spot->bucket, spot->cell, true, expires, 0);
        sc_policy_promote(cache, sc_charge_of(spot->item));
    } else {
        evict_item(cache, spot, hash, SC_OF_RING, left);
    }
}

/* False: the ring is empty. */
static bool
step_of_ring(sinter_cache *cache, struct sc_left *left)
{
    uint32_t place;
    if (!sc_ring_pop(&cache->policy.ring, &place))
        return false;
    struct sc_pair pair;
    struct sc_spot spot;
    uint64_t hash;
    sc_pair_lock(cache, place, &pair);
    if (find_in_ring(cache, pair.home, place, &spot, &hash) ||
        (pair.other != pair.home && find_in_ring(cache, pair.other, place, &spot, &hash)))
        judge(cache, &spot, hash, left);
    sc_pair_unlock(&pair);
    return true;
}

void
sc_ring_trim(sinter_cache *cache)
{
    uint32_t place;
    struct sc_pair pair;
    struct sc_spot spot;
    uint64_t hash;
    if (sc_load(&cache->policy.ring.places) <= 2 * sc_load(&cache->policy.items) + 1024 ||
        !sc_ring_pop(&cache->policy.ring, &place))
        return;
    sc_pair_lock(cache, place, &pair);
    bool live = find_in_ring(cache, pair.home, place, &spot, &hash) ||
                find_in_ring(cache, pair.other, place, &spot, &hash);
    sc_pair_unlock(&pair);
    if (live)
        sc_ring_push(&cache->policy.ring, place);
}

/* ---- buckets --------------------------------------------------------------------------------- */

/* Locks a bucket by its number; false: there is none any more. */
static bool
lock_number(const sinter_cache *cache, uint64_t number, struct sc_bucket **bucket)
{
    if (number >= sc_buckets(cache))
        return false;
    *bucket = sc_bucket(cache, number);
    sc_bucket_lock(*bucket);
    if (sc_likely(number < sc_buckets(cache)))
        return true;
    sc_bucket_unlock(*bucket);
    return false;
}

/* One bucket. all: also items of the ring, of which it has lost sight. */
static void
step_of_hand(sinter_cache *cache, bool all, struct sc_left *left)
{
    struct sc_bucket *bucket;
    uint64_t number = sc_fetch_add(&cache->policy.hand, 1) % sc_buckets(cache);
    if (!lock_number(cache, number, &bucket))
        return;
    for (unsigned i = 0; i < SC_CELLS; i++) {
        struct sc_spot spot = {bucket, i, sc_cell_item(cache, &bucket->cell[i])};
        if (!spot.item)
            continue;
        if (sc_item_is_over(cache, spot.item))
            sc_let_go(cache, &spot, sc_hash_of_item(cache, spot.item), SINTER_CACHE_EXPIRED, left);
        else if ((all || sc_in_main(bucket, i)) &&
                 sc_policy_hand_takes(cache, bucket, i, sc_charge_of(spot.item)))
            evict_item(cache, &spot, sc_hash_of_item(cache, spot.item), SC_OF_MAIN, left);
    }
    sc_bucket_unlock(bucket);
}

unsigned
sc_evict_expired(sinter_cache *cache, uint64_t number)
{
    struct sc_left left = {0};
    struct sc_bucket *bucket;
    if (!lock_number(cache, number, &bucket))
        return 0;
    unsigned gone = 0;
    for (unsigned i = 0; i < SC_CELLS; i++) {
        struct sc_spot spot = {bucket, i, sc_cell_item(cache, &bucket->cell[i])};
        if (!spot.item || !sc_item_is_over(cache, spot.item))
            continue;
        sc_let_go(cache, &spot, sc_hash_of_item(cache, spot.item), SINTER_CACHE_EXPIRED, &left);
        gone++;
    }
    sc_bucket_unlock(bucket);
    sc_tell(cache, &left);
    return gone;
}

/* ---- making room ----------------------------------------------------------------------------- */

/* One step. fruitless: steps of the hand without a result so far. False: a fork is being prepared,
 * and the caller has a section open. */
static bool
step(sinter_cache *cache, unsigned *fruitless)
{
    struct sc_left left = {0};
    uint64_t before = sc_load(&cache->policy.items);
    if (!sc_enter_writing(cache, sc_in_section(cache)))
        return false;
    if (sc_policy_ring_is_next(cache) || *fruitless >= HANDS_MOST) {
        *fruitless = 0;
        if (!step_of_ring(cache, &left))
            step_of_hand(cache, sc_load(&cache->policy.ring_used) > 0, &left);
    } else {
        step_of_hand(cache, false, &left);
        *fruitless = sc_load(&cache->policy.items) < before ? 0 : *fruitless + 1;
    }
    sc_tell(cache, &left);
    sc_leave(cache);
    return true;
}

static bool
fits(const sinter_cache *cache, uint64_t need)
{
    return sc_policy_slots(cache) + need <= sc_load(&cache->room.budget);
}

static uint64_t
gone(const sinter_cache *cache)
{
    return sc_counted(cache->counts, SC_EVICTED) + sc_counted(cache->counts, SC_EXPIRED);
}

uint64_t
sc_evict(sinter_cache *cache, uint64_t need, uint64_t least)
{
    unsigned fruitless = 0;
    uint64_t begin = least ? gone(cache) : 0, left = 0;
    /* The hand takes a hit from each item in a pass: what may go, goes in five of them, and the
     * ring has as many entries as items were set since. */
    uint64_t steps = 8 * sc_buckets(cache) + 1024;
    while ((!fits(cache, need) || left < least) && sc_load(&cache->policy.items) > 0 &&
           steps-- > 0 && step(cache, &fruitless)) {
        if (least)
            left = gone(cache) - begin;
    }
    return left;
}

void
sc_evict_crowded(sinter_cache *cache, const struct sc_pair *pair, const struct sc_item *keep,
                 struct sc_left *left)
{
    struct sc_spot coldest = {.item = NULL};
    unsigned least = SC_HEAT_MOST + 1;
    for (unsigned i = 0; i < 2 * SC_CELLS; i++) {
        struct sc_bucket *bucket = i < SC_CELLS ? pair->home : pair->other;
        const struct sc_item *item = sc_cell_item(cache, &bucket->cell[i % SC_CELLS]);
        unsigned heat = sc_bucket_heat(bucket, i % SC_CELLS);
        if (!item || item == keep || heat >= least)
            continue;
        least = heat;
        coldest = (struct sc_spot){bucket, i % SC_CELLS, item};
    }
    if (coldest.item)
        sc_let_go(cache, &coldest, sc_hash_of_item(cache, coldest.item), SINTER_CACHE_CROWDED,
                  left);
}
