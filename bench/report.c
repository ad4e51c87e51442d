/* SPDX-License-Identifier: MIT */
/*
 * report.c - collects a run's metrics and prints them; see report.h. The JSON keeps to what
 * bench/table.awk reads: no nesting but the two lists, no quotes or braces inside strings.
 */
#include "report.h"
#include "bench.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define METRICS_MAX 160
#define NOTES_MAX   12
#define TEXT_MAX    400

static struct {
    const char *question;
    const char *title;
    const char *subject;
    char what[TEXT_MAX];
    struct report_metric metric[METRICS_MAX];
    unsigned metrics;
    char note[NOTES_MAX][TEXT_MAX];
    unsigned notes;
} report;

void
report_begin(const char *question, const char *title, const char *subject)
{
    report.question = question;
    report.title = title;
    report.subject = subject;
}

static void
format_text(char *text, const char *format, va_list args)
{
    int length = vsnprintf(text, TEXT_MAX, format, args);
    if (length < 0 || length >= TEXT_MAX)
        bench_fatal("text too long for the report: %s", text);
}

void
report_case(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    format_text(report.what, format, args);
    va_end(args);
}

void
report_note(const char *format, ...)
{
    if (report.notes == NOTES_MAX)
        bench_fatal("more than %d notes", NOTES_MAX);
    va_list args;
    va_start(args, format);
    format_text(report.note[report.notes++], format, args);
    va_end(args);
}

void
report_add(struct report_metric metric)
{
    if (report.metrics == METRICS_MAX)
        bench_fatal("more than %d metrics", METRICS_MAX);
    report.metric[report.metrics++] = metric;
}

void
report_value(const char *name, const char *unit, double value)
{
    report_add(metric_of(name, unit, REPORT_LOWER, value));
}

void
report_at_most(const char *name, const char *unit, double value, double floor, double target)
{
    struct report_metric metric = metric_of(name, unit, REPORT_LOWER, value);
    metric.floor = floor;
    metric.target = target;
    report_add(metric);
}

void
report_at_least(const char *name, const char *unit, double value, double target)
{
    struct report_metric metric = metric_of(name, unit, REPORT_HIGHER, value);
    metric.target = target;
    report_add(metric);
}

/* ---- table ----------------------------------------------------------------------------------- */

static const char *
verdict(const struct report_metric *m)
{
    if (isnan(m->target) || bench.smoke)
        return "";
    bool met = m->better == REPORT_LOWER ? m->value <= m->target : m->value >= m->target;
    return met ? "ok" : "MISSED";
}

/* Four significant digits, without an exponent for what people read. */
static void
format_number(char *text, size_t size, double value)
{
    double magnitude = fabs(value);
    int digits = magnitude >= 1000 ? 0 : magnitude >= 100 ? 1 : magnitude >= 10 ? 2 : 3;
    snprintf(text, size, "%.*f", digits, value);
}

static void
print_metric(const struct report_metric *m)
{
    const char *sign = m->better == REPORT_LOWER ? "<=" : ">=";
    char value[32], floor[32] = "", target[32] = "", number[24];
    format_number(value, sizeof(value), m->value);
    if (!isnan(m->floor))
        format_number(floor, sizeof(floor), m->floor);
    if (!isnan(m->target)) {
        format_number(number, sizeof(number), m->target);
        snprintf(target, sizeof(target), "%s %s", sign, number);
    }
    printf("  %-34s %10s %-13s %8s %11s %-6s", m->name, value, m->unit, floor, target, verdict(m));
    if (m->ratio_to)
        printf(" %s %.2f x %s%s%s", sign, m->ratio_target, m->ratio_to, m->ratio_metric ? ": " : "",
               m->ratio_metric ? m->ratio_metric : "");
    putchar('\n');
}

static void
print_table(void)
{
    printf("%s %s: %s, %s (seed %llu%s)\n", report.question, report.title, report.subject,
           report.what, (unsigned long long)bench.seed, bench.smoke ? ", smoke" : "");
    printf("  %-34s %10s %-13s %8s %11s %-6s\n", "metric", "value", "unit", "floor", "target", "");
    for (unsigned i = 0; i < report.metrics; i++)
        print_metric(&report.metric[i]);
    for (unsigned i = 0; i < report.notes; i++)
        printf("  note: %s\n", report.note[i]);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

/* Our own texts, and names given on the command line: the latter may hold anything. */
static void
print_string(const char *key, const char *text)
{
    printf("\"%s\":\"", key);
    for (; *text; text++) {
        if (strchr("\"\\{}", *text))
            putchar('_');
        else
            putchar((unsigned char)*text < ' ' ? ' ' : *text);
    }
    putchar('"');
}

static void
print_number(const char *key, double value)
{
    if (isfinite(value))
        printf(",\"%s\":%.6g", key, value);
}

static void
print_json_metric(const struct report_metric *m)
{
    putchar('{');
    print_string("name", m->name);
    putchar(',');
    print_string("unit", m->unit);
    print_number("value", m->value);
    print_number("floor", m->floor);
    printf(",\"better\":\"%s\"", m->better == REPORT_LOWER ? "lower" : "higher");
    print_number("target", m->target);
    if (m->ratio_to) {
        putchar(',');
        print_string("ratio_to", m->ratio_to);
        putchar(',');
        print_string("ratio_metric", m->ratio_metric ? m->ratio_metric : m->name);
        print_number("ratio_target", m->ratio_target);
    }
    putchar('}');
}

static void
print_json(void)
{
    putchar('{');
    print_string("question", report.question);
    putchar(',');
    print_string("title", report.title);
    putchar(',');
    print_string("subject", report.subject);
    putchar(',');
    print_string("case", report.what);
    printf(",\"seed\":%llu,\"smoke\":%s,\"metrics\":[", (unsigned long long)bench.seed,
           bench.smoke ? "true" : "false");
    for (unsigned i = 0; i < report.metrics; i++) {
        if (i > 0)
            putchar(',');
        print_json_metric(&report.metric[i]);
    }
    printf("],\"notes\":[");
    for (unsigned i = 0; i < report.notes; i++) {
        printf(i > 0 ? ",{" : "{");
        print_string("note", report.note[i]);
        putchar('}');
    }
    printf("]}\n");
}

void
report_end(void)
{
    if (bench.json)
        print_json();
    else
        print_table();
    if (fflush(stdout) != 0)
        bench_fatal("cannot write the results");
}
