/* SPDX-License-Identifier: MIT */
/*
 * l3_step.c - L3: does handle_defrag_step keep to its budget? An event loop without the background
 * thread: it replaces objects whose sizes drift, so that there is always something to compact, and
 * calls one step after every few; madvise and reclamation are part of the step.
 */
#include "cache.h"
#include "latency.h"
#include "report.h"

#define BUDGET_US 500

static uint64_t opt_mib, opt_ms;
static const struct bench_option options[] = {
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 4, 65536, 256, 16, "Payload of the store"},
    {"time", BENCH_COUNT, &opt_ms, "ms", 10, 3600000, 20000, 300, "How long"},
};

/* Sizes wander between 64 and 576 bytes; a full turn takes ten times the payload. */
static uint32_t
drifting_size(struct rng *rng, uint64_t written)
{
    uint64_t turn = opt_mib * BENCH_MIB * 10, at = written % turn;
    uint64_t up = at < turn / 2 ? at : turn - at;
    return (uint32_t)(64 + up * 1024 / turn) + rng_below(rng, 16);
}

static uint64_t
replace_some(struct cache *cache, struct rng *rng, uint64_t written)
{
    for (unsigned i = 0; i < 256; i++) {
        uint32_t size = drifting_size(rng, written);
        subject_enter();
        shard_put(cache, &cache->shard[0], rng, size);
        subject_leave();
        written += size;
    }
    return written;
}

/* Overrun of one step, in ns. */
static uint64_t
step(struct handle_defrag_report *report)
{
    uint64_t start = bench_now_ns();
    int error = handle_defrag_step(subject_store, BUDGET_US, report);
    uint64_t ns = bench_now_ns() - start;
    if (error)
        subject_failed("handle_defrag_step", error);
    return ns > BUDGET_US * 1000 ? ns - BUDGET_US * 1000 : 0;
}

int
main(int argc, char **argv)
{
    static struct latency overrun;
    struct cache cache;
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    double moved = 0, purged = 0;
    bench_parse(argc, argv, "overrun of handle_defrag_step (L3)", options, BENCH_COUNTOF(options));
    rcu_register_thread();
    struct rng rng = rng_stream(0);
    uint64_t limit = opt_mib * BENCH_MIB, written = 0;
    cache_init(&cache, 1, limit / 64 + 64, limit, FREE_AFTER_GP);
    report_begin("L3", "bounded step", subject_label());
    report_case("%u MiB, budget %d us", (unsigned)opt_mib, BUDGET_US);
    subject_open();
    subject_set("defrag.enabled", "no");
    while (written < limit)
        written = replace_some(&cache, &rng, written);
    for (uint64_t end = bench_now_ns() + opt_ms * 1000000; bench_now_ns() < end;) {
        written = replace_some(&cache, &rng, written);
        latency_add(&overrun, step(&report));
        moved += (double)report.moved_objects;
        purged += (double)report.purged_bytes;
    }
    report_value("overrun, median", "us", latency_quantile(&overrun, 0.5) * 1e-3);
    report_at_most("overrun, p99.9", "us", latency_quantile(&overrun, 0.999) * 1e-3, NAN, 100);
    report_value("overrun, max", "us", (double)overrun.max_ns * 1e-3);
    report_value("steps", "thousand", (double)overrun.count / 1e3);
    report_value("objects moved", "thousand", moved / 1e3);
    report_value("given back", "MiB", purged / (1 << 20));
    cache_verify(&cache);
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
