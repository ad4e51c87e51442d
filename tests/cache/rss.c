/* SPDX-License-Identifier: MIT */
/*
 * rss.c - what the kernel counts as resident while the sizes of a cache's values shift: at no
 * sample more than the limit and 4 MiB, of the whole process. A thread takes a sample each 20 ms,
 * the writer one after each 512 sets; contents are checked by readers.
 *
 *     cache_rss_bp [--seconds N] [--limit MIB] [--seed N]
 *
 * Without --seconds: each range of sizes once. Exit status 1 when a sample was above.
 */
#include "support.h"

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#define BESIDE      (4 * MIB)
#define INTERVAL_NS 20000000

static const size_t ranges[][2] = {{240, 256}, {272, 288},   {16, 64},
                                   {640, 640}, {100, 20000}, {50000, 200000}};
#define RANGES (sizeof(ranges) / sizeof(ranges[0]))

static struct fixture_cache fixture;
static uint64_t limit = 8 * MIB, seed;
static time_t seconds;
static uint64_t sets, samples, above, most; /* atomic */
static bool over;                           /* atomic */

/* ---- samples --------------------------------------------------------------------------------- */

static uint64_t
resident(void)
{
    unsigned long whole, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    thread_check(file && fscanf(file, "%lu %lu", &whole, &pages) == 2);
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void
sample(void)
{
    uint64_t now = resident(), before = __atomic_load_n(&most, __ATOMIC_RELAXED);
    __atomic_fetch_add(&samples, 1, __ATOMIC_RELAXED);
    if (now > limit + BESIDE)
        __atomic_fetch_add(&above, 1, __ATOMIC_RELAXED);
    while (now > before && !__atomic_compare_exchange_n(&most, &before, now, false,
                                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void
sample_on(void)
{
    struct timespec interval = {.tv_nsec = INTERVAL_NS};
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        sample();
        wait_begin();
        nanosleep(&interval, NULL);
        wait_end();
    }
}

/* ---- the cache's users ----------------------------------------------------------------------- */

/* One and a half limits of one range's values, each under a key of its own. */
static void
write_range(uint64_t *state, const size_t *range)
{
    for (uint64_t bytes = 0; bytes < limit + limit / 2;) {
        uint64_t number = __atomic_load_n(&sets, __ATOMIC_RELAXED);
        size_t size = range[0] + random_below(state, range[1] - range[0] + 1);
        int rc = set_number(fixture.cache, number, size, range[0]);
        thread_check(rc == 0 || rc == -EAGAIN);
        __atomic_store_n(&sets, number + 1, __ATOMIC_RELAXED);
        bytes += size + 36;
        if (number % 512 == 0)
            sample();
    }
}

static void
write_on(void)
{
    struct timespec now, begin;
    uint64_t state = seed;
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do {
        for (unsigned i = 0; i < RANGES; i++)
            write_range(&state, ranges[i]);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (now.tv_sec - begin.tv_sec < seconds);
    __atomic_store_n(&over, true, __ATOMIC_RELAXED);
}

/* Of the newest keys, those that are there have what was written. */
static void
read_on(void)
{
    uint64_t state = seed + 1;
    while (!__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        uint64_t newest = __atomic_load_n(&sets, __ATOMIC_RELAXED);
        uint64_t back = random_below(&state, newest < 20000 ? newest + 1 : 20000);
        int rc = check_number(fixture.cache, newest - back);
        thread_check(rc == 0 || rc == -ENOENT);
        quiesce();
    }
}

static void
body(void *opaque, unsigned index)
{
    (void)opaque;
    if (index == 0)
        sample_on();
    else if (index == 1)
        write_on();
    else
        read_on();
}

int
main(int argc, char **argv)
{
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--seconds") == 0)
            seconds = (time_t)strtol(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--limit") == 0)
            limit = strtoull(argv[i + 1], NULL, 10) * MIB;
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
    }
    if (!seed)
        seed = random_seed("cache_rss");
    thread_enter();
    cache_options(&fixture);
    fixture.options.clock_ms = NULL;
    fixture.options.limit_bytes = limit;
    cache_open(&fixture);
    run_threads(3, body, NULL);
    struct sinter_cache_stats stats = cache_stats(fixture.cache);
    printf("limit %.1f MiB; highest of %" PRIu64 " samples %.2f MiB resident, %" PRIu64
           " above the limit and 4 MiB; %" PRIu64 " sets, %" PRIu64 " refused, %" PRIu64
           " evicted; held now %.2f MiB, %.2f of it payload\n",
           (double)limit / MIB, samples, (double)most / MIB, above, sets, stats.refused,
           stats.evicted, (double)stats.held_bytes / MIB, (double)stats.payload_bytes / MIB);
    thread_check(sinter_cache_destroy(fixture.cache) == 0);
    thread_leave();
    return above > 0;
}
