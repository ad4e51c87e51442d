/* SPDX-License-Identifier: MIT */
/*
 * s4_chase.c - S4: what does a dependent random read cost, when nothing is in the caches? Each
 * object holds the number of the next one's reference in the application's table, so that every
 * read waits for the one before: table, (handle table,) object. Then sixteen such chains at a time.
 */
#include "loops.h"
#include "memory.h"
#include "report.h"

#define CHAINS            16
#define OBJECT_BYTES      64
#define READS_PER_SECTION 64 /* of one chain */

static uint64_t opt_objects, opt_reads;
static const struct bench_option options[] = {
    {"objects", BENCH_COUNT, &opt_objects, "thousand", 1, 1000000, 10000, 100, "Objects"},
    {"reads", BENCH_COUNT, &opt_reads, "thousand", 1, 10000000, 800, 50, "Reads in a round"},
};

struct run {
    ref_t *refs;
    uint32_t count;
    uint32_t at[CHAINS];
};

/* A single cycle through all objects, in random order (Sattolo's shuffle). */
static void
build(struct run *run)
{
    struct rng rng = rng_stream(0);
    uint32_t *next = memory_map((size_t)run->count * sizeof(*next));
    for (uint32_t i = 0; i < run->count; i++)
        next[i] = i;
    for (uint32_t i = run->count - 1; i > 0; i--) {
        uint32_t other = rng_below(&rng, i), kept = next[i];
        next[i] = next[other];
        next[other] = kept;
    }
    loop_fill(run->refs, run->count, OBJECT_BYTES);
    for (uint32_t i = 0; i < run->count; i++) {
        subject_enter();
        *(uint64_t *)subject_write(&run->refs[i]) = next[i];
        subject_leave();
    }
    for (unsigned c = 0; c < CHAINS; c++)
        run->at[c] = rng_below(&rng, run->count);
}

static void
one_chain(void *arg, uint64_t reads)
{
    struct run *run = arg;
    uint32_t at = run->at[0];
    for (uint64_t done = 0; done < reads; done += READS_PER_SECTION) {
        subject_enter();
        for (unsigned i = 0; i < READS_PER_SECTION; i++)
            at = (uint32_t) * (const uint64_t *)subject_read(&run->refs[at]);
        subject_leave();
    }
    run->at[0] = at;
}

static void
many_chains(void *arg, uint64_t reads)
{
    struct run *run = arg;
    for (uint64_t done = 0; done < reads; done += CHAINS) {
        subject_enter();
        for (unsigned c = 0; c < CHAINS; c++)
            run->at[c] = (uint32_t) * (const uint64_t *)subject_read(&run->refs[run->at[c]]);
        subject_leave();
    }
}

#if BENCH_SUBJECT != SUBJECT_MALLOC
static size_t
resolve(struct run *run, const void **objects)
{
#if BENCH_SUBJECT == SUBJECT_HANDLE
    handle_t handles[CHAINS];
    for (unsigned c = 0; c < CHAINS; c++)
        handles[c] = run->refs[run->at[c]];
    return handle_deref_many(subject_store, handles, objects, CHAINS);
#else
    handle_cell *cells[CHAINS];
    for (unsigned c = 0; c < CHAINS; c++)
        cells[c] = &run->refs[run->at[c]];
    return handle_cell_deref_many(subject_store, cells, objects, CHAINS);
#endif
}

static void
many_at_once(void *arg, uint64_t reads)
{
    struct run *run = arg;
    const void *objects[CHAINS];
    for (uint64_t done = 0; done < reads; done += CHAINS) {
        subject_enter();
        if (resolve(run, objects) != CHAINS)
            bench_fatal("an object is gone");
        for (unsigned c = 0; c < CHAINS; c++)
            run->at[c] = (uint32_t) * (const uint64_t *)objects[c];
        subject_leave();
    }
}
#endif

static void
report_read(const char *name, double ns, double ratio)
{
    struct report_metric metric = metric_of(name, "ns", REPORT_LOWER, ns);
    if (!isnan(ratio)) {
        metric.ratio_to = "jemalloc";
        metric.ratio_metric = "read";
        metric.ratio_target = ratio;
    }
    report_add(metric);
}

int
main(int argc, char **argv)
{
    struct run run;
    bench_parse(argc, argv, "dependent random reads (S4)", options, BENCH_COUNTOF(options));
    rcu_register_thread();
    run.count = (uint32_t)(opt_objects * 1000);
    run.refs = memory_map((size_t)run.count * sizeof(ref_t));
    uint64_t reads = opt_reads * 1000;
    report_begin("S4", "dependent random reads", subject_label());
    report_case("%u000 objects of %d bytes, %d reads a section", (unsigned)opt_objects,
                OBJECT_BYTES, READS_PER_SECTION);
    subject_open();
    build(&run);
    report_read("read", loop_median_ns(one_chain, &run, reads), subject_pick(1.03, 1.5));
    report_read("16 chains, one deref after another", loop_median_ns(many_chains, &run, reads),
                NAN);
#if BENCH_SUBJECT != SUBJECT_MALLOC
    report_read("16 chains, deref_many", loop_median_ns(many_at_once, &run, reads),
                subject_pick(0.6, 0.6));
#endif
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
