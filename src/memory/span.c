/* SPDX-License-Identifier: MIT */
/* span.c - see span.h. Free runs carry boundary tags: blocks in the first, head in the last. */
#include "memory/span.h"

#include <sinter/handle.h>

#include "base/hooks.h"
#include "base/probes.h"
#include "memory/dense.h"
#include "os/osmem.h"

#define DIRTY 1
#define CLEAN 0

_Static_assert(SN_GROUP_TABLE_AT / SN_GROUP_LINE_BYTES >= SN_BITMAP_LINES, "room for each line");
_Static_assert((size_t)SN_GROUP_BLOCKS *SN_LINE_WORDS * 8 == SN_GROUP_LINE_BYTES,
               "of a group's blocks");

size_t
sn_pool_spans_bytes(uint32_t blocks)
{
    return sn_round_up(blocks * sizeof(struct sn_span), SN_PAGE_BYTES);
}

size_t
sn_pool_groups_bytes(uint32_t blocks)
{
    return sn_round_up(blocks, SN_GROUP_BLOCKS) / SN_GROUP_BLOCKS * SN_GROUP_BYTES;
}

size_t
sn_pool_classes_bytes(uint32_t blocks)
{
    return sn_round_up((size_t)2 * blocks, SN_PAGE_BYTES);
}

/* ---- cores ----------------------------------------------------------------------------------- */

/* Steps in which what is used comes to be in cores, and in which the arena is extended: an eighth
 * of it, so that a core holds little that is not used, and it does not happen often. */
static uint32_t
step_blocks(uint32_t blocks)
{
    const uint32_t least = (uint32_t)(SN_ARENA_STEP_BYTES >> SN_BLOCK_SHIFT);
    return (uint32_t)sn_max(least, (uint64_t)blocks / 8 / least * least);
}

/* Shows blocks below `end` and their metadata. */
static void
show_locked(struct sn_pool *pool, uint32_t end)
{
    if (end <= pool->shown || pool->hidden)
        return;
    uint32_t from = pool->shown;
    uint32_t to = (uint32_t)sn_min(sn_max(end, from + step_blocks(from)), pool->limit);
    size_t groups = sn_pool_groups_bytes(to);
    if (!pool->bare)
        sn_os_show_in_core(pool->arena + sn_span_offset(from), sn_span_offset(to - from), true);
    sn_os_show_in_core(pool->spans, sn_pool_spans_bytes(to), true);
    sn_os_show_in_core(pool->groups_end - groups, groups, true);
    pool->shown = to;
}

/* ---- lists ----------------------------------------------------------------------------------- */

static struct sn_runs *
runs_like(struct sn_pool *pool, uint32_t first)
{
    return &pool->runs[sn_span_state(&pool->spans[first]) == SN_SPAN_DIRTY ? DIRTY : CLEAN];
}

static void
age_append_locked(struct sn_pool *pool, uint32_t first, uint64_t now_ns)
{
    struct sn_span *run = &pool->spans[first];
    run->u.since_ns = now_ns;
    run->v.age.next = 0;
    run->v.age.prev = pool->youngest;
    if (pool->youngest)
        pool->spans[pool->youngest].v.age.next = first;
    else
        pool->oldest = first;
    pool->youngest = first;
}

static void
age_remove_locked(struct sn_pool *pool, uint32_t first)
{
    struct sn_span *run = &pool->spans[first];
    if (run->v.age.next)
        pool->spans[run->v.age.next].v.age.prev = run->v.age.prev;
    else
        pool->youngest = run->v.age.prev;
    if (run->v.age.prev)
        pool->spans[run->v.age.prev].v.age.next = run->v.age.next;
    else
        pool->oldest = run->v.age.next;
}

/* A run takes another's place in the list by age, and is as old as that was: the list stays sorted.
 */
static void
age_replace_locked(struct sn_pool *pool, uint32_t old, uint32_t first)
{
    struct sn_span *run = &pool->spans[first];
    if (old == first)
        return;
    run->u.since_ns = pool->spans[old].u.since_ns;
    run->v.age = pool->spans[old].v.age;
    if (run->v.age.next)
        pool->spans[run->v.age.next].v.age.prev = first;
    else
        pool->youngest = first;
    if (run->v.age.prev)
        pool->spans[run->v.age.prev].v.age.next = first;
    else
        pool->oldest = first;
}

/* ---- free runs ------------------------------------------------------------------------------- */

/* Enters a free run into the lists: in the place of `old` by age, 0: free since now. */
static void
link_run_locked(struct sn_pool *pool, uint32_t first, uint32_t old, uint64_t now_ns)
{
    struct sn_span *run = &pool->spans[first];
    sn_span_set_head(&pool->spans[first + run->blocks - 1], first);
    sn_span_set_head(run, first);
    sn_runs_insert(runs_like(pool, first), pool->spans, first);
    if (sn_span_state(run) != SN_SPAN_DIRTY)
        return;
    if (old)
        age_replace_locked(pool, old, first);
    else
        age_append_locked(pool, first, now_ns);
}

/*
 * A free neighbour becomes part of a run that is being inserted. *old: the oldest part so far, 0:
 * the new one alone. The whole is as old as its oldest part: were it as young as the youngest, a
 * neighbour that comes and goes would put its purge off for ever.
 */
