/* SPDX-License-Identifier: MIT */
/* large.c - see large.h. */
#include "cache/large.h"

#include <stdlib.h>

/* ---- making ---------------------------------------------------------------------------------- */

int
sc_making_begin(sinter_cache *cache, struct sc_making *making, uint64_t size)
{
    making->count = sc_pieces_for(size);
    making->made = 0;
    making->piece = malloc(making->count * sizeof(handle_t));
    making->aside = calloc(1, sizeof(*making->aside));
    if (!making->piece || !making->aside) {
        sc_making_abort(cache, making);
        return -ENOMEM;
    }
    sc_add(&cache->room.nodes, sizeof(*making->aside) + 16);
    return 0;
}

int
sc_making_fill(sinter_cache *cache, struct sc_making *making, const char *value, uint64_t size)
{
    for (; making->made < making->count; making->made++) {
        uint64_t at = making->made * SC_PIECE_BYTES;
        size_t bytes = sc_min(size - at, SC_PIECE_BYTES);
        void *object;
        handle_t piece = handle_alloc_object(cache->store, bytes, 0, &object);
        if (piece == HANDLE_NULL)
            return -errno;
        memcpy(object, value + at, bytes);
        making->piece[making->made] = piece;
    }
    return 0;
}

static void
free_aside(sinter_cache *cache, struct sc_aside *aside)
{
    free(aside);
    sc_sub(&cache->room.nodes, sizeof(*aside) + 16);
}

void
sc_making_abort(sinter_cache *cache, struct sc_making *making)
{
    while (making->made > 0)
        handle_free(cache->store, making->piece[--making->made]);
    if (making->piece && making->aside)
        free_aside(cache, making->aside);
    else
        free(making->aside);
    free(making->piece);
    *making = (struct sc_making){0};
}

/* ---- leaving --------------------------------------------------------------------------------- */

void
sc_large_leave(sinter_cache *cache, const struct sc_item *item, handle_cell *cell)
{
    struct sc_aside *aside = sc_item_pieces(item).aside;
    if (handle_cell_relocate(cache->store, cell, &aside->cell) != 0)
        return;
    struct sc_aside *top = sc_load(&cache->large.leaving);
    do
        aside->next = top;
    while (!__atomic_compare_exchange_n(&cache->large.leaving, &top, aside, false, __ATOMIC_RELEASE,
                                        __ATOMIC_RELAXED));
}

static void
free_pieces(sinter_cache *cache, const struct sc_item *item)
{
    uint64_t count = sc_pieces_for(sc_item_value_size(item));
    for (uint64_t i = 0; i < count; i++)
        handle_free(cache->store, sc_item_piece(item, i));
}

/* Readers have none of these items any more. */
static void
free_items(sinter_cache *cache, struct sc_aside *aside)
{
    sc_enter(cache);
    for (; aside; aside = aside->next) {
        const struct sc_item *item = handle_cell_deref(cache->store, &aside->cell);
        if (!item)
            continue;
        free_pieces(cache, item);
        handle_cell_free(cache->store, &aside->cell);
    }
    sc_leave(cache);
}

static void
free_records(sinter_cache *cache, struct sc_aside *aside)
{
    while (aside) {
        struct sc_aside *next = aside->next;
        free_aside(cache, aside);
        aside = next;
    }
}

bool
sc_large_drain(sinter_cache *cache, bool wait)
{
    if (!sc_large_waits(cache))
        return false;
    struct sc_aside *left = cache->large.left;
    /* Acquire: the items' cells are seen as whoever pushed them left them. */
    struct sc_aside *leaving = __atomic_exchange_n(&cache->large.leaving, NULL, __ATOMIC_ACQUIRE);
    if (wait)
        cache->flavor->update_synchronize_rcu();
    free_records(cache, left);
    free_items(cache, leaving);
    sc_store(&cache->large.left, leaving);
    return leaving != NULL;
}

void
sc_large_forget(sinter_cache *cache, const struct sc_item *item)
{
    if (sc_item_in_pieces(item))
        free_aside(cache, sc_item_pieces(item).aside);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* reserved[0]: the item; reserved[1]: the number of the piece shown. */
static bool
show(const sinter_cache *cache, const struct sc_item *item, uint64_t number,
     struct sinter_cache_view *view)
{
    uint64_t at = number * SC_PIECE_BYTES;
    if (at >= view->info.size)
        return false;
    view->data = handle_deref(cache->store, sc_item_piece(item, number));
    view->data_size = sc_min(view->info.size - at, SC_PIECE_BYTES);
    view->reserved[0] = item;
    view->reserved[1] = (const void *)(uintptr_t)number;
    return true;
}

void
sc_large_view(const sinter_cache *cache, const struct sc_item *item, struct sinter_cache_view *view)
{
    show(cache, item, 0, view);
}

bool
sc_large_next(const sinter_cache *cache, struct sinter_cache_view *view)
{
    const struct sc_item *item = view->reserved[0];
    return item && show(cache, item, (uint64_t)(uintptr_t)view->reserved[1] + 1, view);
}

void
sc_large_copy(const sinter_cache *cache, const struct sc_item *item, char *buffer)
{
    uint64_t size = sc_item_value_size(item);
    for (uint64_t at = 0; at < size; at += SC_PIECE_BYTES)
        memcpy(buffer + at, handle_deref(cache->store, sc_item_piece(item, at / SC_PIECE_BYTES)),
               sc_min(size - at, SC_PIECE_BYTES));
}
