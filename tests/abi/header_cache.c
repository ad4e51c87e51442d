/* SPDX-License-Identifier: MIT */
/*
 * header_cache.c - the same as header.c for sinter/cache.h: every macro and inline function, as C
 * and as C++, alone or with a flavour's header before or after it (URCU_BEFORE, URCU_AFTER). With
 * WITHOUT_FLAVOUR it calls sinter_cache_create all the same, which must not compile. Never linked.
 *
 * Seen failing: under -Wshadow in C++, without the pragma around sinter_cache_stats.
 */
#ifdef URCU_BEFORE
#include URCU_BEFORE
#endif
#include <sinter/cache.h>
#ifdef URCU_AFTER
#include URCU_AFTER
#endif

#ifdef __cplusplus
#define NOTHING nullptr
#else
#define NOTHING NULL
#endif

sinter_cache *use_create(void);
uint64_t use_initialisers(sinter_cache *cache);

sinter_cache *
use_create(void)
{
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    options.favour = SINTER_CACHE_FAVOUR_BYTES;
    options.limit_bytes += SINTER_CACHE_KEY_MAX;
#if defined(URCU_BEFORE) || defined(WITHOUT_FLAVOUR)
    return sinter_cache_create(&options);
#else
    return sinter_cache_create_flavor(&options, NOTHING); /* inline, as sinter_cache_create */
#endif
}

uint64_t
use_initialisers(sinter_cache *cache)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    return sinter_cache_stats(cache, &stats) == 0 ? stats.items + SINTER_CACHE_REASONS : 0;
}
