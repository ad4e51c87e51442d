/* SPDX-License-Identifier: MIT */
/*
 * random.h - the pseudo-random numbers of the cache example: splitmix64. Good enough to draw sizes
 * and keys from; not for secrets.
 */
#ifndef CACHE_RANDOM_H
#define CACHE_RANDOM_H

#include <stdint.h>

/** Spreads the bits of x: equal arguments give equal results, near ones far apart. A bijection. */
static inline uint64_t
mix64(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

/** The next number of the sequence whose state is *state. */
static inline uint64_t
random_next(uint64_t *state)
{
    *state += UINT64_C(0x9e3779b97f4a7c15);
    return mix64(*state);
}

/** A number from 0 to n - 1 out of 64 random bits; n must not be 0. */
static inline uint64_t
random_below(uint64_t bits, uint64_t n)
{
    return (uint64_t)(((unsigned __int128)bits * n) >> 64);
}

#endif
