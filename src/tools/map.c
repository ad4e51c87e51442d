/* SPDX-License-Identifier: MIT */
/* map.c - sinter map: the lines of a map, a picture of it, or a page that draws one or two. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/commands.h"

/* page/map.html with all that belongs to it: see page/embed.cmake. */
extern const unsigned char map_page[];
extern const unsigned long map_page_bytes;

struct map_call {
    const char *store, *series, *output;
    bool lines, png;
};

/* Whether a file is lines of a map: they begin so. */
static FILE *
open_lines(const char *path)
{
    static const char begin[] = "{\"format\":\"sinter.map\"";
    char text[sizeof(begin)] = "";
    FILE *file = fopen(path, "r");
    if (file && fread(text, 1, sizeof(begin) - 1, file) == sizeof(begin) - 1 &&
        strcmp(text, begin) == 0 && fseek(file, 0, SEEK_SET) == 0)
        return file;
    if (file)
        fclose(file);
    return NULL;
}

/* What would end the element of the page that the lines are in is not written. */
static void
copy_text(FILE *from, FILE *to)
{
    for (int c; (c = getc(from)) != EOF;)
        putc(c == '<' ? ' ' : c, to);
}

/* The lines of a target, or those that a file has. False: said why. */
static bool
write_lines(const char *target, const char *name, FILE *to)
{
    static struct reader_store store;
    const char *error;
    struct breakdown breakdown;
    FILE *lines = open_lines(target);
    if (lines) {
        copy_text(lines, to);
        fclose(lines);
        return true;
    }
    struct reader *reader = reader_open(target, &error);
    bool good = reader && reader_find(reader, name, &store, &error) &&
                map_count(reader, &store, READER_SAMPLE, to, true, &breakdown, &error);
    if (!good)
        say("%s", error);
    reader_close(reader);
    return good;
}

static bool
write_series(const char *path, FILE *to)
{
    FILE *from = fopen(path, "r");
    if (!from) {
        say("%s: %s", path, strerror(errno));
        return false;
    }
    copy_text(from, to);
    fclose(from);
    return true;
}

/* The page up to a mark; *at goes behind it. */
static void
write_up_to(const char *mark, unsigned long *at, FILE *to)
{
    const char *page = (const char *)map_page;
    const char *end = mark ? strstr(page + *at, mark) : page + map_page_bytes;
    if (!end)
        end = page + map_page_bytes;
    fwrite(page + *at, 1, (size_t)(end - page) - *at, to);
    *at = (unsigned long)(end - page) + (mark ? strlen(mark) : 0);
}

static bool
write_page(int count, char **targets, const struct map_call *call, FILE *to)
{
    unsigned long at = 0;
    write_up_to("<!--BEFORE-->", &at, to);
    bool good = write_lines(targets[0], call->store, to);
    write_up_to("<!--AFTER-->", &at, to);
    good = good && (count < 2 || write_lines(targets[1], call->store, to));
    write_up_to("<!--SERIES-->", &at, to);
    good = good && (!call->series || write_series(call->series, to));
    write_up_to(NULL, &at, to);
    return good;
}

static bool
write_picture(const char *target, const struct map_call *call, FILE *to)
{
    FILE *lines = tmpfile();
    bool good = lines && write_lines(target, call->store, lines);
    if (!lines)
        say("a temporary file: %s", strerror(errno));
    if (good) {
        rewind(lines);
        good = write_png(lines, to);
    }
    if (lines)
        fclose(lines);
    return good;
}

/* To a file of a temporary name first: what is there of the right name is whole. */
static int
write_file(int count, char **targets, const struct map_call *call)
{
    char path[4096];
    bool standard = strcmp(call->output, "-") == 0;
    if (snprintf(path, sizeof(path), "%s.part", call->output) >= (int)sizeof(path))
        return say("%s: the name is too long", call->output);
    FILE *to = standard ? stdout : fopen(path, "w");
    if (!to)
        return say("%s: %s", path, strerror(errno));
    bool good = call->lines ? write_lines(targets[0], call->store, to)
                : call->png ? write_picture(targets[0], call, to)
                            : write_page(count, targets, call, to);
    bool written = fflush(to) == 0 && !ferror(to);
    if (!standard)
        written = fclose(to) == 0 && written;
    if (good && !written)
        say("%s could not be written", path);
    good = good && written;
    if (!standard && good && rename(path, call->output) != 0) {
        say("%s: %s", call->output, strerror(errno));
        good = false;
    }
    if (!standard && !good)
        remove(path);
    return good ? 0 : 1;
}

int
command_map(int argc, char **argv)
{
    struct map_call call = {0};
    const struct option_value options[] = {
        {"--store", NULL, &call.store, NULL},   {"--series", NULL, &call.series, NULL},
        {"--output", "-o", &call.output, NULL}, {"--lines", NULL, NULL, &call.lines},
        {"--png", NULL, NULL, &call.png},       {0}};
    if (!take_options(&argc, argv, options))
        return 2;
    if (argc < 1 || argc > (call.lines || call.png ? 1 : 2))
        return misused("map: one process, core or file of lines is needed, or two, but one with "
                       "--lines or --png");
    if (!call.output)
        call.output = call.lines ? "-" : call.png ? "map.png" : "map.html";
    int status = write_file(argc, argv, &call);
    if (status == 0 && strcmp(call.output, "-") != 0 && !call.lines && !call.png)
        printf("%s: open it in a browser\n", call.output);
    return status;
}