static void
absorb_locked(struct sn_pool *pool, uint32_t neighbour, uint32_t *old)
{
    sn_runs_remove(runs_like(pool, neighbour), pool->spans, neighbour);
    if (sn_span_state(&pool->spans[neighbour]) != SN_SPAN_DIRTY)
        return;
    uint32_t younger = 0;
    if (*old == 0)
        *old = neighbour;
    else if (pool->spans[neighbour].u.since_ns < pool->spans[*old].u.since_ns)
        younger = *old, *old = neighbour;
    else
        younger = neighbour;
    if (younger)
        age_remove_locked(pool, younger);
}

/* Inserts a free run, merged with free neighbours of its state. */
static void
insert_run_locked(struct sn_pool *pool, uint32_t first, uint64_t now_ns)
{
    struct sn_span *run = &pool->spans[first];
    uint32_t after = first + run->blocks;
    uint32_t old = 0;
    if (after < pool->blocks && sn_span_state(&pool->spans[after]) == sn_span_state(run)) {
        absorb_locked(pool, after, &old);
        run->blocks += pool->spans[after].blocks;
        run->class_id = SN_CLASS_NONE;
        sn_span_set_state(&pool->spans[after], SN_SPAN_NONE);
    }
    uint32_t before_last = first - 1;
    struct sn_span *before = &pool->spans[sn_span_head(&pool->spans[before_last])];
    if (before_last > 0 && sn_span_state(before) == sn_span_state(run) &&
        sn_span_number(pool, before) + before->blocks == first) {
        absorb_locked(pool, sn_span_number(pool, before), &old);
        before->blocks += run->blocks;
        before->class_id = SN_CLASS_NONE;
        sn_span_set_state(run, SN_SPAN_NONE);
        first = sn_span_number(pool, before);
    }
    link_run_locked(pool, first, old, now_ns);
}

/* Takes the first `blocks` blocks of a free run out of the lists; the rest stays, and its age. */
static void
split_off_locked(struct sn_pool *pool, uint32_t first, uint32_t blocks)
{
    struct sn_span *run = &pool->spans[first];
    uint8_t state = sn_span_state(run);
    sn_runs_remove(runs_like(pool, first), pool->spans, first);
    if (run->blocks > blocks) {
        struct sn_span *rest = &pool->spans[first + blocks];
        sn_span_set_state(rest, state);
        rest->blocks = run->blocks - blocks;
        rest->class_id = SN_CLASS_NONE;
        run->class_id = SN_CLASS_NONE;
        run->blocks = blocks;
        link_run_locked(pool, first + blocks, first, 0);
    } else if (state == SN_SPAN_DIRTY) {
        age_remove_locked(pool, first);
    }
    sn_span_set_head(&pool->spans[first + blocks - 1], first);
}

/* The first `pages` pages of a run, as seen by its block number `block`. */
static uint16_t
page_mask(uint32_t pages, uint32_t block)
{
    uint32_t before = block << SN_BLOCK_PAGES_SHIFT;
    if (pages <= before)
        return 0;
    uint32_t here = (uint32_t)sn_min(pages - before, SN_BLOCK_PAGES);
    return (uint16_t)((UINT32_C(1) << here) - 1);
}

uint32_t
sn_pool_missing_pages(const struct sn_pool *pool, uint32_t first, uint32_t from, uint32_t to)
{
    uint32_t missing = 0;
    for (uint32_t i = from >> SN_BLOCK_PAGES_SHIFT; i << SN_BLOCK_PAGES_SHIFT < to; i++) {
        unsigned range = page_mask(to, i) & ~(unsigned)page_mask(from, i);
        missing += (uint32_t)__builtin_popcount(range & ~(unsigned)pool->spans[first + i].dirty);
    }
    return missing;
}

/* Notes pages [from, to) as committed; the caller has charged them, `bytes` in all. */
static void
commit_locked(struct sn_pool *pool, uint32_t first, uint32_t from, uint32_t to, uint64_t bytes)
{
    for (uint32_t i = from >> SN_BLOCK_PAGES_SHIFT; i << SN_BLOCK_PAGES_SHIFT < to; i++)
        pool->spans[first + i].dirty |= page_mask(to, i) & ~(unsigned)page_mask(from, i);
    sn_store_relaxed(&pool->arena_committed, pool->arena_committed + bytes);
}

static uint64_t
committed_bytes(const struct sn_pool *pool, uint32_t first, uint32_t blocks)
{
    uint64_t pages = 0;
    for (uint32_t i = 0; i < blocks; i++)
        pages += sn_block_dirty_pages(&pool->spans[first + i]);
    return pages << SN_PAGE_SHIFT;
}

/* The run that is asked for. */
struct run_request {
    uint32_t blocks;
    uint32_t pages; /* the first so many are committed at once */
    uint32_t lines; /* of the bitmap, that will be used */
    enum sn_charge who;
};

/* An array's entries below `from` are in use: bytes of the further pages that entries up to `to`
 * touch. */
static uint64_t
array_growth(uint32_t from, uint32_t to, size_t entry_bytes)
{
    if (to <= from)
        return 0;
    return sn_round_up(to * entry_bytes, SN_PAGE_BYTES) -
           sn_round_up(from * entry_bytes, SN_PAGE_BYTES);
}

static uint32_t
group_of(uint32_t block)
{
    return block / SN_GROUP_BLOCKS;
}

/* The same for the bitmap of a run that begins at `first`. Where lines share pages, the first use
 * of a group touches all of it. */
