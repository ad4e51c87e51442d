/* SPDX-License-Identifier: MIT */
/*
 * index.h - where keys are: buckets of seven cells, two for each key (its home, and another), as
 * many as there are items for: linear hashing, one bucket more or less at a time.
 *
 * Readers take no lock. What they hold to:
 *   I1  A key's item is in its home or, if that bucket's `away` is not 0, perhaps in its other one.
 *   I2  While a bucket is made or taken away its items move, cell by cell, from one bucket of the
 *       pair to the other, the new cell before the old one is empty: who looks at both in this
 *       order finds what is there.
 *   I3  Any other move, and the beginning and the end of I2, change `shape` before the first cell
 *       is filled and emptied. So a reader that finds nothing looks at `shape` again: what emptied
 *       a cell (acquire) shows the change that came before it. It may have loaded `shape` after the
 *       change and looked at the new cell before it was filled: therefore it looks at `away`, home,
 *       other, home.
 *
 * Writers of a key hold the locks of both buckets; then the pair they move in, if any, is another.
 */
#ifndef SC_INDEX_H
#define SC_INDEX_H

#include "cache/whole.h"

/** A key that is looked for. */
struct sc_key {
    const void *bytes;
    size_t size;
    uint64_t hash;
};

/** Where an item is, or could be. */
struct sc_spot {
    struct sc_bucket *bucket;
    unsigned cell;
    const struct sc_item *item;
};

/** A key's two buckets, locked; `other` may be `home`. */
struct sc_pair {
    struct sc_bucket *home, *other;
};

static inline uint64_t
sc_buckets(const sinter_cache *cache)
{
    return sc_load(&cache->index.shape) & SC_SHAPE_COUNT;
}

static inline struct sc_bucket *
sc_bucket(const sinter_cache *cache, uint64_t number)
{
    return sc_line(&cache->index.buckets, number);
}

/** Number of a place's bucket among `count`. */
static inline uint64_t
sc_bucket_number(uint32_t place, uint64_t count)
{
    unsigned power = 63u - (unsigned)__builtin_clzll(count);
    uint64_t number = place & ((UINT64_C(2) << power) - 1);
    return number < count ? number : number & ((UINT64_C(1) << power) - 1);
}

/** The bucket of a place, as long as nobody changes that: its lock's owner knows. Acquire: it is
 * there. */
static inline struct sc_bucket *
sc_bucket_at(const sinter_cache *cache, uint32_t place)
{
    uint64_t count = sc_load_acquire(&cache->index.shape) & SC_SHAPE_COUNT;
    return sc_bucket(cache, sc_bucket_number(place, count));
}

/** The bucket that shares its items with the last one of count + 1. */
static inline uint64_t
sc_bucket_parent(uint64_t count)
{
    return count - (UINT64_C(1) << (63u - (unsigned)__builtin_clzll(count)));
}

static inline uint64_t
sc_hash_of_item(const sinter_cache *cache, const struct sc_item *item)
{
    return sc_hash(cache->secret, sc_item_key(item), sc_item_key_size(item));
}

/** What a cell names; NULL: it is empty. By the bucket's owner. */
static inline const struct sc_item *
sc_cell_item(const sinter_cache *cache, const handle_cell *cell)
{
    return handle_cell_deref(cache->store, cell);
}

/** The place of an item's home, by its cell in a locked bucket. */
uint32_t sc_place_of(const sinter_cache *cache, const struct sc_bucket *bucket, unsigned cell);

/** Checks a key of the caller's and hashes it. False: it is none. */
bool sc_key_read(const sinter_cache *cache, const void *bytes, size_t size, struct sc_key *key);

/** An item by its key, in a section. False: there is none. */
bool sc_index_find(const sinter_cache *cache, const struct sc_key *key, struct sc_spot *spot);
/** The same under the pair's locks. */
bool sc_pair_find(const sinter_cache *cache, const struct sc_pair *pair, const struct sc_key *key,
                  struct sc_spot *spot);

void sc_bucket_lock(struct sc_bucket *bucket);
bool sc_bucket_trylock(struct sc_bucket *bucket);
void sc_bucket_unlock(struct sc_bucket *bucket);

/** By address, as everybody who locks two. */
void sc_lock_both(struct sc_bucket *a, struct sc_bucket *b);
/** Locks the bucket of a place. In a section. */
struct sc_bucket *sc_place_lock(const sinter_cache *cache, uint32_t place);
/** Both buckets of a home's place. */
void sc_pair_lock(const sinter_cache *cache, uint32_t place, struct sc_pair *pair);
void sc_pair_unlock(const struct sc_pair *pair);

/** A free cell of the pair, the home's first unless it is nearly full. False: there is none. */
bool sc_pair_free_cell(const struct sc_pair *pair, struct sc_spot *spot);
/** A free cell of a locked bucket, SC_CELLS: none. */
unsigned sc_bucket_free_cell(const struct sc_bucket *bucket);

/** I3: before a cell is emptied whose key has just got another one. */
static inline void
sc_index_step(sinter_cache *cache)
{
    __atomic_fetch_add(&cache->index.shape, SC_SHAPE_STEP, __ATOMIC_ACQ_REL);
}

/** By 1 before an item goes to its other bucket, by -1 after it has left it. */
void sc_away_add(struct sc_bucket *home, int by);

/** SC_IN_MAIN, SC_EXPIRES, SC_AWAY of a cell. */
static inline uint32_t
sc_bucket_marks(const struct sc_bucket *bucket, unsigned cell)
{
    return sc_load(&bucket->state) >> cell & SC_MARKS;
}

/** Sets them and the heat, in a locked bucket. */
void sc_bucket_mark(struct sc_bucket *bucket, unsigned cell, uint32_t marks, unsigned heat);

static inline unsigned
sc_bucket_heat(const struct sc_bucket *bucket, unsigned cell)
{
    return sc_load(&bucket->heat) >> 2 * cell & SC_HEAT_MOST;
}

void sc_bucket_set_heat(struct sc_bucket *bucket, unsigned cell, unsigned heat);

/** A hit: one more, up to 3. A race loses somebody else's change: the heat is a guess. */
static inline void
sc_bucket_hit(struct sc_bucket *bucket, unsigned cell)
{
    uint16_t heat = sc_load(&bucket->heat);
    if ((heat >> 2 * cell & SC_HEAT_MOST) < SC_HEAT_MOST)
        sc_store(&bucket->heat, (uint16_t)(heat + (1u << 2 * cell)));
}

#endif
