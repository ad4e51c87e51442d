/* SPDX-License-Identifier: MIT */
/*
 * test_options.c - the option table from inside: both bounds of every number, checked in a struct
 * as create does it; how values are spelt; and that what was set arrives in the module it governs.
 * The interface tests hold the names, the texts and the round trip.
 */
#include "unit.h"

#include "defrag/defrag.h"
#include "store/options.h"

static struct handle_store_options values;
static char last_error[SN_ERROR_LINE_BYTES];
static unsigned errors;

static void
note_error(void *opaque, const char *message)
{
    (void)opaque;
    snprintf(last_error, sizeof(last_error), "%s", message);
    errors++;
}

static void
set_defaults(void)
{
    values = (struct handle_store_options)HANDLE_STORE_OPTIONS_INIT;
    values.arena_bytes = UINT64_C(1) << 30;
    values.error = note_error;
    /* The bounds below are for these, whatever the defaults are. */
    values.defrag.threshold_lower_percent = 2;
    values.defrag.threshold_upper_percent = 12;
    values.defrag.cpu_min_percent = 5;
    values.defrag.cpu_max_percent = 50;
    errors = 0;
}

/* ---- the struct ------------------------------------------------------------------------------ */

enum width { U32, U64, I64 };

static const struct {
    const char *name;
    void *member;
    enum width width;
    int64_t low, high;
    bool zero; /* stands for something of its own */
} numbers[] = {
    {"arena_bytes", &values.arena_bytes, U64, 1 << 20, INT64_C(1) << 40, true},
    {"max_bytes", &values.max_bytes, U64, 4 << 20, INT64_MAX, true},
    {"purge_delay_ms", &values.purge_delay_ms, I64, -1, 3600000, false},
    {"hugepages", &values.hugepages, U32, 0, 3, false},
    {"thread_cache_bytes", &values.thread_cache_bytes, U64, 0, 64 << 20, false},
    {"thread_cache_total_bytes", &values.thread_cache_total_bytes, U64, 0, INT64_C(1) << 40, false},
    {"defrag.ignore_bytes", &values.defrag.ignore_bytes, U64, 0, INT64_C(1) << 40, false},
    {"defrag.threshold_lower_percent", &values.defrag.threshold_lower_percent, U32, 0, 12, false},
    {"defrag.threshold_upper_percent", &values.defrag.threshold_upper_percent, U32, 2, 100, false},
    {"defrag.cpu_min_percent", &values.defrag.cpu_min_percent, U32, 1, 50, false},
    {"defrag.cpu_max_percent", &values.defrag.cpu_max_percent, U32, 5, 100, false},
    {"defrag.slice_us", &values.defrag.slice_us, U32, 50, 100000, false},
    {"defrag.fork_copy_bytes", &values.defrag.fork_copy_bytes, I64, -1, INT64_C(1) << 40, false},
    {"core", &values.core, U32, 0, 2, false},
};

static void
set_member(size_t i, int64_t value)
{
    set_defaults();
    if (numbers[i].width == U32)
        *(uint32_t *)numbers[i].member = (uint32_t)value;
    else
        *(int64_t *)numbers[i].member = value;
}

static void
assert_taken(size_t i, int64_t value, bool taken)
{
    set_member(i, value);
    int result = sn_options_check(&values);
    if (result != (taken ? 0 : -EINVAL))
        fail_msg("%s = %lld: result %d", numbers[i].name, (long long)value, result);
    assert_int_equal(errors, !taken);
    if (!taken && !strstr(last_error, "defrag.")) /* a pair may name the other one */
        assert_non_null(strstr(last_error, numbers[i].name));
}

static void
test_bounds(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        assert_taken(i, numbers[i].low, true);
        assert_taken(i, numbers[i].high, true);
        if (numbers[i].high != INT64_MAX)
            assert_taken(i, numbers[i].high + 1, false);
        if (numbers[i].low > 0 || numbers[i].width == I64)
            assert_taken(i, numbers[i].low - 1, numbers[i].zero && numbers[i].low == 1);
        if (numbers[i].zero)
            assert_taken(i, 0, true);
    }
}

static void
test_alignments(void **state)
{
    (void)state;
    for (uint32_t alignment = 0; alignment <= 130; alignment++) {
        set_defaults();
        values.alignment = alignment;
        bool fits = alignment == 8 || alignment == 16 || alignment == 64;
        assert_int_equal(sn_options_check(&values), fits ? 0 : -EINVAL);
    }
}

static void
test_names(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int result;
    } table[] = {
        {NULL, 0},
        {"", 0},
        {"0123456789012345678901234567890", 0},        /* 31 bytes */
        {"01234567890123456789012345678901", -EINVAL}, /* 32 */
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        set_defaults();
        values.name = table[i].name;
        assert_int_equal(sn_options_check(&values), table[i].result);
        assert_int_equal(errors, table[i].result != 0);
    }
}

/* ---- spelling -------------------------------------------------------------------------------- */