static uint64_t
bitmap_growth(const struct sn_pool *pool, uint32_t first, uint32_t lines)
{
    uint64_t bytes = 0;
    if (SN_PAGE_BYTES > SN_GROUP_LINE_BYTES)
        return lines > 0 ? array_growth(group_of(pool->line_high[0] + SN_GROUP_BLOCKS - 1),
                                        group_of(first) + 1, SN_GROUP_BYTES)
                         : 0;
    for (uint32_t k = 0; k < lines; k++)
        bytes += array_growth(pool->line_high[k], first + 1, SN_LINE_WORDS * sizeof(uint64_t));
    return bytes;
}

/* Bytes of metadata that a run which begins at `first` comes to use: also the descriptor behind it,
 * of the rest that stays free. */
static uint64_t
metadata_growth(const struct sn_pool *pool, uint32_t first, const struct run_request *request)
{
    uint32_t end = first + request->blocks;
    uint64_t bytes = array_growth(pool->high + 1, end + 1, sizeof(struct sn_span)) +
                     2 * array_growth(pool->high, end, sizeof(uint8_t));
    return bytes + bitmap_growth(pool, first, request->lines);
}

/* Notes that metadata for such a run is in use; the caller has charged `bytes` for it. */
static void
note_metadata_locked(struct sn_pool *pool, uint32_t first, const struct run_request *request,
                     uint64_t bytes)
{
    uint32_t end = first + request->blocks;
    if (end > pool->high)
        sn_store_relaxed(&pool->high, end);
    show_locked(pool, end);
    for (uint32_t k = 0; k < request->lines; k++)
        pool->line_high[k] = (uint32_t)sn_max(pool->line_high[k], first + 1);
    sn_owner_add(&pool->metadata_bytes, bytes);
}

/* Turns the first `blocks` blocks of a free run into a span; the rest stays free. */
static void
carve_locked(struct sn_pool *pool, uint32_t first, uint32_t blocks)
{
    struct sn_span *run = &pool->spans[first];
    bool clean = sn_span_state(run) == SN_SPAN_CLEAN;
    uint64_t kept = committed_bytes(pool, first, blocks);
    split_off_locked(pool, first, blocks);
    for (uint32_t i = 0; i < blocks; i++)
        sn_span_set_head(&pool->spans[first + i], first);
    sn_store_relaxed(&pool->empty_bytes, pool->empty_bytes - kept);
    run->v.use.zeroed = clean;
    sn_span_set_state(run, SN_SPAN_TAKEN);
}

static size_t
descriptor_page(uint32_t block)
{
    return block * sizeof(struct sn_span) >> SN_PAGE_SHIFT;
}

static void
add_clean_locked(struct sn_pool *pool, uint32_t first, uint32_t blocks)
{
    struct sn_span *run = &pool->spans[first];
    sn_span_set_state(run, SN_SPAN_CLEAN);
    run->blocks = blocks;
    run->class_id = SN_CLASS_NONE;
    insert_run_locked(pool, first, 0);
}

/* No run of so many blocks is free: the arena is extended, right above its end, where nobody else
 * has taken the addresses meanwhile. */
static bool
grow_locked(struct sn_pool *pool, uint32_t blocks)
{
    uint32_t limit = pool->limit;
    struct run_request none = {0};
    char *end = pool->arena + sn_span_offset(limit);
    size_t most = (size_t)(pool->blocks - limit) << SN_BLOCK_SHIFT;
    /* For the descriptor of what will be the last block: within the limit, or not at all. */
    if (!sn_budget_charge(pool->budget, SN_PAGE_BYTES, SN_CHARGE_MOVER))
        return false;
    size_t step = sn_min(pool->grow_step, sn_span_offset(step_blocks(limit)));
    size_t bytes = sn_os_extend(end, (size_t)blocks << SN_BLOCK_SHIFT, most, &step);
    pool->grow_step = step;
    if (bytes == 0) {
        sn_budget_refund(pool->budget, SN_PAGE_BYTES);
        sn_owner_add(&pool->small, 1);
        return false;
    }
    if (!pool->plain)
        sn_os_hugepages(end, bytes, pool->hugepages);
    sn_os_show_in_core(end, bytes, false);
    if (pool->label)
        sn_os_name(end, bytes, pool->label);
    sn_store_relaxed(&pool->limit, limit + (uint32_t)(bytes >> SN_BLOCK_SHIFT));
    if (descriptor_page(pool->limit - 1) != descriptor_page(limit - 1))
        note_metadata_locked(pool, 0, &none, SN_PAGE_BYTES);
    else
        sn_budget_refund(pool->budget, SN_PAGE_BYTES);
    add_clean_locked(pool, limit, (uint32_t)(bytes >> SN_BLOCK_SHIFT));
    return true;
}

void
sn_pool_set_hugepages(struct sn_pool *pool, bool want)
{
    sn_lock(&pool->lock);
    if (want && pool->plain)
        sn_store_relaxed(&pool->dense_reason, HANDLE_DENSE_FLAGGED);
    pool->plain &= !want;
    pool->hugepages = want;
    if (!pool->plain)
        sn_os_hugepages(pool->arena, (size_t)sn_pool_reserved_bytes(pool), want);
    sn_unlock(&pool->lock);
}

