/* SPDX-License-Identifier: MIT */
/* read.c - the calls that read one item. */
#include "cache/large.h"
#include "cache/leave.h"

#include <stdlib.h>

/* Out of line: a hit does not pay for it. */
static __attribute__((noinline)) void
note_miss(sinter_cache *cache, const struct sc_key *key)
{
    sc_count(cache, SC_MISSES);
    sc_policy_missed(cache, key->hash);
}

/* Looks up, counts, and notes the hit. In a section. */
static const struct sc_item *
look_up(sinter_cache *cache, const struct sc_key *key)
{
    struct sc_spot spot;
    if (!sc_index_find(cache, key, &spot) || sc_item_is_over(cache, spot.item)) {
        note_miss(cache, key);
        return NULL;
    }
    sc_bucket_hit(spot.bucket, spot.cell);
    sc_count(cache, SC_HITS);
    return spot.item;
}

int
sinter_cache_get(sinter_cache *cache, const void *key, size_t key_size, void *buffer, size_t size,
                 struct sinter_cache_info *info)
{
    struct sc_key name;
    int rc = -ENOENT;
    if (!sc_key_read(cache, key, key_size, &name) || (!buffer && size))
        return -EINVAL;
    sc_enter(cache);
    const struct sc_item *item = look_up(cache, &name);
    if (item) {
        uint64_t bytes = sc_item_value_size(item);
        if (info)
            sc_info(cache, item, info);
        rc = bytes > size ? -ENOSPC : 0;
        if (rc == 0)
            sc_copy_value(cache, item, bytes, buffer);
    }
    sc_leave(cache);
    return rc;
}

void *
sinter_cache_get_copy(sinter_cache *cache, const void *key, size_t key_size,
                      struct sinter_cache_info *info)
{
    struct sc_key name;
    char *copy = NULL;
    if (!sc_key_read(cache, key, key_size, &name)) {
        errno = EINVAL;
        return NULL;
    }
    sc_enter(cache);
    const struct sc_item *item = look_up(cache, &name);
    uint64_t bytes = item ? sc_item_value_size(item) : 0;
    if (item)
        copy = malloc(bytes + 1);
    if (copy) {
        copy[bytes] = '\0';
        sc_copy_value(cache, item, bytes, copy);
        if (info)
            sc_info(cache, item, info);
    }
    sc_leave(cache);
    if (!copy)
        errno = item ? ENOMEM : ENOENT;
    return copy;
}

int
sinter_cache_look(sinter_cache *cache, const void *key, size_t key_size,
                  struct sinter_cache_view *view)
{
    struct sc_key name;
    if (!sc_key_read(cache, key, key_size, &name) || !view)
        return -EINVAL;
    const struct sc_item *item = look_up(cache, &name);
    if (!item)
        return -ENOENT;
    sc_view(cache, item, view);
    return 0;
}

bool
sinter_cache_next(sinter_cache *cache, struct sinter_cache_view *view)
{
    return cache && view && sc_large_next(cache, view);
}
