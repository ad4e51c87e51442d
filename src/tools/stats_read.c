/* SPDX-License-Identifier: MIT */
/*
 * stats_read.c - statistics as HANDLE_STATS_JSON prints them, read back: numbers by name, of the
 * store and of its size classes. What it does not know it passes over.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "tools/stats_file.h"

#define FILE_MAX (16u << 20)

struct member {
    const char *name;
    size_t offset, bytes;
};
#define OF_STORE(name)                                                                             \
    {                                                                                              \
#name, offsetof(struct handle_stats, name), sizeof(((struct handle_stats *)0)->name)       \
    }
#define OF_CLASS(name)                                                                             \
    {                                                                                              \
#name, offsetof(struct handle_class_stats, name),                                          \
            sizeof(((struct handle_class_stats *)0)->name)                                         \
    }

static const struct member store_members[] = {
    OF_STORE(requested),
    OF_STORE(rounding),
    OF_STORE(header),
    OF_STORE(free_slot),
    OF_STORE(thread_cache),
    OF_STORE(limbo),
    OF_STORE(empty_span),
    OF_STORE(table),
    OF_STORE(metadata),
    OF_STORE(committed),
    OF_STORE(released),
    OF_STORE(reserved),
    OF_STORE(resident),
    OF_STORE(resident_unexplained),
    OF_STORE(committed_peak),
    OF_STORE(max_bytes),
    OF_STORE(large),
    OF_STORE(objects),
    OF_STORE(objects_by_handle),
    OF_STORE(objects_by_cell),
    OF_STORE(objects_large),
    OF_STORE(allocs),
    OF_STORE(frees),
    OF_STORE(alloc_failures),
    OF_STORE(alloc_retries),
    OF_STORE(pins),
    OF_STORE(table_entries_dead),
    OF_STORE(recoverable),
    OF_STORE(moved_objects),
    OF_STORE(moved_bytes),
    OF_STORE(compaction_released),
    OF_STORE(compaction_cpu_ns),
    OF_STORE(passes),
    OF_STORE(fork_copied_bytes),
    OF_STORE(fork_refused_bytes),
    OF_STORE(errors_reported),
    OF_STORE(idle_reason),
    OF_STORE(shrink_reason),
    OF_STORE(grace_period_age_ns),
    OF_STORE(grace_periods),
    OF_STORE(threads),
    OF_STORE(purge_failures),
    OF_STORE(alloc_failure_reason),
    {NULL, 0, 0},
};
static const struct member class_members[] = {
    OF_CLASS(object_bytes), OF_CLASS(slot_bytes), OF_CLASS(span_bytes),
    OF_CLASS(span_slots),   OF_CLASS(live),       OF_CLASS(free),
    OF_CLASS(spans),        OF_CLASS(spans_full), OF_CLASS(recoverable_bytes),
    OF_CLASS(moved),        {NULL, 0, 0},
};

/* Behind a string, a number, or a word. NULL: it is none, or the text has ended. */
static const char *
skip_scalar(const char *at)
{
    if (*at != '"')
        return at + strcspn(at, ",]}\n");
    for (at++; *at && *at != '"'; at++)
        at += at[0] == '\\' && at[1];
    return *at ? at + 1 : NULL;
}

/* Behind a value, whatever is in it. */
static const char *
skip_value(const char *at)
{
    unsigned depth = 0;
    do {
        at += strspn(at, " \n\t\r,:");
        if (*at == '{' || *at == '[')
            depth++, at++;
        else if (*at == '}' || *at == ']')
            depth--, at++;
        else if (*at)
            at = skip_scalar(at);
        else
            return NULL;
    } while (at && depth > 0);
    return at;
}

static void
set_member(void *to, const struct member *members, const char *name, size_t length,
           const char *value)
{
    for (; members->name; members++) {
        if (strlen(members->name) != length || strncmp(members->name, name, length) != 0)
            continue;
        uint64_t number =
            *value == '-' ? (uint64_t)strtoll(value, NULL, 10) : strtoull(value, NULL, 10);
        uint32_t half = (uint32_t)number;
        memcpy((char *)to + members->offset, members->bytes == 4 ? (void *)&half : (void *)&number,
               members->bytes);
    }
}

/* An object's members. classes: NULL, or gets where its array of classes begins. NULL: this is no
 * such object. */
static const char *
read_object(const char *at, void *to, const struct member *members, const char **classes)
{
    static const char array[] = "class_stats";
    at += strspn(at, " \n\t\r,");
    if (*at++ != '{')
        return NULL;
    while (at && *(at += strspn(at, " \n\t\r,")) != '}') {
        const char *name = at + 1, *end = *at == '"' ? skip_scalar(at) : NULL;
        if (!end)
            return NULL;
        size_t length = (size_t)(end - name) - 1;
        at = end + strspn(end, " \n\t\r:");
        if (classes && length == sizeof(array) - 1 && strncmp(name, array, length) == 0)
            *classes = at;
        else
            set_member(to, members, name, length, at);
        at = skip_value(at);
    }
    return at ? at + 1 : NULL;
}

static void
read_classes(const char *at, struct stats_file *file)
{
    if (!at || *at++ != '[')
        return;
    while (at && file->classes < HANDLE_CLASSES_MAX && *(at += strspn(at, " \n\t\r,")) == '{')
        at = read_object(at, &file->of[file->classes++], class_members, NULL);
}

/* Whether these are statistics. */
static bool
parse(const char *text, struct stats_file *file)
{
    const char *classes = NULL;
    file->stats.struct_size = sizeof(file->stats);
    if (!read_object(text, &file->stats, store_members, &classes) || file->stats.committed == 0)
        return false;
    read_classes(classes, file);
    return true;
}

static char *
read_text(const char *path)
{
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    char *text = file ? malloc(FILE_MAX + 1) : NULL;
    size_t length = text ? fread(text, 1, FILE_MAX, file) : 0;
    if (text)
        text[length] = 0;
    if (file && file != stdin)
        fclose(file);
    return text;
}

struct stats_file *
read_stats(const char *path)
{
    struct stats_file *stats = calloc(1, sizeof(*stats));
    char *text = read_text(path);
    bool good = stats && text;
    if (!good)
        say("%s cannot be read", path);
    else if (!parse(text, stats)) {
        say("%s: these are no statistics as handle_store_stats_print writes them "
            "(HANDLE_STATS_JSON)",
            path);
        good = false;
    }
    free(text);
    if (good)
        return stats;
    free(stats);
    return NULL;
}
