/* SPDX-License-Identifier: MIT */
/*
 * write.c - storing an item: room is made, memory reserved and filled, then the pair is locked, and
 * the item goes into a free cell or in the place of the one with its key. What the store refuses is
 * answered before, outside of locks (room.h). The other calls that write stand in modify.c.
 */
#include "cache/write.h"

#include "cache/grow.h"
#include "cache/move.h"
#include "cache/ring.h"
#include "cache/sweep.h"

#define REFUSALS_TOGETHER 4u /* of a value in pieces, while others make theirs */

/* ---- filling --------------------------------------------------------------------------------- */

static uint64_t
word_of(const struct sc_write *write, uint64_t cas)
{
    return cas | (uint64_t)write->key.size << SC_CAS_BITS | (write->expires ? SC_ITEM_EXPIRES : 0) |
           (write->flags ? SC_ITEM_FLAGS : 0) | (write->making.count ? SC_ITEM_PIECES : 0);
}

static __thread uint64_t written;

uint64_t
sinter_cache_written(void)
{
    return written;
}

static uint64_t
next_cas(sinter_cache *cache)
{
    uint64_t cas;
    do
        cas = (sc_fetch_add(&cache->cas, 1) + 1) & ((UINT64_C(1) << SC_CAS_BITS) - 1);
    while (cas == 0);
    return cas;
}

static void
fill_value(char *at, const struct sc_write *write)
{
    if (!write->making.count) {
        if (write->size)
            memcpy(at, write->value, write->size);
        return;
    }
    memcpy(at, &write->size, sizeof(write->size));
    memcpy(at + sizeof(write->size), write->making.piece, write->making.count * sizeof(handle_t));
}

static void
fill(sinter_cache *cache, struct sc_item *item, struct sc_write *write)
{
    uint32_t inside = write->making.count ? 0 : (uint32_t)write->size;
    uint64_t expiry = write->deadline << 16 | inside;
    write->given_cas = next_cas(cache);
    item->word = word_of(write, write->given_cas);
    char *key = (char *)item + sc_item_head(item->word);
    if (write->expires)
        memcpy(&item->expiry, &expiry, sizeof(expiry));
    else
        memcpy(&item->expiry, &inside, sizeof(inside));
    if (write->flags)
        memcpy(key - sizeof(write->flags), &write->flags, sizeof(write->flags));
    memcpy(key, write->key.bytes, write->key.size);
    fill_value(key + write->key.size, write);
}

/* The item that is there once more, with another deadline, or with its first. */
static void
fill_again(const struct sc_write *write, const struct sc_item *there)
{
    uint64_t inside = sc_item_in_pieces(there) ? 0 : sc_item_value_size(there);
    uint64_t expiry = write->deadline << 16 | inside;
    uint64_t word = there->word | SC_ITEM_EXPIRES;
    size_t head = sc_item_head(there->word & ~SC_ITEM_FLAGS);
    memcpy(write->item, &word, sizeof(word));
    memcpy((char *)write->item + sizeof(word), &expiry, sizeof(expiry));
    memcpy((char *)write->item + sizeof(word) + sizeof(expiry), (const char *)there + head,
           sc_item_bytes(there) - head);
}

/* ---- under the pair's locks ------------------------------------------------------------------ */

static uint64_t
payload_of(const struct sc_item *item)
{
    return sc_item_key_size(item) + sc_item_value_size(item);
}

static int64_t
charge_of(const struct sc_write *write)
{
    return (int64_t)(write->slots + SC_CHARGE_OF_INDEX);
}

/* A free cell, by moving somebody or letting somebody go if need be. */
static bool
free_cell(sinter_cache *cache, const struct sc_pair *pair, struct sc_spot *spot,
          struct sc_left *left)
{
    if (sc_pair_free_cell(pair, spot) || sc_pair_make_cell(cache, pair, spot))
        return true;
    sc_evict_crowded(cache, pair, left);
    return sc_pair_free_cell(pair, spot);
}

static void
note_expiring(sinter_cache *cache, const struct sc_write *write)
{
    if (!write->expires)
        return;
    sc_add(&cache->sweep.expiring, 1);
    sc_sweep_wake_if_asleep(cache);
}

/* Into a free cell: from here on readers find it. marks: whether it is in main. */
static int
publish(sinter_cache *cache, struct sc_write *write, const struct sc_pair *pair,
        const struct sc_spot *spot, uint32_t marks, unsigned heat)
{
    bool away = spot->bucket != pair->home;
    if (away)
        sc_away_add(pair->home, 1);
    sc_bucket_mark(spot->bucket, spot->cell,
                   marks | (away ? SC_AWAY : 0) | (write->expires ? SC_EXPIRES : 0), heat);
    int rc = handle_cell_publish(cache->store, &spot->bucket->cell[spot->cell], &write->reserved,
                                 sc_tag(write->key.hash));
    if (rc != 0)
        return rc;
    sc_policy_change(cache, 1, charge_of(write), marks);
    sc_add(&cache->payload, write->key.size + write->size);
    note_expiring(cache, write);
    return 0;
}

