/* SPDX-License-Identifier: MIT */
/* read.c - the calls that read one item. */
#include "cache/large.h"
#include "cache/leave.h"

#include <stdlib.h>

static bool
good_key(const sinter_cache *cache, const void *key, size_t size)
{
    return cache && key && size >= 1 && size <= SINTER_CACHE_KEY_MAX;
}

/* Looks up, counts, and notes the hit. In a section. */
static const struct sc_item *
look_up(sinter_cache *cache, const void *key, size_t size)
{
    struct sc_spot spot;
    if (!sc_index_find(cache, sc_hash(cache->secret, key, size), key, size, &spot) ||
        sc_item_is_over(cache, spot.item)) {
        sc_count(cache, SC_MISSES);
        return NULL;
    }
    sc_bucket_hit(spot.bucket, spot.cell);
    sc_count(cache, SC_HITS);
    return spot.item;
}

/* In the section of the look-up. */
static void
copy_value(const sinter_cache *cache, struct sinter_cache_view *view, char *buffer)
{
    do {
        if (view->data_size)
            memcpy(buffer, view->data, view->data_size);
        buffer += view->data_size;
    } while (sc_large_next(cache, view));
}

int
sinter_cache_get(sinter_cache *cache, const void *key, size_t key_size, void *buffer, size_t size,
                 struct sinter_cache_info *info)
{
    struct sinter_cache_view view;
    if (!good_key(cache, key, key_size) || (!buffer && size))
        return -EINVAL;
    sc_enter(cache);
    const struct sc_item *item = look_up(cache, key, key_size);
    int rc = item ? 0 : -ENOENT;
    if (item) {
        sc_view(cache, item, &view);
        if (info)
            *info = view.info;
        if (view.info.size > size)
            rc = -ENOSPC;
        else
            copy_value(cache, &view, buffer);
    }
    sc_leave(cache);
    return rc;
}

void *
sinter_cache_get_copy(sinter_cache *cache, const void *key, size_t key_size,
                      struct sinter_cache_info *info)
{
    struct sinter_cache_view view;
    if (!good_key(cache, key, key_size)) {
        errno = EINVAL;
        return NULL;
    }
    sc_enter(cache);
    const struct sc_item *item = look_up(cache, key, key_size);
    char *copy = NULL;
    if (item) {
        sc_view(cache, item, &view);
        copy = malloc(view.info.size + 1);
    }
    if (copy) {
        copy[view.info.size] = '\0';
        copy_value(cache, &view, copy);
    }
    sc_leave(cache);
    if (!copy)
        errno = item ? ENOMEM : ENOENT;
    else if (info)
        *info = view.info;
    return copy;
}

int
sinter_cache_look(sinter_cache *cache, const void *key, size_t key_size,
                  struct sinter_cache_view *view)
{
    if (!good_key(cache, key, key_size) || !view)
        return -EINVAL;
    const struct sc_item *item = look_up(cache, key, key_size);
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
