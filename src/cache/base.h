/* SPDX-License-Identifier: MIT */
/*
 * base.h - words that all files of the cache use. The cache stands on <sinter/handle.h> alone and
 * shares no file with the store.
 */
#ifndef SC_BASE_H
#define SC_BASE_H

#include <stdbool.h>
#include <urcu/flavor.h>

#include <sinter/cache.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <string.h>

#define sc_likely(x)   __builtin_expect(!!(x), 1)
#define sc_unlikely(x) __builtin_expect(!!(x), 0)

/* The memory order is in the name; what an access orders stands at its use. */
#define sc_load(p)             __atomic_load_n((p), __ATOMIC_RELAXED)
#define sc_load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define sc_store(p, v)         __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define sc_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define sc_add(p, v)           ((void)__atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
#define sc_sub(p, v)           ((void)__atomic_fetch_sub((p), (v), __ATOMIC_RELAXED))
#define sc_fetch_add(p, v)     __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)

#if defined(__SANITIZE_THREAD__)
#define SC_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SC_TSAN 1
#endif
#endif
#ifndef SC_TSAN
#define SC_TSAN 0
#endif

/* A build for staged tests calls back where a reader has looked at one bucket of two, and where a
 * bucket's lock is waited for, taken and released. */
enum sc_hook_lock { SC_HOOK_WAITS, SC_HOOK_TAKEN, SC_HOOK_RELEASED };
#if defined(SC_HOOKS)
void sc_hook_between_buckets(void);
void sc_hook_bucket(const void *bucket, enum sc_hook_lock what);
#else
static inline void
sc_hook_bucket(const void *bucket, enum sc_hook_lock what)
{
    (void)bucket;
    (void)what;
}
static inline void
sc_hook_between_buckets(void)
{
}
#endif

static inline uint64_t
sc_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t
sc_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t
sc_clamp(uint64_t value, uint64_t least, uint64_t most)
{
    return value < least ? least : value > most ? most : value;
}

/** a - b, at least 0: for figures that other threads change meanwhile. */
static inline uint64_t
sc_less(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

static inline uint64_t
sc_align(uint64_t value, uint64_t power_of_two)
{
    return (value + power_of_two - 1) & ~(power_of_two - 1);
}

/** Makes an atomic number at least `least`. */
static inline void
sc_raise(uint64_t *number, uint64_t least)
{
    uint64_t now = sc_load(number);
    while (now < least && !__atomic_compare_exchange_n(number, &now, least, false, __ATOMIC_RELAXED,
                                                       __ATOMIC_RELAXED))
        ;
}

/** One turn of a wait for a lock that is held for moments. */
static inline void
sc_spin(unsigned *turns)
{
    if (++*turns % 64 == 0) {
        sched_yield();
        return;
    }
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

#endif
