/* SPDX-License-Identifier: MIT */
/*
 * bench.h - what every benchmark program shares: command-line options, random numbers, clocks,
 * messages, teams of threads. It knows nothing of allocators (subject.h) or results (report.h).
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#define BENCH_COUNTOF(array) (sizeof(array) / sizeof((array)[0]))
#define BENCH_MIB            (UINT64_C(1) << 20)
#define BENCH_SETS_MAX       32

/* Names and texts made of a macro's value: where one source is compiled for several subjects. */
#define BENCH_JOINED(prefix, name) prefix##_##name
#define BENCH_JOIN(prefix, name)   BENCH_JOINED(prefix, name)
#define BENCH_TEXT_OF(name)        #name
#define BENCH_TEXT(name)           BENCH_TEXT_OF(name)

/* ---- settings and options -------------------------------------------------------------------- */

/** What the options common to all programs were set to. Written by bench_parse only. */
struct bench_settings {
    const char *program; /* last part of argv[0] */
    bool smoke;          /* small sizes, no verdicts */
    bool json;           /* one JSON line instead of a table */
    bool hardened;       /* the store is made with the option hardened */
    bool stats;          /* the store's statistics on stderr at the end */
    const char *doctor;  /* what handle_stats_doctor must find then: codes with commas; NULL: any */
    uint64_t seed;
    const char *set[BENCH_SETS_MAX]; /* NAME=VALUE for handle_store_set */
    unsigned sets;
};
extern struct bench_settings bench;

enum bench_kind {
    BENCH_COUNT,  /* a decimal number from min to max */
    BENCH_CHOICE, /* one of the words in `unit`, separated by |; the value is its position */
    BENCH_TEXT,   /* any text; the value is a const char * */
};

struct bench_option {
    const char *name; /* without the dashes */
    enum bench_kind kind;
    void *value;      /* uint64_t *, or const char ** for BENCH_TEXT */
    const char *unit; /* of a count; or the choices */
    uint64_t min, max;
    uint64_t full, smoke; /* defaults, without and with --smoke; unused for BENCH_TEXT */
    const char *help;
};

/**
 * Reads the command line: the common options and those of the table. Prints help and exits with 0
 * for --help; exits with 2 and a message naming option, value and range for anything wrong.
 */
void bench_parse(int argc, char **argv, const char *about, const struct bench_option *options,
                 size_t count);

/* ---- messages -------------------------------------------------------------------------------- */

/** Ends the program with status 1: a benchmark whose contents or calls are wrong has no result. */
void bench_fatal(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/** A line on stderr about how far the run is. */
void bench_progress(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* ---- children -------------------------------------------------------------------------------- */

/**
 * Runs part `which` in a process of its own, so that parts do not inherit each other's memory, and
 * copies what it left in *result (size bytes). Call it before any thread or store exists; the child
 * is a registered thread when run is called. A part that fails ends the program.
 */
void bench_in_child(void (*run)(unsigned which, void *result), unsigned which, void *result,
                    size_t size);

/* ---- clocks ---------------------------------------------------------------------------------- */

static inline uint64_t
bench_clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static inline uint64_t
bench_now_ns(void)
{
    return bench_clock_ns(CLOCK_MONOTONIC);
}

/** Processor time of the calling thread: what a busy machine does not add to. */
static inline uint64_t
bench_cpu_ns(void)
{
    return bench_clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

/** Sleeps; the caller is offline meanwhile if it is a registered thread. */
void bench_sleep_ms(uint64_t ms);

/* ---- random numbers -------------------------------------------------------------------------- */

/** A splitmix64 stream: good enough for choosing victims and sizes, and a few cycles a number. */
struct rng {
    uint64_t state;
};

static inline uint64_t
bench_mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
    return x ^ (x >> 31);
}

static inline uint64_t
rng_next(struct rng *rng)
{
    rng->state += UINT64_C(0x9e3779b97f4a7c15);
    return bench_mix(rng->state);
}

/** Uniform below n, n from 1 to 2^32 - 1 (bias below n / 2^32). */
static inline uint32_t
rng_below(struct rng *rng, uint32_t n)
{
    return (uint32_t)(((rng_next(rng) >> 32) * n) >> 32);
}

/** Uniform in low to high, both included. */
static inline uint32_t
rng_between(struct rng *rng, uint32_t low, uint32_t high)
{
    return low + rng_below(rng, high - low + 1);
}

/** A stream of its own for thread or part `which` of the run. */
static inline struct rng
rng_stream(uint64_t which)
{
    return (struct rng){bench_mix(bench.seed * UINT64_C(0x2545f4914f6cdd1d) + which)};
}

/* ---- teams of threads ------------------------------------------------------------------------ */

/**
 * A team runs one function at a time in all its threads. With one member that is the caller's own
 * thread. Threads are made once, are registered with the flavour, and sleep offline between runs,
 * so that their caches and stacks live as long as those of a server's threads.
 */
struct team;

/** members: 1 to 1024. own_threads: even a single member gets a thread of its own. */
struct team *team_start(unsigned members, bool own_threads);

/** Runs fn(arg, member) in every member; returns when all have returned. */
void team_run(struct team *team, void (*fn)(void *arg, unsigned member), void *arg);

/** team_run in two halves: the caller does something else between. Not for a team of the caller. */
void team_begin(struct team *team, void (*fn)(void *arg, unsigned member), void *arg);
void team_wait(struct team *team);

void team_stop(struct team *team);

#endif
