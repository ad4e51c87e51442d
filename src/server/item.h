/* SPDX-License-Identifier: MIT */
/*
 * item.h - items as the protocol has them. In the cache each value has one byte in front, its
 * marks, which no client sees. What memcached does under an item's lock is done here by reading a
 * value, and writing it if nobody has written it since.
 */
#ifndef SD_ITEM_H
#define SD_ITEM_H

#include "server/buffer.h"

enum sd_mark {
    SD_STALE = 1,  /* invalidated, and still shown */
    SD_SENT = 2,   /* a client was told that it may write it anew */
    SD_BINARY = 4, /* its key came in base64 */
};

/** A time to live. `over`: it has ended. */
struct sd_ttl {
    uint64_t ms; /* 0: for ever */
    bool over;
};

#define SD_TTL_KEPT ((struct sd_ttl){SINTER_CACHE_TTL_KEEP, false})

/** From what a client says: seconds, or a time of day if above 30 days. */
struct sd_ttl sd_ttl_of(int32_t seconds);
/** As a client is told of it. */
static inline uint64_t
sd_ttl_seconds(uint64_t ms)
{
    return (ms + 999) / 1000;
}

/** An item that is there: `view` as the cache has it, the rest without the marks. */
struct sd_item {
    struct sinter_cache_view view;
    const char *data; /* the first piece */
    size_t data_size;
    size_t size;
    unsigned marks;
};

/** In a section, for as long as it lasts. False: it is not there. */
bool sd_item_look(sinter_cache *cache, struct sd_bytes key, struct sd_item *item);
/** By a cas of 0, which no item has: -EEXIST, if it is there. */
int sd_item_other_cas(sinter_cache *cache, struct sd_bytes key);
/** Copies the value, all pieces of it; in the same section, once. Result: behind it. */
char *sd_item_copy(sinter_cache *cache, struct sd_item *item, char *to);

enum sd_mode { SD_SET, SD_ADD, SD_REPLACE, SD_APPEND, SD_PREPEND, SD_CAS, SD_MARK };

/** What is to be stored. SD_MARK: marks alone are changed, of an item of this cas (0: of any). */
struct sd_store {
    struct sd_bytes key;
    enum sd_mode mode;
    char *value; /* the byte in front of it belongs to it; it is restored */
    size_t size;
    uint32_t flags;
    struct sd_ttl ttl;
    uint64_t cas;
    unsigned marks, unmarks; /* those that it gets; SD_MARK: and those that go */
    bool replaces;           /* if it is refused the old one goes */
    bool may_be_stale;       /* with `cas`: an older one stores, too, and the item stays stale */
};

struct sd_session;

/** The errors of <sinter/cache.h>; -ENOBUFS: the pool has nothing for a copy; -EFBIG: what is
 * appended makes it longer than a value may be. */
int sd_item_store(struct sd_session *session, const struct sd_store *store);

/** A number in place: what is added or taken away, and what it was and became. */
struct sd_delta {
    uint64_t by, result, cas;
    bool down;
    uint64_t ttl_ms; /* what is left to it */
};
/** -EDOM: it is no number; -EEXIST: delta->cas is another. */
int sd_item_add(sinter_cache *cache, struct sd_bytes key, struct sd_delta *delta);

int sd_item_touch(sinter_cache *cache, struct sd_bytes key, struct sd_ttl ttl);

#endif
