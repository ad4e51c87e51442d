/* SPDX-License-Identifier: MIT */
/*
 * embedded_cache.c - libsinter-cache in a program: look up, make what is not there, put it in. The
 * limit is of everything that the cache holds, whatever sizes come. With urcu-bp no thread
 * registers anything. (embedded_cache.cc is the same in C++.)
 */
#include <urcu-bp.h>

#include <sinter/cache.h>

#include "expect.h"

#include <string.h>

/** What the cache spares: a page, made from its number. */
static size_t
make_page(unsigned number, char *page)
{
    size_t size = 200 + number * 37u % 20000;
    memset(page, 'a' + (int)(number % 26), size);
    return size;
}

/** A page out of the cache, or made and put there for a minute. */
static size_t
page_of(sinter_cache *pages, unsigned number, char *page, size_t room)
{
    struct sinter_cache_info info;
    if (sinter_cache_get(pages, &number, sizeof(number), page, room, &info) == 0)
        return info.size;
    size_t size = make_page(number, page);
    /* A refusal is no harm: the page is made again next time. */
    (void)sinter_cache_set(pages, &number, sizeof(number), page, size, 0, 60000);
    return size;
}

int
main(void)
{
    static char page[32768], made[32768];
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    options.limit_bytes = 16 << 20;
    sinter_cache *pages = sinter_cache_create(&options);
    if (!pages)
        return 1;
    for (unsigned i = 0; i < 100000; i++) {
        unsigned number = i % 3 ? i % 500 : i; /* some pages are asked for again and again */
        size_t size = page_of(pages, number, page, sizeof(page));
        expect(size == make_page(number, made) && memcmp(page, made, size) == 0);
    }
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    expect(sinter_cache_stats(pages, &stats) == 0);
    printf("%.0f %% of %.0f look-ups hit; %.1f of 16 MiB are held, %.1f of them payload\n",
           100.0 * (double)stats.hits / (double)stats.gets, (double)stats.gets,
           (double)stats.held_bytes / (1 << 20), (double)stats.payload_bytes / (1 << 20));
    expect(stats.held_bytes <= options.limit_bytes && stats.evicted > 0);
    expect(stats.hits > stats.misses && sinter_cache_destroy(pages) == 0);
    return expect_status();
}
