/* SPDX-License-Identifier: MIT */
/* test_budget.c - several caches share one limit: they lend each other what they do not use. */
#include "support.h"

#define TENANTS 3u

struct tenants {
    sinter_cache_budget *budget;
    struct fixture_cache of[TENANTS];
    uint64_t next[TENANTS]; /* number of its next item */
};

static sinter_cache *
open_tenant(struct tenants *tenants, unsigned i, uint32_t weight)
{
    cache_options(&tenants->of[i]);
    tenants->of[i].options.budget = tenants->budget;
    tenants->of[i].options.weight = weight;
    tenants->of[i].cache = sinter_cache_create_flavor(&tenants->of[i].options, &rcu_flavor);
    return tenants->of[i].cache;
}

static int
budget_setup(void **state)
{
    struct tenants *tenants = calloc(1, sizeof(*tenants));
    *state = tenants;
    tenants->budget = sinter_cache_budget_create(32 * MIB, 0);
    assert_non_null(tenants->budget);
    return 0;
}

static int
budget_teardown(void **state)
{
    struct tenants *tenants = *state;
    int rc = 0;
    for (unsigned i = 0; i < TENANTS; i++)
        if (tenants->of[i].cache && sinter_cache_destroy(tenants->of[i].cache) != 0)
            rc = 1;
    if (tenants->budget && sinter_cache_budget_destroy(tenants->budget) != 0)
        rc = 1;
    free(tenants);
    return rc;
}
#define BUDGET_TEST(function)                                                                      \
    cmocka_unit_test_setup_teardown(function, budget_setup, budget_teardown)

static struct sinter_cache_budget_stats
budget_stats(struct tenants *tenants)
{
    struct sinter_cache_budget_stats stats = SINTER_CACHE_BUDGET_STATS_INIT;
    assert_int_equal(sinter_cache_budget_stats(tenants->budget, &stats), 0);
    return stats;
}

/* All that the tenants hold. Only the caller's writes make a limit rise, so that the sum, though it
 * is of several moments, is no less than what they hold at the last of them. */
static uint64_t
held(struct tenants *tenants)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < TENANTS; i++)
        if (tenants->of[i].cache)
            sum += cache_stats(tenants->of[i].cache).held_bytes;
    return sum;
}

/* Writes new items, and looks at the sum. */
static void
write_some(struct tenants *tenants, unsigned i, unsigned count)
{
    while (count-- > 0)
        assert_int_equal(set_number(tenants->of[i].cache, tenants->next[i]++, 1000, 1), 0);
    struct sinter_cache_budget_stats stats = budget_stats(tenants);
    assert_true(stats.granted_bytes <= stats.limit_bytes);
    assert_true(held(tenants) <= stats.limit_bytes);
}

static uint64_t
limit_of(struct tenants *tenants, unsigned i)
{
    return cache_stats(tenants->of[i].cache).limit_bytes;
}

/* Writes until a tenant may have so much: pages come back in other threads. */
static bool
write_until(struct tenants *tenants, unsigned i, uint64_t limit)
{
    for (unsigned turn = 0; turn < 10000 && limit_of(tenants, i) < limit; turn++) {
        write_some(tenants, i, 50);
        if (budget_stats(tenants).returning_bytes)
            rest();
    }
    return limit_of(tenants, i) >= limit;
}

static void
test_budget_lends_and_gets_back(void **state)
{
    struct tenants *tenants = *state;
    assert_non_null(open_tenant(tenants, 0, 100));
    assert_non_null(open_tenant(tenants, 1, 100));
    assert_int_equal(limit_of(tenants, 0), 8 * MIB);
    /* The one that is full gets all that the other does not use. */
    assert_true(write_until(tenants, 0, 23 * MIB));
    assert_true(budget_stats(tenants).lent_bytes >= 7 * MIB);
    assert_true(cache_stats(tenants->of[0].cache).payload_bytes > 10 * MIB);
    /* The other needs its share. */
    assert_true(write_until(tenants, 1, 15 * MIB));
    assert_true(limit_of(tenants, 0) <= 17 * MIB);
    assert_true(limit_of(tenants, 0) >= 15 * MIB);
    /* Both are full: it stays so. */
    for (unsigned turn = 0; turn < 20; turn++) {
        write_some(tenants, 0, 200);
        write_some(tenants, 1, 200);
    }
    assert_true(limit_of(tenants, 0) >= 15 * MIB && limit_of(tenants, 1) >= 15 * MIB);
    assert_int_equal(cache_stats(tenants->of[0].cache).refused, 0);
    assert_sound(tenants->of[0].cache);
    assert_sound(tenants->of[1].cache);
}

