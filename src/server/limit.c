/* SPDX-License-Identifier: MIT */
/* limit.c - see limit.h. */
#include "server/limit.h"

#include <stdio.h>
#include <unistd.h>

#define MIB          (UINT64_C(1) << 20)
#define CACHE_LEAST  (8 * MIB)
#define PERCENT_MOST 90u                   /* of the memory that there is */
#define POOL_LEAST   (UINT64_C(256) << 10) /* of a worker: what is left of its buffers, twice */
#define FORGET       256u                  /* part of own_most that is forgotten at each look */
#define WORKER_BYTES (UINT64_C(256) << 10) /* buffers and stack of a worker */
#define STEP         (UINT64_C(256) << 10) /* smaller changes are left for later */

/* Resident bytes of the process; 0: unknown. */
static uint64_t
resident(void)
{
    unsigned long long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file || fscanf(file, "%*u %llu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Of a worker. */
static uint64_t
pool_of(const struct sd_server *server, uint64_t memory)
{
    return sd_most(memory / 32 / server->settings.threads, POOL_LEAST);
}

/* What is not the cache's. Who is beyond its pool may have a value that it appends to, and what. */
static uint64_t
taken_of(const struct sd_server *server, uint64_t memory)
{
    uint64_t pools = pool_of(server, memory) * server->settings.threads;
    return pools + 2 * server->settings.value_most + sd_load(&server->beside) +
           sd_load(&server->own_most) + MIB + memory / 256;
}

/* 0: too little is left. */
static uint64_t
cache_of(const struct sd_server *server, uint64_t memory)
{
    uint64_t taken = taken_of(server, memory);
    return memory >= taken + CACHE_LEAST ? memory - taken : 0;
}

/* The library knows how much there is. */
uint64_t
sd_limit_percent(unsigned percent)
{
    struct sinter_cache_budget_stats stats = SINTER_CACHE_BUDGET_STATS_INIT;
    sinter_cache_budget *budget = sinter_cache_budget_create(0, percent);
    if (!budget)
        return 0;
    (void)sinter_cache_budget_stats(budget, &stats);
    (void)sinter_cache_budget_destroy(budget);
    return stats.limit_bytes;
}

bool
sd_limit_open(struct sd_server *server)
{
    struct sd_settings *settings = &server->settings;
    uint64_t there = sd_limit_percent(PERCENT_MOST);
    server->memory_most = there ? sd_min(there, SD_MEMORY_MOST) : SD_MEMORY_MOST;
    uint64_t memory = sd_most(sd_min(settings->memory, server->memory_most), SD_MEMORY_LEAST);
    if (settings->value_most > memory / 2)
        return false;
    sd_store(&server->own_most, resident() + settings->threads * WORKER_BYTES);
    while (!cache_of(server, memory))
        memory += MIB;
    if (memory != settings->memory)
        sd_complain("-m %llu is too %s: %llu is used", (unsigned long long)(settings->memory / MIB),
                    memory > settings->memory ? "little" : "much",
                    (unsigned long long)(memory / MIB));
    settings->memory = memory;
    sd_store(&server->beyond.most, pool_of(server, memory));
    server->cache_limit = cache_of(server, memory);
    return true;
}

static void
tell_cache(struct sd_server *server, uint64_t limit)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", (unsigned long long)limit);
    if (sinter_cache_configure(server->cache, "limit_bytes", text) == 0)
        sd_store(&server->cache_limit, limit);
}

static uint64_t
known_bytes(struct sd_server *server)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    (void)sinter_cache_stats(server->cache, &stats);
    return stats.held_bytes + sd_pools_used(server) + sd_load(&server->beside);
}

/* Three figures that are not of one moment: what was there before and after counts. */
static uint64_t
own_bytes(struct sd_server *server)
{
    uint64_t before = known_bytes(server), now = resident(), after = known_bytes(server);
    uint64_t known = sd_most(before, after);
    return now > known ? now - known : 0;
}

void
sd_limit_follow(struct sd_server *server)
{
    uint64_t own = own_bytes(server), now = sd_load(&server->cache_limit);
    uint64_t most = sd_load(&server->own_most);
    if (own > most)
        sd_store(&server->own_most, (own + STEP - 1) / STEP * STEP);
    else if (own + STEP < most)
        sd_store(&server->own_most, most - (most - own) / FORGET);
    uint64_t limit = cache_of(server, sd_load(&server->settings.memory));
    if (limit && (limit < now || limit > now + STEP))
        tell_cache(server, limit);
}

bool
sd_limit_change(struct sd_server *server, uint64_t memory)
{
    uint64_t limit = cache_of(server, memory);
    if (!limit || memory < SD_MEMORY_LEAST || (server->memory_most && memory > server->memory_most))
        return false;
    sd_store(&server->settings.memory, memory);
    sd_store(&server->beyond.most, pool_of(server, memory));
    tell_cache(server, limit);
    return true;
}
