/* SPDX-License-Identifier: MIT */
/*
 * drain.c - what others than the owner do with thread caches: drain what idle and blocked
 * threads hold, keep owners out for a walk, sum up what all have counted. How they keep apart from
 * an owner at work stands in thread_cache.h.
 */
#include <string.h>

#include "thread/drain.h"
#include "thread/limbo.h"
#include "thread/refill.h"
#include <sinter/handle.h>

#define BACK_BATCH 64 /* slots given to the heap at once, at most */

/* ---- draining -------------------------------------------------------------------------------- */

/* False: no barrier could be had. An owner may be inside whatever its phase says. */
static bool
lock_out_locked(struct sn_caches *caches)
{
    for (struct sn_thread_cache *cache = caches->all; cache; cache = cache->next)
        sn_store_relaxed(&cache->gate, SN_GATE_SHUT);
    /* Every owner that runs now has either shown itself inside or will see its gate shut. */
    bool known = sn_os_membarrier();
    sn_hook(SN_HOOK_CACHE_DRAIN, caches);
    return known;
}

static void
let_in_locked(struct sn_caches *caches)
{
    for (struct sn_thread_cache *cache = caches->all; cache; cache = cache->next)
        sn_cache_open_gate(caches, cache);
}

/* An owner inside is soon out, unless it lost the processor: look a little longer, then skip it. */
static bool
owner_is_out(const struct sn_thread_cache *cache)
{
    for (int i = 0; i < 100; i++) {
        /* Acquire: pairs with the release in sn_cache_leave. */
        if (sn_load_acquire(&cache->phase) != SN_CACHE_INSIDE)
            return true;
        sn_cpu_relax();
    }
    return false;
}

/* Whether a cache that is locked out is the caller's to work on. Without a barrier that is known of
 * its own only, which is enough for what the caller itself has freed, and waits for. */
static bool
is_drainers(const struct sn_caches *caches, const struct sn_thread_cache *cache, bool known)
{
    return (known || cache == sn_tls_cache[caches->tls_entry]) && owner_is_out(cache);
}

bool
sn_caches_drain_limbo(struct sn_caches *caches, struct sn_limbo *taken)
{
    uint32_t skipped = 0;
    sn_lock(&caches->lock);
    bool known = lock_out_locked(caches);
    for (struct sn_thread_cache *cache = caches->all; cache; cache = cache->next) {
        if (is_drainers(caches, cache, known))
            sn_cache_hand_over(caches, cache);
        else
            skipped += known && sn_load_relaxed(&cache->limbo_bytes) > 0;
    }
    if (skipped > 0)
        sn_add_relaxed(&caches->limbo_skips, skipped);
    let_in_locked(caches);
    sn_unlock(&caches->lock);
    return sn_limbo_take(caches, taken);
}

/* Keeps the slots of open spans, gives back those of closed ones. */
static void
filter_closed(struct sn_caches *caches, struct sn_thread_cache *cache)
{
    uint64_t back[BACK_BATCH];
    const struct sn_pool *pool = caches->heap->pool;
    for (unsigned i = 0; i < caches->heap->classes->count; i++) {
        const struct sn_bin *bin = &cache->bin[i];
        uint32_t kept = 0, gone = 0, count = sn_cache_count(cache, i);
        for (uint32_t k = 0; k < count; k++) {
            uint64_t slot = bin->slots[k];
            /* Only OPEN spans have a bin: in the others the slot is looked at closer. */
            bool closed = sn_load_relaxed(&pool->bin_class[sn_block_of(slot)]) != i &&
                          sn_span_state(sn_span_at(pool, slot)) == SN_SPAN_CLOSED;
            if (!closed)
                bin->slots[kept++] = slot;
            else
                back[gone++] = slot;
            if (gone == BACK_BATCH) {
                sn_heap_put(caches->heap, i, back, gone);
                gone = 0;
            }
        }
        sn_cache_set_count(cache, i, kept);
        if (gone > 0)
            sn_heap_put(caches->heap, i, back, gone);
    }
}

/* Housekeeping has seen that the owner was here; as long as it stays away the cache is idle. */
static void
note_use(struct sn_thread_cache *cache)
{
    /* By CAS: an owner that comes in meanwhile must not lose its mark. */
    uint32_t used = SN_CACHE_USED;
    (void)sn_cas_acq_rel(&cache->phase, &used, SN_CACHE_IDLE);
}

