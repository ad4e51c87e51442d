/* SPDX-License-Identifier: MIT */
/* guard.c - see guard.h. */
#include "memory/guard.h"

#include "os/osmem.h"

/* Of so many spans of slots one gets a guard, so that about 32 MiB lie between two. Each costs the
 * huge page that it lies in: with one in 64 spans, every second huge page, the benchmark T1 lost a
 * tenth of its operations to misses of the TLB. And setting or lifting it interrupts the other
 * processors that the process runs on, some microseconds each time. */
#define SLOT_SPANS_EACH 512

static uint32_t guards; /* atomic; of all stores */

/* Counts one guard more. False: the process has as many as it may; spans of slots may use half of
 * them, the rest is for large objects. */
static bool
try_reserve(struct sn_pool *pool, bool large)
{
    uint32_t bound = large ? SN_GUARDS_MAX : SN_GUARDS_MAX / 2;
    if (__atomic_add_fetch(&guards, 1, __ATOMIC_RELAXED) > bound) {
        sn_sub_relaxed(&guards, 1);
        return false;
    }
    sn_add_relaxed(&pool->guards, 1);
    return true;
}

uint32_t
sn_guard_blocks(struct sn_pool *pool, uint32_t blocks, uint32_t pages, bool large, bool *reserved)
{
    *reserved = false;
    if (sn_likely(!pool->has_guards))
        return blocks;
    bool turn =
        large || __atomic_fetch_add(&pool->guard_turn, 1, __ATOMIC_RELAXED) % SLOT_SPANS_EACH == 0;
    *reserved = turn && try_reserve(pool, large);
    return blocks + (*reserved && pages == blocks * SN_BLOCK_PAGES);
}

void
sn_guard_cancel(struct sn_pool *pool)
{
    sn_sub_relaxed(&guards, 1);
    sn_sub_relaxed(&pool->guards, 1);
}

static bool
protect(const struct sn_pool *pool, uint32_t number, uint32_t from_page, bool accessible)
{
    const struct sn_span *span = &pool->spans[number];
    uint64_t from = (uint64_t)from_page << SN_PAGE_SHIFT;
    uint64_t end = (uint64_t)span->blocks << SN_BLOCK_SHIFT;
    return sn_os_protect(pool->arena + sn_span_offset(number) + from, end - from, accessible);
}

void
sn_guard_raise(struct sn_pool *pool, uint32_t number, uint32_t pages)
{
    if (protect(pool, number, pages, false))
        pool->spans[number].flags |= SN_SPAN_GUARDED;
    else
        sn_guard_cancel(pool);
}

bool
sn_guard_lower(struct sn_pool *pool, uint32_t number)
{
    if (sn_likely(!(pool->spans[number].flags & SN_SPAN_GUARDED)))
        return true;
    if (!protect(pool, number, 0, true))
        return false;
    sn_guard_cancel(pool);
    return true;
}

void
sn_guard_end(struct sn_pool *pool)
{
    sn_sub_relaxed(&guards, pool->guards);
    pool->guards = 0;
}
