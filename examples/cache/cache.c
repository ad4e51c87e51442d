/* SPDX-License-Identifier: MIT */
/*
 * cache.c - the cache: hash table, shards, node pool, eviction, verification. See cache.h.
 *
 * Life of a node, and of the value that it names:
 *
 *   pool      on its shard's stack of free nodes; the name is empty
 *   linked    in the hash table; readers may find it. `dense` lists the linked nodes of a shard
 *   unlinked  by its shard's lock holder, inside a section, which there also retires the value: the
 *             cell is emptied, and a reader that still holds the node finds no value (or keeps the
 *             one it has resolved until its section ends). Then call_rcu; its callback reclaims the
 *             value (malloc: free) and puts the node back into the pool
 *
 * Locks: shard->lock serialises writers, and so the cells' writers. shard->pool_lock is taken under
 * it, and by the callback alone. No lock is held while anything waits for a grace period.
 */
#include "cache.h"

#include "content.h"
#include "random.h"

#include <urcu/rculfhash.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define SHARDS            16u
#define EVICTION_SAMPLES  4
#define EVICTION_ATTEMPTS 256 /* samples that may turn out to be exempt before a set gives up */
#define COUNTER_LINE      64

struct node {
    struct cds_lfht_node link;
    uint64_t key;          /* constant while linked, as are version and size */
    union value_name name; /* written under the shard's lock; read in sections */
    struct rcu_head rcu;   /* after unlinking */
    struct shard *shard;   /* constant */
    uint32_t version;
    uint32_t size;
    uint32_t last_used; /* the shard's clock; relaxed, by readers too */
    /* guarded by the shard's lock */
    uint32_t dense_at; /* place in shard->dense */
    uint32_t bumps;    /* what the value's counter has to be */
    bool kept;         /* exempt from eviction */
};

struct shard {
    pthread_mutex_t lock;
    /* guarded by lock, but read by anyone for statistics (relaxed) */
    uint64_t payload;
    uint64_t kept_payload;
    uint64_t sets, set_bytes, evictions, verified, waits, too_large;
    uint32_t linked;
    uint32_t version; /* of the last value made */
    uint64_t random;
    uint32_t *dense; /* the linked nodes, in no order */
    /* guarded by pool_lock */
    pthread_mutex_t pool_lock __attribute__((aligned(COUNTER_LINE)));
    uint32_t *pool; /* a stack */
    uint32_t pooled;
    /* constant */
    struct cache *cache;
    struct node *nodes;
    uint32_t node_count;
    uint32_t entries_max;
    uint64_t limit;
    /* relaxed */
    uint32_t clock __attribute__((aligned(COUNTER_LINE))); /* sets so far: the time of the LRU */
} __attribute__((aligned(COUNTER_LINE)));

struct cache {
    struct shard shard[SHARDS];
    struct cds_lfht *table;
    const struct backend *backend;
    void *memory; /* nodes and lists of all shards */
    size_t memory_bytes;
    size_t bucket_bytes;
    uint64_t damaged; /* relaxed */
};

/* The counters have one writer at a time (the lock holder) and readers that want no lock. */
#define COUNT(counter, n) __atomic_store_n(&(counter), (counter) + (n), __ATOMIC_RELAXED)
#define COUNTED(counter)  __atomic_load_n(&(counter), __ATOMIC_RELAXED)

static struct shard *
shard_of(struct cache *cache, uint64_t hash)
{
    return &cache->shard[hash >> 60];
}

static int
match_key(struct cds_lfht_node *link, const void *key)
{
    return caa_container_of(link, struct node, link)->key == *(const uint64_t *)key;
}

static struct node *
find(struct cache *cache, uint64_t hash, uint64_t key)
{
    struct cds_lfht_iter at;
    cds_lfht_lookup(cache->table, hash, match_key, &key, &at);
    struct cds_lfht_node *link = cds_lfht_iter_get_node(&at);
    return link ? caa_container_of(link, struct node, link) : NULL;
}

/* ---- verification ---------------------------------------------------------------------------- */

