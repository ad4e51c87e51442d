/* SPDX-License-Identifier: MIT */
/*
 * t1_shift.c - T1: does resident memory follow the live data when object sizes shift?
 *
 * A cache with a payload limit and random eviction goes through five phases of object sizes; each
 * writes three times the limit (the first four times), and after each a tenth of the objects not
 * yet kept is kept for ever. Every object is written once and checked when it is evicted. RSS/live:
 * resident bytes less a baseline read before the store is made, over the payload bytes requested.
 *
 * Rates are those of a cache: a victim is chosen when its room is needed, one at a time, and
 * nothing is fetched ahead. The run without an allocator ("driver alone") tells what part of the
 * time is the benchmark's own: choosing, filling, checking, and the misses of the objects.
 */
#include "cache.h"
#include "latency.h"
#include "memory.h"
#include "report.h"

#include <stdio.h>

#define PHASES       5
#define KEEP_PERCENT 10

static const struct phase {
    uint32_t low, high; /* sizes, uniform, both included */
    unsigned writes;    /* times the limit */
    const char *sizes;
} phase[PHASES] = {{240, 256, 4, "240-256 bytes"},
                   {272, 288, 3, "272-288 bytes"},
                   {16, 64, 3, "16-64 bytes"},
                   {640, 640, 3, "640 bytes"},
                   {240, 256, 3, "240-256 bytes"}};

/* At most, for RSS/live at the end of each phase and after idling. */
static const double target_cells[PHASES + 1] = {1.07, 1.07, 1.28, 1.09, 1.10, 1.09};
static const double target_handles[PHASES + 1] = {1.11, 1.11, 1.46, 1.25, 1.28, 1.27};

static uint64_t opt_mib, opt_shards, opt_threads, opt_free, opt_idle_ms, opt_latency;
static const char *opt_series;
static const struct bench_option options[] = {
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 4, 65536, 512, 16, "Payload limit of the cache"},
    {"shards", BENCH_COUNT, &opt_shards, "", 1, 4096, 64, 16, "Shards of the cache"},
    {"threads", BENCH_COUNT, &opt_threads, "", 1, 256, 1, 1,
     "Threads; with more than one, each "
     "operation locks its shard"},
    {"free", BENCH_CHOICE, &opt_free, FREE_MODE_CHOICES, 0, 0, FREE_NOW, FREE_NOW,
     "Frees at once, or after a grace period"},
    {"idle", BENCH_COUNT, &opt_idle_ms, "ms", 0, 600000, 5000, 300, "Idle time at the end"},
    {"latency", BENCH_CHOICE, &opt_latency, "no|yes", 0, 0, 0, 0,
     "Times each operation of the first thread, which makes it slower"},
    {"series", BENCH_TEXT, &opt_series, "FILE", 0, 0, 0, 0,
     "Record resident memory and payload there every 10 ms"},
};

struct run {
    struct cache cache;
    unsigned threads;
    unsigned now; /* phase */
    struct rng *rng;
    uint64_t *allocations; /* by thread, in this phase */
    uint64_t *cpu_ns;      /* likewise */
    uint64_t baseline;
    struct latency *latency; /* of the first thread's operations; or NULL */
};

struct outcome {
    double rss_per_live[PHASES + 1];
    double table_per_live[PHASES + 1]; /* the handle table's share, from the store's statistics */
    double mops[PHASES];
    uint64_t ns[PHASES], cpu_ns[PHASES], allocations[PHASES];
    struct floor_sample floor[PHASES];
};

/* One operation: evictions as needed and one new object, in one section. */
static void
put_one(struct run *run, struct rng *rng, uint32_t size)
{
    struct shard *shard = &run->cache.shard[rng_below(rng, run->cache.shards)];
    if (run->threads > 1)
        pthread_mutex_lock(&shard->lock);
    subject_enter();
    shard_put(&run->cache, shard, rng, size);
    subject_leave();
    if (run->threads > 1)
        pthread_mutex_unlock(&shard->lock);
}

