/* SPDX-License-Identifier: MIT */
/* stats.c - sinter doctor: what the library says of statistics in a file. */
#include <stdlib.h>

#include "tools/stats_file.h"

/* ---- doctor ---------------------------------------------------------------------------------- */

struct report {
    bool json, any;
};

static void
print_finding(void *opaque, const struct handle_finding *f)
{
    static const char *const severities[] = {"note", "warn", "act"};
    struct report *report = opaque;
    const char *severity = severities[f->severity];
    if (report->json) {
        printf("%s\n {\"code\":\"%s\",\"severity\":\"%s\",\"bytes\":%llu,\"text\":\"%s\","
               "\"remedy\":\"%s\"",
               report->any ? "," : "[", f->code, severity, (unsigned long long)f->bytes, f->text,
               f->remedy);
        if (f->option)
            printf(",\"option\":\"%s\"", f->option);
        fputs("}", stdout);
    } else {
        printf("%s%s: %s, %s\n  %s\n  %s\n", report->any ? "\n" : "", severity, f->code,
               text_of_bytes(f->bytes), f->text, f->remedy);
        if (f->option && f->value)
            printf("  handle_store_set(store, \"%s\", \"%s\")\n", f->option, f->value);
    }
    report->any = true;
}

static void
print_dense(const struct handle_stats *stats)
{
    printf("nothing to do: %s asked for, %s committed (%.2f times)\n",
           text_of_bytes(stats->requested), text_of_bytes(stats->committed),
           stats->requested ? (double)stats->committed / (double)stats->requested : 0);
}

int
command_doctor(int argc, char **argv)
{
    struct report report = {0};
    const struct option_value options[] = {{"--json", NULL, NULL, &report.json}, {0}};
    if (!take_options(&argc, argv, options))
        return 2;
    if (argc != 1)
        return misused("doctor: one file of statistics is needed, or - for standard input");
    struct stats_file *stats = read_stats(argv[0]);
    if (!stats)
        return 1;
    (void)handle_stats_doctor(&stats->stats, print_finding, &report);
    if (report.json)
        puts(report.any ? "\n]" : "[]");
    else if (!report.any)
        print_dense(&stats->stats);
    free(stats);
    return 0;
}
