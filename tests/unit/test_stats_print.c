/* SPDX-License-Identifier: MIT */
/*
 * test_stats_print.c - printing of statistics, without a store: a struct in, text out. Every word
 * of the struct is found again in JSON, every number of JSON in the other two formats. A strict
 * reader goes over the Prometheus text, and is itself shown to refuse what is wrong. That JSON is
 * JSON is held by the interface tests, which have a validator.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "exposition.h"
#include "insight/stats_fields.h"
#include "insight/stats_print.h"

/* ---- printing into memory -------------------------------------------------------------------- */

struct text {
    char *bytes;
    size_t length;
};

static void
append(void *opaque, const char *piece, size_t length)
{
    struct text *text = opaque;
    assert_true(length > 0 && length <= SN_PRINT_PIECE_BYTES);
    text->bytes = realloc(text->bytes, text->length + length + 1);
    assert_non_null(text->bytes);
    memcpy(text->bytes + text->length, piece, length);
    text->length += length;
    text->bytes[text->length] = '\0';
}

/* The store's figures and, behind them, those of its classes. */
struct figures {
    struct handle_stats store;
    struct handle_class_stats classes[HANDLE_CLASSES_MAX];
};

static struct handle_class_stats *
classes_of(struct handle_stats *stats)
{
    return ((struct figures *)(void *)stats)->classes;
}

/* The caller frees the result. */
static char *
print_as(struct handle_stats *stats, const char *name, enum handle_stats_format format)
{
    struct text text = {NULL, 0};
    assert_int_equal(sn_stats_print(stats, classes_of(stats), name, format, append, &text), 0);
    assert_non_null(text.bytes);
    assert_int_equal(strlen(text.bytes), text.length);
    assert_int_equal(text.bytes[text.length - 1], '\n');
    return text.bytes;
}

static struct handle_stats *
new_stats(void)
{
    struct figures *figures = calloc(1, sizeof(*figures));
    assert_non_null(figures);
    figures->store.struct_size = sizeof(figures->store);
    return &figures->store;
}

#define USED_CLASSES 3
/* Members that are one number, ratios and maxima included, the three reasons not. */
#define SCALARS 55

/* A number of its own in every word, as far as they are numbers. */
static struct handle_stats *
stamped_stats(void)
{
    struct handle_stats *stats = new_stats();
    uint64_t *word = (uint64_t *)(void *)stats;
    size_t words = offsetof(struct figures, classes[USED_CLASSES]) / sizeof(*word);
    for (size_t i = 0; i < words; i++)
        word[i] = 1000003 * (i + 17);
    stats->struct_size = sizeof(*stats);
    stats->idle_reason = HANDLE_IDLE_BACKOFF;
    stats->shrink_reason = HANDLE_SHRINK_LIMBO;
    stats->classes = USED_CLASSES;
    stats->alloc_failure_reason = HANDLE_ALLOC_FAILURE_ARENA_SMALL;
    return stats;
}

/* ---- finding numbers ------------------------------------------------------------------------- */

/* What stands behind the first line that begins so, up to a space or a comma. */
static bool
line_value(const char *text, const char *beginning, char value[64])
{
    size_t length = strlen(beginning);
    for (; *text; text = strchr(text, '\n') + 1)
        if (strncmp(text, beginning, length) == 0)
            return sscanf(text + length, " %63[^ ,\n]", value) == 1;
    return false;
}

static void
assert_line(const char *text, const char *beginning, const char *expected)
{
    char value[64] = "";
    if (!line_value(text, beginning, value) || strcmp(value, expected) != 0)
        print_error("\"%s\": expected %s, found %s\n", beginning, expected, value);
    assert_string_equal(value, expected);
}

static bool
has_number(const char *text, uint64_t number)
{
    char digits[24];
    size_t length = (size_t)snprintf(digits, sizeof(digits), "%llu", (unsigned long long)number);
    for (const char *at = text; (at = strstr(at, digits)) != NULL; at++)
        if (!isdigit((unsigned char)at[-1]) && !isdigit((unsigned char)at[length]))
            return true;
    return false;
}

