/* SPDX-License-Identifier: MIT */
/* item.c - see item.h. */
#include "server/item.h"

#include <time.h>

#include "server/session.h"

#define RELATIVE_MOST   (60 * 60 * 24 * 30) /* seconds: above it is a time of day */
#define NUMBER_MOST     1024u               /* bytes of a value that may be a number */
#define COPY_FRONT      1u                  /* the marks */
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
sd_item_look(sinter_cache *cache, struct sd_key key, struct sd_item *item)
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
sd_item_other_cas(sinter_cache *cache, struct sd_key key)
{
    int rc = sinter_cache_get(cache, key.bytes, key.size, NULL, 0, NULL);
    return rc == -ENOSPC ? -EEXIST : rc;
}

/* What has expired at once is not to be found by the next request already. */
static void
end_at_once(sinter_cache *cache, struct sd_key key)
{
    struct sinter_cache_info info;
    int rc = sinter_cache_get(cache, key.bytes, key.size, NULL, 0, &info);
    if (rc == -ENOSPC && info.ttl_ms == EXPIRES_AT_ONCE)
        (void)sinter_cache_delete(cache, key.bytes, key.size, info.cas);
}

/* ---- a copy, and back ------------------------------------------------------------------------ */

/** A value with its marks in front, and room on both sides. */
struct copy {
    struct sd_buffer buffer;
    char *value;
    struct sinter_cache_info info;
    size_t size;
    unsigned marks;
};

static int
copy_value(sinter_cache *cache, struct sd_key key, size_t before, size_t most, struct copy *copy)
{
    struct sd_item item;
    int rc = -ENOENT;
    sd_section_enter();
    if (sd_item_look(cache, key, &item)) {
        rc = item.size <= most ? 0 : -ENOSPC;
        copy->info = item.view.info;
        copy->size = item.size;
        copy->marks = item.marks;
        copy->value = copy->buffer.data + before + COPY_FRONT;
        if (rc == 0)
            sd_item_copy(cache, &item, copy->value);
    }
    sd_section_leave();
    return rc;
}

static int
open_copy(struct sd_session *session, size_t bytes, struct copy *copy)
{
    if (!sd_pool_charge(session->pool, session, bytes))
        return -ENOBUFS;
    if (!sd_buffer_open(&copy->buffer, bytes)) {
        sd_pool_release(session->pool, session, bytes);
        return -ENOMEM;
    }
    copy->buffer.charged = bytes;
    return 0;
}

/* With room for so much more on each side. On success the caller closes copy->buffer. */
static int
read_copy(struct sd_session *session, struct sd_key key, size_t before, size_t after,
          struct copy *copy)
{
    for (;;) {
        struct sinter_cache_info info;
        int rc = sinter_cache_get(session->server->cache, key.bytes, key.size, NULL, 0, &info);
        if (rc != -ENOSPC) /* 0: without marks in front it is none of ours */
            return rc == 0 ? -ENOENT : rc;
        if (before + info.size - COPY_FRONT + after > session->server->settings.value_most)
            return -EFBIG;
        rc = open_copy(session, before + info.size + after, copy);
        if (rc == 0)
            rc = copy_value(session->server->cache, key, before, info.size - COPY_FRONT, copy);
        if (rc == 0)
            return 0;
        sd_buffer_close(&copy->buffer, session->pool, session);
        if (rc != -ENOSPC) /* else it has grown meanwhile */
            return rc;
    }
}

static int
write_copy(sinter_cache *cache, struct sd_key key, const struct copy *copy, uint64_t ttl_ms)
{
    copy->value[-1] = (char)copy->marks;
    return sinter_cache_cas(cache, key.bytes, key.size, copy->value - COPY_FRONT,
                            copy->size + COPY_FRONT, copy->info.flags, ttl_ms, copy->info.cas);
}

/* ---- storing --------------------------------------------------------------------------------- */

/** What is done to a copy of an item whose cas is this (0: any). */
struct edit {
    struct sd_key key;
    uint64_t cas;
    const struct sd_store *more; /* NULL, or what is appended or prepended */
    unsigned set, clear;         /* marks */
    struct sd_ttl ttl;
};

