/* SPDX-License-Identifier: MIT */
/* limbo.c - see limbo.h. */
#include "thread/limbo.h"

/* ---- chunks ---------------------------------------------------------------------------------- */

static void
refund_chunk(struct sn_caches *caches)
{
    sn_sub_relaxed(&caches->arrays_bytes, sizeof(struct sn_limbo_chunk));
    sn_budget_refund(caches->heap->pool->budget, sizeof(struct sn_limbo_chunk));
}

void
sn_limbo_free_chunk(struct sn_caches *caches, struct sn_limbo_chunk *chunk)
{
    sn_os_free(chunk);
    refund_chunk(caches);
}

/* Nothing is in limbo: the first slot takes the slow path, which tells the grace-period thread. */
static void
close_limbo(struct sn_thread_cache *cache)
{
    cache->limbo_room = 0;
    cache->chunk = NULL;
    cache->limbo_head = 0;
    /* Release: who sees it, and then looks at the caches' sum, finds there what was handed over. */
    sn_store_release(&cache->limbo_bytes, 0);
}

_Static_assert(SN_LIMBO_HANDOVER_BYTES / SN_LIMBO_LEAST_BYTES + 2 <= SN_LIMBO_CHUNK_SLOTS,
               "a chunk has room for all slots up to the one that hands it over");

/* Fast frees go on while there is room: who finds none hands over. */
static void
open_limbo(const struct sn_caches *caches, struct sn_thread_cache *cache, uint64_t *link)
{
    struct sn_limbo_chunk *chunk = cache->spare;
    cache->chunk = chunk;
    cache->spare = NULL;
    cache->wants_spare = true;
    cache->limbo_top = chunk ? chunk->slot : &cache->limbo_head;
    cache->limbo_step = chunk ? sizeof(chunk->slot[0]) : 0;
    cache->limbo_room = (int64_t)sn_load_relaxed(&caches->handover_bytes);
    cache->limbo_end = link;
}

void
sn_limbo_drop_spare(struct sn_caches *caches, struct sn_thread_cache *cache)
{
    if (!cache->spare)
        return;
    sn_limbo_free_chunk(caches, cache->spare);
    cache->spare = NULL;
    cache->wants_spare = true;
}

/* A chunk must not take the last room below the limit, which an allocation needs: a block's. */
static bool
charge_chunk(struct sn_caches *caches)
{
    struct sn_budget *budget = caches->heap->pool->budget;
    uint64_t bytes = sizeof(struct sn_limbo_chunk);
    if (sn_budget_lacks(budget, SN_BLOCK_BYTES + bytes, SN_CHARGE_APPLICATION) > 0 ||
        !sn_budget_charge(budget, bytes, SN_CHARGE_APPLICATION))
        return false;
    sn_add_relaxed(&caches->arrays_bytes, bytes);
    return true;
}

/* NULL: no memory, or max_bytes. */
static struct sn_limbo_chunk *
make_chunk(struct sn_caches *caches)
{
    if (!charge_chunk(caches))
        return NULL;
    struct sn_limbo_chunk *chunk = sn_os_zalloc(sizeof(*chunk));
    if (!chunk)
        refund_chunk(caches);
    return chunk;
}

void
sn_limbo_provide_spare(struct sn_caches *caches, struct sn_thread_cache *cache)
{
    if (sn_likely(!cache->wants_spare))
        return;
    cache->spare = make_chunk(caches);
    cache->wants_spare = !cache->spare;
    if (cache->spare && cache->limbo_bytes > 0 && !cache->chunk) { /* they are linked */
        sn_cache_hand_over(caches, cache);
        caches->retired(caches, false);
    }
}

/* ---- handing over ---------------------------------------------------------------------------- */

