/* SPDX-License-Identifier: MIT */
/* item.c - see item.h. */
#include "server/item.h"

#include <time.h>

#include "server/session.h"

#define RELATIVE_MOST   (60 * 60 * 24 * 30) /* seconds: above it is a time of day */
#define NUMBER_MOST     1024u               /* bytes of a value that may be a number */
#define MARKS           1u                  /* bytes of them, in front of a value */
#define EXPIRES_AT_ONCE 1u                  /* milliseconds */

struct sd_ttl
sd_ttl_of(int32_t seconds)
{
    int64_t left = seconds;
    if (seconds > RELATIVE_MOST)
        left -= (int64_t)time(NULL);
    if (seconds == 0)
        return (struct sd_ttl){0, false};
    if (left <= 0)
        return (struct sd_ttl){EXPIRES_AT_ONCE, true};
    return (struct sd_ttl){(uint64_t)left * 1000, false};
}

/* ---- reading --------------------------------------------------------------------------------- */

bool
sd_item_look(sinter_cache *cache, struct sd_bytes key, struct sd_item *item)
{
    if (sinter_cache_look(cache, key.bytes, key.size, &item->view) != 0)
        return false;
    item->data = (const char *)item->view.data + 1;
    item->data_size = item->view.data_size - 1;
    item->size = item->view.info.size - 1;
    item->marks = (unsigned char)item->data[-1];
    return true;
}

char *
sd_item_copy(sinter_cache *cache, struct sd_item *item, char *to)
{
    memcpy(to, item->data, item->data_size);
    to += item->data_size;
    if (item->data_size == item->size)
        return to;
    while (sinter_cache_next(cache, &item->view)) {
        memcpy(to, item->view.data, item->view.data_size);
        to += item->view.data_size;
    }
    return to;
}

int
sd_item_other_cas(sinter_cache *cache, struct sd_bytes key)
{
    int rc = sinter_cache_get(cache, key.bytes, key.size, NULL, 0, NULL);
    return rc == -ENOSPC ? -EEXIST : rc;
}

/* What has expired at once is not to be found by the next request already. */
static void
end_at_once(sinter_cache *cache, struct sd_bytes key)
{
    struct sinter_cache_info info;
    int rc = sinter_cache_get(cache, key.bytes, key.size, NULL, 0, &info);
    if (rc == -ENOSPC && info.ttl_ms == EXPIRES_AT_ONCE)
        (void)sinter_cache_delete(cache, key.bytes, key.size, info.cas);
}

/* ---- a copy, and back ------------------------------------------------------------------------ */

/** A value with its marks in front of it, in a buffer with room on both sides. */
struct copy {
    struct sd_buffer buffer;
    struct sinter_cache_info info;
    char *value;
    size_t size;
};

/* -ENOSPC: it is longer than `room`; -ENOENT also for one that is none of ours, without marks. */
static int
read_value(sinter_cache *cache, struct sd_bytes key, char *at, size_t room, struct copy *copy)
{
    copy->info.size = 0;
    int rc = sinter_cache_get(cache, key.bytes, key.size, at, room, &copy->info);
    bool ours = copy->info.size >= MARKS;
    copy->value = at ? at + MARKS : NULL;
    copy->size = ours ? copy->info.size - MARKS : 0;
    return rc == 0 && !(ours && at) ? -ENOENT : rc;
}

/* With room for so much more on each side. On success the caller closes copy->buffer. */
static int
read_copy(struct sd_session *session, struct sd_bytes key, size_t before, size_t after,
          struct copy *copy)
{
    struct sd_buffer *buffer = &copy->buffer;
    int rc = read_value(session->server->cache, key, NULL, 0, copy);
    while (rc == -ENOSPC) { /* also if it has grown meanwhile */
        size_t room = copy->info.size;
        if (before + copy->size + after > session->server->settings.value_most)
            return -EFBIG;
        rc = sd_buffer_borrow(buffer, session->pool, session, before + room + after);
        if (rc != 0)
            return rc;
        rc = read_value(session->server->cache, key, buffer->data + before, room, copy);
        if (rc != 0)
            sd_buffer_close(buffer, session->pool, session);
    }
    return rc;
}

static int
write_copy(sinter_cache *cache, struct sd_bytes key, const struct copy *copy, uint64_t ttl_ms)
{
    return sinter_cache_cas(cache, key.bytes, key.size, copy->value - MARKS, copy->size + MARKS,
                            copy->info.flags, ttl_ms, copy->info.cas);
}

/* ---- storing --------------------------------------------------------------------------------- */

/* Puts bytes in front of a value or behind it, or changes its marks. -ESTALE: it has changed. */
static int
edit_once(struct sd_session *session, const struct sd_store *store)
{
    size_t before = store->mode == SD_PREPEND ? store->size : 0;
    uint64_t ttl_ms = store->mode == SD_MARK ? store->ttl.ms : SINTER_CACHE_TTL_KEEP;
    struct copy copy;
    int rc = read_copy(session, store->key, before, store->size - before, &copy);
    if (rc != 0)
        return rc;
    unsigned marks = (unsigned char)copy.value[-1] & ~store->unmarks;
    copy.value -= before;
    if (store->size)
        memcpy(before ? copy.value : copy.value + copy.size, store->value, store->size);
    copy.size += store->size;
    copy.value[-1] = (char)(store->mode == SD_MARK ? marks | store->marks : store->marks);
    rc = store->cas && store->cas != copy.info.cas
             ? -EEXIST
             : write_copy(session->server->cache, store->key, &copy, ttl_ms);
    sd_buffer_close(&copy.buffer, session->pool, session);
    return rc == -EEXIST && !store->cas ? -ESTALE : rc;
}

