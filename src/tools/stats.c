/* SPDX-License-Identifier: MIT */
/* stats.c - sinter doctor: what the library's rules say of statistics in a file, or of the stores
 * of a process or core, which are read from outside. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "tools/stats_file.h"
#include "tools/vitals.h"

/* ---- doctor ---------------------------------------------------------------------------------- */

struct report {
    bool json, any;
    bool apart;        /* as text: an empty line is due */
    const char *store; /* NULL: of a file */
};

static void
print_finding(void *opaque, const struct handle_finding *f)
{
    static const char *const severities[] = {"note", "warn", "act"};
    struct report *report = opaque;
    const char *severity = severities[f->severity];
    if (report->json) {
        printf("%s\n {", report->any ? "," : "[");
        if (report->store)
            printf("\"store\":\"%s\",", report->store);
        printf("\"code\":\"%s\",\"severity\":\"%s\",\"bytes\":%llu,\"text\":\"%s\","
               "\"remedy\":\"%s\"",
               f->code, severity, (unsigned long long)f->bytes, f->text, f->remedy);
        if (f->option)
            printf(",\"option\":\"%s\"", f->option);
        fputs("}", stdout);
    } else {
        printf("%s%s: %s, %s\n  %s\n  %s\n", report->apart ? "\n" : "", severity, f->code,
               text_of_bytes(f->bytes), f->text, f->remedy);
        if (f->option && f->value)
            printf("  handle_store_set(store, \"%s\", \"%s\")\n", f->option, f->value);
    }
    report->any = report->apart = true;
}

static void
print_dense(const struct handle_stats *stats)
{
    printf("nothing to do: %s asked for, %s committed (%.2f times)\n",
           text_of_bytes(stats->requested), text_of_bytes(stats->committed),
           stats->requested ? (double)stats->committed / (double)stats->requested : 0);
}

/* A file of statistics, or -. */
static int
doctor_of_file(const char *path, struct report *report)
{
    struct stats_file *stats = read_stats(path);
    if (!stats)
        return 1;
    (void)handle_stats_doctor(&stats->stats, print_finding, report);
    if (!report->json && !report->any)
        print_dense(&stats->stats);
    free(stats);
    return 0;
}

/* One store of a process or core. */
static void
print_findings(const struct sn_evidence *evidence, const struct reader_store *store,
               struct report *report)
{
    report->store = store->name;
    if (!report->json)
        printf("%sstore %s:\n", report->apart ? "\n" : "", store->name);
    report->apart = false;
    if (sn_doctor(evidence, print_finding, report) == 0 && !report->json)
        print_dense(&evidence->stats);
    report->apart = true;
}

static bool
ask_stores(struct reader *reader, const char *name, struct report *report, const char **error)
{
    static struct reader_store store;
    struct sn_evidence evidence;
    struct vitals *vitals = NULL;
    bool found =
        vitals_open(reader, &vitals, error) &&
        (name ? reader_find(reader, name, &store, error) : reader_first(reader, &store, error));
    while (found && vitals_read(vitals, &store, &evidence, error)) {
        print_findings(&evidence, &store, report);
        found = !name && reader_next(reader, &store, error);
    }
    vitals_close(vitals);
    return !*error;
}

static int
doctor_of_target(const char *target, const char *name, struct report *report)
{
    const char *error = NULL;
    struct reader *reader = reader_open(target, &error);
    bool good = reader && ask_stores(reader, name, report, &error);
    if (good && !report->store)
        good = (error = "it has no store now", false);
    if (good && !report->json && !reader_is_live(reader))
        puts("(of a core: what is resident, swapped, in huge pages, or limited by a control group "
             "is not known)");
    reader_close(reader);
    return good ? 0 : say("%s", error);
}

/* Neither -, nor a file of text, nor a pipe, of which a look would take a part. */
static bool
is_target(const char *path)
{
    struct stat status;
    bool exists = stat(path, &status) == 0;
    if (strcmp(path, "-") == 0 || (exists && !S_ISREG(status.st_mode)))
        return false;
    FILE *file = fopen(path, "r");
    int begin = file ? getc(file) : 0x7f;
    if (file)
        fclose(file);
    return begin == 0x7f;
}

int
command_doctor(int argc, char **argv)
{
    struct report report = {0};
    const char *name = NULL;
    const struct option_value options[] = {
        {"--store", NULL, &name, NULL}, {"--json", NULL, NULL, &report.json}, {0}};
    if (!take_options(&argc, argv, options))
        return 2;
    if (argc != 1)
        return misused("doctor: one process, core, or file of statistics is needed (-: standard "
                       "input)");
    bool target = is_target(argv[0]);
    if (name && !target)
        return misused("doctor: a file of statistics is of one store: no --store");
    int status =
        target ? doctor_of_target(argv[0], name, &report) : doctor_of_file(argv[0], &report);
    if (report.json && (report.any || status == 0))
        puts(report.any ? "\n]" : "[]");
    return status;
}