/* The next member `"name": number` behind *at. False: there is none. */
static bool
next_number(const char **at, char name[48], char value[64])
{
    for (; (*at = strchr(*at, '"')) != NULL; *at += strcspn(*at + 1, "\"") + 2)
        if (sscanf(*at, "\"%47[a-z0-9_]\": %63[-0-9.]", name, value) == 2) {
            *at = strchr(*at, ':');
            return true;
        }
    return false;
}

/* ---- a reader of the exposition format ------------------------------------------------------- */

static void
assert_exposition(const char *text)
{
    const char *where = text, *fault = exposition_fault(text, &where);
    if (fault)
        print_error("%s: %.*s\n", fault, (int)strcspn(where, "\n"), where);
    assert_null(fault);
}

/* What the reader must find fault with. */
static void
the_reader_says_no(void **state)
{
    (void)state;
#define HEAD(name, type) "# HELP " name " x\n# TYPE " name " " type "\n"
#define TIMES            HEAD("a_seconds", "histogram") "a_seconds_bucket"
    static const char *const bad[] = {
        "a{s=\"x\"} 1\n",
        "# HELP a x\na{s=\"x\"} 1\n",
        HEAD("a", "gauge") "a{s=\"x\"} 1",
        HEAD("a", "gauge") "b{s=\"x\"} 1\n",
        HEAD("a", "gauge") "a{s=\"x\"} 1\na{s=\"x\"} 2\n",
        HEAD("a", "gauge") "a{s=\"x\"} 1\n" HEAD("a", "gauge"),
        HEAD("a", "gauge") "a{s=\"x\"} 0,5\n",
        HEAD("a", "gauge") "a{s=\"x\"y\"} 1\n",
        HEAD("a", "gauge") "a{s=\"\\t\"} 1\n",
        HEAD("a", "gauge") "a{s=\"\xc0\x80\"} 1\n",
        HEAD("a", "gauge") "a{s=\"\xed\xa0\x80\"} 1\n",
        HEAD("a", "gauge") "a{s=\"\n\"} 1\n",
        HEAD("a", "counter") "a{s=\"x\"} 1\n",
        HEAD("a_total", "counter") "a_total{s=\"x\"} -1\n",
        HEAD("a_total", "gauge") "a_total{s=\"x\"} 1\n",
        HEAD("a_ns", "gauge") "a_ns{s=\"x\"} 1\n",
        HEAD("a_seconds", "histogram"),
        TIMES "{le=\"1\"} 2\na_seconds_bucket{le=\"2\"} 1\n",
        TIMES "{le=\"2\"} 1\na_seconds_bucket{le=\"1\"} 2\n",
        TIMES "{le=\"+Inf\"} 1\na_seconds_sum{s=\"\"} 2\na_seconds_count{s=\"\"} 2\n",
        TIMES "{le=\"+Inf\"} 1\na_seconds_count{s=\"\"} 1\n",
    };
    const char *where;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_non_null(exposition_fault(bad[i], &where));
    assert_exposition(TIMES
                      "{le=\"+Inf\"} 1\na_seconds_sum{s=\"\"} 2\na_seconds_count{s=\"\"} 1\n");
}

/* ---- no figure is missing -------------------------------------------------------------------- */

/* Words that are no figure: the elements behind the last reason. */
static bool
is_spare(size_t at, size_t refused)
{
    return at >= refused + HANDLE_REFUSED_REASONS * 8 && at < refused + 8 * 8;
}

