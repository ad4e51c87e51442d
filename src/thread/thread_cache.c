/* SPDX-License-Identifier: MIT */
/* thread_cache.c - see thread_cache.h. */
#include "thread/thread_cache.h"
#include "thread/drain.h"
#include "thread/limbo.h"
#include "thread/refill.h"

#include <string.h>

/*
 * Thread exit and store destroy meet here: a cache is in a list of its thread, which nobody else
 * touches, and in its store's. The registry lock guards the link to the store: while a thread holds
 * it, the stores of its caches do not end, or have ended.
 */
static struct sn_lock registry = {PTHREAD_MUTEX_INITIALIZER, SN_RANK_REGISTRY};
static pthread_key_t exit_key;
static pthread_once_t exit_once = PTHREAD_ONCE_INIT;
static bool exit_key_made;

static uint64_t stores_ended; /* guarded by the registry's lock */

static struct sn_thread_cache no_cache; /* of no store: its gate is shut */
#define NONE4  &no_cache, &no_cache, &no_cache, &no_cache
#define NONE16 NONE4, NONE4, NONE4, NONE4
_Thread_local struct sn_thread_cache *sn_tls_cache[SN_TLS_ENTRIES] = {NONE16, NONE16, NONE16,
                                                                      NONE16};
_Static_assert(SN_TLS_ENTRIES == 64, "all are initialised");
_Thread_local unsigned sn_calls_on_fallback;
_Thread_local enum sn_asking sn_asking;

/* ---- making and ending a thread's cache ------------------------------------------------------ */

size_t
sn_caches_bytes(const struct sn_caches *caches, uint64_t threads)
{
    return (threads + 1) * sizeof(struct sn_thread_cache) + sn_load_relaxed(&caches->arrays_bytes);
}

/* Its gate is shut. */
static struct sn_thread_cache *
make_cache(const struct sn_classes *classes)
{
    struct sn_thread_cache *cache = sn_os_zalloc(sizeof(struct sn_thread_cache));
    if (!cache)
        return NULL;
    sn_cache_init_stacks(cache, classes);
    return cache;
}

void
sn_cache_empty(struct sn_caches *caches, struct sn_thread_cache *cache)
{
    for (unsigned i = 0; i < caches->heap->classes->count; i++)
        (void)sn_cache_empty_bin(caches, cache, i);
    uint32_t indexes = sn_cache_index_count(cache);
    if (indexes > 0)
        caches->put_indexes(caches, cache->indexes, indexes);
    sn_cache_free_arrays(caches, cache);
    sn_limbo_drop_spare(caches, cache);
    sn_sub_relaxed(&caches->total_cap_bytes, cache->cap_bytes);
    cache->cap_bytes = 0;
}

static void
fold_counters(struct sn_caches *caches, const struct sn_thread_cache *from)
{
    struct sn_thread_cache *to = caches->fallback;
    sn_add_relaxed(&to->frees_slow, sn_cache_frees(from));
    sn_add_relaxed(&to->reserved, sn_load_relaxed(&from->reserved));
    for (unsigned i = 0; i < caches->heap->classes->count; i++)
        sn_add_relaxed(&to->live_slow[i], sn_cache_live_delta(from, i));
}

void
sn_cache_end_prepared(struct sn_caches *caches, struct sn_thread_cache *cache)
{
    struct sn_budget *budget = caches->heap->pool->budget;
    sn_sub_relaxed(&budget->prepared, cache->prepared);
    sn_budget_refund(budget, cache->prepared);
    cache->prepared = 0;
}

/* The owner gives its cache up; under the registry's lock, so that the store is there. */
static void
end_cache_locked(struct sn_caches *caches, struct sn_thread_cache *cache)
{
    sn_assert_locked(&registry);
    sn_lock(&caches->lock); /* keeps drainers out; the owner itself is here */
    sn_cache_empty(caches, cache);
    sn_cache_end_prepared(caches, cache);
    bool had_limbo = cache->limbo_bytes != 0;
    sn_cache_hand_over(caches, cache);
    fold_counters(caches, cache);
    struct sn_thread_cache **link = &caches->all;
    while (*link != cache)
        link = &(*link)->next;
    *link = cache->next;
    sn_store_relaxed(&caches->threads, caches->threads - 1);
    sn_budget_refund(caches->heap->pool->budget, sizeof(*cache));
    sn_unlock(&caches->lock);
    if (had_limbo)
        caches->retired(caches, false);
    sn_os_free(cache);
}

