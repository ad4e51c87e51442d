/* SPDX-License-Identifier: MIT */
/* text.c - see insight/text.h. */
#include "insight/text.h"

#include <stdio.h>
#include <string.h>

static const char *
mebibytes(number text, uint64_t bytes)
{
    return sn_fixed(text, sn_share(bytes, 1 << 20, 10), 1);
}

static const char *const titles[SECTIONS] = {
    [MEMORY] = "memory                                        bytes         MiB       %",
    [BESIDE] = "beside it                                     bytes         MiB",
    [RATIOS] = "ratios",
    [OBJECTS] = "objects",
    [COMPACTION] = "compaction                                                  MiB",
    [TIME] = "time",
    [OTHER] = "other",
    [CLASS_SPANS] = "size classes: spans",
    [CLASS_LAYOUT] = "size classes: layout",
    [CLASS_SLOTS] = "size classes: free slots elsewhere; spans by eighths of occupancy",
    [CLASS_MOVES] = "size classes: objects moved, and left in place by reason",
};

static void
text_row(struct printer *p, char mark, const char *name, const char *const columns[3],
         const char *help)
{
    sn_putf(p, "%c %-28s %20s %11s %7s  ", mark, name, columns[0], columns[1], columns[2]);
    sn_put(p, help);
    sn_put(p, "\n");
}

static void
text_scalar(struct printer *p, const struct field *f)
{
    number value, mib, percent;
    const char *columns[3] = {sn_scalar(p, f, value), "", ""};
    char mark = ' ';
    if (f->kind == BYTES || f->kind == BYTES_TOTAL)
        columns[1] = mebibytes(mib, sn_figure(p, f, 0));
    if (f->section == MEMORY) {
        mark = f->offset == offsetof(struct handle_stats, committed) ? '=' : '+';
        columns[2] = sn_fixed(percent, sn_share(sn_figure(p, f, 0), p->stats->committed, 1000), 1);
    }
    text_row(p, mark, f->name, columns, f->help);
}

/** One reason in words, or a count for each. */
static void
text_reasons(struct printer *p, const struct field *f)
{
    number value, name;
    const char *columns[3] = {value, "", ""};
    if (elements(f) == 1) {
        snprintf(value, sizeof(value), "%llu", (ull)sn_figure(p, f, 0));
        text_row(p, ' ', f->name, columns, sn_reason_of(f->kind, sn_figure(p, f, 0))->text);
        return;
    }
    sn_putf(p, "  %s: %s\n", f->name, f->help);
    for (unsigned i = 0; i < elements(f); i++) {
        const struct reason *reason = sn_reason_of(f->kind, i);
        snprintf(value, sizeof(value), "%llu", (ull)sn_figure(p, f, i));
        snprintf(name, sizeof(name), "  %s", reason->word);
        text_row(p, ' ', name, columns, reason->text);
    }
}

static void
text_times(struct printer *p, const struct field *f)
{
    const struct handle_histogram *h = sn_histogram_of(p, f);
    number a, b, c, d;
    sn_putf(p, "  %s: %s\n", f->name, f->help);
    sn_putf(p, "    %llu, mean %s, p50 %s, p99 %s, max %s\n", (ull)h->count,
            sn_duration(a, h->count ? h->sum_ns / h->count : 0),
            sn_duration(b, sn_percentile_ns(h, 50)), sn_duration(c, sn_percentile_ns(h, 99)),
            sn_duration(d, h->max_ns));
    for (size_t i = 0; i < BUCKETS; i++) {
        bool last = i == BUCKETS - 1;
        if (h->bucket[i] > 0)
            sn_putf(p, "    %8s %-12s %11llu %7s %%\n", last ? "at least" : "below",
                    sn_duration(a, UINT64_C(1000) << (last ? i - 1 : i)), (ull)h->bucket[i],
                    sn_fixed(b, sn_share(h->bucket[i], sn_samples(h), 1000), 1));
    }
}

static int
column_width(const struct field *f)
{
    if (elements(f) > 1)
        return f->kind == OCCUPANCY ? 6 : 10;
    return (int)sn_max(strlen(f->name) + 1, 9);
}

static void
text_class_head(struct printer *p, enum section section)
{
    sn_putf(p, "\n%s\nclass      size", titles[section]);
    for (const struct field *f = sn_class_fields; f->name; f++)
        for (unsigned i = 0; f->section == section && i < elements(f); i++)
            sn_putf(p, " %*s", column_width(f),
                    elements(f) > 1 ? sn_reason_of(f->kind, i)->word : f->name);
    sn_put(p, section == CLASS_SPANS ? "    partly         MiB    cum. MiB\n" : "\n");
}

/** Classes that have spans and something to show; no table at all when there are none. */
static void
text_classes(struct printer *p, enum section section)
{
    uint64_t bytes = 0;
    number mib, sum;
    for (bool first = true; sn_next_class(p, true);) {
        const struct handle_class_stats *c = p->size_class;
        if (!sn_class_shows(p, section))
            continue;
        if (first)
            text_class_head(p, section);
        first = false;
        sn_putf(p, "%5u %9llu", (unsigned)(c - p->classes), (ull)c->object_bytes);
        for (const struct field *f = sn_class_fields; f->name; f++)
            for (unsigned i = 0; f->section == section && i < elements(f); i++)
                sn_putf(p, " %*llu", column_width(f), (ull)sn_figure(p, f, i));
        bytes += c->spans * c->span_bytes;
        if (section == CLASS_SPANS)
            sn_putf(p, " %9llu %11s %11s", (ull)(c->spans - sn_min(c->spans_full, c->spans)),
                    mebibytes(mib, c->spans * c->span_bytes), mebibytes(sum, bytes));
        sn_put(p, "\n");
    }
}

void
sn_print_text(struct printer *p)
{
    sn_put(p, "store ");
    sn_put_quoted(p, p->store);
    sn_put(p, "\n");
    for (unsigned section = MEMORY; section < CLASS_KEY; section++) {
        sn_putf(p, "\n%s\n", titles[section]);
        for (const struct field *f = sn_store_fields; f->name; f++) {
            if (f->section != section)
                continue;
            if (f->kind == TIMES)
                text_times(p, f);
            else if (sn_kinds[f->kind].reasons)
                text_reasons(p, f);
            else
                text_scalar(p, f);
        }
    }
    for (unsigned section = CLASS_SPANS; section < SECTIONS; section++)
        text_classes(p, (enum section)section);
}
