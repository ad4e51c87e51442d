/* SPDX-License-Identifier: MIT */
/*
 * large.h - values of more than an object that can be moved: kept in pieces of 60 KiB, each an
 * object with a handle, which the item's own object lists. The pieces are filled before the item
 * can be found, and retired after it cannot be found any more: so a reader, which has the old item
 * or the new one to the end of its section, has all pieces of its value.
 */
#ifndef SC_LARGE_H
#define SC_LARGE_H

#include "cache/whole.h"

/** The pieces of a value that is being set. */
struct sc_making {
    handle_t *piece;
    uint64_t count, made;
};

static inline bool
sc_is_large(size_t key_size, uint64_t value_size)
{
    return 20 + key_size + value_size > SC_PIECE_BYTES;
}

/** Begins: room for the names of the pieces. 0, or -ENOMEM. */
int sc_making_begin(struct sc_making *making, uint64_t size);
/** Makes the pieces that are not yet made, in a section. 0, or what the store answers. */
int sc_making_fill(sinter_cache *cache, struct sc_making *making, const char *value, uint64_t size);
/** Frees what was made; it can be made again. */
void sc_making_undo(sinter_cache *cache, struct sc_making *making);
/** The same, and forgets about it. */
void sc_making_end(sinter_cache *cache, struct sc_making *making);

/** An item that nobody finds any more: in a section that is open since it could be found. */
void sc_large_retire(sinter_cache *cache, const struct sc_item *item);

/** Shows the next piece, by its number in reserved[1], of the item that reserved[0] names. False:
 * there is none. */
bool sc_large_next(const sinter_cache *cache, struct sinter_cache_view *view);
void sc_large_copy(const sinter_cache *cache, const struct sc_item *item, char *buffer);

/** Copies a value, of `size` bytes. */
static inline void
sc_copy_value(const sinter_cache *cache, const struct sc_item *item, uint64_t size, char *buffer)
{
    if (sc_unlikely(sc_item_in_pieces(item)))
        sc_large_copy(cache, item, buffer);
    else if (size)
        memcpy(buffer, sc_item_value(item), size);
}

#endif
