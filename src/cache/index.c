/* SPDX-License-Identifier: MIT */
/* index.c - looking up, and locks; see index.h. grow.c changes the number of buckets. */
#include "cache/index.h"

/* ---- the words of cells ---------------------------------------------------------------------- */

/** What the lower half of a cell's word is when it names an object with this tag. */
static inline uint32_t
word_of_tag(uint32_t tag)
{
    return tag << 3 | HANDLE_HAS_OBJECT;
}

/* Tag and address come from one load: they belong together. */
static inline const struct sc_item *
match(const sinter_cache *cache, const handle_cell *cell, uint32_t wanted)
{
    uint64_t word = __atomic_load_n(&cell->word, __ATOMIC_ACQUIRE);
    if (sc_likely(((uint32_t)word & HANDLE_MATCH_MASK) != wanted))
        return NULL;
    const struct handle_store_head *head = (const void *)cache->store;
    return (const struct sc_item *)(head->arena + 8 * (word >> HANDLE_OFFSET_SHIFT));
}

/* ---- looking up ------------------------------------------------------------------------------ */

static bool
scan(const sinter_cache *cache, struct sc_bucket *bucket, uint64_t hash, const void *key,
     size_t size, struct sc_spot *spot)
{
    uint32_t wanted = word_of_tag(sc_tag(hash));
    for (unsigned i = 0; i < SC_CELLS; i++) {
        const struct sc_item *item = match(cache, &bucket->cell[i], wanted);
        if (sc_unlikely(item != NULL) && sc_item_has_key(item, key, size)) {
            *spot = (struct sc_spot){bucket, i, item};
            return true;
        }
    }
    return false;
}

/* I2: both buckets of a pair that is being moved in, the one that items leave first. */
static bool
scan_moving(const sinter_cache *cache, uint64_t shape, uint32_t place, uint64_t hash,
            const void *key, size_t size, struct sc_spot *spot)
{
    uint64_t count = shape & SC_SHAPE_COUNT;
    uint64_t old = sc_bucket_number(place, count), new = sc_bucket_number(place, count + 1);
    uint64_t from = shape & SC_SHAPE_MERGING ? new : old, to = from == old ? new : old;
    return scan(cache, sc_bucket(cache, from), hash, key, size, spot) ||
           (from != to && scan(cache, sc_bucket(cache, to), hash, key, size, spot));
}

/* The home once more after the other bucket: an item may have moved from there to here meanwhile,
 * after the shape that was loaded before. One that moved here and back has changed it again. */
static bool
find_moving(const sinter_cache *cache, uint64_t shape, uint64_t hash, const void *key, size_t size,
            struct sc_spot *spot)
{
    uint32_t place = sc_place(hash), other = sc_other_place(place);
    return scan_moving(cache, shape, place, hash, key, size, spot) ||
           scan_moving(cache, shape, other, hash, key, size, spot) ||
           scan_moving(cache, shape, place, hash, key, size, spot);
}

static bool
find_once(const sinter_cache *cache, uint64_t shape, uint64_t hash, const void *key, size_t size,
          struct sc_spot *spot)
{
    if (sc_unlikely(shape & SC_SHAPE_MOVING))
        return find_moving(cache, shape, hash, key, size, spot);
    uint32_t place = sc_place(hash);
    uint64_t count = shape & SC_SHAPE_COUNT;
    struct sc_bucket *home = sc_bucket(cache, sc_bucket_number(place, count));
    uint16_t away = sc_load(&home->away); /* before: it goes down when an item has come home */
    if (scan(cache, home, hash, key, size, spot))
        return true;
    sc_hook_between_buckets();
    if (!away)
        return false;
    uint64_t other = sc_bucket_number(sc_other_place(place), count);
    return scan(cache, sc_bucket(cache, other), hash, key, size, spot) ||
           scan(cache, home, hash, key, size, spot);
}

bool
sc_index_find(const sinter_cache *cache, uint64_t hash, const void *key, size_t size,
              struct sc_spot *spot)
{
    /* Acquire: the buckets it counts are there. */
    uint64_t shape = sc_load_acquire(&cache->index.shape);
    for (;;) {
        if (find_once(cache, shape, hash, key, size, spot))
            return true;
        /* I3. The cells' acquire orders this after them. */
        uint64_t again = sc_load_acquire(&cache->index.shape);
        if (sc_likely(again == shape))
            return false;
        shape = again;
    }
}

