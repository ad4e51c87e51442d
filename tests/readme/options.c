/* SPDX-License-Identifier: MIT */
/*
 * options.c - are the tables of options in examples/README.md what the library does? Of each row
 * the default, each end of the range, and what lies just beyond it are tried; and each member of
 * struct handle_store_options has a row.
 *
 *     readme_options README.md handle.h
 *
 * A range is "A to B", "A and more", or single values, with commas between.
 *
 * Seen failing with: another default, a larger and a smaller range, a value too many, a row too
 * many, a row left out, an option for creation in the other table.
 */
#include "flavour.h"

#include <sinter/handle.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROWS_MAX 64
#define CELL     64

struct row {
    char name[CELL], unit[CELL], range[CELL], value[CELL];
    bool at_creation;
    bool is_member;
};

static struct row rows[ROWS_MAX];
static size_t row_count;
static int bad;

static void
wrong(const struct row *row, const char *what, const char *value)
{
    printf("option %s: %s '%s'\n", row->name, what, value);
    bad = 1;
}

static void
ignore(void *opaque, const char *message)
{
    (void)opaque;
    (void)message;
}

/* ---- the page -------------------------------------------------------------------------------- */

static char *
read_file(const char *path)
{
    static char texts[2][1 << 20];
    static unsigned files;
    FILE *file = fopen(path, "r");
    char *text = texts[files++];
    if (!file || fread(text, 1, sizeof(texts[0]) - 1, file) == 0) {
        perror(path);
        exit(2);
    }
    fclose(file);
    return text;
}

/* The next cell of a row, without the blanks and backquotes around it. */
static char *
take_cell(char *at, char *cell)
{
    size_t length = strcspn(at, "|\n");
    char *end = at + length;
    at += strspn(at, " `");
    length = at < end ? (size_t)(end - at) : 0;
    while (length > 0 && (at[length - 1] == ' ' || at[length - 1] == '`'))
        length--;
    snprintf(cell, CELL, "%.*s", (int)length, at);
    return *end == '|' ? end + 1 : end;
}

/* Rows of tables whose heading begins with "option"; the second of these is of creation only. */
static void
read_rows(char *page)
{
    int tables = 0;
    bool inside = false;
    for (char *line = strtok(page, "\n"); line; line = strtok(NULL, "\n")) {
        if (line[0] != '|')
            inside = false;
        else if (strncmp(line, "| option | unit | range | default |", 35) == 0)
            inside = ++tables > 0;
        else if (inside && line[1] == ' ' && row_count < ROWS_MAX) {
            struct row *row = &rows[row_count++];
            char *at = take_cell(line + 1, row->name);
            at = take_cell(at, row->unit);
            at = take_cell(at, row->range);
            take_cell(at, row->value);
            row->at_creation = tables == 2;
        }
    }
}

/* ---- the struct ------------------------------------------------------------------------------ */

static void
note_member(const char *name)
{
    static const char *const others[] = {"struct_size", "pressure", "error", "cells",
                                         "opaque",      "reserved", ""};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(name, others[i]) == 0)
            return;
    }
    for (size_t i = 0; i < row_count; i++) {
        if (strcmp(name, rows[i].name) == 0) {
            rows[i].is_member = true;
            return;
        }
    }
    printf("option %s has no row\n", name);
    bad = 1;
}

static void
blank_comments(char *text)
{
    for (char *at = strstr(text, "/*"); at; at = strstr(at, "/*")) {
        char *end = strstr(at, "*/");
        memset(at, ' ', end ? (size_t)(end + 2 - at) : strlen(at));
    }
}

/* The name that a declaration declares: that of a pointer to a function, or its last word. */
static void
declared(const char *declaration, char *name)
{
    const char *at = strstr(declaration, "(*");
    if (at) {
        at += 2;
    } else {
        at = declaration + strlen(declaration);
        while (at > declaration && strchr("abcdefghijklmnopqrstuvwxyz_", at[-1]))
            at--;
    }
    snprintf(name, CELL, "%.*s", (int)strcspn(at, ")"), at);
}

static void
read_members(char *header)
{
    char *text = strstr(header, "struct handle_store_options {\n");
    char *end = text ? strstr(text, "\n};") : NULL;
    if (!end) {
        puts("no struct handle_store_options in the header");
        exit(2);
    }
    *end = 0;
    text = strchr(text, '{') + 1;
    blank_comments(text);
    char inner[32][CELL];
    int inners = -1; /* members of a struct in it, whose name stands behind them; -1: in none */
    for (char *part = strtok(text, ";"); part; part = strtok(NULL, ";")) {
        char name[CELL], full[2 * CELL];
        if (strstr(part, "struct {"))
            inners = 0;
        declared(part, name);
        if (inners < 0)
            note_member(name);
        else if (!strchr(part, '}'))
            memcpy(inner[inners++ % 32], name, sizeof(name));
        for (int i = 0; strchr(part, '}') && i < inners; i++) {
            snprintf(full, sizeof(full), "%.31s.%.63s", name, inner[i]);
            note_member(full);
        }
        inners = strchr(part, '}') ? -1 : inners;
    }
}

/* ---- what the library does ------------------------------------------------------------------- */

static handle_store *
new_store(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.error = ignore;
    handle_store *store = handle_store_create(&options);
    if (!store) {
        perror("handle_store_create");
        exit(2);
    }
    return store;
}

