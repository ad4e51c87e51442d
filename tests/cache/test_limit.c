/* SPDX-License-Identifier: MIT */
/* test_limit.c - the limit holds, for all sizes and while it is changed; who stays and who goes. */
#include "support.h"

#include <unistd.h>

static void
assert_within(sinter_cache *cache, uint64_t limit)
{
    struct sinter_cache_stats stats = cache_stats(cache);
    assert_true(stats.held_bytes <= limit);
}

/* Sizes shift; after every 256 sets the sum of what is held is looked at. */
static void
test_limit_holds_while_sizes_shift(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    static const size_t sizes[][2] = {{240, 256}, {272, 288}, {16, 64}, {640, 640}, {100, 20000}};
    uint64_t seed = 3, number = 0;
    for (unsigned phase = 0; phase < 5; phase++) {
        uint64_t bytes = 0, span = sizes[phase][1] - sizes[phase][0] + 1;
        while (bytes < (slow_run() ? 2 : 16) * MIB) {
            size_t size = sizes[phase][0] + random_below(&seed, span);
            assert_int_equal(set_number(cache, number++, size, phase), 0);
            bytes += 20 + 16 + size;
            if (number % 256 == 0)
                assert_within(cache, 8 * MIB);
        }
        assert_int_equal(check_number(cache, number - 1), 0);
    }
    struct sinter_cache_stats stats = cache_stats(cache);
    assert_true(stats.evicted > 0);
    assert_int_equal(stats.refused, 0);
    assert_sound(cache);
}

/* Lowered and raised again: the items fit at once, the pages soon. */
static void
test_limit_changes(void **state)
{
    struct fixture_cache *fixture = *state;
    sinter_cache *cache = fixture->cache;
    assert_int_equal(sinter_cache_configure(cache, "limit_bytes", "24M"), 0);
    if (slow_run())
        skip();
    for (uint64_t i = 0; i < 80000; i++)
        assert_int_equal(set_number(cache, i, 200, 1), 0);
    assert_true(cache_stats(cache).payload_bytes > 14 * MIB);
    assert_within(cache, 24 * MIB);
    assert_int_equal(sinter_cache_configure(cache, "limit_bytes", "8M"), 0);
    struct sinter_cache_stats stats = cache_stats(cache);
    assert_true(stats.used_bytes <= stats.budget_bytes && stats.budget_bytes < 8 * MIB);
    handle_store_compact(sinter_cache_store(cache), NULL);
    /* What was written last stays writable. */
    for (uint64_t i = 0; i < 20000; i++)
        assert_int_equal(set_number(cache, i, 100, 2), 0);
    handle_store_compact(sinter_cache_store(cache), NULL);
    assert_true(cache_stats(cache).store_bytes <= 8 * MIB);
    assert_int_equal(sinter_cache_configure(cache, "limit_bytes", "24M"), 0);
    for (uint64_t i = 0; i < 80000; i++)
        assert_int_equal(set_number(cache, i, 200, 3), 0);
    assert_true(cache_stats(cache).payload_bytes > 14 * MIB);
    assert_sound(cache);
}

/* Many small items leave for few large ones: what the index does not need any more is given back,
 * and is room for items then. */
static void
test_index_gives_pages_back(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    uint64_t number = 0;
    if (slow_run())
        skip();
    while (number < 80000)
        assert_int_equal(set_number(cache, number++, 16, 1), 0);
    struct sinter_cache_stats before = cache_stats(cache), after;
    unsigned rounds = 0;
    do {
        for (unsigned i = 0; i < 100; i++)
            assert_int_equal(set_number(cache, number++, 640, 1), 0);
        after = cache_stats(cache);
        usleep(1000);
    } while (after.index_bytes * 2 > before.index_bytes && ++rounds < 3000);
    assert_true(after.index_bytes * 2 <= before.index_bytes);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(set_number(cache, number++, 640, 1), 0);
    after = cache_stats(cache);
    assert_true(after.budget_bytes > before.budget_bytes);
    assert_within(cache, 8 * MIB);
    assert_sound(cache);
}

