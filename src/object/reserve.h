/* SPDX-License-Identifier: MIT */
/*
 * reserve.h - objects that nobody sees until they are published (G9 in reference.h). One has a slot
 * whose header is clear, as of a free slot: the mover, walks and checks pass it by, and the slot is
 * in no bin, no bitmap's free bits and no limbo. It counts as allocated. Who publishes it, under a
 * handle (handle.c) or in a cell (cell.c), writes the header, then the word.
 */
#ifndef SN_RESERVE_H
#define SN_RESERVE_H

#include "object/object.h"

/** What struct handle_reserved keeps, opaque to the caller. */
struct sn_reserved {
    void *object;
    uint64_t size;
    uint64_t slot;
    uint64_t word; /* that will name it, without a tag */
    uint64_t mark; /* sn_reserved_mark; 0: the reservation is over */
    double weight; /* ANY: 0, or the profile has drawn it, see core/profile.h */
};
_Static_assert(sizeof(struct sn_reserved) == sizeof(struct handle_reserved), "same layout");

enum sn_reserved_kind {
    SN_RESERVED_CLASS = 0, /* the object lies in a slot of a class */
    SN_RESERVED_ANY = 1,   /* it may be large, or drawn */
    SN_RESERVED_CELLS = 2, /* the same, and is HANDLE_CELLS */
};

/** By the store's number: its address may be another one's later. */
static inline uint64_t
sn_reserved_mark(const handle_store *store, enum sn_reserved_kind kind)
{
    return store->number + kind;
}

static inline struct sn_reserved *
sn_reserved(struct handle_reserved *public_reserved)
{
    return (struct sn_reserved *)(void *)public_reserved;
}

/** Whether it is under way, of this store, and fit for the fast paths of publishing: the object has
 * a class. */
static inline bool
sn_reserved_has_class(const handle_store *store, const struct sn_reserved *reserved)
{
    return sn_likely(store != NULL) && sn_likely(reserved != NULL) &&
           sn_likely(reserved->mark == sn_reserved_mark(store, SN_RESERVED_CLASS));
}

/** Whether it is under way, and of this store. */
static inline bool
sn_reserved_is(const handle_store *store, const struct sn_reserved *reserved)
{
    return sn_reserved_has_class(store, reserved) ||
           (store && reserved &&
            (reserved->mark == sn_reserved_mark(store, SN_RESERVED_ANY) ||
             reserved->mark == sn_reserved_mark(store, SN_RESERVED_CELLS)));
}

/** The fast path of publishing, between enter and leave: the reservation is over, and the header
 * names R. What R becomes is left to the caller. */
static inline void
sn_reserved_publish(handle_store *store, struct sn_thread_cache *cache,
                    struct sn_reserved *reserved, const uint64_t *reference)
{
    sn_owner_dec(&cache->reserved);
    reserved->mark = 0;
    sn_object_set_owner(store, reserved->slot, reserved->size & SN_HEADER_SIZE, reference);
}

/** The same on slow paths, for any object. */
void sn_reserved_publish_slow(handle_store *store, struct sn_reserved *reserved,
                              const uint64_t *reference);

#endif
