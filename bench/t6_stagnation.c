/* SPDX-License-Identifier: MIT */
/*
 * t6_stagnation.c - T6: every span of many classes is exactly half full, so that none is below the
 * average. Does compaction still find its work, do it, and end by itself? Spans are halved by
 * filling each class, sorting its objects by address and freeing every second one.
 */
#include "memory.h"
#include "object.h"
#include "report.h"
#include "subject.h"

#include <errno.h>

enum { BACKGROUND, COMPACT, STEPS };
static uint64_t opt_classes, opt_spans, opt_mode, opt_guard_s;
static const struct bench_option options[] = {
    {"classes", BENCH_COUNT, &opt_classes, "", 1, 128, 24, 20, "Size classes"},
    {"spans", BENCH_COUNT, &opt_spans, "", 2, 65536, 64, 4, "Spans in each class, at least"},
    {"mode", BENCH_CHOICE, &opt_mode, "background|compact|steps", 0, 0, BACKGROUND, BACKGROUND,
     "The background thread, handle_store_compact, or handle_defrag_step in a loop"},
    {"guard", BENCH_COUNT, &opt_guard_s, "s", 1, 3600, 300, 60,
     "When to give up on a compaction that does not end"},
};

/** The objects of one class; a place is the index in refs, above those of the classes before. */
struct fill {
    uint32_t class_index;
    uint32_t size;
    uint32_t count;
    ref_t *refs;
    uint64_t first_place;
};

static struct handle_stats stats = HANDLE_STATS_INIT;
static const struct handle_class_stats *classes;

static void
read_stats(void)
{
    uint32_t count;
    stats = *subject_stats();
    classes = subject_classes(&count);
}

/* ---- half-full spans ------------------------------------------------------------------------- */

static void
fill_class(struct fill *fill)
{
    for (uint32_t i = 0; i < fill->count; i++) {
        subject_enter();
        void *object = subject_alloc(&fill->refs[i], fill->size, FREE_AFTER_GP);
        if (!object)
            subject_failed("allocation", errno);
        object_fill(object, fill->first_place + i, fill->size);
        subject_leave();
    }
}

struct located {
    uintptr_t address;
    uint32_t index;
};

static int
by_address(const void *a, const void *b)
{
    uintptr_t left = ((const struct located *)a)->address;
    uintptr_t right = ((const struct located *)b)->address;
    return left < right ? -1 : left > right;
}

/* Compaction is off meanwhile: the addresses stay true. */
static void
free_every_second(struct fill *fill, struct located *scratch)
{
    for (uint32_t i = 0; i < fill->count; i++) {
        subject_enter();
        scratch[i] = (struct located){(uintptr_t)subject_read(&fill->refs[i]), i};
        subject_leave();
    }
    qsort(scratch, fill->count, sizeof(*scratch), by_address);
    for (uint32_t i = 1; i < fill->count; i += 2) {
        subject_enter();
        subject_free(&fill->refs[scratch[i].index], FREE_AFTER_GP);
        subject_leave();
    }
}

/* Classes spread evenly over those whose spans hold at least eight objects. */
static void
choose_classes(struct fill *fill)
{
    uint32_t fitting = 0;
    read_stats();
    while (fitting < stats.classes && classes[fitting].span_slots >= 8)
        fitting++;
    if (fitting < opt_classes)
        bench_fatal("the store has %u classes with eight objects a span, not %u", fitting,
                    (unsigned)opt_classes);
    uint64_t place = 0;
    for (uint32_t i = 0; i < opt_classes; i++) {
        uint32_t at = (uint32_t)(i * fitting / opt_classes);
        const struct handle_class_stats *c = &classes[at];
        fill[i] = (struct fill){.class_index = at,
                                .size = (uint32_t)c->object_bytes,
                                .count = (uint32_t)(c->span_slots * opt_spans),
                                .first_place = place};
        fill[i].refs = memory_map((size_t)fill[i].count * sizeof(ref_t));
        place += fill[i].count;
    }
}

/* Refuses to measure anything but what the question asks. */
static void
require_half_full(const struct fill *fill)
{
    read_stats();
    for (uint32_t i = 0; i < opt_classes; i++) {
        const struct handle_class_stats *c = &classes[fill[i].class_index];
        uint64_t half = c->occupancy[3] + c->occupancy[4];
        if (c->spans < opt_spans || half + 1 < c->spans)
            bench_fatal("class of %u bytes: %llu spans, %llu of them half full", fill[i].size,
                        (unsigned long long)c->spans, (unsigned long long)half);
    }
}

