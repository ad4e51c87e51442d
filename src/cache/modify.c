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

static bool
good_key(const sinter_cache *cache, const void *key, size_t size)
{
    return cache && key && size >= 1 && size <= SINTER_CACHE_KEY_MAX;
}

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
    struct sc_write write = {.mode = mode,
                             .key = key,
                             .key_size = key_size,
                             .value = value,
                             .size = size,
                             .flags = flags,
                             .cas = cas,
                             .expires = ttl_ms != 0};
    if (!good_key(cache, key, key_size) || (!value && size) || ttl_ms > TTL_MOST)
        return -EINVAL;
    if (size > SC_LIMIT_MOST)
        return -E2BIG;
    write.deadline = deadline_of(cache, ttl_ms);
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

/* The item's value, copied to `before` bytes behind the begin of memory that has room for `more`
 * bytes beside it; the caller frees it. The rest of what is to be stored comes from the item, too.
 */
static int
copy_item(sinter_cache *cache, struct sc_write *write, size_t before, size_t more, char **memory)
{
    struct sc_spot spot;
    struct sinter_cache_view view;
    sc_enter(cache);
    if (!sc_index_find(cache, sc_hash(cache->secret, write->key, write->key_size), write->key,
                       write->key_size, &spot) ||
        sc_item_is_over(cache, spot.item)) {
        sc_leave(cache);
        return -ENOENT;
    }
    sc_view(cache, spot.item, &view);
    write->cas = view.info.cas;
    write->flags = view.info.flags;
    write->size = view.info.size;
    write->deadline = sc_item_deadline(spot.item);
    write->expires = spot.item->word & SC_ITEM_EXPIRES;
    write->keeps_deadline = true; /* a touch is none of those that it competes with */
    *memory = write->size <= SC_LIMIT_MOST ? malloc(view.info.size + more + 1) : NULL;
    if (*memory) {
        char *at = *memory + before;
        do {
            if (view.data_size)
                memcpy(at, view.data, view.data_size);
            at += view.data_size;
        } while (sc_large_next(cache, &view));
    }
    sc_leave(cache);
    return *memory ? 0 : -ENOMEM;
}

static int
extend(sinter_cache *cache, const void *key, size_t key_size, const void *data, size_t size,
       bool in_front)
{
    int rc;
    if (!good_key(cache, key, key_size) || (!data && size))
        return -EINVAL;
    if (size > SC_LIMIT_MOST)
        return -E2BIG;
    do {
        char *memory;
        struct sc_write write = {.mode = SC_CAS, .key = key, .key_size = key_size};
        rc = copy_item(cache, &write, in_front ? size : 0, size, &memory);
        if (rc != 0)
            return rc;
        if (size)
            memcpy(memory + (in_front ? 0 : write.size), data, size);
        write.value = memory;
        write.size += size;
        rc = sc_write_item(cache, &write);
        free(memory);
    } while (rc == -EEXIST);
    return rc;
}

int
sinter_cache_append(sinter_cache *cache, const void *key, size_t key_size, const void *data,
                    size_t size)
{
    return extend(cache, key, key_size, data, size, false);
}

int
sinter_cache_prepend(sinter_cache *cache, const void *key, size_t key_size, const void *data,
                     size_t size)
{
    return extend(cache, key, key_size, data, size, true);
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

static int
count_on(sinter_cache *cache, const void *key, size_t key_size, uint64_t delta, bool down,
         uint64_t *result_value)
{
    int rc;
    if (!good_key(cache, key, key_size))
        return -EINVAL;
    do {
        char *memory, text[24];
        uint64_t number;
        struct sc_write write = {.mode = SC_CAS, .key = key, .key_size = key_size};
        rc = copy_item(cache, &write, 0, 0, &memory);
        if (rc != 0)
            return rc;
        bool good = number_of(memory, write.size, &number);
        free(memory);
        if (!good)
            return -EDOM;
        if (down)
            number = sc_less(number, delta);
        else
            __builtin_add_overflow(number, delta, &number);
        write.size = (uint64_t)snprintf(text, sizeof(text), "%" PRIu64, number);
        write.value = text;
        rc = sc_write_item(cache, &write);
        if (rc == 0 && result_value)
            *result_value = number;
    } while (rc == -EEXIST);
    return rc;
}

int
sinter_cache_incr(sinter_cache *cache, const void *key, size_t key_size, uint64_t delta,
                  uint64_t *result_value)
{
    return count_on(cache, key, key_size, delta, false, result_value);
}

int
sinter_cache_decr(sinter_cache *cache, const void *key, size_t key_size, uint64_t delta,
                  uint64_t *result_value)
{
    return count_on(cache, key, key_size, delta, true, result_value);
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
begin_write(sinter_cache *cache, const void *key, size_t key_size, uint64_t *hash,
            struct sc_pair *pair, struct sc_spot *spot)
{
    if (!good_key(cache, key, key_size))
        return -EINVAL;
    if (!sc_enter_writing(cache, sc_in_section(cache)))
        return -EAGAIN;
    *hash = sc_hash(cache->secret, key, key_size);
    sc_pair_lock(cache, sc_place(*hash), pair);
    if (sc_pair_find(cache, pair, *hash, key, key_size, spot) &&
        !sc_item_is_over(cache, spot->item))
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

static int
touch_by_copy(sinter_cache *cache, const void *key, size_t key_size, uint64_t ttl_ms)
{
    int rc;
    do {
        char *memory;
        struct sc_write write = {.mode = SC_CAS, .key = key, .key_size = key_size};
        rc = copy_item(cache, &write, 0, 0, &memory);
        if (rc != 0)
            return rc;
        write.value = memory;
        write.expires = true;
        write.keeps_deadline = false;
        write.deadline = deadline_of(cache, ttl_ms);
        rc = sc_write_item(cache, &write);
        free(memory);
    } while (rc == -EEXIST);
    return rc;
}

int
sinter_cache_touch(sinter_cache *cache, const void *key, size_t key_size, uint64_t ttl_ms)
{
    uint64_t hash;
    struct sc_pair pair;
    struct sc_spot spot;
    if (ttl_ms > TTL_MOST)
        return -EINVAL;
    int rc = begin_write(cache, key, key_size, &hash, &pair, &spot);
    if (rc != 0)
        return rc;
    bool done = touch_in_place(cache, &spot, deadline_of(cache, ttl_ms));
    end_write(cache, &pair);
    return done ? 0 : touch_by_copy(cache, key, key_size, ttl_ms);
}

int
sinter_cache_delete(sinter_cache *cache, const void *key, size_t key_size, uint64_t cas)
{
    uint64_t hash;
    struct sc_pair pair;
    struct sc_spot spot;
    int rc = begin_write(cache, key, key_size, &hash, &pair, &spot);
    if (rc != 0)
        return rc;
    if (cas && sc_item_cas(spot.item) != cas) {
        rc = -EEXIST;
    } else {
        sc_count(cache, SC_DELETED);
        sc_take_out(cache, &spot, hash);
    }
    end_write(cache, &pair);
    return rc;
}