unsigned
sn_caches_drain(struct sn_caches *caches, bool only_closed, bool only_idle, bool *any_active)
{
    unsigned skipped = 0;
    bool active = false;
    sn_caches_begin_work(caches);
    sn_lock(&caches->lock);
    bool known = lock_out_locked(caches);
    for (struct sn_thread_cache *cache = caches->all; cache; cache = cache->next) {
        if (only_idle && sn_load_relaxed(&cache->phase) != SN_CACHE_IDLE) {
            note_use(cache);
            active = true;
        } else if (!is_drainers(caches, cache, known)) {
            skipped++;
        } else if (only_closed) {
            filter_closed(caches, cache);
        } else {
            sn_cache_empty(caches, cache);
            if (!known)
                sn_cache_hand_over(caches, cache); /* the grace-period thread can not take it */
        }
    }
    let_in_locked(caches);
    sn_unlock(&caches->lock);
    sn_caches_end_work(caches);
    if (any_active)
        *any_active = active || skipped > 0;
    return skipped;
}

uint64_t
sn_caches_drain_class(struct sn_caches *caches, unsigned class_id)
{
    uint64_t taken = 0;
    sn_caches_begin_work(caches);
    sn_lock(&caches->lock);
    bool known = lock_out_locked(caches);
    for (struct sn_thread_cache *cache = caches->all; cache; cache = cache->next) {
        if (is_drainers(caches, cache, known))
            taken += sn_cache_empty_bin(caches, cache, class_id);
    }
    let_in_locked(caches);
    sn_unlock(&caches->lock);
    sn_caches_end_work(caches);
    return taken;
}

bool
sn_caches_lock_out(struct sn_caches *caches)
{
    sn_lock(&caches->lock);
    sn_add_relaxed(&caches->walkers, 1);
    bool known = lock_out_locked(caches);
    sn_unlock(&caches->lock);
    if (!known)
        sn_caches_let_in(caches);
    return known;
}

void
sn_caches_let_in(struct sn_caches *caches)
{
    sn_lock(&caches->lock);
    if (sn_load_relaxed(&caches->walkers) > 0) { /* 0: a callback forked, this is the child */
        /* Release: pairs with the acquire in sn_object_reuse; the walker's reads come before. */
        (void)__atomic_fetch_sub(&caches->walkers, 1, __ATOMIC_RELEASE);
        let_in_locked(caches);
    }
    sn_unlock(&caches->lock);
}

bool
sn_caches_are_active(struct sn_caches *caches)
{
    bool active = sn_limbo_any(caches);
    sn_lock(&caches->lock);
    for (struct sn_thread_cache *cache = caches->all; cache; cache = cache->next)
        active |= sn_load_relaxed(&cache->phase) != SN_CACHE_IDLE;
    sn_unlock(&caches->lock);
    return active;
}

/* ---- sums ------------------------------------------------------------------------------------ */

static void
add_one(const struct sn_caches *caches, const struct sn_thread_cache *cache,
        struct sn_cache_sums *sums)
{
    sums->indexes += sn_cache_index_count(cache);
    sums->limbo_bytes += sn_load_acquire(&cache->limbo_bytes); /* as in sn_caches_limbo */
    bool inside = !cache->shared && sn_load_acquire(&cache->phase) == SN_CACHE_INSIDE;
    sums->busy += inside || sn_load_acquire(&cache->pending) != 0;
    sums->frees += sn_cache_frees(cache);
    sums->reserved += sn_load_relaxed(&cache->reserved);
    for (unsigned i = 0; i < caches->heap->classes->count; i++) {
        sums->live[i] += sn_cache_live_delta(cache, i);
        sums->cached[i] += sn_cache_count(cache, i);
    }
}

void
sn_caches_sum(struct sn_caches *caches, struct sn_cache_sums *sums)
{
    memset(sums, 0, sizeof(*sums));
    sn_lock(&caches->lock);
    bool known = lock_out_locked(caches);
    sums->busy += !known;
    add_one(caches, caches->fallback, sums);
    for (const struct sn_thread_cache *cache = caches->all; cache; cache = cache->next)
        add_one(caches, cache, sums);
    sums->threads = caches->threads;
    sums->busy += sn_load_acquire(&caches->workers);
    let_in_locked(caches);
    sn_unlock(&caches->lock);
    sums->unreclaimable_bytes = sn_load_relaxed(&caches->unreclaimable_bytes);
    sums->limbo_bytes += sn_load_relaxed(&caches->limbo_bytes) + sums->unreclaimable_bytes;
    /* A publish may be seen whose reservation, by another thread, was looked for too early. */
    sums->reserved = sn_at_least_zero(sums->reserved);
}

