/* SPDX-License-Identifier: MIT */
/*
 * map.c - handle_store_map. One look at each span: its bitmap, and which of its pages are
 * committed. A bit says that a slot is not free; whether an object lives there only its header
 * says, and to read them costs more than all else together. So thread caches are drained first, and
 * headers are read only in classes of which more slots are taken than objects live.
 */
#include <errno.h>
#include <string.h>

#include "core/misuse.h"
#include "insight/map_lines.h"
#include "insight/stats.h"
#include "thread/drain.h"

#define GROUP 256u /* blocks whose pages are copied under one hold of the pool's lock */

struct map {
    handle_store *store;
    struct sn_lines lines;
    bool has_waiting[SN_CLASSES_MAX];
    uint64_t bits[SN_BITMAP_WORDS], waits[SN_BITMAP_WORDS];
    uint16_t dirty[GROUP];
};

/* ---- spans of slots -------------------------------------------------------------------------- */

static void
find_waiting(handle_store *store, bool has_waiting[SN_CLASSES_MAX])
{
    struct sn_cache_sums sums;
    (void)sn_caches_drain(&store->caches, false, false, NULL);
    sn_caches_sum(&store->caches, &sums);
    for (unsigned i = 0; i < store->classes.count; i++) {
        const struct sn_heap_class *hc = &store->heap.of[i];
        uint64_t used = sn_load_relaxed(&hc->used[0]) + sn_load_relaxed(&hc->used[1]);
        has_waiting[i] = used != sums.live[i];
    }
}

static struct sn_map_class
class_of(const handle_store *store, unsigned class_id)
{
    const struct sn_class *c = &store->classes.of[class_id];
    return (struct sn_map_class){(uint32_t)sn_class_max_size(&store->classes, class_id),
                                 c->slot_bytes, c->slots, c->pages << (SN_PAGE_SHIFT - 12),
                                 c->lead};
}

static void
copy_pages(struct map *map, uint32_t from, uint32_t count)
{
    sn_lock(&map->store->pool.lock);
    for (uint32_t i = 0; i < count; i++)
        map->dirty[i] = map->store->pool.spans[from + i].dirty;
    sn_unlock(&map->store->pool.lock);
    for (uint32_t i = 0; i < count; i++)
        map->dirty[i] = sn_map_pieces(map->dirty[i], (uint32_t)SN_PAGE_BYTES);
}

/* Finds the slots that are taken and have no object. Under the class's lock, so that the pages of
 * taken slots stay. */
static void
read_headers_locked(struct map *map, struct sn_map_run *run, const struct sn_class *c)
{
    handle_store *store = map->store;
    memset(map->waits, 0, sizeof(map->waits));
    run->waits = map->waits;
    for (uint32_t word = 0; word * 64 < c->slots; word++) {
        for (uint64_t left = map->bits[word]; left != 0; left &= left - 1) {
            uint32_t slot = word * 64 + (uint32_t)__builtin_ctzll(left);
            uint64_t offset = sn_slot_offset(c, run->at, slot);
            uint64_t header = sn_load_relaxed(sn_header_of(&store->pool, offset));
            if (sn_header_has_object(store->secret, header, offset))
                continue;
            map->waits[word] |= left & (0 - left);
            run->waiting++;
            run->live--;
        }
    }
}

static unsigned
why(const struct sn_span *span)
{
    return (sn_load_relaxed(&span->pins) ? SN_MAP_PINNED : 0u) |
           (span->flags & SN_SPAN_UNMOVABLE ? SN_MAP_UNMOVABLE : 0u) |
           (span->flags & SN_SPAN_TRIED ? SN_MAP_TRIED : 0u) |
           (span->flags & SN_SPAN_DAMAGED ? SN_MAP_DAMAGED : 0u);
}

static void
look_at_slots_locked(struct map *map, struct sn_map_run *run, const struct sn_class *c)
{
    run->why = why(&map->store->pool.spans[run->at]);
    for (uint32_t word = 0; word * 64 < c->slots; word++) {
        uint64_t behind = c->slots - word * 64 < 64 ? UINT64_MAX << c->slots % 64 : 0; /* set */
        map->bits[word] = sn_load_relaxed(sn_span_bits(&map->store->pool, run->at, word)) & ~behind;
        run->live += (uint32_t)__builtin_popcountll(map->bits[word]);
    }
    if (map->has_waiting[run->class_id])
        read_headers_locked(map, run, c);
    copy_pages(map, run->at, c->blocks);
}

static void
write_run(struct map *map, const struct sn_map_run *run)
{
    uint32_t committed = 0;
    for (uint32_t i = 0; i < run->blocks; i++)
        committed |= map->dirty[i];
    if (!committed)
        return;
    sn_map_begin_run(&map->lines, run);
    for (uint32_t i = 0; i < run->blocks; i++)
        sn_map_block(&map->lines, run, i, map->dirty[i]);
    sn_map_end_run(&map->lines);
}

