/* SPDX-License-Identifier: MIT */
/*
 * item.h - how an item lies in its object.
 *
 *   0      word: cas 48 bits | size of the key 11 | expires 1 | has flags 1 | in pieces 1
 *   8      expires: 8 bytes, deadline in ms 48 bits | size of the value 16, written in place by
 *          touch; else 4 bytes, size of the value
 *   12/16  has flags: 4 bytes
 *   then   key, value
 *
 * In pieces: what stands for the value is its size, 8 bytes, and the handles of the pieces. Nothing
 * but the deadline changes once the item can be found.
 */
#ifndef SC_ITEM_H
#define SC_ITEM_H

#include "cache/base.h"

#include <unistd.h>

#define SC_CAS_BITS      48
#define SC_KEY_BITS      11
#define SC_ITEM_EXPIRES  (UINT64_C(1) << 59)
#define SC_ITEM_FLAGS    (UINT64_C(1) << 60)
#define SC_ITEM_PIECES   (UINT64_C(1) << 61)
#define SC_DEADLINE_BITS 48
_Static_assert(SINTER_CACHE_KEY_MAX < 1u << SC_KEY_BITS, "a key's size fits into its bits");

/** Largest item that lies in one object, and size of a piece: with the store's header a slot of
 * 60 KiB. */
#define SC_PIECE_BYTES ((60u << 10) - 8)

struct sc_item {
    uint64_t word;
    uint64_t expiry; /* atomic; its upper half is something else where the item does not expire */
};

static inline uint64_t
sc_item_cas(const struct sc_item *item)
{
    return item->word & ((UINT64_C(1) << SC_CAS_BITS) - 1);
}

static inline size_t
sc_item_key_size(const struct sc_item *item)
{
    return item->word >> SC_CAS_BITS & ((1u << SC_KEY_BITS) - 1);
}

static inline bool
sc_item_in_pieces(const struct sc_item *item)
{
    return item->word & SC_ITEM_PIECES;
}

/** Bytes before the key. */
static inline size_t
sc_item_head(uint64_t word)
{
    return 12 + (word & SC_ITEM_EXPIRES ? 4 : 0) + (word & SC_ITEM_FLAGS ? 4 : 0);
}

static inline const char *
sc_item_key(const struct sc_item *item)
{
    return (const char *)item + sc_item_head(item->word);
}

/** The value, or what stands for it. */
static inline const char *
sc_item_value(const struct sc_item *item)
{
    return sc_item_key(item) + sc_item_key_size(item);
}

static inline bool
sc_item_has_key(const struct sc_item *item, const void *key, size_t size)
{
    return sc_item_key_size(item) == size && memcmp(sc_item_key(item), key, size) == 0;
}

static inline handle_t
sc_item_piece(const struct sc_item *item, uint64_t number)
{
    handle_t handle;
    memcpy(&handle, sc_item_value(item) + (1 + number) * sizeof(handle), sizeof(handle));
    return handle;
}

static inline uint64_t
sc_pieces_for(uint64_t size)
{
    return (size + SC_PIECE_BYTES - 1) / SC_PIECE_BYTES;
}

/** What stands for a value in pieces. */
static inline uint64_t
sc_list_bytes(uint64_t size)
{
    return sizeof(size) + sc_pieces_for(size) * sizeof(handle_t);
}

/** Size of the value. */
static inline uint64_t
sc_item_value_size(const struct sc_item *item)
{
    if (sc_item_in_pieces(item)) {
        uint64_t bytes;
        memcpy(&bytes, sc_item_value(item), sizeof(bytes));
        return bytes;
    }
    if (item->word & SC_ITEM_EXPIRES)
        return sc_load(&item->expiry) & 0xffff;
    uint32_t size;
    memcpy(&size, &item->expiry, sizeof(size));
    return size;
}

/** Size of the item's own object. */
static inline size_t
sc_item_bytes(const struct sc_item *item)
{
    uint64_t value = sc_item_value_size(item);
    if (sc_item_in_pieces(item))
        value = sc_list_bytes(value);
    return sc_item_head(item->word) + sc_item_key_size(item) + value;
}

/** When it expires, ms of the cache's clock; 0: never. */
static inline uint64_t
sc_item_deadline(const struct sc_item *item)
{
    return item->word & SC_ITEM_EXPIRES ? sc_load(&item->expiry) >> 16 : 0;
}

static inline void
sc_item_set_deadline(struct sc_item *item, uint64_t deadline)
{
    sc_store(&item->expiry, deadline << 16 | (sc_load(&item->expiry) & 0xffff));
}

static inline uint32_t
sc_item_flags(const struct sc_item *item)
{
    uint32_t flags = 0;
    if (item->word & SC_ITEM_FLAGS)
        memcpy(&flags, sc_item_key(item) - sizeof(flags), sizeof(flags));
    return flags;
}

/** What a slot for an object of this size takes of the store: its header, rounded as it does. */
static inline uint64_t
sc_slot_bytes(uint64_t size)
{
    uint64_t slot = size + 8;
    if (slot <= 512)
        return sc_align(slot, 8);
    if (slot > 64u << 10)
        return sc_align(slot, (uint64_t)sysconf(_SC_PAGESIZE));
    uint64_t power = UINT64_C(1) << (63 - __builtin_clzll(slot - 1));
    return sc_align(slot, power / (slot <= 2048 ? 32 : 16));
}

/** What pieces take of the store, with their entries in its table. */
static inline uint64_t
sc_slots_of_pieces(uint64_t size)
{
    uint64_t rest = size % SC_PIECE_BYTES;
    return size / SC_PIECE_BYTES * sc_slot_bytes(SC_PIECE_BYTES) +
           (rest ? sc_slot_bytes(rest) : 0) + 8 * sc_pieces_for(size);
}

/** What an item takes of the store: its object's slot, and those of its pieces. */
static inline uint64_t
sc_item_slots(const struct sc_item *item)
{
    return sc_slot_bytes(sc_item_bytes(item)) +
           (sc_item_in_pieces(item) ? sc_slots_of_pieces(sc_item_value_size(item)) : 0);
}

#endif