static uint32_t
take_free_locked(struct sn_pool *pool, const struct run_request *request, uint64_t *lacks)
{
    *lacks = request->who == SN_CHARGE_APPLICATION ? sn_budget_excess(pool->budget) : 0;
    if (*lacks > 0)
        return 0; /* not even committed pages: they are to go back */
    *lacks = UINT64_MAX;
    for (int dirty = DIRTY; dirty >= CLEAN; dirty--) {
        uint32_t first = sn_runs_find(&pool->runs[dirty], pool->spans, request->blocks);
        if (!first)
            continue;
        uint64_t pages = (uint64_t)sn_pool_missing_pages(pool, first, 0, request->pages)
                         << SN_PAGE_SHIFT;
        uint64_t metadata = metadata_growth(pool, first, request);
        if (pages + metadata > 0 &&
            !sn_budget_charge(pool->budget, pages + metadata, request->who)) {
            *lacks = sn_max(sn_budget_lacks(pool->budget, pages + metadata, request->who), 1);
            return 0;
        }
        carve_locked(pool, first, request->blocks);
        commit_locked(pool, first, 0, request->pages, pages);
        note_metadata_locked(pool, first, request, metadata);
        return first;
    }
    return 0;
}

/* 0: *lacks bytes must become free first; UINT64_MAX: no run is long enough. */
static uint32_t
try_take_locked(struct sn_pool *pool, const struct run_request *request, uint64_t *lacks)
{
    uint32_t first = take_free_locked(pool, request, lacks);
    if (!first && *lacks == UINT64_MAX && grow_locked(pool, request->blocks))
        first = take_free_locked(pool, request, lacks);
    return first;
}

/* Pages [from, to) of one block go back; no region becomes a huge page before the caller lowers
 * pool.trimming. */
static bool
discard_in_block(struct sn_pool *pool, uint32_t block, uint32_t from, uint32_t to)
{
    struct sn_split split;
    uint64_t base = (uint64_t)block << SN_BLOCK_PAGES_SHIFT;
    char *address = pool->arena + ((base + from) << SN_PAGE_SHIFT);
    sn_lock(&pool->lock);
    sn_dense_begin_locked(pool, base + from, base + to, &split);
    pool->trimming++;
    sn_unlock(&pool->lock);
    sn_dense_split(&split);
    return sn_os_discard(address, (size_t)(to - from) << SN_PAGE_SHIFT);
}

/* sn_pool_trim for pages [from, to) of one block. */
static size_t
trim_block(struct sn_pool *pool, uint32_t block, uint32_t from, uint32_t to)
{
    uint16_t range = (uint16_t)(page_mask(to, 0) & ~page_mask(from, 0));
    uint16_t dirty = pool->spans[block].dirty & range;
    if (dirty == 0)
        return 0;
    bool released = discard_in_block(pool, block, from, to);
    size_t bytes = released ? (size_t)__builtin_popcount(dirty) << SN_PAGE_SHIFT : 0;
    sn_lock(&pool->lock);
    pool->trimming--;
    if (released) {
        pool->spans[block].dirty &= (uint16_t)~range;
        sn_store_relaxed(&pool->arena_committed, pool->arena_committed - bytes);
        sn_owner_add(&pool->released_bytes, bytes);
        sn_budget_refund(pool->budget, bytes);
    } else {
        sn_owner_add(&pool->purge_failures, 1);
    }
    sn_unlock(&pool->lock);
    return bytes;
}

size_t
sn_pool_trim(struct sn_pool *pool, uint32_t first, uint32_t from, uint32_t to)
{
    size_t bytes = 0;
    while (from < to) {
        uint32_t block = from >> SN_BLOCK_PAGES_SHIFT;
        uint32_t base = block << SN_BLOCK_PAGES_SHIFT;
        uint32_t end = (uint32_t)sn_min(to, base + SN_BLOCK_PAGES);
        bytes += trim_block(pool, first + block, from - base, end - base);
        from = end;
    }
    return bytes;
}

/* ---- pages behind what is used of a span ----------------------------------------------------- */

void
sn_pool_count_excess_locked(struct sn_pool *pool, uint32_t first, uint32_t pages)
{
    struct sn_span *span = &pool->spans[first];
    uint64_t others = pool->excess_bytes - ((uint64_t)span->excess << SN_PAGE_SHIFT);
    span->excess = (uint16_t)sn_min(pages, UINT16_MAX);
    sn_store_relaxed(&pool->excess_bytes, others + ((uint64_t)span->excess << SN_PAGE_SHIFT));
}

void
sn_pool_list_excess(struct sn_pool *pool, uint32_t first, uint32_t pages)
{
    struct sn_span *span = &pool->spans[first];
    sn_lock(&pool->lock);
    sn_pool_count_excess_locked(pool, first, pages);
    span->u.excess.prev = 0;
    span->u.excess.next = pool->excess;
    if (pool->excess)
        pool->spans[pool->excess].u.excess.prev = first;
    pool->excess = first;
    sn_unlock(&pool->lock);
}

static void
unlist_excess_locked(struct sn_pool *pool, uint32_t first)
{
    const struct sn_span *span = &pool->spans[first];
    if (span->excess == 0)
        return;
    uint32_t next = span->u.excess.next, prev = span->u.excess.prev;
    if (next)
        pool->spans[next].u.excess.prev = prev;
    if (prev)
        pool->spans[prev].u.excess.next = next;
    else
        pool->excess = next;
    sn_pool_count_excess_locked(pool, first, 0);
}

void
sn_pool_unlist_excess(struct sn_pool *pool, uint32_t first)
{
    sn_lock(&pool->lock);
    unlist_excess_locked(pool, first);
    sn_unlock(&pool->lock);
}

uint32_t
sn_pool_next_excess(struct sn_pool *pool)
{
    sn_lock(&pool->lock);
    uint32_t first = pool->excess;
    if (first)
        unlist_excess_locked(pool, first);
    sn_unlock(&pool->lock);
    return first;
}

