/* SPDX-License-Identifier: MIT */
/*
 * base.h - words that all files of the server use. It stands on <sinter/cache.h> and the public
 * headers alone. The flavour is liburcu's default: a worker that waits for its sockets is in no
 * section, and needs to tell nobody.
 */
#ifndef SD_BASE_H
#define SD_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <urcu.h>

#include <sinter/cache.h>

/*
 * ThreadSanitizer does not see that liburcu's grace periods order what sections did. The cache's
 * library tells it of its own sections by the flavour's address, and this of the server's. Nothing
 * in other builds.
 */
#if defined(__SANITIZE_THREAD__)
#define SD_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SD_TSAN 1
#endif
#endif
#ifndef SD_TSAN
#define SD_TSAN 0
#endif
#if SD_TSAN
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#endif

static inline void
sd_section_enter(void)
{
    rcu_read_lock();
#if SD_TSAN
    __tsan_acquire((void *)(uintptr_t)&rcu_flavor);
#endif
}

static inline void
sd_section_leave(void)
{
#if SD_TSAN
    __tsan_release((void *)(uintptr_t)&rcu_flavor);
#endif
    rcu_read_unlock();
}

#define SD_VERSION "1.6.18-sinter" /* what "version" answers begins as memcached's: clients look */

#define SD_KEY_MOST 250u

/* Counters that one thread writes, or that need no order. */
#define sd_load(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define sd_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define sd_add(p, v)   __atomic_add_fetch((p), (v), __ATOMIC_RELAXED)
#define sd_sub(p, v)   ((void)__atomic_fetch_sub((p), (v), __ATOMIC_RELAXED))
/** Of a counter that this thread alone writes. */
#define sd_count(p, v) sd_store((p), sd_load(p) + (v))

/** Bytes that are another's. */
struct sd_bytes {
    const char *bytes;
    size_t size;
};

static inline bool
sd_is(struct sd_bytes bytes, const char *word)
{
    return bytes.size == strlen(word) && memcmp(bytes.bytes, word, bytes.size) == 0;
}

/** Prints a line about what is wrong on standard error. False. */
bool sd_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

static inline size_t
sd_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static inline uint64_t
sd_most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
