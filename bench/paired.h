/* SPDX-License-Identifier: MIT */
/*
 * paired.h - the loops that a peer and Sinter run in one process, in turn; see paired.c. Each is
 * compiled for malloc, handles and cells (paired_loops.c); all that an operation needs lies in the
 * state of its subject.
 */
#ifndef BENCH_PAIRED_H
#define BENCH_PAIRED_H

#include "loops.h"
#include "medium.h"

#define PAIRED_PHASES 5 /* of T1 */

/** What a loop is told. Numbers that it does not need are 0. */
struct paired_task {
    size_t size;
    unsigned held;  /* objects at a time */
    uint32_t count; /* objects in a table, or T1's phase */
    uint64_t operations;
};

/** One subject. Each function is called by the main thread only. */
struct paired_subject {
    const char *name;
    void (*pair)(const struct paired_task *task);    /* S1 */
    void (*burst)(const struct paired_task *task);   /* S1b */
    void (*fill)(const struct paired_task *task);    /* a table, of count and size, for S3 */
    void (*replace)(const struct paired_task *task); /* S3 */
    void (*drop)(const struct paired_task *task);    /* the table's objects */
    void (*held)(const struct paired_task *task);    /* S10 */
    void (*mixed)(const struct paired_task *task);   /* S10 */
    /** T1: a cache of count MiB; operations in a phase, of which the count is given; its end. */
    void (*shift_open)(const struct paired_task *task);
    void (*shift)(const struct paired_task *task);
    void (*shift_keep)(const struct paired_task *task);
    void (*shift_close)(const struct paired_task *task);
};

extern const struct paired_subject paired_malloc, paired_handle, paired_cell;

/** The mixture's sizes, drawn once for all subjects. */
extern uint32_t paired_sizes[LOOP_SIZES];

/** T1's sizes in each phase, both included, and how often the limit is written. */
struct paired_phase {
    uint32_t low, high;
    unsigned writes;
};
extern const struct paired_phase paired_phase[PAIRED_PHASES];

#endif