static int
insert(sinter_cache *cache, struct sc_write *write, const struct sc_pair *pair,
       struct sc_left *left)
{
    struct sc_spot spot;
    if (!free_cell(cache, pair, &spot, left))
        return -EINVAL;
    bool in_main = sc_policy_admit(cache, write->key.hash) ||
                   !sc_ring_push(&cache->policy.ring, sc_place(write->key.hash));
    sc_count(cache, SC_INSERTED);
    return publish(cache, write, pair, &spot, in_main ? SC_IN_MAIN : 0, 0);
}

/* The new version in the place of the old one, in one step. */
static int
overwrite(sinter_cache *cache, struct sc_write *write, const struct sc_spot *old)
{
    int64_t more = charge_of(write) - (int64_t)sc_charge_of(old->item);
    uint64_t payload = payload_of(old->item);
    int rc = handle_cell_publish(cache->store, &old->bucket->cell[old->cell], &write->reserved,
                                 sc_tag(write->key.hash));
    if (rc != 0)
        return rc;
    if (sc_unlikely(sc_item_in_pieces(old->item)) && !write->retimes)
        sc_large_retire(cache, old->item);
    uint32_t marks = sc_bucket_marks(old->bucket, old->cell);
    if (marks & SC_EXPIRES)
        sc_sub(&cache->sweep.expiring, 1);
    if (!write->beside)
        sc_bucket_hit(old->bucket, old->cell);
    sc_bucket_mark(old->bucket, old->cell,
                   (marks & ~SC_EXPIRES) | (write->expires ? SC_EXPIRES : 0),
                   sc_bucket_heat(old->bucket, old->cell));
    if (more != 0)
        sc_policy_change(cache, 0, more, marks & SC_IN_MAIN);
    if (write->key.size + write->size != payload)
        sc_add(&cache->payload, write->key.size + write->size - payload);
    note_expiring(cache, write);
    return 0;
}

static int
check_mode(const struct sc_write *write, const struct sc_item *there)
{
    switch (write->mode) {
    case SC_ADD:
        return there ? -EEXIST : 0;
    case SC_REPLACE:
        return there ? 0 : -ENOENT;
    case SC_CAS:
        return !there ? -ENOENT : sc_item_cas(there) != write->cas ? -EEXIST : 0;
    default:
        return 0;
    }
}

static int
put(sinter_cache *cache, struct sc_write *write, const struct sc_pair *pair, struct sc_left *left)
{
    struct sc_spot spot;
    bool there = sc_pair_find(cache, pair, &write->key, &spot);
    if (there && sc_item_is_over(cache, spot.item)) {
        sc_let_go(cache, &spot, SINTER_CACHE_EXPIRED, left);
        there = false;
    }
    int rc = check_mode(write, there ? spot.item : NULL);
    if (rc != 0)
        return rc;
    if (!there)
        return insert(cache, write, pair, left);
    bool expires = spot.item->word & SC_ITEM_EXPIRES;
    if (write->keeps_deadline && write->expires != expires)
        return -ESTALE; /* it was touched, and has room for a deadline since */
    if (write->retimes)
        fill_again(write, spot.item);
    else if (write->keeps_deadline && expires)
        sc_item_set_deadline(write->item, sc_item_deadline(spot.item));
    return overwrite(cache, write, &spot);
}

/* ---- a call ---------------------------------------------------------------------------------- */

/* The item with all its objects, which nobody sees; what is made stays when the rest is refused. */
static int
prepare(sinter_cache *cache, struct sc_write *write)
{
    int rc = 0;
    if (sc_unlikely(write->making.count)) {
        sc_enter(cache);
        rc = sc_making_fill(cache, &write->making, write->value, write->size);
        sc_leave(cache);
    }
    if (rc != 0)
        return rc;
    write->item = handle_reserve(cache->store, write->bytes, 0, &write->reserved);
    if (!write->item)
        return -errno;
    if (!write->retimes)
        fill(cache, write->item, write);
    return 0;
}

/* Writers that keep their pieces while they wait for memory could wait for each other: after some
 * refusals they go one at a time, and the others give back what they have. */
static int
take_turn(sinter_cache *cache, struct sc_write *write, struct sc_try *tries)
{
    if (!tries->large || tries->nested || tries->refusals < REFUSALS_TOGETHER)
        return 0;
    while (!tries->turn) {
        tries->turn = pthread_mutex_trylock(&cache->room.turn) == 0;
        if (tries->turn)
            break;
        sc_making_undo(cache, &write->making);
        if (!sc_room_time_left(cache, tries))
            return -EAGAIN;
        sc_pause(cache);
    }
    return 0;
}

