/* SPDX-License-Identifier: MIT */
/*
 * stats_print.c - see stats_print.h. The three formats walk the same tables, stats_fields.h, so
 * that no figure is missing in one of them.
 *
 * Numbers are put together from integers: printf's %f follows the locale's decimal point, which
 * neither JSON nor Prometheus would read.
 *
 * Prometheus: a metric is the member's name with its unit as the convention wants it, sinter_ in
 * front (sinter_class_ for classes): table is sinter_table_bytes, compaction_cpu_ns is
 * sinter_compaction_cpu_seconds_total. A reason is one series for each reason, 1 for the one that
 * holds. Several stores are told apart by the label store; each is an exposition of its own.
 */
#include "insight/stats_print.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "core/misuse.h"
#include "insight/stats.h"
#include "insight/stats_fields.h"
#include "insight/walk.h"
#include "os/osmem.h"

/* ---- pieces of text -------------------------------------------------------------------------- */

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

static void
flush(struct printer *p)
{
    if (p->used > 0)
        p->write(p->opaque, p->buffer, p->used);
    p->used = 0;
}

static void
put_bytes(struct printer *p, const char *text, size_t length)
{
    while (length > 0) {
        if (p->used == sizeof(p->buffer))
            flush(p);
        size_t n = sn_min(length, sizeof(p->buffer) - p->used);
        memcpy(p->buffer + p->used, text, n);
        p->used += n;
        text += n;
        length -= n;
    }
}

static void
put(struct printer *p, const char *text)
{
    put_bytes(p, text, strlen(text));
}

/** Numbers and short words; whatever may be long goes through put. */
__attribute__((format(printf, 2, 3))) static void
putf(struct printer *p, const char *format, ...)
{
    char piece[160];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(piece, sizeof(piece), format, args);
    va_end(args);
    size_t length = n > 0 ? sn_min((size_t)n, sizeof(piece) - 1) : 0;
    sn_assert((int)length == n);
    put_bytes(p, piece, length);
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

/** A string in quotes. The formats share the escapes of quote, backslash and newline; Prometheus
 * takes every other character as it is, JSON no control character. */
static void
put_quoted(struct printer *p, const char *text)
{
    put(p, "\"");
    while (*text) {
        size_t n = utf8_length(text);
        if (*text == '\n')
            put(p, "\\n");
        else if (*text == '"' || *text == '\\')
            putf(p, "\\%c", *text);
        else if (n == 0)
            put(p, "\xef\xbf\xbd"); /* U+FFFD */
        else if (((unsigned char)*text < 0x20 || *text == 0x7f) &&
                 p->format != HANDLE_STATS_PROMETHEUS)
            putf(p, "\\u%04x", (unsigned)*text);
        else
            put_bytes(p, text, n);
        text += n ? n : 1;
    }
    put(p, "\"");
}

/* ---- numbers --------------------------------------------------------------------------------- */

/** Room for any number. */
#define NUMBER_BYTES 32
typedef char number[NUMBER_BYTES];

typedef unsigned long long ull; /* for printf */

/** a * parts / b, rounded down; 0 when b is 0. */
static uint64_t
share(uint64_t a, uint64_t b, uint64_t parts)
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

/** value / 10^decimals. */
static const char *
fixed(number text, uint64_t value, unsigned decimals)
{
    uint64_t one = 1;
    for (unsigned i = 0; i < decimals; i++)
        one *= 10;
    snprintf(text, NUMBER_BYTES, "%llu.%0*llu", (ull)(value / one), (int)decimals,
             (ull)(value % one));
    return text;
}

/** With a unit that leaves at most four digits, or no fraction. */
static const char *
duration(number text, uint64_t ns)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    unsigned unit = 0;
    for (; unit < 3 && (ns >= 10000 || (ns >= 1000 && ns % 1000 == 0)); unit++)
        ns /= 1000;
    snprintf(text, NUMBER_BYTES, "%llu %s", (ull)ns, units[unit]);
    return text;
}

