/* SPDX-License-Identifier: MIT */
/*
 * t10_threads.c - T10: many threads allocate and free strings of 20 bytes to 100 KiB with little
 * live in total, then all sleep. How far does resident memory stand above the live bytes, while
 * they work and after? Stacks and thread records belong to the baseline: the threads exist before.
 */
#include "cache.h"
#include "memory.h"
#include "report.h"

#define SMALLEST 20
#define LARGEST  (100 * 1024)

enum { BY_MAGNITUDE, UNIFORM };
static uint64_t opt_threads, opt_mib, opt_ms, opt_sizes, opt_wait_ms;
static const struct bench_option options[] = {
    {"threads", BENCH_COUNT, &opt_threads, "", 1, 1024, 32, 8, "Threads"},
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 1, 65536, 7, 2, "Live payload of all threads"},
    {"time", BENCH_COUNT, &opt_ms, "ms", 10, 3600000, 10000, 300, "How long the threads work"},
    {"sizes", BENCH_CHOICE, &opt_sizes, "magnitude|uniform", 0, 0, BY_MAGNITUDE, BY_MAGNITUDE,
     "Sizes uniform in their logarithm, or uniform"},
    {"wait", BENCH_COUNT, &opt_wait_ms, "ms", 0, 600000, 2000, 500,
     "When resident memory is measured, after the last call"},
};

struct run {
    struct cache cache;
    uint64_t deadline_ns;
    uint64_t operations; /* added up by the members, atomically */
    uint64_t cpu_ns;     /* likewise */
};

static uint32_t
string_size(struct rng *rng)
{
    if (opt_sizes == UNIFORM)
        return rng_between(rng, SMALLEST, LARGEST);
    double fraction = (double)(rng_next(rng) >> 11) * 0x1p-53;
    return (uint32_t)(SMALLEST * pow((double)LARGEST / SMALLEST, fraction));
}

static void
work(void *arg, unsigned member)
{
    struct run *run = arg;
    struct shard *shard = &run->cache.shard[member];
    struct rng rng = rng_stream(member);
    uint64_t operations = 0, start = bench_cpu_ns();
    while (operations % 64 != 0 || bench_now_ns() < run->deadline_ns) {
        uint32_t size = string_size(&rng);
        subject_enter();
        shard_put(&run->cache, shard, &rng, size);
        subject_leave();
        operations++;
    }
    __atomic_fetch_add(&run->operations, operations, __ATOMIC_RELAXED);
    __atomic_fetch_add(&run->cpu_ns, bench_cpu_ns() - start, __ATOMIC_RELAXED);
}

static double
excess_mib(struct cache *cache, uint64_t baseline)
{
    return ((double)(memory_resident() - baseline) - (double)cache_bytes(cache)) / (1 << 20);
}

static double
target(double mib)
{
    return subject_pick(mib, mib);
}

int
main(int argc, char **argv)
{
    struct run run = {.operations = 0};
    bench_parse(argc, argv, "resident memory of many threads with little live data (T10)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    uint64_t limit = opt_mib * BENCH_MIB;
    if (limit / opt_threads < LARGEST)
        bench_fatal("option --mib: %u MiB are less than a string of 100 KiB per thread; at least "
                    "%u MiB for %u threads",
                    (unsigned)opt_mib, (unsigned)(opt_threads * LARGEST / BENCH_MIB + 1),
                    (unsigned)opt_threads);
    cache_init(&run.cache, (unsigned)opt_threads, limit / SMALLEST, limit, FREE_NOW);
    struct team *team = team_start((unsigned)opt_threads, true);
    report_begin("T10", "threads", subject_label());
    report_case("%u threads, %u MiB live, sizes %s", (unsigned)opt_threads, (unsigned)opt_mib,
                opt_sizes == UNIFORM ? "uniform" : "by magnitude");
    bench_sleep_ms(100); /* the threads reach their first wait */
    uint64_t baseline = memory_resident();
    subject_open();
    struct sampler *sampler = sampler_start(baseline, cache_bytes, &run.cache, 10);
    run.deadline_ns = bench_now_ns() + opt_ms * 1000000;
    team_run(team, work, &run);
    double busy = excess_mib(&run.cache, baseline);
    bench_sleep_ms(opt_wait_ms);
    double idle = excess_mib(&run.cache, baseline);
    struct sampler_peak peak = sampler_peak(sampler);
    sampler_stop(sampler);
    report_at_most("peak of RSS - live", "MiB", (double)peak.excess / (1 << 20), NAN, target(24));
    report_value("RSS - live at the end of work", "MiB", busy);
    report_at_most("RSS - live after the wait", "MiB", idle, NAN, target(4));
    report_value("live", "MiB", (double)cache_bytes(&run.cache) / (1 << 20));
    struct report_metric rate =
        metric_of("rate", "Mop/s", REPORT_HIGHER, (double)run.operations / (double)opt_ms * 1e-3);
    if (SUBJECT_IS_STORE) {
        rate.ratio_to = "jemalloc";
        rate.ratio_target = 0.9;
    }
    report_add(rate);
    report_value("CPU of an operation", "ns", (double)run.cpu_ns / (double)run.operations);
    cache_verify(&run.cache);
    report_end();
    team_stop(team);
    subject_close();
    rcu_unregister_thread();
    return 0;
}
