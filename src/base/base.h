/* SPDX-License-Identifier: MIT */
/*
 * base.h - what every file of the library needs: fixed-width types, branch hints, assertions, small
 * arithmetic. No state, no mechanism.
 */
#ifndef SN_BASE_H
#define SN_BASE_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef SN_DEBUG
#define SN_DEBUG 0
#endif

#define sn_likely(x)   __builtin_expect(!!(x), 1)
#define sn_unlikely(x) __builtin_expect(!!(x), 0)
/* Rarely called: a slow path, laid out away from the fast ones. */
#define SN_NOINLINE __attribute__((noinline, cold))
/* Often called, but kept out of its callers, whose own fast path it would burden. */
#define SN_OUTLINE __attribute__((noinline))
/* Compiled once for each set of constant arguments it is called with. */
#define SN_FORCE_INLINE static inline __attribute__((always_inline))
#define SN_ALIGNED(n)   __attribute__((aligned(n)))

/* An assertion states what the code around it relies on; never an answer to input or to memory
 * running out. Off, it still compiles its expression (which has no side effects). */
#if SN_DEBUG
#include <stdio.h>
#include <stdlib.h>
#define sn_assert(x)                                                                               \
    do {                                                                                           \
        if (sn_unlikely(!(x))) {                                                                   \
            fprintf(stderr, "sinter: assertion '%s' failed in %s (%s:%d)\n", #x, __func__,         \
                    __FILE__, __LINE__);                                                           \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
#else
#define sn_assert(x) ((void)sizeof(!(x)))
#endif

#if defined(__SANITIZE_THREAD__)
#define SN_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SN_TSAN 1
#endif
#endif
#ifndef SN_TSAN
#define SN_TSAN 0
#endif

/** The struct that a member, by the pointer to it, lies in. */
#define sn_container_of(pointer, type, member)                                                     \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline uint64_t
sn_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t
sn_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/** Sums and differences modulo 2^64, for counters that are lowered by adding the negative, or of
 * which only the sum over threads counts. They wrap here and nowhere else
 * (tests/integer.ignorelist). */
static inline uint64_t
sn_wrapping_add(uint64_t a, uint64_t b)
{
    return a + b;
}

static inline uint64_t
sn_wrapping_sub(uint64_t a, uint64_t b)
{
    return a - b;
}

/** A difference of counters that others change meanwhile: a moment below zero counts as none. */
static inline uint64_t
sn_at_least_zero(uint64_t difference)
{
    return difference >> 63 ? 0 : difference;
}

/** part * 1000 / whole, also where the product would not fit; 0 of nothing. */
static inline uint64_t
sn_permille(uint64_t part, uint64_t whole)
{
    if (whole == 0)
        return 0;
    return part <= UINT64_MAX / 1000 ? part * 1000 / whole : part / sn_max(whole / 1000, 1);
}

/** x rounded up to a multiple of `to`, a power of two. */
static inline uint64_t
sn_round_up(uint64_t x, uint64_t to)
{
    return (x + to - 1) & ~(to - 1);
}

#endif