static int
edit_once(struct sd_session *session, const struct edit *edit)
{
    const struct sd_store *more = edit->more;
    bool front = more && more->mode == SD_PREPEND;
    size_t added = more ? more->size : 0, before = front ? added : 0;
    struct copy copy = {.value = NULL};
    int rc = read_copy(session, edit->key, before, added - before, &copy);
    if (rc != 0)
        return rc;
    copy.value -= before;
    if (more)
        memcpy(front ? copy.value : copy.value + copy.size, more->value, added);
    copy.size += added;
    copy.marks = (copy.marks & ~edit->clear) | edit->set;
    rc = edit->cas && edit->cas != copy.info.cas
             ? -EEXIST
             : write_copy(session->server->cache, edit->key, &copy, edit->ttl.ms);
    sd_buffer_close(&copy.buffer, session->pool, session);
    return rc == -EEXIST && !edit->cas ? -ESTALE : rc;
}

static int
edit_copy(struct sd_session *session, const struct edit *edit)
{
    int rc;
    do
        rc = edit_once(session, edit);
    while (rc == -ESTALE);
    if (rc == 0 && edit->ttl.over)
        end_at_once(session->server->cache, edit->key);
    return rc;
}

static const struct sd_ttl kept = {SINTER_CACHE_TTL_KEEP, false};

static int
store_plain(sinter_cache *cache, const struct sd_store *store)
{
    const char *key = store->key.bytes, *value = store->value - COPY_FRONT;
    size_t key_size = store->key.size, size = store->size + COPY_FRONT;
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
    again.ttl = kept;
    again.marks |= SD_STALE | (item.marks & SD_SENT);
    return store_marked(cache, &again);
}

int
sd_item_store(struct sd_session *session, const struct sd_store *store)
{
    sinter_cache *cache = session->server->cache;
    if (store->mode == SD_APPEND || store->mode == SD_PREPEND)
        return edit_copy(session, &(struct edit){.key = store->key,
                                                 .cas = store->cas,
                                                 .more = store,
                                                 .set = store->marks,
                                                 .clear = ~0u,
                                                 .ttl = kept});
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
add_once(sinter_cache *cache, struct sd_key key, struct sd_delta *delta)
{
    char room[NUMBER_MOST + 32];
    struct copy copy = {.buffer = {.data = room, .room = sizeof(room)}};
    uint64_t number;
    int rc = copy_value(cache, key, 0, NUMBER_MOST, &copy);
    if (rc != 0)
        return rc == -ENOSPC ? -EDOM : rc;
    if (copy.size == 0)
        return -EDOM;
    if (delta->cas && delta->cas != copy.info.cas)
        return -EEXIST;
    if (!sd_read_u64(copy.value, copy.size, &number))
        return -EDOM;
    delta->result = !delta->down ? number + delta->by : number > delta->by ? number - delta->by : 0;
    delta->ttl_ms = copy.info.ttl_ms;
    put_number(&copy, delta->result);
    rc = write_copy(cache, key, &copy, SINTER_CACHE_TTL_KEEP);
    return rc == -EEXIST && !delta->cas ? -ESTALE : rc;
}

int
sd_item_add(sinter_cache *cache, struct sd_key key, struct sd_delta *delta)
{
    int rc;
    do
        rc = add_once(cache, key, delta);
    while (rc == -ESTALE);
    return rc;
}

int
sd_item_touch(sinter_cache *cache, struct sd_key key, struct sd_ttl ttl)
{
    int rc = sinter_cache_touch(cache, key.bytes, key.size, ttl.ms);
    if (rc == 0 && ttl.over)
        end_at_once(cache, key);
    return rc;
}

int
sd_item_mark(struct sd_session *session, struct sd_key key, uint64_t cas, unsigned set,
             unsigned clear, const struct sd_ttl *ttl)
{
    return edit_copy(
        session, &(struct edit){
                     .key = key, .cas = cas, .set = set, .clear = clear, .ttl = ttl ? *ttl : kept});
}
