/* SPDX-License-Identifier: MIT */
/* test_limit.c - the limit holds, for all sizes and while it is changed; who stays and who goes. */
#include "support.h"

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
    /* Not used_bytes <= budget_bytes: the budget follows what the store gives back by and by. */
    assert_in_range(stats.used_bytes, 1, 8 * MIB);
    assert_in_range(stats.budget_bytes, 1, 8 * MIB - 1);
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
        rest();
    } while (after.index_bytes * 2 > before.index_bytes && ++rounds < 3000);
    assert_true(after.index_bytes * 2 <= before.index_bytes);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(set_number(cache, number++, 640, 1), 0);
    after = cache_stats(cache);
    assert_true(after.budget_bytes > before.budget_bytes);
    assert_within(cache, 8 * MIB);
    assert_sound(cache);
}

static int
set_byte(sinter_cache *cache, uint64_t number)
{
    char key[21];
    make_key(key, number);
    int rc = sinter_cache_set(cache, key, 20, "v", 1, 0, 0);
    quiesce();
    return rc;
}

/* Two thirds of their cells are in use, or there are as few as can be. */
static bool
buckets_are_few(sinter_cache *cache)
{
    struct sinter_cache_stats stats = cache_stats(cache);
    return stats.buckets <= 64 || stats.items * 100 >= stats.buckets * 7 * 65;
}

/* A lowered limit is one of the index, too, whether anybody writes afterwards or not.
 * Seen failing: all buckets stayed, and the limit was exceeded for ever. */
static void
test_index_follows_a_lowered_limit(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    if (slow_run())
        skip();
    assert_int_equal(sinter_cache_configure(cache, "limit_bytes", "24M"), 0);
    for (uint64_t i = 0; i < 250000; i++)
        assert_int_equal(set_byte(cache, i), 0);
    assert_int_equal(sinter_cache_configure(cache, "limit_bytes", "8M"), 0);
    assert_true(sinter_cache_items(cache) > 10000);
    assert_true(buckets_are_few(cache));
    for (unsigned turns = 0; cache_stats(cache).held_bytes > 8 * MIB && turns < 60000; turns++)
        rest();
    assert_within(cache, 8 * MIB);
    assert_sound(cache);
}

/* What stays of tiny items is what a cache of the lower limit would hold, though the pages of the
 * larger index are not back yet. Seen failing: 72 % of it. */
static void
test_lowered_limit_keeps_what_fits(void **state)
{
    struct fixture_cache *fixture = *state;
    sinter_cache *cache = fixture->cache;
    if (slow_run())
        skip();
    uint64_t fits;
    for (uint64_t i = 0; i < 130000; i++)
        assert_int_equal(set_byte(cache, i), 0);
    fits = sinter_cache_items(cache);
    assert_int_equal(sinter_cache_configure(cache, "limit_bytes", "48M"), 0);
    for (uint64_t i = 0; i < 720000; i++)
        assert_int_equal(set_byte(cache, i), 0);
    assert_true(sinter_cache_items(cache) > 5 * fits);
    section_enter(); /* so that the pages cannot be back */
    assert_int_equal(sinter_cache_configure(cache, "limit_bytes", "8M"), 0);
    section_leave();
    assert_in_range(sinter_cache_items(cache) * 100 / fits, 87, 107);
}

/* One large item takes the place of hundreds of small ones: their buckets go with them.
 * Seen failing: a bucket went for each large item, 15000 were left for 350 items. */