/** Counts a wrong value; tells of the first one. */
static void
report_damage(struct cache *cache, const struct node *node, const char *what)
{
    if (__atomic_fetch_add(&cache->damaged, 1, __ATOMIC_RELAXED))
        return;
    fprintf(stderr, "%s: key %#" PRIx64 ", version %" PRIu32 ", %" PRIu32 " bytes: %s\n",
            cache->backend->name, node->key, node->version, node->size, what);
}

/** Compares a resolved value with what its node says. In the section that resolved it. */
static bool
verify(struct cache *cache, const struct node *node, const void *object)
{
    const struct content content = {node->key, node->version, node->size};
    if (!content_matches(object, &content))
        report_damage(cache, node, "contents are not this value's");
    else if (!cache->backend->has_size(&node->name, node->size))
        report_damage(cache, node, "the storage says another size");
    else
        return true;
    return false;
}

/** verify, and the counter, which only the lock holder may read. */
static bool
verify_locked(struct cache *cache, struct node *node)
{
    const void *object = cache->backend->read(&node->name);
    COUNT(node->shard->verified, 1);
    if (!object) {
        report_damage(cache, node, "the value is gone");
        return false;
    }
    if (!verify(cache, node, object))
        return false;
    if (!content_has_counter(node->size) || content_counter(object) == node->bumps)
        return true;
    report_damage(cache, node, "a write to the value was lost");
    return false;
}

/* ---- the pool of nodes ----------------------------------------------------------------------- */

static struct node *
pool_take(struct shard *shard)
{
    struct node *node = NULL;
    pthread_mutex_lock(&shard->pool_lock);
    if (shard->pooled)
        node = &shard->nodes[shard->pool[--shard->pooled]];
    pthread_mutex_unlock(&shard->pool_lock);
    return node;
}

static void
pool_give(struct node *node)
{
    struct shard *shard = node->shard;
    pthread_mutex_lock(&shard->pool_lock);
    shard->pool[shard->pooled++] = (uint32_t)(node - shard->nodes);
    pthread_mutex_unlock(&shard->pool_lock);
}

/** call_rcu's callback: nobody can hold the node or its value any more. */
static void
reclaim_node(struct rcu_head *head)
{
    struct node *node = caa_container_of(head, struct node, rcu);
    node->shard->cache->backend->reclaim(&node->name);
    pool_give(node);
}

/* ---- linking and unlinking; with the shard's lock, in a section ------------------------------ */

static void
list_locked(struct shard *shard, struct node *node)
{
    node->dense_at = shard->linked;
    shard->dense[node->dense_at] = (uint32_t)(node - shard->nodes);
    COUNT(shard->linked, 1);
    COUNT(shard->payload, node->size);
    if (node->kept)
        shard->kept_payload += node->size;
}

static void
unlist_locked(struct shard *shard, struct node *node)
{
    uint32_t last = shard->dense[shard->linked - 1];
    shard->dense[node->dense_at] = last;
    shard->nodes[last].dense_at = node->dense_at;
    COUNT(shard->linked, -1u);
    COUNT(shard->payload, -(uint64_t)node->size);
    if (node->kept)
        shard->kept_payload -= node->size;
}

/** For a node just unlinked from the table: its value goes, and a grace period later itself. */
static void
retire_locked(struct shard *shard, struct node *node)
{
    verify_locked(shard->cache, node);
    unlist_locked(shard, node);
    if (!shard->cache->backend->retire(&node->name))
        report_damage(shard->cache, node, "the value could not be freed");
    call_rcu(&node->rcu, reclaim_node);
}

static void
evict_locked(struct shard *shard, struct node *node)
{
    if (cds_lfht_del(shard->cache->table, &node->link) != 0) {
        report_damage(shard->cache, node, "the hash table did not know the node");
        unlist_locked(shard, node);
        return;
    }
    retire_locked(shard, node);
    COUNT(shard->evictions, 1);
}

