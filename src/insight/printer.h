/* SPDX-License-Identifier: MIT */
/*
 * printer.h - what the three formats of the statistics are put together from: text, numbers, and
 * the classes that have something to show. The formats (text.c, json.c, prometheus.c) walk the same
 * tables, stats_fields.h, so that no figure is missing in one of them.
 *
 * Numbers are put together from integers: printf's %f follows the locale's decimal point, which
 * neither JSON nor Prometheus would read.
 */
#ifndef SN_PRINTER_H
#define SN_PRINTER_H

#include "base/base.h"
#include "insight/stats_fields.h"
#include "insight/stats_print.h"

struct printer {
    void (*write)(void *opaque, const char *text, size_t length);
    void *opaque;
    enum handle_stats_format format;
    const char *store;
    const struct handle_stats *stats;
    const struct handle_class_stats *classes;
    const struct handle_class_stats *size_class; /* whose figures are printed; NULL: the store's */
    size_t used;
    char buffer[SN_PRINT_PIECE_BYTES];
};

void sn_printer_flush(struct printer *p);

void sn_put_bytes(struct printer *p, const char *text, size_t length);
void sn_put(struct printer *p, const char *text);
/** Numbers and short words; whatever may be long goes through sn_put. */
__attribute__((format(printf, 2, 3))) void sn_putf(struct printer *p, const char *format, ...);
/** A string in quotes. The formats share the escapes of quote, backslash and newline; Prometheus
 * takes every other character as it is, JSON no control character. */
void sn_put_quoted(struct printer *p, const char *text);

/** Room for any number. */
#define NUMBER_BYTES 32
typedef char number[NUMBER_BYTES];

typedef unsigned long long ull; /* for printf */

/** a * parts / b, rounded down; 0 when b is 0. */
uint64_t sn_share(uint64_t a, uint64_t b, uint64_t parts);
/** value / 10^decimals. */
const char *sn_fixed(number text, uint64_t value, unsigned decimals);
/** With a unit that leaves at most four digits, or no fraction. */
const char *sn_duration(number text, uint64_t ns);

/** A member of the printed object, the store or a class; i: which element of an array. */
static inline uint64_t
sn_figure(const struct printer *p, const struct field *f, unsigned i)
{
    return sn_field_number(f, p->size_class ? (const void *)p->size_class : p->stats, i);
}

/** A figure that is one number, as the format wants it. */
const char *sn_scalar(const struct printer *p, const struct field *f, number text);

#define BUCKETS (sizeof(((struct handle_histogram *)0)->bucket) / sizeof(uint64_t))

static inline const struct handle_histogram *
sn_histogram_of(const struct printer *p, const struct field *f)
{
    return (const struct handle_histogram *)(const void *)((const char *)p->stats + f->offset);
}

/** All that the buckets hold. The member count may be ahead of them while others are at work. */
uint64_t sn_samples(const struct handle_histogram *h);
/** At least `percent` of the durations are not above the result: a bucket's upper bound. */
uint64_t sn_percentile_ns(const struct handle_histogram *h, unsigned percent);

/** Whether the class whose figures are printed has something to show in a section. */
bool sn_class_shows(const struct printer *p, enum section section);
/** Goes on to the next class with spans, or (spans_only: no) with counts of any kind. */
bool sn_next_class(struct printer *p, bool spans_only);

#endif
