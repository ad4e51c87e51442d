/* SPDX-License-Identifier: MIT */
/* stats.c - sinter doctor and sinter diff: what the library says of statistics in files. */
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

/* ---- diff ------------------------------------------------------------------------------------ */

static void
print_text(void *opaque, const char *text, size_t length)
{
    fwrite(text, 1, length, opaque);
}

struct change {
    const struct handle_class_stats *old, *new;
    int64_t bytes;
};

static int
by_change(const void *a, const void *b)
{
    int64_t x = llabs(((const struct change *)a)->bytes);
    int64_t y = llabs(((const struct change *)b)->bytes);
    return (x < y) - (x > y);
}

/* The class of a file for objects up to so many bytes; one without spans where it has none. */
static const struct handle_class_stats *
class_of(const struct stats_file *file, uint64_t object_bytes)
{
    static const struct handle_class_stats none;
    for (uint32_t i = 0; i < file->classes; i++)
        if (file->of[i].object_bytes == object_bytes)
            return &file->of[i];
    return &none;
}

static struct change
change_of(const struct handle_class_stats *old, const struct handle_class_stats *new)
{
    int64_t bytes =
        (int64_t)(new->spans *new->span_bytes) - (int64_t)(old->spans * old->span_bytes);
    return (struct change){old, new, bytes};
}

static void
print_change(const struct change *change)
{
    const struct handle_class_stats *some = change->new->span_slots ? change->new : change->old;
    printf("  objects to %6llu bytes: spans %llu -> %llu, %s%s; live %llu -> %llu\n",
           (unsigned long long)some->object_bytes, (unsigned long long)change->old->spans,
           (unsigned long long)change->new->spans, change->bytes < 0 ? "-" : "+",
           text_of_bytes((uint64_t)llabs(change->bytes)), (unsigned long long)change->old->live,
           (unsigned long long)change->new->live);
}

/* The classes whose spans have changed most. */
static void
print_classes(const struct stats_file *before, const struct stats_file *after)
{
    enum { SHOWN = 10 };
    static struct change changes[2 * HANDLE_CLASSES_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < after->classes; i++)
        changes[count++] = change_of(class_of(before, after->of[i].object_bytes), &after->of[i]);
    for (uint32_t i = 0; i < before->classes; i++)
        if (class_of(after, before->of[i].object_bytes)->span_slots == 0)
            changes[count++] =
                change_of(&before->of[i], class_of(after, before->of[i].object_bytes));
    qsort(changes, count, sizeof(changes[0]), by_change);
    for (size_t i = 0; i < count && i < SHOWN && changes[i].bytes != 0; i++)
        print_change(&changes[i]);
}

int
command_diff(int argc, char **argv)
{
    bool json = false;
    const struct option_value options[] = {{"--json", NULL, NULL, &json}, {0}};
    if (!take_options(&argc, argv, options))
        return 2;
    if (argc != 2)
        return misused("diff: two files of statistics are needed");
    struct stats_file *before = read_stats(argv[0]);
    struct stats_file *after = before ? read_stats(argv[1]) : NULL;
    if (after)
        (void)handle_stats_diff(&before->stats, &after->stats,
                                json ? HANDLE_STATS_JSON : HANDLE_STATS_TEXT, print_text, stdout);
    if (after && !json)
        print_classes(before, after);
    int status = after ? 0 : 1;
    free(before);
    free(after);
    return status;
}
