/* SPDX-License-Identifier: MIT */
/* json.c - see insight/json.h. */
#include "insight/json.h"

static void
json_times(struct printer *p, const struct handle_histogram *h)
{
    sn_putf(p, "{\"count\": %llu, \"sum_ns\": %llu, \"max_ns\": %llu", (ull)h->count,
            (ull)h->sum_ns, (ull)h->max_ns);
    sn_putf(p, ", \"p50_ns\": %llu, \"p99_ns\": %llu, \"bucket\": [", (ull)sn_percentile_ns(h, 50),
            (ull)sn_percentile_ns(h, 99));
    for (size_t i = 0; i < BUCKETS; i++)
        sn_putf(p, "%s%llu", i ? ", " : "", (ull)h->bucket[i]);
    sn_put(p, "]}");
}

/** An object with a member for each reason; occupancy, counted by number, is an array. */
static void
json_elements(struct printer *p, const struct field *f)
{
    bool array = f->kind == OCCUPANCY;
    sn_put(p, array ? "[" : "{");
    for (unsigned i = 0; i < elements(f); i++) {
        sn_put(p, i ? ", " : "");
        if (!array)
            sn_putf(p, "\"%s\": ", sn_reason_of(f->kind, i)->word);
        sn_putf(p, "%llu", (ull)sn_figure(p, f, i));
    }
    sn_put(p, array ? "]" : "}");
}

static void
json_field(struct printer *p, const struct field *f, const char *separator)
{
    number text;
    sn_putf(p, "%s\"%s\": ", separator, f->name);
    if (f->kind == TIMES)
        json_times(p, sn_histogram_of(p, f));
    else if (elements(f) > 1)
        json_elements(p, f);
    else
        sn_put(p, sn_scalar(p, f, text));
    if (f->kind == IDLE || f->kind == SHRINK || f->kind == FAILURE || f->kind == DENSE) {
        const struct reason *reason = sn_reason_of(f->kind, sn_figure(p, f, 0));
        sn_putf(p, "%s\"%s_word\": \"%s\"", separator, f->name, reason->word);
        sn_putf(p, "%s\"%s_text\": \"%s\"", separator, f->name, reason->text);
    }
}

void
sn_print_json(struct printer *p)
{
    sn_put(p, "{\n  \"store\": ");
    sn_put_quoted(p, p->store);
    for (const struct field *f = sn_store_fields; f->name; f++)
        json_field(p, f, ",\n  ");
    sn_put(p, ",\n  \"class_stats\": [");
    for (bool first = true; sn_next_class(p, false); first = false) {
        sn_put(p, first ? "\n    {" : ",\n    {");
        for (const struct field *f = sn_class_fields; f->name; f++)
            json_field(p, f, f == sn_class_fields ? "" : ", ");
        sn_put(p, "}");
    }
    sn_put(p, "\n  ]\n}\n");
}
