/* SPDX-License-Identifier: MIT */
/* budget.c - see budget.h. */
#include "cache/budget.h"

#include "cache/fork.h"
#include "cache/options.h"
#include "cache/sweep.h"

#include <stdlib.h>

#define STEPS      64u /* of which a budget's limit consists: the least that is lent at a time */
#define STEP_LEAST (UINT64_C(256) << 10)
#define SLACK      (UINT64_C(128) << 10) /* which its index may grow by meanwhile */
#define PATIENCE   64u

struct sinter_cache_budget {
    uint64_t limit; /* atomic; the rest is guarded by lock */
    pthread_mutex_t lock;
    sinter_cache *tenants;
    uint64_t count, weights, granted; /* sums over them */
    const sinter_cache *waits; /* the one below its share that nothing was free for; or NULL */
    unsigned patience;         /* how often others are refused for its sake, then it is forgotten */
};

/* ---- sums, under the lock -------------------------------------------------------------------- */

static uint64_t
share_of(const sinter_cache *cache)
{
    const sinter_cache_budget *budget = cache->tenant.budget;
    return sc_max(budget->limit / budget->weights * cache->tenant.weight, SC_LIMIT_LEAST);
}

static uint64_t
sum_of_limits(const sinter_cache_budget *budget)
{
    uint64_t sum = 0;
    for (const sinter_cache *at = budget->tenants; at; at = at->tenant.next)
        sum += sc_load(&at->room.limit);
    return sum;
}

/* How far a tenant's limit is above its share, or, if there is no other way, above the least. */
static uint64_t
above(const sinter_cache *cache, bool above_share)
{
    return sc_less(sc_load(&cache->room.limit), above_share ? share_of(cache) : SC_LIMIT_LEAST);
}

static sinter_cache *
furthest_above(const sinter_cache_budget *budget, bool above_share)
{
    sinter_cache *most = budget->tenants;
    for (sinter_cache *at = most; at; at = at->tenant.next)
        most = above(at, above_share) > above(most, above_share) ? at : most;
    return most;
}

static void
set_granted(sinter_cache *cache, uint64_t granted)
{
    cache->tenant.budget->granted += granted - cache->tenant.granted;
    sc_store(&cache->tenant.granted, granted);
}

/* Lowers limits, of those furthest above, until `room` of the budget's is nobody's, or on its way
 * back. How much is missing then. */
static uint64_t
call_back(sinter_cache_budget *budget, uint64_t room, bool above_share)
{
    for (;;) {
        uint64_t missing = sc_less(sum_of_limits(budget) + room, budget->limit);
        sinter_cache *cache = missing ? furthest_above(budget, above_share) : NULL;
        uint64_t take = cache ? sc_min(above(cache, above_share), missing) : 0;
        if (take == 0)
            return missing;
        sc_room_allow(cache, sc_load(&cache->room.limit) - take);
        sc_sweep_wake(cache);
    }
}

/* The same, and if need be below shares. */
static uint64_t
call_back_all(sinter_cache_budget *budget, uint64_t room)
{
    return call_back(budget, room, true) ? call_back(budget, room, false) : 0;
}

/* ---- tenants --------------------------------------------------------------------------------- */

int
sc_budget_join(sinter_cache *cache, sinter_cache_budget *budget, uint32_t weight)
{
    int rc = 0;
    sc_fork_hold(cache);
    pthread_mutex_lock(&budget->lock);
    if ((budget->count + 1) * SC_LIMIT_LEAST > budget->limit)
        rc = -ENOSPC;
    else if (budget->granted + SC_LIMIT_LEAST > budget->limit)
        rc = call_back_all(budget, SC_LIMIT_LEAST) ? -ENOSPC : -EAGAIN;
    if (rc == 0) {
        cache->tenant.budget = budget;
        cache->tenant.weight = weight;
        cache->tenant.next = budget->tenants;
        budget->tenants = cache;
        budget->count++;
        budget->weights += weight;
        sc_store(&cache->room.limit, SC_LIMIT_LEAST);
        set_granted(cache, SC_LIMIT_LEAST);
    }
    pthread_mutex_unlock(&budget->lock);
    sc_fork_let();
    return rc;
}

void
sc_budget_leave(sinter_cache *cache)
{
    sinter_cache_budget *budget = cache->tenant.budget;
    if (!budget || !cache->tenant.weight)
        return;
    sc_fork_hold(cache);
    pthread_mutex_lock(&budget->lock);
    sinter_cache **at = &budget->tenants;
    while (*at != cache)
        at = &(*at)->tenant.next;
    *at = cache->tenant.next;
    budget->count--;
    budget->weights -= cache->tenant.weight;
    cache->tenant.weight = 0;
    if (budget->waits == cache)
        budget->waits = NULL;
    pthread_mutex_unlock(&budget->lock);
    sc_fork_let();
}

void
sc_budget_release(sinter_cache *cache)
{
    if (!cache->tenant.budget)
        return;
    sc_budget_leave(cache);
    pthread_mutex_lock(&cache->tenant.budget->lock);
    set_granted(cache, 0);
    pthread_mutex_unlock(&cache->tenant.budget->lock);
}

