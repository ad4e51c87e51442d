/* SPDX-License-Identifier: MIT */
/* evict.c - see evict.h. */
#include "cache/evict.h"

#include "cache/grow.h"
#include "cache/ring.h"

#define HANDS_MOST 32u /* steps of the hand that free nothing; then it is the ring's turn */

static void
evict_item(sinter_cache *cache, const struct sc_spot *spot, enum sc_origin origin,
           struct sc_left *left)
{
    sc_ghost_put(cache, sc_hash_of_item(cache, spot->item), origin);
    sc_policy_left(cache, origin);
    sc_let_go(cache, spot, SINTER_CACHE_EVICTED, left);
}

/* ---- the ring -------------------------------------------------------------------------------- */

/* The item of the ring that a place stands for, in a locked bucket. */
static bool
find_in_ring(const sinter_cache *cache, struct sc_bucket *bucket, uint32_t place,
             struct sc_spot *spot)
{
    for (unsigned i = 0; i < SC_CELLS; i++) {
        if (handle_cell_tag(&bucket->cell[i]) >> SC_TAG_REST != place >> SC_PLACE_LOW ||
            sc_bucket_marks(bucket, i) & SC_IN_MAIN)
            continue;
        *spot = (struct sc_spot){bucket, i, sc_cell_item(cache, &bucket->cell[i])};
        if (spot->item && sc_place_of(cache, bucket, i) == place)
            return true;
    }
    return false;
}

/* Its turn has come: on to main, or out. */
static void
judge(sinter_cache *cache, const struct sc_spot *spot, struct sc_left *left)
{
    if (sc_item_is_over(cache, spot->item)) {
        sc_let_go(cache, spot, SINTER_CACHE_EXPIRED, left);
    } else if (sc_bucket_heat(spot->bucket, spot->cell) > 0) {
        sc_bucket_mark(spot->bucket, spot->cell,
                       sc_bucket_marks(spot->bucket, spot->cell) | SC_IN_MAIN,
                       sc_bucket_heat(spot->bucket, spot->cell));
        sc_sub(&cache->policy.ring_used, sc_charge_of(spot->item));
    } else {
        evict_item(cache, spot, SC_OF_RING, left);
    }
}

/* The next victim's item, and the bucket of the one after it, are on their way meanwhile. */
static void
expect(const sinter_cache *cache, const uint32_t places[2])
{
    const struct sc_bucket *bucket = sc_bucket_at(cache, places[0]);
    for (unsigned i = 0; i < SC_CELLS; i++) {
        if (handle_cell_tag(&bucket->cell[i]) >> SC_TAG_REST == places[0] >> SC_PLACE_LOW)
            __builtin_prefetch(sc_cell_item(cache, &bucket->cell[i]));
    }
    __builtin_prefetch(sc_bucket_at(cache, places[1]), 1);
}

/* Takes the oldest entry; its bucket, or its pair, is locked then. item NULL: it is of one that has
 * been deleted. False: the ring is empty. */
static bool
take_oldest(sinter_cache *cache, uint32_t *place, struct sc_pair *pair, struct sc_spot *spot)
{
    uint32_t places[3];
    if (!sc_ring_pop(&cache->policy.ring, places))
        return false;
    expect(cache, places + 1);
    *place = places[0];
    pair->home = pair->other = sc_place_lock(cache, *place);
    if (find_in_ring(cache, pair->home, *place, spot))
        return true;
    sc_pair_unlock(pair);
    sc_pair_lock(cache, *place, pair);
    if (!find_in_ring(cache, pair->home, *place, spot) &&
        !find_in_ring(cache, pair->other, *place, spot))
        spot->item = NULL;
    return true;
}

/* False: the ring is empty. */
static bool
step_of_ring(sinter_cache *cache, struct sc_left *left)
{
    uint32_t place;
    struct sc_pair pair;
    struct sc_spot spot;
    if (!take_oldest(cache, &place, &pair, &spot))
        return false;
    if (spot.item)
        judge(cache, &spot, left);
    sc_pair_unlock(&pair);
    return true;
}