static void
every_word_is_in_json(void **state)
{
    (void)state;
    struct handle_stats *stats = stamped_stats();
    char *text = print_as(stats, "s", HANDLE_STATS_JSON);
    const uint64_t *word = (const uint64_t *)(const void *)stats;
    const size_t classes = offsetof(struct figures, classes);
    for (size_t at = 8; at < classes + USED_CLASSES * sizeof(struct handle_class_stats); at += 8) {
        if (at == offsetof(struct handle_stats, idle_reason) ||
            at == offsetof(struct handle_stats, dense_reason) ||
            at == offsetof(struct handle_stats, classes))
            continue; /* two members in a word */
        bool skip = at < classes ? is_spare(at, offsetof(struct handle_stats, refused))
                                 : is_spare((at - classes) % sizeof(struct handle_class_stats),
                                            offsetof(struct handle_class_stats, refused));
        if (has_number(text, word[at / 8]) == skip)
            print_error("the word at %zu is %s\n", at, skip ? "printed" : "missing");
        assert_int_equal(has_number(text, word[at / 8]), !skip);
    }
    assert_line(text, "  \"classes\":", "3");
    assert_line(text, "  \"idle_reason\":", "4");
    assert_line(text, "  \"idle_reason_word\":", "\"backoff\"");
    assert_line(text, "  \"shrink_reason\":", "3");
    assert_line(text, "  \"shrink_reason_word\":", "\"limbo\"");
    assert_line(text, "  \"alloc_failure_reason\":", "2");
    assert_line(text, "  \"alloc_failure_reason_word\":", "\"arena_small\"");
    assert_non_null(strstr(text, sn_idle_reason_text(HANDLE_IDLE_BACKOFF)));
    assert_non_null(strstr(text, sn_shrink_reason_text(HANDLE_SHRINK_LIMBO)));
    free(text);
    free(stats);
}

/* Exactly one series is the member's: its name without the unit, an ending that a base unit has,
 * these labels; and its value is in the base unit. */
static void
assert_series(const char *text, const char *prefix, const char *member, const char *labels,
              const char *expected)
{
    static const char *const endings[] = {"",         "_total",         "_bytes", "_bytes_total",
                                          "_seconds", "_seconds_total", "_ratio"};
    const char *unit = strrchr(member, '_') ? strrchr(member, '_') : "";
    bool ns = strcmp(unit, "_ns") == 0, permille = strcmp(unit, "_permille") == 0;
    bool base = strcmp(unit, "_bytes") == 0 || strcmp(unit, "_ratio") == 0;
    size_t stem = strlen(member) - (ns || permille || base ? strlen(unit) : 0);
    double wanted = strtod(expected, NULL) / (ns ? 1e9 : permille ? 1e3 : 1);
    unsigned found = 0;
    for (size_t i = 0; i < sizeof(endings) / sizeof(endings[0]); i++) {
        char beginning[256], value[64];
        snprintf(beginning, sizeof(beginning), "%s%.*s%s{%s} ", prefix, (int)stem, member,
                 endings[i], labels);
        found += line_value(text, beginning, value) && fabs(strtod(value, NULL) - wanted) < 1e-8;
    }
    if (found != 1)
        print_error("%u series for %s%s {%s} %s\n", found, prefix, member, labels, expected);
    assert_int_equal(found, 1);
}

/* The numbers of a line of JSON: a member, or a class. Result: how many were looked for. */
static unsigned
assert_line_in_prometheus(const char *text, const char *line)
{
    const char *prefix = "sinter_", *refused = strstr(line, "\"refused\": {");
    char name[48], value[64], labels[128] = "store=\"s\"";
    unsigned checked = 0;
    for (const char *at = line; next_number(&at, name, value);) {
        size_t used = strlen(labels);
        if (strcmp(name, "object_bytes") == 0) { /* it is a label */
            prefix = "sinter_class_";
            snprintf(labels + used, sizeof(labels) - used, ",size_class=\"%s\"", value);
            continue;
        }
        bool reason = refused && at > refused;
        if (reason)
            snprintf(labels + used, sizeof(labels) - used, ",reason=\"%s\"", name);
        assert_series(text, prefix, reason ? "refused" : name, labels, value);
        labels[used] = '\0';
        checked++;
    }
    return checked;
}

/* A row begins with a mark or a space; durations stand there with another unit. */
static unsigned
assert_line_in_text(const char *text, const char *line)
{
    char name[48], value[64], row[64], found[64];
    const char *at = line;
    if (strncmp(line, "  \"", 3) != 0 || strstr(line, ": {") || !next_number(&at, name, value))
        return 0;
    unsigned rows = 0;
    for (const char *mark = " +="; *mark; mark++) {
        snprintf(row, sizeof(row), "%c %s ", *mark, name);
        if (line_value(text, row, found))
            rows += strstr(name, "_ns") || strcmp(found, value) == 0;
    }
    if (rows != 1)
        print_error("%u rows for %s %s\n", rows, name, value);
    assert_int_equal(rows, 1);
    return 1;
}