/* Whether what is free is somebody else's, who has less than its share and asked before. */
static bool
is_reserved(sinter_cache_budget *budget, const sinter_cache *cache)
{
    if (!budget->waits || budget->waits == cache || budget->patience-- == 0) {
        budget->waits = NULL;
        return false;
    }
    return true;
}

/* Under the lock. */
static void
ask(sinter_cache *cache, sinter_cache_budget *budget)
{
    uint64_t step = sc_max(budget->limit / STEPS, STEP_LEAST), limit = sc_load(&cache->room.limit);
    /* What it has not given back yet, it may keep. */
    uint64_t free = sc_less(budget->limit, budget->granted) + cache->tenant.granted - limit;
    uint64_t more = sc_min(sc_min(free, step), sc_less(budget->limit, sum_of_limits(budget)));
    bool below_share = limit + step <= share_of(cache);
    if (more >= STEP_LEAST && (below_share || !is_reserved(budget, cache))) {
        sc_room_allow(cache, limit + more);
        set_granted(cache, sc_max(cache->tenant.granted, limit + more));
    } else if (below_share && !cache->fork_child) {
        budget->waits = cache;
        budget->patience = PATIENCE;
        call_back(budget, step, true);
    }
}

/* A cache that is being destroyed has left; but its thread may still tell of items, and who hears
 * of them may write. */
void
sc_budget_ask(sinter_cache *cache)
{
    sinter_cache_budget *budget = cache->tenant.budget;
    if (pthread_mutex_trylock(&budget->lock) != 0)
        return; /* it asks again */
    if (cache->tenant.weight)
        ask(cache, budget);
    pthread_mutex_unlock(&budget->lock);
}

void
sc_budget_give_back(sinter_cache *cache)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    sinter_cache_budget *budget = cache->tenant.budget;
    sc_room_follow(cache);
    handle_store_purge(cache->store, NULL);
    pthread_mutex_lock(&budget->lock);
    /* The limit does not rise meanwhile, and what is held stays below what is granted. */
    if (sinter_cache_stats(cache, &stats) == 0)
        set_granted(cache, sc_clamp(stats.held_bytes + SLACK, sc_load(&cache->room.limit),
                                    cache->tenant.granted));
    pthread_mutex_unlock(&budget->lock);
    sc_room_refit(cache);
}

void
sc_budget_begin_again(sinter_cache *cache)
{
    if (cache->tenant.budget)
        pthread_mutex_init(&cache->tenant.budget->lock, NULL);
}

/* ---- the interface --------------------------------------------------------------------------- */

/* A limit by one of the two, or 0: out of range. */
static uint64_t
limit_by(uint64_t bytes, uint32_t percent)
{
    if (percent ? percent > SC_PERCENT_MOST || bytes
                : bytes < SC_LIMIT_LEAST || bytes > SC_LIMIT_MOST)
        return 0;
    return percent ? sc_limit_of_percent(percent) : bytes;
}

sinter_cache_budget *
sinter_cache_budget_create(uint64_t limit_bytes, uint32_t limit_percent)
{
    uint64_t limit = limit_by(limit_bytes, limit_percent);
    if (!limit) {
        errno = EINVAL;
        return NULL;
    }
    sinter_cache_budget *budget = calloc(1, sizeof(*budget));
    if (!budget)
        return NULL;
    budget->limit = limit;
    pthread_mutex_init(&budget->lock, NULL);
    return budget;
}

int
sinter_cache_budget_destroy(sinter_cache_budget *budget)
{
    if (!budget)
        return -EINVAL;
    pthread_mutex_lock(&budget->lock);
    bool used = budget->tenants || budget->granted;
    pthread_mutex_unlock(&budget->lock);
    if (used)
        return -EBUSY;
    pthread_mutex_destroy(&budget->lock);
    free(budget);
    return 0;
}

int
sinter_cache_budget_limit(sinter_cache_budget *budget, uint64_t limit_bytes, uint32_t limit_percent)
{
    uint64_t limit = limit_by(limit_bytes, limit_percent);
    if (!budget || !limit)
        return -EINVAL;
    pthread_mutex_lock(&budget->lock);
    int rc = limit < budget->count * SC_LIMIT_LEAST ? -ENOSPC : 0;
    if (rc == 0) {
        budget->limit = limit;
        call_back_all(budget, 0);
    }
    pthread_mutex_unlock(&budget->lock);
    return rc;
}

int
sinter_cache_budget_stats(sinter_cache_budget *budget, struct sinter_cache_budget_stats *given)
{
    struct sinter_cache_budget_stats stats = {0};
    if (!budget || !given || given->struct_size < sizeof(uint64_t) * 2)
        return -EINVAL;
    pthread_mutex_lock(&budget->lock);
    stats.limit_bytes = budget->limit;
    stats.granted_bytes = budget->granted;
    stats.caches = budget->count;
    for (const sinter_cache *at = budget->tenants; at; at = at->tenant.next) {
        stats.lent_bytes += above(at, true);
        stats.returning_bytes += at->tenant.granted - sc_load(&at->room.limit);
    }
    pthread_mutex_unlock(&budget->lock);
    stats.struct_size = given->struct_size;
    memcpy(given, &stats, sc_min(given->struct_size, sizeof(stats)));
    return 0;
}