bool
sn_pool_commit(struct sn_pool *pool, uint32_t first, uint32_t from, uint32_t to, enum sn_charge who)
{
    uint64_t bytes = (uint64_t)sn_pool_missing_pages(pool, first, from, to) << SN_PAGE_SHIFT;
    if (bytes == 0)
        return true;
    sn_lock(&pool->lock); /* charged and noted at once: who compares the two finds them in step */
    bool charged = sn_budget_charge(pool->budget, bytes, who);
    if (charged)
        commit_locked(pool, first, from, to, bytes);
    sn_unlock(&pool->lock);
    return charged;
}

/* ---- large spans: longer and shorter --------------------------------------------------------- */

/* Whether `blocks` blocks behind a run are free, as one run. */
static bool
is_free_behind_locked(const struct sn_pool *pool, uint32_t first, uint32_t blocks)
{
    uint32_t after = first + pool->spans[first].blocks;
    if (blocks > pool->limit - after)
        return false;
    enum sn_span_state state = sn_span_state(&pool->spans[after]);
    return (state == SN_SPAN_CLEAN || state == SN_SPAN_DIRTY) &&
           pool->spans[after].blocks >= blocks;
}

/* Extends the arena, if the run, or the free run behind it, ends at the arena's end. True: now
 * `blocks` blocks behind the run are free. */
static bool
become_free_behind_locked(struct sn_pool *pool, uint32_t first, uint32_t blocks)
{
    uint32_t after = first + pool->spans[first].blocks, end = after;
    if (after < pool->limit && sn_span_state(&pool->spans[after]) == SN_SPAN_CLEAN)
        end = after + pool->spans[after].blocks;
    return end == pool->limit && blocks <= pool->blocks - after &&
           grow_locked(pool, after + blocks - end) && is_free_behind_locked(pool, first, blocks);
}

/* Makes the `blocks` free blocks behind a large span's run part of it. */
static void
annex_locked(struct sn_pool *pool, uint32_t first, uint32_t blocks)
{
    struct sn_span *run = &pool->spans[first];
    uint32_t after = first + run->blocks;
    split_off_locked(pool, after, blocks);
    sn_span_set_state(&pool->spans[after], SN_SPAN_NONE);
    sn_store_relaxed(&pool->empty_bytes, pool->empty_bytes - committed_bytes(pool, after, blocks));
    for (uint32_t i = after; i < after + blocks; i++) {
        sn_span_set_head(&pool->spans[i], first);
        sn_store_release(&pool->class_of[i], run->class_id);
        sn_store_relaxed(&pool->bin_class[i], SN_CLASS_NONE);
    }
    sn_owner_add(&run->blocks, blocks);
}

enum sn_extended
sn_pool_extend_locked(struct sn_pool *pool, uint32_t first, uint32_t blocks, uint32_t pages,
                      uint64_t *lacks)
{
    uint32_t have = pool->spans[first].blocks;
    if (blocks > have && !is_free_behind_locked(pool, first, blocks - have) &&
        !become_free_behind_locked(pool, first, blocks - have))
        return SN_EXTEND_BLOCKED;
    struct run_request request = {.blocks = blocks, .pages = pages, .who = SN_CHARGE_APPLICATION};
    uint64_t missing = (uint64_t)sn_pool_missing_pages(pool, first, 0, pages) << SN_PAGE_SHIFT;
    uint64_t metadata = metadata_growth(pool, first, &request);
    if (missing + metadata > 0 &&
        !sn_budget_charge(pool->budget, missing + metadata, request.who)) {
        *lacks = sn_max(sn_budget_lacks(pool->budget, missing + metadata, request.who), 1);
        return SN_EXTEND_REFUSED;
    }
    if (blocks > have)
        annex_locked(pool, first, blocks - have);
    commit_locked(pool, first, 0, pages, missing);
    note_metadata_locked(pool, first, &request, metadata);
    return SN_EXTENDED;
}

/* Blocks [from, end) belong to no span any more: whoever looks them up finds no class. */
static void
forget_blocks(struct sn_pool *pool, uint32_t from, uint32_t end)
{
    sn_hook(SN_HOOK_RUN_FORGET, pool);
    for (uint32_t i = from; i < end; i++) {
        sn_store_release(&pool->class_of[i], SN_CLASS_NONE);
        sn_store_relaxed(&pool->bin_class[i], SN_CLASS_NONE);
    }
}

void
sn_pool_cut_locked(struct sn_pool *pool, uint32_t first, uint32_t blocks, uint64_t now_ns)
{
    struct sn_span *run = &pool->spans[first];
    uint32_t from = first + blocks;
    struct sn_span *rest = &pool->spans[from];
    forget_blocks(pool, from, first + run->blocks);
    rest->blocks = run->blocks - blocks;
    rest->class_id = SN_CLASS_NONE;
    sn_store_relaxed(&rest->flags, 0);
    sn_store_relaxed(&run->blocks, blocks);
    uint64_t bytes = committed_bytes(pool, from, rest->blocks);
    sn_store_relaxed(&pool->empty_bytes, pool->empty_bytes + bytes);
    sn_owner_add(&pool->puts, bytes > 0);
    sn_span_set_state(rest, bytes > 0 ? SN_SPAN_DIRTY : SN_SPAN_CLEAN);
    insert_run_locked(pool, from, now_ns);
}

