/* SPDX-License-Identifier: MIT */
/*
 * cache.c - a C program outside the source tree that uses the installed libsinter-cache: what is
 * set is read. Not a test of the cache itself.
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
    if (handle_store_check(sinter_cache_store(cache), NULL, NULL) != 0)
        return fail("the store is not sound");
    if (sinter_cache_destroy(cache) != 0)
        return fail("the cache cannot be destroyed");
    printf("cache.c: sinter-cache %s works\n", handle_version());
    return 0;
}
