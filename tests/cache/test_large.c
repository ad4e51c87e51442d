/* SPDX-License-Identifier: MIT */
/* test_large.c - values in pieces: sizes around the pieces' bounds, old or new as a whole. */
#include "support.h"

static void
test_sizes_around_pieces(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    static const size_t sizes[] = {61300,  61392,  61393,  61394,  61395,   61396,  61397,  61398,
                                   61399,  61400,  61412,  61432,  61433,   65536,  122848, 122864,
                                   122865, 200000, 614320, 614321, 1000000, 2500000};
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            assert_int_equal(set_number(cache, i, sizes[i] - 16, round), 0);
            assert_int_equal(check_number(cache, i), 0);
        }
    }
    assert_sound(cache);
}

static void
test_pieces_are_shown_in_order(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    struct sinter_cache_view view;
    size_t size = 500000, seen = 0;
    unsigned pieces = 0;
    char *value = malloc(size);
    fill(value, size, 1);
    assert_int_equal(sinter_cache_set(cache, "big", 3, value, size, 9, 1000), 0);
    section_enter();
    assert_int_equal(sinter_cache_look(cache, "big", 3, &view), 0);
    assert_int_equal(view.info.size, size);
    assert_int_equal(view.info.flags, 9);
    /* It is replaced, and deleted: the reader keeps what it has found, all of it. */
    sinter_cache_set(cache, "big", 3, "small", 5, 0, 0);
    sinter_cache_delete(cache, "big", 3, 0);
    do {
        assert_memory_equal(view.data, value + seen, view.data_size);
        seen += view.data_size;
        pieces++;
    } while (sinter_cache_next(cache, &view));
    section_leave();
    assert_int_equal(seen, size);
    assert_int_equal(pieces, 9);
    free(value);
}

static void
test_append_to_pieces(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    struct sinter_cache_info info;
    set_text(cache, "a", "begin");
    char part[10000];
    memset(part, 'x', sizeof(part));
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(sinter_cache_append(cache, "a", 1, part, sizeof(part)), 0);
    assert_int_equal(sinter_cache_prepend(cache, "a", 1, "<", 1), 0);
    assert_int_equal(sinter_cache_touch(cache, "a", 1, 1000), 0);
    char *value = sinter_cache_get_copy(cache, "a", 1, &info);
    assert_int_equal(info.size, 200006);
    assert_memory_equal(value, "<beginxxxx", 10);
    assert_int_equal(value[200005], 'x');
    free(value);
    assert_int_equal(sinter_cache_incr(cache, "a", 1, 1, NULL), -EDOM);
    assert_sound(cache);
}

/* More than the cache can ever hold is refused, and nothing goes for it. */
static void
test_too_large(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    size_t size = 16 * MIB;
    char *value = calloc(1, size);
    for (uint64_t i = 0; i < 100; i++)
        set_number(cache, i, 1000, 1);
    set_text(cache, "big", "before");
    assert_int_equal(sinter_cache_set(cache, "big", 3, value, size, 0, 0), -E2BIG);
    assert_int_equal(sinter_cache_set(cache, "big", 3, value, 8 * MIB, 0, 0), -E2BIG);
    assert_text(cache, "big", "before");
    assert_int_equal(sinter_cache_append(cache, "big", 3, value, size), -E2BIG);
    struct sinter_cache_stats stats = cache_stats(cache);
    assert_int_equal(stats.items, 101);
    assert_int_equal(stats.refused, 3);
    free(value);
}

/* Large ones push each other out for ever; everything evicted, the largest one has room. */
static void
test_turnover(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    uint64_t seed = 5;
    for (uint64_t i = 0; i < scaled(300); i++) {
        assert_int_equal(set_number(cache, i % 50, random_below(&seed, MIB), i), 0);
        int rc = check_number(cache, random_below(&seed, 50));
        assert_true(rc == 0 || rc == -ENOENT);
    }
    assert_int_equal(set_number(cache, 100, 5 * MIB, 1), 0);
    assert_int_equal(check_number(cache, 100), 0);
    assert_sound(cache);
}

/* An item is there twice while it grows: what is more than the limit holds is refused, and stays.
 * Seen failing: with ENOENT, the item evicted. */
