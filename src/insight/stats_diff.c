/* SPDX-License-Identifier: MIT */
/* stats_diff.c - what has changed between two statistics; by the tables that they are printed by.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/growing.h"
#include "insight/stats_fields.h"

struct out {
    void (*write)(void *opaque, const char *text, size_t length);
    void *opaque;
    bool json, any;
};

__attribute__((format(printf, 2, 3))) static void
put(struct out *out, const char *format, ...)
{
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length > 0)
        out->write(out->opaque, text,
                   (size_t)length < sizeof(text) ? (size_t)length : sizeof(text) - 1);
}

static int64_t
number_of(const struct handle_stats *stats, const struct field *f)
{
    return (int64_t)sn_field_number(f, stats, 0);
}

static void
put_field(struct out *out, const struct field *f, int64_t before, int64_t after)
{
    int64_t change = (int64_t)((uint64_t)after - (uint64_t)before);
    if (out->json)
        put(out, "%s\n  \"%s\": %" PRId64, out->any ? "," : "", f->name, change);
    else
        put(out, "  %-26s %16" PRId64 " -> %-16" PRId64 " %+" PRId64 "\n", f->name, before, after,
            change);
    out->any = true;
}

static void
put_fields(struct out *out, const struct handle_stats *before, const struct handle_stats *after)
{
    for (const struct field *f = sn_store_fields; f->name; f++) {
        if (!sn_field_is_number(f) || sn_kinds[f->kind].reasons)
            continue;
        int64_t old = number_of(before, f), new = number_of(after, f);
        if (old != new)
            put_field(out, f, old, new);
    }
}

/* The step of the memory breakdown that has changed most, in a sentence. */
static void
put_sentence(struct out *out, const struct handle_stats *before, const struct handle_stats *after)
{
    const struct field *largest = NULL;
    uint64_t most = 0;
    for (const struct field *f = sn_store_fields; f->name; f++) {
        if (f->section != MEMORY || strcmp(f->name, "committed") == 0)
            continue;
        int64_t change = number_of(after, f) - number_of(before, f);
        uint64_t size = (uint64_t)(change < 0 ? -change : change);
        if (size <= most)
            continue;
        most = size;
        largest = f;
    }
    int64_t all = (int64_t)after->committed - (int64_t)before->committed;
    if (largest)
        put(out, "committed %+" PRId64 " bytes, most of it %s %+" PRId64 " (%s)\n", all,
            largest->name, number_of(after, largest) - number_of(before, largest), largest->help);
}

int
handle_stats_diff(const struct handle_stats *before, const struct handle_stats *after,
                  enum handle_stats_format format,
                  void (*write)(void *opaque, const char *text, size_t length), void *opaque)
{
    struct out out = {write, opaque, format == HANDLE_STATS_JSON, false};
    struct handle_stats old = HANDLE_STATS_INIT, new = HANDLE_STATS_INIT;
    if (!before || !after || !write || !sn_growing_may_be(before->struct_size) ||
        !sn_growing_may_be(after->struct_size) ||
        (format != HANDLE_STATS_TEXT && format != HANDLE_STATS_JSON))
        return -EINVAL;
    sn_growing_read(&old, before, sizeof(old));
    sn_growing_read(&new, after, sizeof(new));
    if (out.json)
        put(&out, "{");
    put_fields(&out, &old, &new);
    if (out.json)
        put(&out, "%s}\n", out.any ? "\n" : "");
    else
        put_sentence(&out, &old, &new);
    return 0;
}
