/* SPDX-License-Identifier: MIT */
/*
 * s8_compaction.c - S8: what does compaction cost? A random half of the objects is freed, then
 * handle_store_compact moves the rest together. Counted is the CPU time of the whole process during
 * that call: plan, marking, copying, grace periods, reclaiming and giving back pages.
 */
#include "memory.h"
#include "object.h"
#include "report.h"
#include "subject.h"

#include <errno.h>

static uint64_t opt_mib, opt_rounds;
static const struct bench_option options[] = {
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 4, 65536, 256, 16, "Payload before the frees"},
    {"rounds", BENCH_COUNT, &opt_rounds, "", 1, 1000, 3, 1, "Compactions of each size"},
};

struct cost {
    double ns_per_object, gib_per_s, working_ns_per_object;
    uint64_t moved;
};

static void
fill(ref_t *refs, uint32_t count, size_t size)
{
    static const ref_t empty;
    for (uint32_t i = 0; i < count; i++) {
        if (memcmp(&refs[i], &empty, sizeof(empty)) != 0)
            continue;
        subject_enter();
        void *object = subject_alloc(&refs[i], size, FREE_NOW);
        if (!object)
            subject_failed("allocation", errno);
        object_fill(object, i, size);
        subject_leave();
    }
}

static void
free_half(ref_t *refs, uint32_t count, struct rng *rng)
{
    for (uint32_t i = 0; i < count; i++) {
        if (rng_below(rng, 2) == 0)
            continue;
        subject_enter();
        subject_free(&refs[i], FREE_AFTER_GP);
        subject_leave();
    }
    subject_settle();
}

static void
verify(const ref_t *refs, uint32_t count, size_t size)
{
    static const ref_t empty;
    for (uint32_t i = 0; i < count; i++) {
        if (memcmp(&refs[i], &empty, sizeof(empty)) == 0)
            continue;
        subject_enter();
        const void *object = subject_read(&refs[i]);
        if (!object || !object_intact(object, i, size))
            bench_fatal("object %u has wrong contents", i);
        subject_leave();
    }
}

static struct cost
measure(size_t size)
{
    uint32_t count = (uint32_t)(opt_mib * BENCH_MIB / size);
    ref_t *refs = memory_map((size_t)count * sizeof(*refs));
    struct rng rng = rng_stream(size);
    double cpu = 0, working = 0, bytes = 0;
    struct cost cost = {.moved = 0};
    for (uint64_t round = 0; round < opt_rounds; round++) {
        struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
        fill(refs, count, size);
        free_half(refs, count, &rng);
        uint64_t start = bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        int error = handle_store_compact(subject_store, &report);
        cpu += (double)(bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - start);
        if (error)
            subject_failed("handle_store_compact", error);
        working += (double)report.cpu_ns;
        bytes += (double)report.moved_bytes;
        cost.moved += report.moved_objects;
        verify(refs, count, size);
    }
    if (cost.moved == 0)
        bench_fatal("nothing was moved: there is no cost to report");
    cost.ns_per_object = cpu / (double)cost.moved;
    cost.working_ns_per_object = working / (double)cost.moved;
    cost.gib_per_s = bytes / cpu * 1e9 / (1 << 30);
    for (uint32_t i = 0; i < count; i++) {
        static const ref_t empty;
        subject_enter();
        if (memcmp(&refs[i], &empty, sizeof(empty)) != 0)
            subject_free(&refs[i], FREE_NOW);
        subject_leave();
    }
    return cost;
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "what compaction costs (S8)", options, BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("S8", "cost of compaction", subject_label());
    report_case("%u MiB, half of it freed", (unsigned)opt_mib);
    subject_open();
    subject_set("defrag.enabled", "no");
    struct cost small = measure(240), large = measure(4096);
    report_at_most("240 B, CPU of all threads", "ns/object", small.ns_per_object, NAN, 120);
    report_value("240 B, the mover's work alone", "ns/object", small.working_ns_per_object);
    report_value("240 B moved", "thousand", (double)small.moved / 1e3);
    report_at_least("4096 B, moved per CPU second", "GiB/s", large.gib_per_s, 1.5);
    report_value("4096 B, CPU of all threads", "ns/object", large.ns_per_object);
    report_value("4096 B moved", "thousand", (double)large.moved / 1e3);
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