static const char *
mebibytes(number text, uint64_t bytes)
{
    return fixed(text, share(bytes, 1 << 20, 10), 1);
}

/** The printed object's member; i: which element of an array. */
static uint64_t
load(const struct printer *p, const struct field *f, unsigned i)
{
    const char *base = p->size_class ? (const char *)p->size_class : (const char *)p->stats;
    uint32_t half;
    uint64_t whole;
    if (f->kind == COUNT_32 || f->kind == IDLE || f->kind == SHRINK || f->kind == FAILURE) {
        memcpy(&half, base + f->offset, sizeof(half));
        return half;
    }
    memcpy(&whole, base + f->offset + i * sizeof(whole), sizeof(whole));
    return whole;
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
    return fixed(text, share(steps[i + 1], steps[i], 10000), 4);
}

/** A figure that is one number, as the format wants it. */
static const char *
scalar(const struct printer *p, const struct field *f, number text)
{
    if (f->kind == RATIO)
        return ratio(p, f->offset, text);
    uint64_t value = load(p, f, 0);
    bool ns = f->kind == NS || f->kind == NS_TOTAL;
    if (ns && p->format == HANDLE_STATS_TEXT)
        return duration(text, value);
    if (ns && p->format == HANDLE_STATS_PROMETHEUS)
        return fixed(text, value, 9);
    if (f->kind == PERMILLE && p->format == HANDLE_STATS_PROMETHEUS)
        return fixed(text, value, 3);
    if (f->kind == BYTES_SIGNED)
        snprintf(text, NUMBER_BYTES, "%lld", (long long)value);
    else
        snprintf(text, NUMBER_BYTES, "%llu", (ull)value);
    return text;
}

/* ---- histograms and classes ------------------------------------------------------------------ */

#define BUCKETS (sizeof(((struct handle_histogram *)0)->bucket) / sizeof(uint64_t))

static const struct handle_histogram *
histogram(const struct printer *p, const struct field *f)
{
    return (const struct handle_histogram *)(const void *)((const char *)p->stats + f->offset);
}

/** All that the buckets hold. The member count may be ahead of them while others are at work. */
static uint64_t
samples(const struct handle_histogram *h)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < BUCKETS; i++)
        sum += h->bucket[i];
    return sum;
}

/** At least `percent` of the durations are not above the result: a bucket's upper bound. */
static uint64_t
percentile_ns(const struct handle_histogram *h, unsigned percent)
{
    uint64_t total = samples(h), seen = 0;
    uint64_t rank = total - share(total, 100, 100 - percent);
    for (size_t i = 0; i < BUCKETS - 1; i++) {
        seen += h->bucket[i];
        if (seen >= rank)
            return sn_min(h->max_ns, UINT64_C(1000) << i);
    }
    return h->max_ns;
}

/** The class whose figures are printed has something to show in a section. */
static bool
class_shows(const struct printer *p, enum section section)
{
    for (const struct field *f = sn_class_fields; f->name; f++)
        for (unsigned i = 0; f->section == section && i < elements(f); i++)
            if (load(p, f, i) != 0)
                return true;
    return false;
}

/** Goes on to the next class with spans, or (spans_only: no) with counts of any kind. */
static bool
next_class(struct printer *p, bool spans_only)
{
    const struct handle_class_stats *first = p->classes;
    const struct handle_class_stats *end = first + sn_min(p->stats->classes, HANDLE_CLASSES_MAX);
    for (p->size_class = p->size_class ? p->size_class + 1 : first; p->size_class < end;
         p->size_class++) {
        if (p->size_class->spans > 0)
            return true;
        if (!spans_only && (class_shows(p, CLASS_SPANS) || class_shows(p, CLASS_SLOTS) ||
                            class_shows(p, CLASS_MOVES)))
            return true;
    }
    p->size_class = NULL;
    return false;
}

/* ---- TEXT ------------------------------------------------------------------------------------ */

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
    putf(p, "%c %-28s %20s %11s %7s  ", mark, name, columns[0], columns[1], columns[2]);
    put(p, help);
    put(p, "\n");
}