/* Its store is gone. */
static void
free_orphan(struct sn_thread_cache *cache)
{
    sn_cache_free_arrays(NULL, cache);
    sn_os_free(cache->chunk);
    sn_os_free(cache->spare);
    sn_os_free(cache);
}

/* The calling thread's; only stores that have ended since it last looked leave any. */
static void
free_orphans_locked(void)
{
    static _Thread_local uint64_t seen;
    sn_assert_locked(&registry);
    if (seen == stores_ended)
        return;
    seen = stores_ended;
    for (unsigned i = 0; i < SN_TLS_ENTRIES; i++) {
        struct sn_thread_cache **link = &sn_tls_cache[i];
        while (*link != &no_cache) {
            struct sn_thread_cache *cache = *link;
            if (cache->caches) {
                link = &cache->next_of_entry;
            } else {
                *link = cache->next_of_entry;
                free_orphan(cache);
            }
        }
    }
}

/* Destructors of the application's may still use stores, in this round or a later one, and there
 * may be no later one for a cache that they get: they work with the fallback caches. */
static _Thread_local bool thread_is_ending;

static void
thread_exit(void *unused)
{
    (void)unused;
    thread_is_ending = true;
    sn_lock(&registry);
    free_orphans_locked();
    for (unsigned i = 0; i < SN_TLS_ENTRIES; i++) {
        while (sn_tls_cache[i] != &no_cache) {
            struct sn_thread_cache *cache = sn_tls_cache[i];
            sn_tls_cache[i] = cache->next_of_entry;
            end_cache_locked(cache->caches, cache);
        }
    }
    sn_unlock(&registry);
}

static void
make_exit_key(void)
{
    exit_key_made = !sn_inject(SN_INJECT_KEY) && pthread_key_create(&exit_key, thread_exit) == 0;
}

/* Puts it first, where the fast paths look. No lock: only its thread frees a cache, and the end of
 * a store has unlinked all of them before another store can have its address. */
static struct sn_thread_cache *
find_mine(const struct sn_caches *caches)
{
    struct sn_thread_cache **first = &sn_tls_cache[caches->tls_entry], **link = first;
    while (*link != &no_cache && sn_load_relaxed(&(*link)->caches) != caches)
        link = &(*link)->next_of_entry;
    struct sn_thread_cache *found = *link;
    if (found == &no_cache)
        return NULL;
    *link = found->next_of_entry;
    found->next_of_entry = *first;
    *first = found;
    return found;
}

/* NULL: no memory, or max_bytes does not allow for one more: the fallback cache must do. */
static struct sn_thread_cache *
join(struct sn_caches *caches)
{
    struct sn_budget *budget = caches->heap->pool->budget;
    pthread_once(&exit_once, make_exit_key);
    sn_lock(&registry);
    free_orphans_locked();
    sn_unlock(&registry);
    if (!exit_key_made || pthread_setspecific(exit_key, caches) != 0 ||
        sn_budget_lacks(budget, sizeof(struct sn_thread_cache), SN_CHARGE_APPLICATION) > 0)
        return NULL;
    struct sn_thread_cache *cache = make_cache(caches->heap->classes);
    if (!cache)
        return NULL;
    sn_store_relaxed(&cache->caches, caches);
    sn_lock(&registry);
    sn_lock(&caches->lock);
    bool charged = sn_budget_charge(budget, sizeof(*cache), SN_CHARGE_APPLICATION);
    if (charged) {
        cache->next_of_entry = sn_tls_cache[caches->tls_entry];
        sn_tls_cache[caches->tls_entry] = cache;
        sn_cache_open_gate(caches, cache);
        cache->next = caches->all;
        caches->all = cache;
        /* and its bytes, under one lock: a fork sees both or neither */
        sn_store_relaxed(&caches->threads, caches->threads + 1);
    }
    sn_unlock(&caches->lock);
    sn_unlock(&registry);
    if (charged)
        return cache;
    sn_os_free(cache);
    return NULL;
}

struct sn_thread_cache *
sn_cache_self_slow(struct sn_caches *caches)
{
    int saved = errno;
    struct sn_thread_cache *cache = find_mine(caches);
    if (!cache && sn_calls_on_fallback == 0 && !thread_is_ending)
        cache = join(caches);
    errno = saved;
    return cache ? cache : caches->fallback; /* not remembered: tried again next time */
}

