/* SPDX-License-Identifier: MIT */
/* test_items.c - what each call does to one item. */
#include "support.h"

static void
test_set_get(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    struct sinter_cache_info info;
    char text[4] = "xxx";
    assert_int_equal(lookup(cache, "a"), -ENOENT);
    assert_int_equal(sinter_cache_set(cache, "a", 1, "one", 3, 7, 0), 0);
    assert_int_equal(sinter_cache_get(cache, "a", 1, text, 2, &info), -ENOSPC);
    assert_int_equal(info.size, 3);
    assert_memory_equal(text, "xxx", 3);
    assert_int_equal(sinter_cache_get(cache, "a", 1, text, 3, &info), 0);
    assert_memory_equal(text, "one", 3);
    assert_int_equal(info.flags, 7);
    assert_int_equal(info.ttl_ms, 0);
    assert_int_not_equal(info.cas, 0);
    assert_int_equal(set_text(cache, "a", "a longer value"), 0);
    assert_text(cache, "a", "a longer value");
    assert_int_equal(sinter_cache_get(cache, "a", 1, text, 0, &info), -ENOSPC);
    assert_int_equal(info.flags, 0);
    assert_int_equal(sinter_cache_items(cache), 1);
}

static void
test_empty_value_and_binary_key(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    struct sinter_cache_info info = {.size = 9};
    char key[SINTER_CACHE_KEY_MAX];
    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = (char)i;
    for (size_t size = 1; size <= sizeof(key); size = size * 2 + (size < 250)) {
        assert_int_equal(sinter_cache_set(cache, key, size, NULL, 0, 0, 0), 0);
        assert_int_equal(sinter_cache_get(cache, key, size, NULL, 0, &info), 0);
        assert_int_equal(info.size, 0);
    }
    assert_int_equal(sinter_cache_set(cache, key, sizeof(key), "v", 1, 1, 1), 0);
    assert_int_equal(sinter_cache_delete(cache, key, sizeof(key), 0), 0);
}

static void
test_add_replace(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    assert_int_equal(sinter_cache_replace(cache, "a", 1, "0", 1, 0, 0), -ENOENT);
    assert_int_equal(sinter_cache_add(cache, "a", 1, "1", 1, 0, 0), 0);
    assert_int_equal(sinter_cache_add(cache, "a", 1, "2", 1, 0, 0), -EEXIST);
    assert_text(cache, "a", "1");
    assert_int_equal(sinter_cache_replace(cache, "a", 1, "3", 1, 0, 0), 0);
    assert_text(cache, "a", "3");
}

static void
test_cas(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    struct sinter_cache_info info;
    char text[8];
    assert_int_equal(sinter_cache_cas(cache, "a", 1, "0", 1, 0, 0, 1), -ENOENT);
    set_text(cache, "a", "1");
    assert_int_equal(sinter_cache_get(cache, "a", 1, text, 8, &info), 0);
    assert_int_equal(sinter_cache_cas(cache, "a", 1, "2", 1, 0, 0, info.cas), 0);
    assert_int_equal(sinter_cache_cas(cache, "a", 1, "3", 1, 0, 0, info.cas), -EEXIST);
    assert_text(cache, "a", "2");
    assert_int_equal(sinter_cache_delete(cache, "a", 1, info.cas), -EEXIST);
    assert_int_equal(sinter_cache_get(cache, "a", 1, text, 8, &info), 0);
    assert_int_equal(sinter_cache_delete(cache, "a", 1, info.cas), 0);
    assert_int_equal(sinter_cache_delete(cache, "a", 1, 0), -ENOENT);
}

static void
test_append_prepend(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    struct sinter_cache_info info;
    char text[16];
    assert_int_equal(sinter_cache_append(cache, "a", 1, "x", 1), -ENOENT);
    sinter_cache_set(cache, "a", 1, "mid", 3, 5, 9000);
    assert_int_equal(sinter_cache_append(cache, "a", 1, "dle", 3), 0);
    assert_int_equal(sinter_cache_prepend(cache, "a", 1, "the ", 4), 0);
    assert_int_equal(sinter_cache_append(cache, "a", 1, NULL, 0), 0);
    assert_text(cache, "a", "the middle");
    assert_int_equal(sinter_cache_get(cache, "a", 1, text, 16, &info), 0);
    assert_int_equal(info.flags, 5);
    assert_int_equal(info.ttl_ms, 9000);
}

