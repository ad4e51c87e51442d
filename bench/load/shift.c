/* SPDX-License-Identifier: MIT */
/*
 * shift.c - see shift.h.
 */
#include "shift.h"
#include "fresh.h"
#include "latency.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 50u
#define PROBE_NS    1000000
#define SAMPLE_NS   UINT64_C(20000000)

const char *const shift_names[SHIFT_PHASES] = {"240-256", "272-288", "16-64", "640"};
static const struct value_range ranges[SHIFT_PHASES] = {
    {240, 256}, {272, 288}, {16, 64}, {640, 640}};

/* ---- the prober, which samples, too ---------------------------------------------------------- */

struct prober {
    pthread_t thread;
    int fd;
    const struct process *process;
    atomic_bool over;
    pthread_mutex_t lock; /* of what follows */
    struct latency waits;
    uint64_t highest; /* resident, since it was asked last */
    uint64_t samples;
};

/* One get of a key that is not there; false: the connection is lost. */
static bool
ask(const struct prober *prober)
{
    const char *request = prober->process->protocol == WIRE_RESP
                              ? "*2\r\n$3\r\nGET\r\n$6\r\nabsent\r\n"
                              : "get absent\r\n";
    char reply[64];
    size_t size = strlen(request);
    if (send(prober->fd, request, size, MSG_NOSIGNAL) != (ssize_t)size)
        return false;
    ssize_t got;
    do
        got = recv(prober->fd, reply, sizeof(reply), 0);
    while (got > 0 && reply[got - 1] != '\n');
    return got > 0;
}

static void
sample(struct prober *prober)
{
    uint64_t resident = process_resident(prober->process);
    pthread_mutex_lock(&prober->lock);
    prober->highest = resident > prober->highest ? resident : prober->highest;
    prober->samples++;
    pthread_mutex_unlock(&prober->lock);
}

static void *
probe(void *arg)
{
    struct prober *prober = arg;
    const struct timespec pause = {.tv_nsec = PROBE_NS};
    uint64_t sampled = 0;
    while (!atomic_load(&prober->over)) {
        uint64_t begin = engine_now_ns();
        if (!ask(prober))
            break;
        uint64_t end = engine_now_ns();
        pthread_mutex_lock(&prober->lock);
        latency_add(&prober->waits, end - begin);
        pthread_mutex_unlock(&prober->lock);
        if (end - sampled >= SAMPLE_NS) {
            sampled = end;
            sample(prober);
        }
        nanosleep(&pause, NULL);
    }
    return NULL;
}

static bool
prober_start(struct prober *prober, const struct process *process)
{
    memset(prober, 0, sizeof(*prober));
    prober->process = process;
    pthread_mutex_init(&prober->lock, NULL);
    prober->fd = engine_dial(&process->address);
    return prober->fd >= 0 && pthread_create(&prober->thread, NULL, probe, prober) == 0;
}

static void
prober_stop(struct prober *prober)
{
    atomic_store(&prober->over, true);
    pthread_join(prober->thread, NULL);
    close(prober->fd);
}

static double
take_highest(struct prober *prober)
{
    sample(prober);
    pthread_mutex_lock(&prober->lock);
    double highest = (double)prober->highest;
    prober->highest = 0;
    pthread_mutex_unlock(&prober->lock);
    return highest;
}

static void
take_waits(struct prober *prober, struct shift_phase *phase)
{
    pthread_mutex_lock(&prober->lock);
    if (phase) {
        phase->wait_tail_us = latency_quantile(&prober->waits, 0.999) * 1e-3;
        phase->wait_longest_us = (double)prober->waits.max_ns * 1e-3;
    }
    memset(&prober->waits, 0, sizeof(prober->waits));
    pthread_mutex_unlock(&prober->lock);
}

/* ---- a phase --------------------------------------------------------------------------------- */

struct run {
    const struct shift_options *options;
    struct process process;
    struct prober prober;
    struct fresh fresh;
    const char *failure;
};

