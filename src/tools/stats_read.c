/* SPDX-License-Identifier: MIT */
/*
 * stats_read.c - statistics as HANDLE_STATS_JSON prints them, read back: all figures that are one
 * number, or one for each reason, of the store and of its size classes. What it does not know it
 * passes over.
 */
#include <stdlib.h>
#include <string.h>

#include "insight/stats_fields.h"
#include "tools/stats_file.h"

#define FILE_MAX (16u << 20)

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

/* An object with a number for each reason. */
static void
set_reasons(void *to, const struct field *f, const char *value)
{
    const char *end = strchr(value, '}');
    for (unsigned i = 0; end && i < sn_kinds[f->kind].count; i++) {
        char word[64];
        snprintf(word, sizeof(word), "\"%s\":", sn_reason_of(f->kind, i)->word);
        const char *at = strstr(value, word);
        uint64_t number = at && at < end ? strtoull(at + strlen(word), NULL, 10) : 0;
        memcpy((char *)to + f->offset + i * sizeof(number), &number, sizeof(number));
    }
}

static void
set_figure(void *to, const struct field *f, const char *name, size_t length, const char *value)
{
    while (f->name && (strlen(f->name) != length || strncmp(f->name, name, length) != 0))
        f++;
    if (f->name && f->kind == REFUSED)
        set_reasons(to, f, value);
    else if (f->name && sn_field_is_number(f))
        sn_field_set_number(
            f, to, *value == '-' ? (uint64_t)strtoll(value, NULL, 10) : strtoull(value, NULL, 10));
}

/* An object's members. classes: NULL, or gets where its array of classes begins. NULL: this is no
 * such object. */
static const char *
read_object(const char *at, void *to, const struct field *fields, const char **classes)
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
            set_figure(to, fields, name, length, at);
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
        at = read_object(at, &file->of[file->classes++], sn_class_fields, NULL);
}

/* Whether these are statistics. */
static bool
parse(const char *text, struct stats_file *file)
{
    const char *classes = NULL;
    file->stats.struct_size = sizeof(file->stats);
    if (!read_object(text, &file->stats, sn_store_fields, &classes) || file->stats.committed == 0)
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
