/* SPDX-License-Identifier: MIT */
/*
 * l1_reader.c - L1: what does compaction cost a reader? One thread on a processor of its own derefs
 * random objects of 240 bytes and reads them; another one fragments and compacts the store without
 * pause. Compared with the same without the compaction.
 */
#include "agitate.h"
#include "latency.h"
#include "object.h"
#include "report.h"

#define OBJECT_BYTES 240

static uint64_t opt_objects, opt_ms;
static const struct bench_option options[] = {
    {"objects", BENCH_COUNT, &opt_objects, "thousand", 1, 100000, 1000, 20, "Objects"},
    {"time", BENCH_COUNT, &opt_ms, "ms", 10, 3600000, 10000, 200, "Of each half"},
};

/* Most are read; some are just gone. Through a cell a new object shows before it is filled, a
 * handle is handed out afterwards: then its contents must be right. */
static void
read_random(struct agitator *agitator, struct rng *rng, struct latency *latency)
{
    uint32_t at = rng_below(rng, agitator->count);
    uint64_t start = bench_now_ns();
    subject_enter();
#if BENCH_SUBJECT == SUBJECT_HANDLE
    ref_t ref = __atomic_load_n(&agitator->refs[at], __ATOMIC_ACQUIRE);
    const void *object = subject_read(&ref);
#else
    const void *object = subject_read(&agitator->refs[at]);
#endif
    bool read = object != NULL, intact = !read || object_intact(object, at, OBJECT_BYTES);
    subject_leave();
    uint64_t ns = bench_now_ns() - start;
    if (!intact && BENCH_SUBJECT == SUBJECT_HANDLE)
        bench_fatal("object %u has wrong contents", at);
    if (read)
        latency_add(latency, ns);
}

static void
measure(struct agitator *agitator, bool compact, struct latency *latency)
{
    struct rng rng = rng_stream(compact);
    agitator_start(agitator, compact);
    uint64_t end = bench_now_ns() + opt_ms * 1000000;
    while (bench_now_ns() < end)
        for (unsigned i = 0; i < 64; i++)
            read_random(agitator, &rng, latency);
    agitator_stop(agitator);
}

static void
report_quantile(const char *const name[3], double off, double on, double target)
{
    report_value(name[0], "us", off * 1e-3);
    report_value(name[1], "us", on * 1e-3);
    if (name[2])
        report_at_most(name[2], "us", (on - off) * 1e-3, NAN, target);
}

int
main(int argc, char **argv)
{
    static struct latency off, on;
    static struct agitator agitator;
    static const char *const median[] = {"median, off", "median, on", NULL};
    static const char *const tail[] = {"p99.99, off", "p99.99, on", "p99.99, on less off"};
    static const char *const worst[] = {"max, off", "max, on", "max, on less off"};
    bench_parse(argc, argv, "latency of a reader beside compaction (L1)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    latency_bind(0);
    report_begin("L1", "reader", subject_label());
    report_case("%u000 objects of %d bytes", (unsigned)opt_objects, OBJECT_BYTES);
    subject_open();
    agitator_prepare_store();
    agitator_init(&agitator, (uint32_t)(opt_objects * 1000), OBJECT_BYTES);
    measure(&agitator, false, &off);
    measure(&agitator, true, &on);
    report_quantile(median, latency_quantile(&off, 0.5), latency_quantile(&on, 0.5), NAN);
    report_quantile(tail, latency_quantile(&off, 0.9999), latency_quantile(&on, 0.9999), 20);
    report_quantile(worst, (double)off.max_ns, (double)on.max_ns, 1000);
    report_value("objects moved meanwhile", "thousand", (double)agitator.moved / 1e3);
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