/* Frees the blocks behind a large span's pages, which it has to grow into. False: it has none. */
static bool
cut_room_locked(struct sn_pool *pool, uint32_t number)
{
    const struct sn_span *span = &pool->spans[number];
    uint32_t blocks = sn_span_kept_blocks(span);
    if (blocks == span->blocks)
        return false;
    sn_pool_cut_locked(pool, number, blocks, sn_os_now_ns());
    return true;
}

/* cut_room_locked for all large spans; those that somebody works on are left for the next call.
 * False: nothing became free. */
static bool
cut_rooms(struct sn_pool *pool)
{
    bool any = false, busy = false;
    sn_lock(&pool->lock);
    for (uint32_t number = 1; pool->has_rooms && number < pool->high;
         number += pool->spans[number].blocks) {
        const struct sn_span *span = &pool->spans[number];
        uint8_t state = sn_span_state(span);
        if (state == SN_SPAN_TAKEN || (state == SN_SPAN_LARGE && span->flags & SN_SPAN_CLAIMED))
            busy = true;
        else if (state == SN_SPAN_LARGE)
            any |= cut_room_locked(pool, number);
    }
    pool->has_rooms = busy;
    sn_unlock(&pool->lock);
    return any;
}

/* ---- taking and giving back ------------------------------------------------------------------ */

static uint32_t
try_take(struct sn_pool *pool, const struct run_request *request, bool *zero, uint8_t *old_class,
         uint64_t *lacks)
{
    sn_lock(&pool->lock);
    uint32_t first = try_take_locked(pool, request, lacks);
    sn_unlock(&pool->lock);
    if (!first)
        return 0;
    struct sn_span *run = &pool->spans[first];
    *zero = run->v.use.zeroed;
    *old_class = run->class_id;
    return first;
}

uint32_t
sn_pool_try_take(struct sn_pool *pool, uint32_t blocks, uint32_t pages, enum sn_charge who,
                 bool *zero, uint8_t *old_class, uint64_t *lacks)
{
    struct run_request request = {.blocks = blocks, .pages = pages, .who = who};
    return try_take(pool, &request, zero, old_class, lacks);
}

uint32_t
sn_pool_try_take_there(struct sn_pool *pool, uint32_t blocks, uint32_t pages, bool *zero)
{
    struct run_request request = {.blocks = blocks, .pages = pages, .who = SN_CHARGE_APPLICATION};
    uint64_t lacks;
    sn_lock(&pool->lock);
    uint32_t first = take_free_locked(pool, &request, &lacks);
    pool->has_rooms |= first != 0;
    sn_unlock(&pool->lock);
    if (first)
        *zero = pool->spans[first].v.use.zeroed;
    return first;
}

uint32_t
sn_pool_try_take_slots(struct sn_pool *pool, uint32_t blocks, const struct sn_class *c,
                       enum sn_charge who, bool *zero, uint8_t *old_class, uint64_t *lacks)
{
    struct run_request request = {
        .blocks = blocks, .lines = (c->slots + SN_LINE_SLOTS - 1) / SN_LINE_SLOTS, .who = who};
    return try_take(pool, &request, zero, old_class, lacks);
}

uint32_t
sn_pool_take(struct sn_pool *pool, uint32_t blocks, uint32_t pages, enum sn_charge who, bool *zero,
             uint8_t *old_class)
{
    uint64_t lacks;
    uint32_t first = sn_pool_try_take(pool, blocks, pages, who, zero, old_class, &lacks);
    for (int round = 0; !first && round < SN_POOL_ROUNDS; round++) {
        if (!sn_pool_make_room(pool, lacks))
            return 0;
        first = sn_pool_try_take(pool, blocks, pages, who, zero, old_class, &lacks);
    }
    return first;
}

static void
forget_class(struct sn_pool *pool, uint32_t first)
{
    struct sn_span *run = &pool->spans[first];
    forget_blocks(pool, first, first + run->blocks);
    sn_span_set_state(run, SN_SPAN_TAKEN);
}

void
sn_pool_abandon(struct sn_pool *pool, uint32_t first)
{
    sn_pool_unlist_excess(pool, first);
    forget_class(pool, first);
    sn_span_set_state(&pool->spans[first], SN_SPAN_LOST);
}

void
sn_pool_put(struct sn_pool *pool, uint32_t first, uint64_t now_ns)
{
    struct sn_span *run = &pool->spans[first];
    forget_class(pool, first);
    sn_lock(&pool->lock);
    unlist_excess_locked(pool, first);
    uint64_t bytes = committed_bytes(pool, first, run->blocks);
    sn_store_relaxed(&run->flags, 0); /* the trimmer may look at it */
    sn_span_set_state(run, bytes > 0 ? SN_SPAN_DIRTY : SN_SPAN_CLEAN);
    if (bytes == 0)
        run->class_id = SN_CLASS_NONE;
    sn_owner_add(&pool->puts, 1);
    sn_store_relaxed(&pool->empty_bytes, pool->empty_bytes + bytes);
    sn_probe(3, span_empty, pool->label, first, bytes);
    insert_run_locked(pool, first, now_ns);
    sn_unlock(&pool->lock);
}

/* ---- purge ----------------------------------------------------------------------------------- */

/* One madvise gives back 4 MiB at most, about 100 us: an allocation that finds max_bytes reached
 * waits no longer than that for pages that another thread is giving back. */
#define PIECE_BLOCKS 64
/* Runs that one call gives back at most. With runs of one block, that is all of the 4 MiB. */
#define PIECE_RUNS 64