/* From an empty cache, nothing read: the newest half of the limit is there. */
static void
test_newest_stay(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    uint64_t count = 60000, there = 0, newest = 4 * MIB / 236;
    if (slow_run())
        skip();
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(set_number(cache, i, 200, 1), 0);
    for (uint64_t i = count - newest; i < count; i++)
        there += check_number(cache, i) == 0;
    assert_true(there * 1000 >= newest * 995);
}

/* What is read again and again stays while many more keys are written once. */
static void
test_scan_does_not_push_out(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    uint64_t hot = 5000;
    if (slow_run())
        skip();
    for (uint64_t i = 0; i < hot; i++)
        set_number(cache, i, 200, 1);
    for (unsigned round = 0; round < 2; round++)
        for (uint64_t i = 0; i < hot; i++)
            check_number(cache, i);
    uint64_t there = 0;
    for (uint64_t i = 0; i < 60000; i++) {
        set_number(cache, 1000000 + i, 200, 1);
        check_number(cache, i % hot);
    }
    for (uint64_t i = 0; i < hot; i++)
        there += check_number(cache, i) == 0;
    assert_true(there * 100 >= hot * 99);
}

/* With main full of items in use, a new set that is read once more each comes in by its ghosts. */
static void
test_shift_of_keys_is_followed(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    uint64_t there = 0, asked = 0;
    if (slow_run())
        skip(); /* it takes a while, and is about nothing that a sanitizer looks at */
    for (unsigned round = 0; round < 3; round++)
        for (uint64_t i = 0; i < 26000; i++)
            if (check_number(cache, i) != 0)
                set_number(cache, i, 200, 1);
    for (uint64_t i = 0; i < 200000; i++) {
        set_number(cache, 1000000 + i, 200, 1);
        if (i < 5000)
            continue;
        bool hit = check_number(cache, 1000000 + i - 5000) == 0;
        if (!hit)
            set_number(cache, 1000000 + i - 5000, 200, 1);
        if (i >= 150000) {
            there += hit;
            asked++;
        }
    }
    assert_true(there * 100 >= asked * 95);
}

static void
test_small_and_large_side_by_side(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    for (uint64_t i = 0; i < scaled(20000); i++)
        assert_int_equal(set_number(cache, i, i % 64 ? 30 : 30000, 1), 0);
    assert_within(cache, 8 * MIB);
    assert_int_equal(sinter_cache_configure(cache, "favour", "bytes"), 0);
    for (uint64_t i = 0; i < scaled(20000); i++)
        assert_int_equal(set_number(cache, i, i % 64 ? 30 : 30000, 1), 0);
    assert_sound(cache);
}

/* In a section of the caller's nothing is waited for: sooner or later the answer is EAGAIN, and
 * after the section all is well. */
static void
test_sets_in_one_long_section(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    if (!FLAVOUR_SEES_SECTIONS)
        skip();
    int rc = 0;
    section_enter();
    for (uint64_t i = 0; i < 100000 && rc == 0; i++)
        rc = set_number(cache, i, 1000, 1);
    section_leave();
    assert_int_equal(rc, -EAGAIN);
    assert_int_equal(cache_stats(cache).waits, 0);
    for (uint64_t i = 0; i < 20000; i++)
        assert_int_equal(set_number(cache, i, 1000, 2), 0);
    assert_within(cache, 8 * MIB);
}

/* Keys that come and go below the limit leave nothing in the ring for ever. */
static void
test_ring_is_bounded(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    for (uint64_t i = 0; i < scaled(200000); i++) {
        char key[21];
        make_key(key, i);
        assert_int_equal(set_number(cache, i, 20, 1), 0);
        assert_int_equal(sinter_cache_delete(cache, key, 20, 0), 0);
    }
    assert_true(cache_stats(cache).policy_bytes <= 32 * KIB);
}

int
group_limit(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(test_limit_holds_while_sizes_shift),
        CACHE_TEST(test_limit_changes),
        CACHE_TEST(test_index_gives_pages_back),
        CACHE_TEST(test_newest_stay),
        CACHE_TEST(test_scan_does_not_push_out),
        CACHE_TEST(test_shift_of_keys_is_followed),
        CACHE_TEST(test_small_and_large_side_by_side),
        CACHE_TEST(test_sets_in_one_long_section),
        CACHE_TEST(test_ring_is_bounded),
    };
    return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
