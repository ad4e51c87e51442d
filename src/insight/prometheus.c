/* SPDX-License-Identifier: MIT */
/*
 * prometheus.c - see insight/prometheus.h.
 *
 * A metric is the member's name with its unit as the convention wants it, sinter_ in
 * front (sinter_class_ for classes): table is sinter_table_bytes, compaction_cpu_ns is
 * sinter_compaction_cpu_seconds_total. A reason is one series for each reason, 1 for the one that
 * holds. Several stores are told apart by the label store; each is an exposition of its own.
 */
#include "insight/prometheus.h"

#include <stdio.h>
#include <string.h>

static void
put_metric(struct printer *p, const struct field *f, bool of_class)
{
    const char *ending = sn_kinds[f->kind].ending;
    size_t length = strlen(f->name), cut = strlen(ending);
    if (length > cut && strcmp(f->name + length - cut, ending) == 0)
        length -= cut;
    sn_put(p, of_class ? "sinter_class_" : "sinter_");
    sn_put_bytes(p, f->name, length);
    sn_put(p, sn_kinds[f->kind].metric);
}

static void
metric_head(struct printer *p, const struct field *f, bool of_class)
{
    sn_put(p, "# HELP ");
    put_metric(p, f, of_class);
    sn_putf(p, " %s\n# TYPE ", f->help);
    put_metric(p, f, of_class);
    sn_putf(p, " %s\n", sn_kinds[f->kind].type);
}

/** A line. part: behind the metric's name; label (or NULL) and word: one label more. */
static void
sample(struct printer *p, const struct field *f, const char *part, const char *label,
       const char *word, const char *value)
{
    put_metric(p, f, p->size_class != NULL);
    sn_putf(p, "%s{store=", part);
    sn_put_quoted(p, p->store);
    if (p->size_class)
        sn_putf(p, ",size_class=\"%llu\"", (ull)p->size_class->object_bytes);
    if (label)
        sn_putf(p, ",%s=\"%s\"", label, word);
    sn_putf(p, "} %s\n", value);
}

/** The count is the buckets' sum, so that it equals +Inf. Bounds here include, the buckets' do not:
 * a duration of exactly 2^n microseconds is one bucket too high. */
static void
sample_times(struct printer *p, const struct field *f)
{
    const struct handle_histogram *h = sn_histogram_of(p, f);
    uint64_t seen = 0;
    number bound, value;
    for (size_t i = 0; i < BUCKETS; i++) {
        const char *le = i < BUCKETS - 1 ? sn_fixed(bound, UINT64_C(1) << i, 6) : "+Inf";
        seen += h->bucket[i];
        snprintf(value, sizeof(value), "%llu", (ull)seen);
        sample(p, f, "_bucket", "le", le, value);
    }
    sample(p, f, "_count", NULL, NULL, value);
    sample(p, f, "_sum", NULL, NULL, sn_fixed(value, h->sum_ns, 9));
}

static void
samples_of(struct printer *p, const struct field *f)
{
    number value;
    if (f->kind == TIMES)
        sample_times(p, f);
    else if (!sn_kinds[f->kind].reasons)
        sample(p, f, "", NULL, NULL, sn_scalar(p, f, value));
    for (unsigned i = 0; i < sn_kinds[f->kind].count; i++) {
        uint64_t n = elements(f) > 1 ? sn_figure(p, f, i) : sn_figure(p, f, 0) == i;
        snprintf(value, sizeof(value), "%llu", (ull)n);
        sample(p, f, "", sn_kinds[f->kind].label, sn_reason_of(f->kind, i)->word, value);
    }
}

void
sn_print_prometheus(struct printer *p)
{
    for (const struct field *f = sn_store_fields; f->name; f++) {
        metric_head(p, f, false);
        samples_of(p, f);
    }
    for (const struct field *f = sn_class_fields; f->name; f++) {
        if (f->section == CLASS_KEY)
            continue; /* it is a label */
        metric_head(p, f, true);
        while (sn_next_class(p, false))
            samples_of(p, f);
    }
}
