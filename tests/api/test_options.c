/* SPDX-License-Identifier: MIT */
/*
 * test_options.c - every option, by struct and by name: values taken, values refused with a text
 * that names option, value and range, nothing changed by a refusal, what is read back. What the
 * options do is tested where the thing they govern is.
 */
#include "support.h"

#include <sys/mman.h>

/** An option that can be set at any time. `range` holds spellings of one bound, one of which the
 * refusal must contain. */
struct option_row {
    const char *name;
    const char *good[6];
    const char *bad[8];
    const char *range[3];
};

static const struct option_row rows[] = {
    {"max_bytes",
     {"64M", "4M", "5000000", "1G", "0"},
     {"4194303", "1", "-1", "", "x", "4Q", "99999999999999999999"},
     {"4M", "4194304", "4 MiB"}},
    {"purge_delay_ms",
     {"-1", "0", "1", "3600000", "200"},
     {"-2", "3600001", "", "5ms", "1.5", "99999999999999999999"},
     {"3600000"}},
    {"hugepages",
     {"never", "advise", "always", "dense", "never"},
     {"", "often", "2", "-1"},
     {"advise"}},
    {"thread_cache_bytes",
     {"0", "64M", "1000", "256K"},
     {"67108865", "65M", "-1", "", "1k1", "99999999999999999999"},
     {"64M", "67108864", "64 MiB"}},
    {"thread_cache_total_bytes",
     {"0", "1T", "16M"},
     {"1099511627777", "2T", "-1", "", "99999999999999999999"},
     {"1T", "1099511627776", "1 TiB"}},
    {"defrag.fork_copy_bytes",
     {"0", "-1", "1T", "25M", "1000"},
     {"-2", "1099511627777", "2T", "", "-1K", "99999999999999999999"},
     {"1T", "1099511627776", "1 TiB"}},
    {"defrag.enabled", {"no", "yes"}, {"", "maybe", "2", "-1"}, {"yes"}},
    {"defrag.ignore_bytes",
     {"0", "1T", "1M"},
     {"1099511627777", "-1", "", "M"},
     {"1T", "1099511627776", "1 TiB"}},
    {"defrag.threshold_upper_percent",
     {"100", "50", "2", "12"},
     {"101", "0", "-1", "", "5%"},
     {"100", "threshold_lower_percent"}},
    {"defrag.threshold_lower_percent", {"0", "12", "2"}, {"13", "101", "-1", "", "2.5"}, {"0"}},
    {"defrag.cpu_max_percent",
     {"100", "5", "50"},
     {"101", "4", "0", "-1", ""},
     {"100", "cpu_min_percent"}},
    {"defrag.cpu_min_percent", {"1", "50", "5"}, {"0", "51", "101", "-1", ""}, {"1"}},
    {"defrag.slice_us", {"50", "100000", "500"}, {"49", "100001", "0", "-1", ""}, {"100000"}},
    {"defrag.pause_while_forked", {"no", "yes"}, {"", "nope", "10"}, {"yes"}},
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

/* The number a value stands for, suffix included; words hash to something else. */
static int64_t
number_of(const char *text)
{
    char *end = NULL;
    int64_t number = strtoll(text, &end, 10);
    switch (*end) {
    case 'K':
        return number * (int64_t)KIB;
    case 'M':
        return number * (int64_t)MIB;
    case 'G':
        return number * (int64_t)GIB;
    case 'T':
        return number * (int64_t)(1024 * GIB);
    default:
        return number;
    }
}

/* A number with a suffix may be reported with or without it. */
static bool
text_has_value(struct fixture *fixture, const char *value)
{
    char plain[32];
    snprintf(plain, sizeof(plain), "%lld", (long long)number_of(value));
    bool digit = *value >= '0' && *value <= '9';
    return errors_contain(fixture, value) || (digit && errors_contain(fixture, plain));
}

static bool
same_value(const char *a, const char *b)
{
    bool digits = (*a >= '0' && *a <= '9') || *a == '-';
    return digits ? number_of(a) == number_of(b) : strcmp(a, b) == 0;
}

static void
get_option(handle_store *store, const char *name, char value[64])
{
    assert_int_equal(handle_store_get(store, name, value, 64), 0);
    assert_true(strlen(value) > 0 && strlen(value) < 63);
}

/* Fails when set and get disagree about one option's member, name or unit. */
static void
good_values_round_trip(void **state)
{
    struct fixture *fixture = *state;
    char value[64], again[64];
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < 6 && rows[r].good[i]; i++) {
            set_option(fixture->store, rows[r].name, rows[r].good[i]);
            get_option(fixture->store, rows[r].name, value);
            if (!same_value(rows[r].good[i], value))
                print_error("%s: set %s, got %s\n", rows[r].name, rows[r].good[i], value);
            assert_true(same_value(rows[r].good[i], value));
            set_option(fixture->store, rows[r].name, value);
            get_option(fixture->store, rows[r].name, again);
            assert_string_equal(value, again);
        }
    }
}

