/* SPDX-License-Identifier: MIT */
/*
 * c2_items.c - C2: how many resident bytes does an item of libsinter-cache take, index and policy
 * included? Fills an empty cache with keys of 20 bytes and values of 32, 100 and 500, nothing
 * evicted, each in a process of its own; full less empty, by /proc/self/smaps_rollup.
 *
 *     c2_items [--smoke] [--items N]      default 1000000; smoke: 100000, and no verdict
 *
 * Targets: 92, 165, 575 (memcached 1.6.18: 129, 202, 610). Exit status 1: one is missed.
 */
#include <urcu-bp.h>

#include <sinter/cache.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memory.h"

static sinter_cache *
open_cache(void)
{
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    options.limit_bytes = UINT64_C(4) << 30;
    return sinter_cache_create(&options);
}

static int
fill(sinter_cache *cache, unsigned long items, size_t size)
{
    char key[32], value[500];
    memset(value, 'v', sizeof(value));
    for (unsigned long i = 0; i < items; i++) {
        snprintf(key, sizeof(key), "key:%016lu", i);
        if (sinter_cache_set(cache, key, 20, value, size, 0, 0) != 0)
            return 1;
    }
    return sinter_cache_items(cache) + items / 1000 < items;
}

/* Exit status: 0, or 1 where it is more than `most`. */
static int
measure(unsigned long items, size_t size, double most)
{
    sinter_cache *cache = open_cache();
    if (!cache)
        return 2;
    uint64_t before = memory_resident();
    if (fill(cache, items, size) != 0)
        return 2;
    double each = (double)(memory_resident() - before) / (double)sinter_cache_items(cache);
    printf("  %6zu %12.1f %12.0f\n", size, each, most);
    fflush(stdout);
    sinter_cache_destroy(cache);
    return each > most;
}

static int
in_a_child(unsigned long items, size_t size, double most)
{
    int status = 2 << 8;
    pid_t child = fork();
    if (child == 0)
        _exit(measure(items, size, most));
    return child > 0 && waitpid(child, &status, 0) == child ? status : 1;
}

int
main(int argc, char **argv)
{
    static const struct {
        size_t size;
        double most;
    } rows[] = {{32, 92}, {100, 165}, {500, 575}};
    unsigned long items = 1000000;
    int missed = 0;
    bool smoke = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--smoke") == 0) {
            smoke = true;
            items = 100000;
        } else if (strcmp(argv[i], "--items") == 0 && i + 1 < argc) {
            items = strtoul(argv[++i], NULL, 10);
        }
    }
    printf("   value   bytes each       target\n");
    fflush(stdout);
    for (unsigned i = 0; i < 3; i++)
        missed |= in_a_child(items, rows[i].size, rows[i].most);
    return smoke ? (missed & ~(1 << 8)) != 0 : missed != 0;
}
