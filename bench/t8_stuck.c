/* SPDX-License-Identifier: MIT */
/*
 * t8_stuck.c - T8: one thread stays inside a section while others go on replacing objects. Freed
 * memory cannot come back meanwhile. Does the store stay within max_bytes, does anything spin, do
 * the statistics name the cause, and does all recover when the thread leaves?
 */
#include "cache.h"
#include "memory.h"
#include "object.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>

#define OBJECT_LOW  64
#define OBJECT_HIGH 512
#define HELD_PLACE  UINT64_C(0x123456789)
#define HELD_BYTES  240
#define MAX_THREADS 64

static uint64_t opt_stuck_ms, opt_mib, opt_threads;
static const struct bench_option options[] = {
    {"stuck", BENCH_COUNT, &opt_stuck_ms, "ms", 500, 3600000, 60000, 1000,
     "How long the reader stays in its section"},
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 8, 65536, 256, 32,
     "max_bytes of the store; half of it is the payload limit"},
    {"threads", BENCH_COUNT, &opt_threads, "", 1, MAX_THREADS, 2, 2, "Threads that replace"},
};

enum stage { FREELY, STUCK, RECOVERED, STAGES };

struct run {
    struct cache cache;
    ref_t held; /* the object that the stuck reader looks at, freed meanwhile */
    unsigned stage;
    bool stop;
    bool leave, inside; /* of the reader */
    struct worker {
        struct rng rng;
        uint64_t puts[STAGES];
        uint64_t refused[STAGES]; /* EAGAIN or ENOMEM: backs off and comes again */
        uint64_t cpu_ns;
    } worker[MAX_THREADS];
};

/* Flags between threads: relaxed is enough, nothing else is published with them but `inside`. */
#define GET(x)    __atomic_load_n(&(x), __ATOMIC_ACQUIRE)
#define SET(x, v) __atomic_store_n(&(x), (v), __ATOMIC_RELEASE)

/* ---- load ------------------------------------------------------------------------------------ */

/* Evicts for room in its own payload limit; false when the store refused. */
static bool
try_put(struct run *run, struct shard *shard, struct worker *worker)
{
    uint32_t size = rng_between(&worker->rng, OBJECT_LOW, OBJECT_HIGH);
    bool done = false;
    subject_enter();
    while (shard->bytes + size > shard->limit && shard_evict(&run->cache, shard, &worker->rng))
        continue;
    done = shard_insert(&run->cache, shard, size);
    int error = errno;
    subject_leave();
    if (!done && error != EAGAIN && error != ENOMEM)
        subject_failed("allocation", error);
    return done;
}

static void
work(void *arg, unsigned member)
{
    struct run *run = arg;
    struct worker *worker = &run->worker[member];
    while (!GET(run->stop)) {
        unsigned stage = GET(run->stage);
        if (try_put(run, &run->cache.shard[member], worker)) {
            SET(worker->puts[stage], worker->puts[stage] + 1);
        } else {
            SET(worker->refused[stage], worker->refused[stage] + 1);
            bench_sleep_ms(5);
        }
        if (worker->puts[stage] % 256 == 0 || stage == STUCK)
            SET(worker->cpu_ns, bench_clock_ns(CLOCK_THREAD_CPUTIME_ID));
    }
}

/* ---- the stuck reader ------------------------------------------------------------------------ */

/* What it resolved stays readable to the end of the section, freed or not (G2). */
static void *
reader_main(void *arg)
{
    struct run *run = arg;
    rcu_register_thread();
    section_enter();
    const void *object = subject_read(&run->held);
    SET(run->inside, true);
    while (!GET(run->leave)) {
        if (!object || !object_intact(object, HELD_PLACE, HELD_BYTES))
            bench_fatal("the object that the reader holds changed under it");
        struct timespec pause = {.tv_nsec = 20000000};
        nanosleep(&pause, NULL);
    }
    section_leave();
    SET(run->inside, false);
    rcu_unregister_thread();
    return NULL;
}

static void
start_reader(struct run *run, pthread_t *reader)
{
    subject_enter();
    void *object = subject_alloc(&run->held, HELD_BYTES, FREE_AFTER_GP);
    if (!object)
        subject_failed("allocation", errno);
    object_fill(object, HELD_PLACE, HELD_BYTES);
    subject_leave();
    int error = pthread_create(reader, NULL, reader_main, run);
    if (error)
        subject_failed("pthread_create", error);
    while (!GET(run->inside))
        bench_sleep_ms(1);
}

/* ---- measurement ----------------------------------------------------------------------------- */

/* CPU time of everything in the process but the workers. */
static uint64_t
other_cpu_ns(struct run *run)
{
    uint64_t cpu = bench_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
    for (unsigned t = 0; t < opt_threads; t++)
        cpu -= GET(run->worker[t].cpu_ns);
    return cpu;
}