/* Three parts for one; both always at their limits, and the one that has lent asks far oftener. */
static void
test_budget_shares_by_weight(void **state)
{
    struct tenants *tenants = *state;
    assert_int_equal(sinter_cache_budget_limit(tenants->budget, 48 * MIB, 0), 0);
    assert_non_null(open_tenant(tenants, 0, 100));
    assert_non_null(open_tenant(tenants, 1, 300));
    assert_true(write_until(tenants, 0, 39 * MIB));
    for (unsigned turn = 0; turn < 10000 && limit_of(tenants, 1) < 35 * MIB; turn++) {
        write_some(tenants, 0, 100);
        write_some(tenants, 1, 20);
        if (budget_stats(tenants).returning_bytes)
            rest();
    }
    assert_true(limit_of(tenants, 1) >= 35 * MIB);
    assert_true(limit_of(tenants, 0) >= 11 * MIB);
}

/* The last tenant finds everything lent; one that leaves gives all back. */
static void
test_budget_tenants_come_and_go(void **state)
{
    struct tenants *tenants = *state;
    assert_int_equal(sinter_cache_budget_limit(tenants->budget, 24 * MIB, 0), 0);
    assert_non_null(open_tenant(tenants, 0, 100));
    assert_true(write_until(tenants, 0, 23 * MIB));
    tenants->of[1].options.wait_ms = 60000;
    assert_non_null(open_tenant(tenants, 1, 100));
    assert_non_null(open_tenant(tenants, 2, 100));
    assert_int_equal(limit_of(tenants, 0), 8 * MIB);
    assert_int_equal(budget_stats(tenants).caches, 3);
    assert_int_equal(sinter_cache_budget_destroy(tenants->budget), -EBUSY);
    struct fixture_cache fourth;
    cache_options(&fourth);
    fourth.options.budget = tenants->budget;
    assert_null(sinter_cache_create_flavor(&fourth.options, &rcu_flavor));
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(sinter_cache_budget_limit(tenants->budget, 23 * MIB, 0), -ENOSPC);
    assert_int_equal(sinter_cache_destroy(tenants->of[1].cache), 0);
    assert_int_equal(sinter_cache_destroy(tenants->of[2].cache), 0);
    tenants->of[1].cache = tenants->of[2].cache = NULL;
    assert_int_equal(budget_stats(tenants).caches, 1);
    assert_true(write_until(tenants, 0, 23 * MIB));
}

/* Lowered at run time: what the tenants hold follows. */
static void
test_budget_limit_changes(void **state)
{
    struct tenants *tenants = *state;
    assert_non_null(open_tenant(tenants, 0, 100));
    assert_non_null(open_tenant(tenants, 1, 100));
    assert_true(write_until(tenants, 0, 23 * MIB));
    assert_int_equal(sinter_cache_budget_limit(tenants->budget, 16 * MIB, 0), 0);
    assert_int_equal(limit_of(tenants, 0), 8 * MIB);
    for (unsigned turn = 0; turn < 10000 && budget_stats(tenants).returning_bytes; turn++)
        rest();
    assert_int_equal(budget_stats(tenants).granted_bytes, 16 * MIB);
    assert_true(held(tenants) <= 16 * MIB);
    assert_int_equal(sinter_cache_budget_limit(tenants->budget, 32 * MIB, 0), 0);
    assert_true(write_until(tenants, 1, 23 * MIB));
    assert_sound(tenants->of[0].cache);
}

/** A tenant whose thread tells of an item while it is destroyed. */
struct leaving {
    struct tenants *tenants;
    sinter_cache *cache;
    pthread_t destroyer;
    bool inside; /* atomic */
    unsigned written;
};