/* Attempts to get the memory, with room made in between. */
static int
attempts(sinter_cache *cache, struct sc_write *write, struct sc_try *tries)
{
    for (;;) {
        int rc = prepare(cache, write);
        if (rc != -EAGAIN && rc != -ENOMEM)
            return rc;
        rc = sc_room_answer(cache, tries, rc);
        if (rc == 0)
            rc = take_turn(cache, write, tries);
        if (rc != 0)
            return rc;
    }
}

static int
prepare_with_room(sinter_cache *cache, struct sc_write *write, bool nested)
{
    struct sc_try tries = {
        .need = write->fresh, .nested = nested, .large = write->making.count > 0};
    sc_room_make(cache, write->fresh);
    if (tries.large)
        sc_add(&cache->room.making, 1);
    int rc = attempts(cache, write, &tries);
    if (rc != 0)
        sc_making_undo(cache, &write->making);
    if (tries.large)
        sc_sub(&cache->room.making, 1);
    if (tries.turn)
        pthread_mutex_unlock(&cache->room.turn);
    return rc;
}

/* Takes no memory any more. */
static int
put_locked(sinter_cache *cache, struct sc_write *write, bool nested)
{
    struct sc_left left;
    struct sc_pair pair;
    sc_left_none(&left, 0);
    if (!sc_enter_writing(cache, nested))
        return -EAGAIN;
    sc_pair_lock(cache, sc_place(write->key.hash), &pair);
    int rc = put(cache, write, &pair, &left);
    sc_pair_unlock(&pair);
    sc_tell(cache, &left);
    if (sc_ring_trim(cache)) /* two for the one that this has added, so that they become few */
        sc_ring_trim(cache);
    sc_index_fit(cache);
    sc_room_refit(cache); /* the ring may have grown */
    sc_leave(cache);
    return rc;
}

/* Whether the mode's condition holds now: it spares an item that would be evicted for nothing. */
static int
check_before(sinter_cache *cache, struct sc_write *write)
{
    struct sc_spot spot;
    if (write->mode == SC_SET)
        return 0;
    sc_enter(cache);
    bool there = sc_index_find(cache, &write->key, &spot) && !sc_item_is_over(cache, spot.item);
    int rc = check_mode(write, there ? spot.item : NULL);
    if (rc == 0 && write->keeps_deadline)
        write->expires = spot.item->word & SC_ITEM_EXPIRES;
    sc_leave(cache);
    return rc;
}

static void
measure(struct sc_write *write, bool large)
{
    uint64_t body = large ? sc_list_bytes(write->size) : write->size;
    uint64_t pieces = large ? sc_slots_of_pieces(write->size) : 0;
    write->bytes = 12 + (write->expires ? 4 : 0) + (write->flags ? 4 : 0) + write->key.size + body;
    write->fresh = sc_slot_bytes(write->bytes) + (write->retimes ? 0 : pieces);
    write->slots = sc_slot_bytes(write->bytes) + pieces;
}

static int
make_and_put(sinter_cache *cache, struct sc_write *write, bool large)
{
    bool nested = sc_in_section(cache);
    write->item = NULL;
    write->making = (struct sc_making){0};
    int rc = large && !write->retimes ? sc_making_begin(&write->making, write->size) : 0;
    if (rc == 0)
        rc = prepare_with_room(cache, write, nested);
    if (rc == 0)
        rc = put_locked(cache, write, nested);
    if (rc == 0)
        write->making.made = 0; /* the item has them now */
    else if (write->item)
        handle_reserved_abort(cache->store, &write->reserved);
    sc_making_end(cache, &write->making);
    return rc;
}

/* Once. ESTALE: the item has got room for a deadline meanwhile, and this is to have it, too. */
static int
try_to_write(sinter_cache *cache, struct sc_write *write)
{
    bool large = sc_is_large(write->key.size, write->size);
    int rc = check_before(cache, write);
    if (rc != 0)
        return rc;
    measure(write, large);
    return write->fresh + write->beside > sc_room_most(cache) ? -E2BIG
                                                              : make_and_put(cache, write, large);
}

int
sc_write_item(sinter_cache *cache, struct sc_write *write)
{
    int rc = write->size > SC_LIMIT_MOST ? -E2BIG : -ESTALE;
    sc_policy_expect(cache, write->key.hash);
    while (rc == -ESTALE)
        rc = try_to_write(cache, write);
    if (rc == 0 && !write->retimes) {
        written = write->given_cas; /* last: callbacks of this call may have written, too */
        sc_count(cache, SC_SETS);
    } else if (rc != 0 && rc != -EEXIST && rc != -ENOENT) {
        sc_count(cache, SC_REFUSED);
    }
    return rc;
}
