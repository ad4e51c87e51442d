/* SPDX-License-Identifier: MIT */
/*
 * block_cache.c - a cache of blocks of 4 to 32 KiB in front of something slow, with a strict limit.
 * A block that is read is pinned: its address lasts until it is released, over as much I/O as that
 * takes, while the store compacts and the block may even be evicted. Blocks are filled in memory
 * that nobody sees yet, so that what is slow stands outside of locks and sections. At the limit
 * blocks go that were not used lately (CLOCK).
 *
 * What to take from it:
 *   - max_bytes is the cache's limit, whatever the sizes of its blocks become;
 *   - what to evict is decided over sets of cells, which do not move; blocks are not touched;
 *   - a pin is for who needs the address for long. Who only copies stays in a section (copy_block).
 *
 * The index is an array of sets of a fixed number. A block's set is given by its key, and a set
 * that is full gives up one of its own.
 */
#include <urcu.h>

#include <sinter/handle.h>

#include "expect.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

/* ---- the cache ------------------------------------------------------------------------------- */

#define WAYS     7u
#define USED_MAX 3u /* a block that was used so often lately outlasts so many rounds of the hand */

/** A block knows its key: what a cell names may change between two looks. */
struct block {
    uint64_t key;
    uint32_t size; /* of data */
    unsigned char data[];
};

struct set {
    pthread_mutex_t lock;   /* serialises who writes the cells */
    uint8_t used[WAYS];     /* relaxed atomics; readers count up */
    handle_cell cell[WAYS]; /* tag: a part of the key's hash */
};

struct cache {
    handle_store *store;
    size_t sets;  /* a power of two */
    size_t batch; /* bytes that are evicted at once */
    size_t hand;  /* relaxed atomic: the next set that is looked through for something to evict */
    struct set *set;
};

/** Reads a block from where it is slow. 0, or a negative errno. */
typedef int read_block(uint64_t key, void *data, uint32_t size);