/* In the cache's own thread: begins before the cache has left the budget, and writes after that. */
static void
write_when_left(void *opaque, const struct sinter_cache_view *item, enum sinter_cache_reason reason)
{
    struct leaving *leaving = opaque;
    static const char value[50000];
    (void)item;
    (void)reason;
    if (pthread_equal(pthread_self(), leaving->destroyer) || leaving->written)
        return;
    __atomic_store_n(&leaving->inside, true, __ATOMIC_RELEASE);
    while (budget_stats(leaving->tenants).caches > 0)
        sched_yield();
    while (leaving->written++ < 100) /* each asks for room */
        (void)sinter_cache_set(leaving->cache, &leaving->written, sizeof(leaving->written), value,
                               sizeof(value), 0, 0);
}

/* Seen failing: a share of no weights was a division by 0. */
static void
test_budget_callback_beside_destroy(void **state)
{
    struct tenants *tenants = *state;
    struct leaving leaving = {.tenants = tenants, .destroyer = pthread_self()};
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    options.budget = tenants->budget;
    options.evicted = write_when_left;
    options.opaque = &leaving;
    sinter_cache *cache = sinter_cache_create_flavor(&options, &rcu_flavor);
    assert_non_null(cache);
    leaving.cache = cache;
    for (uint64_t i = 0; cache_stats(cache).limit_bytes < 24 * MIB; i++)
        (void)set_number(cache, i, 50000, 1);
    for (uint64_t i = 0; cache_stats(cache).used_bytes > 12 * MIB; i++) {
        char key[21];
        make_key(key, i);
        (void)sinter_cache_delete(cache, key, 20, 0); /* so that the callback's sets get memory */
    }
    assert_int_equal(sinter_cache_budget_limit(tenants->budget, 8 * MIB, 0), 0);
    while (!__atomic_load_n(&leaving.inside, __ATOMIC_ACQUIRE))
        rest();
    assert_int_equal(sinter_cache_destroy(cache), 0);
    assert_true(leaving.written > 100);
}

static void
test_budget_arguments(void **state)
{
    struct tenants *tenants = *state;
    struct sinter_cache_budget_stats stats = SINTER_CACHE_BUDGET_STATS_INIT;
    static const struct {
        uint64_t bytes;
        uint32_t percent;
    } bad[] = {{0, 0}, {8 * MIB - 1, 0}, {(UINT64_C(1) << 40) + 1, 0}, {0, 91}, {32 * MIB, 10}};
    for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(sinter_cache_budget_create(bad[i].bytes, bad[i].percent));
        assert_int_equal(errno, EINVAL);
        assert_int_equal(sinter_cache_budget_limit(tenants->budget, bad[i].bytes, bad[i].percent),
                         -EINVAL);
    }
    assert_int_equal(sinter_cache_budget_limit(NULL, 32 * MIB, 0), -EINVAL);
    assert_int_equal(sinter_cache_budget_limit(tenants->budget, 0, 10), 0);
    assert_true(budget_stats(tenants).limit_bytes > 8 * MIB);
    assert_int_equal(sinter_cache_budget_destroy(NULL), -EINVAL);
    assert_int_equal(sinter_cache_budget_stats(NULL, &stats), -EINVAL);
    assert_int_equal(sinter_cache_budget_stats(tenants->budget, NULL), -EINVAL);
    stats.struct_size = 8;
    assert_int_equal(sinter_cache_budget_stats(tenants->budget, &stats), -EINVAL);
    assert_null(open_tenant(tenants, 0, 0));
    assert_null(open_tenant(tenants, 0, 1001));
    assert_string_equal(tenants->of[0].error, "option weight: 1001 is not from 1 to 1000");
    assert_non_null(open_tenant(tenants, 0, 1000));
    assert_int_equal(sinter_cache_configure(tenants->of[0].cache, "limit_bytes", "16M"), -EINVAL);
    assert_string_equal(tenants->of[0].error,
                        "configure: the limit is shared; see sinter_cache_budget_limit");
}

int
group_budget(void)
{
    const struct CMUnitTest tests[] = {
        BUDGET_TEST(test_budget_lends_and_gets_back),     BUDGET_TEST(test_budget_shares_by_weight),
        BUDGET_TEST(test_budget_tenants_come_and_go),     BUDGET_TEST(test_budget_limit_changes),
        BUDGET_TEST(test_budget_callback_beside_destroy), BUDGET_TEST(test_budget_arguments),
    };
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
