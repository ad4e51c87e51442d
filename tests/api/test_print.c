/* SPDX-License-Identifier: MIT */
/*
 * test_print.c - the printed statistics: JSON that parses and says what the struct says,
 * Prometheus lines that follow the exposition format, text for people. Whether the numbers
 * themselves are right is test_stats.c's.
 */
#include "support.h"

#include "json.h"

#include <ctype.h>

struct printed {
    char *text;
    size_t length;
    unsigned pieces;
};

static void
append(void *opaque, const char *text, size_t length)
{
    struct printed *printed = opaque;
    printed->text = realloc(printed->text, printed->length + length + 1);
    assert_non_null(printed->text);
    memcpy(printed->text + printed->length, text, length);
    printed->length += length;
    printed->text[printed->length] = '\0';
    printed->pieces++;
}

/* The caller frees the text. Fails when a piece holds a 0 byte. */
static char *
print_stats(handle_store *store, enum handle_stats_format format)
{
    struct printed printed = {NULL, 0, 0};
    assert_int_equal(handle_store_stats_print(store, format, append, &printed), 0);
    assert_true(printed.pieces > 0 && printed.length > 100);
    assert_int_equal(strlen(printed.text), printed.length);
    return printed.text;
}

/* Something to print: objects of three kinds, frees, a compaction, a pin. */
static const void *
give_it_a_history(handle_store *store)
{
    static handle_t handles[3000];
    for (unsigned i = 0; i < 3000; i++)
        handles[i] = make_object(store, i, i);
    make_object(store, 300000, 1);
    for (unsigned i = 1; i < 3000; i++)
        if (i % 4)
            assert_int_equal(handle_free(store, handles[i]), 0);
    assert_int_equal(handle_store_compact(store, NULL), 0);
    settle(store);
    section_enter();
    const void *pinned = handle_pin(store, handles[0]);
    section_leave();
    return pinned;
}

static void
refusals(void **state)
{
    struct fixture *fixture = *state;
    struct printed printed = {NULL, 0, 0};
    assert_int_equal(
        handle_store_stats_print(fixture->store, (enum handle_stats_format)3, append, &printed),
        -EINVAL);
    assert_int_equal(handle_store_stats_print(fixture->store,
                                              (enum handle_stats_format)(HANDLE_STATS_EXACT + 3),
                                              append, &printed),
                     -EINVAL);
    assert_int_equal(
        handle_store_stats_print(fixture->store, (enum handle_stats_format) - 1, append, &printed),
        -EINVAL);
    assert_int_equal(printed.pieces, 0);
}

static void
assert_json(const char *text)
{
    size_t at = 0;
    bool valid = json_valid(text, &at);
    if (!valid)
        print_error("not JSON at %zu: %.60s\n", at, text + at);
    assert_true(valid);
    assert_int_equal(text[strspn(text, " \t\r\n")], '{');
}

/* The members of the struct, under their names, with their values. */
static void
json_says_what_the_struct_says(void **state)
{
    struct fixture *fixture = *state;
    const void *pinned = give_it_a_history(fixture->store);
    struct handle_stats stats = take_stats(fixture->store);
    char *text = print_stats(fixture->store, HANDLE_STATS_JSON);
    assert_json(text);
    const struct {
        const char *key;
        uint64_t value;
    } members[] = {
        {"requested", stats.requested},
        {"rounding", stats.rounding},
        {"header", stats.header},
        {"free_slot", stats.free_slot},
        {"thread_cache", stats.thread_cache},
        {"limbo", stats.limbo},
        {"empty_span", stats.empty_span},
        {"table", stats.table},
        {"metadata", stats.metadata},
        {"committed", stats.committed},
        {"released", stats.released},
        {"reserved", stats.reserved},
        {"objects", stats.objects},
        {"objects_large", stats.objects_large},
        {"allocs", stats.allocs},
        {"frees", stats.frees},
        {"pins", stats.pins},
        {"moved_objects", stats.moved_objects},
        {"moved_bytes", stats.moved_bytes},
        {"passes", stats.passes},
        {"max_bytes", stats.max_bytes},
        {"recoverable", stats.recoverable},
    };
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
        unsigned long long value = ~0ull;
        if (!json_number(text, members[i].key, &value) || value != members[i].value)
            print_error("%s: %llu\n", members[i].key, value);
        assert_true(value == members[i].value);
    }
    assert_true(stats.pins == 1 && stats.moved_objects > 0);
    assert_true(json_key_count(text, "committed") == 1);
    free(text);
    handle_unpin(fixture->store, pinned);
}