/* Takes the oldest dirty run, or the front of it, out of the lists, if it is old enough. */
static uint32_t
begin_purge_locked(struct sn_pool *pool, uint64_t before_ns, uint32_t max_blocks, uint64_t *next_ns)
{
    uint32_t first = pool->oldest;
    *next_ns = SN_POOL_NONE_LEFT;
    if (!first)
        return 0;
    struct sn_span *run = &pool->spans[first];
    *next_ns = run->u.since_ns;
    if (*next_ns > before_ns)
        return 0;
    split_off_locked(pool, first, (uint32_t)sn_min(run->blocks, max_blocks));
    sn_span_set_state(run, SN_SPAN_PURGING);
    pool->purging++;
    return first;
}

static uint64_t
end_purge_locked(struct sn_pool *pool, uint32_t first, bool released)
{
    struct sn_span *run = &pool->spans[first];
    pool->purging--;
    pool->purges++;
    sn_store_relaxed(&pool->last_purge_failed, !released);
    if (!released) {
        sn_span_set_state(run, SN_SPAN_DIRTY);
        insert_run_locked(pool, first, sn_os_now_ns());
        return 0;
    }
    uint64_t bytes = committed_bytes(pool, first, run->blocks);
    for (uint32_t i = 0; i < run->blocks; i++)
        pool->spans[first + i].dirty = 0;
    sn_span_set_state(run, SN_SPAN_CLEAN);
    run->class_id = SN_CLASS_NONE;
    sn_store_relaxed(&pool->empty_bytes, pool->empty_bytes - bytes);
    sn_store_relaxed(&pool->arena_committed, pool->arena_committed - bytes);
    sn_owner_add(&pool->released_bytes, bytes);
    insert_run_locked(pool, first, 0);
    sn_budget_refund(pool->budget, bytes); /* before those who wait for it go on */
    return bytes;
}

struct piece {
    uint32_t blocks;  /* 0: nothing was old enough */
    uint64_t bytes;   /* released; 0 with blocks: the kernel refused, or nothing was committed */
    uint64_t next_ns; /* as sn_pool_purge */
    bool refused;
};

/* Runs in state PURGING, which belong to the thread that gives them back. */
struct haul {
    uint32_t count;
    uint32_t first[PIECE_RUNS];
    struct sn_split split[PIECE_RUNS];
};

static void
begin_haul(struct sn_pool *pool, uint64_t before_ns, uint32_t max_blocks, struct haul *haul,
           struct piece *piece)
{
    uint32_t first;
    sn_lock(&pool->lock);
    do {
        first = begin_purge_locked(pool, before_ns, max_blocks - piece->blocks, &piece->next_ns);
        if (!first)
            break;
        haul->first[haul->count++] = first;
        piece->blocks += pool->spans[first].blocks;
    } while (haul->count < PIECE_RUNS && piece->blocks < max_blocks);
    for (uint32_t i = 0; i < haul->count; i++) {
        uint32_t end = haul->first[i] + pool->spans[haul->first[i]].blocks;
        sn_dense_begin_locked(pool, (uint64_t)haul->first[i] << SN_BLOCK_PAGES_SHIFT,
                              (uint64_t)end << SN_BLOCK_PAGES_SHIFT, &haul->split[i]);
    }
    sn_unlock(&pool->lock);
}

static size_t
discard_haul(const struct sn_pool *pool, const struct haul *haul)
{
    struct iovec ranges[PIECE_RUNS];
    for (uint32_t i = 0; i < haul->count; i++) {
        sn_dense_split(&haul->split[i]);
        ranges[i].iov_base = pool->arena + sn_span_offset(haul->first[i]);
        ranges[i].iov_len = (size_t)pool->spans[haul->first[i]].blocks << SN_BLOCK_SHIFT;
    }
    return sn_os_discard_many(ranges, haul->count);
}

static struct piece
purge_piece(struct sn_pool *pool, uint64_t before_ns, uint32_t max_blocks)
{
    struct piece piece = {0};
    struct haul haul;
    haul.count = 0;
    begin_haul(pool, before_ns, (uint32_t)sn_min(max_blocks, PIECE_BLOCKS), &haul, &piece);
    if (haul.count == 0)
        return piece;
    /* Outside the lock: the kernel may take a while, and the runs are in no list. */
    sn_hook(SN_HOOK_PURGE, pool);
    size_t released = discard_haul(pool, &haul);
    piece.refused = released < haul.count;
    sn_lock(&pool->lock);
    for (uint32_t i = 0; i < released; i++)
        piece.bytes += end_purge_locked(pool, haul.first[i], true);
    /* The one that the kernel refused becomes the youngest: the next call gets to those behind. */
    for (uint32_t i = haul.count; i > released; i--)
        (void)end_purge_locked(pool, haul.first[i - 1], false);
    if (piece.refused)
        sn_owner_add(&pool->purge_failures, 1);
    pthread_cond_broadcast(&pool->purged);
    sn_unlock(&pool->lock);
    sn_probe(3, purge, pool->label, piece.bytes, piece.refused);
    return piece;
}

size_t
sn_pool_purge(struct sn_pool *pool, uint64_t before_ns, size_t max_bytes, uint64_t *next_ns)
{
    size_t released = 0;
    uint32_t left = max_bytes == 0
                        ? UINT32_MAX
                        : (uint32_t)sn_min(sn_max(max_bytes >> SN_BLOCK_SHIFT, 1), UINT32_MAX);
    struct piece piece;
    do {
        piece = purge_piece(pool, before_ns, left);
        released += piece.bytes;
        left -= piece.blocks;
    } while (piece.blocks > 0 && !piece.refused && left > 0);
    *next_ns = piece.next_ns;
    return released;
}

