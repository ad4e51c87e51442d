/* SPDX-License-Identifier: MIT */
/* test_fork.c - forks beside threads that write: parent and child go on with sound caches. */
#include "support.h"

#include <sys/wait.h>
#include <unistd.h>

#define WRITERS 2u

struct forking {
    struct fixture_cache *fixture;
    unsigned stop; /* atomic */
};

static void
write_on(void *opaque, unsigned index)
{
    struct forking *forking = opaque;
    uint64_t seed = index + 1;
    if (index == 0)
        return;
    while (!__atomic_load_n(&forking->stop, __ATOMIC_RELAXED)) {
        uint64_t number = random_below(&seed, 20000);
        size_t size = number % 100 ? 200 : 70000;
        thread_check(set_number(forking->fixture->cache, number, size, index) == 0);
        int rc = check_number(forking->fixture->cache, random_below(&seed, 20000));
        thread_check(rc == 0 || rc == -ENOENT);
        quiesce();
    }
}

/* Exit status of the child: 0, all was well in it. */
static int
be_child(void *opaque)
{
    sinter_cache *cache = opaque;
    uint64_t evicted = cache_stats(cache).evicted;
    for (uint64_t i = 0; i < 200; i++) {
        int rc = set_number(cache, 100000 + i, 50, 1);
        if (rc != 0 && rc != -EAGAIN)
            return 1;
        if (rc == 0 && check_number(cache, 100000 + i) != 0)
            return 2;
    }
    for (uint64_t i = 0; i < 20000; i++) {
        int rc = check_number(cache, i);
        if (rc != 0 && rc != -ENOENT)
            return 3;
    }
    if (cache_stats(cache).evicted != evicted)
        return 7;
    if (handle_store_check(sinter_cache_store(cache), print_violation, NULL) != 0)
        return 4;
    return sinter_cache_destroy(cache) == 0 ? 0 : 5;
}

/* The hooks of so many caches stand around it. 0: in the child. */
static pid_t
fork_caches(sinter_cache *const *caches, unsigned count)
{
    callbacks_pause();
    for (unsigned i = 0; i < count; i++)
        sinter_cache_before_fork(caches[i]);
    flavour_before_fork();
    pid_t child = fork();
    if (child == 0) {
        flavour_after_fork_child();
        for (unsigned i = 0; i < count; i++)
            sinter_cache_after_fork_child(caches[i]);
        return child;
    }
    flavour_after_fork_parent();
    for (unsigned i = 0; i < count; i++)
        sinter_cache_after_fork_parent(caches[i]);
    callbacks_resume();
    thread_check(child > 0);
    return child;
}

static void
wait_for_child(pid_t child)
{
    int status;
    wait_begin();
    thread_check(waitpid(child, &status, 0) == child);
    wait_end();
    thread_check(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void
fork_once(sinter_cache *const *caches, unsigned count, int (*child_main)(void *), void *opaque)
{
    pid_t child = fork_caches(caches, count);
    if (child == 0)
        _exit(child_main(opaque));
    wait_for_child(child);
}

static void
fork_and_write(void *opaque, unsigned index)
{
    struct forking *forking = opaque;
    if (index > 0) {
        write_on(opaque, index);
        return;
    }
    for (unsigned i = 0; i < scaled(12); i++)
        fork_once(&forking->fixture->cache, 1, be_child, forking->fixture->cache);
    __atomic_store_n(&forking->stop, 1, __ATOMIC_RELAXED);
}

static void
test_forks_beside_writers(void **state)
{
    struct forking forking = {*state, 0};
    if (TEST_TSAN || TEST_ASAN)
        skip(); /* TSan's runtime does not fork with threads, ASan's may leave malloc locked */
    /* Times to live, so that the thread has its work. */
    for (unsigned i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "ttl %u", i);
        set_ttl(forking.fixture->cache, key, "v", 5 + i);
    }
    run_threads(WRITERS + 1, fork_and_write, &forking);
    assert_sound(forking.fixture->cache);
}

/* ---- a thread of the child ------------------------------------------------------------------- */

static void *
read_in_child(void *opaque)
{
    char value[8];
    thread_enter();
    sinter_cache_get(opaque, "ttl 0", 5, value, sizeof(value), NULL);
    thread_leave();
    return NULL;
}

/* As large a stack as the cache's thread had in the parent, where that lay: its thread-local memory
 * would be what liburcu's list of the child still named. */
static int
be_child_with_threads(void *opaque)
{
    sinter_cache *cache = opaque;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 512 * KIB);
    for (unsigned i = 0; i < 8; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, read_in_child, cache) != 0)
            return 1;
        wait_begin();
        pthread_join(thread, NULL);
        wait_end();
    }
    alarm(60); /* only ends what hangs */
    grace_period();
    return sinter_cache_destroy(cache) == 0 ? 0 : 2;
}

