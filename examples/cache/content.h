/* SPDX-License-Identifier: MIT */
/*
 * content.h - what a value has to look like. Every 8 bytes are a function of key, version, size and
 * place, so that one pass over the bytes, as cheap as a checksum, finds a value of another key, of
 * another version, of another length, and one that is half old and half new.
 *
 *   values of 16 bytes and more:   counter:8 | pattern, word i = seed + i * step, the last one cut
 *   shorter ones:                  pattern
 *
 * The counter is changed in place by writers, under the key's lock; readers leave it alone.
 */
#ifndef CACHE_CONTENT_H
#define CACHE_CONTENT_H

#include "random.h"

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define CONTENT_STEP UINT64_C(0x9e3779b97f4a7c15)

struct content {
    uint64_t key;
    uint32_t version;
    uint32_t size;
};

static inline bool
content_has_counter(uint32_t size)
{
    return size >= 16;
}

/** The pattern's first word. */
static inline uint64_t
content_seed(const struct content *content)
{
    return mix64(content->key + mix64((uint64_t)content->version << 32 | content->size));
}

/** Fills an object of content->size bytes. */
static inline void
content_fill(void *object, const struct content *content)
{
    char *at = object, *end = at + content->size;
    uint64_t word = content_seed(content);
    if (content_has_counter(content->size)) {
        memset(at, 0, 8);
        at += 8;
    }
    for (; end - at >= 8; at += 8, word += CONTENT_STEP)
        memcpy(at, &word, 8);
    memcpy(at, &word, (size_t)(end - at));
}

/** Whether an object is what it has to be; counter aside. */
static inline bool
content_matches(const void *object, const struct content *content)
{
    const char *at = object, *end = at + content->size;
    uint64_t word = content_seed(content), differences = 0, seen;
    if (content_has_counter(content->size))
        at += 8;
    for (; end - at >= 8; at += 8, word += CONTENT_STEP) {
        memcpy(&seen, at, 8);
        differences |= seen ^ word;
    }
    return !differences && memcmp(at, &word, (size_t)(end - at)) == 0;
}

/** Both under the key's lock, and for sizes that have a counter. */
static inline void
content_count(void *object)
{
    uint64_t *counter = object;
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

static inline uint64_t
content_counter(const void *object)
{
    return *(const uint64_t *)object;
}

#endif
