/* SPDX-License-Identifier: MIT */
/* printer.c - see insight/printer.h. */
#include "insight/printer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* ---- pieces of text -------------------------------------------------------------------------- */

void
sn_printer_flush(struct printer *p)
{
    if (p->used > 0)
        p->write(p->opaque, p->buffer, p->used);
    p->used = 0;
}

void
sn_put_bytes(struct printer *p, const char *text, size_t length)
{
    while (length > 0) {
        if (p->used == sizeof(p->buffer))
            sn_printer_flush(p);
        size_t n = sn_min(length, sizeof(p->buffer) - p->used);
        memcpy(p->buffer + p->used, text, n);
        p->used += n;
        text += n;
        length -= n;
    }
}

void
sn_put(struct printer *p, const char *text)
{
    sn_put_bytes(p, text, strlen(text));
}

void
sn_putf(struct printer *p, const char *format, ...)
{
    char piece[160];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(piece, sizeof(piece), format, args);
    va_end(args);
    size_t length = n > 0 ? sn_min((size_t)n, sizeof(piece) - 1) : 0;
    sn_assert((int)length == n);
    sn_put_bytes(p, piece, length);
}

/** Bytes of the UTF-8 character that begins here; 0: none does. */
static size_t
utf8_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    size_t n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : 2;
    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    unsigned two = (unsigned)s[0] << 8 | s[1];
    bool overlong = (two >= 0xe000 && two < 0xe0a0) || (two >= 0xf000 && two < 0xf090);
    bool surrogate = two >= 0xeda0 && two < 0xee00;
    return overlong || surrogate || two >= 0xf490 ? 0 : n;
}

void
sn_put_quoted(struct printer *p, const char *text)
{
    sn_put(p, "\"");
    while (*text) {
        size_t n = utf8_length(text);
        if (*text == '\n')
            sn_put(p, "\\n");
        else if (*text == '"' || *text == '\\')
            sn_putf(p, "\\%c", *text);
        else if (n == 0)
            sn_put(p, "\xef\xbf\xbd"); /* U+FFFD */
        else if (((unsigned char)*text < 0x20 || *text == 0x7f) &&
                 p->format != HANDLE_STATS_PROMETHEUS)
            sn_putf(p, "\\u%04x", (unsigned)*text);
        else
            sn_put_bytes(p, text, n);
        text += n ? n : 1;
    }
    sn_put(p, "\"");
}

/* ---- numbers --------------------------------------------------------------------------------- */

uint64_t
sn_share(uint64_t a, uint64_t b, uint64_t parts)
{
    if (b == 0)
        return 0;
    uint64_t whole = a / b, rest = a % b;
    while (rest > UINT64_MAX / parts) {
        rest >>= 1;
        b >>= 1;
    }
    return whole * parts + rest * parts / b;
}

const char *
sn_fixed(number text, uint64_t value, unsigned decimals)
{
    uint64_t one = 1;
    for (unsigned i = 0; i < decimals; i++)
        one *= 10;
    snprintf(text, NUMBER_BYTES, "%llu.%0*llu", (ull)(value / one), (int)decimals,
             (ull)(value % one));
    return text;
}

const char *
sn_duration(number text, uint64_t ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned unit = 0;
    for (; unit < 3 && (ns >= 10000 || (ns >= 1000 && ns % 1000 == 0)); unit++)
        ns /= 1000;
    snprintf(text, NUMBER_BYTES, "%llu %s", (ull)ns, units[unit]);
    return text;
}

/** Ratio i lies between step i and step i + 1; together they lead from requested to resident. */
static const char *
ratio(const struct printer *p, size_t i, number text)
{
    static const char *const undefined[] = {"-", "null", "NaN"}; /* by format */
    const struct handle_stats *s = p->stats;
    uint64_t live = s->requested + s->rounding + s->header;
    uint64_t spans = live + s->free_slot + s->thread_cache + s->limbo;
    const uint64_t steps[] = {s->requested, live, spans, s->committed, s->resident};
    if (steps[i] == 0 || steps[i + 1] == 0)
        return undefined[p->format];
    return sn_fixed(text, sn_share(steps[i + 1], steps[i], 10000), 4);
}

const char *
sn_scalar(const struct printer *p, const struct field *f, number text)
{
    if (f->kind == RATIO)
        return ratio(p, f->offset, text);
    uint64_t value = sn_figure(p, f, 0);
    bool ns = f->kind == NS || f->kind == NS_TOTAL;
    if (ns && p->format == HANDLE_STATS_TEXT)
        return sn_duration(text, value);
    if (ns && p->format == HANDLE_STATS_PROMETHEUS)
        return sn_fixed(text, value, 9);
    if (f->kind == PERMILLE && p->format == HANDLE_STATS_PROMETHEUS)
        return sn_fixed(text, value, 3);
    if (f->kind == BYTES_SIGNED)
        snprintf(text, NUMBER_BYTES, "%lld", (long long)value);
    else
        snprintf(text, NUMBER_BYTES, "%llu", (ull)value);
    return text;
}

/* ---- histograms and classes ------------------------------------------------------------------ */

uint64_t
sn_samples(const struct handle_histogram *h)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        sum += h->bucket[i];
    return sum;
}

uint64_t
sn_percentile_ns(const struct handle_histogram *h, unsigned percent)
{
    uint64_t total = sn_samples(h), seen = 0;
    uint64_t rank = total - sn_share(total, 100, 100 - percent);
    for (size_t i = 0; i < BUCKETS - 1; i++) {
        seen += h->bucket[i];
        if (seen >= rank)
            return sn_min(h->max_ns, UINT64_C(1000) << i);
    }
    return h->max_ns;
}

bool
sn_class_shows(const struct printer *p, enum section section)
{
    for (const struct field *f = sn_class_fields; f->name; f++)
        for (unsigned i = 0; f->section == section && i < elements(f); i++)
            if (sn_figure(p, f, i) != 0)
                return true;
    return false;
}

bool
sn_next_class(struct printer *p, bool spans_only)
{
    const struct handle_class_stats *first = p->classes;
    const struct handle_class_stats *end = first + sn_min(p->stats->classes, HANDLE_CLASSES_MAX);
    for (p->size_class = p->size_class ? p->size_class + 1 : first; p->size_class < end;
         p->size_class++) {
        if (p->size_class->spans > 0)
            return true;
        if (!spans_only && (sn_class_shows(p, CLASS_SPANS) || sn_class_shows(p, CLASS_SLOTS) ||
                            sn_class_shows(p, CLASS_MOVES)))
            return true;
    }
    p->size_class = NULL;
    return false;
}
