/* SPDX-License-Identifier: MIT */
/*
 * object.h - what the benchmarks write into an object and look for when they read it: every byte
 * depends on the place the object belongs to, its size and its position. An object that was mixed
 * up, cut, or overwritten does not pass.
 */
#ifndef BENCH_OBJECT_H
#define BENCH_OBJECT_H

#include "bench.h"

#include <string.h>

#define OBJECT_SIZE_BITS 24 /* sizes up to 16 MiB - 1 */

/* First word: the size above 40 bits of the place's hash, so that an object tells its size. */
static inline uint64_t
object_stamp(uint64_t place, size_t size)
{
    return (uint64_t)size << 40 | (bench_mix(place + 1) >> OBJECT_SIZE_BITS);
}

/** Size of an object of 8 bytes or more, as its first word has it. */
static inline size_t
object_size(const void *object)
{
    uint64_t stamp;
    memcpy(&stamp, object, sizeof(stamp));
    return (size_t)(stamp >> 40);
}

/* Two words at a time, so that the benchmark's own work stays small beside the allocator's. */
typedef uint64_t object_lane __attribute__((vector_size(16)));
#define OBJECT_STEP UINT64_C(0x0101010101010101) /* from one word to the next */

static inline object_lane
object_first_lane(uint64_t word)
{
    return (object_lane){word, word + OBJECT_STEP};
}

/** Writes all bytes. */
static inline void
object_fill(void *object, uint64_t place, size_t size)
{
    uint64_t word = object_stamp(place, size);
    object_lane lane = object_first_lane(word);
    char *at = object;
    for (; size >= sizeof(lane); size -= sizeof(lane), at += sizeof(lane), lane += 2 * OBJECT_STEP)
        memcpy(at, &lane, sizeof(lane));
    word = lane[0];
    for (; size >= sizeof(word); size -= sizeof(word), at += sizeof(word), word += OBJECT_STEP)
        memcpy(at, &word, sizeof(word));
    memcpy(at, &word, size);
}

/** Reads all bytes; false if one is not as object_fill left it. */
static inline bool
object_intact(const void *object, uint64_t place, size_t size)
{
    uint64_t word = object_stamp(place, size), found, wrong_word = 0;
    object_lane lane = object_first_lane(word), seen, wrong = {0, 0};
    const char *at = object;
    for (; size >= sizeof(lane); size -= sizeof(lane), at += sizeof(lane)) {
        memcpy(&seen, at, sizeof(seen));
        wrong |= seen ^ lane;
        lane += 2 * OBJECT_STEP;
    }
    word = lane[0];
    for (; size >= sizeof(word); size -= sizeof(word), at += sizeof(word), word += OBJECT_STEP) {
        memcpy(&found, at, sizeof(found));
        wrong_word |= found ^ word;
    }
    wrong_word |= wrong[0] | wrong[1];
    return wrong_word == 0 && memcmp(at, &word, size) == 0;
}

#endif