static void
test_append_to_half_of_the_limit(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    size_t size = 4200000;
    char *value = malloc(size);
    fill(value, size, 1);
    assert_int_equal(sinter_cache_set(cache, "half", 4, value, size, 0, 0), 0);
    assert_int_equal(sinter_cache_append(cache, "half", 4, "x", 1), -E2BIG);
    assert_int_equal(sinter_cache_prepend(cache, "half", 4, "x", 1), -E2BIG);
    assert_int_equal(cache_stats(cache).refused, 2);
    assert_int_equal(cache_stats(cache).evicted, 0);
    char *copy = sinter_cache_get_copy(cache, "half", 4, NULL);
    assert_memory_equal(copy, value, size);
    free(copy);
    free(value);
    assert_sound(cache);
}

/* A touch writes the list of an item's pieces, not the pieces, and the item keeps its cas.
 * Seen failing: with E2BIG, the item copied; with another cas. */
static void
test_touch_of_most_of_the_limit(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    struct sinter_cache_info before, after;
    size_t size = 6000000;
    char *value = malloc(size);
    fill(value, size, 1);
    assert_int_equal(sinter_cache_set(cache, "most", 4, value, size, 7, 0), 0);
    uint64_t payload = cache_stats(cache).payload_bytes, sets = cache_stats(cache).sets;
    assert_int_equal(sinter_cache_get(cache, "most", 4, NULL, 0, &before), -ENOSPC);
    for (uint64_t ttl = 1000000; ttl < 1000003; ttl++)
        assert_int_equal(sinter_cache_touch(cache, "most", 4, ttl), 0);
    char *copy = sinter_cache_get_copy(cache, "most", 4, &after);
    assert_memory_equal(copy, value, size);
    assert_true(after.cas == before.cas && after.flags == 7 && after.ttl_ms > 900000);
    assert_int_equal(cache_stats(cache).payload_bytes, payload);
    assert_int_equal(cache_stats(cache).sets, sets);
    assert_int_equal(cache_stats(cache).evicted, 0);
    free(copy);
    free(value);
    assert_sound(cache);
    assert_int_equal(sinter_cache_delete(cache, "most", 4, 0), 0);
    assert_int_equal(cache_stats(cache).used_bytes, 0);
    assert_sound(cache);
}

/* The oldest item, of a quarter of the limit, does not go for its own new version.
 * Seen failing: without the hit before it is copied. */
static void
test_append_to_the_oldest(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    size_t size = 2000000;
    char *value = malloc(size);
    fill(value, size, 1);
    assert_int_equal(sinter_cache_set(cache, "oldest", 6, value, size, 0, 0), 0);
    for (uint64_t i = 0; i < 8; i++)
        assert_int_equal(set_number(cache, i, 500000, 1), 0);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(sinter_cache_append(cache, "oldest", 6, "x", 1), 0);
    char *copy = sinter_cache_get_copy(cache, "oldest", 6, NULL);
    assert_memory_equal(copy, value, size);
    assert_memory_equal(copy + size, "xxxx", 4);
    free(copy);
    free(value);
    assert_sound(cache);
}

static void
set_most_of_the_limit(void *opaque, unsigned index)
{
    static const char value[6000000];
    char key[2] = {'a', (char)('0' + index)};
    for (unsigned i = 0; i < (slow_run() ? 2 : 6); i++) {
        thread_check(sinter_cache_set(opaque, key, 2, value, sizeof(value), 0, 0) == 0);
        quiesce();
    }
}

/* Writers of values that cannot be there beside each other do not wait for each other's pieces.
 * Seen failing: ENOMEM for five of six, with nothing left to evict. */
static void
test_writers_of_most_of_the_limit(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    run_threads(4, set_most_of_the_limit, cache);
    assert_int_equal(cache_stats(cache).refused, 0);
    assert_int_equal(sinter_cache_items(cache), 1);
    assert_sound(cache);
}

int
group_large(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(test_sizes_around_pieces),
        CACHE_TEST(test_pieces_are_shown_in_order),
        CACHE_TEST(test_append_to_pieces),
        CACHE_TEST(test_append_to_half_of_the_limit),
        CACHE_TEST(test_touch_of_most_of_the_limit),
        CACHE_TEST(test_append_to_the_oldest),
        CACHE_TEST(test_too_large),
        CACHE_TEST(test_turnover),
        CACHE_TEST(test_writers_of_most_of_the_limit),
    };
    return cmocka_run_group_tests_name("large", tests, NULL, NULL);
}