static void
every_number_is_in_the_other_formats(void **state)
{
    (void)state;
    struct handle_stats *stats = stamped_stats();
    char *json = print_as(stats, "s", HANDLE_STATS_JSON);
    char *prometheus = print_as(stats, "s", HANDLE_STATS_PROMETHEUS);
    char *text = print_as(stats, "s", HANDLE_STATS_TEXT);
    unsigned series = 0, rows = 0;
    assert_exposition(prometheus);
    assert_null(strstr(prometheus, "object_bytes")); /* the label says it */
    for (char *line = strtok(json, "\n"); line; line = strtok(NULL, "\n")) {
        rows += assert_line_in_text(text, line);
        if (!strstr(line, "_reason") && !strstr(line, "\"p50_ns\""))
            series += assert_line_in_prometheus(prometheus, line);
    }
    assert_int_equal(rows, SCALARS + 4);
    assert_int_equal(series, SCALARS + 6 + USED_CLASSES * (11 + 6));
    free(text);
    free(prometheus);
    free(json);
    free(stats);
}

/* ---- single figures -------------------------------------------------------------------------- */

/* Round numbers, so that what is computed from them can be read off. */
static struct handle_stats *
round_stats(void)
{
    struct handle_stats *stats = new_stats();
    stats->requested = 1000000;
    stats->rounding = 150000;
    stats->header = 100000;
    stats->free_slot = 200000;
    stats->thread_cache = 30000;
    stats->limbo = 20000;
    stats->empty_span = 250000;
    stats->table = 200000;
    stats->metadata = 50000;
    stats->committed = 2000000;
    stats->resident = 5000000;
    stats->classes = 4;
    for (unsigned i = 0; i < 4; i++) {
        classes_of(stats)[i].object_bytes = 8 * (i + 1);
        classes_of(stats)[i].span_bytes = 65536;
        classes_of(stats)[i].spans = i == 1 ? 0 : 8 * (i + 1);
        classes_of(stats)[i].spans_full = i == 1 ? 0 : 3;
        classes_of(stats)[i].occupancy[i] = i;
    }
    classes_of(stats)[0].live = 100;
    return stats;
}

static void
breakdown_and_ratios(void **state)
{
    (void)state;
    struct handle_stats *stats = round_stats();
    char *text = print_as(stats, "s", HANDLE_STATS_TEXT), *json, *prometheus;
    const char *row = strstr(text, "\n+ requested ");
    double mib = 0, percent = 0;
    assert_non_null(row);
    assert_int_equal(sscanf(row, "\n+ requested 1000000 %lf %lf", &mib, &percent), 2);
    assert_true(mib == 0.9 && percent == 50.0);
    assert_non_null(row = strstr(text, "\n= committed "));
    assert_int_equal(sscanf(row, "\n= committed 2000000 %lf %lf", &mib, &percent), 2);
    assert_true(mib == 1.9 && percent == 100.0);
    json = print_as(stats, "s", HANDLE_STATS_JSON);
    assert_line(json, "  \"rounding_ratio\":", "1.2500");
    assert_line(json, "  \"spans_ratio\":", "1.2000");
    assert_line(json, "  \"retained_ratio\":", "1.3333");
    assert_line(json, "  \"process_ratio\":", "2.5000");
    free(text);
    free(json);
    memset(&stats->requested, 0, 9 * sizeof(uint64_t)); /* an empty store has no such ratios */
    stats->free_slot = 1;
    text = print_as(stats, "s", HANDLE_STATS_TEXT);
    json = print_as(stats, "s", HANDLE_STATS_JSON);
    prometheus = print_as(stats, "s", HANDLE_STATS_PROMETHEUS);
    assert_line(text, "  spans_ratio", "-");
    assert_line(json, "  \"spans_ratio\":", "null");
    assert_line(json, "  \"rounding_ratio\":", "null");
    assert_line(prometheus, "sinter_spans_ratio{store=\"s\"}", "NaN");
    free(text);
    free(json);
    free(prometheus);
    free(stats);
}

