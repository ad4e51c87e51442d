/* SPDX-License-Identifier: MIT */
/* leave.c - see leave.h. */
#include "cache/leave.h"

#include "cache/large.h"

/* The callback that is being told of what leaves this cache; NULL: none is. What it makes leave the
 * same cache is not told of in turn. */
static const struct sc_shown *
telling_of(const sinter_cache *cache)
{
    const struct sc_shown *shown = sc_shown;
    while (shown && shown->telling != cache)
        shown = shown->outer;
    return shown;
}

void
sc_take_out(sinter_cache *cache, const struct sc_spot *spot)
{
    const struct sc_item *item = spot->item;
    handle_cell *cell = &spot->bucket->cell[spot->cell];
    uint32_t marks = sc_bucket_marks(spot->bucket, spot->cell);
    uint32_t place = marks & SC_AWAY ? sc_place_of(cache, spot->bucket, spot->cell) : 0;
    if (marks & SC_EXPIRES)
        sc_sub(&cache->sweep.expiring, 1);
    sc_policy_change(cache, -1, -(int64_t)sc_charge_of(item), marks & SC_IN_MAIN);
    sc_sub(&cache->payload, sc_item_key_size(item) + sc_item_value_size(item));
    sc_bucket_mark(spot->bucket, spot->cell, 0, 0);
    handle_cell_free(cache->store, cell);
    if (sc_unlikely(sc_item_in_pieces(item)))
        sc_large_retire(cache, item);
    if (marks & SC_AWAY)
        sc_away_add(sc_bucket_at(cache, place), -1);
}

void
sc_let_go(sinter_cache *cache, const struct sc_spot *spot, enum sinter_cache_reason reason,
          struct sc_left *left)
{
    static const enum sc_count counts[] = {SC_EVICTED, SC_EXPIRED, SC_CROWDED};
    sc_count(cache, counts[reason]);
    if (cache->evicted && !telling_of(cache) && left->count < 2 * SC_CELLS) {
        left->of[left->count].item = spot->item;
        left->of[left->count++].reason = reason;
    }
    sc_take_out(cache, spot);
}

void
sc_info(const sinter_cache *cache, const struct sc_item *item, struct sinter_cache_info *info)
{
    uint64_t deadline = sc_item_deadline(item);
    info->size = sc_item_value_size(item);
    info->cas = sc_item_cas(item);
    info->ttl_ms = deadline ? sc_max(sc_less(deadline, sc_now_ms(cache)), 1) : 0;
    info->flags = sc_item_flags(item);
    info->reserved = 0;
}

void
sc_view(const sinter_cache *cache, const struct sc_item *item, struct sinter_cache_view *view)
{
    sc_info(cache, item, &view->info);
    view->key = sc_item_key(item);
    view->key_size = sc_item_key_size(item);
    view->data = sc_item_value(item);
    view->data_size = view->info.size;
    view->reserved[0] = sc_item_in_pieces(item) ? item : NULL;
    view->reserved[1] = NULL;
    sc_large_next(cache, view);
}

void
sc_tell_slow(sinter_cache *cache, const struct sc_left *left)
{
    const struct sc_shown shown = {cache, left->need, sc_shown};
    for (unsigned i = 0; i < left->count; i++) {
        struct sinter_cache_view view;
        sc_view(cache, left->of[i].item, &view);
        sc_shown = &shown;
        cache->evicted(cache->opaque, &view, left->of[i].reason);
        sc_shown = shown.outer;
    }
}

uint64_t
sc_told_need(const sinter_cache *cache)
{
    const struct sc_shown *shown = telling_of(cache);
    return shown ? shown->need : 0;
}
