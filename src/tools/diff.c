/* SPDX-License-Identifier: MIT */
/*
 * diff.c - sinter diff: what has changed between two files of statistics, all figures of them; or
 * between a baseline and a process or core, or two of these, the steps of the memory breakdown. A
 * baseline is what `sinter stores --json` has written, or statistics.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/stats_file.h"

/* ---- statistics ------------------------------------------------------------------------------ */

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

static int
diff_stats(const char *old, const char *new, bool json)
{
    struct stats_file *before = read_stats(old);
    struct stats_file *after = before ? read_stats(new) : NULL;
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

/* ---- a process or core ----------------------------------------------------------------------- */

#define STEP(name)                                                                                 \
    {                                                                                              \
#name, offsetof(struct sn_map_sums, name)                                                  \
    }
static const struct step {
    const char *name;
    size_t at;
} steps[] = {STEP(objects), STEP(objects_large), STEP(requested), STEP(rounding),
             STEP(header),  STEP(free_slot),     STEP(waiting),   STEP(empty_span),
             STEP(table),   STEP(metadata),      STEP(committed)};
#define STEPS        (sizeof(steps) / sizeof(steps[0]))
#define FIRST_MEMORY 2 /* of them; the last is their sum */

static uint64_t *
step_of(struct sn_map_sums *sums, size_t i)
{
    return (uint64_t *)(void *)((char *)sums + steps[i].at);
}

enum kind { STATISTICS, STORES, TARGET };

static enum kind
kind_of(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? NULL : fopen(path, "r");
    int begin = file ? getc(file) : strcmp(path, "-") == 0 ? '{' : EOF;
    if (file)
        fclose(file);
    return begin == '{' ? STATISTICS : begin == '[' ? STORES : TARGET;
}

static bool
read_statistics(const char *path, struct sn_map_sums *sums)
{
    struct stats_file *file = read_stats(path);
    if (!file)
        return false;
    const struct handle_stats *s = &file->stats;
    *sums = (struct sn_map_sums){.requested = s->requested,
                                 .rounding = s->rounding,
                                 .header = s->header,
                                 .free_slot = s->free_slot,
                                 .waiting = s->thread_cache + s->limbo,
                                 .empty_span = s->empty_span,
                                 .table = s->table,
                                 .metadata = s->metadata,
                                 .committed = s->committed,
                                 .objects = s->objects,
                                 .objects_large = s->objects_large};
    free(file);
    return true;
}

/* A line of `sinter stores --json`, which is one store. */
static bool
read_store(const char *line, const char *store, struct sn_map_sums *sums)
{
    char text[64];
    snprintf(text, sizeof(text), "{\"store\":\"%.31s\"", store ? store : "");
    text[store ? sizeof(text) - 1 : sizeof("{\"store\":\"") - 1] = 0;
    if (!strstr(line, text))
        return false;
    for (size_t i = 0; i < STEPS; i++) {
        snprintf(text, sizeof(text), "\"%s\":", steps[i].name);
        const char *at = strstr(line, text);
        if (!at)
            return false;
        *step_of(sums, i) = strtoull(at + strlen(text), NULL, 10);
    }
    return true;
}

static bool
read_stores(const char *path, const char *store, struct sn_map_sums *sums)
{
    char line[2048];
    bool found = false;
    FILE *file = fopen(path, "r");
    while (file && !found && fgets(line, sizeof(line), file))
        found = read_store(line, store, sums);
    if (file)
        fclose(file);
    if (!found)
        say("%s: no store%s%s is in it, as sinter stores --json writes them", path,
            store ? " " : "", store ? store : "");
    return found;
}

static bool
read_target(const char *target, const char *name, struct sn_map_sums *sums)
{
    static struct reader_store store;
    const char *error;
    struct breakdown breakdown;
    struct reader *reader = reader_open(target, &error);
    bool good = reader && reader_find(reader, name, &store, &error) &&
                map_count(reader, &store, READER_EXACT, NULL, true, &breakdown, &error);
    if (good)
        *sums = breakdown.sums;
    else
        say("%s", error);
    reader_close(reader);
    return good;
}

static bool
read_sums(const char *path, const char *store, struct sn_map_sums *sums)
{
    enum kind kind = kind_of(path);
    return kind == STATISTICS ? read_statistics(path, sums)
           : kind == STORES   ? read_stores(path, store, sums)
                              : read_target(path, store, sums);
}

static int64_t
change_at(struct sn_map_sums *before, struct sn_map_sums *after, size_t i)
{
    return (int64_t)(*step_of(after, i) - *step_of(before, i));
}

static void
print_steps(struct sn_map_sums *before, struct sn_map_sums *after)
{
    size_t most = FIRST_MEMORY;
    for (size_t i = 0; i < STEPS; i++) {
        int64_t change = change_at(before, after, i);
        if (change != 0)
            printf("  %-26s %16" PRIu64 " -> %-16" PRIu64 " %+" PRId64 "\n", steps[i].name,
                   *step_of(before, i), *step_of(after, i), change);
        if (i >= FIRST_MEMORY && i < STEPS - 1 &&
            llabs(change) > llabs(change_at(before, after, most)))
            most = i;
    }
    int64_t change = change_at(before, after, most);
    if (change != 0)
        printf("committed %+" PRId64 " bytes, most of it %s %+" PRId64 "\n",
               change_at(before, after, STEPS - 1), steps[most].name, change);
}

static void
print_steps_json(struct sn_map_sums *before, struct sn_map_sums *after)
{
    bool any = false;
    putchar('{');
    for (size_t i = 0; i < STEPS; i++) {
        int64_t change = change_at(before, after, i);
        if (change == 0)
            continue;
        printf("%s\n  \"%s\": %" PRId64, any ? "," : "", steps[i].name, change);
        any = true;
    }
    puts(any ? "\n}" : "}");
}

int
command_diff(int argc, char **argv)
{
    bool json = false;
    const char *store = NULL;
    struct sn_map_sums before = {0}, after = {0};
    const struct option_value options[] = {
        {"--store", NULL, &store, NULL}, {"--json", NULL, NULL, &json}, {0}};
    if (!take_options(&argc, argv, options))
        return 2;
    if (argc != 2)
        return misused("diff: two are needed, each a file of statistics, one of `sinter stores "
                       "--json`, a process or a core");
    if (kind_of(argv[0]) == STATISTICS && kind_of(argv[1]) == STATISTICS)
        return diff_stats(argv[0], argv[1], json);
    if (!read_sums(argv[0], store, &before) || !read_sums(argv[1], store, &after))
        return 1;
    if (json)
        print_steps_json(&before, &after);
    else
        print_steps(&before, &after);
    return 0;
}