bool
sc_ring_trim(sinter_cache *cache)
{
    uint32_t place;
    struct sc_pair pair;
    struct sc_spot spot;
    if (sc_likely(sc_load(&cache->policy.ring.places) <=
                  2 * sc_load(&cache->policy.items) + 1024) ||
        !take_oldest(cache, &place, &pair, &spot))
        return false;
    sc_pair_unlock(&pair);
    if (spot.item)
        sc_ring_push(&cache->policy.ring, place);
    return true;
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

uint64_t
sc_evict_bucket(sinter_cache *cache, uint64_t number, enum sc_whose whose, struct sc_left *left)
{
    struct sc_bucket *bucket;
    uint64_t expired = 0;
    if (!lock_number(cache, number, &bucket))
        return 0;
    for (unsigned i = 0; i < SC_CELLS; i++) {
        struct sc_spot spot = {bucket, i, sc_cell_item(cache, &bucket->cell[i])};
        if (!spot.item)
            continue;
        if (sc_item_is_over(cache, spot.item)) {
            sc_let_go(cache, &spot, SINTER_CACHE_EXPIRED, left);
            expired++;
        } else if ((whose == SC_ANYBODY || sc_bucket_marks(bucket, i) & whose) &&
                   sc_policy_hand_takes(cache, bucket, i, sc_charge_of(spot.item))) {
            evict_item(cache, &spot, SC_OF_MAIN, left);
        }
    }
    sc_bucket_unlock(bucket);
    return expired;
}

static void
step_of_hand(sinter_cache *cache, enum sc_whose whose, struct sc_left *left)
{
    uint64_t number = sc_fetch_add(&cache->policy.hand, 1) % sc_buckets(cache);
    sc_evict_bucket(cache, number, whose, left);
}

/* ---- making room ----------------------------------------------------------------------------- */

/* One step. fruitless: steps of the hand without a result so far. False: a fork is being prepared,
 * and the caller has a section open. */
static bool
step(sinter_cache *cache, uint64_t need, unsigned *fruitless)
{
    struct sc_left left;
    uint64_t before = sc_load(&cache->policy.items);
    if (!sc_enter_writing(cache, sc_in_section(cache)))
        return false;
    sc_left_none(&left, need);
    if (sc_policy_ring_is_next(cache) || *fruitless >= HANDS_MOST) {
        *fruitless = 0;
        if (!step_of_ring(cache, &left))
            step_of_hand(cache, sc_load(&cache->policy.ring_used) > 0 ? SC_ANYBODY : SC_MAIN,
                         &left);
    } else {
        step_of_hand(cache, SC_MAIN, &left);
        *fruitless = sc_load(&cache->policy.items) < before ? 0 : *fruitless + 1;
    }
    sc_tell(cache, &left);
    sc_index_fit(cache); /* one large item may take the place of thousands of small ones */
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
sc_evict(sinter_cache *cache, uint64_t need, uint64_t least, uint64_t steps)
{
    unsigned fruitless = 0;
    uint64_t begin = least ? gone(cache) : 0, left = 0;
    while ((!fits(cache, need) || left < least) && sc_load(&cache->policy.items) > 0 && steps > 0 &&
           step(cache, need, &fruitless)) {
        steps--;
        if (least)
            left = gone(cache) - begin;
    }
    return left;
}

void
sc_evict_crowded(sinter_cache *cache, const struct sc_pair *pair, struct sc_left *left)
{
    struct sc_spot coldest = {.item = NULL};
    unsigned least = SC_HEAT_MOST + 1;
    for (unsigned i = 0; i < 2 * SC_CELLS; i++) {
        struct sc_bucket *bucket = i < SC_CELLS ? pair->home : pair->other;
        const struct sc_item *item = sc_cell_item(cache, &bucket->cell[i % SC_CELLS]);
        unsigned heat = sc_bucket_heat(bucket, i % SC_CELLS);
        if (!item || heat >= least)
            continue;
        least = heat;
        coldest = (struct sc_spot){bucket, i % SC_CELLS, item};
    }
    if (coldest.item)
        sc_let_go(cache, &coldest, SINTER_CACHE_CROWDED, left);
}