static void
add_estimate(const struct sn_caches *caches, const struct sn_thread_cache *cache,
             struct sn_cache_estimate *estimate)
{
    bool idle = sn_load_relaxed(&cache->phase) == SN_CACHE_IDLE;
    estimate->limbo_bytes += sn_load_acquire(&cache->limbo_bytes); /* as in sn_caches_limbo */
    estimate->indexes += sn_cache_index_count(cache);
    if (cache->shared)
        return; /* it has no bins */
    for (unsigned n = sn_heap_used_classes(caches->heap); n > 0; n--) {
        unsigned i = caches->heap->used_class[n - 1];
        uint32_t cached = sn_cache_count(cache, i);
        estimate->cached[i] += cached;
        estimate->idle[i] += idle ? cached : 0;
    }
}

static void
count_out(const struct sn_caches *caches, const struct sn_thread_cache *cache,
          struct sn_cache_estimate *estimate)
{
    for (unsigned i = 0; i < caches->heap->classes->count; i++)
        estimate->out[i] += sn_cache_out(cache, i);
}

bool
sn_caches_any_inside(struct sn_caches *caches)
{
    bool any = false;
    sn_lock(&caches->lock);
    for (const struct sn_thread_cache *cache = caches->all; cache && !any; cache = cache->next)
        any = sn_load_relaxed(&cache->phase) == SN_CACHE_INSIDE &&
              sn_load_relaxed(&cache->limbo_bytes) > 0;
    sn_unlock(&caches->lock);
    sn_add_relaxed(&caches->limbo_skips, any);
    return any;
}

void
sn_caches_estimate(struct sn_caches *caches, struct sn_cache_estimate *estimate)
{
    memset(estimate, 0, sizeof(*estimate));
    sn_lock(&caches->lock);
    add_estimate(caches, caches->fallback, estimate);
    for (const struct sn_thread_cache *cache = caches->all; cache; cache = cache->next)
        add_estimate(caches, cache, estimate);
    /* Last: a list that was handed over meanwhile is not missed, but may count twice. */
    estimate->limbo_bytes += sn_load_acquire(&caches->limbo_bytes);
    if (estimate->limbo_bytes > 0) {
        count_out(caches, caches->fallback, estimate);
        for (const struct sn_thread_cache *cache = caches->all; cache; cache = cache->next)
            count_out(caches, cache, estimate);
    }
    sn_unlock(&caches->lock);
}

bool
sn_caches_hold_class(struct sn_caches *caches, unsigned class_id)
{
    bool any = false;
    sn_lock(&caches->lock);
    for (const struct sn_thread_cache *cache = caches->all; cache && !any; cache = cache->next)
        any = sn_cache_count(cache, class_id) > 0;
    sn_unlock(&caches->lock);
    return any;
}

bool
sn_caches_hold_indexes(struct sn_caches *caches)
{
    sn_lock(&caches->lock);
    bool any = sn_cache_index_count(caches->fallback) > 0;
    for (const struct sn_thread_cache *cache = caches->all; cache && !any; cache = cache->next)
        any = sn_cache_index_count(cache) > 0;
    sn_unlock(&caches->lock);
    return any;
}

static void
add_live(const struct sn_caches *caches, const struct sn_thread_cache *cache, uint64_t *live)
{
    for (unsigned n = sn_heap_used_classes(caches->heap); n > 0; n--) {
        unsigned i = caches->heap->used_class[n - 1];
        live[i] += sn_cache_live_delta(cache, i);
    }
}

void
sn_caches_live(struct sn_caches *caches, uint64_t live[SN_CLASSES_MAX])
{
    memset(live, 0, SN_CLASSES_MAX * sizeof(*live));
    sn_lock(&caches->lock);
    add_live(caches, caches->fallback, live);
    for (const struct sn_thread_cache *cache = caches->all; cache; cache = cache->next)
        add_live(caches, cache, live);
    sn_unlock(&caches->lock);
}

uint64_t
sn_caches_limbo(struct sn_caches *caches)
{
    uint64_t bytes = 0;
    sn_lock(&caches->lock);
    for (const struct sn_thread_cache *cache = caches->all; cache; cache = cache->next)
        /* Acquire: pairs with the release when it is handed over; the sum is looked at later. */
        bytes += sn_load_acquire(&cache->limbo_bytes);
    sn_unlock(&caches->lock);
    return bytes + sn_load_acquire(&caches->limbo_bytes); /* last: as in sn_caches_estimate */
}

uint64_t
sn_caches_reclaimable_max(struct sn_caches *caches)
{
    return sn_load_relaxed(&caches->total_cap_bytes) + sn_caches_limbo(caches);
}

uint64_t
sn_caches_frees(struct sn_caches *caches)
{
    sn_lock(&caches->lock);
    uint64_t frees = sn_cache_frees(caches->fallback);
    for (const struct sn_thread_cache *cache = caches->all; cache; cache = cache->next)
        frees += sn_cache_frees(cache);
    sn_unlock(&caches->lock);
    return frees;
}