/** Sampled LRU. NULL: only exempt entries were found. */
static struct node *
choose_victim_locked(struct shard *shard)
{
    struct node *oldest = NULL;
    uint32_t oldest_age = 0;
    int samples = 0;
    for (int i = 0; i < EVICTION_ATTEMPTS && samples < EVICTION_SAMPLES; i++) {
        uint64_t choice = random_below(random_next(&shard->random), shard->linked);
        struct node *node = &shard->nodes[shard->dense[choice]];
        if (node->kept)
            continue;
        uint32_t age = shard->clock - COUNTED(node->last_used);
        if (!oldest || age > oldest_age) {
            oldest = node;
            oldest_age = age;
        }
        samples++;
    }
    return oldest;
}

/** Evicts until a value of this size fits. False: what is left is exempt. */
static bool
make_room_locked(struct shard *shard, size_t size)
{
    while (shard->linked &&
           (shard->payload + size > shard->limit || shard->linked >= shard->entries_max)) {
        struct node *node = choose_victim_locked(shard);
        if (!node)
            return false;
        evict_locked(shard, node);
    }
    return true;
}

/* ---- requests -------------------------------------------------------------------------------- */

enum cache_answer
cache_get(struct cache *cache, uint64_t key, size_t size)
{
    enum cache_answer answer = CACHE_MISS;
    rcu_read_lock();
    struct node *node = find(cache, mix64(key), key);
    const void *object = node ? cache->backend->read(&node->name) : NULL;
    if (object) {
        uint32_t now = COUNTED(node->shard->clock);
        if (COUNTED(node->last_used) != now)
            __atomic_store_n(&node->last_used, now, __ATOMIC_RELAXED);
        answer = CACHE_HIT;
        if (node->size != size) {
            report_damage(cache, node, "the key's value has another size");
            answer = CACHE_DAMAGED;
        } else if (!verify(cache, node, object)) {
            answer = CACHE_DAMAGED;
        }
    }
    rcu_read_unlock();
    return answer;
}

/** Gives a pooled node a value. False with errno: the backend has no memory. */
static bool
fill_node_locked(struct shard *shard, struct node *node, uint64_t key, size_t size)
{
    node->key = key;
    node->size = (uint32_t)size;
    node->version = ++shard->version;
    node->bumps = 0;
    node->kept = false;
    COUNT(shard->clock, 1);
    node->last_used = shard->clock;
    void *object = shard->cache->backend->create(&node->name, size);
    if (!object)
        return false;
    const struct content content = {key, node->version, node->size};
    content_fill(object, &content);
    return true;
}

/** Links a filled node, in the place of the key's older version if there is one. */
static enum cache_answer
link_locked(struct shard *shard, struct node *node)
{
    cds_lfht_node_init(&node->link);
    struct cds_lfht_node *link = cds_lfht_add_replace(shard->cache->table, mix64(node->key),
                                                      match_key, &node->key, &node->link);
    struct node *older = link ? caa_container_of(link, struct node, link) : NULL;
    if (older) {
        node->kept = older->kept;
        retire_locked(shard, older);
    }
    list_locked(shard, node);
    COUNT(shard->sets, 1);
    COUNT(shard->set_bytes, node->size);
    return older ? CACHE_HIT : CACHE_MISS;
}

/** One attempt to set, with the shard's lock. *retry: no node is free, some are on their way. */
static enum cache_answer
set_locked(struct shard *shard, uint64_t key, size_t size, bool *retry)
{
    enum cache_answer answer = CACHE_MISS;
    rcu_read_lock();
    bool room = make_room_locked(shard, size);
    struct node *node = room ? pool_take(shard) : NULL;
    *retry = room && !node;
    if (node && fill_node_locked(shard, node, key, size)) {
        answer = link_locked(shard, node);
    } else if (node) {
        fprintf(stderr, "%s: no memory for %zu bytes: %s\n", shard->cache->backend->name, size,
                strerror(errno));
        pool_give(node);
        answer = CACHE_FAILED;
    }
    if (*retry)
        COUNT(shard->waits, 1);
    rcu_read_unlock();
    return answer;
}