static void
assert_refusal_text(struct fixture *fixture, const struct option_row *row, const char *value)
{
    bool range = false;
    for (size_t i = 0; i < 3 && row->range[i]; i++)
        range = range || errors_contain(fixture, row->range[i]);
    if (!range || !errors_contain(fixture, row->name) || !text_has_value(fixture, value))
        print_error("%s = \"%s\" was refused with: %s\n", row->name, value, fixture->errors.text);
    assert_int_equal(errors_count(fixture), 1);
    assert_true(errors_contain(fixture, row->name));
    assert_true(text_has_value(fixture, value));
    assert_true(range);
}

static void
bad_values_are_refused(void **state)
{
    struct fixture *fixture = *state;
    char before[64], after[64];
    for (size_t r = 0; r < ROWS; r++) {
        for (size_t i = 0; i < 8 && rows[r].bad[i]; i++) {
            get_option(fixture->store, rows[r].name, before);
            int result = handle_store_set(fixture->store, rows[r].name, rows[r].bad[i]);
            if (result != -EINVAL)
                print_error("%s: took \"%s\"\n", rows[r].name, rows[r].bad[i]);
            assert_int_equal(result, -EINVAL);
            assert_refusal_text(fixture, &rows[r], rows[r].bad[i]);
            get_option(fixture->store, rows[r].name, after);
            assert_string_equal(before, after);
            errors_reset(fixture);
        }
    }
}

