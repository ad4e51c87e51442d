/* SPDX-License-Identifier: MIT */
/* refill.c - see thread/refill.h. */
#include "thread/refill.h"

#include <string.h>

#include "memory/policy.h"
#include "thread/limbo.h"

#define HANDOVER_BATCH 64 /* slots moved between a bin and the heap at once, at most */

/* ---- arrays ---------------------------------------------------------------------------------- */

/* The bin has an array of `cap` slots, of which `count` are filled. */
static void
set_slots(struct sn_thread_cache *cache, unsigned class_id, uint64_t *slots, uint32_t count,
          uint32_t cap)
{
    struct sn_bin *bin = &cache->bin[class_id];
    bin->cap = cap;
    sn_store_relaxed(&bin->slots, slots);
    sn_store_relaxed(&cache->top[class_id], slots + count);
    cache->end[class_id] = slots + cap;
}

static void
set_no_slots(struct sn_thread_cache *cache, unsigned class_id)
{
    set_slots(cache, class_id, cache->no_slots + 1, 0, 0);
}

/* The stack of indexes has an array of `cap`, of which `count` are filled. */
static void
set_indexes(struct sn_thread_cache *cache, uint64_t *indexes, uint32_t count, uint32_t cap)
{
    sn_store_relaxed(&cache->indexes, indexes);
    sn_store_relaxed(&cache->index_top, indexes + count);
    cache->index_end = indexes + cap;
}

static void
set_slot_bytes(struct sn_bin *bin, uint32_t bytes)
{
    bin->slot_bytes = bytes;
    bin->limbo_bytes = (uint32_t)sn_max(bytes, SN_LIMBO_LEAST_BYTES);
}

void
sn_cache_init_stacks(struct sn_thread_cache *cache, const struct sn_classes *classes)
{
    set_indexes(cache, cache->own_indexes + 1, 0, SN_CACHE_INDEXES);
    for (unsigned i = 0; i < SN_STACKS; i++)
        cache->top[i] = cache->end[i] = cache->no_slots + 1;
    for (unsigned i = 0; i < SN_CLASSES_MAX; i++)
        set_no_slots(cache, i);
    for (unsigned i = 0; i < classes->count; i++)
        set_slot_bytes(&cache->bin[i], classes->of[i].slot_bytes);
}

/* Bytes of an array; 0: there is none. */
static uint64_t
array_bytes(uint32_t cap)
{
    return cap == 0 ? 0 : (cap + UINT64_C(1)) * sizeof(uint64_t);
}

/* Length of the array of indexes that was allocated; 0: they lie in own_indexes. */
static uint32_t
index_cap(const struct sn_thread_cache *cache)
{
    bool own = cache->indexes == cache->own_indexes + 1;
    return own ? 0 : (uint32_t)(cache->index_end - cache->indexes);
}

/* The indexes lie in own_indexes again, and there are none. Result: bytes of the array that was
 * freed. */
static uint64_t
free_index_array(struct sn_thread_cache *cache)
{
    uint64_t bytes = array_bytes(index_cap(cache));
    if (bytes > 0)
        sn_os_free(cache->indexes - 1);
    set_indexes(cache, cache->own_indexes + 1, 0, SN_CACHE_INDEXES);
    return bytes;
}

void
sn_cache_free_arrays(struct sn_caches *caches, struct sn_thread_cache *cache)
{
    uint64_t bytes = free_index_array(cache);
    for (unsigned i = 0; i < SN_CLASSES_MAX; i++) {
        const struct sn_bin *bin = &cache->bin[i];
        bytes += array_bytes(bin->cap);
        if (bin->cap > 0)
            sn_os_free(bin->slots - 1);
        set_no_slots(cache, i); /* the next push takes the slow path, and is noticed */
    }
    if (caches && bytes > 0) {
        sn_sub_relaxed(&caches->arrays_bytes, bytes);
        sn_budget_refund(caches->heap->pool->budget, bytes);
    }
}

/* ---- growth ---------------------------------------------------------------------------------- */

uint32_t
sn_cache_empty_bin(struct sn_caches *caches, struct sn_thread_cache *cache, unsigned class_id)
{
    uint32_t count = sn_cache_count(cache, class_id);
    if (count > 0)
        sn_heap_put(caches->heap, class_id, cache->bin[class_id].slots, count);
    sn_cache_set_count(cache, class_id, 0);
    return count;
}

/* Whether the thread's budget, of which bursts leave one half to other bins, and the store's allow
 * a bin so many bytes more; then these are counted. */