bool
sn_pool_await_purges(struct sn_pool *pool)
{
    sn_lock(&pool->lock);
    bool any = pool->purging > 0;
    uint64_t enough = pool->purges + pool->purging;
    while (pool->purging > 0 && pool->purges < enough)
        sn_wait(&pool->purged, &pool->lock);
    sn_unlock(&pool->lock);
    return any;
}

bool
sn_pool_make_room(struct sn_pool *pool, uint64_t bytes)
{
    uint64_t released = 0;
    if (bytes != UINT64_MAX && bytes > sn_load_relaxed(&pool->empty_bytes))
        return false; /* not enough: they would be given back in vain, and touched again */
    struct piece piece = {0};
    bool cut = bytes == UINT64_MAX && cut_rooms(pool);
    do {
        uint64_t most = (uint64_t)PIECE_BLOCKS << SN_BLOCK_SHIFT; /* bytes may be all there are */
        uint64_t wanted = sn_max(sn_min(bytes - released, most), 1);
        piece = purge_piece(pool, UINT64_MAX,
                            (uint32_t)(sn_round_up(wanted, SN_BLOCK_BYTES) >> SN_BLOCK_SHIFT));
        released += piece.bytes;
    } while (piece.blocks > 0 && !piece.refused && released < bytes);
    return (released < bytes && sn_pool_await_purges(pool)) || released > 0 || cut;
}

/* Entries [from, to) of an array with so many bytes for each block. */
static void
discard_entries(void *array, size_t bytes, size_t from, size_t to)
{
    char *begin = array;
    if (from < to)
        sn_os_discard_between(begin + from * bytes, begin + to * bytes);
}

/* Pages of bitmaps that were never used. */
static void
discard_groups_locked(struct sn_pool *pool)
{
    for (uint32_t block = 0; block < pool->blocks; block += SN_GROUP_BLOCKS) {
        uint32_t line = 0; /* classes with few slots use the first lines only */
        while (line < SN_BITMAP_LINES && pool->line_high[line] > block)
            line++;
        char *from = (char *)sn_span_bits(pool, block, line * SN_LINE_WORDS);
        sn_os_discard_between(from, from + (SN_BITMAP_LINES - line) * SN_GROUP_LINE_BYTES);
    }
}

void
sn_pool_discard_unused(struct sn_pool *pool)
{
    sn_lock(&pool->lock); /* no run is taken, and the arena does not grow meanwhile */
    for (uint32_t number = 1; number < pool->limit; number++) {
        char *run = pool->arena + sn_span_offset(number);
        if (sn_span_state(&pool->spans[number]) == SN_SPAN_CLEAN)
            sn_os_discard_between(run, run + sn_span_offset(pool->spans[number].blocks));
    }
    /* Of the free run behind all others the first block speaks, and the last one. */
    discard_entries(pool->spans, sizeof(pool->spans[0]), pool->high + 1, pool->limit - 1);
    discard_entries(pool->spans, sizeof(pool->spans[0]), pool->limit, pool->blocks);
    discard_groups_locked(pool);
    discard_entries(pool->class_of, 1, pool->high, pool->blocks);
    discard_entries(pool->bin_class, 1, pool->high, pool->blocks);
    sn_unlock(&pool->lock);
}

/* ---- life cycle ------------------------------------------------------------------------------ */

/* Charges the pages of metadata that a new pool uses: the descriptors of the first and the last
 * block (one page, or two), and a page each of class_of and bin_class. */
static void
note_first_metadata(struct sn_pool *pool)
{
    struct run_request none = {0};
    uint64_t bytes = (descriptor_page(pool->limit - 1) > 0 ? 4 : 3) * SN_PAGE_BYTES;
    sn_budget_charge(pool->budget, bytes, SN_CHARGE_ALWAYS);
    note_metadata_locked(pool, 0, &none, bytes);
}

void
sn_pool_init(struct sn_pool *pool, char *arena, uint32_t limit, uint32_t blocks, char *spans,
             char *classes, struct sn_budget *budget)
{
    pool->arena = arena;
    pool->blocks = blocks;
    pool->limit = limit;
    pool->grow_step = (size_t)limit << SN_BLOCK_SHIFT;
    pool->budget = budget;
    pool->spans = (struct sn_span *)(void *)spans;
    pool->groups_end = classes;
    pool->class_of = (uint8_t *)classes;
    pool->bin_class = pool->class_of + blocks;
    pool->bin_class[0] = SN_CLASS_NONE; /* offset 0 is that of no slot */
    sn_lock_init(&pool->lock, SN_RANK_POOL);
    pthread_cond_init(&pool->purged, NULL);
    pool->high = 1;
    note_first_metadata(pool);
    if (limit > 1)
        add_clean_locked(pool, 1, limit - 1);
}

void
sn_pool_after_fork_child(struct sn_pool *pool)
{
    pthread_cond_init(&pool->purged, NULL);
    sn_lock(&pool->lock);
    pool->purging = pool->trimming = pool->collapsing = 0;
    for (uint32_t number = 1; number < pool->high; number++) {
        if (sn_span_state(&pool->spans[number]) != SN_SPAN_PURGING)
            continue;
        sn_span_set_state(&pool->spans[number],
                          SN_SPAN_DIRTY); /* if its pages are zero already, that is right, too */
        insert_run_locked(pool, number, sn_os_now_ns());
    }
    sn_unlock(&pool->lock);
}
