/* SPDX-License-Identifier: MIT */
/*
 * cache.h - a table of objects in shards, with random eviction and a limit on payload bytes: the
 * load that most of the memory questions share. It keeps references at fixed places, allocates
 * nothing but the objects, and checks every object it gives up. It works as a cache does: a victim
 * is chosen at random when its room is needed, one at a time, and nothing is fetched ahead.
 */
#ifndef BENCH_CACHE_H
#define BENCH_CACHE_H

#include "subject.h"

/**
 * order[] is a permutation of the places 0 .. capacity - 1 in three parts:
 *   [0, live)                   places of objects that may be chosen as victims
 *   [live, capacity - kept)     empty places
 *   [capacity - kept, capacity) places of objects that are kept for ever
 * An empty place is reused last in, first out, so a replacement reuses the victim's place.
 */
struct shard {
    /* constant */
    ref_t *refs;
    uint32_t *order;
    uint64_t first_place; /* of refs[0] in the whole cache: makes contents unique */
    uint32_t capacity;
    uint64_t limit; /* payload bytes */
    /* guarded by lock where threads share shards */
    pthread_mutex_t lock __attribute__((aligned(64)));
    uint64_t bytes; /* payload of all objects; read by the sampler */
    uint32_t live;
    uint32_t kept;
};

/** Objects in the shard. */
static inline uint32_t
shard_objects(const struct shard *shard)
{
    return shard->live + shard->kept;
}

struct cache {
    struct shard *shard;
    unsigned shards;
    enum free_mode mode;
};

/** capacity: places of the whole cache; limit: payload bytes of the whole cache. */
void cache_init(struct cache *cache, unsigned shards, uint64_t capacity, uint64_t limit,
                enum free_mode mode);

/** Payload bytes in the cache; for the sampler (arg is the cache). */
uint64_t cache_bytes(void *cache);

/** Objects in the cache, kept ones included. */
uint64_t cache_objects(const struct cache *cache);

/**
 * Allocates and fills an object of 8 bytes or more in an empty place; false with errno when the
 * allocator has no memory. In a section; the shard is locked or the caller's own.
 */
bool shard_insert(struct cache *cache, struct shard *shard, size_t size);

/** Checks and frees one random object that is not kept; false if there is none. In a section. */
bool shard_evict(struct cache *cache, struct shard *shard, struct rng *rng);

/** Random eviction until the object fits, then insert; no memory ends the program. */
void shard_put(struct cache *cache, struct shard *shard, struct rng *rng, size_t size);

/** Keeps for ever a share of the objects that are not kept yet, chosen at random. */
void cache_keep(struct cache *cache, struct rng *rng, unsigned percent);

/** Checks the contents of every object; a wrong one ends the program. */
void cache_verify(struct cache *cache);

/**
 * Resident bytes over payload that the objects need at least, perfectly packed: class rounding,
 * headers, handle table entries; from a random sample of the live objects (error about 0.001).
 */
struct floor_sample {
    uint32_t size[1u << 14];
    uint32_t count;
};
void cache_sample(struct cache *cache, struct rng *rng, struct floor_sample *sample);
double cache_floor(const struct cache *cache, const struct floor_sample *sample);

#endif