static bool
may_grow(struct sn_caches *caches, struct sn_thread_cache *cache, uint64_t more, bool burst)
{
    uint64_t most = sn_policy_thread_bytes(sn_load_relaxed(&caches->thread_bytes_max),
                                           sn_load_relaxed(&caches->total_bytes_max),
                                           sn_load_relaxed(&caches->threads)) /
                    (burst ? 2 : 1);
    if (cache->cap_bytes + more > most)
        return false;
    uint64_t total = __atomic_add_fetch(&caches->total_cap_bytes, more, __ATOMIC_RELAXED);
    if (total > sn_load_relaxed(&caches->total_bytes_max)) {
        sn_sub_relaxed(&caches->total_cap_bytes, more);
        return false;
    }
    cache->cap_bytes += more;
    return true;
}

/* An array instead of one of old_cap, charged; NULL: no memory, or max_bytes. */
static uint64_t *
make_array(struct sn_caches *caches, uint32_t old_cap, uint32_t cap)
{
    uint64_t bytes = array_bytes(cap) - array_bytes(old_cap);
    uint64_t *array = sn_os_zalloc(array_bytes(cap));
    if (!array)
        return NULL;
    if (!sn_budget_charge(caches->heap->pool->budget, bytes, SN_CHARGE_APPLICATION)) {
        sn_os_free(array);
        return NULL;
    }
    sn_add_relaxed(&caches->arrays_bytes, bytes);
    return array + 1;
}

/* A bin is as it was before the first use. The owner is inside. */
static void
drop_bin(struct sn_caches *caches, struct sn_thread_cache *cache, unsigned class_id)
{
    const struct sn_bin *bin = &cache->bin[class_id];
    uint64_t bytes = array_bytes(bin->cap);
    uint64_t cap_bytes = (uint64_t)bin->cap * caches->heap->classes->of[class_id].slot_bytes;
    (void)sn_cache_empty_bin(caches, cache, class_id);
    sn_os_free(bin->slots - 1);
    set_no_slots(cache, class_id);
    sn_sub_relaxed(&caches->arrays_bytes, bytes);
    sn_budget_refund(caches->heap->pool->budget, bytes);
    sn_sub_relaxed(&caches->total_cap_bytes, cap_bytes);
    cache->cap_bytes -= cap_bytes;
}

/*
 * The budgets have refused to let a bin grow: now and then another one is dropped for it, as sizes
 * that a thread used once may have taken all. Which one, a clock says (the second-chance algorithm,
 * Corbato 1968): its hand passes over bins that have changed since it came by.
 */
static void
age_bins(struct sn_caches *caches, struct sn_thread_cache *cache, unsigned class_id)
{
    uint32_t classes = caches->heap->classes->count;
    if (++cache->refusals % SN_CACHE_REFUSALS != 0)
        return;
    for (uint32_t looks = 0; looks < classes; looks++) {
        uint32_t hand = cache->hand = (cache->hand + 1) % classes;
        const uint64_t *top = cache->top[hand];
        bool changed = cache->seen_top[hand] != top;
        cache->seen_top[hand] = top;
        if (hand == class_id || cache->bin[hand].cap == 0 || changed)
            continue;
        drop_bin(caches, cache, hand);
        return;
    }
}

/* Doubles the bin's bound, if the budgets and memory allow it. The owner is inside. */
static void
try_grow(struct sn_caches *caches, struct sn_thread_cache *cache, unsigned class_id, bool bursts)
{
    struct sn_bin *bin = &cache->bin[class_id];
    const struct sn_class *c = &caches->heap->classes->of[class_id];
    uint32_t cap = sn_policy_bin_cap(c, bin->cap, bursts);
    uint64_t more = (uint64_t)(cap - bin->cap) * c->slot_bytes;
    if (more == 0)
        return;
    if (!may_grow(caches, cache, more, cap > c->cache_slots)) {
        age_bins(caches, cache, class_id);
        return;
    }
    uint64_t *slots = make_array(caches, bin->cap, cap);
    if (!slots) {
        sn_sub_relaxed(&caches->total_cap_bytes, more);
        cache->cap_bytes -= more;
        return;
    }
    uint32_t count = sn_cache_count(cache, class_id);
    memcpy(slots, bin->slots, count * sizeof(slots[0]));
    if (bin->cap > 0)
        sn_os_free(bin->slots - 1);
    set_slots(cache, class_id, slots, count, cap);
}

