/* SPDX-License-Identifier: MIT */
/*
 * fault.c - a tour of the interface in which the n-th request for memory or for a thread fails, of
 * the cache and of its store: once, or from there on. After each the cache is sound, holds what it
 * said that it holds, and everything goes back.
 */
#include "support.h"

#include <sys/mman.h>

/* What follows; threads of the library make requests, too. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t countdown; /* 0: nothing fails */
static bool for_ever, failed;
static __thread bool spare; /* the test's own requests do not fail */

static bool
fails(void)
{
    bool fail = false;
    if (spare)
        return false;
    pthread_mutex_lock(&lock);
    if (countdown > 0 && --countdown == 0) {
        fail = failed = true;
        countdown = for_ever ? 1 : 0;
    }
    pthread_mutex_unlock(&lock);
    if (fail)
        errno = ENOMEM;
    return fail;
}

/* From now on the request of this number fails, and all after it if `ever`; 0: none.
 * Result: whether one has failed. */
static bool
let_fail(uint64_t number, bool ever)
{
    pthread_mutex_lock(&lock);
    bool had = failed;
    countdown = number;
    for_ever = ever;
    failed = false;
    pthread_mutex_unlock(&lock);
    return had;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                          void *opaque);

void *
__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *
__wrap_calloc(size_t n, size_t size)
{
    return fails() ? NULL : __real_calloc(n, size);
}

void *
__wrap_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    return fails() ? MAP_FAILED : __real_mmap(at, size, protection, flags, fd, offset);
}

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
                      void *opaque)
{
    return fails() ? EAGAIN : __real_pthread_create(thread, attributes, run, opaque);
}

/* ---- the tour -------------------------------------------------------------------------------- */

static bool
is_good(int rc)
{
    return rc == 0 || rc == -ENOMEM || rc == -EAGAIN || rc == -ENOENT || rc == -EEXIST;
}

static void
write_all(sinter_cache *cache)
{
    static char large[200000];
    assert_true(is_good(sinter_cache_set(cache, "a", 1, "1", 1, 1, 1000)));
    assert_true(is_good(sinter_cache_add(cache, "b", 1, "2", 1, 0, 0)));
    assert_true(is_good(sinter_cache_append(cache, "b", 1, "2", 1)));
    assert_true(is_good(sinter_cache_incr(cache, "b", 1, 1, NULL)));
    assert_true(is_good(sinter_cache_touch(cache, "b", 1, 500)));
    assert_true(is_good(sinter_cache_set(cache, "large", 5, large, sizeof(large), 0, 0)));
    assert_true(is_good(sinter_cache_set(cache, "large", 5, large, sizeof(large) - 1, 0, 0)));
    assert_true(is_good(sinter_cache_append(cache, "large", 5, "x", 1)));
    for (unsigned i = 0; i < 900; i++) {
        char key[16];
        snprintf(key, sizeof(key), "%u", i);
        assert_true(is_good(sinter_cache_set(cache, key, strlen(key), large, i, 0, i % 3)));
    }
    assert_true(is_good(sinter_cache_replace(cache, "large", 5, "small", 5, 0, 0)));
}

static void
read_all(sinter_cache *cache)
{
    uint64_t walked = 0;
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    free(sinter_cache_get_copy(cache, "large", 5, NULL));
    assert_int_equal(sinter_cache_walk(cache, count_item, &walked), 0);
    assert_true(is_good(sinter_cache_stats(cache, &stats)));
    assert_int_equal(sinter_cache_configure(cache, "limit_bytes", "9M"), 0);
    assert_true(is_good(sinter_cache_delete(cache, "7", 1, 0)));
    sinter_cache_sweep(cache, 1000);
}

/* False: nothing failed, the tour is over. */
static bool
tour(struct fixture_cache *fixture, uint64_t number, bool ever)
{
    (void)let_fail(number, ever);
    sinter_cache *cache = sinter_cache_create_flavor(&fixture->options, &rcu_flavor);
    if (cache) {
        write_all(cache);
        read_all(cache);
    } else {
        assert_true(errno == ENOMEM || errno == EAGAIN);
    }
    bool any = let_fail(0, false);
    if (cache) {
        assert_int_equal(set_text(cache, "after", "all is well"), 0);
        assert_text(cache, "after", "all is well");
        assert_sound(cache);
        assert_int_equal(sinter_cache_clear(cache), 0);
        assert_int_equal(cache_stats(cache).payload_bytes, 0);
        assert_int_equal(sinter_cache_destroy(cache), 0);
    }
    return any;
}

static void
test_once(void **state)
{
    for (uint64_t number = 1; tour(*state, number, false); number++)
        ;
}

static void
test_for_ever(void **state)
{
    for (uint64_t number = 1; tour(*state, number, true); number++)
        ;
}

/* The same for a budget and its tenant. */
static bool
tour_of_tenant(struct fixture_cache *fixture, uint64_t number, bool ever)
{
    (void)let_fail(number, ever);
    struct sinter_cache_options options = fixture->options;
    options.budget = sinter_cache_budget_create(16 * MIB, 0);
    sinter_cache *cache = options.budget ? sinter_cache_create_flavor(&options, &rcu_flavor) : NULL;
    if (cache)
        assert_true(is_good(set_text(cache, "key", "value")));
    else
        assert_true(errno == ENOMEM || errno == EAGAIN);
    bool any = let_fail(0, false);
    if (cache)
        assert_int_equal(sinter_cache_destroy(cache), 0);
    if (options.budget) {
        struct sinter_cache_budget_stats stats = SINTER_CACHE_BUDGET_STATS_INIT;
        assert_int_equal(sinter_cache_budget_stats(options.budget, &stats), 0);
        assert_int_equal(stats.granted_bytes, 0);
        assert_int_equal(sinter_cache_budget_destroy(options.budget), 0);
    }
    return any;
}

static void
test_tenant(void **state)
{
    for (uint64_t number = 1; tour_of_tenant(*state, number, false); number++)
        ;
    for (uint64_t number = 1; tour_of_tenant(*state, number, true); number++)
        ;
}

int
main(void)
{
    const struct CMUnitTest tests[] = {CACHE_TEST(test_once), CACHE_TEST(test_for_ever),
                                       CACHE_TEST(test_tenant)};
    thread_enter();
    int failures = cmocka_run_group_tests_name("fault", tests, NULL, NULL);
    thread_leave();
    return failures ? 1 : 0;
}