/* Result: how many blocks further on the next look is. */
static uint32_t
map_slots(struct map *map, uint32_t block, unsigned class_id)
{
    const struct sn_class *c = &map->store->classes.of[class_id];
    const struct sn_map_class class = class_of(map->store, class_id);
    struct sn_heap *heap = &map->store->heap;
    struct sn_map_run run = {.at = block, .blocks = c->blocks, .kind = SN_MAP_SLOTS};
    run.class_id = class_id;
    run.class = &class;
    run.bits = map->bits;
    sn_lock(&heap->of[class_id].lock);
    bool found = sn_heap_is_of_class_locked(heap, block, class_id);
    if (found)
        look_at_slots_locked(map, &run, c);
    sn_unlock(&heap->of[class_id].lock);
    if (!found)
        return 1;
    write_run(map, &run);
    return c->blocks;
}

/* ---- other runs ------------------------------------------------------------------------------ */

static bool
look_at_large(struct map *map, struct sn_map_run *run)
{
    struct sn_pool *pool = &map->store->pool;
    const struct sn_span *span = &pool->spans[run->at];
    sn_lock(&pool->lock);
    bool found = sn_span_state(span) == SN_SPAN_LARGE && sn_span_head(span) == run->at;
    uint64_t header = sn_load_relaxed(&span->large_header);
    run->blocks = found ? span->blocks : 1;
    run->live = sn_header_has_object(map->store->secret, header, sn_span_offset(run->at));
    run->requested = run->live ? sn_load_relaxed(&span->u.large_size) : 0;
    run->why = sn_load_relaxed(&span->pins) ? SN_MAP_PINNED : 0;
    sn_unlock(&pool->lock);
    return found;
}

static uint32_t
map_large(struct map *map, uint32_t block)
{
    struct sn_map_run run = {.at = block, .kind = SN_MAP_LARGE};
    if (!look_at_large(map, &run))
        return 1;
    sn_map_begin_run(&map->lines, &run);
    for (uint32_t from = 0; from < run.blocks; from += GROUP) {
        uint32_t count = (uint32_t)sn_min(GROUP, run.blocks - from);
        copy_pages(map, block + from, count);
        for (uint32_t i = 0; i < count; i++)
            sn_map_block(&map->lines, &run, from + i, map->dirty[i]);
    }
    sn_map_end_run(&map->lines);
    return run.blocks;
}

/* Blocks of no span: pages of some are not yet given back. */
static uint32_t
map_empty(struct map *map, uint32_t block, uint32_t end)
{
    struct sn_map_run run = {.at = block, .kind = SN_MAP_EMPTY};
    while (run.blocks < GROUP && block + run.blocks < end &&
           sn_load_relaxed(&map->store->pool.class_of[block + run.blocks]) == SN_CLASS_NONE)
        run.blocks++;
    copy_pages(map, block, run.blocks);
    write_run(map, &run);
    return run.blocks;
}

static uint32_t
map_block(struct map *map, uint32_t block, uint32_t end)
{
    unsigned class_id = sn_load_relaxed(&map->store->pool.class_of[block]);
    if (class_id == SN_CLASS_NONE)
        return map_empty(map, block, end);
    if (class_id == SN_CLASS_LARGE)
        return map_large(map, block);
    if (class_id < SN_CLASSES_MAX && sn_heap_class_is_used(&map->store->heap, class_id))
        return map_slots(map, block, class_id);
    return 1; /* just being taken */
}

/* ---- all of it ------------------------------------------------------------------------------- */

static void
write_head(struct map *map, uint32_t end)
{
    sn_map_head(&map->lines, map->store->name, "store", end);
    for (unsigned i = 0; i < map->store->classes.count; i++) {
        struct sn_map_class class = class_of(map->store, i);
        sn_map_class(&map->lines, &class, i == 0);
    }
    sn_map_end_head(&map->lines);
}

static void
write_tail(struct map *map)
{
    struct handle_stats now;
    sn_stats_fill_whole(map->store, &now, NULL);
    struct sn_map_sums sums = {.requested = now.requested,
                               .rounding = now.rounding,
                               .header = now.header,
                               .free_slot = now.free_slot,
                               .waiting = now.thread_cache + now.limbo,
                               .empty_span = now.empty_span,
                               .table = now.table,
                               .metadata = now.metadata,
                               .committed = now.committed,
                               .objects = now.objects,
                               .objects_large = now.objects_large,
                               .resident = UINT64_MAX};
    sn_map_begin_tail(&map->lines, &sums);
    sn_lines_put(&map->lines, "}\n");
}

int
handle_store_map(handle_store *store, void (*write)(void *opaque, const char *text, size_t length),
                 void *opaque)
{
    struct map map;
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store || !write)
        return -EINVAL;
    SN_NO_CANCELLATION;
    map.store = store;
    map.lines = (struct sn_lines){.write = write, .opaque = opaque};
    find_waiting(store, map.has_waiting);
    uint32_t end = sn_load_relaxed(&store->pool.high);
    write_head(&map, end);
    for (uint32_t block = 1; block < end;)
        block += map_block(&map, block, end);
    write_tail(&map);
    sn_lines_flush(&map.lines);
    return 0;
}
