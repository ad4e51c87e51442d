/* SPDX-License-Identifier: MIT */
/*
 * t2_redis.c - T2: the shape that the literature on Redis uses (Mesh, Alaska): many objects of 240
 * bytes, then of 492, under a payload limit with random eviction, then idling. RSS here is the
 * process's less a baseline, over the limit; servers' figures hold their own memory besides.
 */
#include "cache.h"
#include "memory.h"
#include "report.h"

#include <stdio.h>

#define FIRST_BYTES  240
#define SECOND_BYTES 492

static uint64_t opt_mib, opt_rate, opt_cpu, opt_idle_ms;
static const char *opt_series;
static const struct bench_option options[] = {
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 4, 16384, 100, 10,
     "Payload limit; 7000 and 1700 objects are written per MiB"},
    {"rate", BENCH_COUNT, &opt_rate, "objects/s", 0, 100000000, 0, 0,
     "Pace of the writes; 0: as fast as it goes"},
    {"cpu", BENCH_COUNT, &opt_cpu, "%", 1, 100, 100, 100, "defrag.cpu_max_percent of the store"},
    {"idle", BENCH_COUNT, &opt_idle_ms, "ms", 0, 600000, 10000, 500, "Idle time at the end"},
    {"series", BENCH_TEXT, &opt_series, "FILE", 0, 0, 0, 0,
     "Record resident memory and payload there every millisecond"},
};

struct run {
    struct cache cache;
    struct rng rng;
    struct floor_sample sample;
    uint64_t baseline;
    double seconds;
    uint64_t cpu_ns; /* of the writing thread */
};

/* Holds the pace, if there is one, by sleeping once a millisecond is gained. */
static void
keep_pace(uint64_t start, uint64_t done)
{
    if (opt_rate == 0 || done % 64 != 0)
        return;
    uint64_t due = start + done * UINT64_C(1000000000) / opt_rate, now = bench_now_ns();
    if (due > now + 1000000)
        bench_sleep_ms((due - now) / 1000000);
}

static void
put_many(struct run *run, uint64_t count, uint32_t size)
{
    uint64_t start = bench_now_ns(), cpu = bench_cpu_ns();
    for (uint64_t i = 0; i < count; i++) {
        subject_enter();
        shard_put(&run->cache, &run->cache.shard[0], &run->rng, size);
        subject_leave();
        keep_pace(start, i + 1);
    }
    run->seconds += (double)(bench_now_ns() - start) * 1e-9;
    run->cpu_ns += bench_cpu_ns() - cpu;
}

static double
over_limit(const struct run *run)
{
    return (double)(memory_resident() - run->baseline) / (double)(opt_mib * BENCH_MIB);
}

static void
report_compaction(void)
{
#if SUBJECT_IS_STORE
    const struct handle_stats *stats = subject_stats();
    report_at_most("CPU of all compaction", "s", (double)stats->compaction_cpu_ns * 1e-9, NAN,
                   0.25);
    report_value("objects moved", "thousand", (double)stats->moved_objects / 1e3);
#endif
}

/* The limit stands for the live bytes: the ratio is RSS over the limit, as published. */
static uint64_t
limit_bytes(void *arg)
{
    (void)arg;
    return opt_mib * BENCH_MIB;
}

static void
run_workload(struct run *run)
{
    uint64_t interval_ms = opt_series ? 1 : 5; /* a phase takes less than 100 ms */
    struct sampler *sampler = sampler_start(run->baseline, limit_bytes, NULL, interval_ms);
    sampler_record(sampler, opt_series, cache_bytes, &run->cache);
    sampler_phase(sampler, "240 bytes");
    put_many(run, opt_mib * 7000, FIRST_BYTES);
    double first = over_limit(run);
    sampler_phase(sampler, "492 bytes");
    put_many(run, opt_mib * 1700, SECOND_BYTES);
    double second = over_limit(run);
    cache_sample(&run->cache, &run->rng, &run->sample);
    bench_progress("written in %.2f s, RSS/limit %.3f, now idle", run->seconds, second);
    sampler_phase(sampler, "idle");
    bench_sleep_ms(opt_idle_ms);
    double idle = over_limit(run);
    struct sampler_peak peak = sampler_peak(sampler);
    sampler_stop(sampler);
    report_value("after the objects of 240 bytes", "RSS/limit", first);
    report_value("after the objects of 492 bytes", "RSS/limit", second);
    report_at_most("after idling", "RSS/limit", idle, cache_floor(&run->cache, &run->sample),
                   subject_pick(1.04, 1.08));
    report_at_most("peak", "RSS/limit", peak.ratio, NAN,
                   opt_cpu == 100 ? subject_pick(1.12, 1.16) : NAN);
}

int
main(int argc, char **argv)
{
    static struct run run;
    bench_parse(argc, argv, "resident memory after 240-byte, then 492-byte objects (T2)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    run.rng = rng_stream(0);
    uint64_t limit = opt_mib * BENCH_MIB;
    cache_init(&run.cache, 1, limit / FIRST_BYTES + 64, limit, FREE_NOW);
    report_begin("T2", "Redis shape", subject_label());
    report_case("%u MiB, cpu_max_percent %u%s", (unsigned)opt_mib, (unsigned)opt_cpu,
                opt_rate ? ", paced" : "");
    run.baseline = memory_resident();
    subject_open();
#if SUBJECT_IS_STORE
    char percent[16];
    snprintf(percent, sizeof(percent), "%u", (unsigned)opt_cpu);
    subject_set("defrag.cpu_max_percent", percent);
#endif
    run_workload(&run);
    report_compaction();
    report_add(
        metric_of("rate", "Mop/s", REPORT_HIGHER, (double)opt_mib * 8700 / run.seconds * 1e-6));
    report_value("CPU of an operation", "ns", (double)run.cpu_ns / (double)(opt_mib * 8700));
    cache_verify(&run.cache);
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
