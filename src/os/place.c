/* SPDX-License-Identifier: MIT */
/* place.c - see place.h. */
#include "os/place.h"

#include <string.h>

#include "base/lock.h"
#include "os/osmem.h"

/*
 * Above the shadow memory of AddressSanitizer (to 16 TiB), below position-independent programs,
 * their heap and AddressSanitizer's allocator (from 85 TiB) and what the kernel places from the top
 * downwards. Where a range is taken all the same, or does not exist, stores find another place.
 */
#define RANGE_BEGIN (UINT64_C(17) << 40)
#define RANGE_BYTES (UINT64_C(64) << 40)
#define PLACE_BITS  14
#define PLACES      (1u << PLACE_BITS) /* a store has two mappings, a process 65530 by default */
#define PLACE_ALIGN ((uint64_t)2 << 20)
_Static_assert(RANGE_BYTES / PLACES == SN_PLACE_STEP_BYTES, "so far apart are the last ones");

static struct sn_lock lock = {PTHREAD_MUTEX_INITIALIZER, SN_RANK_PLACE};
/* Guarded by lock. A bit for each place. */
static uint64_t taken[PLACES / 64];
static uint64_t blocked[PLACES / 64]; /* taken, too: by strangers */
static uint32_t lowest;               /* no word before this one has a place left */
static uint64_t rotation;             /* of all places, random: nobody guesses an address */

static uint64_t
reversed(uint32_t number)
{
    uint64_t bits = 0;
    for (unsigned bit = 0; bit < PLACE_BITS; bit++)
        bits |= (uint64_t)(number >> bit & 1) << (PLACE_BITS - 1 - bit);
    return bits;
}

static void
describe_locked(struct sn_room *room, uint32_t number)
{
    if (rotation == 0)
        rotation = (sn_os_random() & (RANGE_BYTES - PLACE_ALIGN)) | PLACE_ALIGN;
    uint64_t at =
        (rotation & (RANGE_BYTES - PLACE_ALIGN)) + reversed(number) * (RANGE_BYTES / PLACES);
    room->base = (char *)(uintptr_t)(RANGE_BEGIN + (at & (RANGE_BYTES - 1)));
    unsigned level = number == 0 ? 0 : 32 - (unsigned)__builtin_clz(number);
    room->bytes = RANGE_BYTES >> level;
    room->second = SN_PLACE_STEP_BYTES / 4 + level * SN_ROOM_SECOND_BYTES;
    room->number = number;
}

bool
sn_place_take(struct sn_room *room)
{
    sn_lock(&lock);
    while (lowest < PLACES / 64 && taken[lowest] == UINT64_MAX)
        lowest++;
    bool found = lowest < PLACES / 64;
    if (found) {
        uint32_t bit = (uint32_t)__builtin_ctzll(~taken[lowest]);
        taken[lowest] |= UINT64_C(1) << bit;
        describe_locked(room, lowest * 64 + bit);
    }
    sn_unlock(&lock);
    return found;
}

void
sn_place_block(uint32_t number)
{
    sn_lock(&lock);
    blocked[number / 64] |= UINT64_C(1) << (number % 64);
    sn_unlock(&lock);
}

void
sn_place_put(uint32_t number)
{
    if (number == SN_PLACE_NONE)
        return;
    sn_lock(&lock);
    taken[number / 64] &= ~(UINT64_C(1) << (number % 64));
    for (uint32_t word = 0; word < PLACES / 64; word++)
        taken[word] &= ~blocked[word];
    memset(blocked, 0, sizeof(blocked));
    lowest = 0;
    sn_unlock(&lock);
}

void
sn_place_begin_child(void)
{
    sn_lock_init(&lock, SN_RANK_PLACE);
}
