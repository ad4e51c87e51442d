/* SPDX-License-Identifier: MIT */
/* index.c - looking up, and locks; see index.h. grow.c changes the number of buckets. */
#include "cache/index.h"

#define HOME_SPARE 2u /* free cells below which a new item looks for a better place than its home */

/* ---- looking up ------------------------------------------------------------------------------ */

/** What the lower half of a cell's word is when it names an object with this tag. */
static inline uint32_t
word_of_tag(uint32_t tag)
{
    return tag << 3 | HANDLE_HAS_OBJECT;
}

/* Tag and address come from one load: they belong together. */
static bool
scan(const sinter_cache *cache, struct sc_bucket *bucket, const struct sc_key *key,
     struct sc_spot *spot)
{
    const struct handle_store_head *head = (const void *)cache->store;
    uint32_t wanted = word_of_tag(sc_tag(key->hash));
#pragma GCC unroll 7
    for (unsigned i = 0; i < SC_CELLS; i++) {
        uint64_t word = __atomic_load_n(&bucket->cell[i].word, __ATOMIC_ACQUIRE);
        if (sc_likely(((uint32_t)word & HANDLE_MATCH_MASK) != wanted))
            continue;
        uint64_t address = head->arena + 8 * (word >> HANDLE_OFFSET_SHIFT);
        *spot = (struct sc_spot){bucket, i, (const struct sc_item *)address};
        __builtin_prefetch((const char *)spot->item + 64);
        if (sc_item_has_key(spot->item, key->bytes, key->size))
            return true;
    }
    return false;
}

/* I2: both buckets of a pair that is being moved in, the one that items leave first. */
static bool
scan_moving(const sinter_cache *cache, uint64_t shape, uint32_t place, const struct sc_key *key,
            struct sc_spot *spot)
{
    uint64_t count = shape & SC_SHAPE_COUNT;
    uint64_t old = sc_bucket_number(place, count), new = sc_bucket_number(place, count + 1);
    uint64_t from = shape & SC_SHAPE_MERGING ? new : old, to = from == old ? new : old;
    return scan(cache, sc_bucket(cache, from), key, spot) ||
           (from != to && scan(cache, sc_bucket(cache, to), key, spot));
}

/* The home once more after the other bucket: an item may have moved from there to here meanwhile,
 * after the shape that was loaded before. One that moved here and back has changed it again. */
static bool
find_moving(const sinter_cache *cache, uint64_t shape, const struct sc_key *key,
            struct sc_spot *spot)
{
    uint32_t place = sc_place(key->hash), other = sc_other_place(place);
    return scan_moving(cache, shape, place, key, spot) ||
           scan_moving(cache, shape, other, key, spot) ||
           scan_moving(cache, shape, place, key, spot);
}

static bool
find_once(const sinter_cache *cache, uint64_t shape, const struct sc_key *key, struct sc_spot *spot)
{
    if (sc_unlikely(shape & SC_SHAPE_MOVING))
        return find_moving(cache, shape, key, spot);
    uint32_t place = sc_place(key->hash);
    uint64_t count = shape & SC_SHAPE_COUNT;
    struct sc_bucket *home = sc_bucket(cache, sc_bucket_number(place, count));
    uint16_t away = sc_load(&home->away); /* before: it goes down when an item has come home */
    if (scan(cache, home, key, spot))
        return true;
    sc_hook_between_buckets();
    if (!away)
        return false;
    uint64_t other = sc_bucket_number(sc_other_place(place), count);
    return scan(cache, sc_bucket(cache, other), key, spot) || scan(cache, home, key, spot);
}

bool
sc_index_find(const sinter_cache *cache, const struct sc_key *key, struct sc_spot *spot)
{
    /* Acquire: the buckets it counts are there. */
    uint64_t shape = sc_load_acquire(&cache->index.shape);
    for (;;) {
        if (find_once(cache, shape, key, spot))
            return true;
        /* I3. The cells' acquire orders this after them. */
        uint64_t again = sc_load_acquire(&cache->index.shape);
        if (sc_likely(again == shape))
            return false;
        shape = again;
    }
}

bool
sc_pair_find(const sinter_cache *cache, const struct sc_pair *pair, const struct sc_key *key,
             struct sc_spot *spot)
{
    return scan(cache, pair->home, key, spot) ||
           (pair->other != pair->home && scan(cache, pair->other, key, spot));
}

bool
sc_key_read(const sinter_cache *cache, const void *bytes, size_t size, struct sc_key *key)
{
    if (!cache || !bytes || size < 1 || size > SINTER_CACHE_KEY_MAX)
        return false;
    *key = (struct sc_key){bytes, size, sc_hash(cache->secret, bytes, size)};
    return true;
}

uint32_t
sc_place_of(const sinter_cache *cache, const struct sc_bucket *bucket, unsigned cell)
{
    if (sc_buckets(cache) < SC_LINES_FIRST)
        return sc_place(sc_hash_of_item(cache, sc_cell_item(cache, &bucket->cell[cell])));
    uint32_t upper = handle_cell_tag(&bucket->cell[cell]) >> SC_TAG_REST;
    uint32_t low = (uint32_t)((uintptr_t)bucket / SC_LINE_BYTES);
    if (sc_bucket_marks(bucket, cell) & SC_AWAY)
        low ^= sc_place_step(upper);
    return upper << SC_PLACE_LOW | (low & (SC_LINES_FIRST - 1));
}

