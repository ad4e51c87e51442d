/* SPDX-License-Identifier: MIT */
/* ring.c - the ring of policy.h: places of new items, oldest first, in chunks of a page. */
#include "cache/ring.h"

#include <sys/mman.h>

#define CHUNK_BYTES  4096u
#define CHUNK_PLACES ((CHUNK_BYTES - 16) / 4)

struct sc_ring_chunk {
    struct sc_ring_chunk *next;
    uint32_t begin, end; /* of what is in it */
    uint32_t place[CHUNK_PLACES];
};
_Static_assert(sizeof(struct sc_ring_chunk) == CHUNK_BYTES, "a chunk is a page");

static void
lock(struct sc_ring *ring)
{
    for (unsigned turns = 0; __atomic_test_and_set(&ring->lock, __ATOMIC_ACQUIRE);)
        sc_spin(&turns);
}

static void
unlock(struct sc_ring *ring)
{
    __atomic_clear(&ring->lock, __ATOMIC_RELEASE);
}

/* A page from the kernel is zero. */
static bool
extend(struct sc_ring *ring)
{
    struct sc_ring_chunk *chunk =
        mmap(NULL, CHUNK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (chunk == MAP_FAILED)
        return false;
    *(ring->last ? &ring->last->next : &ring->first) = chunk;
    ring->last = chunk;
    sc_add(&ring->bytes, CHUNK_BYTES);
    return true;
}

bool
sc_ring_push(struct sc_ring *ring, uint32_t place)
{
    lock(ring);
    bool room = (ring->last && ring->last->end < CHUNK_PLACES) || extend(ring);
    if (room)
        ring->last->place[ring->last->end++] = place;
    sc_store(&ring->places, ring->places + room);
    unlock(ring);
    return room;
}

static void
drop_first(struct sc_ring *ring)
{
    struct sc_ring_chunk *chunk = ring->first;
    ring->first = chunk->next;
    if (!ring->first)
        ring->last = NULL;
    munmap(chunk, CHUNK_BYTES);
    sc_sub(&ring->bytes, CHUNK_BYTES);
}

bool
sc_ring_pop(struct sc_ring *ring, uint32_t places[3])
{
    lock(ring);
    struct sc_ring_chunk *first = ring->first;
    bool any = first && first->begin < first->end;
    if (any) {
        for (uint32_t i = 0; i < 3; i++)
            places[i] = first->place[sc_min(first->begin + i, first->end - 1)];
        sc_store(&ring->places, ring->places - 1);
        if (++first->begin == first->end)
            drop_first(ring);
    }
    unlock(ring);
    return any;
}

void
sc_ring_free(struct sc_ring *ring)
{
    while (ring->first)
        drop_first(ring);
}