static double
sum_of(const struct run *run, bool refused, enum stage stage)
{
    double sum = 0;
    for (unsigned t = 0; t < opt_threads; t++)
        sum += (double)(refused ? GET(run->worker[t].refused[stage])
                                : GET(run->worker[t].puts[stage]));
    return sum;
}

/* The first fifth of the time fills the limbo; the rest shows whether anything spins. */
static void
measure_stuck(struct run *run)
{
    pthread_t reader;
    start_reader(run, &reader);
    uint64_t entered = bench_now_ns();
    SET(run->stage, STUCK);
    subject_free(&run->held, FREE_AFTER_GP);
    bench_sleep_ms(opt_stuck_ms / 5);
    uint64_t cpu = other_cpu_ns(run), wall = bench_now_ns();
    bench_sleep_ms(opt_stuck_ms - opt_stuck_ms / 5);
    double percent = 100.0 * (double)(other_cpu_ns(run) - cpu) / (double)(bench_now_ns() - wall);
    const struct handle_stats *stats = subject_stats();
    double age = (double)stats->grace_period_age_ns / (double)(bench_now_ns() - entered);
    report_at_least("age of the grace period", "of time stuck", age, 0.9);
    report_value("limbo", "of max", (double)stats->limbo / (double)stats->max_bytes);
    report_at_least("shrink reason is limbo", "1: yes", stats->shrink_reason == HANDLE_SHRINK_LIMBO,
                    1);
    report_at_most("CPU of all but the workers", "% of a core", percent, NAN, 5);
    SET(run->leave, true);
    section_offline();
    pthread_join(reader, NULL);
    section_online();
}

/* Recovered: all that waited when the reader left is reusable; the load goes on meanwhile. */
static double
measure_recovery(struct run *run)
{
    uint64_t start = bench_now_ns();
    double refused = sum_of(run, true, STUCK);
    SET(run->stage, RECOVERED);
    subject_settle();
    double ms = (double)(bench_now_ns() - start) * 1e-6;
    bench_sleep_ms(bench.smoke ? 200 : 3000);
    report_value("allocations refused while stuck", "times", refused);
    report_value("allocations refused after", "times", sum_of(run, true, RECOVERED));
    return ms;
}

static uint64_t
limit_bytes(void *arg)
{
    (void)arg;
    return opt_mib * BENCH_MIB;
}

static void
run_workload(struct run *run, struct team *team, uint64_t baseline)
{
    struct sampler *sampler = sampler_start(baseline, limit_bytes, NULL, 10);
    team_begin(team, work, run);
    uint64_t start = bench_now_ns();
    bench_sleep_ms(bench.smoke ? 300 : 3000);
    double before = sum_of(run, false, FREELY) / (double)(bench_now_ns() - start) * 1e3;
    measure_stuck(run);
    start = bench_now_ns();
    double ms = measure_recovery(run);
    double after = sum_of(run, false, RECOVERED) / (double)(bench_now_ns() - start) * 1e3;
    SET(run->stop, true);
    team_wait(team);
    const struct handle_stats *stats = subject_stats();
    report_at_most("committed, peak", "of max",
                   (double)stats->committed_peak / (double)stats->max_bytes, NAN, 1);
    report_value("RSS, peak", "of max", sampler_peak(sampler).ratio);
    report_at_most("its limbo reusable after", "ms", ms, NAN, 1000);
    report_value("rate before", "Mop/s", before);
    report_at_least("rate after", "of before", after / before, 0.5);
    sampler_stop(sampler);
}

int
main(int argc, char **argv)
{
    static struct run run;
    char text[32];
    bench_parse(argc, argv, "one reader stays in its section under load (T8)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    uint64_t payload = opt_mib * BENCH_MIB / 2;
    cache_init(&run.cache, (unsigned)opt_threads, payload / OBJECT_LOW, payload, FREE_AFTER_GP);
    for (unsigned t = 0; t < opt_threads; t++)
        run.worker[t].rng = rng_stream(t);
    struct team *team = team_start((unsigned)opt_threads, true);
    report_begin("T8", "stuck reader", subject_label());
    report_case("max_bytes %u MiB, %u threads, stuck for %.1f s", (unsigned)opt_mib,
                (unsigned)opt_threads, (double)opt_stuck_ms * 1e-3);
    uint64_t baseline = memory_resident();
    subject_open();
    snprintf(text, sizeof(text), "%llu", (unsigned long long)(opt_mib * BENCH_MIB));
    subject_set("max_bytes", text);
    run_workload(&run, team, baseline);
    cache_verify(&run.cache);
    report_end();
    team_stop(team);
    subject_close();
    rcu_unregister_thread();
    return 0;
}