/* Classes without spans are left out, sums go on over them. */
static void
class_table(void **state)
{
    (void)state;
    struct handle_stats *stats = round_stats();
    char *text = print_as(stats, "s", HANDLE_STATS_TEXT);
    const char *at = strstr(text, "\nclass ");
    static const unsigned numbers[] = {0, 2, 3};
    double mib, sum, expected = 0;
    assert_non_null(at);
    for (unsigned i = 0; i < 3; i++) {
        unsigned class, size, live, free_slots, spans, full, partly, blocks = 8 * (numbers[i] + 1);
        at = strchr(at + 1, '\n');
        assert_int_equal(sscanf(at, "%u %u %u %u %u %u %u %lf %lf", &class, &size, &live,
                                &free_slots, &spans, &full, &partly, &mib, &sum),
                         9);
        expected += blocks / 16.0;
        assert_true(class == numbers[i] && size == 8 * (class + 1) && live == (class ? 0 : 100));
        assert_true(spans == blocks && full == 3 && partly == blocks - 3 && free_slots == 0);
        assert_true(mib == blocks / 16.0 && sum == expected);
    }
    assert_int_equal(strncmp(strchr(at + 1, '\n'), "\n\n", 2), 0);
    assert_null(strstr(text, "\n    1 "));
    free(text);
    /* without spans, but with counts: for programs only */
    char *prometheus = print_as(stats, "s", HANDLE_STATS_PROMETHEUS);
    assert_line(prometheus, "sinter_class_occupancy{store=\"s\",size_class=\"16\",eighth=\"2\"}",
                "1");
    assert_line(prometheus, "sinter_class_spans{store=\"s\",size_class=\"16\"}", "0");
    classes_of(stats)[1].occupancy[1] = 0;
    free(prometheus);
    prometheus = print_as(stats, "s", HANDLE_STATS_PROMETHEUS);
    assert_null(strstr(prometheus, "size_class=\"16\""));
    free(prometheus);
    free(stats);
}

static void
histograms(void **state)
{
    (void)state;
    struct handle_stats *stats = new_stats();
    struct handle_histogram *h = &stats->slice;
    h->bucket[0] = 10;
    h->bucket[9] = 85; /* 256 to 512 us */
    h->bucket[12] = 4; /* 2048 to 4096 us */
    h->bucket[23] = 1; /* 4.19 s and more */
    h->count = 100;
    h->max_ns = 5000000000;
    h->sum_ns = 5050000000;
    char *json = print_as(stats, "s", HANDLE_STATS_JSON);
    assert_non_null(strstr(json, "\"p50_ns\": 512000, \"p99_ns\": 4096000,"));
    free(json);
    h->max_ns = 3000000; /* inside the bucket that p99 falls into */
    json = print_as(stats, "s", HANDLE_STATS_JSON);
    assert_non_null(strstr(json, "\"p50_ns\": 512000, \"p99_ns\": 3000000,"));
    free(json);
    h->max_ns = 5000000000;
    h->bucket[23]++; /* two above 99 % */
    json = print_as(stats, "s", HANDLE_STATS_JSON);
    assert_non_null(strstr(json, "\"p50_ns\": 512000, \"p99_ns\": 5000000000,"));
    free(json);
    char *prometheus = print_as(stats, "s", HANDLE_STATS_PROMETHEUS);
    assert_exposition(prometheus);
#define SLICE(le) "sinter_slice_seconds_bucket{store=\"s\",le=\"" le "\"}"
    assert_line(prometheus, SLICE("0.000001"), "10");
    assert_line(prometheus, SLICE("0.000256"), "10");
    assert_line(prometheus, SLICE("0.000512"), "95");
    assert_line(prometheus, SLICE("4.194304"), "99");
    assert_line(prometheus, SLICE("+Inf"), "101"); /* the buckets', whatever count says */
    assert_line(prometheus, "sinter_slice_seconds_count{store=\"s\"}", "101");
    assert_line(prometheus, "sinter_slice_seconds_sum{store=\"s\"}", "5.050000000");
    assert_line(prometheus, "sinter_slice_max_seconds{store=\"s\"}", "5.000000000");
    free(prometheus);
    char *text = print_as(stats, "s", HANDLE_STATS_TEXT);
    assert_non_null(strstr(text, "100, mean 50 ms, p50 512 us, p99 5 s, max 5 s\n"));
    assert_non_null(strstr(text, "below 512 us "));
    assert_non_null(strstr(text, "at least 4194 ms "));
    free(text);
    free(stats);
}

