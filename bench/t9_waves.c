/* SPDX-License-Identifier: MIT */
/*
 * t9_waves.c - T9: two waves of objects of 16 to 1024 bytes lie interleaved in memory, then the
 * whole first wave is freed. What stays resident? An allocator that cannot move objects keeps every
 * page on which one object of the second wave lies.
 */
#include "cache.h"
#include "memory.h"
#include "report.h"

#define SMALLEST 16
#define LARGEST  1024

static uint64_t opt_thousands, opt_wait_ms, opt_order;
enum { INTERLEAVED, ONE_AFTER_THE_OTHER };
static const struct bench_option options[] = {
    {"thousands", BENCH_COUNT, &opt_thousands, "thousand objects", 1, 100000, 1000, 40,
     "Objects of each wave"},
    {"order", BENCH_CHOICE, &opt_order, "interleaved|sequential", 0, 0, INTERLEAVED, INTERLEAVED,
     "The waves arrive together, or one after the other"},
    {"wait", BENCH_COUNT, &opt_wait_ms, "ms", 0, 600000, 2000, 500,
     "When resident memory is measured, after the last free"},
};

static void
add(struct cache *cache, unsigned wave, struct rng *rng)
{
    subject_enter();
    shard_put(cache, &cache->shard[wave], rng, rng_between(rng, SMALLEST, LARGEST));
    subject_leave();
}

/* Interleaved: a coin decides which wave gets the next object, until one is complete. */
static void
fill(struct cache *cache, struct rng *rng)
{
    uint64_t left[2] = {opt_thousands * 1000, opt_thousands * 1000};
    while (left[0] + left[1] > 0) {
        unsigned wave = opt_order == INTERLEAVED ? rng_below(rng, 2) : 0;
        if (left[wave] == 0)
            wave = 1 - wave;
        add(cache, wave, rng);
        left[wave]--;
    }
}

static void
free_first_wave(struct cache *cache, struct rng *rng)
{
    bool more = true;
    while (more) {
        subject_enter();
        more = shard_evict(cache, &cache->shard[0], rng);
        subject_leave();
    }
}

static double
rss_per_live(struct cache *cache, uint64_t baseline)
{
    return (double)(memory_resident() - baseline) / (double)cache_bytes(cache);
}

int
main(int argc, char **argv)
{
    static struct floor_sample sample;
    struct cache cache;
    bench_parse(argc, argv, "resident memory after the first of two waves is freed (T9)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    struct rng rng = rng_stream(0);
    uint64_t places = 2 * (opt_thousands * 1000 + 64);
    cache_init(&cache, 2, places, places * LARGEST, FREE_NOW);
    report_begin("T9", "two waves", subject_label());
    report_case("2 x %u000 objects, %s", (unsigned)opt_thousands,
                opt_order == INTERLEAVED ? "interleaved" : "one after the other");
    uint64_t baseline = memory_resident();
    subject_open();
    fill(&cache, &rng);
    report_value("both waves", "RSS/live", rss_per_live(&cache, baseline));
    free_first_wave(&cache, &rng);
    report_value("right after the frees", "RSS/live", rss_per_live(&cache, baseline));
    bench_sleep_ms(opt_wait_ms);
    double last = rss_per_live(&cache, baseline);
    cache_sample(&cache, &rng, &sample);
    report_at_most("after the wait", "RSS/live", last, cache_floor(&cache, &sample),
                   subject_pick(1.07, 1.10));
    cache_verify(&cache);
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
