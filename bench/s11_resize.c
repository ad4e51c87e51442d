/* SPDX-License-Identifier: MIT */
/*
 * s11_resize.c - S11: what does it cost to append to one object, a little at a time? For malloc by
 * realloc. From 1 to 60 KB by 16 bytes, and from 128 KiB to 16 MiB by 4 KiB: there the processor
 * time of all threads counts, and the highest resident memory beside the object's own size.
 */
#include "loops.h"
#include "memory.h"
#include "report.h"

#include <string.h>

#define SMALL_FROM 1000
#define SMALL_TO   60000
#define SMALL_STEP 16
#define LARGE_FROM ((size_t)128 << 10)
#define LARGE_STEP ((size_t)4 << 10)

static uint64_t opt_small, opt_large, opt_mib;
static const struct bench_option options[] = {
    {"small", BENCH_COUNT, &opt_small, "objects", 1, 100000, 200, 2,
     "Objects that grow to 60 KB, one after the other, in a round"},
    {"large", BENCH_COUNT, &opt_large, "objects", 1, 1000, 5, 1, "Objects that grow to --mib"},
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 1, 1024, 16, 2, "Size of the large ones at the end"},
};

static ref_t ref;

static inline void
resize(size_t size)
{
#if BENCH_SUBJECT == SUBJECT_MALLOC
    ref = realloc(ref, size);
    int error = ref ? 0 : ENOMEM;
#elif BENCH_SUBJECT == SUBJECT_HANDLE
    int error = handle_resize(subject_store, ref, size);
#else
    int error = handle_cell_resize(subject_store, &ref, size);
#endif
    if (__builtin_expect(error != 0, 0))
        subject_failed("resize", error);
}

/* One object, from its beginning to its end; each byte is written once. */
static void
grow(size_t from, size_t to, size_t step)
{
    subject_enter();
    memset(loop_alloc(&ref, from, FREE_NOW), 1, from);
    subject_leave();
    for (size_t size = from; size + step <= to; size += step) {
        subject_enter();
        resize(size + step);
        memset((char *)subject_write(&ref) + size, 1, step);
        subject_leave();
    }
    subject_enter();
    const char *object = subject_read(&ref);
    for (size_t at = 0; at + step <= to; at += step)
        if (object[at] != 1)
            bench_fatal("byte %zu is lost", at);
    subject_free(&ref, FREE_NOW);
    subject_leave();
}

static void
grow_small(void *arg, uint64_t resizes)
{
    (void)arg;
    (void)resizes;
    for (uint64_t i = 0; i < opt_small; i++)
        grow(SMALL_FROM, SMALL_TO, SMALL_STEP);
}

static uint64_t
nothing(void *arg)
{
    (void)arg;
    return 0;
}

static void
report_resize(const char *name, const char *unit, double value, double most)
{
    struct report_metric metric = metric_of(name, unit, REPORT_LOWER, value);
    if (BENCH_SUBJECT != SUBJECT_MALLOC) {
        metric.ratio_to = "jemalloc";
        metric.ratio_target = most;
    }
    report_add(metric);
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "appending to one object (S11)", options, BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("S11", "resize", subject_label());
    report_case("one object grows");
    subject_open();
    size_t to = opt_mib << 20;
    uint64_t resizes = (SMALL_TO - SMALL_FROM) / SMALL_STEP * opt_small;
    report_resize("by 16 B from 1 to 60 KB", "ns", loop_median_ns(grow_small, NULL, resizes), 2.5);
    subject_settle();
    uint64_t baseline = memory_resident();
    struct sampler *sampler = sampler_start(baseline, nothing, NULL, 1);
    uint64_t begin = bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (uint64_t i = 0; i < opt_large; i++)
        grow(LARGE_FROM, to, LARGE_STEP);
    uint64_t large = (to - LARGE_FROM) / LARGE_STEP * opt_large;
    double ns = (double)(bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - begin);
    struct sampler_peak peak = sampler_peak(sampler);
    sampler_stop(sampler);
    report_resize("by 4 KiB from 128 KiB, CPU", "ns", ns / (double)large, 2);
    report_at_most("the same, highest RSS", "objects", (double)peak.resident / (double)to, NAN,
                   subject_pick(2, 2));
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