/* Options that bound this one, out of its way. */
static void
make_room(handle_store *store, const char *name)
{
    if (strcmp(name, "defrag.threshold_lower_percent") == 0)
        (void)handle_store_set(store, "defrag.threshold_upper_percent", "100");
    else if (strcmp(name, "defrag.threshold_upper_percent") == 0)
        (void)handle_store_set(store, "defrag.threshold_lower_percent", "0");
    else if (strcmp(name, "defrag.cpu_min_percent") == 0)
        (void)handle_store_set(store, "defrag.cpu_max_percent", "100");
    else if (strcmp(name, "defrag.cpu_max_percent") == 0)
        (void)handle_store_set(store, "defrag.cpu_min_percent", "1");
}

/* Whether a store takes the value: a new one for what is for creation only. */
static bool
takes(handle_store *store, const struct row *row, const char *value)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    uint64_t number = strtoull(value, NULL, 10);
    if (!row->at_creation)
        return handle_store_set(store, row->name, value) == 0;
    options.error = ignore;
    if (strcmp(row->name, "arena_bytes") == 0)
        options.arena_bytes = number;
    else if (strcmp(row->name, "alignment") == 0)
        options.alignment = (uint32_t)number;
    else if (strcmp(row->name, "hardened") == 0)
        options.hardened = strcmp(value, "yes") == 0;
    else if (strcmp(row->name, "core") == 0)
        options.core = strcmp(value, "full") == 0       ? HANDLE_CORE_FULL
                       : strcmp(value, "metadata") == 0 ? HANDLE_CORE_METADATA
                       : strcmp(value, "none") == 0     ? HANDLE_CORE_NONE
                                                        : (enum handle_core)3;
    else
        options.name = value;
    handle_store *made = handle_store_create(&options);
    if (made)
        handle_store_destroy(made);
    return made != NULL;
}

static bool
is_number(const char *text)
{
    return text[0] == '-' || (text[0] >= '0' && text[0] <= '9');
}

static int64_t
number_of(const char *text)
{
    char *end;
    long long number = strtoll(text, &end, 10);
    const char *letters = "KMGT", *letter = *end ? strchr(letters, *end) : NULL;
    return letter ? number << 10 * (letter - letters + 1) : number;
}

/* Whether a number is a value of its own in the row's range, as -1 and 0 are. */
static bool
stands_alone(const struct row *row, int64_t number)
{
    char text[CELL];
    snprintf(text, sizeof(text), "%" PRId64 ",", number);
    return strncmp(row->range, text, strlen(text)) == 0;
}

static void
try_number(handle_store *store, const struct row *row, int64_t number, bool good)
{
    char text[CELL];
    snprintf(text, sizeof(text), "%" PRId64, number);
    if (!good && stands_alone(row, number))
        return;
    if (takes(store, row, text) != good)
        wrong(row, good ? "does not take" : "takes", text);
}

static void
try_range(handle_store *store, const struct row *row, const char *from, const char *to)
{
    int64_t low = number_of(from);
    try_number(store, row, low, true);
    try_number(store, row, low - 1, false);
    if (!to) {
        try_number(store, row, INT64_MAX, true);
        return;
    }
    try_number(store, row, number_of(to), true);
    try_number(store, row, number_of(to) + 1, false);
}

static void
try_name(const struct row *row)
{
    if (strcmp(row->range, "0 to 31 bytes") != 0)
        wrong(row, "another range is tested than", row->range);
    if (!takes(NULL, row, "") || !takes(NULL, row, "1234567890123456789012345678901"))
        wrong(row, "is refused with", "0 or 31 bytes");
    if (takes(NULL, row, "12345678901234567890123456789012"))
        wrong(row, "is taken with", "32 bytes");
}

static void
try_ranges(handle_store *store, const struct row *row)
{
    char range[CELL];
    snprintf(range, sizeof(range), "%s", row->range);
    for (char *part = strtok(range, ","); part; part = strtok(NULL, ",")) {
        part += strspn(part, " ");
        char *to = strstr(part, " to "), *more = strstr(part, " and more");
        if (to || more)
            try_range(store, row, part, to ? to + 4 : NULL);
        else if (is_number(part))
            try_number(store, row, number_of(part), true);
        else if (!takes(store, row, part))
            wrong(row, "does not take", part);
    }
    if (!row->at_creation && takes(store, row, "maybe"))
        wrong(row, "takes", "maybe");
}

/* The row's default, as handle_store_get says it: in bytes, without suffixes. */
static void
try_default(handle_store *store, const struct row *row)
{
    char is[CELL] = "", said[CELL];
    if (handle_store_get(store, row->name, is, sizeof(is)) != 0) {
        wrong(row, "is not known; its default is", row->value);
        return;
    }
    snprintf(said, sizeof(said), "%s", row->value);
    if (is_number(said))
        snprintf(said, sizeof(said), "%" PRId64, number_of(row->value));
    /* arena_bytes: 0 stands for what get tells. */
    if (strcmp(is, said) != 0 && strcmp(row->name, "arena_bytes") != 0)
        wrong(row, "has another default than the page: it is", is);
    if ((handle_store_set(store, row->name, is) != 0) != row->at_creation)
        wrong(row, "stands in the wrong table: set gives", row->at_creation ? "0" : "an error");
}

static void
check_row(const struct row *row)
{
    handle_store *store = new_store();
    if (!row->is_member)
        wrong(row, "is no option; its range is", row->range);
    try_default(store, row);
    make_room(store, row->name);
    if (strcmp(row->name, "name") == 0)
        try_name(row);
    else
        try_ranges(store, row);
    handle_store_destroy(store);
}

int
main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: readme_options README.md handle.h\n");
        return 2;
    }
    rcu_register_thread();
    read_rows(read_file(argv[1]));
    read_members(read_file(argv[2]));
    for (size_t i = 0; i < row_count; i++)
        check_row(&rows[i]);
    rcu_unregister_thread();
    printf("%zu options, %s\n", row_count, bad ? "see above" : "as the library has them");
    return bad || row_count == 0;
}
