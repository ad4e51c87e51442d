/* SPDX-License-Identifier: MIT */
/* write.h - how an item is stored; what the calls that write are made of. */
#ifndef SC_WRITE_H
#define SC_WRITE_H

#include "cache/large.h"
#include "cache/room.h"

enum sc_mode { SC_SET, SC_ADD, SC_REPLACE, SC_CAS };

/** An item that is to be stored. */
struct sc_write {
    enum sc_mode mode;
    struct sc_key key;
    const void *value;
    uint64_t size;
    uint32_t flags;
    bool expires;
    bool keeps_deadline; /* of the item that it replaces, as it is then; says whether it expires */
    bool retimes;        /* it is the item with this cas once more, with room for a deadline */
    uint64_t deadline;   /* ms of the cache's clock; 0: never */
    uint64_t cas;        /* SC_CAS: what it has to be */
    /* Slot bytes of the item that it is a new version of, and that stays till then: its hit is
     * noted already; 0: of none. */
    uint64_t beside;
    /* filled in by sc_write_item */
    size_t bytes;   /* of the item's own object */
    uint64_t slots; /* of all its objects */
    uint64_t fresh; /* of them those that are made: pieces of what is there may stay */
    struct sc_making making;
    uint64_t given_cas;
    struct sc_item *item; /* reserved and filled; NULL: not yet */
    struct handle_reserved reserved;
};

/** Stores it. 0 or a negative errno. */
int sc_write_item(sinter_cache *cache, struct sc_write *write);

#endif