static void
run_phase(void *arg, unsigned member)
{
    struct run *run = arg;
    const struct phase *p = &phase[run->now];
    struct rng rng = run->rng[member * 8];
    uint64_t left = p->writes * opt_mib * BENCH_MIB / run->threads, count = 0;
    uint64_t start = bench_cpu_ns();
    struct latency *latency = member == 0 ? run->latency : NULL;
    while (left > 0) {
        uint32_t size = rng_between(&rng, p->low, p->high);
        uint64_t begin = latency ? bench_now_ns() : 0;
        put_one(run, &rng, size);
        if (latency)
            latency_add(latency, bench_now_ns() - begin);
        count++;
        left -= size < left ? size : left;
    }
    run->allocations[member * 8] = count;
    run->cpu_ns[member * 8] = bench_cpu_ns() - start;
    run->rng[member * 8] = rng;
}

static double
table_per_live(uint64_t live)
{
#if BENCH_SUBJECT == SUBJECT_HANDLE
    return (double)subject_stats()->table / (double)live;
#else
    (void)live;
    return 0;
#endif
}

static void
measure(const struct run *run, struct outcome *outcome, unsigned at)
{
    uint64_t live = cache_bytes((void *)&run->cache);
    outcome->rss_per_live[at] = (double)(memory_resident() - run->baseline) / (double)live;
    outcome->table_per_live[at] = table_per_live(live);
}

static void
finish_phase(struct run *run, struct outcome *outcome, uint64_t ns)
{
    unsigned at = run->now;
    measure(run, outcome, at);
    for (unsigned t = 0; t < run->threads; t++) {
        outcome->allocations[at] += run->allocations[t * 8];
        outcome->cpu_ns[at] += run->cpu_ns[t * 8];
    }
    outcome->ns[at] = ns;
    outcome->mops[at] = (double)outcome->allocations[at] * 1e3 / (double)ns;
    cache_sample(&run->cache, &run->rng[0], &outcome->floor[at]);
    cache_keep(&run->cache, &run->rng[0], KEEP_PERCENT);
    bench_progress("phase %u: RSS/live %.3f, %.2f Mop/s, %llu objects", at + 1,
                   outcome->rss_per_live[at], outcome->mops[at],
                   (unsigned long long)cache_objects(&run->cache));
}

static struct sampler_peak
run_phases(struct run *run, struct team *team, struct outcome *outcome)
{
    struct sampler *sampler = sampler_start(run->baseline, cache_bytes, &run->cache, 10);
    sampler_record(sampler, opt_series, cache_bytes, &run->cache);
    for (run->now = 0; run->now < PHASES; run->now++) {
        sampler_phase(sampler, phase[run->now].sizes);
        uint64_t start = bench_now_ns();
        team_run(team, run_phase, run);
        finish_phase(run, outcome, bench_now_ns() - start);
        if (run->now == 0)
            sampler_reset(sampler);
    }
    sampler_phase(sampler, "idle");
    bench_sleep_ms(opt_idle_ms);
    measure(run, outcome, PHASES);
    struct sampler_peak peak = sampler_peak(sampler);
    sampler_stop(sampler);
    return peak;
}

/* ---- report ---------------------------------------------------------------------------------- */

static const char *const memory_name[PHASES + 1] = {"phase 1 (240-256)", "phase 2 (272-288)",
                                                    "phase 3 (16-64)",   "phase 4 (640)",
                                                    "phase 5 (240-256)", "after idling"};
static const char *const rate_name[PHASES] = {"rate phase 1", "rate phase 2", "rate phase 3",
                                              "rate phase 4", "rate phase 5"};
static const char *const cpu_name[PHASES] = {
    "CPU of an operation, phase 1", "CPU of an operation, phase 2", "CPU of an operation, phase 3",
    "CPU of an operation, phase 4", "CPU of an operation, phase 5"};

static void
report_memory(const struct run *run, const struct outcome *outcome, double peak)
{
    double late = opt_free == FREE_AFTER_GP ? 0.03 : 0;
    for (unsigned i = 0; i <= PHASES; i++)
        report_at_most(memory_name[i], "RSS/live", outcome->rss_per_live[i],
                       cache_floor(&run->cache, &outcome->floor[i < PHASES ? i : PHASES - 1]),
                       subject_pick(target_cells[i], target_handles[i]) + late);
    report_at_most("highest after phase 1", "RSS/live", peak, NAN, subject_pick(1.33, 1.53) + late);
#if BENCH_SUBJECT == SUBJECT_HANDLE
    static const char *const table_name[PHASES + 1] = {
        "of it handle table, phase 1", "of it handle table, phase 2",
        "of it handle table, phase 3", "of it handle table, phase 4",
        "of it handle table, phase 5", "of it handle table, after idling"};
    for (unsigned i = 0; i <= PHASES; i++)
        report_value(table_name[i], "table/live", outcome->table_per_live[i]);
    report_note(
        "handles in phases 4 and 5 carry the table of phase 3's many small objects: a tenth "
        "of them at random stays and pins its pages");
#endif
}

