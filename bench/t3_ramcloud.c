/* SPDX-License-Identifier: MIT */
/*
 * t3_ramcloud.c - T3: the workloads W1 to W8 of the RAMCloud paper (FAST'14) on memory utilisation
 * under changing object sizes, scaled: a number of bytes is kept live, five times as much is
 * written from one distribution of sizes, a share of the objects is deleted, and five times as much
 * is written from a second distribution. Random eviction keeps the live bytes at the limit. Each
 * workload runs in a process of its own.
 */
#include "cache.h"
#include "memory.h"
#include "report.h"

static const struct workload {
    uint32_t low, high;           /* sizes before, uniform */
    unsigned delete_percent;      /* of the objects, between */
    uint32_t low_then, high_then; /* sizes after */
    double cells, handles;        /* target: live over RSS, percent, at least */
} workload[] = {
    {100, 100, 0, 100, 100, 87, 81},      {100, 100, 0, 130, 130, 88, 82},
    {100, 100, 90, 130, 130, 88, 82},     {100, 150, 0, 200, 250, 93, 87},
    {100, 150, 90, 200, 250, 93, 87},     {100, 200, 50, 1000, 2000, 95, 90},
    {1000, 2000, 90, 1500, 2500, 95, 94}, {50, 150, 90, 5000, 15000, 93, 88},
};
#define WORKLOADS BENCH_COUNTOF(workload)

static const char *const end_name[WORKLOADS] = {"W1 100 B",
                                                "W2 100->130, 0 %",
                                                "W3 100->130, 90 %",
                                                "W4 100-150->200-250, 0 %",
                                                "W5 100-150->200-250, 90 %",
                                                "W6 100-200->1000-2000, 50 %",
                                                "W7 1000-2000->1500-2500, 90 %",
                                                "W8 50-150->5000-15000, 90 %"};
static const char *const idle_name[WORKLOADS] = {
    "W1 after idling", "W2 after idling", "W3 after idling", "W4 after idling",
    "W5 after idling", "W6 after idling", "W7 after idling", "W8 after idling"};

static uint64_t opt_mib, opt_written, opt_idle_ms, opt_only;
static const struct bench_option options[] = {
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 1, 16384, 100, 4, "Live payload"},
    {"written", BENCH_COUNT, &opt_written, "times the live payload", 1, 100, 5, 2,
     "What is written before, and after"},
    {"idle", BENCH_COUNT, &opt_idle_ms, "ms", 0, 600000, 2000, 100, "Idle time at the end"},
    {"workload", BENCH_COUNT, &opt_only, "", 0, WORKLOADS, 0, 0, "Only this one; 0: all"},
};

struct result {
    double utilisation, idle, best; /* percent; best: the computed floor's */
    double seconds;
};

static void
write_phase(struct cache *cache, struct rng *rng, uint32_t low, uint32_t high)
{
    uint64_t bytes = opt_written * opt_mib * BENCH_MIB;
    for (uint64_t written = 0; written < bytes;) {
        uint32_t size = rng_between(rng, low, high);
        subject_enter();
        shard_put(cache, &cache->shard[0], rng, size);
        subject_leave();
        written += size;
    }
}

static void
delete_share(struct cache *cache, struct rng *rng, unsigned percent)
{
    for (uint64_t left = cache_objects(cache) * percent / 100; left > 0; left--) {
        subject_enter();
        shard_evict(cache, &cache->shard[0], rng);
        subject_leave();
    }
}

static double
utilisation(struct cache *cache, uint64_t baseline)
{
    return 100.0 * (double)cache_bytes(cache) / (double)(memory_resident() - baseline);
}

static void
run_workload(unsigned which, void *arg)
{
    static struct floor_sample sample;
    const struct workload *w = &workload[which];
    struct result *result = arg;
    struct cache cache;
    struct rng rng = rng_stream(which);
    uint64_t limit = opt_mib * BENCH_MIB;
    cache_init(&cache, 1, limit / w->low + 64, limit, FREE_NOW);
    uint64_t baseline = memory_resident();
    subject_open();
    uint64_t start = bench_now_ns();
    write_phase(&cache, &rng, w->low, w->high);
    delete_share(&cache, &rng, w->delete_percent);
    write_phase(&cache, &rng, w->low_then, w->high_then);
    result->seconds = (double)(bench_now_ns() - start) * 1e-9;
    result->utilisation = utilisation(&cache, baseline);
    bench_sleep_ms(opt_idle_ms);
    result->idle = utilisation(&cache, baseline);
    cache_sample(&cache, &rng, &sample);
    result->best = 100.0 / cache_floor(&cache, &sample);
    cache_verify(&cache);
    bench_progress("W%u: live/RSS %.1f %%, after idling %.1f %%, %.2f s", which + 1,
                   result->utilisation, result->idle, result->seconds);
    subject_close();
}

static void
report_one(unsigned which, const struct result *result)
{
    struct report_metric metric =
        metric_of(end_name[which], "% live/RSS", REPORT_HIGHER, result->utilisation);
    metric.floor = result->best;
    metric.target = subject_pick(workload[which].cells, workload[which].handles);
    report_add(metric);
    metric.name = idle_name[which];
    metric.value = result->idle;
    report_add(metric);
}

int
main(int argc, char **argv)
{
    struct result result;
    double seconds = 0;
    bench_parse(argc, argv, "memory utilisation under RAMCloud's changing workloads (T3)", options,
                BENCH_COUNTOF(options));
    report_begin("T3", "RAMCloud's workloads", subject_label());
    report_case("%u MiB live, %u MiB written before and after", (unsigned)opt_mib,
                (unsigned)(opt_mib * opt_written));
    for (unsigned which = 0; which < WORKLOADS; which++) {
        if (opt_only != 0 && opt_only != which + 1)
            continue;
        bench_in_child(run_workload, which, &result, sizeof(result));
        report_one(which, &result);
        seconds += result.seconds;
    }
    report_value("time of all writes", "s", seconds);
    report_note(
        "the floor column is the best utilisation possible: objects with their rounding and "
        "words, perfectly packed");
    report_end();
    return 0;
}
