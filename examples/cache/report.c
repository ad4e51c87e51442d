/* SPDX-License-Identifier: MIT */
/*
 * report.c - lines and the table. See report.h.
 */
#include "report.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define LINE_SECONDS 5.0 /* between two progress lines where they cannot be rewritten in place */
#define FRAGMENTED   2.0 /* RSS/live without compaction from which on it has to make a difference */
#define LINE_BYTES   256
#define COLUMN       12
#define LABEL        40

static double
mib(uint64_t bytes)
{
    return (double)bytes / (1 << 20);
}

static double
ratio(double part, double whole)
{
    return whole > 0 ? part / whole : 0;
}

static uint64_t
operations(const struct record *row)
{
    return row->gets + row->cache.sets + row->bumps;
}

static const char *
row_name(const struct report *report, uint32_t row)
{
    return row < report->plan->phases ? workload_name(report->plan->phase[row]) : "idle";
}

/* ---- while it runs --------------------------------------------------------------------------- */

/** Appends to a line, cutting off what does not fit. */
__attribute__((format(printf, 2, 3))) static void
append(char *line, const char *format, ...)
{
    size_t used = strlen(line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, LINE_BYTES - used, format, arguments);
    va_end(arguments);
}

/** One line about the state in a record. */
static void
describe(const struct report *report, const struct record *record, char *line)
{
    const struct report_subject *subject = &report->subject[report->subjects - 1];
    *line = '\0';
    append(line, "%-10s %" PRIu32 "/%" PRIu32 " %-25.25s", subject->title, record->row + 1,
           report->plan->phases + 1, row_name(report, record->row));
    append(line, " live %.1f MiB, RSS %.1f MiB, RSS/live %.2f", mib(record->cache.payload_bytes),
           mib(record->rss_bytes),
           ratio((double)record->rss_bytes, (double)record->cache.payload_bytes));
    if (record->gets) {
        append(line, ", hits %.1f %%, %.2f M op/s",
               100 * ratio((double)record->hits, (double)record->gets),
               ratio((double)operations(record), record->seconds) / 1e6);
    }
    if (record->facts.known) {
        append(line, ", moved %.1f MiB, released %.1f MiB", mib(record->facts.moved_bytes),
               mib(record->facts.returned_bytes));
    }
}

/** Rewrites the terminal's last line, cut to its width. */
static void
show_in_place(const char *line)
{
    struct winsize window;
    int columns = 80;
    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1)
        columns = window.ws_col;
    printf("\r%.*s\033[K", columns - 1, line);
    fflush(stdout);
}

static void
show_progress(struct report *report, const struct record *record)
{
    char line[LINE_BYTES];
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    describe(report, record, line);
    if (report->tty) {
        show_in_place(line);
    } else if ((double)now.tv_sec - report->last_line >= LINE_SECONDS) {
        printf("  ... %s\n", line);
        fflush(stdout);
        report->last_line = (double)now.tv_sec;
    }
}

void
report_take(struct report *report, const struct record *record)
{
    struct report_subject *subject = &report->subject[report->subjects - 1];
    char line[LINE_BYTES];
    if (record->kind == RECORD_PROGRESS) {
        show_progress(report, record);
        return;
    }
    if (subject->rows < REPORT_ROWS_MAX)
        subject->row[subject->rows++] = *record;
    describe(report, record, line);
    printf("%s%s%s%s\n", report->tty ? "\r" : "", line, record->cut_short ? " *" : "",
           report->tty ? "\033[K" : "");
    fflush(stdout);
}

/* ---- the table ------------------------------------------------------------------------------- */

/** A figure of one subject: of one row, or summed over the rows. */
typedef double figure_fn(const struct report_subject *subject, uint32_t row);

static double
rss_per_live(const struct report_subject *subject, uint32_t row)
{
    const struct record *record = &subject->row[row];
    return ratio((double)record->rss_bytes, (double)record->cache.payload_bytes);
}

static double
highest(const struct report_subject *subject, uint32_t row)
{
    double peak = 0;
    (void)row;
    for (uint32_t i = 0; i < subject->rows; i++) {
        double here = subject->row[i].peak_ratio;
        peak = here > peak ? here : peak;
        here = rss_per_live(subject, i);
        peak = here > peak ? here : peak;
    }
    return peak;
}

/** Adds all rows up; the idle time makes no requests, so its seconds are left out. */
static struct record
total(const struct report_subject *subject)
{
    struct record sum = {.facts.known = subject->row[0].facts.known};
    for (uint32_t i = 0; i < subject->rows; i++) {
        const struct record *row = &subject->row[i];
        sum.seconds += row->kind == RECORD_PHASE ? row->seconds : 0;
        sum.gets += row->gets;
        sum.hits += row->hits;
        sum.bumps += row->bumps;
        sum.cache.sets += row->cache.sets;
        sum.cache.evictions += row->cache.evictions;
        sum.cache.verified += row->cache.verified;
        sum.cache.damaged += row->cache.damaged;
        sum.facts.moved_bytes += row->facts.moved_bytes;
        sum.facts.returned_bytes += row->facts.returned_bytes;
        sum.facts.compaction_ns += row->facts.compaction_ns;
    }
    return sum;
}

static double
million_per_second(const struct report_subject *subject, uint32_t row)
{
    const struct record sum = total(subject);
    (void)row;
    return ratio((double)operations(&sum), sum.seconds) / 1e6;
}

static double
hit_percent(const struct report_subject *subject, uint32_t row)
{
    const struct record sum = total(subject);
    (void)row;
    return 100 * ratio((double)sum.hits, (double)sum.gets);
}

static double
verified_millions(const struct report_subject *subject, uint32_t row)
{
    const struct record sum = total(subject);
    (void)row;
    return (double)(sum.hits + sum.cache.verified) / 1e6;
}

