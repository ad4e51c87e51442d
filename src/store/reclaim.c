/* SPDX-License-Identifier: MIT */
/* reclaim.c - see reclaim.h. */
#include "store/reclaim.h"

#include "core/hardened.h"
#include "object/retire.h"
#include "thread/drain.h"
#include "thread/limbo.h"

/* A key: the class above the slot's offset. */
#define KEY_CLASS_AT 48
#define KEY_SLOT     ((UINT64_C(1) << KEY_CLASS_AT) - 1)

_Static_assert((KEY_CLASS_AT - SN_BLOCK_SHIFT) % 8 == 0,
               "the class is the digit behind the block's");
_Static_assert(SN_RECLAIM_AT + SN_RECLAIM_SLOTS_MAX * 2 * sizeof(uint64_t) <= SN_DEFRAG_AT,
               "the mover's state lies behind it");

void
sn_reclaim_init(handle_store *store, uint64_t max_bytes)
{
    struct sn_reclaim *reclaim = &store->reclaim;
    uint64_t share = max_bytes ? max_bytes / SN_RECLAIM_SHARE : SN_RECLAIM_SLOTS_MAX;
    reclaim->slots = (uint32_t)sn_min(sn_max(share, SN_RECLAIM_SLOTS_MIN), SN_RECLAIM_SLOTS_MAX);
    reclaim->keys = (uint64_t *)(void *)((char *)store + SN_RECLAIM_AT);
}

void
sn_reclaim_end(handle_store *store)
{
    sn_limbo_free_chunks(&store->caches, &store->reclaim.limbo);
}

bool
sn_reclaim_gather(handle_store *store)
{
    bool tails = sn_large_gather(&store->large);
    store->reclaim.retired = sn_retired_take(store);
    return sn_caches_drain_limbo(&store->caches, &store->reclaim.limbo) || tails ||
           store->reclaim.retired != 0;
}

/* ---- order ----------------------------------------------------------------------------------- */

static uint64_t
key_of(const handle_store *store, uint64_t slot)
{
    return (uint64_t)sn_object_class(store, slot) << KEY_CLASS_AT | slot;
}

/* Moves keys to `to`, ordered by the 8 bits from `shift` on; keeps the order among equals. False:
 * these are the same in all of them, nothing is moved. */
static bool
order_by(const uint64_t *keys, uint64_t *to, uint32_t count, unsigned shift)
{
    uint32_t begin[257] = {0};
    for (uint32_t i = 0; i < count; i++)
        begin[(keys[i] >> shift & 255) + 1]++;
    if (count == 0 || begin[(keys[0] >> shift & 255) + 1] == count)
        return false;
    for (unsigned digit = 1; digit < 256; digit++)
        begin[digit] += begin[digit - 1];
    for (uint32_t i = 0; i < count; i++)
        to[begin[keys[i] >> shift & 255]++] = keys[i];
    return true;
}

/*
 * By class and block, so that slots of one class, and of one span, follow one another: a radix sort
 * from the lowest digit on. Result: the array that holds them, one of the two.
 */
static uint64_t *
order(const handle_store *store, uint64_t *keys, uint64_t *other, uint32_t count)
{
    uint32_t blocks = sn_load_relaxed(&store->pool.high);
    for (unsigned at = SN_BLOCK_SHIFT; at <= KEY_CLASS_AT; at += 8) {
        bool none = at < KEY_CLASS_AT && blocks >> (at - SN_BLOCK_SHIFT) == 0;
        if (none || !order_by(keys, other, count, at))
            continue;
        uint64_t *ordered = other;
        other = keys;
        keys = ordered;
    }
    return keys;
}

/* ---- giving back ----------------------------------------------------------------------------- */

static void
put_large(handle_store *store, uint64_t slot)
{
    uint64_t bytes = sn_object_slot_bytes(store, slot);
    bytes += sn_large_put(&store->large, slot);
    sn_sub_relaxed(&store->caches.limbo_bytes, bytes);
}