static double
limit_of(const struct run *run)
{
    return (double)run->options->server.limit_mib * 1048576;
}

static bool
read_newest(struct run *run, uint64_t reads, double *share)
{
    uint64_t first = fresh_newest(&run->fresh, (uint64_t)(limit_of(run) / 2));
    uint64_t end = run->fresh.part[run->fresh.parts - 1].end;
    return fresh_read(&run->fresh, first, end, reads, share, &run->failure);
}

static bool
run_step(struct run *run, struct shift_phase *phase, unsigned step)
{
    uint64_t bytes = (uint64_t)(limit_of(run) * run->options->turns / SHIFT_STEPS);
    uint64_t began = engine_now_ns(), cpu = process_cpu_ns(&run->process);
    const struct fresh_part *part = &run->fresh.part[run->fresh.parts - 1];
    uint64_t first = part->end;
    if (!fresh_write(&run->fresh, 0, bytes, &run->failure))
        return false;
    phase->seconds += (double)(engine_now_ns() - began) * 1e-9;
    phase->cpu_seconds += (double)(process_cpu_ns(&run->process) - cpu) * 1e-9;
    if (run->options->read_once && !fresh_read_each(&run->fresh, first, part->end, &run->failure))
        return false;
    if (!read_newest(run, run->options->reads / 50, &phase->step[step].newest))
        return false;
    phase->step[step].resident = take_highest(&run->prober);
    if (phase->step[step].resident > phase->highest)
        phase->highest = phase->step[step].resident;
    return true;
}

static bool
run_phase(struct run *run, unsigned number, struct shift_phase *phase)
{
    uint64_t refused = run->fresh.refused;
    fresh_begin(&run->fresh, number);
    take_waits(&run->prober, NULL);
    for (unsigned step = 0; step < SHIFT_STEPS; step++) {
        if (run->options->progress)
            run->options->progress(run->options, number, step);
        if (!run_step(run, phase, step))
            return false;
    }
    take_waits(&run->prober, phase);
    const struct fresh_part *part = &run->fresh.part[number];
    phase->written = part->end - part->first;
    phase->refused = run->fresh.refused - refused;
    phase->resident = (double)process_resident(&run->process);
    return read_newest(run, run->options->reads, &phase->newest) &&
           fresh_held(&run->fresh, run->options->reads, &phase->held, &run->failure);
}

static void
rest(struct run *run, struct shift_result *result)
{
    uint64_t ms = run->options->rest_ms;
    struct timespec time = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&time, NULL);
    result->rest_resident = (double)process_resident(&run->process);
}

static void
run_phases(struct run *run, struct shift_result *result)
{
    bool good = true;
    for (unsigned i = 0; i < SHIFT_PHASES && good; i++)
        good = run_phase(run, i, &result->phase[i]);
    if (good)
        rest(run, result);
    result->wrong = run->fresh.wrong;
}

static const char *
run_connected(struct run *run, struct shift_result *result)
{
    struct engine_options engine = {.address = run->process.address,
                                    .protocol = run->process.protocol,
                                    .prefix = "c1:",
                                    .connections = CONNECTIONS,
                                    .depth = run->options->depth};
    run->fresh.engine = engine_open(&engine);
    if (!run->fresh.engine)
        return strerror(errno);
    if (prober_start(&run->prober, &run->process)) {
        run_phases(run, result);
        prober_stop(&run->prober);
        result->samples = run->prober.samples;
    } else {
        run->failure = "no thread";
    }
    engine_close(run->fresh.engine);
    return run->failure;
}

const char *
shift_run(const struct shift_options *options, struct shift_result *result)
{
    static struct run run;
    memset(&run, 0, sizeof(run));
    memset(result, 0, sizeof(*result));
    run.options = options;
    run.fresh.random = options->seed;
    value_seed = options->seed;
    memcpy(value_ranges, ranges, sizeof(ranges));
    if (!process_start(&run.process, &options->server))
        return "it did not start";
    const char *failure = run_connected(&run, result);
    process_end(&run.process);
    return failure;
}