/* A name with everything that must be escaped in JSON and in a Prometheus label. */
static void
names_are_escaped(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[] = {"quote\"quote", "back\\slash", "new\nline",
                                        "tab\tbell\a",  "per%scent%n", "{}[],:"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        fixture->options.name = names[i];
        fixture_reopen(fixture);
        char *text = print_stats(fixture->store, HANDLE_STATS_JSON);
        assert_json(text);
        free(text);
        text = print_stats(fixture->store, HANDLE_STATS_PROMETHEUS);
        const char *name = strstr(text, "=\"");
        assert_non_null(name);
        if (strchr(names[i], '"'))
            assert_non_null(strstr(text, "quote\\\"quote"));
        if (strchr(names[i], '\\'))
            assert_non_null(strstr(text, "back\\\\slash"));
        if (strchr(names[i], '\n'))
            assert_non_null(strstr(text, "new\\nline"));
        if (strchr(names[i], '%'))
            assert_non_null(strstr(text, "per%scent%n"));
        free(text);
        text = print_stats(fixture->store, HANDLE_STATS_TEXT);
        free(text);
    }
}

/* ---- the exposition format ------------------------------------------------------------------- */

static size_t
metric_name(const char *text)
{
    size_t n = 0;
    while (isalnum((unsigned char)text[n]) || text[n] == '_' || text[n] == ':')
        n++;
    return isdigit((unsigned char)text[0]) ? 0 : n;
}

/* `name="value",...}` behind the brace; the length, or 0. */
static size_t
label_list(const char *text)
{
    size_t at = 0;
    while (text[at] != '}') {
        size_t n = metric_name(text + at);
        if (n == 0 || text[at + n] != '=' || text[at + n + 1] != '"')
            return 0;
        for (at += n + 2; text[at] != '"'; at++) {
            if (text[at] == '\n' || text[at] == '\0')
                return 0;
            if (text[at] == '\\' && !strchr("\\\"n", text[++at]))
                return 0;
        }
        at++;
        if (text[at] == ',')
            at++;
        else if (text[at] != '}')
            return 0;
    }
    return at + 1;
}

/** The metric whose # TYPE line came last. */
struct metric {
    char name[128];
    char type[32];
    unsigned count;
};

static bool
belongs_to(const struct metric *metric, const char *name, size_t length)
{
    static const char *const suffixes[] = {"", "_bucket", "_sum", "_count"};
    size_t base = strlen(metric->name);
    if (length < base || strncmp(name, metric->name, base) != 0)
        return false;
    bool histogram = strcmp(metric->type, "histogram") == 0;
    for (unsigned i = histogram ? 1 : 0; i < (histogram ? 4u : 1u); i++)
        if (length - base == strlen(suffixes[i]) &&
            strncmp(name + base, suffixes[i], length - base) == 0)
            return true;
    return false;
}

static bool
sample_line(const struct metric *metric, const char *line)
{
    size_t at = metric_name(line);
    if (at == 0 || !belongs_to(metric, line, at))
        return false;
    if (line[at] == '{') {
        size_t labels = label_list(line + at + 1);
        if (labels == 0)
            return false;
        at += 1 + labels;
    }
    if (line[at] != ' ')
        return false;
    char *end = NULL;
    strtod(line + at + 1, &end);
    return end != line + at + 1 && *end == '\0';
}

static bool
type_line(struct metric *metric, const char *line)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    if (sscanf(line, "# TYPE %127s %31s", metric->name, metric->type) != 2)
        return false;
    metric->count++;
    bool known = false;
    for (unsigned i = 0; i < 3; i++)
        known = known || strcmp(metric->type, types[i]) == 0;
    /* the convention of counters, and base units: bytes, seconds */
    size_t length = strlen(metric->name);
    bool total = length > 6 && strcmp(metric->name + length - 6, "_total") == 0;
    return known && metric_name(metric->name) == length && !strstr(metric->name, "_ns") &&
           total == (strcmp(metric->type, "counter") == 0);
}

static void
assert_exposition(char *text)
{
    struct metric metric = {"", "", 0};
    unsigned samples = 0;
    assert_int_equal(text[strlen(text) - 1], '\n');
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        bool good;
        if (strncmp(line, "# TYPE ", 7) == 0) {
            good = type_line(&metric, line);
        } else if (strncmp(line, "# HELP ", 7) == 0) {
            good = metric_name(line + 7) > 0;
        } else {
            good = sample_line(&metric, line);
            samples++;
        }
        if (!good)
            print_error("malformed: %s\n", line);
        assert_true(good);
    }
    assert_true(metric.count > 20 && samples > metric.count);
}

