/* SPDX-License-Identifier: MIT */
/* hash.c - see hash.h. */
#include "cache/hash.h"

#include <sys/random.h>
#include <time.h>

__extension__ typedef unsigned __int128 uint128_t;

static inline uint64_t
word_at(const unsigned char *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

/* The product's halves over each other: each bit depends on all bits of both. */
static inline uint64_t
fold(uint64_t a, uint64_t b)
{
    uint128_t product = (uint128_t)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* 1 to 7 bytes, as one word. */
static inline uint64_t
short_word(const unsigned char *bytes, size_t size)
{
    if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, bytes, 4);
        memcpy(&last, bytes + size - 4, 4);
        return (uint64_t)first << 32 | last;
    }
    return (uint64_t)bytes[0] << 16 | (uint64_t)bytes[size / 2] << 8 | bytes[size - 1];
}

/* All of it in words, the last ones so that they end where the key ends. */
uint64_t
sc_hash(const uint64_t secret[SC_SECRET_WORDS], const void *key, size_t size)
{
    const unsigned char *bytes = key, *end = bytes + size;
    uint64_t hash = secret[0] ^ size, first, last;
    if (size < 8) {
        first = short_word(bytes, size);
        last = 0;
    } else {
        for (; end - bytes > 16; bytes += 16)
            hash = fold(word_at(bytes) ^ secret[1], word_at(bytes + 8) ^ hash);
        first = size < 16 ? word_at(bytes) : word_at(end - 16);
        last = word_at(end - 8);
    }
    return fold(fold(first ^ secret[2], last ^ hash) ^ secret[3], hash ^ secret[1]);
}

void
sc_hash_secret(uint64_t secret[SC_SECRET_WORDS])
{
    if (getrandom(secret, SC_SECRET_WORDS * sizeof(*secret), GRND_NONBLOCK) ==
        SC_SECRET_WORDS * sizeof(*secret))
        return;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    secret[0] = (uint64_t)now.tv_nsec << 32 ^ (uint64_t)now.tv_sec;
    secret[1] = (uint64_t)(uintptr_t)secret ^ (uint64_t)(uintptr_t)&getrandom << 20;
    for (unsigned i = 2; i < SC_SECRET_WORDS; i++)
        secret[i] = fold(secret[i - 2] ^ UINT64_C(0x9e3779b97f4a7c15), secret[i - 1] + i);
}
