/* SPDX-License-Identifier: MIT */
/* test_crowd.c - keys that were chosen to meet in the index. */
#include "support.h"

/* SipHash-1-3, a good hash that anybody has, and the cache has not. */
static uint64_t
hash_with_known_key(uint64_t number)
{
    uint64_t v[4] = {UINT64_C(0x736f6d6570736575), UINT64_C(0x646f72616e646f6d),
                     UINT64_C(0x6c7967656e657261), UINT64_C(0x7465646279746573)};
    uint64_t words[2] = {number, UINT64_C(8) << 56};
    for (unsigned i = 0; i < 5; i++) {
        if (i < 2)
            v[3] ^= words[i];
        if (i == 2)
            v[2] ^= 0xff;
        v[0] += v[1], v[2] += v[3];
        v[1] = (v[1] << 13 | v[1] >> 51) ^ v[0], v[3] = (v[3] << 16 | v[3] >> 48) ^ v[2];
        v[0] = v[0] << 32 | v[0] >> 32;
        v[2] += v[1], v[0] += v[3];
        v[1] = (v[1] << 17 | v[1] >> 47) ^ v[2], v[3] = (v[3] << 21 | v[3] >> 43) ^ v[0];
        v[2] = v[2] << 32 | v[2] >> 32;
        if (i < 2)
            v[0] ^= words[i];
    }
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* All of them meet in one bucket, for whoever has the other key: here they are as any others. */
static void
test_chosen_keys(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    unsigned count = 0;
    for (uint64_t number = 0; count < scaled(20000); number++) {
        if (hash_with_known_key(number) % 64 != 0)
            continue;
        assert_int_equal(sinter_cache_set(cache, &number, 8, "v", 1, 0, 0), 0);
        count++;
    }
    struct sinter_cache_stats stats = cache_stats(cache);
    assert_int_equal(stats.items + stats.crowded, count);
    assert_true(stats.crowded * 1000 <= count);
    assert_sound(cache);
}

/* What had to go for a place in the index is counted, and told of. */
static void
count_told(void *opaque, const struct sinter_cache_view *item, enum sinter_cache_reason reason)
{
    struct fixture_cache *fixture = opaque;
    (void)item;
    __atomic_fetch_add(&fixture->told[reason], 1, __ATOMIC_RELAXED);
}

static void
test_crowded_are_told_of(void **state)
{
    struct fixture_cache *fixture = *state;
    assert_int_equal(sinter_cache_destroy(fixture->cache), 0);
    fixture->options.evicted = count_told;
    cache_open(fixture);
    for (uint64_t i = 0; i < scaled(60000); i++)
        assert_int_equal(set_number(fixture->cache, i, 0, 1), 0);
    struct sinter_cache_stats stats = cache_stats(fixture->cache);
    assert_int_equal(fixture->told[SINTER_CACHE_CROWDED], stats.crowded);
    assert_int_equal(fixture->told[SINTER_CACHE_EVICTED], stats.evicted);
    assert_sound(fixture->cache);
}

int
group_crowd(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(test_chosen_keys),
        CACHE_TEST(test_crowded_are_told_of),
    };
    return cmocka_run_group_tests_name("crowd", tests, NULL, NULL);
}