bool
sc_pair_find(const sinter_cache *cache, const struct sc_pair *pair, uint64_t hash, const void *key,
             size_t size, struct sc_spot *spot)
{
    return scan(cache, pair->home, hash, key, size, spot) ||
           (pair->other != pair->home && scan(cache, pair->other, hash, key, size, spot));
}

/* ---- locks ----------------------------------------------------------------------------------- */

bool
sc_bucket_trylock(struct sc_bucket *bucket)
{
    /* Acquire: what the last owner wrote is seen. */
    return !(sc_load(&bucket->state) & SC_LOCKED) &&
           !(__atomic_fetch_or(&bucket->state, SC_LOCKED, __ATOMIC_ACQUIRE) & SC_LOCKED);
}

void
sc_bucket_lock(struct sc_bucket *bucket)
{
    for (unsigned turns = 0; !sc_bucket_trylock(bucket);)
        sc_spin(&turns);
}

void
sc_bucket_unlock(struct sc_bucket *bucket)
{
    __atomic_fetch_and(&bucket->state, ~SC_LOCKED, __ATOMIC_RELEASE);
}

static void
pair_of(const sinter_cache *cache, uint32_t place, struct sc_pair *pair)
{
    uint64_t count = sc_load_acquire(&cache->index.shape) & SC_SHAPE_COUNT;
    pair->home = sc_bucket(cache, sc_bucket_number(place, count));
    pair->other = sc_bucket(cache, sc_bucket_number(sc_other_place(place), count));
}

void
sc_lock_both(struct sc_bucket *a, struct sc_bucket *b)
{
    sc_bucket_lock(a < b ? a : b);
    if (a != b)
        sc_bucket_lock(a < b ? b : a);
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

static bool
is_free(const handle_cell *cell)
{
    return !(__atomic_load_n(&cell->word, __ATOMIC_RELAXED) & HANDLE_HAS_OBJECT);
}

unsigned
sc_bucket_free_cell(const struct sc_bucket *bucket)
{
    unsigned i = 0;
    while (i < SC_CELLS && !is_free(&bucket->cell[i]))
        i++;
    return i;
}

static unsigned
free_cells(const struct sc_bucket *bucket)
{
    unsigned n = 0;
    for (unsigned i = 0; i < SC_CELLS; i++)
        n += is_free(&bucket->cell[i]);
    return n;
}

bool
sc_pair_free_cell(const struct sc_pair *pair, struct sc_spot *spot)
{
    unsigned at_home = free_cells(pair->home);
    bool go = at_home < 2 && pair->other != pair->home && free_cells(pair->other) > at_home;
    spot->bucket = go ? pair->other : pair->home;
    spot->cell = sc_bucket_free_cell(spot->bucket);
    spot->item = NULL;
    return spot->cell < SC_CELLS;
}

/* At the most it stays: then nobody counts any more, and readers always look. */
void
sc_away_up(struct sc_bucket *home)
{
    uint16_t away = sc_load(&home->away);
    while (away != SC_AWAY_MOST &&
           !__atomic_compare_exchange_n(&home->away, &away, (uint16_t)(away + 1), false,
                                        __ATOMIC_RELEASE, __ATOMIC_RELAXED))
        ;
}

void
sc_away_down(struct sc_bucket *home)
{
    uint16_t away = sc_load(&home->away);
    while (away && away != SC_AWAY_MOST &&
           !__atomic_compare_exchange_n(&home->away, &away, (uint16_t)(away - 1), false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

void
sc_bucket_set_heat(struct sc_bucket *bucket, unsigned cell, unsigned heat)
{
    uint16_t old = sc_load(&bucket->heat), new;
    do
        new = (uint16_t)((old & ~(SC_HEAT_MOST << 2 * cell)) | heat << 2 * cell);
    while (!__atomic_compare_exchange_n(&bucket->heat, &old, new, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED));
}

void
sc_bucket_mark(struct sc_bucket *bucket, unsigned cell, bool in_main, bool expires, unsigned heat)
{
    __atomic_fetch_and(&bucket->state, ~(SC_IN_MAIN(cell) | SC_EXPIRES(cell)), __ATOMIC_RELAXED);
    __atomic_fetch_or(&bucket->state,
                      (in_main ? SC_IN_MAIN(cell) : 0) | (expires ? SC_EXPIRES(cell) : 0),
                      __ATOMIC_RELAXED);
    sc_bucket_set_heat(bucket, cell, heat);
}
