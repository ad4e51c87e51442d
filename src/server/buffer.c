/* SPDX-License-Identifier: MIT */
/* buffer.c - see buffer.h. */
#include "server/buffer.h"

#include <stdlib.h>

static uint64_t
used(const struct sd_pool *pool)
{
    return pool->used - pool->lent;
}

static bool
may_go_beyond(struct sd_pool *pool, const void *owner)
{
    const void *nobody = NULL;
    return sd_pool_is_beyond(pool, owner) ||
           (!pool->closed &&
            __atomic_compare_exchange_n(&pool->beyond->owner, &nobody, owner, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED));
}

bool
sd_pool_charge(struct sd_pool *pool, const void *owner, size_t bytes)
{
    uint64_t most = sd_load(&pool->beyond->most);
    bool fits = !pool->closed && used(pool) + bytes <= most - most / 4;
    if (!fits && !may_go_beyond(pool, owner)) {
        sd_count(&pool->refusals, 1);
        (void)sd_add(&pool->beyond->refusals, 1);
        return false;
    }
    sd_count(&pool->used, bytes);
    sd_count(&pool->lent, fits ? 0 : bytes);
    return true;
}

void
sd_pool_take(struct sd_pool *pool, const void *owner, size_t bytes)
{
    bool fits = used(pool) + bytes <= sd_load(&pool->beyond->most);
    sd_count(&pool->used, bytes);
    sd_count(&pool->lent, !fits && sd_pool_is_beyond(pool, owner) ? bytes : 0);
}

void
sd_pool_release(struct sd_pool *pool, const void *owner, size_t bytes)
{
    if (sd_pool_is_beyond(pool, owner))
        sd_store(&pool->lent, pool->lent - sd_min(pool->lent, bytes));
    sd_store(&pool->used, pool->used - bytes);
}

void
sd_pool_leave(struct sd_pool *pool, const void *owner)
{
    if (!sd_pool_is_beyond(pool, owner))
        return;
    sd_store(&pool->lent, 0);
    sd_store(&pool->beyond->owner, NULL);
}

bool
sd_pool_is_short(const struct sd_pool *pool)
{
    return used(pool) > sd_load(&pool->beyond->most) / 2;
}

size_t
sd_pool_room(const struct sd_pool *pool)
{
    uint64_t most = sd_load(&pool->beyond->most);
    return pool->closed || used(pool) >= most ? 0 : most - used(pool);
}

/* Of 128 KiB and more malloc maps pages (see main()). */
static bool
open_buffer(struct sd_buffer *buffer, size_t room)
{
    *buffer = (struct sd_buffer){.data = malloc(room), .room = room};
    return buffer->data != NULL;
}

int
sd_buffer_borrow(struct sd_buffer *buffer, struct sd_pool *pool, const void *owner, size_t room)
{
    if (!sd_pool_charge(pool, owner, room))
        return -ENOBUFS;
    bool opened = open_buffer(buffer, room);
    buffer->charged = room;
    if (opened)
        return 0;
    sd_buffer_close(buffer, pool, owner);
    return -ENOMEM;
}

bool
sd_buffer_keep(struct sd_buffer *buffer, struct sd_pool *pool, const void *owner,
               struct sd_bytes bytes, size_t room)
{
    if (!open_buffer(buffer, sd_most(bytes.size, room)))
        return false;
    memcpy(buffer->data, bytes.bytes, bytes.size);
    buffer->size = bytes.size;
    buffer->charged = bytes.size + SD_BUFFER_COST;
    sd_pool_take(pool, owner, buffer->charged);
    return true;
}

void
sd_buffer_close(struct sd_buffer *buffer, struct sd_pool *pool, const void *owner)
{
    sd_pool_release(pool, owner, buffer->charged);
    free(buffer->data);
    *buffer = (struct sd_buffer){.data = NULL};
}
