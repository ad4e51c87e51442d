/* SPDX-License-Identifier: MIT */
/*
 * cache.c - a C program outside the source tree that uses the installed libsinter-cache: what is
 * set is read. It calls nothing of the store, which the cache alone has to find. Not a test of the
 * cache itself.
 */
#include <urcu-bp.h>

#include <sinter/cache.h>

#include <stdio.h>
#include <string.h>

static int
fail(const char *what)
{
    fprintf(stderr, "cache.c: %s\n", what);
    return 1;
}

int
main(void)
{
    char value[16] = "";
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    options.limit_bytes = 8 << 20;
    sinter_cache *cache = sinter_cache_create(&options);
    if (!cache)
        return fail("no cache");
    if (sinter_cache_set(cache, "key", 3, "value", 6, 0, 0) != 0)
        return fail("what is small is refused");
    if (sinter_cache_get(cache, "key", 3, value, sizeof(value), NULL) != 0 ||
        strcmp(value, "value") != 0)
        return fail("what was set is not there");
    if (sinter_cache_destroy(cache) != 0)
        return fail("the cache cannot be destroyed");
    puts("cache.c: sinter-cache works");
    return 0;
}
