/* SPDX-License-Identifier: MIT */
/*
 * memory.c - reads the process's resident memory, samples its peak and records it; see memory.h.
 * Plain system calls: the allocator under test sees none of this.
 */
#include "memory.h"
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void *
memory_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (memory == MAP_FAILED)
        bench_fatal("%zu MiB for the benchmark's own tables: %s", bytes >> 20, strerror(errno));
    memset(memory, 0, bytes); /* MAP_POPULATE may stop early without saying so */
    return memory;
}

static size_t
read_proc(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? -1 : read(file, text, size - 1);
    if (got <= 0)
        bench_fatal("%s: %s", path, strerror(errno));
    close(file);
    text[got] = '\0';
    return (size_t)got;
}

/* The decimal number at or after `text`. */
static uint64_t
number_in(const char *text)
{
    uint64_t value = 0;
    text += strcspn(text, "0123456789");
    for (; *text >= '0' && *text <= '9'; text++)
        value = value * 10 + (uint64_t)(*text - '0');
    return value;
}

uint64_t
memory_resident(void)
{
    char text[4096];
    read_proc("/proc/self/smaps_rollup", text, sizeof(text));
    const char *line = strstr(text, "\nRss:");
    if (!line)
        bench_fatal("/proc/self/smaps_rollup has no line Rss");
    return number_in(line) * 1024;
}

uint64_t
memory_resident_quick(void)
{
    char text[256];
    read_proc("/proc/self/statm", text, sizeof(text));
    return number_in(text + strcspn(text, " ")) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- series ---------------------------------------------------------------------------------- */

struct series {
    const char *path; /* NULL: nothing is recorded */
    int file;
    uint64_t (*payload)(void *);
    void *arg;
    uint64_t start_ns;
    unsigned phase; /* 0: none has begun, and nothing is recorded */
};

static void write_line(const struct series *series, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* One write for each line: a few hundred a second, and no buffer that could be lost. */
static void
write_line(const struct series *series, const char *format, ...)
{
    char line[160];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    if (length < 0 || (size_t)length >= sizeof(line))
        bench_fatal("option --series: a line of %d bytes is too long", length);
    ssize_t written = write(series->file, line, (size_t)length);
    if (written != length)
        bench_fatal("option --series: cannot write \"%s\": %s", series->path,
                    written < 0 ? strerror(errno) : "no room for a whole line");
}

static void
open_series(struct series *series)
{
    series->file = open(series->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (series->file < 0)
        bench_fatal("option --series: cannot create \"%s\": %s", series->path, strerror(errno));
    series->start_ns = bench_now_ns();
    write_line(series, "# seconds resident_mib payload_mib phase\n");
}

static void
write_sample(const struct series *series, uint64_t own)
{
    write_line(series, "%.4f %.3f %.3f %u\n", (double)(bench_now_ns() - series->start_ns) * 1e-9,
               (double)own / (double)BENCH_MIB,
               (double)series->payload(series->arg) / (double)BENCH_MIB, series->phase);
}

static void
close_series(struct series *series)
{
    if (close(series->file) != 0)
        bench_fatal("option --series: cannot write \"%s\": %s", series->path, strerror(errno));
}

/* ---- sampler --------------------------------------------------------------------------------- */

struct sampler {
    /* constant */
    uint64_t baseline;
    uint64_t (*live)(void *);
    void *arg;
    uint64_t interval_ms;
    pthread_t thread;
    /* guarded by lock */
    pthread_mutex_t lock;
    struct sampler_peak peak;
    struct series series;
    bool stop;
};

static void
take_sample(struct sampler *sampler)
{
    uint64_t resident = memory_resident_quick();
    uint64_t live = sampler->live(sampler->arg);
    uint64_t own = resident > sampler->baseline ? resident - sampler->baseline : 0;
    double ratio = live ? (double)own / (double)live : 0;
    struct sampler_peak *peak = &sampler->peak;
    if (ratio > peak->ratio)
        peak->ratio = ratio;
    if (own > peak->resident)
        peak->resident = own;
    if (peak->samples == 0 || (int64_t)(own - live) > peak->excess)
        peak->excess = (int64_t)(own - live);
    peak->samples++;
    if (sampler->series.phase > 0)
        write_sample(&sampler->series, own);
}

/* Not registered with the flavour: it touches no object. */
static void *
sampler_main(void *arg)
{
    struct sampler *sampler = arg;
    struct timespec pause = {.tv_sec = (time_t)(sampler->interval_ms / 1000),
                             .tv_nsec = (long)(sampler->interval_ms % 1000) * 1000000L};
    pthread_mutex_lock(&sampler->lock);
    while (!sampler->stop) {
        take_sample(sampler);
        pthread_mutex_unlock(&sampler->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&sampler->lock);
    }
    pthread_mutex_unlock(&sampler->lock);
    return NULL;
}

/* In pages of its own, and with a stack that is not the allocator's. */
struct sampler *
sampler_start(uint64_t baseline, uint64_t (*live)(void *), void *arg, uint64_t interval_ms)
{
    struct sampler *sampler = memory_map(sizeof(*sampler));
    sampler->baseline = baseline;
    sampler->live = live;
    sampler->arg = arg;
    sampler->interval_ms = interval_ms;
    pthread_mutex_init(&sampler->lock, NULL);
    int error = pthread_create(&sampler->thread, NULL, sampler_main, sampler);
    if (error)
        bench_fatal("sampling thread: %s", strerror(error));
    return sampler;
}

struct sampler_peak
sampler_peak(struct sampler *sampler)
{
    pthread_mutex_lock(&sampler->lock);
    take_sample(sampler);
    struct sampler_peak peak = sampler->peak;
    pthread_mutex_unlock(&sampler->lock);
    return peak;
}

void
sampler_reset(struct sampler *sampler)
{
    pthread_mutex_lock(&sampler->lock);
    sampler->peak = (struct sampler_peak){0};
    pthread_mutex_unlock(&sampler->lock);
}

void
sampler_stop(struct sampler *sampler)
{
    pthread_mutex_lock(&sampler->lock);
    sampler->stop = true;
    pthread_mutex_unlock(&sampler->lock);
    pthread_join(sampler->thread, NULL);
    pthread_mutex_destroy(&sampler->lock);
    if (sampler->series.path)
        close_series(&sampler->series);
}

void
sampler_record(struct sampler *sampler, const char *path, uint64_t (*payload)(void *), void *arg)
{
    if (!path)
        return;
    pthread_mutex_lock(&sampler->lock);
    sampler->series = (struct series){.path = path, .payload = payload, .arg = arg};
    open_series(&sampler->series);
    pthread_mutex_unlock(&sampler->lock);
}

void
sampler_phase(struct sampler *sampler, const char *name)
{
    pthread_mutex_lock(&sampler->lock);
    if (sampler->series.path) {
        write_line(&sampler->series, "# phase %u: %s\n", ++sampler->series.phase, name);
        take_sample(sampler);
    }
    pthread_mutex_unlock(&sampler->lock);
}
