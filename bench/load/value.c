/* SPDX-License-Identifier: MIT */
/*
 * value.c - writing and comparing pieces of the streams of value.h, eight bytes at a time.
 */
#include "value.h"

struct value_range value_ranges[VALUE_RANGES_MAX];
uint64_t value_seed = 1;

/* The part of the word at `at` that lies in the piece: its first byte, and how many. */
static inline uint32_t
part(uint32_t at, uint32_t end, unsigned *skip)
{
    *skip = at & 7;
    uint32_t most = 8 - *skip;
    return end - at < most ? end - at : most;
}

void
value_fill(char *to, uint64_t id, uint32_t flags, uint32_t start, uint32_t size)
{
    uint64_t stream = value_stream(id, flags);
    for (uint32_t at = start, end = start + size; at < end;) {
        unsigned skip;
        uint32_t bytes = part(at, end, &skip);
        uint64_t word = value_word(stream, at >> 3);
        if (bytes == 8)
            memcpy(to, &word, 8);
        else
            memcpy(to, (const char *)&word + skip, bytes);
        to += bytes;
        at += bytes;
    }
}

bool
value_is(const char *data, uint64_t id, uint32_t flags, uint32_t start, uint32_t size)
{
    uint64_t stream = value_stream(id, flags);
    for (uint32_t at = start, end = start + size; at < end;) {
        unsigned skip;
        uint32_t bytes = part(at, end, &skip);
        uint64_t word = value_word(stream, at >> 3), found = word;
        memcpy((char *)&found + skip, data, bytes);
        if (found != word)
            return false;
        data += bytes;
        at += bytes;
    }
    return true;
}
