/* SPDX-License-Identifier: MIT */
/*
 * b3_neighbour.c - B3: one store gives much memory back to the kernel; how long does another one's
 * handle_store_reclaim take meanwhile? Beside it, the same while the first store is at rest.
 */
#include "loops.h"
#include "report.h"

#include <string.h>

static uint64_t opt_mib, opt_ms;
static const struct bench_option options[] = {
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 1, 65536, 3072, 16,
     "Memory given back by the first store"},
    {"time", BENCH_COUNT, &opt_ms, "ms", 10, 60000, 3000, 50, "How long reclaims are looked at"},
};

#define OBJECT_BYTES ((size_t)1 << 20)

/* Longest reclaim of the second store, in ms, with an object of it in limbo each time. */
static double
longest_reclaim(handle_store *store)
{
    uint64_t longest = 0;
    for (uint64_t end = bench_now_ns() + opt_ms * 1000000; bench_now_ns() < end;) {
        handle_t handle = handle_alloc(store, 100);
        int error = handle == HANDLE_NULL ? ENOMEM : handle_free(store, handle);
        uint64_t begin = bench_now_ns();
        error = error ? error : handle_store_reclaim(store, 0);
        if (error)
            subject_failed("reclaim", error);
        uint64_t took = bench_now_ns() - begin;
        longest = took > longest ? took : longest;
    }
    return (double)longest / 1e6;
}

static void
fill(ref_t *refs, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        subject_enter();
        memset(loop_alloc(&refs[i], OBJECT_BYTES, FREE_NOW), 1, OBJECT_BYTES);
        subject_leave();
    }
}

static void
empty(ref_t *refs, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        subject_enter();
        subject_free(&refs[i], FREE_NOW);
        subject_leave();
    }
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "a store beside another one's purge (B3)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("B3", "neighbour", subject_label());
    report_case("%u MiB given back", (unsigned)opt_mib);
    subject_open();
    handle_store *other = handle_store_create(NULL);
    ref_t *refs = calloc(opt_mib, sizeof(*refs));
    if (!other || !refs)
        bench_fatal("no memory");
    fill(refs, opt_mib);
    double idle = longest_reclaim(other);
    empty(refs, opt_mib);
    double busy = longest_reclaim(other);
    report_value("longest reclaim, first store at rest", "ms", idle);
    report_value("the same while it gives back", "ms", busy);
    report_at_most("more", "ms", busy > idle ? busy - idle : 0, NAN, subject_pick(20, 20));
    report_end();
    free(refs);
    if (handle_store_destroy(other) != 0)
        bench_fatal("the second store cannot be destroyed");
    subject_close();
    rcu_unregister_thread();
    return 0;
}