static void
make_half_full(struct fill *fill)
{
    uint32_t most = 0;
    for (uint32_t i = 0; i < opt_classes; i++)
        most = fill[i].count > most ? fill[i].count : most;
    struct located *scratch = memory_map((size_t)most * sizeof(*scratch));
    for (uint32_t i = 0; i < opt_classes; i++)
        fill_class(&fill[i]);
    handle_thread_detach(subject_store);
    for (uint32_t i = 0; i < opt_classes; i++)
        free_every_second(&fill[i], scratch);
    subject_settle();
    require_half_full(fill);
}

/* ---- compaction ------------------------------------------------------------------------------ */

/* Bytes of occupied slots over bytes of spans, in percent, over all classes filled. */
static double
occupancy(const struct fill *fill, double *spans)
{
    uint64_t live = 0, span_bytes = 0;
    *spans = 0;
    read_stats();
    for (uint32_t i = 0; i < opt_classes; i++) {
        const struct handle_class_stats *c = &classes[fill[i].class_index];
        live += c->live * c->slot_bytes;
        span_bytes += c->spans * c->span_bytes;
        *spans += (double)c->spans;
    }
    return 100.0 * (double)live / (double)span_bytes;
}

static bool
at_rest(void)
{
    read_stats();
    return stats.idle_reason == HANDLE_IDLE_BELOW_IGNORE ||
           stats.idle_reason == HANDLE_IDLE_BELOW_THRESHOLD ||
           stats.idle_reason == HANDLE_IDLE_BACKOFF;
}

/* Ended: at rest, and no object was moved for half a second. The time until the last move. */
static double
run_background(uint64_t deadline)
{
    uint64_t start = bench_now_ns(), last_move = start, moved = 0;
    subject_set("defrag.enabled", "yes");
    while (!at_rest() || bench_now_ns() - last_move < 500000000) {
        if (stats.moved_objects != moved) {
            moved = stats.moved_objects;
            last_move = bench_now_ns();
        }
        if (bench_now_ns() > deadline)
            bench_fatal("compaction did not end by itself within %u s", (unsigned)opt_guard_s);
        bench_sleep_ms(10);
    }
    return (double)(last_move - start) * 1e-9;
}

static double
run_steps(uint64_t deadline)
{
    uint64_t start = bench_now_ns();
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    do {
        int error = handle_defrag_step(subject_store, 500, &report);
        if (error)
            subject_failed("handle_defrag_step", error);
        if (bench_now_ns() > deadline)
            bench_fatal("steps did not end within %u s", (unsigned)opt_guard_s);
        bench_sleep_ms(report.idle_reason == HANDLE_IDLE_GRACE_PERIOD ? 1 : 0);
    } while (report.more || report.idle_reason == HANDLE_IDLE_GRACE_PERIOD);
    return (double)(bench_now_ns() - start) * 1e-9;
}

static double
run_compaction(void)
{
    uint64_t start = bench_now_ns();
    uint64_t deadline = start + opt_guard_s * UINT64_C(1000000000);
    if (opt_mode == BACKGROUND)
        return run_background(deadline);
    if (opt_mode == STEPS)
        return run_steps(deadline);
    int error = handle_store_compact(subject_store, NULL);
    if (error)
        subject_failed("handle_store_compact", error);
    return (double)(bench_now_ns() - start) * 1e-9;
}

static void
verify(const struct fill *fill)
{
    for (uint32_t c = 0; c < opt_classes; c++) {
        for (uint32_t i = 0; i < fill[c].count; i++) {
            static const ref_t empty;
            if (memcmp(&fill[c].refs[i], &empty, sizeof(empty)) == 0)
                continue;
            subject_enter();
            const void *object = subject_read(&fill[c].refs[i]);
            if (!object || !object_intact(object, fill[c].first_place + i, fill[c].size))
                bench_fatal("object %u of %u bytes has wrong contents", i, fill[c].size);
            subject_leave();
        }
    }
}

int
main(int argc, char **argv)
{
    static struct fill fill[128];
    static const char *const mode[] = {"background thread", "handle_store_compact", "steps"};
    bench_parse(argc, argv, "compaction when every span is exactly half full (T6)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("T6", "no stagnation", subject_label());
    report_case("%u classes, %u spans each, %s", (unsigned)opt_classes, (unsigned)opt_spans,
                mode[opt_mode]);
    subject_open();
    subject_set("defrag.enabled", "no");
    choose_classes(fill);
    make_half_full(fill);
    double spans, before = occupancy(fill, &spans);
    report_value("occupancy before", "%", before);
    report_value("spans before", "spans", spans);
    double seconds = run_compaction();
    double after = occupancy(fill, &spans);
    report_at_least("occupancy at the end", "%", after, 97);
    report_value("spans at the end", "spans", spans);
    report_value("time", "s", seconds);
    report_value("objects moved", "thousand", (double)stats.moved_objects / 1e3);
    verify(fill);
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