/* Pushes a list of retired slots on one of the store's stacks; which one, its newest slot says. */
static void
push_list(struct sn_caches *caches, uint64_t head, uint64_t *end)
{
    /* By a hash: slots of one class share their lowest bits. */
    uint64_t *stack =
        &caches->limbo.list[head * UINT64_C(0x9e3779b97f4a7c15) >> 32 & (SN_LIMBO_LISTS - 1)];
    uint64_t top = sn_load_relaxed(stack);
    /* Release: orders the links before the list's publication; pairs with the acquire in
     * sn_limbo_take. Without it the grace-period thread could follow a stale link. */
    do
        sn_store_relaxed(end, top << 8);
    while (
        !__atomic_compare_exchange_n(stack, &top, head, true, __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

static void
push_chunk(struct sn_caches *caches, struct sn_limbo_chunk *chunk)
{
    struct sn_limbo_chunk **stack = &caches->limbo.chunks;
    chunk->next = sn_load_relaxed(stack);
    /* Release: orders the slots, and all that their objects' ends have written, before the chunk's
     * publication; pairs with the acquire in sn_limbo_take. */
    while (!__atomic_compare_exchange_n(stack, &chunk->next, chunk, true, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED))
        ;
}

void
sn_cache_hand_over(struct sn_caches *caches, struct sn_thread_cache *cache)
{
    if (cache->limbo_bytes == 0)
        return;
    /* First here: who sums up counts what is on its way twice rather than not at all. */
    sn_add_relaxed(&caches->limbo_bytes, cache->limbo_bytes);
    if (cache->chunk) {
        cache->chunk->count = (uint32_t)(cache->limbo_top - cache->chunk->slot);
        push_chunk(caches, cache->chunk);
    } else {
        push_list(caches, cache->limbo_head, cache->limbo_end);
    }
    close_limbo(cache);
}

bool
sn_limbo_any(const struct sn_caches *caches)
{
    bool any = sn_load_relaxed(&caches->limbo.chunks) != NULL;
    for (unsigned i = 0; i < SN_LIMBO_LISTS; i++)
        any |= sn_load_relaxed(&caches->limbo.list[i]) != 0;
    return any;
}

bool
sn_limbo_take(struct sn_caches *caches, struct sn_limbo *taken)
{
    /* Acquire: pairs with the release of those who have pushed. */
    taken->chunks = __atomic_exchange_n(&caches->limbo.chunks, NULL, __ATOMIC_ACQUIRE);
    bool any = taken->chunks != NULL;
    for (unsigned i = 0; i < SN_LIMBO_LISTS; i++) {
        taken->list[i] = __atomic_exchange_n(&caches->limbo.list[i], 0, __ATOMIC_ACQUIRE);
        any |= taken->list[i] != 0;
    }
    return any;
}

void
sn_limbo_free_chunks(struct sn_caches *caches, struct sn_limbo *limbo)
{
    while (limbo->chunks) {
        struct sn_limbo_chunk *chunk = limbo->chunks;
        limbo->chunks = chunk->next;
        sn_limbo_free_chunk(caches, chunk);
    }
}

/* ---- retiring -------------------------------------------------------------------------------- */

/* Hands a slot over that no thread keeps. */
static void
retire_for_all(struct sn_caches *caches, uint64_t slot, uint64_t *link, uint64_t bytes)
{
    sn_add_relaxed(&caches->limbo_bytes, bytes);
    push_list(caches, slot, link);
    caches->retired(caches, false);
}

void
sn_cache_retire(struct sn_caches *caches, struct sn_thread_cache *cache, bool entered,
                uint64_t slot, uint64_t bytes)
{
    uint64_t *link = sn_header_of(caches->heap->pool, slot);
    if (!entered || cache->shared) {
        retire_for_all(caches, slot, link, bytes);
        return;
    }
    bool first = cache->limbo_bytes == 0;
    if (first)
        open_limbo(caches, cache, link);
    sn_cache_put_in_limbo(cache, slot, link);
    cache->limbo_room -= (int64_t)sn_max(bytes, SN_LIMBO_LEAST_BYTES);
    sn_owner_add(&cache->limbo_bytes, bytes);
    if (cache->limbo_room <= 0) {
        sn_cache_hand_over(caches, cache);
        caches->retired(caches, sn_load_relaxed(&caches->limbo_bytes) >=
                                    sn_load_relaxed(&caches->urgent_bytes));
    } else if (first) {
        caches->retired(caches, false);
    }
}