static void
text_scalar(struct printer *p, const struct field *f)
{
    number value, mib, percent;
    const char *columns[3] = {scalar(p, f, value), "", ""};
    char mark = ' ';
    if (f->kind == BYTES || f->kind == BYTES_TOTAL)
        columns[1] = mebibytes(mib, load(p, f, 0));
    if (f->section == MEMORY) {
        mark = f->offset == offsetof(struct handle_stats, committed) ? '=' : '+';
        columns[2] = fixed(percent, share(load(p, f, 0), p->stats->committed, 1000), 1);
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
        snprintf(value, sizeof(value), "%llu", (ull)load(p, f, 0));
        text_row(p, ' ', f->name, columns, sn_reason_of(f->kind, load(p, f, 0))->text);
        return;
    }
    putf(p, "  %s: %s\n", f->name, f->help);
    for (unsigned i = 0; i < elements(f); i++) {
        const struct reason *reason = sn_reason_of(f->kind, i);
        snprintf(value, sizeof(value), "%llu", (ull)load(p, f, i));
        snprintf(name, sizeof(name), "  %s", reason->word);
        text_row(p, ' ', name, columns, reason->text);
    }
}

static void
text_times(struct printer *p, const struct field *f)
{
    const struct handle_histogram *h = histogram(p, f);
    number a, b, c, d;
    putf(p, "  %s: %s\n", f->name, f->help);
    putf(p, "    %llu, mean %s, p50 %s, p99 %s, max %s\n", (ull)h->count,
         duration(a, h->count ? h->sum_ns / h->count : 0), duration(b, percentile_ns(h, 50)),
         duration(c, percentile_ns(h, 99)), duration(d, h->max_ns));
    for (size_t i = 0; i < BUCKETS; i++) {
        bool last = i == BUCKETS - 1;
        if (h->bucket[i] > 0)
            putf(p, "    %8s %-12s %11llu %7s %%\n", last ? "at least" : "below",
                 duration(a, UINT64_C(1000) << (last ? i - 1 : i)), (ull)h->bucket[i],
                 fixed(b, share(h->bucket[i], samples(h), 1000), 1));
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
    putf(p, "\n%s\nclass      size", titles[section]);
    for (const struct field *f = sn_class_fields; f->name; f++)
        for (unsigned i = 0; f->section == section && i < elements(f); i++)
            putf(p, " %*s", column_width(f),
                 elements(f) > 1 ? sn_reason_of(f->kind, i)->word : f->name);
    put(p, section == CLASS_SPANS ? "    partly         MiB    cum. MiB\n" : "\n");
}

/** Classes that have spans and something to show; no table at all when there are none. */
static void
text_classes(struct printer *p, enum section section)
{
    uint64_t bytes = 0;
    number mib, sum;
    for (bool first = true; next_class(p, true);) {
        const struct handle_class_stats *c = p->size_class;
        if (!class_shows(p, section))
            continue;
        if (first)
            text_class_head(p, section);
        first = false;
        putf(p, "%5u %9llu", (unsigned)(c - p->classes), (ull)c->object_bytes);
        for (const struct field *f = sn_class_fields; f->name; f++)
            for (unsigned i = 0; f->section == section && i < elements(f); i++)
                putf(p, " %*llu", column_width(f), (ull)load(p, f, i));
        bytes += c->spans * c->span_bytes;
        if (section == CLASS_SPANS)
            putf(p, " %9llu %11s %11s", (ull)(c->spans - sn_min(c->spans_full, c->spans)),
                 mebibytes(mib, c->spans * c->span_bytes), mebibytes(sum, bytes));
        put(p, "\n");
    }
}

static void
print_text(struct printer *p)
{
    put(p, "store ");
    put_quoted(p, p->store);
    put(p, "\n");
    for (unsigned section = MEMORY; section < CLASS_KEY; section++) {
        putf(p, "\n%s\n", titles[section]);
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

/* ---- JSON ------------------------------------------------------------------------------------ */

static void
json_times(struct printer *p, const struct handle_histogram *h)
{
    putf(p, "{\"count\": %llu, \"sum_ns\": %llu, \"max_ns\": %llu", (ull)h->count, (ull)h->sum_ns,
         (ull)h->max_ns);
    putf(p, ", \"p50_ns\": %llu, \"p99_ns\": %llu, \"bucket\": [", (ull)percentile_ns(h, 50),
         (ull)percentile_ns(h, 99));
    for (size_t i = 0; i < BUCKETS; i++)
        putf(p, "%s%llu", i ? ", " : "", (ull)h->bucket[i]);
    put(p, "]}");
}

/** An object with a member for each reason; occupancy, counted by number, is an array. */
static void
json_elements(struct printer *p, const struct field *f)
{
    bool array = f->kind == OCCUPANCY;
    put(p, array ? "[" : "{");
    for (unsigned i = 0; i < elements(f); i++) {
        put(p, i ? ", " : "");
        if (!array)
            putf(p, "\"%s\": ", sn_reason_of(f->kind, i)->word);
        putf(p, "%llu", (ull)load(p, f, i));
    }
    put(p, array ? "]" : "}");
}

static void
json_field(struct printer *p, const struct field *f, const char *separator)
{
    number text;
    putf(p, "%s\"%s\": ", separator, f->name);
    if (f->kind == TIMES)
        json_times(p, histogram(p, f));
    else if (elements(f) > 1)
        json_elements(p, f);
    else
        put(p, scalar(p, f, text));
    if (f->kind == IDLE || f->kind == SHRINK || f->kind == FAILURE) {
        const struct reason *reason = sn_reason_of(f->kind, load(p, f, 0));
        putf(p, "%s\"%s_word\": \"%s\"", separator, f->name, reason->word);
        putf(p, "%s\"%s_text\": \"%s\"", separator, f->name, reason->text);
    }
}

static void
print_json(struct printer *p)
{
    put(p, "{\n  \"store\": ");
    put_quoted(p, p->store);
    for (const struct field *f = sn_store_fields; f->name; f++)
        json_field(p, f, ",\n  ");
    put(p, ",\n  \"class_stats\": [");
    for (bool first = true; next_class(p, false); first = false) {
        put(p, first ? "\n    {" : ",\n    {");
        for (const struct field *f = sn_class_fields; f->name; f++)
            json_field(p, f, f == sn_class_fields ? "" : ", ");
        put(p, "}");
    }
    put(p, "\n  ]\n}\n");
}

/* ---- PROMETHEUS ------------------------------------------------------------------------------ */

static void
put_metric(struct printer *p, const struct field *f, bool of_class)
{
    const char *ending = sn_kinds[f->kind].ending;
    size_t length = strlen(f->name), cut = strlen(ending);
    if (length > cut && strcmp(f->name + length - cut, ending) == 0)
        length -= cut;
    put(p, of_class ? "sinter_class_" : "sinter_");
    put_bytes(p, f->name, length);
    put(p, sn_kinds[f->kind].metric);
}

static void
metric_head(struct printer *p, const struct field *f, bool of_class)
{
    put(p, "# HELP ");
    put_metric(p, f, of_class);
    putf(p, " %s\n# TYPE ", f->help);
    put_metric(p, f, of_class);
    putf(p, " %s\n", sn_kinds[f->kind].type);
}

/** A line. part: behind the metric's name; label (or NULL) and word: one label more. */
static void
sample(struct printer *p, const struct field *f, const char *part, const char *label,
       const char *word, const char *value)
{
    put_metric(p, f, p->size_class != NULL);
    putf(p, "%s{store=", part);
    put_quoted(p, p->store);
    if (p->size_class)
        putf(p, ",size_class=\"%llu\"", (ull)p->size_class->object_bytes);
    if (label)
        putf(p, ",%s=\"%s\"", label, word);
    putf(p, "} %s\n", value);
}

/** The count is the buckets' sum, so that it equals +Inf. Bounds here include, the buckets' do not:
 * a duration of exactly 2^n microseconds is one bucket too high. */
static void
sample_times(struct printer *p, const struct field *f)
{
    const struct handle_histogram *h = histogram(p, f);
    uint64_t seen = 0;
    number bound, value;
    for (size_t i = 0; i < BUCKETS; i++) {
        const char *le = i < BUCKETS - 1 ? fixed(bound, UINT64_C(1) << i, 6) : "+Inf";
        seen += h->bucket[i];
        snprintf(value, sizeof(value), "%llu", (ull)seen);
        sample(p, f, "_bucket", "le", le, value);
    }
    sample(p, f, "_count", NULL, NULL, value);
    sample(p, f, "_sum", NULL, NULL, fixed(value, h->sum_ns, 9));
}

static void
samples_of(struct printer *p, const struct field *f)
{
    number value;
    if (f->kind == TIMES)
        sample_times(p, f);
    else if (!sn_kinds[f->kind].reasons)
        sample(p, f, "", NULL, NULL, scalar(p, f, value));
    for (unsigned i = 0; i < sn_kinds[f->kind].count; i++) {
        uint64_t n = elements(f) > 1 ? load(p, f, i) : load(p, f, 0) == i;
        snprintf(value, sizeof(value), "%llu", (ull)n);
        sample(p, f, "", sn_kinds[f->kind].label, sn_reason_of(f->kind, i)->word, value);
    }
}

static void
print_prometheus(struct printer *p)
{
    for (const struct field *f = sn_store_fields; f->name; f++) {
        metric_head(p, f, false);
        samples_of(p, f);
    }
    for (const struct field *f = sn_class_fields; f->name; f++) {
        if (f->section == CLASS_KEY)
            continue; /* it is a label */
        metric_head(p, f, true);
        while (next_class(p, false))
            samples_of(p, f);
    }
}

/* ---- entry ----------------------------------------------------------------------------------- */

int
sn_stats_print(const struct handle_stats *stats, const struct handle_class_stats *classes,
               const char *name, enum handle_stats_format format,
               void (*write)(void *opaque, const char *text, size_t length), void *opaque)
{
    static void (*const print[])(struct printer *) = {
        [HANDLE_STATS_TEXT] = print_text,
        [HANDLE_STATS_JSON] = print_json,
        [HANDLE_STATS_PROMETHEUS] = print_prometheus,
    };
    if (!stats || !classes || !name || !write ||
        (unsigned)format >= sizeof(print) / sizeof(print[0]))
        return -EINVAL;
    struct printer p;
    p.write = write;
    p.opaque = opaque;
    p.format = format;
    p.store = name;
    p.stats = stats;
    p.classes = classes;
    p.size_class = NULL;
    p.used = 0;
    print[format](&p);
    flush(&p);
    return 0;
}

static int
count_requested(handle_store *store, struct handle_stats *stats)
{
    size_t bytes;
    int result = sn_walk_requested(store, &bytes);
    if (result == 0)
        sn_stats_set_requested(stats, bytes);
    return result;
}

int
handle_store_stats_print(handle_store *store, enum handle_stats_format format,
                         void (*write)(void *opaque, const char *text, size_t length), void *opaque)
{
    unsigned of = (unsigned)format & ~(unsigned)HANDLE_STATS_EXACT;
    bool exact = of != (unsigned)format;
    sn_check_call(store, exact ? SN_REGISTERED : SN_ANYWHERE, 0, NULL);
    if (!store || !write || of > HANDLE_STATS_PROMETHEUS)
        return -EINVAL;
    SN_NO_CANCELLATION;
    struct handle_stats stats;
    struct handle_class_stats *classes = sn_os_zalloc(store->classes.count * sizeof(*classes));
    if (!classes)
        return -ENOMEM;
    sn_stats_fill_whole(store, &stats, classes);
    int result = exact ? count_requested(store, &stats) : 0;
    if (result == 0)
        result = sn_stats_print(&stats, classes, store->name, (enum handle_stats_format)of, write,
                                opaque);
    sn_os_free(classes);
    return result;
}