static void
names_that_cannot_be_set(void **state)
{
    struct fixture *fixture = *state;
    static const char *const names[][2] = {
        {"name", "other"},   {"hardened", "yes"},  {"arena_bytes", "1G"}, {"alignment", "16"},
        {"pressure", "0"},   {"error", "0"},       {"opaque", "0"},       {"", "1"},
        {"nonsense", "1"},   {"defrag.", "1"},     {"enabled", "yes"},    {"defrag.enable", "yes"},
        {"max_bytes ", "0"}, {"struct_size", "8"}, {"MAX_BYTES", "0"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        int result = handle_store_set(fixture->store, names[i][0], names[i][1]);
        if (result != -EINVAL)
            print_error("set %s was taken\n", names[i][0]);
        assert_int_equal(result, -EINVAL);
        assert_int_equal(errors_count(fixture), 1);
        assert_true(errors_contain(fixture, names[i][0]));
        errors_reset(fixture);
    }
    assert_int_equal(handle_store_set(fixture->store, NULL, "1"), -EINVAL);
    assert_int_equal(handle_store_set(fixture->store, "max_bytes", NULL), -EINVAL);
    errors_reset(fixture);
}

static void
get_refusals(void **state)
{
    struct fixture *fixture = *state;
    char value[64], small[64];
    assert_int_equal(handle_store_get(fixture->store, "nonsense", value, 64), -EINVAL);
    assert_int_equal(handle_store_get(fixture->store, NULL, value, 64), -EINVAL);
    assert_int_equal(handle_store_get(fixture->store, "max_bytes", NULL, 64), -EINVAL);
    set_option(fixture->store, "max_bytes", "123456789");
    get_option(fixture->store, "max_bytes", value);
    size_t length = strlen(value);
    for (size_t size = 0; size <= length; size++) {
        memset(small, '#', sizeof(small));
        assert_int_equal(handle_store_get(fixture->store, "max_bytes", small, size), -ENOSPC);
        for (size_t i = 0; i < sizeof(small); i++) /* nothing written */
            assert_int_equal(small[i], '#');
    }
    assert_int_equal(handle_store_get(fixture->store, "max_bytes", small, length + 1), 0);
    assert_string_equal(small, value);
    assert_int_equal(small[length + 1], '#');
    errors_reset(fixture);
}

/* Create-only options can be read; all others given by struct are the ones read by name. Fails when
 * a member is not copied, or copied to its neighbour: every value differs from every other. */
static void
struct_values_are_read_by_name(void **state)
{
    struct fixture *fixture = *state;
    static const char *const expected[][2] = {
        {"name", "from a struct"},
        {"hardened", "yes"},
        {"arena_bytes", "67108864"},
        {"alignment", "16"},
        {"max_bytes", "33554432"},
        {"purge_delay_ms", "17"},
        {"hugepages", "advise"},
        {"thread_cache_bytes", "70001"},
        {"thread_cache_total_bytes", "800003"},
        {"defrag.enabled", "no"},
        {"defrag.ignore_bytes", "900007"},
        {"defrag.threshold_lower_percent", "21"},
        {"defrag.threshold_upper_percent", "43"},
        {"defrag.cpu_min_percent", "11"},
        {"defrag.cpu_max_percent", "77"},
        {"defrag.slice_us", "333"},
        {"defrag.pause_while_forked", "no"},
        {"defrag.fork_copy_bytes", "5000011"},
        {"core", "metadata"},
        {"profile.enabled", "yes"},
        {"profile.sample_bytes", "70000"},
    };
    char name[] = "from a struct", value[64];
    struct handle_store_options *options = &fixture->options;
    *options = (struct handle_store_options){sizeof(*options),
                                             name,
                                             true,
                                             67108864,
                                             16,
                                             NULL,
                                             fixture_error,
                                             fixture,
                                             33554432,
                                             17,
                                             HANDLE_HUGEPAGES_ADVISE,
                                             70001,
                                             800003,
                                             {false, 900007, 21, 43, 11, 77, 333, false, 5000011},
                                             HANDLE_CORE_METADATA,
                                             0,
                                             {true, 70000},
                                             NULL};
    fixture_reopen(fixture);
    memset(name, 'x', sizeof(name) - 1); /* it was copied */
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        get_option(fixture->store, expected[i][0], value);
        if (!same_value(expected[i][1], value))
            print_error("%s: %s instead of %s\n", expected[i][0], value, expected[i][1]);
        assert_true(same_value(expected[i][1], value));
    }
}

/* ---- bad values in the struct ---------------------------------------------------------------- */

static void
spoil_creation(struct handle_store_options *options, unsigned which)
{
    static const uint32_t alignments[] = {0, 4, 12, 24, 32, 128};
    if (which < 6)
        options->alignment = alignments[which];
    else if (which == 6)
        options->name = "thirty-two bytes, which is 1 more";
    else if (which == 7)
        options->arena_bytes = MIB - 1;
    else if (which == 8)
        options->arena_bytes = 1024 * GIB + 1;
    else if (which == 9)
        options->max_bytes = 4 * MIB - 1;
    else if (which == 10)
        options->purge_delay_ms = -2;
    else if (which == 11)
        options->purge_delay_ms = 3600001;
    else if (which == 12)
        options->hugepages = (enum handle_hugepages)4;
    else if (which == 13)
        options->thread_cache_bytes = 64 * MIB + 1;
    else
        options->thread_cache_total_bytes = 1024 * GIB + 1;
}

static void
spoil_compaction(struct handle_store_options *options, unsigned which)
{
    if (which == 15)
        options->defrag.ignore_bytes = 1024 * GIB + 1;
    else if (which == 16)
        options->defrag.threshold_lower_percent = 13; /* above upper */
    else if (which == 17)
        options->defrag.threshold_upper_percent = 101;
    else if (which == 18)
        options->defrag.cpu_min_percent = 0;
    else if (which == 19)
        options->defrag.cpu_min_percent = 51; /* above max */
    else if (which == 20)
        options->defrag.cpu_max_percent = 101;
    else if (which == 21)
        options->defrag.slice_us = 49;
    else
        options->defrag.slice_us = 100001;
}