/* ---- locks ----------------------------------------------------------------------------------- */

bool
sc_bucket_trylock(struct sc_bucket *bucket)
{
    /* Acquire: what the last owner wrote is seen. */
    bool taken = !(sc_load(&bucket->state) & SC_LOCKED) &&
                 !(__atomic_fetch_or(&bucket->state, SC_LOCKED, __ATOMIC_ACQUIRE) & SC_LOCKED);
    if (taken)
        sc_hook_bucket(bucket, SC_HOOK_TAKEN);
    return taken;
}

void
sc_bucket_lock(struct sc_bucket *bucket)
{
    sc_hook_bucket(bucket, SC_HOOK_WAITS);
    for (unsigned turns = 0; !sc_bucket_trylock(bucket);)
        sc_spin(&turns);
}

void
sc_bucket_unlock(struct sc_bucket *bucket)
{
    sc_hook_bucket(bucket, SC_HOOK_RELEASED);
    sc_store_release(&bucket->state, sc_load(&bucket->state) & ~SC_LOCKED);
}

static void
pair_of(const sinter_cache *cache, uint32_t place, struct sc_pair *pair)
{
    pair->home = sc_bucket_at(cache, place);
    pair->other = sc_bucket_at(cache, sc_other_place(place));
}

void
sc_lock_both(struct sc_bucket *a, struct sc_bucket *b)
{
    sc_bucket_lock(a < b ? a : b);
    if (a != b)
        sc_bucket_lock(a < b ? b : a);
}

struct sc_bucket *
sc_place_lock(const sinter_cache *cache, uint32_t place)
{
    for (;;) {
        struct sc_bucket *bucket = sc_bucket_at(cache, place);
        sc_bucket_lock(bucket);
        if (sc_likely(sc_bucket_at(cache, place) == bucket))
            return bucket;
        sc_bucket_unlock(bucket);
    }
}

void
sc_pair_lock(const sinter_cache *cache, uint32_t place, struct sc_pair *pair)
{
    struct sc_pair again;
    pair_of(cache, place, pair);
    for (;;) {
        sc_lock_both(pair->home, pair->other);
        /* Whoever changes what a place's bucket is has that bucket's lock meanwhile. */
        pair_of(cache, place, &again);
        if (sc_likely(again.home == pair->home && again.other == pair->other))
            return;
        sc_pair_unlock(pair);
        *pair = again;
    }
}

void
sc_pair_unlock(const struct sc_pair *pair)
{
    sc_bucket_unlock(pair->home);
    if (pair->other != pair->home)
        sc_bucket_unlock(pair->other);
}

/* ---- cells of a locked bucket ---------------------------------------------------------------- */

/* How many cells are free; `first`, the first of them. */
static unsigned
free_cells(const struct sc_bucket *bucket, unsigned *first)
{
    unsigned cells = 1u << SC_CELLS, count = 0;
#pragma GCC unroll 7
    for (unsigned i = 0; i < SC_CELLS; i++) {
        unsigned empty = !(sc_load(&bucket->cell[i].word) & HANDLE_HAS_OBJECT);
        cells |= empty << i;
        count += empty;
    }
    *first = (unsigned)__builtin_ctz(cells);
    return count;
}

unsigned
sc_bucket_free_cell(const struct sc_bucket *bucket)
{
    unsigned cell;
    free_cells(bucket, &cell);
    return cell;
}

bool
sc_pair_free_cell(const struct sc_pair *pair, struct sc_spot *spot)
{
    unsigned other, at_home = free_cells(pair->home, &spot->cell);
    spot->bucket = pair->home;
    spot->item = NULL;
    if (at_home < HOME_SPARE && pair->other != pair->home &&
        free_cells(pair->other, &other) > at_home) {
        spot->bucket = pair->other;
        spot->cell = other;
    }
    return spot->cell < SC_CELLS;
}

/* At the most it stays: then nobody counts any more, and readers always look. */
void
sc_away_add(struct sc_bucket *home, int by)
{
    uint16_t away = sc_load(&home->away);
    while (away != SC_AWAY_MOST && (by > 0 || away > 0) &&
           !__atomic_compare_exchange_n(&home->away, &away, (uint16_t)(away + by), false,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

void
sc_bucket_set_heat(struct sc_bucket *bucket, unsigned cell, unsigned heat)
{
    uint32_t others = sc_load(&bucket->heat) & ~(SC_HEAT_MOST << 2 * cell);
    sc_store(&bucket->heat, (uint16_t)(others | heat << 2 * cell));
}

void
sc_bucket_mark(struct sc_bucket *bucket, unsigned cell, uint32_t marks, unsigned heat)
{
    sc_store(&bucket->state, (sc_load(&bucket->state) & ~(SC_MARKS << cell)) | marks << cell);
    if (sc_bucket_heat(bucket, cell) != heat)
        sc_bucket_set_heat(bucket, cell, heat);
}