/* Against jemalloc; frees after a grace period against jemalloc with call_rcu. */
static void
report_rate(const char *name, const char *unit, double value, double ratio)
{
    struct report_metric metric = metric_of(name, unit, REPORT_HIGHER, value);
    if (!isnan(ratio)) {
        metric.ratio_to = "jemalloc";
        metric.ratio_target = ratio;
    }
    report_add(metric);
}

static void
report_rates(const struct outcome *outcome)
{
    bool now = opt_free == FREE_NOW && opt_threads == 1;
    double sum = 0, allocations = 0, ns = 0;
    for (unsigned i = 0; i < PHASES; i++) {
        report_rate(rate_name[i], "Mop/s", outcome->mops[i], now ? subject_pick(0.85, NAN) : NAN);
        sum += outcome->mops[i];
        allocations += (double)outcome->allocations[i];
        ns += (double)outcome->ns[i];
    }
    double ratio = now                         ? subject_pick(1.0, 0.75)
                   : opt_free == FREE_AFTER_GP ? subject_pick(1.3, 1.3)
                                               : NAN;
    report_rate("sum of the phases' rates", "Mop/s", sum, ratio);
    report_rate("all phases together", "Mop/s", allocations * 1e3 / ns, NAN);
}

/* Of the threads that use the cache; what a busy machine makes of the rates, it leaves alone. */
static void
report_cpu(const struct outcome *outcome)
{
    double allocations = 0, ns = 0;
    for (unsigned i = 0; i < PHASES; i++) {
        report_value(cpu_name[i], "ns",
                     (double)outcome->cpu_ns[i] / (double)outcome->allocations[i]);
        allocations += (double)outcome->allocations[i];
        ns += (double)outcome->cpu_ns[i];
    }
    report_value("CPU of an operation, all phases", "ns", ns / allocations);
    if (SUBJECT_IS_STORE)
        report_value("CPU of all compaction", "% of theirs",
                     100 * (double)subject_compaction_ns() / ns);
}

static void
set_up(struct run *run)
{
    run->threads = (unsigned)opt_threads;
    run->rng = memory_map(run->threads * 8 * sizeof(*run->rng));
    run->allocations = memory_map(run->threads * 8 * sizeof(*run->allocations));
    run->cpu_ns = memory_map(run->threads * 8 * sizeof(*run->cpu_ns));
    for (unsigned t = 0; t < run->threads; t++)
        run->rng[t * 8] = rng_stream(t);
    if (opt_latency)
        run->latency = memory_map(sizeof(*run->latency));
    cache_init(&run->cache, (unsigned)opt_shards, opt_mib * BENCH_MIB / 30, opt_mib * BENCH_MIB,
               opt_free == FREE_NOW ? FREE_NOW : FREE_AFTER_GP);
}

int
main(int argc, char **argv)
{
    static struct run run;
    static struct outcome outcome;
    bench_parse(argc, argv, "resident memory of a cache whose object sizes shift (T1)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    set_up(&run);
    struct team *team = team_start(run.threads, false);
    report_begin("T1", "shift", subject_label());
    report_case("%u MiB, %u thread%s, frees %s", (unsigned)opt_mib, run.threads,
                run.threads > 1 ? "s with locked shards" : "",
                opt_free == FREE_NOW ? "at once" : "after a grace period");
    run.baseline = memory_resident();
    subject_open();
    struct sampler_peak peak = run_phases(&run, team, &outcome);
    cache_verify(&run.cache);
    if (BENCH_SUBJECT != SUBJECT_NONE)
        report_memory(&run, &outcome, peak.ratio);
    report_rates(&outcome);
    report_cpu(&outcome);
    if (run.latency)
        latency_report(run.latency, "an operation, p99.9", "an operation, max");
    report_end();
    team_stop(team);
    subject_close();
    rcu_unregister_thread();
    return 0;
}