/* What the text for each of them must contain: the option and the value. */
static const char *const spoilt[][2] = {
    {"alignment", "0"},
    {"alignment", "4"},
    {"alignment", "12"},
    {"alignment", "24"},
    {"alignment", "32"},
    {"alignment", "128"},
    {"name", "thirty-two bytes"},
    {"arena_bytes", "1048575"},
    {"arena_bytes", "1099511627777"},
    {"max_bytes", "4194303"},
    {"purge_delay_ms", "-2"},
    {"purge_delay_ms", "3600001"},
    {"hugepages", "4"},
    {"thread_cache_bytes", "67108865"},
    {"thread_cache_total_bytes", "1099511627777"},
    {"defrag.ignore_bytes", "1099511627777"},
    {"defrag.threshold_lower_percent", "13"},
    {"defrag.threshold_upper_percent", "101"},
    {"defrag.cpu_min_percent", "0"},
    {"defrag.cpu_min_percent", "51"},
    {"defrag.cpu_max_percent", "101"},
    {"defrag.slice_us", "49"},
    {"defrag.slice_us", "100001"},
};

static void
bad_struct_values_are_refused(void **state)
{
    struct fixture *fixture = *state;
    struct handle_store_options options;
    for (unsigned i = 0; i < sizeof(spoilt) / sizeof(spoilt[0]); i++) {
        fixture_options(fixture, &options);
        if (i < 15)
            spoil_creation(&options, i);
        else
            spoil_compaction(&options, i);
        errno = 0;
        handle_store *store = handle_store_create(&options);
        if (store || !errors_contain(fixture, spoilt[i][0]) ||
            !errors_contain(fixture, spoilt[i][1]))
            print_error("%s = %s: %s\n", spoilt[i][0], spoilt[i][1], fixture->errors.text);
        assert_null(store);
        assert_int_equal(errno, EINVAL);
        assert_true(errors_contain(fixture, spoilt[i][0]));
        assert_true(errors_contain(fixture, spoilt[i][1]));
        errors_reset(fixture);
    }
}

/* Whether the address space has room for a store of so many bytes: it has not under memcheck, and
 * not where ulimit -v says so. */
static bool
has_room_for(uint64_t arena_bytes)
{
    size_t bytes = arena_bytes + arena_bytes / 2 + arena_bytes / 64; /* arena, table, metadata */
    void *at = mmap(NULL, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at != MAP_FAILED)
        munmap(at, bytes);
    return at != MAP_FAILED;
}

/* The ends of the ranges that only creation knows. */
static void
ends_of_creation_ranges(void **state)
{
    struct fixture *fixture = *state;
    static const uint64_t arenas[] = {MIB, MIB + 1, 64 * MIB - 1, 1024 * GIB};
    char value[64];
    for (size_t i = 0; i < 4; i++) {
        fixture->options.arena_bytes = arenas[i];
        fixture->options.name = i % 2 ? "" : "exactly thirty-one bytes, no le";
        if (!has_room_for(arenas[i])) {
            errno = 0;
            assert_null(handle_store_create(&fixture->options));
            assert_int_equal(errno, ENOMEM);
            continue;
        }
        fixture_reopen(fixture);
        get_option(fixture->store, "arena_bytes", value);
        /* rounded up to 64 KiB; what was asked for by name is never halved */
        int64_t got = number_of(value);
        assert_int_equal(got % (int64_t)(64 * KIB), 0);
        assert_true((uint64_t)got >= arenas[i] && (uint64_t)got < arenas[i] + 64 * KIB);
        handle_t handle = make_object(fixture->store, 1000, i);
        assert_object(fixture->store, handle, 1000, i);
        assert_int_equal(handle_free(fixture->store, handle), 0);
    }
}

int
group_options(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(good_values_round_trip),         STORE_TEST(bad_values_are_refused),
        STORE_TEST(names_that_cannot_be_set),       STORE_TEST(get_refusals),
        STORE_TEST(struct_values_are_read_by_name), STORE_TEST(bad_struct_values_are_refused),
        STORE_TEST(ends_of_creation_ranges),
    };
    return cmocka_run_group_tests_name("options", tests, NULL, NULL);
}
