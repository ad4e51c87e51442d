/* SPDX-License-Identifier: MIT */
/*
 * report.h - what a subject's process tells the main process, and how that is shown: progress while
 * it runs, a line per phase, one table at the end. No measuring here.
 */
#ifndef CACHE_REPORT_H
#define CACHE_REPORT_H

#include "cache.h"
#include "workload.h"

#define REPORT_SUBJECTS_MAX 8
#define REPORT_ROWS_MAX     (WORKLOAD_PHASES_MAX + 1) /* and the idle time */

enum record_kind { RECORD_PROGRESS, RECORD_PHASE, RECORD_IDLE };

/** One message through the pipe: the state at a moment, and sums since the row's beginning. */
struct record {
    enum record_kind kind;
    uint32_t row;   /* number of the phase; that of the last one + 1 for the idle time */
    bool cut_short; /* the phase ended by time, not by the bytes written */
    double seconds;
    uint64_t rss_bytes; /* resident, less the baseline */
    double peak_ratio;  /* highest RSS/live of the row's samples with a full cache; 0: none */
    uint64_t gets, hits, bumps;
    struct cache_counters cache; /* sets, evictions ... of this row */
    struct backend_facts facts;  /* of this row */
    uint64_t node_bytes;         /* part of the baseline */
};

struct report_subject {
    const char *title;
    bool sinter, compact;
    uint32_t rows;
    struct record row[REPORT_ROWS_MAX];
};

struct report {
    const struct workload_plan *plan;
    uint64_t limit_bytes;
    bool handles; /* Sinter's objects are named by handles */
    bool tty;
    double last_line; /* when progress was last printed, seconds */
    uint32_t subjects;
    struct report_subject subject[REPORT_SUBJECTS_MAX];
};

/** Shows, and keeps, what the subject that was added last has sent. */
void report_take(struct report *report, const struct record *record);
/** The table, with its explanation. */
void report_table(const struct report *report);
/**
 * Whether compaction did its work: false, with a line on stderr, if at rest Sinter with it takes no
 * less than Sinter without, although there was something to gain.
 */
bool report_compaction_helped(const struct report *report);

#endif
