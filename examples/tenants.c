/* SPDX-License-Identifier: MIT */
/*
 * tenants.c - one limit of two caches: they lend each other what they do not use. First pages need
 * all of it, then sessions come: what was lent comes back, while both together stay within the
 * limit.
 */
#include <urcu-bp.h>

#include <sinter/cache.h>

#include "expect.h"

#include <string.h>
#include <unistd.h>

#define LIMIT (48u << 20)

static sinter_cache *pages, *sessions;
static sinter_cache_budget *budget;

static sinter_cache *
open_tenant(const char *name, uint32_t weight)
{
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    options.name = name;
    options.budget = budget;
    options.weight = weight;
    return sinter_cache_create(&options);
}

static uint64_t
may_have(sinter_cache *cache)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    expect(sinter_cache_stats(cache, &stats) == 0);
    return stats.limit_bytes;
}

/** Writes new items until the cache may have so much of the limit, at most a million. */
static void
write_until(sinter_cache *cache, uint64_t bytes)
{
    static char value[2000];
    static unsigned number;
    for (unsigned turn = 0; turn < 1000 && may_have(cache) < bytes; turn++) {
        for (unsigned i = 0; i < 1000; i++, number++)
            expect(sinter_cache_set(cache, &number, sizeof(number), value, sizeof(value), 0, 0) ==
                   0);
        usleep(1000); /* what is lent comes back by the other cache's thread */
    }
    struct sinter_cache_budget_stats stats = SINTER_CACHE_BUDGET_STATS_INIT;
    expect(sinter_cache_budget_stats(budget, &stats) == 0);
    expect(stats.granted_bytes <= LIMIT);
    printf("of 48 MiB pages may have %.1f, sessions %.1f\n", (double)may_have(pages) / (1 << 20),
           (double)may_have(sessions) / (1 << 20));
}

int
main(void)
{
    budget = sinter_cache_budget_create(LIMIT, 0);
    pages = open_tenant("pages", 100);
    sessions = open_tenant("sessions", 200); /* two parts of three, when it needs them */
    if (!pages || !sessions)
        return 1;
    write_until(pages, 39u << 20);
    expect(may_have(pages) >= 39u << 20);
    write_until(sessions, 31u << 20);
    expect(may_have(sessions) >= 31u << 20 && may_have(pages) <= 17u << 20);
    expect(sinter_cache_destroy(pages) == 0 && sinter_cache_destroy(sessions) == 0);
    expect(sinter_cache_budget_destroy(budget) == 0);
    return expect_status();
}
