/* SPDX-License-Identifier: MIT */
/*
 * buffer.h - memory of connections: half requests, replies that a socket did not take, values on
 * their way. Each worker has a pool of its own for it, a part of the process's limit. What can wait
 * is charged before it is there, finds a quarter less, and comes after those that wait already;
 * what is there has to be kept. So that nobody need wait for ever, one connection of the process at
 * a time may go beyond its pool.
 */
#ifndef SD_BUFFER_H
#define SD_BUFFER_H

#include "server/base.h"

#define SD_BUFFER_COST 64u /* bytes that a buffer is charged beside those in it */

/** What workers' pools have in common. */
struct sd_beyond {
    const void *owner; /* who may go beyond its pool; NULL: nobody does */
    uint64_t most;     /* bytes of each pool */
    uint64_t refusals;
};

/** Only its worker changes it. */
struct sd_pool {
    uint64_t used;
    uint64_t lent; /* part of used: what the owner has beyond `most` */
    uint64_t refusals;
    bool closed; /* others wait, and come before who is served now */
    struct sd_beyond *beyond;
    char apart[128]; /* from the next worker's */
};

/** Of `room` bytes those from `at` to `size` are in use. */
struct sd_buffer {
    char *data;
    size_t at, size, room;
    size_t charged;
};

/** Of what can wait. False: not now. */
bool sd_pool_charge(struct sd_pool *pool, const void *owner, size_t bytes);
/** Of what has to be kept: how much that may be follows from sd_pool_room. */
void sd_pool_take(struct sd_pool *pool, const void *owner, size_t bytes);
void sd_pool_release(struct sd_pool *pool, const void *owner, size_t bytes);
/** The owner holds nothing any more. */
void sd_pool_leave(struct sd_pool *pool, const void *owner);
/** Whether it is used to more than a half. */
bool sd_pool_is_short(const struct sd_pool *pool);
/** Bytes that can be taken. */
size_t sd_pool_room(const struct sd_pool *pool);
static inline bool
sd_pool_is_beyond(const struct sd_pool *pool, const void *owner)
{
    return sd_load(&pool->beyond->owner) == owner;
}

/** Of a reply or a copy, which can wait: of so many bytes, all of them charged. 0; -ENOBUFS: not
 * now; -ENOMEM. */
int
sd_buffer_borrow(struct sd_buffer *buffer, struct sd_pool *pool, const void *owner, size_t room);
/** Of bytes that have to be kept, and are charged; there may be more room, which is charged as it
 * is used: untouched pages cost nothing. False: there is no memory. */
bool sd_buffer_keep(struct sd_buffer *buffer, struct sd_pool *pool, const void *owner,
                    struct sd_bytes bytes, size_t room);
/** Frees it, and gives back what it was charged. */
void sd_buffer_close(struct sd_buffer *buffer, struct sd_pool *pool, const void *owner);

#endif
