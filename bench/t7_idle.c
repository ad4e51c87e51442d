/* SPDX-License-Identifier: MIT */
/*
 * t7_idle.c - T7: does memory come back by itself? Threads allocate objects of 240 bytes, free 90 %
 * of them at random and then sleep outside any section. Nobody calls the allocator after that.
 */
#include "cache.h"
#include "memory.h"
#include "report.h"

#define OBJECT_BYTES 240

static uint64_t opt_mib, opt_threads, opt_free, opt_wait_ms, opt_percent;
static const struct bench_option options[] = {
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 4, 65536, 512, 32, "Payload before the frees"},
    {"threads", BENCH_COUNT, &opt_threads, "", 1, 256, 4, 4, "Threads that allocate and free"},
    {"free", BENCH_CHOICE, &opt_free, FREE_MODE_CHOICES, 0, 0, FREE_NOW, FREE_NOW,
     "Frees at once, or after a grace period"},
    {"percent", BENCH_COUNT, &opt_percent, "%", 1, 99, 90, 90, "Share of the objects freed"},
    {"wait", BENCH_COUNT, &opt_wait_ms, "ms", 0, 600000, 2000, 500,
     "When resident memory is measured, after the last free"},
};

static void
fill(void *arg, unsigned member)
{
    struct cache *cache = arg;
    struct shard *shard = &cache->shard[member];
    struct rng rng = rng_stream(member);
    while (shard->bytes + OBJECT_BYTES <= shard->limit) {
        subject_enter();
        shard_put(cache, shard, &rng, OBJECT_BYTES);
        subject_leave();
    }
}

static void
free_share(void *arg, unsigned member)
{
    struct cache *cache = arg;
    struct shard *shard = &cache->shard[member];
    struct rng rng = rng_stream(1000 + member);
    for (uint64_t left = (uint64_t)shard->live * opt_percent / 100; left > 0; left--) {
        subject_enter();
        shard_evict(cache, shard, &rng);
        subject_leave();
    }
}

static double
rss_per_live(struct cache *cache, uint64_t baseline)
{
    return (double)(memory_resident() - baseline) / (double)cache_bytes(cache);
}

/* Looks on until the time is up; the milliseconds until resident memory was within the target. */
static double
watch(struct cache *cache, uint64_t baseline, double target)
{
    uint64_t start = bench_now_ns();
    double reached = NAN;
    while (bench_now_ns() - start < opt_wait_ms * 1000000) {
        uint64_t resident = memory_resident_quick();
        if (isnan(reached) && (double)(resident - baseline) <= target * (double)cache_bytes(cache))
            reached = (double)(bench_now_ns() - start) * 1e-6;
        bench_sleep_ms(20);
    }
    return reached;
}

int
main(int argc, char **argv)
{
    static struct floor_sample sample;
    struct cache cache;
    bench_parse(argc, argv, "resident memory after threads freed most objects and sleep (T7)",
                options, BENCH_COUNTOF(options));
    rcu_register_thread();
    struct rng rng = rng_stream(2000);
    cache_init(&cache, (unsigned)opt_threads, opt_mib * BENCH_MIB / OBJECT_BYTES + opt_threads,
               opt_mib * BENCH_MIB, opt_free == FREE_NOW ? FREE_NOW : FREE_AFTER_GP);
    struct team *team = team_start((unsigned)opt_threads, true);
    report_begin("T7", "idle", subject_label());
    report_case("%u MiB, %u threads free %u %%%s", (unsigned)opt_mib, (unsigned)opt_threads,
                (unsigned)opt_percent, opt_free == FREE_NOW ? "" : " after a grace period");
    uint64_t baseline = memory_resident();
    subject_open();
    team_run(team, fill, &cache);
    report_value("full", "RSS/live", rss_per_live(&cache, baseline));
    team_run(team, free_share, &cache);
    report_value("right after the frees", "RSS/live", rss_per_live(&cache, baseline));
    double target = subject_pick(1.15, 1.50);
    double reached = watch(&cache, baseline, target);
    double last = rss_per_live(&cache, baseline);
    cache_sample(&cache, &rng, &sample);
    report_at_most("after the wait", "RSS/live", last, cache_floor(&cache, &sample), target);
    if (!isnan(reached))
        report_value("target reached after", "ms", reached);
    cache_verify(&cache);
    report_end();
    team_stop(team);
    subject_close();
    rcu_unregister_thread();
    return 0;
}
