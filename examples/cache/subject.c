/* SPDX-License-Identifier: MIT */
/*
 * subject.c - one subject's run: reader and writer threads, the phases, the measurements. The main
 * thread conducts and measures; it makes no requests. Threads live for the whole run, as a server's
 * do, and wait between phases. See subject.h.
 */
#include "subject.h"

#include "cache.h"
#include "report.h"
#include "resident.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define SAMPLE_MS   20  /* between two looks at the clock, the bytes written and the memory */
#define PROGRESS_MS 240 /* between two progress records */
/* Only a cache that is this full says something about RSS/live: in a phase's peak. */
#define FULL_ENOUGH 0.9

/** One thread. The counters are its own; the main thread reads them (relaxed). */
struct worker {
    pthread_t thread;
    struct run *run;
    bool writer;
    struct workload_source source;
    uint64_t gets, hits, bumps;
} __attribute__((aligned(64)));

/** Counters as they stood at a row's beginning. */
struct mark {
    double seconds;
    uint64_t gets, hits, bumps;
    struct cache_counters cache;
    struct backend_facts facts;
};

struct run {
    const struct options *options;
    const struct workload_plan *plan;
    struct cache *cache;
    struct worker *workers;
    uint32_t worker_count;
    uint64_t baseline;
    double peak_ratio;
    struct mark mark;
    /* set by the main thread while the workers wait at `go` */
    const struct workload *workload;
    bool quit;
    pthread_barrier_t go, done;
    /* relaxed */
    bool stop;
    bool failed;
};

static double
now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
sleep_ms(long ms)
{
    struct timespec length = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&length, &length) != 0 && errno == EINTR)
        ;
}

static bool
flag(const bool *of)
{
    return __atomic_load_n(of, __ATOMIC_RELAXED);
}

static void
raise_flag(bool *of, bool value)
{
    __atomic_store_n(of, value, __ATOMIC_RELAXED);
}

