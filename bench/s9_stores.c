/* SPDX-License-Identifier: MIT */
/*
 * s9_stores.c - S9: what does it cost to have a store, by its size and by the number of stores in
 * the process? One store of 10^5 objects and more, then the same number of objects in 4 to 256
 * stores: random replacement over all of them, resident memory, a call for statistics, and the CPU
 * time of a process in which nobody calls (none is aimed at). Each lay-out in a process of its own.
 */
#include "loops.h"
#include "memory.h"
#include "report.h"

#include <stdio.h>

#define OBJECT_BYTES 64
#define STORES_MAX   256
#define CALLS        256 /* for statistics, in a round */

static const struct layout {
    unsigned stores;
    uint32_t thousand; /* objects in all stores together */
} layout[] = {{1, 100}, {1, 1000}, {1, 10000}, {4, 1000}, {16, 1000}, {64, 1000}, {256, 1000}};
#define LAYOUTS BENCH_COUNTOF(layout)

static uint64_t opt_share, opt_replaces, opt_settle_ms, opt_idle_ms;
static const struct bench_option options[] = {
    {"share", BENCH_COUNT, &opt_share, "per mille", 1, 1000, 1000, 20,
     "Of the objects that a lay-out names"},
    {"replaces", BENCH_COUNT, &opt_replaces, "thousand", 1, 10000000, 1000, 10,
     "Replacements in a round"},
    {"settle", BENCH_COUNT, &opt_settle_ms, "ms", 0, 600000, 2000, 50,
     "What the stores get to come to rest"},
    {"idle", BENCH_COUNT, &opt_idle_ms, "ms", 10, 600000, 3000, 50, "Idle time that is looked at"},
};

struct result {
    double replace_ns, memory, stats_us, idle_us;
};

struct run {
    handle_store *store[STORES_MAX];
    unsigned stores;
    ref_t *refs; /* a part for each store, one after the other */
    uint32_t count, each;
    struct rng rng;
};

static void
replaces(void *arg, uint64_t operations)
{
    struct run *run = arg;
    for (uint64_t done = 0; done < operations; done += REPLACES_PER_SECTION) {
        subject_enter();
        for (unsigned i = 0; i < REPLACES_PER_SECTION; i++) {
            uint32_t place = rng_below(&run->rng, run->count);
            subject_store = run->store[place / run->each];
            loop_replace_one(&run->refs[place], OBJECT_BYTES, done);
        }
        subject_leave();
    }
}

static void
open_and_fill(struct run *run)
{
    for (unsigned i = 0; i < run->stores; i++) {
        subject_open();
        run->store[i] = subject_store;
        loop_fill(run->refs + (size_t)run->each * i, run->each, OBJECT_BYTES);
    }
}

/* The stores in turn. */
static void
stats_calls(void *arg, uint64_t operations)
{
    static struct handle_stats stats = HANDLE_STATS_INIT;
    const struct run *run = arg;
    for (uint64_t i = 0; i < operations; i++) {
        int error = handle_store_stats(run->store[i % run->stores], &stats);
        if (error)
            subject_failed("handle_store_stats", error);
        if (stats.objects != run->each)
            bench_fatal("a store of %u objects says that it has %llu", run->each,
                        (unsigned long long)stats.objects);
    }
}

/* CPU time of all threads for each second in which nobody calls. */
static double
idle_us_per_second(void)
{
    uint64_t from = bench_now_ns(), cpu = bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    bench_sleep_ms(opt_idle_ms);
    cpu = bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    return (double)cpu / (double)(bench_now_ns() - from) * 1e6;
}

static void
run_layout(unsigned which, void *arg)
{
    struct result *result = arg;
    struct run run = {.stores = layout[which].stores, .rng = rng_stream(which)};
    run.each = (uint32_t)(layout[which].thousand * opt_share) / run.stores;
    run.count = run.each * run.stores;
    run.refs = memory_map((size_t)run.count * sizeof(ref_t));
    uint64_t baseline = memory_resident();
    open_and_fill(&run);
    result->replace_ns = loop_median_ns(replaces, &run, opt_replaces * 1000);
    bench_sleep_ms(opt_settle_ms);
    result->memory =
        (double)(memory_resident() - baseline) / ((double)run.count * (double)OBJECT_BYTES);
    result->idle_us = idle_us_per_second();
    result->stats_us = loop_median_ns(stats_calls, &run, CALLS) * 1e-3;
    bench_progress("%u stores, %u objects: replace %.1f ns, idle %.1f us/s", run.stores, run.count,
                   result->replace_ns, result->idle_us);
    for (unsigned i = 0; i < run.stores; i++) {
        subject_store = run.store[i];
        subject_close();
    }
}

static void
report_one(unsigned which, const struct result *result)
{
    static char name[LAYOUTS][4][64];
    static const char *const what[4] = {"replace", "at rest", "statistics", "idle, CPU"};
    const struct layout *l = &layout[which];
    for (unsigned i = 0; i < 4; i++)
        snprintf(name[which][i], sizeof(name[which][i]), "%u of %uk: %s", l->stores, l->thousand,
                 what[i]);
    report_value(name[which][0], "ns", result->replace_ns);
    report_value(name[which][1], "RSS/live", result->memory);
    report_value(name[which][2], "us a call", result->stats_us);
    report_value(name[which][3], "us/s", result->idle_us);
}

int
main(int argc, char **argv)
{
    struct result result;
    bench_parse(argc, argv, "what stores cost, by size and by number (S9)", options,
                BENCH_COUNTOF(options));
    report_begin("S9", "stores", subject_label());
    report_case("objects of %d bytes, in all stores together, %d replaced a section", OBJECT_BYTES,
                REPLACES_PER_SECTION);
    for (unsigned which = 0; which < LAYOUTS; which++) {
        bench_in_child(run_layout, which, &result, sizeof(result));
        report_one(which, &result);
    }
    report_note("a name says how many stores, and how many thousand objects they hold together");
    report_end();
    return 0;
}
