/* SPDX-License-Identifier: MIT */
/*
 * report.h - results of one benchmark run: metrics with their computed floor and target, printed as
 * a table, or with --json as one line of JSON for bench/run.sh. It judges absolute targets; ratios
 * to a peer are judged by run.sh, which has the peer's run beside it.
 */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include <math.h>

enum report_better { REPORT_LOWER, REPORT_HIGHER };

/** Absent numbers are NAN. Strings are static. */
struct report_metric {
    const char *name;
    const char *unit;
    double value;
    double floor;              /* the least that is possible, perfectly packed */
    enum report_better better; /* the sense of both targets */
    double target;
    const char *ratio_to;     /* subject (or "best peer") that ratio_target refers to; NULL: none */
    const char *ratio_metric; /* its metric; NULL: the one of the same name */
    double ratio_target;
};

/** A metric without floor or targets; set the members that apply. */
static inline struct report_metric
metric_of(const char *name, const char *unit, enum report_better better, double value)
{
    return (struct report_metric){.name = name,
                                  .unit = unit,
                                  .value = value,
                                  .floor = NAN,
                                  .better = better,
                                  .target = NAN,
                                  .ratio_target = NAN};
}

/** question: "T1"; title: a few words; subject: whose run this is. */
void report_begin(const char *question, const char *title, const char *subject);

/** What sets this run apart from others of the same question: threads, frees, sizes. */
void report_case(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** A sentence that a reader of the figures needs. */
void report_note(const char *format, ...) __attribute__((format(printf, 1, 2)));

void report_add(struct report_metric metric);

/** Short forms of report_add. */
void report_value(const char *name, const char *unit, double value);
void report_at_most(const char *name, const char *unit, double value, double floor, double target);
void report_at_least(const char *name, const char *unit, double value, double target);

/** Prints everything. */
void report_end(void);

#endif
