/* SPDX-License-Identifier: MIT */
/*
 * modify.c - the public calls that write one item. Those that change a value copy it, and store the
 * new one if nobody has written it meanwhile; else they begin again: then somebody else got on.
 */
#include "cache/grow.h"
#include "cache/sweep.h"
#include "cache/write.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define TTL_MOST (UINT64_C(1) << 47)

static uint64_t
deadline_of(const sinter_cache *cache, uint64_t ttl_ms)
{
    return ttl_ms ? sc_min(sc_now_ms(cache) + ttl_ms, (UINT64_C(1) << SC_DEADLINE_BITS) - 1) : 0;
}

/* Stores a value of the caller's; `cas` where the mode asks for one. */
static int
store(sinter_cache *cache, enum sc_mode mode, const void *key, size_t key_size, const void *value,
      size_t size, uint32_t flags, uint64_t ttl_ms, uint64_t cas)
{
    bool keeps = ttl_ms == SINTER_CACHE_TTL_KEEP && (mode == SC_REPLACE || mode == SC_CAS);
    struct sc_write write = {.mode = mode,
                             .value = value,
                             .size = size,
                             .flags = flags,
                             .cas = cas,
                             .expires = ttl_ms != 0,
                             .keeps_deadline = keeps};
    if (!sc_key_read(cache, key, key_size, &write.key) || (!value && size) ||
        (ttl_ms > TTL_MOST && !keeps))
        return -EINVAL;
    write.deadline = keeps ? 0 : deadline_of(cache, ttl_ms);
    return sc_write_item(cache, &write);
}

int
sinter_cache_set(sinter_cache *cache, const void *key, size_t key_size, const void *value,
                 size_t size, uint32_t flags, uint64_t ttl_ms)
{
    return store(cache, SC_SET, key, key_size, value, size, flags, ttl_ms, 0);
}

int
sinter_cache_add(sinter_cache *cache, const void *key, size_t key_size, const void *value,
                 size_t size, uint32_t flags, uint64_t ttl_ms)
{
    return store(cache, SC_ADD, key, key_size, value, size, flags, ttl_ms, 0);
}

int
sinter_cache_replace(sinter_cache *cache, const void *key, size_t key_size, const void *value,
                     size_t size, uint32_t flags, uint64_t ttl_ms)
{
    return store(cache, SC_REPLACE, key, key_size, value, size, flags, ttl_ms, 0);
}

int
sinter_cache_cas(sinter_cache *cache, const void *key, size_t key_size, const void *value,
                 size_t size, uint32_t flags, uint64_t ttl_ms, uint64_t cas)
{
    return store(cache, SC_CAS, key, key_size, value, size, flags, ttl_ms, cas);
}

/* ---- changing what is there ------------------------------------------------------------------ */

/** What a call makes of an item: another value, or, without `apply`, another deadline. */
struct change {
    /** The value, copied, has `before` bytes of room in front of it, and `more` in all. */
    int (*apply)(struct sc_write *write, char *value, struct change *change);
    const void *data;
    size_t before, more;
    uint64_t delta, number; /* the latter is the result, or ms of the deadline */
    bool down;
};

static int
refuse(sinter_cache *cache, int answer)
{
    sc_count(cache, SC_REFUSED);
    return answer;
}

/* In a section. What is to be stored is what the item has, also if it is touched meanwhile; its
 * value, as the change asks. */
static int
copy_item(sinter_cache *cache, const struct sc_item *item, struct sc_write *write,
          const struct change *change, char **memory)
{
    write->keeps_deadline = true;
    write->beside = sc_item_slots(item);
    *memory = malloc(write->size + change->more + 1);
    if (!*memory)
        return refuse(cache, -ENOMEM);
    sc_copy_value(cache, item, write->size, *memory + change->before);
    return 0;
}

/* It gets room for a deadline: it is the same item still, of the same cas and the same pieces. */
static void
give_deadline(const struct sc_item *item, struct sc_write *write, uint64_t deadline)
{
    write->retimes = write->expires = true;
    write->deadline = deadline;
    write->beside = sc_slot_bytes(sc_item_bytes(item));
}

/* In a section. */
static int
begin_change(sinter_cache *cache, const struct sc_spot *spot, struct sc_write *write,
             const struct change *change, char **memory)
{
    sc_bucket_hit(spot->bucket, spot->cell); /* before it could go for its own new version */
    write->cas = sc_item_cas(spot->item);
    write->flags = sc_item_flags(spot->item);
    write->size = sc_item_value_size(spot->item);
    if (change->apply)
        return copy_item(cache, spot->item, write, change, memory);
    give_deadline(spot->item, write, change->number);
    return 0;
}

/* Once; EEXIST: somebody else has written it meanwhile. */
static int
try_change(sinter_cache *cache, const struct sc_key *key, struct change *change)
{
    struct sc_write write = {.mode = SC_CAS, .key = *key};
    struct sc_spot spot;
    char *memory = NULL;
    int rc = -ENOENT;
    sc_enter(cache);
    if (sc_index_find(cache, key, &spot) && !sc_item_is_over(cache, spot.item))
        rc = begin_change(cache, &spot, &write, change, &memory);
    sc_leave(cache);
    if (rc == 0 && change->apply)
        rc = change->apply(&write, memory, change);
    if (rc == 0)
        rc = sc_write_item(cache, &write);
    free(memory);
    return rc;
}

static int
change_item(sinter_cache *cache, const void *key, size_t key_size, struct change *change)
{
    struct sc_key name;
    int rc;
    if (!sc_key_read(cache, key, key_size, &name) || (!change->data && change->more))
        return -EINVAL;
    if (change->more > SC_LIMIT_MOST)
        return refuse(cache, -E2BIG);
    do
        rc = try_change(cache, &name, change);
    while (rc == -EEXIST);
    return rc;
}