void
sn_caches_detach(struct sn_caches *caches)
{
    sn_lock(&registry);
    struct sn_thread_cache *cache = find_mine(caches);
    if (cache && cache->pending > 0) { /* from a callback: the call goes on with it */
        sn_lock(&caches->lock);
        sn_cache_empty(caches, cache);
        sn_cache_end_prepared(caches, cache);
        sn_cache_hand_over(caches, cache);
        sn_unlock(&caches->lock);
    } else if (cache) {
        sn_tls_cache[caches->tls_entry] = cache->next_of_entry;
        end_cache_locked(caches, cache);
    }
    sn_unlock(&registry);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

static uint64_t
bound(uint64_t bytes, uint64_t max_bytes, unsigned share)
{
    return max_bytes ? sn_min(bytes, max_bytes / share) : bytes;
}

void
sn_caches_set_bounds(struct sn_caches *caches, uint64_t thread_bytes, uint64_t total_bytes,
                     uint64_t max_bytes)
{
    sn_store_relaxed(&caches->thread_bytes_max, bound(thread_bytes, max_bytes, SN_CACHE_SHARE));
    sn_store_relaxed(&caches->total_bytes_max, bound(total_bytes, max_bytes, SN_CACHE_TOTAL_SHARE));
    sn_store_relaxed(&caches->handover_bytes,
                     bound(SN_LIMBO_HANDOVER_BYTES, max_bytes, SN_LIMBO_HANDOVER_SHARE));
    sn_store_relaxed(&caches->urgent_bytes,
                     bound(SN_LIMBO_URGENT_BYTES, max_bytes, SN_LIMBO_URGENT_SHARE));
}

void
sn_caches_init(struct sn_caches *caches, struct sn_heap *heap, const void *store, bool hardened)
{
    static size_t last_entry;
    caches->tls_entry = __atomic_add_fetch(&last_entry, 1, __ATOMIC_RELAXED) % SN_TLS_ENTRIES;
    caches->open_gate = sn_os_membarrier_init()
                            ? (uintptr_t)store + (hardened ? SN_GATE_HARDENED : 0)
                            : SN_GATE_FENCED;
    caches->heap = heap;
    sn_caches_set_bounds(caches, UINT64_MAX / 4, UINT64_MAX / 4, 0);
    sn_lock_init(&caches->lock, SN_RANK_CACHES);
    caches->fallback = &caches->fallback_cache;
    sn_cache_set_index_count(caches->fallback, 0);
    sn_budget_charge(heap->pool->budget, sizeof(*caches->fallback), SN_CHARGE_ALWAYS);
    caches->fallback->shared = true; /* never entered: its gate stays shut */
}

/* Its store ends. */
static void
let_go(struct sn_thread_cache *cache)
{
    sn_store_relaxed(&cache->caches, NULL);
    sn_store_relaxed(&cache->gate, SN_GATE_SHUT); /* another store may have the address */
    if (cache->gone)
        free_orphan(cache);
}

void
sn_caches_destroy(struct sn_caches *caches)
{
    struct sn_thread_cache *next;
    sn_lock(&registry);
    stores_ended++;
    for (struct sn_thread_cache *cache = caches->all; cache; cache = next) {
        next = cache->next;
        let_go(cache);
    }
    sn_unlock(&registry);
    sn_limbo_free_chunks(caches, &caches->limbo);
    sn_lock_destroy(&caches->lock);
}

void
sn_caches_begin_child(void)
{
    sn_lock_init(&registry, SN_RANK_REGISTRY);
}

/* The other threads are gone. What they have set aside is nobody's, nor are their caches; but of
 * one that was inside, arrays may have been freed and not yet forgotten: it is left alone. */
static void
end_others(struct sn_caches *caches)
{
    struct sn_budget *budget = caches->heap->pool->budget;
    const struct sn_thread_cache *own = find_mine(caches);
    uint64_t kept = own ? own->prepared : 0;
    sn_budget_refund(budget, sn_load_relaxed(&budget->prepared) - kept);
    sn_store_relaxed(&budget->prepared, kept);
    for (struct sn_thread_cache *cache = caches->all; cache; cache = cache->next) {
        cache->prepared = cache == own ? kept : 0;
        cache->gone = cache != own && sn_load_relaxed(&cache->phase) != SN_CACHE_INSIDE;
    }
}

void
sn_caches_after_fork_child(struct sn_caches *caches)
{
    /* A walk of another thread ended with the fork. So did workers, outside of the locks that they
     * work under. Owners that were inside a call stay so, for sums and drainers: what they were
     * changing will never be whole. */
    caches->walkers = 0;
    caches->workers = 0;
    end_others(caches);
    for (struct sn_thread_cache *cache = caches->all; cache; cache = cache->next)
        sn_cache_open_gate(caches, cache);
}