/* The cache's thread, which has been at work, is not among the child's readers. */
static void
test_child_has_threads(void **state)
{
    sinter_cache *cache = ((struct fixture_cache *)*state)->cache;
    if (TEST_TSAN)
        skip();
    for (unsigned i = 0; i < 100; i++) {
        char key[16];
        snprintf(key, sizeof(key), "ttl %u", i);
        set_ttl(cache, key, "v", 1);
    }
    ((struct fixture_cache *)*state)->now_ms += 10;
    for (unsigned i = 0; i < 10000 && sinter_cache_items(cache) > 0; i++) {
        wait_begin();
        usleep(1000);
        wait_end();
    }
    fork_once(&cache, 1, be_child_with_threads, cache);
}

/* ---- in a walk ------------------------------------------------------------------------------- */

struct walking {
    sinter_cache *cache;
    uint64_t items; /* shown so far */
    unsigned buckets;
    pid_t child;
    unsigned pauses, go_on; /* atomic */
};

static int
show(void *opaque, const struct sinter_cache_view *item)
{
    ((struct walking *)opaque)->items += item->info.size == 200 + 16;
    return 0;
}

static int
fork_between(void *opaque)
{
    struct walking *walking = opaque;
    if (++walking->buckets == 50)
        walking->child = fork_caches(&walking->cache, 1);
    return 0;
}

/* Exit status. There is no walk any more: the index shrinks, and the cache can end. */
static int
after_walk_in_child(void *opaque)
{
    sinter_cache *cache = opaque;
    struct sinter_cache_stats before = cache_stats(cache);
    alarm(60); /* only ends what hangs */
    for (uint64_t i = 0; i < before.items; i++) {
        char key[21];
        make_key(key, i);
        if (sinter_cache_delete(cache, key, 20, 0) != 0)
            return 4;
    }
    if (cache_stats(cache).buckets * 2 > before.buckets)
        return 2;
    return sinter_cache_destroy(cache) == 0 ? 0 : 3;
}

#define WALKED_ITEMS 2000u

static void
begin_walking(struct walking *walking, void **state)
{
    *walking = (struct walking){.cache = ((struct fixture_cache *)*state)->cache, .child = -1};
    for (uint64_t i = 0; i < WALKED_ITEMS; i++)
        assert_int_equal(set_number(walking->cache, i, 200, 1), 0);
}

/* Parent and child both go on with the walk to its end, and see all items. Seen failing: the child
 * counting one walk less than none. */
static void
test_fork_in_a_walk(void **state)
{
    struct walking walking;
    if (TEST_TSAN || TEST_ASAN)
        skip(); /* as in forks_beside_writers */
    begin_walking(&walking, state);
    int rc = sinter_cache_walk_pausing(walking.cache, show, fork_between, &walking);
    bool all = rc == 0 && walking.items >= WALKED_ITEMS;
    if (walking.child == 0)
        _exit(all ? after_walk_in_child(walking.cache) : 1);
    assert_true(all);
    assert_true(walking.child > 0);
    wait_for_child(walking.child);
    assert_sound(walking.cache);
}