static int
extend(struct sc_write *write, char *value, struct change *change)
{
    if (change->more)
        memcpy(value + (change->before ? 0 : write->size), change->data, change->more);
    write->value = value;
    write->size += change->more;
    return 0;
}

int
sinter_cache_append(sinter_cache *cache, const void *key, size_t key_size, const void *data,
                    size_t size)
{
    struct change change = {.apply = extend, .data = data, .more = size};
    return change_item(cache, key, key_size, &change);
}

int
sinter_cache_prepend(sinter_cache *cache, const void *key, size_t key_size, const void *data,
                     size_t size)
{
    struct change change = {.apply = extend, .data = data, .more = size, .before = size};
    return change_item(cache, key, key_size, &change);
}

static bool
number_of(const char *text, uint64_t size, uint64_t *number)
{
    if (size < 1 || size > 20)
        return false;
    *number = 0;
    for (uint64_t i = 0; i < size; i++) {
        uint64_t digit = (uint64_t)(text[i] - '0');
        if (text[i] < '0' || digit > 9 || __builtin_mul_overflow(*number, 10, number) ||
            __builtin_add_overflow(*number, digit, number))
            return false;
    }
    return true;
}

#define NUMBER_ROOM 24u /* digits of any number, and a 0 */

static int
count_on(struct sc_write *write, char *value, struct change *change)
{
    uint64_t number;
    if (!number_of(value, write->size, &number))
        return -EDOM;
    if (change->down)
        change->number = sc_less(number, change->delta);
    else
        __builtin_add_overflow(number, change->delta, &change->number); /* it wraps */
    write->size = (uint64_t)snprintf(value, NUMBER_ROOM, "%" PRIu64, change->number);
    write->value = value;
    return 0;
}

static int
count(sinter_cache *cache, const void *key, size_t key_size, uint64_t delta, bool down,
      uint64_t *result_value)
{
    struct change change = {
        .apply = count_on, .data = "", .more = NUMBER_ROOM, .delta = delta, .down = down};
    int rc = change_item(cache, key, key_size, &change);
    if (rc == 0 && result_value)
        *result_value = change.number;
    return rc;
}

int
sinter_cache_incr(sinter_cache *cache, const void *key, size_t key_size, uint64_t delta,
                  uint64_t *result_value)
{
    return count(cache, key, key_size, delta, false, result_value);
}

int
sinter_cache_decr(sinter_cache *cache, const void *key, size_t key_size, uint64_t delta,
                  uint64_t *result_value)
{
    return count(cache, key, key_size, delta, true, result_value);
}

/* ---- touch, delete --------------------------------------------------------------------------- */

/* Under its lock. False: it has no room for a deadline. */
static bool
touch_in_place(sinter_cache *cache, const struct sc_spot *spot, uint64_t deadline)
{
    if (!(spot->item->word & SC_ITEM_EXPIRES))
        return deadline == 0;
    struct sc_item *item = handle_cell_deref_mut(cache->store, &spot->bucket->cell[spot->cell]);
    if (!item)
        return false;
    sc_item_set_deadline(item, deadline);
    sc_bucket_hit(spot->bucket, spot->cell);
    return true;
}

/* Finds the key under its lock, in a section that is open then, and to be left by end_write. */
static int
begin_write(sinter_cache *cache, const struct sc_key *key, struct sc_pair *pair,
            struct sc_spot *spot)
{
    if (!sc_enter_writing(cache, sc_in_section(cache)))
        return -EAGAIN;
    sc_pair_lock(cache, sc_place(key->hash), pair);
    if (sc_pair_find(cache, pair, key, spot) && !sc_item_is_over(cache, spot->item))
        return 0;
    sc_pair_unlock(pair);
    sc_leave(cache);
    return -ENOENT;
}

static void
end_write(sinter_cache *cache, const struct sc_pair *pair)
{
    sc_pair_unlock(pair);
    sc_index_fit(cache);
    sc_leave(cache);
}

/* Once; EEXIST: somebody else has written it meanwhile. */
static int
try_touch(sinter_cache *cache, const struct sc_key *key, uint64_t deadline)
{
    struct change change = {.number = deadline};
    struct sc_pair pair;
    struct sc_spot spot;
    int rc = begin_write(cache, key, &pair, &spot);
    if (rc != 0)
        return rc;
    bool done = touch_in_place(cache, &spot, deadline);
    end_write(cache, &pair);
    return done ? 0 : try_change(cache, key, &change);
}

int
sinter_cache_touch(sinter_cache *cache, const void *key, size_t key_size, uint64_t ttl_ms)
{
    struct sc_key name;
    int rc;
    if (ttl_ms > TTL_MOST || !sc_key_read(cache, key, key_size, &name))
        return -EINVAL;
    do
        rc = try_touch(cache, &name, deadline_of(cache, ttl_ms));
    while (rc == -EEXIST);
    return rc;
}

int
sinter_cache_delete(sinter_cache *cache, const void *key, size_t key_size, uint64_t cas)
{
    struct sc_key name;
    struct sc_pair pair;
    struct sc_spot spot;
    if (!sc_key_read(cache, key, key_size, &name))
        return -EINVAL;
    int rc = begin_write(cache, &name, &pair, &spot);
    if (rc != 0)
        return rc;
    if (cas && sc_item_cas(spot.item) != cas) {
        rc = -EEXIST;
    } else {
        sc_count(cache, SC_DELETED);
        sc_take_out(cache, &spot);
    }
    end_write(cache, &pair);
    return rc;
}