enum cache_answer
cache_set(struct cache *cache, uint64_t key, size_t size)
{
    struct shard *shard = shard_of(cache, mix64(key));
    for (;;) {
        bool retry = false;
        enum cache_answer answer = CACHE_MISS;
        pthread_mutex_lock(&shard->lock);
        if (size > shard->limit / 4)
            COUNT(shard->too_large, 1);
        else
            answer = set_locked(shard, key, size, &retry);
        pthread_mutex_unlock(&shard->lock);
        if (!retry)
            return answer;
        rcu_barrier(); /* the nodes in call_rcu's hands come back */
    }
}

enum cache_answer
cache_bump(struct cache *cache, uint64_t key)
{
    enum cache_answer answer = CACHE_MISS;
    struct shard *shard = shard_of(cache, mix64(key));
    pthread_mutex_lock(&shard->lock);
    rcu_read_lock();
    struct node *node = find(cache, mix64(key), key);
    if (node && content_has_counter(node->size)) {
        void *object = cache->backend->write(&node->name);
        if (object) {
            content_count(object);
            node->bumps++;
        }
        answer = object && verify_locked(cache, node) ? CACHE_HIT : CACHE_DAMAGED;
    }
    rcu_read_unlock();
    pthread_mutex_unlock(&shard->lock);
    return answer;
}

/* ---- the whole cache ------------------------------------------------------------------------- */

static void
keep_in_shard_locked(struct shard *shard, uint64_t percent)
{
    for (uint32_t i = 0; i < shard->linked; i++) {
        struct node *node = &shard->nodes[shard->dense[i]];
        bool chosen = random_below(random_next(&shard->random), 100) < percent;
        if (node->kept || !chosen || shard->kept_payload + node->size > shard->limit / 2)
            continue;
        node->kept = true;
        shard->kept_payload += node->size;
    }
}

void
cache_keep(struct cache *cache, uint64_t percent)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        pthread_mutex_lock(&cache->shard[i].lock);
        keep_in_shard_locked(&cache->shard[i], percent);
        pthread_mutex_unlock(&cache->shard[i].lock);
    }
}

void
cache_verify(struct cache *cache)
{
    for (uint32_t i = 0; i < SHARDS; i++) {
        struct shard *shard = &cache->shard[i];
        pthread_mutex_lock(&shard->lock);
        for (uint32_t j = 0; j < shard->linked; j++) {
            rcu_read_lock();
            verify_locked(cache, &shard->nodes[shard->dense[j]]);
            rcu_read_unlock();
        }
        pthread_mutex_unlock(&shard->lock);
    }
}

void
cache_counters(const struct cache *cache, struct cache_counters *counters)
{
    memset(counters, 0, sizeof(*counters));
    for (uint32_t i = 0; i < SHARDS; i++) {
        const struct shard *shard = &cache->shard[i];
        counters->payload_bytes += COUNTED(shard->payload);
        counters->entries += COUNTED(shard->linked);
        counters->set_bytes += COUNTED(shard->set_bytes);
        counters->sets += COUNTED(shard->sets);
        counters->evictions += COUNTED(shard->evictions);
        counters->verified += COUNTED(shard->verified);
        counters->too_large += COUNTED(shard->too_large);
        counters->waits += COUNTED(shard->waits);
    }
    counters->damaged = COUNTED(cache->damaged);
}

void
cache_facts(const struct cache *cache, struct backend_facts *facts)
{
    cache->backend->facts(facts);
}

/* ---- making and ending ----------------------------------------------------------------------- */

/** Smallest power of two that is not below n. */
static unsigned long
power_of_two(uint64_t n)
{
    unsigned long power = 1;
    while (power < n)
        power *= 2;
    return power;
}