/* Waits for the other thread to set it; a bound that only ends what hangs. */
static bool
is_set_soon(const unsigned *flag)
{
    wait_begin();
    for (unsigned i = 0; i < 60000 && !__atomic_load_n(flag, __ATOMIC_ACQUIRE); i++)
        usleep(1000);
    wait_end();
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static int
pause_between(void *opaque)
{
    struct walking *walking = opaque;
    if (++walking->buckets != 50)
        return 0;
    __atomic_store_n(&walking->pauses, 1, __ATOMIC_RELEASE);
    thread_check(is_set_soon(&walking->go_on));
    return 0;
}

static void
walk_or_fork(void *opaque, unsigned index)
{
    struct walking *walking = opaque;
    if (index > 0) {
        int rc = sinter_cache_walk_pausing(walking->cache, show, pause_between, walking);
        thread_check(rc == 0 && walking->items >= WALKED_ITEMS);
        return;
    }
    thread_check(is_set_soon(&walking->pauses));
    fork_once(&walking->cache, 1, after_walk_in_child, walking->cache);
    __atomic_store_n(&walking->go_on, 1, __ATOMIC_RELEASE);
}

/* Another thread's walk is not in the child. Seen failing: walks counted there as in the parent. */
static void
test_fork_beside_a_walk(void **state)
{
    struct walking walking;
    if (TEST_TSAN || TEST_ASAN)
        skip(); /* as in forks_beside_writers */
    begin_walking(&walking, state);
    run_threads(2, walk_or_fork, &walking);
    assert_sound(walking.cache);
}

/* ---- two tenants of a budget ----------------------------------------------------------------- */

struct sharing {
    sinter_cache_budget *budget;
    sinter_cache *cache[2];
    unsigned stop; /* atomic */
};

static int
be_child_with_budget(void *opaque)
{
    struct sharing *sharing = opaque;
    for (unsigned i = 0; i < 2; i++) {
        int rc = be_child(sharing->cache[i]); /* and destroys it */
        if (rc != 0)
            return rc;
    }
    return sinter_cache_budget_destroy(sharing->budget) == 0 ? 0 : 6;
}

static void
fork_and_share(void *opaque, unsigned index)
{
    struct sharing *sharing = opaque;
    for (unsigned i = 0; index == 0 && i < scaled(6); i++) {
        fork_once(sharing->cache, 2, be_child_with_budget, sharing);
        thread_check(sinter_cache_budget_limit(sharing->budget, (i % 2 ? 32 : 20) * MIB, 0) == 0);
    }
    if (index == 0)
        __atomic_store_n(&sharing->stop, 1, __ATOMIC_RELAXED);
    for (uint64_t n = 0; index > 0 && !__atomic_load_n(&sharing->stop, __ATOMIC_RELAXED); n++) {
        thread_check(set_number(sharing->cache[index - 1], n, 500, index) == 0);
        quiesce();
    }
}

static void
test_forks_of_tenants(void **state)
{
    struct fixture_cache *fixture = *state;
    if (TEST_TSAN || TEST_ASAN)
        skip(); /* as in forks_beside_writers */
    struct sharing sharing = {.budget = sinter_cache_budget_create(32 * MIB, 0)};
    fixture->options.budget = sharing.budget;
    for (unsigned i = 0; i < 2; i++)
        sharing.cache[i] = sinter_cache_create_flavor(&fixture->options, &rcu_flavor);
    run_threads(3, fork_and_share, &sharing);
    for (unsigned i = 0; i < 2; i++) {
        assert_sound(sharing.cache[i]);
        assert_int_equal(sinter_cache_destroy(sharing.cache[i]), 0);
    }
    assert_int_equal(sinter_cache_budget_destroy(sharing.budget), 0);
}

int
group_fork(void)
{
    const struct CMUnitTest tests[] = {
        CACHE_TEST(test_forks_beside_writers), CACHE_TEST(test_child_has_threads),
        CACHE_TEST(test_fork_in_a_walk), CACHE_TEST(test_fork_beside_a_walk),
        CACHE_TEST(test_forks_of_tenants)};
    return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}