static double
damaged(const struct report_subject *subject, uint32_t row)
{
    (void)row;
    return (double)total(subject).cache.damaged;
}

static double
moved_mib(const struct report_subject *subject, uint32_t row)
{
    (void)row;
    return mib(total(subject).facts.moved_bytes);
}

static double
released_mib(const struct report_subject *subject, uint32_t row)
{
    (void)row;
    return mib(total(subject).facts.returned_bytes);
}

static double
compaction_seconds(const struct report_subject *subject, uint32_t row)
{
    (void)row;
    return (double)total(subject).facts.compaction_ns / 1e9;
}

/** One line of the table; "-" where a subject does not count that. */
static void
print_line(const struct report *report, const char *label, figure_fn *figure, uint32_t row,
           int digits, bool sinter_only)
{
    bool marked = false;
    printf("  %-*s", LABEL, label);
    for (uint32_t i = 0; i < report->subjects; i++) {
        const struct report_subject *subject = &report->subject[i];
        bool there = subject->rows > row && (!sinter_only || subject->row[0].facts.known);
        if (there)
            printf("%*.*f", COLUMN, digits, figure(subject, row));
        else
            printf("%*s", COLUMN, "-");
        marked |= figure == rss_per_live && there && subject->row[row].cut_short;
    }
    printf("%s\n", marked ? " *" : "");
}

static void
print_heading(const struct report *report, const char *label)
{
    printf("\n  %-*s", LABEL, label);
    for (uint32_t i = 0; i < report->subjects; i++)
        printf("%*s", COLUMN, report->subject[i].title);
    printf("\n");
}

static void
print_memory(const struct report *report)
{
    char label[LABEL + 1];
    printf("\nResident memory per byte of live payload (RSS/live): 1.00 would be no overhead at "
           "all.\n");
    print_heading(report, "after phase (mean value size)");
    for (uint32_t row = 0; row <= report->plan->phases; row++) {
        if (row < report->plan->phases)
            snprintf(label, sizeof(label), "%" PRIu32 " %s (%.0f B)", row + 1,
                     row_name(report, row), workload_mean_size(report->plan->phase[row]));
        else
            snprintf(label, sizeof(label), "idle");
        print_line(report, label, rss_per_live, row, 2, false);
    }
    print_line(report, "highest at any moment, cache full", highest, 0, 2, false);
}

static void
print_totals(const struct report *report)
{
    print_heading(report, "all phases together");
    print_line(report, "operations, million per second", million_per_second, 0, 2, false);
    print_line(report, "hit ratio, %", hit_percent, 0, 1, false);
    print_line(report, "values verified, million", verified_millions, 0, 1, false);
    print_line(report, "values found wrong", damaged, 0, 0, false);
    print_line(report, "moved by the defragmenter, MiB", moved_mib, 0, 1, true);
    print_line(report, "given back to the kernel, MiB", released_mib, 0, 1, true);
    print_line(report, "CPU time of compaction, s", compaction_seconds, 0, 2, true);
}

/** The row of the idle time; NULL if the subject did not get so far. */
static const struct record *
at_rest(const struct report *report, uint32_t i)
{
    const struct report_subject *subject = &report->subject[i];
    return subject->rows > report->plan->phases ? &subject->row[report->plan->phases] : NULL;
}

static void
print_conclusion(const struct report *report)
{
    printf("\nAt rest, the payload of %.0f MiB takes", mib(report->limit_bytes));
    for (uint32_t i = 0; i < report->subjects; i++) {
        if (at_rest(report, i))
            printf("%s %.0f MiB with %s", i ? "," : "", mib(at_rest(report, i)->rss_bytes),
                   report->subject[i].title);
    }
    printf(".\n");
}

static void
print_notes(const struct report *report)
{
    const struct record *first = &report->subject[0].row[0];
    printf(
        "\nThe cache holds %.0f MiB of payload (bytes of values as requested); more makes it "
        "evict.\n"
        "RSS counts from a baseline read before the store was made. The hash table's nodes and\n"
        "buckets, %.0f MiB, lie in that baseline and are the same for all. Freed values wait for\n"
        "an RCU grace period everywhere (malloc: by call_rcu). A Sinter object has a header of 8\n"
        "bytes, which weighs most where values are smallest.\n",
        mib(report->limit_bytes), mib(first->node_bytes));
    if (report->handles)
        printf(
            "Sinter's figures include its handle table, 8 bytes per object, which after a phase\n"
            "of small values stays as long as survivors lie scattered in it.\n");
    printf("off, on: Sinter's defragmenter. An asterisk: the phase ended by --seconds, before\n"
           "--turnover was reached.\n");
}

void
report_table(const struct report *report)
{
    print_memory(report);
    print_totals(report);
    print_conclusion(report);
    print_notes(report);
}

/** RSS/live at rest; 0 where it says little: a short rest, or a cache that is half empty. */
static double
telling_ratio(const struct report *report, uint32_t i)
{
    const struct record *rest = at_rest(report, i);
    if (!rest || rest->seconds < 1 || rest->cache.payload_bytes < report->limit_bytes / 2)
        return 0;
    return rss_per_live(&report->subject[i], report->plan->phases);
}

bool
report_compaction_helped(const struct report *report)
{
    double off = 0, on = 0;
    for (uint32_t i = 0; i < report->subjects; i++) {
        if (report->subject[i].sinter)
            *(report->subject[i].compact ? &on : &off) = telling_ratio(report, i);
    }
    if (off < FRAGMENTED || on == 0 || on < off)
        return true;
    fprintf(stderr, "Sinter: RSS/live %.2f at rest with compaction, %.2f without\n", on, off);
    return false;
}
