/* SPDX-License-Identifier: MIT */
/* buffer.c - see buffer.h. */
#include "server/buffer.h"

#include <stdlib.h>
#include <sys/mman.h>

#define MAPPED_LEAST (128u << 10) /* from here on pages of its own: untouched ones cost nothing */

bool
sd_pool_charge(struct sd_pool *pool, const void *owner, size_t bytes)
{
    const void *nobody = NULL;
    if (sd_add(&pool->used, bytes) <= sd_load(&pool->most) || sd_load(&pool->beyond) == owner ||
        __atomic_compare_exchange_n(&pool->beyond, &nobody, owner, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
        return true;
    sd_sub(&pool->used, bytes);
    (void)sd_add(&pool->refusals, 1);
    return false;
}

void
sd_pool_force(struct sd_pool *pool, size_t bytes)
{
    (void)sd_add(&pool->used, bytes);
}

void
sd_pool_release(struct sd_pool *pool, size_t bytes)
{
    sd_sub(&pool->used, bytes);
}

void
sd_pool_leave(struct sd_pool *pool, const void *owner)
{
    if (sd_load(&pool->beyond) == owner)
        sd_store(&pool->beyond, NULL);
}

bool
sd_pool_is_short(const struct sd_pool *pool, uint64_t *refusals)
{
    uint64_t now = sd_load(&pool->refusals);
    bool is_short = now != *refusals || sd_load(&pool->used) > sd_load(&pool->most);
    *refusals = now;
    return is_short;
}

bool
sd_buffer_open(struct sd_buffer *buffer, size_t room)
{
    void *data;
    if (room >= MAPPED_LEAST) {
        data = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
        data = data == MAP_FAILED ? NULL : data;
    } else {
        data = malloc(room);
    }
    *buffer = (struct sd_buffer){.data = data, .room = room};
    return data != NULL;
}

void
sd_buffer_close(struct sd_buffer *buffer, struct sd_pool *pool)
{
    if (buffer->data && buffer->room >= MAPPED_LEAST)
        munmap(buffer->data, buffer->room);
    else
        free(buffer->data);
    sd_pool_release(pool, buffer->charged);
    *buffer = (struct sd_buffer){.data = NULL};
}