static uint64_t
hash_of(uint64_t key)
{
    key = (key ^ (key >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    key = (key ^ (key >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return key ^ (key >> 32);
}

static struct set *
set_of(const struct cache *cache, uint64_t key)
{
    return &cache->set[hash_of(key) & (cache->sets - 1)];
}

static uint32_t
tag_of(uint64_t key)
{
    return (uint32_t)(hash_of(key) >> 40);
}

/** A cache of at most so many bytes, for about so many blocks. False: no memory, or out of range.
 */
static bool
cache_open(struct cache *cache, uint64_t max_bytes, size_t blocks)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "blocks";
    options.max_bytes = max_bytes;
    *cache = (struct cache){.sets = 1, .batch = max_bytes / 64};
    while (cache->sets * WAYS < blocks * 2) /* half empty: sets are seldom full */
        cache->sets *= 2;
    cache->set = calloc(cache->sets, sizeof(*cache->set));
    cache->store = cache->set ? handle_store_create(&options) : NULL;
    if (!cache->store) {
        free(cache->set);
        return false;
    }
    for (size_t i = 0; i < cache->sets; i++)
        pthread_mutex_init(&cache->set[i].lock, NULL);
    return true;
}

/** Nobody uses it any more. 0; -EBUSY: a block was not released, and all is as it was. */
static int
cache_close(struct cache *cache)
{
    int error = handle_store_destroy(cache->store);
    if (error)
        return error;
    for (size_t i = 0; i < cache->sets; i++)
        pthread_mutex_destroy(&cache->set[i].lock);
    free(cache->set);
    return 0;
}

/* ---- reading --------------------------------------------------------------------------------- */

/** Which cell of the set has this block, or WAYS. In a section. */
static unsigned
find(const struct cache *cache, const struct set *set, uint64_t key)
{
    for (unsigned i = 0; i < WAYS; i++) {
        const struct block *block = handle_cell_match(cache->store, &set->cell[i], tag_of(key));
        if (block && block->key == key)
            return i;
    }
    return WAYS;
}

/** Hot blocks are not written to at each hit, nor is their set. */
static void
touch(struct set *set, unsigned i)
{
    uint8_t used = __atomic_load_n(&set->used[i], __ATOMIC_RELAXED);
    if (used < USED_MAX)
        __atomic_store_n(&set->used[i], (uint8_t)(used + 1), __ATOMIC_RELAXED);
}

/** Another block may be in the cell since it was looked at: what is pinned is looked at again. */
static const struct block *
pin(struct cache *cache, handle_cell *cell, uint64_t key)
{
    const struct block *block = handle_cell_pin(cache->store, cell);
    if (block && block->key != key) {
        handle_unpin(cache->store, block);
        return NULL;
    }
    return block;
}

/** The block, until it is released; NULL: it is not there. By any thread, outside of sections. */
static const struct block *
acquire(struct cache *cache, uint64_t key)
{
    struct set *set = set_of(cache, key);
    const struct block *block = NULL;
    rcu_read_lock();
    unsigned i = find(cache, set, key);
    if (i < WAYS) {
        touch(set, i);
        block = pin(cache, &set->cell[i], key);
    }
    rcu_read_unlock();
    return block;
}

static void
release(struct cache *cache, const struct block *block)
{
    handle_unpin(cache->store, block);
}

/** Copies the first bytes of a block: short enough for a section, and nothing is pinned. */
static bool
copy_block(struct cache *cache, uint64_t key, void *to, size_t size)
{
    struct set *set = set_of(cache, key);
    rcu_read_lock();
    unsigned i = find(cache, set, key);
    const struct block *block = i < WAYS ? handle_cell_deref(cache->store, &set->cell[i]) : NULL;
    bool good = block && block->key == key && block->size >= size;
    if (good) {
        touch(set, i);
        memcpy(to, block->data, size);
    }
    rcu_read_unlock();
    return good;
}

/* ---- evicting -------------------------------------------------------------------------------- */

/** The hand goes over one set: what was not used since it came last goes. Bytes that went. */
static size_t
sweep(struct cache *cache, struct set *set)
{
    size_t evicted = 0;
    rcu_read_lock();
    pthread_mutex_lock(&set->lock);
    for (unsigned i = 0; i < WAYS; i++) {
        uint8_t used = __atomic_load_n(&set->used[i], __ATOMIC_RELAXED);
        size_t size = handle_cell_size(cache->store, &set->cell[i]);
        if (used > 0)
            __atomic_store_n(&set->used[i], (uint8_t)(used - 1), __ATOMIC_RELAXED);
        else if (handle_cell_free(cache->store, &set->cell[i]) == 0) /* empty: -ENOENT */
            evicted += size;
    }
    pthread_mutex_unlock(&set->lock);
    rcu_read_unlock();
    return evicted;
}

/**
 * Evicts a batch: its memory comes with the end of a grace period, and one wait then serves many
 * blocks. False: the hand went round often enough to find that all is gone.
 */
static bool
evict(struct cache *cache)
{
    size_t evicted = 0;
    for (size_t i = 0; i <= (USED_MAX + 1) * cache->sets && evicted < cache->batch; i++) {
        size_t at = __atomic_fetch_add(&cache->hand, 1, __ATOMIC_RELAXED) & (cache->sets - 1);
        evicted += sweep(cache, &cache->set[at]);
    }
    return evicted > 0;
}

/** Memory for a block, evicting or waiting as it takes. No lock, no section. 0, or -ENOMEM: what
 * there is is pinned. */
static int
reserve(struct cache *cache, uint32_t size, struct handle_reserved *reserved)
{
    while (!handle_reserve(cache->store, sizeof(struct block) + size, 0, reserved)) {
        if (errno == EAGAIN)
            handle_store_reclaim(cache->store, size); /* it is on its way: wait for it */
        else if (errno != ENOMEM || !evict(cache))
            return -errno;
    }
    return 0;
}

/* ---- filling --------------------------------------------------------------------------------- */

/** The cell that a block comes into: its own, an empty one, or that of the least used block. The
 * set is locked; in a section. */
static unsigned
cell_for(const struct cache *cache, const struct set *set, uint64_t key)
{
    unsigned own = find(cache, set, key), least = 0;
    if (own < WAYS)
        return own;
    for (unsigned i = 0; i < WAYS; i++) {
        if (!handle_cell_deref(cache->store, &set->cell[i]))
            return i;
        if (__atomic_load_n(&set->used[i], __ATOMIC_RELAXED) <
            __atomic_load_n(&set->used[least], __ATOMIC_RELAXED))
            least = i;
    }
    return least;
}

/** Shows a block that is whole, in the place of one that goes. Needs no memory. */
static int
publish(struct cache *cache, uint64_t key, struct handle_reserved *reserved)
{
    struct set *set = set_of(cache, key);
    rcu_read_lock();
    pthread_mutex_lock(&set->lock);
    unsigned i = cell_for(cache, set, key);
    int error = handle_cell_publish(cache->store, &set->cell[i], reserved, tag_of(key));
    __atomic_store_n(&set->used[i], 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&set->lock);
    rcu_read_unlock();
    return error;
}

/**
 * Reads a block into the cache: straight into its place, at leisure. If another thread does the
 * same just now, the later one's block stays. 0; -ENOMEM; or what `read` returned.
 */
static int
fill(struct cache *cache, uint64_t key, uint32_t size, read_block *read)
{
    struct handle_reserved reserved;
    int error = reserve(cache, size, &reserved);
    if (error)
        return error;
    struct block *block = reserved.object;
    block->key = key;
    block->size = size;
    error = read(key, block->data, size);
    if (!error)
        error = publish(cache, key, &reserved);
    if (error)
        handle_reserved_abort(cache->store, &reserved);
    return error;
}

/* ---- is it a cache? -------------------------------------------------------------------------- */

#define MAX_BYTES  (UINT64_C(16) << 20)
#define SMALLEST   4096u
#define LARGEST    32768u
#define KEYS       8000u /* several times what fits */
#define UNREADABLE 211u  /* one block of so many cannot be read */
#define THREADS    3u
#define REQUESTS   2500u /* of each thread, with each range of sizes */
#define HELD       8u    /* blocks that a thread holds pinned at a time */

static struct cache cache;
static uint64_t hits, misses, unreadable, full;

/** Sizes shift: each phase has a range of its own, and its own blocks. */
static const struct {
    uint32_t low, high;
} phases[] = {{SMALLEST, 8192}, {24576, LARGEST}, {SMALLEST, LARGEST}, {5000, 5600}};
#define PHASES (sizeof(phases) / sizeof(phases[0]))

static uint32_t
next_random(uint32_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 17;
    *random ^= *random << 5;
    return *random;
}

static uint64_t
key_of(uint32_t phase, uint32_t number)
{
    return (uint64_t)phase << 32 | number;
}

static uint32_t
size_of(uint64_t key)
{
    uint32_t low = phases[key >> 32].low, high = phases[key >> 32].high;
    return low + (uint32_t)(hash_of(key) % (high - low + 1));
}

/** What is slow: a disk, say, with bad places. Every word of a block says whose it is. */
static int
read_slowly(uint64_t key, void *data, uint32_t size)
{
    uint64_t word = hash_of(key);
    for (uint32_t at = 0; at + sizeof(word) <= size; at += (uint32_t)sizeof(word))
        memcpy((char *)data + at, &word, sizeof(word));
    if (key % 64 == 0)
        sched_yield();
    return key % UNREADABLE == UNREADABLE - 1 ? -EIO : 0;
}

static bool
is_intact(const struct block *block, uint64_t key)
{
    uint64_t word = hash_of(key), found;
    bool intact = block->key == key && block->size == size_of(key);
    for (uint32_t at = 0; intact && at + sizeof(word) <= block->size; at += 512) {
        memcpy(&found, block->data + at, sizeof(found));
        intact = found == word;
    }
    return intact;
}

/** A block for use: from the cache, or read into it first. NULL: it cannot be read, or it was
 * evicted again at once. */
static const struct block *
get(uint64_t key)
{
    const struct block *block = acquire(&cache, key);
    if (block) {
        __atomic_fetch_add(&hits, 1, __ATOMIC_RELAXED);
        return block;
    }
    __atomic_fetch_add(&misses, 1, __ATOMIC_RELAXED);
    int error = fill(&cache, key, size_of(key), read_slowly);
    if (error == -EIO)
        __atomic_fetch_add(&unreadable, 1, __ATOMIC_RELAXED);
    else
        expect(error == 0);
    return error ? NULL : acquire(&cache, key);
}

/** Blocks that a thread holds: the oldest one is looked at once more, and released. */
struct held {
    const struct block *block[HELD];
    uint64_t key[HELD];
};

static void
hold(struct held *held, unsigned at, const struct block *block, uint64_t key)
{
    if (held->block[at]) {
        expect(is_intact(held->block[at], held->key[at]));
        release(&cache, held->block[at]);
    }
    held->block[at] = block;
    held->key[at] = key;
}

static void
look_inside(uint64_t key)
{
    uint64_t word;
    if (copy_block(&cache, key, &word, sizeof(word)))
        expect(word == hash_of(key));
}

/** Low numbers are asked for more often. */
static void
request(struct held *held, uint32_t phase, uint32_t i, uint32_t *random)
{
    uint32_t number = next_random(random) % KEYS;
    number = next_random(random) % (number + 1);
    uint64_t key = key_of(phase, next_random(random) % (number + 1));
    const struct block *block = get(key);
    if (block)
        expect(is_intact(block, key));
    hold(held, i % HELD, block, key);
    look_inside(key_of(phase, number));
}

static void *
work(void *argument)
{
    uint32_t thread = (uint32_t)(uintptr_t)argument;
    uint32_t phase = thread / THREADS, random = thread + 1;
    struct held held = {{NULL}, {0}};
    rcu_register_thread();
    for (uint32_t i = 0; i < REQUESTS; i++)
        request(&held, phase, i, &random);
    for (unsigned i = 0; i < HELD; i++)
        hold(&held, i, NULL, 0);
    rcu_unregister_thread();
    return NULL;
}

static void
show(uint32_t phase)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    expect(handle_store_stats(cache.store, &stats) == 0);
    double share = (double)stats.requested / (double)MAX_BYTES;
    printf("blocks of %5u to %5u bytes: %5" PRIu64 " in the cache, %2.0f %% of its limit; %" PRIu64
           " hits, %" PRIu64 " misses\n",
           phases[phase].low, phases[phase].high, stats.objects, share * 100, hits, misses);
    expect(stats.committed_peak <= MAX_BYTES);
    expect(stats.pins == 0 && stats.objects_reserved == 0);
    expect(hits > 0 && misses > 0);
    full += share >= 0.75;
    hits = misses = 0;
}

static void
run_phase(uint32_t phase)
{
    pthread_t threads[THREADS];
    for (uint32_t i = 0; i < THREADS; i++) {
        void *argument = (void *)(uintptr_t)(phase * THREADS + i);
        if (!expect(pthread_create(&threads[i], NULL, work, argument) == 0))
            exit(expect_status());
    }
    for (uint32_t i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    show(phase);
}

/** Pins that last: everything else can be evicted, and then the answer is -ENOMEM. */
static void
pin_all(void)
{
    static const struct block *pinned[MAX_BYTES / SMALLEST];
    unsigned count = 0;
    int error = 0;
    for (uint32_t number = 0; error != -ENOMEM && count < MAX_BYTES / SMALLEST; number++) {
        error = fill(&cache, key_of(1, number), LARGEST, read_slowly);
        pinned[count] = error ? NULL : acquire(&cache, key_of(1, number));
        count += pinned[count] != NULL;
    }
    expect(error == -ENOMEM);
    expect((uint64_t)count * LARGEST >= MAX_BYTES / 4 * 3);
    expect(cache_close(&cache) == -EBUSY);
    while (count > 0)
        release(&cache, pinned[--count]);
    expect(fill(&cache, key_of(1, 0), LARGEST, read_slowly) == 0);
}

int
main(void)
{
    rcu_register_thread();
    if (!expect(cache_open(&cache, MAX_BYTES, MAX_BYTES / SMALLEST)))
        return expect_status();
    for (uint32_t phase = 0; phase < PHASES; phase++)
        run_phase(phase);
    expect(full == PHASES);
    expect(unreadable > 0);
    pin_all();
    expect(handle_store_check(cache.store, expect_violation, NULL) == 0);
    expect(cache_close(&cache) == 0);
    rcu_unregister_thread();
    return expect_status();
}