static void
test_incr_decr(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    uint64_t value = 0;
    assert_int_equal(sinter_cache_incr(cache, "n", 1, 1, &value), -ENOENT);
    set_text(cache, "n", "99");
    assert_int_equal(sinter_cache_incr(cache, "n", 1, 1, &value), 0);
    assert_int_equal(value, 100);
    assert_text(cache, "n", "100");
    assert_int_equal(sinter_cache_decr(cache, "n", 1, 1, NULL), 0);
    assert_text(cache, "n", "99");
    assert_int_equal(sinter_cache_decr(cache, "n", 1, 100, &value), 0);
    assert_int_equal(value, 0);
    set_text(cache, "n", "18446744073709551615");
    assert_int_equal(sinter_cache_incr(cache, "n", 1, 2, &value), 0);
    assert_int_equal(value, 1);
    static const char *const no_numbers[] = {
        "", "1x", "-1", " 1", "18446744073709551616", "111111111111111111111"};
    for (unsigned i = 0; i < 6; i++) {
        set_text(cache, "n", no_numbers[i]);
        assert_int_equal(sinter_cache_incr(cache, "n", 1, 1, &value), -EDOM);
        assert_text(cache, "n", no_numbers[i]);
    }
}

static void
test_look(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    struct sinter_cache_view view;
    set_text(cache, "a", "shown where it lies");
    section_enter();
    assert_int_equal(sinter_cache_look(cache, "b", 1, &view), -ENOENT);
    assert_int_equal(sinter_cache_look(cache, "a", 1, &view), 0);
    assert_int_equal(view.key_size, 1);
    assert_int_equal(sinter_cache_delete(cache, "a", 1, 0), 0);
    /* It is still to be read. */
    assert_int_equal(view.data_size, 19);
    assert_memory_equal(view.data, "shown where it lies", 19);
    assert_false(sinter_cache_next(cache, &view));
    section_leave();
    assert_int_equal(lookup(cache, "a"), -ENOENT);
}

static void
test_get_copy(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    struct sinter_cache_info info;
    assert_null(sinter_cache_get_copy(cache, "a", 1, &info));
    assert_int_equal(errno, ENOENT);
    set_text(cache, "a", "text");
    char *copy = sinter_cache_get_copy(cache, "a", 1, &info);
    assert_string_equal(copy, "text");
    assert_int_equal(info.size, 4);
    free(copy);
}

/* Writes stand in a section of the caller's, too. */
static void
test_writes_in_a_section(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    section_enter();
    assert_int_equal(set_text(cache, "a", "1"), 0);
    assert_int_equal(sinter_cache_append(cache, "a", 1, "2", 1), 0);
    assert_int_equal(sinter_cache_incr(cache, "a", 1, 1, NULL), 0);
    assert_text(cache, "a", "13");
    assert_int_equal(sinter_cache_delete(cache, "a", 1, 0), 0);
    section_leave();
    assert_sound(cache);
}

static void
test_clear(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    for (uint64_t i = 0; i < 5000; i++)
        assert_int_equal(set_number(cache, i, 50, 1), 0);
    assert_true(cache_stats(cache).buckets > 600);
    assert_int_equal(sinter_cache_clear(cache), 0);
    struct sinter_cache_stats stats = cache_stats(cache);
    assert_int_equal(stats.items, 0);
    assert_int_equal(stats.cleared, 5000);
    assert_int_equal(stats.payload_bytes, 0);
    assert_int_equal(stats.buckets, 64);
    for (uint64_t i = 0; i < 5000; i++)
        assert_int_equal(check_number(cache, i), -ENOENT);
    assert_sound(cache);
}

/* The index grows and shrinks around what stays. */
static void
test_growth_and_shrinking(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    uint64_t count = slow_run() ? 4000 : 20000;
    for (unsigned round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < count; i++)
            assert_int_equal(set_number(cache, i, i % 60, round), 0);
        assert_sound(cache);
        for (uint64_t i = 0; i < count; i++) {
            char key[21];
            make_key(key, i);
            if (i % 16)
                assert_int_equal(sinter_cache_delete(cache, key, 20, 0), 0);
        }
        for (uint64_t i = 0; i < count; i++)
            assert_int_equal(check_number(cache, i), i % 16 ? -ENOENT : 0);
        struct sinter_cache_stats stats = cache_stats(cache);
        assert_int_equal(stats.crowded + stats.evicted, 0);
        assert_true(stats.buckets <= 64 + count / 16 * 100 / 66 / 7);
    }
    assert_sound(cache);
}

int
group_items(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(test_set_get),
        CACHE_TEST(test_empty_value_and_binary_key),
        CACHE_TEST(test_add_replace),
        CACHE_TEST(test_cas),
        CACHE_TEST(test_append_prepend),
        CACHE_TEST(test_incr_decr),
        CACHE_TEST(test_look),
        CACHE_TEST(test_get_copy),
        CACHE_TEST(test_clear),
        CACHE_TEST(test_writes_in_a_section),
        CACHE_TEST(test_growth_and_shrinking),
    };
    return cmocka_run_group_tests_name("items", tests, NULL, NULL);
}