/* No series twice: every line before its value is unlike every other. */
static void
assert_series_differ(const char *text)
{
    static const char *keys[8192];
    unsigned n = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        if (*line == '#')
            continue;
        assert_true(n < 8192);
        keys[n++] = line;
    }
    for (unsigned i = 0; i < n; i++) {
        size_t length = strcspn(keys[i], "\n");
        while (keys[i][length] != ' ')
            length--;
        for (unsigned j = 0; j < i; j++)
            assert_true(strncmp(keys[i], keys[j], length + 1) != 0);
    }
}

/* The exact figure is that of a walk, in all formats; the memory breakdown still adds up. */
static void
exact_figures_are_counted(void **state)
{
    struct fixture *fixture = *state;
    const void *pinned = give_it_a_history(fixture->store);
    size_t used = used_exactly(fixture->store);
    struct handle_stats stats = take_stats(fixture->store);
    char *text = print_stats(fixture->store, HANDLE_STATS_JSON | HANDLE_STATS_EXACT);
    unsigned long long requested, rounding;
    assert_json(text);
    assert_true(json_number(text, "requested", &requested));
    assert_true(json_number(text, "rounding", &rounding));
    assert_int_equal(requested, used);
    assert_int_equal(rounding, stats.requested + stats.rounding - used);
    free(text);
    free(print_stats(fixture->store, HANDLE_STATS_TEXT | HANDLE_STATS_EXACT));
    text = print_stats(fixture->store, HANDLE_STATS_PROMETHEUS | HANDLE_STATS_EXACT);
    assert_exposition(text);
    free(text);
    handle_unpin(fixture->store, pinned);
}

static void
prometheus_follows_the_format(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.name = "sessions";
    fixture_reopen(fixture);
    const void *pinned = give_it_a_history(fixture->store);
    struct handle_stats stats = take_stats(fixture->store);
    char *text = print_stats(fixture->store, HANDLE_STATS_PROMETHEUS);
    char committed[32];
    snprintf(committed, sizeof(committed), " %llu\n", (unsigned long long)stats.committed);
    assert_non_null(strstr(text, "\"sessions\""));
    assert_non_null(strstr(text, "committed"));
    assert_non_null(strstr(text, committed));
    assert_non_null(strstr(text, "le=\"+Inf\""));
    assert_series_differ(text);
    assert_exposition(text);
    free(text);
    handle_unpin(fixture->store, pinned);
}

/* Text for people: lines of a readable width, the numbers that matter, the reasons in words. */
static void
text_is_readable(void **state)
{
    struct fixture *fixture = *state;
    static const char *const words[] = {"requested", "rounding",  "header",  "limbo",     "table",
                                        "metadata",  "committed", "objects", "compaction"};
    const void *pinned = give_it_a_history(fixture->store);
    char *text = print_stats(fixture->store, HANDLE_STATS_TEXT);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (!strstr(text, words[i]))
            print_error("\"%s\" is missing\n", words[i]);
        assert_non_null(strstr(text, words[i]));
    }
    for (const char *line = text; *line;) {
        size_t length = strcspn(line, "\n");
        assert_true(length <= 160);
        for (size_t i = 0; i < length; i++)
            assert_true(line[i] == '\t' || ((unsigned char)line[i] >= 0x20 && line[i] != 0x7f));
        assert_int_equal(line[length], '\n');
        line += length + 1;
    }
    free(text);
    handle_unpin(fixture->store, pinned);
}

/* The validator itself: it must be able to say no. */
static void
the_validator_says_no(void **state)
{
    (void)state;
    static const char *const bad[] = {"",        "{",           "{\"a\":}", "[1,]",  "{\"a\":1,}",
                                      "{a:1}",   "01",          "1.",       "nul",   "\"\n\"",
                                      "\"\\x\"", "{\"a\" 1}",   "[1 2]",    "{} {}", "+1",
                                      "1e",      "\"\\u12g4\"", "[nan]",    "-",     "\"open"};
    static const char *const good[] = {"{}", "[]",
                                       " {\"a\": [1, -2.5e+3, null, true, \"\\u00ff\\n\"]} "};
    size_t at = 0;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(json_valid(bad[i], &at));
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
        assert_true(json_valid(good[i], &at));
}

int
group_print(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_validator_says_no),
        STORE_TEST(refusals),
        STORE_TEST(json_says_what_the_struct_says),
        STORE_TEST(names_are_escaped),
        STORE_TEST(exact_figures_are_counted),
        STORE_TEST(prometheus_follows_the_format),
        STORE_TEST(text_is_readable),
    };
    return cmocka_run_group_tests_name("print", tests, NULL, NULL);
}
