/* SPDX-License-Identifier: MIT */
/*
 * value.h - what the drivers write into a server, so that every byte that comes back can be
 * checked: the bytes of a value are a stream that its key's number and its flags alone give. Flags
 * are the version of the value and the range of its size, so that who meets a value that somebody
 * else wrote knows the whole of it. A value is a piece of the stream, from `start`: an append takes
 * what comes behind, a prepend what comes before.
 */
#ifndef BENCH_LOAD_VALUE_H
#define BENCH_LOAD_VALUE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define VALUE_START      (1u << 20) /* where a piece begins, before anything is prepended */
#define VALUE_RANGES_MAX 8u

/** Sizes of values, uniform from least to most. */
struct value_range {
    uint32_t least, most;
};

extern struct value_range value_ranges[VALUE_RANGES_MAX];
extern uint64_t value_seed;

static inline uint64_t
value_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/** range: below VALUE_RANGES_MAX; version: below 2^28. */
static inline uint32_t
value_flags(uint32_t version, unsigned range)
{
    return version | (uint32_t)range << 28;
}

static inline uint32_t
value_version(uint32_t flags)
{
    return flags & ((1u << 28) - 1);
}

static inline uint64_t
value_stream(uint64_t id, uint32_t flags)
{
    return value_mix(value_mix(value_seed + id * UINT64_C(0x9e3779b97f4a7c15)) + flags);
}

static inline uint32_t
value_size(uint64_t id, uint32_t flags)
{
    const struct value_range *range = &value_ranges[(flags >> 28) % VALUE_RANGES_MAX];
    return range->least +
           (uint32_t)(value_stream(id, ~flags) % (range->most - (uint64_t)range->least + 1));
}

/** One multiplication for 8 bytes: writing and checking must not cost more than the server does. */
static inline uint64_t
value_word(uint64_t stream, uint32_t at)
{
    uint64_t x = (stream + at) * UINT64_C(0x9e3779b97f4a7c15);
    return x ^ (x >> 29);
}

/** Bytes start to start + size of the stream. */
void value_fill(char *to, uint64_t id, uint32_t flags, uint32_t start, uint32_t size);
bool value_is(const char *data, uint64_t id, uint32_t flags, uint32_t start, uint32_t size);

#endif