/* ---- reasons --------------------------------------------------------------------------------- */

static void
assert_reasons(const char *(*text)(uint32_t), unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_true(strlen(text(i)) > 0 && strcmp(text(i), "unknown") != 0);
        for (unsigned j = 0; j < i; j++)
            assert_string_not_equal(text(i), text(j));
    }
    assert_string_equal(text(count), "unknown");
    assert_string_equal(text(UINT32_MAX), "unknown");
}

/* A reason is one series each, of which one is 1; an unknown number is none of them. */
static void
reasons(void **state)
{
    (void)state;
    assert_reasons(sn_idle_reason_text, HANDLE_IDLE_REASONS);
    assert_reasons(sn_shrink_reason_text, HANDLE_SHRINK_REASONS);
    assert_reasons(sn_alloc_failure_text, HANDLE_ALLOC_FAILURES);
    assert_reasons(sn_dense_reason_text, HANDLE_DENSE_REASONS);
    assert_reasons(sn_refusal_text, HANDLE_REFUSED_REASONS);
    struct handle_stats *stats = new_stats();
    for (unsigned reason = 0; reason <= HANDLE_IDLE_REASONS; reason++) {
        stats->idle_reason = reason;
        char *text = print_as(stats, "s", HANDLE_STATS_TEXT);
        char *prometheus = print_as(stats, "s", HANDLE_STATS_PROMETHEUS);
        unsigned series = 0, set = 0, at = 0;
        for (const char *line = prometheus; (line = strstr(line, "\nsinter_idle_reason{"));
             line++) {
            unsigned value = 2;
            assert_int_equal(sscanf(strchr(line, '}'), "} %u", &value), 1);
            assert_true(value <= 1);
            at = value ? series : at;
            set += value;
            series++;
        }
        assert_int_equal(series, HANDLE_IDLE_REASONS);
        assert_true(reason == HANDLE_IDLE_REASONS ? set == 0 : set == 1 && at == reason);
        assert_non_null(strstr(text, sn_idle_reason_text(reason)));
        free(text);
        free(prometheus);
    }
    free(stats);
}

/* ---- names, extremes, errors ----------------------------------------------------------------- */

static void
names_are_escaped(void **state)
{
    (void)state;
    static const struct {
        const char *name, *json, *prometheus;
    } names[] = {
        {"", "\"\"", "\"\""},
        {"a\"b\\c\nd", "\"a\\\"b\\\\c\\nd\"", "\"a\\\"b\\\\c\\nd\""},
        {"%s%n", "\"%s%n\"", "\"%s%n\""},
        {"\t\x01\x1f\x7f", "\"\\u0009\\u0001\\u001f\\u007f\"", "\"\t\x01\x1f\x7f\""},
        {"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xbc\xe2\x82\xac\xf0\x9f\x98\x80\"", NULL},
        {"a\xff", "\"a\xef\xbf\xbd\"", NULL},
        {"\xc3", "\"\xef\xbf\xbd\"", NULL}, /* cut off */
        {"\xe2\x82z", "\"\xef\xbf\xbd\xef\xbf\xbdz\"", NULL},
        {"\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"", NULL},                 /* overlong */
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"", NULL}, /* a surrogate */
    };
    struct handle_stats *stats = new_stats();
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char expected[128];
        char *text = print_as(stats, names[i].name, HANDLE_STATS_JSON);
        int n = snprintf(expected, sizeof(expected), "{\n  \"store\": %s,\n", names[i].json);
        assert_memory_equal(text, expected, (size_t)n);
        free(text);
        text = print_as(stats, names[i].name, HANDLE_STATS_PROMETHEUS);
        const char *label = names[i].prometheus ? names[i].prometheus : names[i].json;
        snprintf(expected, sizeof(expected), "\nsinter_pins{store=%s} 0\n", label);
        assert_non_null(strstr(text, expected));
        assert_exposition(text);
        free(text);
    }
    free(stats);
}