/* Those of one class, from the keys' begin on. Result: how many. */
static uint32_t
put_class(handle_store *store, uint64_t *keys, uint32_t count)
{
    enum { LOCKED = 256 }; /* slots given back per lock: allocations of the class come between */
    unsigned class_id = (unsigned)(keys[0] >> KEY_CLASS_AT);
    uint32_t same = 0;
    if (class_id >= SN_CLASSES_MAX) {
        put_large(store, keys[0] & KEY_SLOT);
        return 1;
    }
    for (; same < count && same < LOCKED && keys[same] >> KEY_CLASS_AT == class_id; same++)
        keys[same] &= KEY_SLOT;
    sn_heap_put(&store->heap, class_id, keys, same);
    sn_sub_relaxed(&store->caches.limbo_bytes,
                   (uint64_t)same * store->classes.of[class_id].slot_bytes);
    return same;
}

/* Gives back the slots that were taken up. */
static void
give_back(handle_store *store)
{
    uint64_t *keys = store->reclaim.keys;
    uint32_t count = store->reclaim.count;
    store->reclaim.count = 0;
    for (uint32_t i = 0; store->hardened && i < count; i++)
        sn_poison_write(store, keys[i] & KEY_SLOT);
    keys = order(store, keys, keys + store->reclaim.slots, count);
    for (uint32_t done = 0; done < count;)
        done += put_class(store, keys + done, count - done);
}

/* The next slot of a list; 0: it has ended. The one behind it is asked for from memory. */
static uint64_t
take_next(const handle_store *store, uint64_t *list)
{
    uint64_t slot = *list;
    if (slot == 0)
        return 0;
    *list = sn_limbo_next(sn_load_relaxed(sn_header_of(&store->pool, slot)));
    if (*list != 0)
        __builtin_prefetch(sn_header_of(&store->pool, *list));
    return slot;
}

static bool
is_pinned(void *opaque, uint64_t slot)
{
    return sn_object_pins(opaque, slot) != 0;
}

void
sn_reclaim_tails(handle_store *store)
{
    size_t bytes = sn_large_finish_tails(&store->large, is_pinned, store);
    sn_sub_relaxed(&store->caches.limbo_bytes, bytes);
}

/* Takes a slot up whose grace period is over. */
static void
add_key(handle_store *store, uint64_t slot)
{
    /* A block with a bin has no pins (G5): nothing to look for. */
    if (sn_likely(sn_object_bin(store, slot) != SN_CLASS_NONE) ||
        sn_object_is_unpinned(store, slot))
        store->reclaim.keys[store->reclaim.count++] = key_of(store, slot);
}

/* Makes room for so many slots more. */
static void
make_room(handle_store *store, uint32_t slots)
{
    const struct sn_reclaim *reclaim = &store->reclaim;
    if (reclaim->count + slots > reclaim->slots)
        give_back(store);
}

/* Result: slots looked at; 0: there is no chunk any more. */
static uint32_t
take_chunk(handle_store *store)
{
    struct sn_limbo *limbo = &store->reclaim.limbo;
    struct sn_limbo_chunk *chunk = limbo->chunks;
    if (!chunk)
        return 0;
    make_room(store, SN_LIMBO_CHUNK_SLOTS);
    for (uint32_t i = 0; i < chunk->count; i++)
        add_key(store, chunk->slot[i]);
    limbo->chunks = chunk->next;
    sn_limbo_free_chunk(&store->caches, chunk);
    return SN_LIMBO_CHUNK_SLOTS;
}

/* One slot of each list: they are followed side by side, since in one alone each slot would be a
 * miss waited for. Result: slots looked at; 0: the lists have ended. */
static uint32_t
take_from_lists(handle_store *store)
{
    bool any = false;
    make_room(store, SN_LIMBO_LISTS);
    for (unsigned i = 0; i < SN_LIMBO_LISTS; i++) {
        uint64_t slot = take_next(store, &store->reclaim.limbo.list[i]);
        any |= slot != 0;
        if (slot != 0)
            add_key(store, slot);
    }
    return any ? SN_LIMBO_LISTS : 0;
}

bool
sn_reclaim_give_back(handle_store *store)
{
    struct sn_reclaim *reclaim = &store->reclaim;
    sn_caches_begin_work(&store->caches);
    sn_reclaim_tails(store);
    bool retired = sn_retired_end(store, &reclaim->retired);
    uint32_t taken = 1;
    for (uint32_t looks = 0; taken > 0 && looks < SN_RECLAIM_PIECE_SLOTS; looks += taken) {
        taken = take_chunk(store);
        if (taken == 0)
            taken = take_from_lists(store);
    }
    give_back(store);
    sn_caches_end_work(&store->caches);
    return taken > 0 || retired;
}
