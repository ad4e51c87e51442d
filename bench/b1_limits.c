/* SPDX-License-Identifier: MIT */
/*
 * b1_limits.c - B1: a cache of many sizes in a store with a small max_bytes. Sizes are log-uniform;
 * the oldest object is evicted when an allocation says ENOMEM, or EAGAIN some times in a row. Which
 * share of the limit is live, on average, once the store is full?
 */
#include "object.h"
#include "report.h"
#include "subject.h"

#include <errno.h>
#include <stdio.h>

#define RING        (UINT32_C(1) << 20) /* objects that live at once, at most */
#define WAITS       3                   /* for memory on its way, before something is evicted */
#define LEAST_BYTES 64
#define SMOKE_MIB   16 /* the largest limit that its insertions fill */

static uint64_t opt_insertions;
static const struct bench_option options[] = {
    {"insertions", BENCH_COUNT, &opt_insertions, "objects", 1000, 10000000, 400000, 10000,
     "Objects inserted at each limit"},
};

/* One limit, and the share that is wanted. */
static const struct row {
    uint64_t mib;
    size_t largest;
    double wanted; /* % */
    const char *name, *evictions;
} rows[] = {
    {4, 60 << 10, 50, "4 MiB, 64 B to 60 KiB: live", "4 MiB: evicted"},
    {8, 60 << 10, 65, "8 MiB: live", "8 MiB: evicted"},
    {16, 60 << 10, 75, "16 MiB: live", "16 MiB: evicted"},
    {32, 60 << 10, 80, "32 MiB: live", "32 MiB: evicted"},
    {64, 60 << 10, 85, "64 MiB: live", "64 MiB: evicted"},
    {4, 2048, 60, "4 MiB, 64 B to 2 KiB: live", "4 MiB, to 2 KiB: evicted"},
};

struct run {
    struct {
        ref_t ref;
        uint32_t size;
    } * ring;
    uint64_t begin, end; /* oldest, and behind the youngest */
    uint64_t live;
    struct rng rng;
};

static size_t
draw_size(struct rng *rng, size_t largest)
{
    double at = (double)(rng_next(rng) >> 11) * 0x1p-53;
    return (size_t)(LEAST_BYTES * pow((double)largest / LEAST_BYTES, at));
}

static void
evict_oldest(struct run *run)
{
    if (run->begin == run->end)
        bench_fatal("refused although the store is empty");
    uint64_t at = run->begin++;
    subject_enter();
    const void *object = subject_read(&run->ring[at % RING].ref);
    if (!object || !object_intact(object, at, run->ring[at % RING].size))
        bench_fatal("object %llu is damaged", (unsigned long long)at);
    subject_free(&run->ring[at % RING].ref, FREE_NOW);
    subject_leave();
    run->live -= run->ring[at % RING].size;
}

static bool
try_insert(struct run *run, size_t size)
{
    uint64_t at = run->end;
    subject_enter();
    void *object = subject_alloc(&run->ring[at % RING].ref, size, FREE_NOW);
    int error = errno;
    if (object)
        object_fill(object, at, size);
    subject_leave();
    errno = error;
    return object != NULL;
}

static void
insert(struct run *run, size_t size)
{
    int waits = 0;
    while (!try_insert(run, size)) {
        if (errno != ENOMEM && errno != EAGAIN)
            subject_failed("allocation", errno);
        if (errno == ENOMEM || waits++ == WAITS)
            evict_oldest(run), waits = 0;
        else if (handle_store_reclaim(subject_store, size) != 0)
            subject_failed("handle_store_reclaim", errno);
    }
    run->ring[run->end % RING].size = (uint32_t)size;
    run->end++;
    run->live += size;
}

static void
run_row(struct run *run, const struct row *row)
{
    char text[32];
    double sum = 0;
    uint64_t samples = 0;
    snprintf(text, sizeof(text), "%llu", (unsigned long long)(row->mib * BENCH_MIB));
    subject_open();
    subject_set("max_bytes", text);
    run->rng = rng_stream(row->mib);
    for (uint64_t i = 0; i < opt_insertions; i++) {
        insert(run, draw_size(&run->rng, row->largest));
        sum += run->begin > 0 ? (double)run->live : 0;
        samples += run->begin > 0;
    }
    double share = samples ? sum * 100 / (double)samples / (double)(row->mib * BENCH_MIB) : NAN;
    report_at_least(row->name, "% of max", share, row->wanted);
    report_at_most(row->evictions, "an insertion", (double)run->begin / (double)opt_insertions, NAN,
                   3);
    while (run->begin < run->end)
        evict_oldest(run);
    run->begin = run->end = 0;
    subject_close();
}

int
main(int argc, char **argv)
{
    static struct run run;
    bench_parse(argc, argv, "how much of a small max_bytes is live with many sizes (B1)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    run.ring = calloc(RING, sizeof(*run.ring));
    if (!run.ring)
        bench_fatal("no memory for the ring");
    report_begin("B1", "small limits, mixed sizes", subject_label());
    report_case("%u insertions, log-uniform sizes", (unsigned)opt_insertions);
    for (size_t i = 0; i < BENCH_COUNTOF(rows); i++) {
        if (!bench.smoke || rows[i].mib <= SMOKE_MIB)
            run_row(&run, &rows[i]);
    }
    report_end();
    free(run.ring);
    rcu_unregister_thread();
    return 0;
}