bool
sn_cache_grow_indexes(struct sn_caches *caches, struct sn_thread_cache *cache)
{
    uint32_t old_cap = index_cap(cache), count = sn_cache_index_count(cache);
    bool bursts = cache->indexes_ran_dry && count * 2 <= SN_CACHE_BURST_SLOTS;
    cache->indexes_ran_dry = false;
    uint64_t *indexes = bursts ? make_array(caches, old_cap, count * 2) : NULL;
    if (!indexes)
        return false;
    memcpy(indexes, cache->indexes, count * sizeof(indexes[0]));
    if (old_cap > 0)
        sn_os_free(cache->indexes - 1);
    set_indexes(cache, indexes, count, count * 2);
    return true;
}

/* ---- refill and flush ------------------------------------------------------------------------ */

/* For the owner, inside: puts more into its empty bin. */
static void
refill_bin(struct sn_caches *caches, struct sn_thread_cache *cache, unsigned class_id)
{
    const struct sn_bin *bin = &cache->bin[class_id];
    try_grow(caches, cache, class_id, false);
    cache->ran_dry[class_id] = true;
    uint32_t want = (uint32_t)sn_min((bin->cap + 1) / 2, HANDOVER_BATCH);
    if (want < 2)
        return;
    uint32_t got =
        sn_heap_take(caches->heap, class_id, SN_MOVABLE, SN_CHARGE_APPLICATION, want, bin->slots);
    sn_cache_set_count(cache, class_id, got);
}

/* As a fast path would, but the caller counts the allocation. */
static uint64_t
pop_for_slow_path(struct sn_thread_cache *cache, unsigned class_id)
{
    uint64_t slot = sn_cache_pop(cache, class_id);
    if (slot != 0)
        sn_owner_sub(&cache->bin[class_id].bulk_in, 1);
    return slot;
}

uint64_t
sn_cache_refill(struct sn_caches *caches, struct sn_thread_cache *cache, unsigned class_id)
{
    uint64_t slot = 0;
    if (!cache->shared) {
        bool entered = sn_cache_enter(cache);
        bool first = entered && cache->bin[class_id].cap == 0;
        if (entered) {
            if (sn_cache_count(cache, class_id) == 0)
                refill_bin(caches, cache, class_id);
            slot = pop_for_slow_path(cache, class_id);
            if (sn_unlikely(cache->wants_spare))
                sn_limbo_provide_spare(caches, cache);
        }
        sn_cache_leave(cache);
        if (first)
            caches->retired(caches, false); /* there is a cache to watch */
    }
    return slot ? slot : sn_heap_take_one(caches->heap, class_id);
}

/* The older part of a full bin goes back: what was pushed last is warm. */
static void
flush_bin(struct sn_caches *caches, struct sn_thread_cache *cache, unsigned class_id)
{
    uint64_t *slots = cache->bin[class_id].slots;
    uint32_t all = sn_cache_count(cache, class_id);
    uint32_t count = (uint32_t)sn_min((all + 1) / 2, HANDOVER_BATCH);
    sn_heap_put(caches->heap, class_id, slots, count);
    memmove(slots, slots + count, (all - count) * sizeof(slots[0]));
    sn_cache_set_count(cache, class_id, all - count);
}

/* By whoever may change the cache. False: its bin has no room, whatever is tried. */
static bool
put_in_bin(struct sn_caches *caches, struct sn_thread_cache *cache, unsigned class_id,
           uint64_t slot)
{
    struct sn_bin *bin = &cache->bin[class_id];
    if (sn_likely(sn_cache_push(cache, class_id, slot)))
        return true;
    if (bin->cap == 0)
        caches->retired(caches, false); /* there is a cache to watch */
    try_grow(caches, cache, class_id, cache->ran_dry[class_id]);
    cache->ran_dry[class_id] = false;
    if (bin->cap > 0 && sn_cache_count(cache, class_id) == bin->cap)
        flush_bin(caches, cache, class_id);
    return sn_cache_push(cache, class_id, slot);
}

void
sn_cache_flush(struct sn_caches *caches, struct sn_thread_cache *cache, unsigned class_id,
               uint64_t slot)
{
    bool kept = false;
    if (!cache->shared) {
        kept = sn_cache_enter(cache) && put_in_bin(caches, cache, class_id, slot);
        if (kept)
            sn_owner_add(&cache->bin[class_id].bulk_in, 1); /* the caller counts its free */
        sn_cache_leave(cache);
    }
    if (!kept)
        sn_heap_put(caches->heap, class_id, &slot, 1);
}