static void
test_index_follows_evictions(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    uint64_t number = 0;
    if (slow_run())
        skip();
    while (number < 100000)
        assert_int_equal(set_byte(cache, number++), 0);
    assert_true(cache_stats(cache).buckets > 15000);
    for (unsigned i = 0; i < 500; i++)
        assert_int_equal(set_number(cache, number++, 20000, 1), 0);
    /* The cache's thread may have had their lock: a few more. */
    for (unsigned i = 0; i < 2000 && !buckets_are_few(cache); i++)
        assert_int_equal(set_number(cache, number++, 20000, 1), 0);
    assert_true(buckets_are_few(cache));
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

/* Each key is read once, when a seventh of the limit was written after it, and nobody sets again
 * what was missed: the ring grows until the reads find their keys, and these stay for a while.
 * Seen failing: 31 % of them were there, and the budget fell to half. */
static void
test_new_keys_that_are_read_once_stay(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    const uint64_t step = 8 * MIB / 7 / 250, newest = 4 * MIB / 250;
    uint64_t number = 0, there = 0;
    if (slow_run())
        skip();
    for (unsigned round = 0; round < 40; round++) {
        for (uint64_t i = 0; i < step; i++)
            assert_int_equal(set_number(cache, number++, 200, 1), 0);
        for (uint64_t i = number - step; i < number; i++)
            check_number(cache, i);
    }
    struct sinter_cache_stats stats = cache_stats(cache);
    assert_true(stats.budget_bytes * 100 >= stats.limit_bytes * 75);
    for (uint64_t i = number - newest; i < number; i++)
        there += check_number(cache, i) == 0;
    assert_true(there * 100 >= newest * 95);
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

/* What cannot succeed in this section costs no more than what is needed after it.
 * Seen failing: two thirds of all items went, a 1024th of the limit at each refusal. */
static void
test_refusals_in_a_section_cost_little(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    if (!FLAVOUR_SEES_SECTIONS || slow_run())
        skip();
    for (uint64_t i = 0; i < 12000; i++)
        assert_int_equal(set_number(cache, i, 1000, 1), 0);
    uint64_t before = sinter_cache_items(cache);
    section_enter();
    for (uint64_t i = 0; i < 12000; i++)
        (void)set_number(cache, 50000 + i, 1000, 1);
    section_leave();
    struct sinter_cache_stats stats = cache_stats(cache);
    assert_true(stats.refused > 6000);
    assert_true(stats.items * 4 >= before * 3);
    assert_int_equal(stats.waits, cache_stats(cache).waits);
    assert_int_equal(set_number(cache, 1, 300, 2), 0);
}

/* ---- a reader that stays --------------------------------------------------------------------- */

/** Who keeps all that has been freed, until a writer has waited often. */
struct stay {
    sinter_cache *cache;
    bool inside, over; /* atomic */
    int rc;
};

static void
stay_in_a_section(struct stay *stay)
{
    section_enter();
    __atomic_store_n(&stay->inside, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&stay->over, __ATOMIC_ACQUIRE) && cache_stats(stay->cache).waits < 40)
        sched_yield();
    section_leave();
}

/* Everything is freed, nothing is reusable yet, the limit is lower than what there is of pages. */
static void
set_what_has_to_wait(struct stay *stay)
{
    static char value[1500000];
    while (!__atomic_load_n(&stay->inside, __ATOMIC_ACQUIRE))
        sched_yield();
    sinter_cache_clear(stay->cache);
    sinter_cache_configure(stay->cache, "limit_bytes", "8M");
    stay->rc = sinter_cache_set(stay->cache, "a", 1, value, sizeof(value), 0, 0);
    __atomic_store_n(&stay->over, true, __ATOMIC_RELEASE);
}

static void
stay_or_set(void *opaque, unsigned index)
{
    if (index == 0)
        stay_in_a_section(opaque);
    else
        set_what_has_to_wait(opaque);
}

/* With nothing left to evict, and memory on its way, a set waits for as long as it may. */
static void
test_waits_for_what_a_reader_holds(void **state)
{
    struct fixture_cache *fixture = *state;
    struct stay stay = {.cache = fixture->cache};
    if (!FLAVOUR_SEES_SECTIONS || slow_run())
        skip();
    assert_int_equal(sinter_cache_configure(stay.cache, "limit_bytes", "16M"), 0);
    for (uint64_t i = 0; i < 20000; i++)
        assert_int_equal(set_number(stay.cache, i, 1000, 1), 0);
    run_threads(2, stay_or_set, &stay);
    assert_int_equal(stay.rc, 0);
    assert_sound(stay.cache);
}

/* What is refused is counted, whoever finds that it is too large. */
static void
test_refusals_are_counted(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    static char value[9000000];
    assert_int_equal(set_text(cache, "a", "1"), 0);
    assert_int_equal(sinter_cache_set(cache, "a", 1, value, sizeof(value), 0, 0), -E2BIG);
    assert_int_equal(sinter_cache_set(cache, "a", 1, value, SIZE_MAX / 2, 0, 0), -E2BIG);
    assert_int_equal(sinter_cache_append(cache, "a", 1, value, sizeof(value)), -E2BIG);
    assert_int_equal(sinter_cache_prepend(cache, "a", 1, value, SIZE_MAX / 2), -E2BIG);
    assert_int_equal(cache_stats(cache).refused, 4);
    assert_text(cache, "a", "1");
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

/* At the limit, too, where each key that is deleted makes room for the next one, and the ring has
 * up to twice as many entries as there are items. A clear leaves none.
 * Seen failing: 8.4 MiB held; as much for the ring after the clear as before. */
static void
test_ring_is_held_to_the_limit(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    uint64_t number = 0;
    char key[21];
    if (slow_run())
        skip();
    while (cache_stats(cache).evicted == 0)
        assert_int_equal(set_byte(cache, number++), 0);
    struct sinter_cache_stats before = cache_stats(cache);
    for (uint64_t i = 0; i < before.items; i++) {
        make_key(key, number - 1);
        (void)sinter_cache_delete(cache, key, 20, 0);
        assert_int_equal(set_byte(cache, number++), 0);
        if (i % 256 == 0)
            assert_within(cache, 8 * MIB);
    }
    before = cache_stats(cache);
    assert_int_equal(sinter_cache_clear(cache), 0);
    assert_true(cache_stats(cache).policy_bytes + 4 * before.items < before.policy_bytes);
    assert_sound(cache);
}

int
group_limit(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(test_limit_holds_while_sizes_shift),
        CACHE_TEST(test_limit_changes),
        CACHE_TEST(test_index_gives_pages_back),
        CACHE_TEST(test_index_follows_a_lowered_limit),
        CACHE_TEST(test_lowered_limit_keeps_what_fits),
        CACHE_TEST(test_index_follows_evictions),
        CACHE_TEST(test_newest_stay),
        CACHE_TEST(test_scan_does_not_push_out),
        CACHE_TEST(test_shift_of_keys_is_followed),
        CACHE_TEST(test_new_keys_that_are_read_once_stay),
        CACHE_TEST(test_small_and_large_side_by_side),
        CACHE_TEST(test_sets_in_one_long_section),
        CACHE_TEST(test_refusals_in_a_section_cost_little),
        CACHE_TEST(test_waits_for_what_a_reader_holds),
        CACHE_TEST(test_refusals_are_counted),
        CACHE_TEST(test_ring_is_bounded),
        CACHE_TEST(test_ring_is_held_to_the_limit),
    };
    return cmocka_run_group_tests_name("limit", tests, NULL, NULL);
}
