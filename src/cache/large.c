/* SPDX-License-Identifier: MIT */
/* large.c - see large.h. */
#include "cache/large.h"

#include <stdlib.h>

/* ---- making ---------------------------------------------------------------------------------- */

int
sc_making_begin(struct sc_making *making, uint64_t size)
{
    making->count = sc_pieces_for(size);
    making->piece = malloc(making->count * sizeof(handle_t));
    return making->piece ? 0 : -ENOMEM;
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

void
sc_making_undo(sinter_cache *cache, struct sc_making *making)
{
    while (making->made > 0)
        handle_free(cache->store, making->piece[--making->made]);
}

void
sc_making_end(sinter_cache *cache, struct sc_making *making)
{
    sc_making_undo(cache, making);
    free(making->piece);
}

void
sc_large_retire(sinter_cache *cache, const struct sc_item *item)
{
    uint64_t count = sc_pieces_for(sc_item_value_size(item));
    for (uint64_t i = 0; i < count; i++)
        handle_retire(cache->store, sc_item_piece(item, i));
}

/* ---- reading --------------------------------------------------------------------------------- */

bool
sc_large_next(const sinter_cache *cache, struct sinter_cache_view *view)
{
    const struct sc_item *item = view->reserved[0];
    uint64_t number = (uintptr_t)view->reserved[1], at = number * SC_PIECE_BYTES;
    if (!item || at >= view->info.size)
        return false;
    view->data = handle_deref(cache->store, sc_item_piece(item, number));
    view->data_size = sc_min(view->info.size - at, SC_PIECE_BYTES);
    view->reserved[1] = (const void *)(uintptr_t)(number + 1);
    return true;
}

void
sc_large_copy(const sinter_cache *cache, const struct sc_item *item, char *buffer)
{
    uint64_t size = sc_item_value_size(item);
    for (uint64_t at = 0; at < size; at += SC_PIECE_BYTES)
        memcpy(buffer + at, handle_deref(cache->store, sc_item_piece(item, at / SC_PIECE_BYTES)),
               sc_min(size - at, SC_PIECE_BYTES));
}
