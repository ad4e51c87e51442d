/* SPDX-License-Identifier: MIT */
/*
 * s7_many_threads.c - S7: does a store bear many more threads than processors? The same mixed load
 * (three reads, one replacement) by two threads and by 64; each replaces in its own part of the
 * cache and reads in all, so that frees wait for a grace period (malloc: call_rcu, and reads in its
 * own part only). Threads that wait with something in their hands would show here.
 *
 * Many threads leave the one that finishes frees so little of the processors that it falls behind
 * by hundreds of MiB a second: call_rcu's thread, and that of a store without max_bytes. Neither
 * makes the others wait, but a rate that lasts only as long as the memory does is no answer. So a
 * thread waits for its frees (malloc: rcu_barrier) after as many as it has objects: one rule for
 * all, by which never more objects wait than live.
 */
#include "loops.h"
#include "memory.h"
#include "report.h"

#define FEW          2
#define OBJECT_BYTES 128

static uint64_t opt_threads, opt_ms, opt_objects;
static const struct bench_option options[] = {
    {"threads", BENCH_COUNT, &opt_threads, "", 2, 1024, 64, 16, "Threads compared with two"},
    {"time", BENCH_COUNT, &opt_ms, "ms", 10, 3600000, 60000, 200, "Of each half"},
    {"objects", BENCH_COUNT, &opt_objects, "thousand", 1, 100000, 1024, 16, "Objects in all"},
};

struct run {
    ref_t *refs;
    uint32_t count, part; /* objects of one thread */
    unsigned members;
    uint64_t deadline_ns;
    uint64_t operations; /* added up at the end, atomically */
    uint64_t missing;    /* reads that met an object between its free and its successor */
};

/* A handle is the application's own word, read while its owner replaces it. */
static bool
read_one(struct run *run, uint32_t at)
{
#if BENCH_SUBJECT == SUBJECT_HANDLE
    ref_t ref = __atomic_load_n(&run->refs[at], __ATOMIC_ACQUIRE);
    const uint64_t *object = subject_read(&ref);
#else
    const uint64_t *object = subject_read(&run->refs[at]);
#endif
    if (object)
        loop_escape((const void *)(uintptr_t)*object);
    return object != NULL;
}

static void
replace_one(struct run *run, uint32_t at)
{
#if BENCH_SUBJECT == SUBJECT_HANDLE
    ref_t old = run->refs[at], new;
    *(uint64_t *)loop_alloc(&new, OBJECT_BYTES, FREE_AFTER_GP) = at;
    __atomic_store_n(&run->refs[at], new, __ATOMIC_RELEASE);
    subject_free(&old, FREE_AFTER_GP);
#else
    subject_free(&run->refs[at], FREE_AFTER_GP);
    *(uint64_t *)loop_alloc(&run->refs[at], OBJECT_BYTES, FREE_AFTER_GP) = at;
#endif
}

static void
work(void *arg, unsigned member)
{
    struct run *run = arg;
    struct rng rng = rng_stream(member);
    uint32_t own = member * run->part;
    uint64_t operations = 0, missing = 0;
    uint32_t unfinished = 0; /* frees, at most */
    do {
        for (unsigned i = 0; i < 64; i++) {
            subject_enter();
            for (unsigned j = 0; j < 3; j++) {
                uint32_t at = BENCH_SUBJECT == SUBJECT_MALLOC ? own + rng_below(&rng, run->part)
                                                              : rng_below(&rng, run->count);
                missing += !read_one(run, at);
            }
            replace_one(run, own + rng_below(&rng, run->part));
            subject_leave();
        }
        operations += 256;
        unfinished += 64;
        if (unfinished >= run->part) {
            subject_settle();
            unfinished = 0;
        }
    } while (bench_now_ns() < run->deadline_ns);
    __atomic_fetch_add(&run->operations, operations, __ATOMIC_RELAXED);
    __atomic_fetch_add(&run->missing, missing, __ATOMIC_RELAXED);
}

static double
rate(struct run *run, unsigned members)
{
    struct team *team = team_start(members, true);
    run->members = members;
    run->part = run->count / members;
    run->operations = 0;
    uint64_t start = bench_now_ns();
    run->deadline_ns = start + opt_ms * 1000000;
    team_run(team, work, run);
    double mops = (double)run->operations * 1e3 / (double)(bench_now_ns() - start);
    team_stop(team);
    return mops;
}

int
main(int argc, char **argv)
{
    static struct run run;
    bench_parse(argc, argv, "many threads on few processors (S7)", options, BENCH_COUNTOF(options));
    rcu_register_thread();
    run.count = (uint32_t)(opt_objects * 1000);
    run.refs = memory_map((size_t)run.count * sizeof(ref_t));
    report_begin("S7", "many threads", subject_label());
    report_case("%u threads, %u000 objects of %d bytes, 3 reads and a replacement a section",
                (unsigned)opt_threads, (unsigned)opt_objects, OBJECT_BYTES);
    subject_open();
    for (uint32_t i = 0; i < run.count; i++) {
        subject_enter();
        *(uint64_t *)loop_alloc(&run.refs[i], OBJECT_BYTES, FREE_AFTER_GP) = i;
        subject_leave();
    }
    double few = rate(&run, FEW), many = rate(&run, (unsigned)opt_threads);
    report_note("a thread waits for its frees after %u, of two threads, or %u, of %u",
                run.count / FEW, run.part, (unsigned)opt_threads);
    report_add(metric_of("two threads", "Mop/s", REPORT_HIGHER, few));
    report_add(metric_of("all threads", "Mop/s", REPORT_HIGHER, many));
    report_at_least("all threads over two", "ratio", many / few, subject_pick(0.8, 0.8));
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
