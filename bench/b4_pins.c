/* SPDX-License-Identifier: MIT */
/*
 * b4_pins.c - B4: what do pins leave behind, and what do they cost while they hold memory in place?
 *
 * Every object is pinned once and unpinned, or replaced once by an update: how much memory is there
 * after that, beside before, and what does a replacement cost? Then one object of each span stays
 * pinned and all others are freed: nothing can be gained. What do the store's threads take
 * meanwhile, how long does an allocation of the class take, and when is the memory back once the
 * pins are gone? Each part in a process of its own. Allocations are measured in processor time of
 * their thread: how many spans one looks at is what counts, not who else runs.
 */
#include "loops.h"
#include "memory.h"
#include "report.h"

#include <string.h>

#define SMALL_BYTES   24
#define SPARSE_BYTES  1000
#define SETTLE_MS     2000
#define SETTLE_SMOKE  300
#define TRICKLE_MS    2
#define BACK_LIMIT_MS 60000

static uint64_t opt_objects, opt_spans, opt_hold_ms;
static const struct bench_option options[] = {
    {"objects", BENCH_COUNT, &opt_objects, "thousand", 1, 100000, 2000, 20,
     "Objects that are pinned once, or replaced once"},
    {"spans", BENCH_COUNT, &opt_spans, "", 10, 1000000, 24000, 200,
     "Spans with one pinned object each; 50000 take 3 GiB"},
    {"hold", BENCH_COUNT, &opt_hold_ms, "ms", 100, 600000, 10000, 500,
     "How long these stay pinned"},
};

static const void *
pin(ref_t *ref)
{
#if BENCH_SUBJECT == SUBJECT_HANDLE
    const void *object = handle_pin(subject_store, *ref);
#else
    const void *object = handle_cell_pin(subject_store, ref);
#endif
    if (!object)
        subject_failed("pin", errno);
    return object;
}

static void
update(ref_t *ref, size_t size)
{
    struct handle_update update;
#if BENCH_SUBJECT == SUBJECT_HANDLE
    void *object = handle_update_begin(subject_store, *ref, size, &update);
#else
    void *object = handle_cell_update_begin(subject_store, ref, size, &update);
#endif
    if (!object)
        subject_failed("update_begin", errno);
    memset(object, 2, size);
    int error = handle_update_commit(subject_store, &update);
    if (error)
        subject_failed("update_commit", error);
}

static void
settle(void)
{
    bench_sleep_ms(bench.smoke ? SETTLE_SMOKE : SETTLE_MS);
}

/* ---- touched once ---------------------------------------------------------------------------- */

enum touch { PINS, UPDATES, TOUCHES };

struct left {
    double resident, metadata, replace; /* after over before */
};

struct touched {
    ref_t *refs;
    uint32_t count;
    struct rng rng;
};

static void
touch_all(struct touched *run, enum touch touch)
{
    for (uint32_t i = 0; i < run->count; i++) {
        subject_enter();
        if (touch == PINS)
            handle_unpin(subject_store, pin(&run->refs[i]));
        else
            update(&run->refs[i], SMALL_BYTES);
        subject_leave();
    }
}

/* Processor time of a replacement, the best of some rounds. */
static double
replace_ns(struct touched *run)
{
    uint64_t operations = run->count / 4 + REPLACES_PER_SECTION;
    double best = INFINITY;
    for (unsigned round = 0; round < LOOP_ROUNDS; round++) {
        uint64_t start = bench_cpu_ns();
        loop_replace(run->refs, run->count, SMALL_BYTES, &run->rng, operations);
        best = fmin(best, (double)(bench_cpu_ns() - start) / (double)operations);
    }
    return best;
}

static void
run_touched(unsigned touch, void *result)
{
    struct left *left = result;
    struct touched run = {.count = (uint32_t)(opt_objects * 1000), .rng = rng_stream(touch)};
    run.refs = memory_map(run.count * sizeof(ref_t));
    uint64_t baseline = memory_resident();
    subject_open();
    loop_fill(run.refs, run.count, SMALL_BYTES);
    double replace = replace_ns(&run);
    settle();
    double resident = (double)(memory_resident() - baseline);
    double metadata = (double)subject_stats()->metadata;
    touch_all(&run, touch);
    subject_settle();
    settle();
    left->resident = (double)(memory_resident() - baseline) / resident;
    left->metadata = (double)subject_stats()->metadata / metadata;
    left->replace = replace_ns(&run) / replace;
    subject_close();
}

/* ---- one pin in each span -------------------------------------------------------------------- */

struct held {
    double cpu_percent;   /* of a core, all threads but the one that allocates */
    double longest_us;    /* allocation, processor time */
    double back_ms;       /* after the last unpin */
    double rss_while_mib; /* less the baseline */
    double rss_after_mib;
};

struct sparse {
    ref_t *refs;
    const void **pinned;
    uint64_t count, pins;
    uint64_t baseline;
};

