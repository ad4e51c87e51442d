/* SPDX-License-Identifier: MIT */
/*
 * shift.h - the main question, asked of one server through sockets: sizes of values shift, and new
 * keys are written in turn. Does the process stay within its limit? Are the keys there that were
 * written last? How much of its memory is keys and values? How long does a single request wait
 * meanwhile?
 *
 * In each phase three times the limit is written, of one range of sizes, over 50 connections.
 * Either nobody reads, or every key is read once soon after it is written. Beside that, keys of the
 * newest half of the limit are read in between, and keys of all ranges at the end of a phase: so
 * few that it makes no difference which of the items are in use. A thread of its own asks for one
 * absent key every millisecond, and looks at the resident memory every 20.
 */
#ifndef BENCH_LOAD_SHIFT_H
#define BENCH_LOAD_SHIFT_H

#include "process.h"

#define SHIFT_PHASES 4u
#define SHIFT_STEPS  20u /* a point of the series each */

struct shift_step {
    double resident; /* the highest since the step before, bytes */
    double newest;   /* share of the newest keys that were there, 0 to 1 */
};

struct shift_phase {
    double resident, highest; /* bytes: at the end; at any moment */
    double held;              /* bytes of keys and values that are there at the end */
    double newest;            /* share of the newest keys, at the end */
    double seconds, cpu_seconds;
    double wait_tail_us, wait_longest_us; /* of single requests, 99.9th percentile and all */
    uint64_t written, refused;
    struct shift_step step[SHIFT_STEPS];
};

struct shift_result {
    struct shift_phase phase[SHIFT_PHASES];
    double rest_resident; /* some seconds later, nothing done meanwhile */
    uint64_t wrong, samples;
};

struct shift_options {
    struct process_options server;
    double turns;     /* limits written in a phase */
    unsigned rest_ms; /* before rest_resident */
    bool read_once;   /* every key, after it is written */
    uint64_t reads;   /* for each range at the end of a phase; at each step a fiftieth of it */
    unsigned depth;   /* requests in flight on each of 50 connections */
    uint64_t seed;
    void (*progress)(const struct shift_options *options, unsigned phase, unsigned step);
};

/** The phases' names: ranges of sizes in bytes. */
extern const char *const shift_names[SHIFT_PHASES];

/** NULL: it ran; else why not. One at a time. */
const char *shift_run(const struct shift_options *options, struct shift_result *result);

#endif
