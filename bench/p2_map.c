/* SPDX-License-Identifier: MIT */
/*
 * p2_map.c - P2: what does a map of the heap cost (handle_store_map)? Beside it, the same while
 * objects of every size wait in limbo, when the headers of all others are read, too.
 */
#include "loops.h"
#include "report.h"

#include <string.h>

static uint64_t opt_objects;
static const struct bench_option options[] = {
    {"objects", BENCH_COUNT, &opt_objects, "", 10000, 100000000, 1000000, 10000,
     "Objects of 16 to 1024 bytes, half of them freed"},
};

static uint64_t spans;

static void
count_spans(void *opaque, const char *text, size_t length)
{
    (void)opaque;
    for (const char *at = text; (at = memchr(at, '\n', (size_t)(text + length - at))); at++)
        spans++;
}

/* Of several maps the median, in ms of CPU time for 1,000 lines. */
static double
map_ms(void)
{
    enum { MAPS = 9 };
    double took[MAPS];
    for (unsigned i = 0; i < MAPS; i++) {
        spans = 0;
        uint64_t begin = bench_cpu_ns();
        int error = handle_store_map(subject_store, count_spans, NULL);
        if (error)
            subject_failed("handle_store_map", error);
        double now = (double)(bench_cpu_ns() - begin) / 1e3 / (double)spans;
        unsigned at = i;
        for (; at > 0 && took[at - 1] > now; at--)
            took[at] = took[at - 1];
        took[at] = now;
    }
    return took[MAPS / 2];
}

static void
fill(ref_t *refs)
{
    struct rng rng = rng_stream(2);
    for (uint64_t i = 0; i < opt_objects; i++) {
        subject_enter();
        loop_alloc(&refs[i], 16 + rng_below(&rng, 1009), FREE_NOW);
        subject_leave();
    }
}

static void
free_half(ref_t *refs)
{
    for (uint64_t i = 0; i < opt_objects; i += 2) {
        subject_enter();
        subject_free(&refs[i], FREE_NOW);
        subject_leave();
    }
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "a map of the heap (P2)", options, BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("P2", "map", subject_label());
    subject_open();
    ref_t *refs = calloc(opt_objects, sizeof(*refs));
    if (!refs || handle_defrag_stop(subject_store) != 0)
        bench_fatal("no memory");
    fill(refs);
    free_half(refs);
    double quiet = map_ms();
    report_case("%u spans", (unsigned)spans);
    subject_enter();
    for (uint64_t i = 1; i < opt_objects; i += 64)
        subject_free(&refs[i], FREE_AFTER_GP);
    double busy = map_ms();
    subject_leave();
    report_at_most("a map, for 1,000 spans", "ms", quiet, NAN, 1);
    report_value("the same with objects in limbo", "ms", busy);
    report_end();
    subject_close();
    free(refs);
    rcu_unregister_thread();
    return 0;
}