/** Cuts a shard's part out of the cache's memory, and touches it. */
static void
shard_init(struct cache *cache, uint32_t i, uint32_t nodes, uint64_t seed)
{
    struct shard *shard = &cache->shard[i];
    char *memory = (char *)cache->memory + cache->memory_bytes / SHARDS * i;
    pthread_mutex_init(&shard->lock, NULL);
    pthread_mutex_init(&shard->pool_lock, NULL);
    shard->cache = cache;
    shard->random = mix64(seed + i + 1);
    shard->node_count = shard->pooled = nodes;
    shard->nodes = (struct node *)(void *)memory;
    shard->pool = (uint32_t *)(void *)(memory + nodes * sizeof(struct node));
    shard->dense = shard->pool + nodes;
    memset(memory, 0, nodes * (sizeof(struct node) + 2 * sizeof(uint32_t)));
    for (uint32_t j = 0; j < nodes; j++) {
        shard->nodes[j].shard = shard;
        shard->pool[j] = nodes - 1 - j;
        shard->dense[j] = UINT32_MAX; /* written, so that the pages are the process's own */
    }
}

/** The pool's memory; from mmap, so that it leaves no mark on the malloc that is measured. */
static bool
map_nodes(struct cache *cache, uint64_t limit_bytes, uint64_t entries, uint64_t seed)
{
    uint64_t each = entries / SHARDS + 1;
    uint64_t nodes = (each + each / 8 + 4096) & ~UINT64_C(1); /* some are always in limbo */
    cache->memory_bytes = SHARDS * nodes * (sizeof(struct node) + 2 * sizeof(uint32_t));
    if (nodes > UINT32_MAX)
        return false;
    cache->memory =
        mmap(NULL, cache->memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (cache->memory == MAP_FAILED)
        return false;
    for (uint32_t i = 0; i < SHARDS; i++) {
        shard_init(cache, i, (uint32_t)nodes, seed);
        cache->shard[i].limit = limit_bytes / SHARDS;
        cache->shard[i].entries_max = (uint32_t)each;
    }
    return true;
}

struct cache *
cache_new(uint64_t limit_bytes, uint64_t entries, uint64_t seed)
{
    struct cache *cache = aligned_alloc(COUNTER_LINE, sizeof(*cache));
    if (!cache)
        return NULL;
    memset(cache, 0, sizeof(*cache));
    unsigned long buckets = power_of_two(entries);
    cache->bucket_bytes = buckets * sizeof(struct cds_lfht_node);
    /* Of a fixed size: a table that grows would disturb what is measured. */
    cache->table = cds_lfht_new(buckets, buckets, buckets, 0, NULL);
    if (cache->table && map_nodes(cache, limit_bytes, entries, seed))
        return cache;
    if (cache->table)
        cds_lfht_destroy(cache->table, NULL);
    free(cache);
    return NULL;
}

uint64_t
cache_node_bytes(const struct cache *cache)
{
    return cache->memory_bytes + cache->bucket_bytes;
}

bool
cache_open(struct cache *cache, const struct backend *backend, bool compact)
{
    cache->backend = backend;
    return backend->open(compact);
}

static void
empty_shard(struct shard *shard)
{
    pthread_mutex_lock(&shard->lock);
    while (shard->linked) {
        rcu_read_lock();
        evict_locked(shard, &shard->nodes[shard->dense[shard->linked - 1]]);
        rcu_read_unlock();
    }
    pthread_mutex_unlock(&shard->lock);
}

bool
cache_close(struct cache *cache)
{
    uint64_t missing = 0;
    int violations = cache->backend->check();
    for (uint32_t i = 0; i < SHARDS; i++)
        empty_shard(&cache->shard[i]);
    rcu_barrier();
    for (uint32_t i = 0; i < SHARDS; i++)
        missing += cache->shard[i].node_count - cache->shard[i].pooled;
    violations += cache->backend->check();
    if (missing)
        fprintf(stderr, "%s: %" PRIu64 " nodes did not come back\n", cache->backend->name, missing);
    if (violations)
        fprintf(stderr, "%s: %d violations\n", cache->backend->name, violations);
    bool damaged = COUNTED(cache->damaged) != 0;
    bool closed = cache->backend->close();
    if (cds_lfht_destroy(cache->table, NULL) != 0)
        closed = false;
    munmap(cache->memory, cache->memory_bytes);
    free(cache);
    return closed && !missing && !violations && !damaged;
}
