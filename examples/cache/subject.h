/* SPDX-License-Identifier: MIT */
/*
 * subject.h - one run of the cache over one backend, in a process that does nothing else.
 */
#ifndef CACHE_SUBJECT_H
#define CACHE_SUBJECT_H

#include "options.h"
#include "workload.h"

/** One of the things compared. */
struct subject {
    const char *name;  /* as in --subjects */
    const char *title; /* as in the table */
    bool preload;      /* runs with jemalloc preloaded */
    bool sinter;
    bool compact;
};

/**
 * Runs the plan and writes records (report.h) to options->report_fd. False, with lines on stderr,
 * if a value was wrong or anything else failed.
 */
bool subject_run(const struct subject *subject, const struct options *options,
                 const struct workload_plan *plan);

#endif
