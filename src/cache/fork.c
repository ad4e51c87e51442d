/* SPDX-License-Identifier: MIT */
/* fork.c - see fork.h. */
#include "cache/fork.h"

#include "cache/budget.h"
#include "cache/debug.h"

uint32_t sc_fork_under_way;

/* Held from the first hook to the last one: other threads' forks wait, and writers, and no cache is
 * made or destroyed meanwhile. */
static pthread_mutex_t caches_lock = PTHREAD_MUTEX_INITIALIZER;
static sinter_cache *caches;
static __thread unsigned prepared; /* caches, by the owner of caches_lock */

void
sc_fork_hold(const sinter_cache *cache)
{
    sc_lock_offline(cache, &caches_lock);
}

void
sc_fork_let(void)
{
    pthread_mutex_unlock(&caches_lock);
}

void
sc_fork_add(sinter_cache *cache)
{
    sc_fork_hold(cache);
    cache->next = caches;
    sc_debug_show(&caches);
    sc_store_release(&caches, cache); /* who reads from outside finds it whole */
    sc_fork_let();
}

void
sc_fork_remove(sinter_cache *cache)
{
    sc_fork_hold(cache);
    sinter_cache **at = &caches;
    while (*at && *at != cache)
        at = &(*at)->next;
    if (*at)
        *at = cache->next;
    sc_fork_let();
}

/* Whether another cache of the same flavour comes before this one. */
static bool
flavour_came_before(const sinter_cache *cache)
{
    const sinter_cache *other = caches;
    while (other != cache && other->flavor != cache->flavor)
        other = other->next;
    return other != cache;
}

/* Whoever holds `slow` may wait for a grace period, and for the gate: so these come first. */
static void
close_gate(void)
{
    for (sinter_cache *cache = caches; cache; cache = cache->next)
        sc_lock_offline(cache, &cache->slow);
    __atomic_store_n(&sc_fork_under_way, 1, __ATOMIC_SEQ_CST);
    /* Who has not seen it is in a section that ends with its call. */
    for (sinter_cache *cache = caches; cache; cache = cache->next) {
        if (!flavour_came_before(cache))
            sc_synchronize(cache);
    }
}

void
sinter_cache_before_fork(sinter_cache *cache)
{
    if (!cache)
        return;
    if (prepared++ == 0) {
        sc_fork_hold(cache);
        close_gate();
    }
    handle_store_before_fork(cache->store);
}

void
sinter_cache_after_fork_parent(sinter_cache *cache)
{
    if (!cache)
        return;
    handle_store_after_fork_parent(cache->store);
    if (--prepared > 0)
        return;
    sc_store_release(&sc_fork_under_way, 0);
    for (sinter_cache *other = caches; other; other = other->next)
        pthread_mutex_unlock(&other->slow);
    sc_fork_let();
}

/* The other threads, and what they held, are not in the child. */
static void
begin_again(sinter_cache *cache)
{
    pthread_mutex_init(&cache->slow, NULL);
    pthread_mutex_init(&cache->index.resizing, NULL);
    pthread_mutex_init(&cache->room.lock, NULL);
    pthread_mutex_init(&cache->room.turn, NULL);
    pthread_mutex_init(&cache->sweep.lock, NULL);
    pthread_cond_init(&cache->sweep.wake, NULL);
    cache->index.walkers = 0;
    sc_store(&cache->sweep.asleep, false); /* there is no thread */
    cache->fork_child = true;
    sc_budget_begin_again(cache);
}

void
sinter_cache_after_fork_child(sinter_cache *cache)
{
    if (!cache)
        return;
    handle_store_after_fork_child(cache->store);
    begin_again(cache);
    if (--prepared > 0)
        return;
    sc_store_release(&sc_fork_under_way, 0);
    pthread_mutex_init(&caches_lock, NULL);
}