static int
edit(struct sd_session *session, const struct sd_store *store)
{
    int rc;
    do
        rc = edit_once(session, store);
    while (rc == -ESTALE);
    if (rc == 0 && store->mode == SD_MARK && store->ttl.over)
        end_at_once(session->server->cache, store->key);
    return rc;
}

static int
store_plain(sinter_cache *cache, const struct sd_store *store)
{
    const char *key = store->key.bytes, *value = store->value - MARKS;
    size_t key_size = store->key.size, size = store->size + MARKS;
    switch (store->mode) {
    case SD_ADD:
        return sinter_cache_add(cache, key, key_size, value, size, store->flags, store->ttl.ms);
    case SD_REPLACE:
        return sinter_cache_replace(cache, key, key_size, value, size, store->flags, store->ttl.ms);
    case SD_CAS:
        return sinter_cache_cas(cache, key, key_size, value, size, store->flags, store->ttl.ms,
                                store->cas);
    default:
        return sinter_cache_set(cache, key, key_size, value, size, store->flags, store->ttl.ms);
    }
}

static int
store_marked(sinter_cache *cache, const struct sd_store *store)
{
    char under = store->value[-1];
    store->value[-1] = (char)store->marks;
    int rc = store_plain(cache, store);
    store->value[-1] = under;
    if (rc == 0 && store->ttl.over)
        end_at_once(cache, store->key);
    return rc;
}

/* By a cas older than the item's: the value is replaced, time to live and marks stay. */
static int
store_stale(sinter_cache *cache, const struct sd_store *store)
{
    struct sd_store again = *store;
    struct sd_item item;
    sd_section_enter();
    bool there = sd_item_look(cache, store->key, &item);
    sd_section_leave();
    if (!there)
        return -ENOENT;
    if (store->cas >= item.view.info.cas)
        return -EEXIST;
    again.cas = item.view.info.cas;
    again.ttl = SD_TTL_KEPT;
    again.marks |= SD_STALE | (item.marks & SD_SENT);
    return store_marked(cache, &again);
}

int
sd_item_store(struct sd_session *session, const struct sd_store *store)
{
    sinter_cache *cache = session->server->cache;
    if (store->mode == SD_APPEND || store->mode == SD_PREPEND || store->mode == SD_MARK)
        return edit(session, store);
    if (store->mode == SD_CAS && store->cas == 0)
        return sd_item_other_cas(cache, store->key);
    int rc = store_marked(cache, store);
    if (rc == -EEXIST && store->mode == SD_CAS && store->may_be_stale)
        rc = store_stale(cache, store);
    return rc;
}

/* ---- changing -------------------------------------------------------------------------------- */

/* A shorter number is padded to the length of the old one, as memcached does. */
static void
put_number(struct copy *copy, uint64_t number)
{
    char *end = sd_put_u64(copy->value, number);
    size_t size = (size_t)(end - copy->value);
    if (size < copy->size)
        memset(end, ' ', copy->size - size);
    else
        copy->size = size;
}

static int
add_once(sinter_cache *cache, struct sd_bytes key, struct sd_delta *delta)
{
    char room[MARKS + NUMBER_MOST + 32];
    struct copy copy;
    uint64_t number;
    int rc = read_value(cache, key, room, MARKS + NUMBER_MOST, &copy);
    if (rc != 0 || copy.size == 0)
        return rc == -ENOENT ? rc : -EDOM;
    if (delta->cas && delta->cas != copy.info.cas)
        return -EEXIST;
    if (!sd_read_u64((struct sd_bytes){copy.value, copy.size}, &number))
        return -EDOM;
    if (delta->down)
        delta->result = number > delta->by ? number - delta->by : 0;
    else
        (void)__builtin_add_overflow(number, delta->by, &delta->result); /* it wraps */
    delta->ttl_ms = copy.info.ttl_ms;
    put_number(&copy, delta->result);
    rc = write_copy(cache, key, &copy, SINTER_CACHE_TTL_KEEP);
    return rc == -EEXIST && !delta->cas ? -ESTALE : rc;
}

int
sd_item_add(sinter_cache *cache, struct sd_bytes key, struct sd_delta *delta)
{
    int rc;
    do
        rc = add_once(cache, key, delta);
    while (rc == -ESTALE);
    return rc;
}

int
sd_item_touch(sinter_cache *cache, struct sd_bytes key, struct sd_ttl ttl)
{
    int rc = sinter_cache_touch(cache, key.bytes, key.size, ttl.ms);
    if (rc == 0 && ttl.over)
        end_at_once(cache, key);
    return rc;
}
