/* SPDX-License-Identifier: MIT */
/*
 * l2_writer.c - L2: what does compaction cost a writer? One thread on a processor of its own writes
 * objects through deref_mut, allocates and frees; another one fragments and compacts the store
 * without pause.
 */
#include "agitate.h"
#include "latency.h"
#include "memory.h"
#include "object.h"
#include "report.h"

#include <errno.h>

#define OBJECT_BYTES 240

static uint64_t opt_objects, opt_ms;
static const struct bench_option options[] = {
    {"objects", BENCH_COUNT, &opt_objects, "thousand", 1, 100000, 500, 20,
     "Objects of each of the two threads"},
    {"time", BENCH_COUNT, &opt_ms, "ms", 10, 3600000, 10000, 200, "How long"},
};

enum call { WRITE, ALLOC, FREE, CALLS };

struct writer {
    ref_t *refs; /* its own: nobody else writes or frees them */
    uint32_t count;
    struct rng rng;
    struct latency latency[CALLS];
};

static void
allocate(struct writer *writer, uint32_t at)
{
    uint64_t start = bench_now_ns();
    subject_enter();
    void *object = subject_alloc(&writer->refs[at], OBJECT_BYTES, FREE_AFTER_GP);
    uint64_t ns = bench_now_ns() - start;
    if (!object)
        subject_failed("allocation", errno);
    object_fill(object, at, OBJECT_BYTES);
    subject_leave();
    latency_add(&writer->latency[ALLOC], ns);
}

static void
release(struct writer *writer, uint32_t at)
{
    uint64_t start = bench_now_ns();
    subject_enter();
    subject_free(&writer->refs[at], FREE_AFTER_GP);
    subject_leave();
    latency_add(&writer->latency[FREE], bench_now_ns() - start);
}

static void
write_object(struct writer *writer, uint32_t at)
{
    uint64_t start = bench_now_ns();
    subject_enter();
    void *object = subject_write(&writer->refs[at]);
    bool intact = object && object_intact(object, at, OBJECT_BYTES);
    if (intact)
        object_fill(object, at, OBJECT_BYTES);
    subject_leave();
    latency_add(&writer->latency[WRITE], bench_now_ns() - start);
    if (!intact)
        bench_fatal("object %u has wrong contents", at);
}

/* Frees every second object in passing, so that its spans are worth evacuating too. */
static void
work(struct writer *writer)
{
    for (unsigned i = 0; i < 64; i++) {
        uint32_t at = rng_below(&writer->rng, writer->count);
        write_object(writer, rng_below(&writer->rng, writer->count));
        release(writer, at);
        allocate(writer, at);
    }
}

static void
report_call(const char *const name[3], const struct latency *latency)
{
    report_value(name[0], "us", latency_quantile(latency, 0.5) * 1e-3);
    report_at_most(name[1], "us", latency_quantile(latency, 0.999) * 1e-3, NAN, 50);
    report_at_most(name[2], "us", (double)latency->max_ns * 1e-3, NAN, 1000);
}

int
main(int argc, char **argv)
{
    static struct writer writer;
    static struct agitator agitator;
    static const char *const name[CALLS][3] = {
        {"deref_mut and write, median", "deref_mut and write, p99.9", "deref_mut and write, max"},
        {"alloc, median", "alloc, p99.9", "alloc, max"},
        {"free, median", "free, p99.9", "free, max"}};
    bench_parse(argc, argv, "latency of a writer beside compaction (L2)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    latency_bind(0);
    report_begin("L2", "writer", subject_label());
    report_case("2 x %u000 objects of %d bytes", (unsigned)opt_objects, OBJECT_BYTES);
    subject_open();
    agitator_prepare_store();
    writer.count = (uint32_t)(opt_objects * 1000);
    writer.refs = memory_map(writer.count * sizeof(ref_t));
    writer.rng = rng_stream(5);
    for (uint32_t at = 0; at < writer.count; at++)
        allocate(&writer, at);
    agitator_init(&agitator, writer.count, OBJECT_BYTES);
    writer.latency[ALLOC] = (struct latency){.count = 0};
    agitator_start(&agitator, true);
    for (uint64_t end = bench_now_ns() + opt_ms * 1000000; bench_now_ns() < end;)
        work(&writer);
    agitator_stop(&agitator);
    for (unsigned i = 0; i < CALLS; i++)
        report_call(name[i], &writer.latency[i]);
    report_value("objects moved meanwhile", "thousand", (double)agitator.moved / 1e3);
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
