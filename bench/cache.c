/* SPDX-License-Identifier: MIT */
/*
 * cache.c - shards with random eviction; see cache.h. Compiled once per subject.
 */
#include "cache.h"
#include "memory.h"
#include "object.h"

#include <errno.h>

void
cache_init(struct cache *cache, unsigned shards, uint64_t capacity, uint64_t limit,
           enum free_mode mode)
{
    uint64_t each = (capacity + shards - 1) / shards;
    if (each > UINT32_MAX)
        bench_fatal("%llu places in a shard are too many", (unsigned long long)each);
    ref_t *refs = memory_map(each * shards * sizeof(*refs));
    uint32_t *order = memory_map(each * shards * sizeof(*order));
    *cache = (struct cache){memory_map(shards * sizeof(struct shard)), shards, mode};
    for (unsigned s = 0; s < shards; s++) {
        struct shard *shard = &cache->shard[s];
        shard->refs = refs + each * s;
        shard->order = order + each * s;
        shard->first_place = each * s;
        shard->capacity = (uint32_t)each;
        shard->limit = limit / shards;
        pthread_mutex_init(&shard->lock, NULL);
        for (uint32_t i = 0; i < shard->capacity; i++)
            shard->order[i] = i;
    }
}

uint64_t
cache_bytes(void *arg)
{
    const struct cache *cache = arg;
    uint64_t bytes = 0;
    for (unsigned s = 0; s < cache->shards; s++)
        bytes += __atomic_load_n(&cache->shard[s].bytes, __ATOMIC_RELAXED);
    return bytes;
}

uint64_t
cache_objects(const struct cache *cache)
{
    uint64_t objects = 0;
    for (unsigned s = 0; s < cache->shards; s++)
        objects += shard_objects(&cache->shard[s]);
    return objects;
}

/* Relaxed: the sampler wants a plausible number, no order. */
static inline void
set_bytes(struct shard *shard, uint64_t bytes)
{
    __atomic_store_n(&shard->bytes, bytes, __ATOMIC_RELAXED);
}

bool
shard_insert(struct cache *cache, struct shard *shard, size_t size)
{
    if (shard_objects(shard) == shard->capacity)
        bench_fatal("a shard's %u places are too few", shard->capacity);
    uint32_t place = shard->order[shard->live];
    void *object = subject_alloc(&shard->refs[place], size, cache->mode);
    if (__builtin_expect(!object, 0))
        return false;
    object_fill(object, shard->first_place + place, size);
    shard->live++;
    set_bytes(shard, shard->bytes + size);
    return true;
}

/* The object at a place, all its bytes looked at. */
static size_t
check_place(const struct shard *shard, uint32_t place)
{
    const void *object = subject_read(&shard->refs[place]);
    if (__builtin_expect(!object, 0))
        bench_fatal("the object of place %llu is gone",
                    (unsigned long long)(shard->first_place + place));
    size_t size = object_size(object);
    bool intact = object_intact(object, shard->first_place + place, size);
    if (__builtin_expect(!subject_verdict(intact), 0))
        bench_fatal("the object of place %llu has wrong contents",
                    (unsigned long long)(shard->first_place + place));
    return size;
}

bool
shard_evict(struct cache *cache, struct shard *shard, struct rng *rng)
{
    if (shard->live == 0)
        return false;
    uint32_t *chosen = &shard->order[rng_below(rng, shard->live)];
    uint32_t place = *chosen;
    size_t size = check_place(shard, place);
    *chosen = shard->order[--shard->live];
    shard->order[shard->live] = place;
    set_bytes(shard, shard->bytes - size);
    subject_free(&shard->refs[place], cache->mode);
    return true;
}

void
shard_put(struct cache *cache, struct shard *shard, struct rng *rng, size_t size)
{
    while (shard->bytes + size > shard->limit)
        if (!shard_evict(cache, shard, rng))
            bench_fatal("nothing left to evict for an object of %zu bytes", size);
    if (!shard_insert(cache, shard, size))
        subject_failed("allocation", errno);
}

/* From the first part to the beginning of the last, over the empty places. */
static void
keep_one(struct shard *shard, uint32_t at)
{
    uint32_t place = shard->order[at];
    uint32_t empty_end = shard->capacity - shard->kept - 1;
    shard->live--;
    shard->order[at] = shard->order[shard->live];
    shard->order[shard->live] = shard->order[empty_end];
    shard->order[empty_end] = place;
    shard->kept++;
}

void
cache_keep(struct cache *cache, struct rng *rng, unsigned percent)
{
    for (unsigned s = 0; s < cache->shards; s++) {
        struct shard *shard = &cache->shard[s];
        for (uint32_t count = (uint32_t)((uint64_t)shard->live * percent / 100); count > 0; count--)
            keep_one(shard, rng_below(rng, shard->live));
    }
}

static void
verify_part(const struct shard *shard, uint32_t from, uint32_t to, uint64_t *bytes)
{
    for (uint32_t i = from; i < to; i++) {
        subject_enter();
        *bytes += check_place(shard, shard->order[i]);
        subject_leave();
    }
}

void
cache_verify(struct cache *cache)
{
    for (unsigned s = 0; s < cache->shards; s++) {
        const struct shard *shard = &cache->shard[s];
        uint64_t bytes = 0;
        verify_part(shard, 0, shard->live, &bytes);
        verify_part(shard, shard->capacity - shard->kept, shard->capacity, &bytes);
        if (bytes != shard->bytes)
            bench_fatal("shard %u holds %llu bytes instead of %llu", s, (unsigned long long)bytes,
                        (unsigned long long)shard->bytes);
    }
}

/* ---- floor ----------------------------------------------------------------------------------- */

/* Object number `at` of a shard, kept ones last. */
static uint32_t
place_of(const struct shard *shard, uint32_t at)
{
    uint32_t live = shard->live;
    return shard->order[at < live ? at : shard->capacity - shard->kept + at - live];
}

void
cache_sample(struct cache *cache, struct rng *rng, struct floor_sample *sample)
{
    uint32_t wanted = (uint32_t)BENCH_COUNTOF(sample->size) / cache->shards;
    sample->count = 0;
    for (unsigned s = 0; s < cache->shards; s++) {
        const struct shard *shard = &cache->shard[s];
        uint32_t objects = shard_objects(shard);
        for (uint32_t i = 0; objects > 0 && i < wanted; i++) {
            subject_enter();
            const void *object =
                subject_read(&shard->refs[place_of(shard, rng_below(rng, objects))]);
            sample->size[sample->count++] = (uint32_t)object_size(object);
            subject_leave();
        }
    }
}

double
cache_floor(const struct cache *cache, const struct floor_sample *sample)
{
    uint64_t payload = 0, packed = 0;
    for (uint32_t i = 0; i < sample->count; i++) {
        payload += sample->size[i];
        packed += subject_unit(sample->size[i], cache->mode) + subject_reference_bytes();
    }
    return payload ? (double)packed / (double)payload : (double)__builtin_nan("");
}
