/* SPDX-License-Identifier: MIT */
/*
 * buffer.h - memory of connections: half requests, replies that a socket did not take, values on
 * their way. All of it is charged to one pool, whose bounds are a part of the process's limit.
 * What the pool refuses waits; that cannot be for ever, for one owner at a time may go beyond it.
 */
#ifndef SD_BUFFER_H
#define SD_BUFFER_H

#include "server/base.h"

struct sd_pool {
    uint64_t used, most;
    const void *beyond; /* the owner that may go beyond `most`; NULL: nobody does */
    uint64_t refusals;
};

/** Of `room` bytes those from `at` to `size` are in use. */
struct sd_buffer {
    char *data;
    size_t at, size, room;
    size_t charged;
};

/** False: not now. */
bool sd_pool_charge(struct sd_pool *pool, const void *owner, size_t bytes);
/** Never refuses: for what has to be kept. */
void sd_pool_force(struct sd_pool *pool, size_t bytes);
void sd_pool_release(struct sd_pool *pool, size_t bytes);
/** The owner holds nothing any more. */
void sd_pool_leave(struct sd_pool *pool, const void *owner);
/** Whether somebody is beyond the bounds, or was refused since `*refusals` was noted there. */
bool sd_pool_is_short(const struct sd_pool *pool, uint64_t *refusals);

/** Reserves memory without charging it: it is charged as it is used. False: there is none. */
bool sd_buffer_open(struct sd_buffer *buffer, size_t room);
/** Frees it, and gives back what it was charged. */
void sd_buffer_close(struct sd_buffer *buffer, struct sd_pool *pool);

#endif