static void
count(uint64_t *counter)
{
    __atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* ---- the threads ----------------------------------------------------------------------------- */

/** Look up; on a miss fetch from where the data come from, which here is computed, and set. */
static enum cache_answer
read_request(struct worker *worker, uint64_t key, size_t size)
{
    enum cache_answer answer = cache_get(worker->run->cache, key, size);
    count(&worker->gets);
    if (answer == CACHE_HIT)
        count(&worker->hits);
    return answer == CACHE_MISS ? cache_set(worker->run->cache, key, size) : answer;
}

/** Half the time a new version, half the time a write in place. */
static enum cache_answer
write_request(struct worker *worker, uint64_t key, size_t size)
{
    if (worker->source.state & 1)
        return cache_set(worker->run->cache, key, size);
    enum cache_answer answer = cache_bump(worker->run->cache, key);
    if (answer == CACHE_HIT)
        count(&worker->bumps);
    return answer;
}

static void *
worker_main(void *argument)
{
    struct worker *worker = argument;
    struct run *run = worker->run;
    rcu_register_thread();
    for (;;) {
        pthread_barrier_wait(&run->go);
        if (run->quit)
            break;
        while (!flag(&run->stop)) {
            uint64_t key = workload_key(run->workload, &worker->source);
            size_t size = workload_size(run->workload, key);
            enum cache_answer answer =
                worker->writer ? write_request(worker, key, size) : read_request(worker, key, size);
            if (answer == CACHE_FAILED || answer == CACHE_DAMAGED)
                raise_flag(&run->failed, true);
        }
        pthread_barrier_wait(&run->done);
    }
    rcu_unregister_thread();
    return NULL;
}

static bool
start_workers(struct run *run)
{
    const struct options *options = run->options;
    run->worker_count = (uint32_t)(options->readers + options->writers);
    run->workers = aligned_alloc(64, run->worker_count * sizeof(*run->workers));
    if (!run->workers)
        return false;
    memset(run->workers, 0, run->worker_count * sizeof(*run->workers));
    pthread_barrier_init(&run->go, NULL, run->worker_count + 1);
    pthread_barrier_init(&run->done, NULL, run->worker_count + 1);
    for (uint32_t i = 0; i < run->worker_count; i++) {
        struct worker *worker = &run->workers[i];
        worker->run = run;
        worker->writer = i >= options->readers;
        worker->source.state = options->seed * UINT64_C(0x2545f4914f6cdd1d) + i;
        worker->source.thread = i;
        int error = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (error) {
            fprintf(stderr, "pthread_create: %s\n", strerror(error));
            return false;
        }
    }
    return true;
}

static void
end_workers(struct run *run)
{
    run->quit = true;
    pthread_barrier_wait(&run->go);
    for (uint32_t i = 0; i < run->worker_count; i++)
        pthread_join(run->workers[i].thread, NULL);
    pthread_barrier_destroy(&run->go);
    pthread_barrier_destroy(&run->done);
    free(run->workers);
}

/* ---- measuring ------------------------------------------------------------------------------- */

static void
take_mark(const struct run *run, struct mark *mark)
{
    memset(mark, 0, sizeof(*mark));
    mark->seconds = now_seconds();
    for (uint32_t i = 0; i < run->worker_count; i++) {
        mark->gets += __atomic_load_n(&run->workers[i].gets, __ATOMIC_RELAXED);
        mark->hits += __atomic_load_n(&run->workers[i].hits, __ATOMIC_RELAXED);
        mark->bumps += __atomic_load_n(&run->workers[i].bumps, __ATOMIC_RELAXED);
    }
    cache_counters(run->cache, &mark->cache);
    cache_facts(run->cache, &mark->facts);
}

/** Turns sums since the start into sums since `from`. */
static void
subtract_cache(struct cache_counters *sums, const struct cache_counters *from)
{
    sums->set_bytes -= from->set_bytes;
    sums->sets -= from->sets;
    sums->evictions -= from->evictions;
    sums->verified -= from->verified;
    sums->damaged -= from->damaged;
    sums->too_large -= from->too_large;
    sums->waits -= from->waits;
}

static void
subtract_facts(struct backend_facts *sums, const struct backend_facts *from)
{
    sums->moved_bytes -= from->moved_bytes;
    sums->emptied_bytes -= from->emptied_bytes;
    sums->returned_bytes -= from->returned_bytes;
    sums->compaction_ns -= from->compaction_ns;
}

/** Writes one record into the pipe: at once or not at all, being shorter than PIPE_BUF. */
static bool
send_record(const struct run *run, struct record *record, uint64_t resident)
{
    const struct mark *from = &run->mark;
    struct mark now;
    take_mark(run, &now);
    subtract_cache(&now.cache, &from->cache);
    subtract_facts(&now.facts, &from->facts);
    record->seconds = now.seconds - from->seconds;
    record->rss_bytes = resident > run->baseline ? resident - run->baseline : 0;
    record->peak_ratio = run->peak_ratio;
    record->gets = now.gets - from->gets;
    record->hits = now.hits - from->hits;
    record->bumps = now.bumps - from->bumps;
    record->cache = now.cache;
    record->facts = now.facts;
    record->node_bytes = cache_node_bytes(run->cache);
    return write((int)run->options->report_fd, record, sizeof(*record)) == sizeof(*record);
}

/** One look at the memory, for the row's peak. Gives the payload bytes written in this row. */
static uint64_t
sample(struct run *run)
{
    struct cache_counters now;
    cache_counters(run->cache, &now);
    uint64_t resident = resident_quick();
    double full = (double)run->options->limit_bytes * FULL_ENOUGH;
    if ((double)now.payload_bytes >= full && resident > run->baseline) {
        double ratio = (double)(resident - run->baseline) / (double)now.payload_bytes;
        if (ratio > run->peak_ratio)
            run->peak_ratio = ratio;
    }
    return now.set_bytes - run->mark.cache.set_bytes;
}

static void
begin_row(struct run *run)
{
    take_mark(run, &run->mark);
    run->peak_ratio = 0;
}

/** Samples until `enough` payload bytes are written or `seconds` have passed. True: by time. */
static bool
watch(struct run *run, uint32_t row, uint64_t enough, double seconds)
{
    int until_progress = PROGRESS_MS / SAMPLE_MS;
    while (now_seconds() - run->mark.seconds < seconds && !flag(&run->failed)) {
        sleep_ms(SAMPLE_MS);
        if (sample(run) >= enough)
            return false;
        if (--until_progress == 0) {
            struct record record = {.kind = RECORD_PROGRESS, .row = row};
            send_record(run, &record, resident_quick());
            until_progress = PROGRESS_MS / SAMPLE_MS;
        }
    }
    return true;
}

/* ---- the run --------------------------------------------------------------------------------- */

static bool
run_phase(struct run *run, uint32_t phase)
{
    struct record record = {.kind = RECORD_PHASE, .row = phase};
    run->workload = run->plan->phase[phase];
    raise_flag(&run->stop, false);
    begin_row(run);
    pthread_barrier_wait(&run->go);
    uint64_t enough = run->options->turnover * run->options->limit_bytes;
    record.cut_short = watch(run, phase, enough, (double)run->options->seconds);
    raise_flag(&run->stop, true);
    pthread_barrier_wait(&run->done);
    rcu_barrier(); /* malloc's frees are done by call_rcu: they count as done */
    if (!send_record(run, &record, resident_exact()))
        return false;
    if (workload_is_range(run->workload))
        cache_keep(run->cache, run->options->keep);
    return !flag(&run->failed);
}

static bool
run_idle(struct run *run)
{
    struct record record = {.kind = RECORD_IDLE, .row = run->plan->phases};
    begin_row(run);
    watch(run, run->plan->phases, UINT64_MAX, (double)run->options->idle);
    uint64_t resident = resident_exact();
    cache_verify(run->cache);
    return send_record(run, &record, resident);
}

/** The most values that fit into the limit at the mean size of any phase, and a tenth more. */
static uint64_t
entries_needed(const struct options *options, const struct workload_plan *plan)
{
    double smallest = workload_mean_size(plan->workload[0]);
    for (uint32_t i = 1; i < plan->workloads; i++) {
        if (workload_mean_size(plan->workload[i]) < smallest)
            smallest = workload_mean_size(plan->workload[i]);
    }
    return (uint64_t)((double)options->limit_bytes / smallest * 1.1) + 1024;
}

static const struct backend *
backend_of(const struct subject *subject, const struct options *options)
{
    if (!subject->sinter)
        return &backend_malloc;
    bool handles = strcmp(options->names, "handles") == 0;
    return handles ? &backend_sinter_handles : &backend_sinter_cells;
}

/** Everything that is not the store is made first, so that it lies in the baseline. */
static bool
prepare(struct run *run, const struct subject *subject)
{
    const struct options *options = run->options;
    run->cache = cache_new(options->limit_bytes, entries_needed(options, run->plan), options->seed);
    if (!run->cache) {
        fprintf(stderr, "no memory for the cache's nodes\n");
        return false;
    }
    get_default_call_rcu_data(); /* starts call_rcu's thread */
    if (!start_workers(run))
        return false;
    run->baseline = resident_exact();
    return cache_open(run->cache, backend_of(subject, options), subject->compact);
}

bool
subject_run(const struct subject *subject, const struct options *options,
            const struct workload_plan *plan)
{
    static struct run run;
    run.options = options;
    run.plan = plan;
    rcu_register_thread();
    bool good = prepare(&run, subject);
    if (!good)
        return false; /* the process ends, threads and all */
    for (uint32_t phase = 0; good && phase < plan->phases; phase++)
        good = run_phase(&run, phase);
    if (good)
        good = run_idle(&run);
    end_workers(&run);
    if (!cache_close(run.cache))
        good = false;
    rcu_unregister_thread();
    return good && !flag(&run.failed);
}