/* Names of any bytes: every label is UTF-8 and ends where it should. TEST_SEED repeats a run. */
static void
names_of_any_bytes(void **state)
{
    (void)state;
    const char *given = getenv("TEST_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
    print_message("names_of_any_bytes: TEST_SEED=%u\n", seed);
    struct handle_stats *stats = new_stats();
    for (unsigned round = 0; round < 300; round++) {
        char name[32] = "";
        unsigned length = (unsigned)rand_r(&seed) % 32;
        for (unsigned i = 0; i < length; i++) {
            unsigned bits = (unsigned)rand_r(&seed) >> 8;
            name[i] = (char)(bits % 3 ? 0x80 | bits % 128 : 1 + bits % 127);
        }
        char *text = print_as(stats, name, HANDLE_STATS_PROMETHEUS);
        assert_exposition(text);
        free(text);
        text = print_as(stats, name, HANDLE_STATS_JSON);
        for (const char *at = text; *at; at += exposition_character(at))
            assert_true(exposition_character(at) > 0 &&
                        ((unsigned char)*at >= 0x20 || *at == '\n'));
        free(text);
    }
    free(stats);
}

/* Nothing divides by 0, overflows a buffer or loops, whatever stands in the struct. */
static void
extremes(void **state)
{
    (void)state;
    struct handle_stats *stats = new_stats();
    for (unsigned fill = 0; fill < 3; fill++) {
        memset(stats, fill == 0 ? 0 : fill == 1 ? 0xff : 0x80, sizeof(struct figures));
        for (unsigned i = 0; i < HANDLE_CLASSES_MAX; i++)
            classes_of(stats)[i].object_bytes = i;
        char *text = print_as(stats, "s", HANDLE_STATS_TEXT);
        char *json = print_as(stats, "s", HANDLE_STATS_JSON);
        assert_int_equal(strstr(json, "\"object_bytes\": 255,") != NULL, fill > 0);
        assert_int_equal(strstr(text, "\n  255       255 ") != NULL, fill > 0);
        assert_line(json, "  \"resident_unexplained\":",
                    fill == 0   ? "0"
                    : fill == 1 ? "-1"
                                : "-9187201950435737472");
        free(json);
        free(text);
    }
    free(stats);
}

static void
refusals(void **state)
{
    (void)state;
    struct handle_stats *stats = new_stats();
    struct text text = {NULL, 0};
    assert_int_equal(sn_stats_print(NULL, classes_of(stats), "s", HANDLE_STATS_TEXT, append, &text),
                     -EINVAL);
    assert_int_equal(
        sn_stats_print(stats, classes_of(stats), NULL, HANDLE_STATS_TEXT, append, &text), -EINVAL);
    assert_int_equal(sn_stats_print(stats, classes_of(stats), "s", HANDLE_STATS_TEXT, NULL, &text),
                     -EINVAL);
    for (int format = -1; format <= 3; format += 4)
        assert_int_equal(sn_stats_print(stats, classes_of(stats), "s",
                                        (enum handle_stats_format)format, append, &text),
                         -EINVAL);
    assert_int_equal(handle_store_stats_print(NULL, HANDLE_STATS_TEXT, append, &text), -EINVAL);
    assert_null(text.bytes);
    free(stats);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reader_says_no),
        cmocka_unit_test(every_word_is_in_json),
        cmocka_unit_test(every_number_is_in_the_other_formats),
        cmocka_unit_test(breakdown_and_ratios),
        cmocka_unit_test(class_table),
        cmocka_unit_test(histograms),
        cmocka_unit_test(reasons),
        cmocka_unit_test(names_are_escaped),
        cmocka_unit_test(names_of_any_bytes),
        cmocka_unit_test(extremes),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests_name("stats_print", tests, NULL, NULL);
}
