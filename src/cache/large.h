/* SPDX-License-Identifier: MIT */
/*
 * large.h - values of more than an object that can be moved: kept in pieces of 60 KiB, each an
 * object with a handle, which the item's own object lists. The pieces are filled before the item
 * can be found, so that a reader has the old value or the new one.
 *
 * A freed handle is stale at once, also for a reader that has the item already. So an item in
 * pieces leaves slowly: its cell is relocated into a record of its own (struct sc_aside, made with
 * the item), where nobody looks; after a grace period the pieces are freed, then the item; and
 * after another one the record, in which the cell lay. Whoever wants the memory waits for both.
 */
#ifndef SC_LARGE_H
#define SC_LARGE_H

#include "cache/whole.h"

struct sc_aside {
    struct sc_aside *next;
    handle_cell cell;
};

/** The pieces of a value that is being set. */
struct sc_making {
    handle_t *piece;
    uint64_t count, made;
    struct sc_aside *aside;
};

static inline bool
sc_is_large(size_t key_size, uint64_t value_size)
{
    return 20 + key_size + value_size > SC_PIECE_BYTES;
}

/** Begins: room for the names of the pieces. 0, or -ENOMEM. */
int sc_making_begin(sinter_cache *cache, struct sc_making *making, uint64_t size);
/** Makes the pieces that are not yet made, in a section. 0, or what the store answers. */
int sc_making_fill(sinter_cache *cache, struct sc_making *making, const char *value, uint64_t size);
/** Forgets about it: what was made is freed. */
void sc_making_abort(sinter_cache *cache, struct sc_making *making);

/** An item leaves; its bucket is locked. The cell is empty afterwards. */
void sc_large_leave(sinter_cache *cache, const struct sc_item *item, handle_cell *cell);
/** Frees what has left, as far as this needs no more than one grace period (wait: it is waited
 * for); outside of sections, by the owner of `slow`. True: there was something. */
bool sc_large_drain(sinter_cache *cache, bool wait);
static inline bool
sc_large_waits(const sinter_cache *cache)
{
    return sc_load(&cache->large.leaving) || sc_load(&cache->large.left);
}
/** Frees the record of an item whose store is about to go. */
void sc_large_forget(sinter_cache *cache, const struct sc_item *item);

/** The first piece. */
void sc_large_view(const sinter_cache *cache, const struct sc_item *item,
                   struct sinter_cache_view *view);
/** The next one; false: there is none. */
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
