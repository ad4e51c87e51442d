/* SPDX-License-Identifier: MIT */
/* life.c - how a cache begins and ends. */
#include "cache/budget.h"
#include "cache/fork.h"
#include "cache/grow.h"
#include "cache/options.h"
#include "cache/ring.h"
#include "cache/sweep.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

/* ---- create ---------------------------------------------------------------------------------- */

static int
open_store(sinter_cache *cache, const struct sinter_cache_options *options)
{
    struct handle_store_options store = HANDLE_STORE_OPTIONS_INIT;
    store.name = cache->name;
    store.hardened = options->hardened;
    store.error = options->error;
    store.opaque = options->opaque;
    store.max_bytes = cache->room.store_most;
    cache->store = handle_store_create_flavor(&store, cache->flavor);
    return cache->store ? 0 : -errno;
}

/* Only under QSBR does going online look like a section. */
static bool
sees_sections(const struct rcu_flavor_struct *flavor)
{
    flavor->thread_online();
    return !flavor->read_ongoing();
}

static void
set_up(sinter_cache *cache, const struct sinter_cache_options *options,
       const struct rcu_flavor_struct *flavor)
{
    cache->flavor = flavor;
    sc_hash_secret(cache->secret);
    snprintf(cache->name, sizeof(cache->name), "%s", options->name);
    cache->evicted = options->evicted;
    cache->error = options->error;
    cache->clock_ms = options->clock_ms;
    cache->opaque = options->opaque;
    cache->policy.favour_bytes = options->favour == SINTER_CACHE_FAVOUR_BYTES;
    pthread_mutex_init(&cache->slow, NULL);
}

static void
unmap(sinter_cache *cache)
{
    sc_budget_release(cache);
    sc_index_close(cache);
    sc_ring_free(&cache->policy.ring);
    munmap(cache, sc_align(sizeof(*cache), 4096));
}

/* Others may have to give back first what they have of it: waits, at most wait_ms. */
static int
join_budget(sinter_cache *cache, const struct sinter_cache_options *options)
{
    int rc = sc_budget_join(cache, options->budget, options->weight);
    for (uint32_t ms = 0; rc == -EAGAIN && ms < options->wait_ms; ms++) {
        sc_pause(cache);
        rc = sc_budget_join(cache, options->budget, options->weight);
    }
    return rc;
}

/* In this order: each part needs those before it. */
static int
open_parts(sinter_cache *cache, const struct sinter_cache_options *options, uint64_t limit)
{
    int rc = sc_index_open(cache);
    if (rc == 0 && options->budget)
        rc = join_budget(cache, options);
    if (rc != 0)
        return rc;
    sc_room_open(cache, options->budget ? SC_LIMIT_LEAST : limit, options->wait_ms);
    rc = open_store(cache, options);
    if (rc != 0)
        return rc;
    cache->sees_sections = sees_sections(cache->flavor);
    rc = sc_sweep_open(cache, options->sweep_percent);
    if (rc != 0)
        handle_store_destroy(cache->store);
    return rc;
}

static int
create(sinter_cache **result, const struct sinter_cache_options *given,
       const struct rcu_flavor_struct *flavor)
{
    struct sinter_cache_options options;
    uint64_t limit;
    int rc = sc_options_read(given, &options, &limit);
    if (rc != 0)
        return rc;
    sinter_cache *cache = mmap(NULL, sc_align(sizeof(*cache), 4096), PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (cache == MAP_FAILED)
        return -ENOMEM;
    set_up(cache, &options, flavor);
    rc = open_parts(cache, &options, limit);
    if (rc != 0) {
        unmap(cache);
        return rc;
    }
    sc_fork_add(cache);
    *result = cache;
    return 0;
}

sinter_cache *
sinter_cache_create_version(const struct sinter_cache_options *options,
                            const struct rcu_flavor_struct *flavor, uint32_t header_major,
                            uint32_t header_minor)
{
    sinter_cache *cache = NULL;
    bool is_ours = header_major == HANDLE_VERSION_MAJOR && header_minor == HANDLE_VERSION_MINOR;
    int rc = flavor && is_ours ? create(&cache, options, flavor) : -EINVAL;
    if (rc != 0)
        errno = -rc;
    return cache;
}

/* ---- destroy --------------------------------------------------------------------------------- */

int
sinter_cache_destroy(sinter_cache *cache)
{
    if (!cache)
        return -EINVAL;
    if (sc_in_section(cache) || sc_load(&cache->index.walkers))
        return -EDEADLK; /* a walk's `between` stands outside of sections */
    sc_fork_remove(cache);
    sc_budget_leave(cache);
    sc_sweep_close(cache);
    int rc = handle_store_destroy(cache->store);
    if (rc != 0)
        return rc; /* somebody has pinned an object of the cache's: what it lies in stays */
    unmap(cache);
    return 0;
}

handle_store *
sinter_cache_store(sinter_cache *cache)
{
    return cache ? cache->store : NULL;
}