static int
make(void **state)
{
    set_defaults();
    values.defrag.enabled = false;
    *state = handle_store_create(&values);
    errors = 0;
    return *state ? 0 : -1;
}

static int
end(void **state)
{
    return handle_store_destroy(*state);
}

static void
test_spellings(void **state)
{
    handle_store *store = *state;
    static const struct {
        const char *name, *text;
        int64_t value; /* -1: refused */
    } table[] = {
        {"defrag.ignore_bytes", "0", 0},
        {"defrag.ignore_bytes", "007", 7},
        {"defrag.ignore_bytes", "3K", 3 << 10},
        {"defrag.ignore_bytes", "3M", 3 << 20},
        {"defrag.ignore_bytes", "3G", INT64_C(3) << 30},
        {"defrag.ignore_bytes", "1T", INT64_C(1) << 40},
        {"defrag.ignore_bytes", "3k", -1},
        {"defrag.ignore_bytes", "3KB", -1},
        {"defrag.ignore_bytes", "3 K", -1},
        {"defrag.ignore_bytes", "K", -1},
        {"defrag.ignore_bytes", "-3K", -1},
        {"defrag.ignore_bytes", "0x10", -1},
        {"defrag.ignore_bytes", " 3", -1},
        {"defrag.ignore_bytes", "\t3", -1},
        {"defrag.ignore_bytes", "3\n", -1},
        /* products that come round to a small number */
        {"defrag.ignore_bytes", "16777216T", -1},
        {"defrag.ignore_bytes", "18014398509481985K", -1},
        {"defrag.ignore_bytes", "18446744073709551617", -1},
        {"defrag.slice_us", "1K", -1}, /* a suffix counts bytes */
        {"defrag.slice_us", "4294967796", -1},
        {"defrag.slice_us", "500", 500},
        {"purge_delay_ms", "-1", -1},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char text[32];
        bool delay = strcmp(table[i].name, "purge_delay_ms") == 0;
        bool taken = table[i].value >= 0 || delay;
        int result = handle_store_set(store, table[i].name, table[i].text);
        if (result != (taken ? 0 : -EINVAL))
            fail_msg("%s = '%s': result %d", table[i].name, table[i].text, result);
        assert_int_equal(handle_store_get(store, table[i].name, text, sizeof(text)), 0);
        if (taken)
            assert_int_equal(strtoll(text, NULL, 10), table[i].value);
    }
}

/* ---- what they govern ------------------------------------------------------------------------ */

static void
test_values_arrive(void **state)
{
    handle_store *store = *state;
    set_option(store, "max_bytes", "123M");
    assert_int_equal(store->budget.max_bytes, 123 * MIB);
    set_option(store, "max_bytes", "0");
    assert_int_equal(store->budget.max_bytes, 0);
    set_option(store, "thread_cache_bytes", "10K");
    assert_int_equal(store->caches.thread_bytes_max, 10 * KIB);
    set_option(store, "thread_cache_total_bytes", "20K");
    assert_int_equal(store->caches.total_bytes_max, 20 * KIB);
    assert_false(store->mover.running);
    set_option(store, "defrag.enabled", "yes");
    assert_true(sn_defrag_is_enabled(store->defrag));
    assert_false(store->mover.running); /* there is nothing to gain */
}

/* No option needs a thread: one is started when it is needed. */
static void
test_without_thread(void **state)
{
    handle_store *store = *state;
    fail_next(SN_INJECT_THREAD, 0, 1);
    set_option(store, "defrag.enabled", "yes");
    set_option(store, "max_bytes", "123M");
    assert_int_equal(fail_none(), 0);
    assert_int_equal(errors, 0);
}

/* A pair is looked at as it would be, and nothing is changed when it does not fit. */
static void
test_pairs(void **state)
{
    handle_store *store = *state;
    assert_int_equal(handle_store_set(store, "defrag.threshold_lower_percent", "13"), -EINVAL);
    assert_int_equal(store->options.defrag.threshold_lower_percent, 2);
    set_option(store, "defrag.threshold_upper_percent", "13");
    set_option(store, "defrag.threshold_lower_percent", "13");
    assert_int_equal(handle_store_set(store, "defrag.threshold_upper_percent", "12"), -EINVAL);
    assert_int_equal(store->options.defrag.threshold_upper_percent, 13);
    assert_int_equal(handle_store_set(store, "defrag.cpu_min_percent", "51"), -EINVAL);
    assert_int_equal(handle_store_set(store, "defrag.cpu_max_percent", "4"), -EINVAL);
    set_option(store, "defrag.cpu_min_percent", "50");
    assert_int_equal(errors, 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_alignments),
        cmocka_unit_test(test_names),
        cmocka_unit_test_setup_teardown(test_spellings, make, end),
        cmocka_unit_test_setup_teardown(test_values_arrive, make, end),
        cmocka_unit_test_setup_teardown(test_without_thread, make, end),
        cmocka_unit_test_setup_teardown(test_pairs, make, end),
    };
    thread_enter();
    int failed = cmocka_run_group_tests_name("options", tests, NULL, NULL);
    thread_leave();
    return failed;
}
