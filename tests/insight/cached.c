/* SPDX-License-Identifier: MIT */
/*
 * cached.c - a program with a cache that others look into, of more items than its limit keeps. It
 * says what it knows of itself, and ends when its input does:
 *
 *   ready items=COUNT evicted=COUNT gets=COUNT
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flavour.h"
#include <sinter/cache.h>

static sinter_cache *cache;
static char value[2000], got[2000];

static void
fail(const char *what)
{
    perror(what);
    exit(1);
}

static size_t
size_of(unsigned i)
{
    return 20 + i % 50 * 30;
}

/* Those of the ring and of main: every third one is asked for again. */
static void
fill(void)
{
    struct sinter_cache_info info;
    char key[32];
    for (unsigned i = 0; i < 30000; i++) {
        snprintf(key, sizeof(key), "key:%u", i);
        if (sinter_cache_set(cache, key, strlen(key), value, size_of(i), 0, 0) != 0)
            fail("sinter_cache_set");
        if (i % 3 == 0)
            (void)sinter_cache_get(cache, key, strlen(key), got, sizeof(got), &info);
    }
    /* One with flags, one that expires, one in pieces. */
    static char large[200000];
    if (sinter_cache_set(cache, "flags", 5, value, 11, 7, 0) != 0 ||
        sinter_cache_set(cache, "expires", 7, value, 12, 0, 3600000) != 0 ||
        sinter_cache_set(cache, "large", 5, large, sizeof(large), 0, 0) != 0)
        fail("sinter_cache_set");
}

int
main(void)
{
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    options.name = "cached";
    options.limit_bytes = UINT64_C(8) << 20;
    rcu_register_thread();
    memset(value, 'v', sizeof(value));
    cache = sinter_cache_create(&options);
    if (!cache)
        fail("sinter_cache_create");
    fill();
    if (sinter_cache_stats(cache, &stats) != 0)
        fail("sinter_cache_stats");
    printf("ready items=%llu evicted=%llu gets=%llu\n", (unsigned long long)stats.items,
           (unsigned long long)stats.evicted, (unsigned long long)stats.gets);
    fflush(stdout);
    return read(STDIN_FILENO, value, 1) < 0;
}
