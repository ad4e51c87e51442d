/* SPDX-License-Identifier: MIT */
/* hash.c - see hash.h. */
#include "cache/hash.h"

#include <sys/random.h>
#include <time.h>

struct sip {
    uint64_t v0, v1, v2, v3;
};

static inline uint64_t
rotate(uint64_t x, unsigned bits)
{
    return x << bits | x >> (64 - bits);
}

static inline void
sip_round(struct sip *s)
{
    s->v0 += s->v1;
    s->v2 += s->v3;
    s->v1 = rotate(s->v1, 13) ^ s->v0;
    s->v3 = rotate(s->v3, 16) ^ s->v2;
    s->v0 = rotate(s->v0, 32);
    s->v2 += s->v1;
    s->v0 += s->v3;
    s->v1 = rotate(s->v1, 17) ^ s->v2;
    s->v3 = rotate(s->v3, 21) ^ s->v0;
    s->v2 = rotate(s->v2, 32);
}

static inline void
sip_word(struct sip *s, uint64_t word)
{
    s->v3 ^= word;
    sip_round(s);
    s->v0 ^= word;
}

/* The last 0 to 7 bytes of `size`, little-endian; by one load, where there are eight. */
static inline uint64_t
tail_of(const unsigned char *bytes, size_t tail, size_t size)
{
    uint64_t word = 0;
    if (size < 8) {
        memcpy(&word, bytes, tail);
    } else if (tail > 0) {
        memcpy(&word, bytes + tail - 8, 8);
        word >>= 64 - 8 * tail;
    }
    return word;
}

uint64_t
sc_hash(const uint64_t secret[SC_SECRET_WORDS], const void *key, size_t size)
{
    struct sip s = {
        secret[0] ^ UINT64_C(0x736f6d6570736575), secret[1] ^ UINT64_C(0x646f72616e646f6d),
        secret[0] ^ UINT64_C(0x6c7967656e657261), secret[1] ^ UINT64_C(0x7465646279746573)};
    const unsigned char *bytes = key;
    size_t left = size;
    for (; left >= 8; left -= 8, bytes += 8) {
        uint64_t word;
        memcpy(&word, bytes, 8);
        sip_word(&s, word);
    }
    sip_word(&s, (uint64_t)size << 56 | tail_of(bytes, left, size));
    s.v2 ^= 0xff;
    sip_round(&s);
    sip_round(&s);
    sip_round(&s);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
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
}
