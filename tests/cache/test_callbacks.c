/* SPDX-License-Identifier: MIT */
/*
 * test_callbacks.c - callbacks that call back: one cache's evictions go into another, what is
 * evicted is put back, walks whose visitor deletes, clears and writes.
 */
#include "support.h"

/** A cache whose evicted items go on to the one below. */
struct tier {
    sinter_cache *cache, *below;
    uint64_t told;  /* evictions */
    uint64_t waits; /* of calls in the callback */
    uint64_t most;  /* callbacks that write */
};

static void
open_tier(struct tier *tier,
          void (*evicted)(void *, const struct sinter_cache_view *, enum sinter_cache_reason))
{
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    options.limit_bytes = 8 * MIB;
    options.wait_ms = 60000;
    options.evicted = evicted;
    options.opaque = tier;
    tier->cache = sinter_cache_create_flavor(&options, &rcu_flavor);
    assert_non_null(tier->cache);
}

/* A write to a cache by a callback of another, or of its own. */
static void
write_item(struct tier *tier, sinter_cache *to, const struct sinter_cache_view *item)
{
    uint64_t before = cache_stats(to).waits;
    sinter_cache_set(to, item->key, item->key_size, item->data, item->data_size, item->info.flags,
                     0);
    tier->waits += cache_stats(to).waits - before;
}

static void
hand_down(void *opaque, const struct sinter_cache_view *item, enum sinter_cache_reason reason)
{
    struct tier *tier = opaque;
    tier->told += reason == SINTER_CACHE_EVICTED;
    if (tier->below)
        write_item(tier, tier->below, item);
}

/* Each cache tells of what it evicts, also of what another one's callback makes it evict; in a
 * circle it ends where it began. What a callback is shown stays until it returns, so that it never
 * waits, under QSBR neither.
 * Seen failing: with one mark for all caches none of the second one's evictions was told; under
 * QSBR with a callback that waits. */
static void
test_tiers(void **state)
{
    struct tier first = {0}, second = {0};
    (void)state;
    open_tier(&first, hand_down);
    open_tier(&second, hand_down);
    first.below = second.cache;
    for (uint64_t i = 0; i < scaled(20000); i++)
        assert_int_equal(set_number(first.cache, i, 1000, 1), 0);
    assert_int_equal(first.told, cache_stats(first.cache).evicted);
    assert_int_equal(second.told, cache_stats(second.cache).evicted);
    assert_true(slow_run() || second.told > 0);
    assert_int_equal(first.waits, 0);
    second.below = first.cache;
    for (uint64_t i = 0; i < scaled(3000); i++)
        assert_int_equal(set_number(first.cache, i, 1000, 2), 0);
    assert_int_equal(first.waits + second.waits, 0);
    assert_sound(first.cache);
    assert_sound(second.cache);
    assert_int_equal(sinter_cache_destroy(first.cache), 0);
    assert_int_equal(sinter_cache_destroy(second.cache), 0);
}

static void
put_back(void *opaque, const struct sinter_cache_view *item, enum sinter_cache_reason reason)
{
    struct tier *tier = opaque;
    tier->told += reason == SINTER_CACHE_EVICTED;
    if (tier->told < tier->most)
        write_item(tier, tier->cache, item);
}

/* A callback that puts back what has to go has to make room for it by itself: it does not take the
 * room that its caller has made. Seen failing: 3160 callbacks for each set. */
static void
test_put_back(void **state)
{
    struct tier tier = {.most = 10 * scaled(12000)};
    (void)state;
    open_tier(&tier, put_back);
    for (uint64_t i = 0; i < scaled(12000); i++)
        assert_int_equal(set_number(tier.cache, i, 1000, 1), 0);
    assert_true(tier.told < tier.most);
    assert_int_equal(tier.waits, 0);
    assert_sound(tier.cache);
    assert_int_equal(sinter_cache_destroy(tier.cache), 0);
}

static void
copy_down(void *opaque, const struct sinter_cache_view *item, enum sinter_cache_reason reason)
{
    (void)reason;
    sinter_cache_set(((struct tier *)opaque)->below, item->key, item->key_size, item->data,
                     item->data_size, 0, 0);
}

/* What this thread has written last is what its call has, not what a callback in it has written.
 * Seen failing: the cas of the item in the second cache. */
static void
test_written_beside_callbacks(void **state)
{
    struct tier first = {0}, second = {0};
    struct sinter_cache_info info;
    (void)state;
    open_tier(&first, copy_down);
    open_tier(&second, NULL);
    first.below = second.cache;
    assert_int_equal(sinter_cache_configure(second.cache, "cas_above", "1000000"), 0);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(set_ttl(first.cache, "key", "1", 1), 0);
        while (lookup(first.cache, "key") == 0)
            rest();
        assert_int_equal(set_text(first.cache, "key", "2"), 0);
        assert_int_equal(sinter_cache_get(first.cache, "key", 3, NULL, 0, &info), -ENOSPC);
        assert_int_equal(sinter_cache_written(), info.cas);
    }
    assert_int_equal(sinter_cache_destroy(first.cache), 0);
    assert_int_equal(sinter_cache_destroy(second.cache), 0);
}

/* ---- walks ----------------------------------------------------------------------------------- */

static int
delete_it(void *opaque, const struct sinter_cache_view *item)
{
    return sinter_cache_delete(opaque, item->key, item->key_size, 0);
}

static int
clear_all(void *opaque, const struct sinter_cache_view *item)
{
    (void)item;
    return sinter_cache_clear(opaque) == 0 ? 1 : -1;
}

/* Writes until it is refused, since the walk's section goes on. */
static int
fill_up(void *opaque, const struct sinter_cache_view *item)
{
    struct fixture_cache *fixture = opaque;
    char key[21];
    uint64_t number, before = cache_stats(fixture->cache).waits;
    static char value[1000];
    int rc = 0;
    for (uint64_t i = 0; i < 20000 && rc == 0; i++) {
        make_key(key, i);
        rc = sinter_cache_set(fixture->cache, key, 20, value, sizeof(value), 0, 0);
    }
    fixture->errors += cache_stats(fixture->cache).waits != before;
    memcpy(&number, item->data, sizeof(number)); /* still there */
    fixture->errors += number != 77;
    return 1;
}

static void
test_visitors_write(void **state)
{
    struct fixture_cache *fixture = *state;
    sinter_cache *cache = fixture->cache;
    for (uint64_t i = 0; i < 3000; i++)
        assert_int_equal(set_number(cache, i, 50, 1), 0);
    assert_int_equal(sinter_cache_walk(cache, delete_it, cache), 0);
    assert_int_equal(sinter_cache_items(cache), 0);
    for (uint64_t i = 0; i < 3000; i++)
        assert_int_equal(set_number(cache, i, 50, 1), 0);
    assert_int_equal(sinter_cache_walk(cache, clear_all, cache), 1);
    assert_int_equal(sinter_cache_items(cache), 0);
    assert_int_equal(set_number(cache, 77, 50, 1), 0);
    assert_int_equal(sinter_cache_walk(cache, fill_up, fixture), 1);
    assert_int_equal(fixture->errors, 0);
    assert_sound(cache);
}

int
group_callbacks(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tiers),
        cmocka_unit_test(test_put_back),
        cmocka_unit_test(test_written_beside_callbacks),
        CACHE_TEST(test_visitors_write),
    };
    return cmocka_run_group_tests_name("callbacks", tests, NULL, NULL);
}