static uint32_t
slots_of_a_span(size_t size)
{
    uint32_t count;
    const struct handle_class_stats *classes = subject_classes(&count);
    for (uint32_t i = 0; i < count; i++)
        if (classes[i].object_bytes >= size)
            return (uint32_t)classes[i].span_slots;
    bench_fatal("no class has objects of %zu bytes", size);
}

/* Objects lie in spans in the order of their allocation. */
static void
fill_and_pin(struct sparse *run, uint32_t slots)
{
    loop_fill(run->refs, (uint32_t)run->count, SPARSE_BYTES);
    for (uint64_t i = 0; i < run->count; i++) {
        subject_enter();
        if (i % slots == 0)
            run->pinned[run->pins++] = pin(&run->refs[i]);
        else
            subject_free(&run->refs[i], FREE_NOW);
        subject_leave();
    }
}

static double
others_cpu_ns(void)
{
    return (double)(bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - bench_cpu_ns());
}

/* One allocation every other millisecond, and its free after that. */
static void
trickle(struct held *held)
{
    ref_t ref = {0};
    double cpu = others_cpu_ns();
    uint64_t begin = bench_now_ns(), now = begin, longest = 0;
    while ((now = bench_now_ns()) - begin < opt_hold_ms * 1000000) {
        subject_enter();
        uint64_t start = bench_cpu_ns();
        loop_alloc(&ref, SPARSE_BYTES, FREE_NOW);
        uint64_t took = bench_cpu_ns() - start;
        subject_leave();
        longest = took > longest ? took : longest;
        bench_sleep_ms(TRICKLE_MS);
        subject_enter();
        subject_free(&ref, FREE_NOW);
        subject_leave();
    }
    held->longest_us = (double)longest * 1e-3;
    held->cpu_percent = 100 * (others_cpu_ns() - cpu) / (double)(now - begin);
}

/* Until resident memory is near what the pinned objects take, and half as much and 8 MiB more: they
 * fit into few spans once they may move. */
static double
unpin_and_wait(struct sparse *run)
{
    uint64_t target = run->pins * SPARSE_BYTES * 3 / 2 + 8 * BENCH_MIB;
    for (uint64_t i = 0; i < run->pins; i++)
        handle_unpin(subject_store, run->pinned[i]);
    uint64_t begin = bench_now_ns();
    while (memory_resident_quick() - run->baseline > target) {
        if (bench_now_ns() - begin > (uint64_t)BACK_LIMIT_MS * 1000000)
            break;
        bench_sleep_ms(10);
    }
    return (double)(bench_now_ns() - begin) * 1e-6;
}

static double
rss_mib(const struct sparse *run)
{
    return ((double)memory_resident() - (double)run->baseline) / (double)BENCH_MIB;
}

static void
run_held(unsigned which, void *result)
{
    struct held *held = result;
    struct sparse run = {.pins = 0};
    (void)which;
    subject_open();
    uint32_t slots = slots_of_a_span(SPARSE_BYTES);
    run.count = opt_spans * slots;
    run.refs = memory_map(run.count * sizeof(ref_t));
    run.pinned = memory_map((opt_spans + 1) * sizeof(*run.pinned));
    run.baseline = memory_resident();
    fill_and_pin(&run, slots);
    settle(); /* what can be given back at once is not what is asked */
    trickle(held);
    held->rss_while_mib = rss_mib(&run);
    held->back_ms = unpin_and_wait(&run);
    held->rss_after_mib = rss_mib(&run);
    subject_close();
}

int
main(int argc, char **argv)
{
    static const char *const name[TOUCHES][3] = {
        {"pinned once: resident, after/before", "pinned once: metadata",
         "pinned once: replacement"},
        {"updated once: resident, after/before", "updated once: metadata",
         "updated once: replacement"}};
    struct held held;
    bench_parse(argc, argv, "what pins leave behind, and cost (B4)", options,
                BENCH_COUNTOF(options));
    report_begin("B4", "pins", subject_label());
    report_case("%u000 objects of %d B touched; %u spans with one pinned object of %d B",
                (unsigned)opt_objects, SMALL_BYTES, (unsigned)opt_spans, SPARSE_BYTES);
    for (unsigned touch = 0; touch < TOUCHES; touch++) {
        struct left left;
        bench_in_child(run_touched, touch, &left, sizeof(left));
        report_at_most(name[touch][0], "x", left.resident, NAN, 1.01);
        report_at_most(name[touch][1], "x", left.metadata, NAN, 1.01);
        report_at_most(name[touch][2], "x", left.replace, NAN, 1.1);
    }
    bench_in_child(run_held, 0, &held, sizeof(held));
    report_at_most("held: CPU of the store's threads", "% of a core", held.cpu_percent, NAN, 1);
    report_at_most("held: longest allocation, CPU", "us", held.longest_us, NAN, 1000);
    report_at_most("unpinned: memory back after", "ms", held.back_ms, NAN, 2000);
    report_value("held: resident", "MiB", held.rss_while_mib);
    report_value("unpinned: resident", "MiB", held.rss_after_mib);
    report_end();
    return 0;
}
