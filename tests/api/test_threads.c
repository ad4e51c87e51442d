/* SPDX-License-Identifier: MIT */
/*
 * test_threads.c - threads and stores: thread exit and detach give caches back, objects cross
 * threads, several stores used by each thread, stores that end before their threads do, frees from
 * call_rcu callbacks.
 */
#include "support.h"

/* ---- caches ---------------------------------------------------------------------------------- */

/* Fills the calling thread's caches: only free_now feeds them. */
static void
warm_cache(handle_store *store)
{
    handle_t handles[200];
    section_enter();
    for (unsigned i = 0; i < 200; i++)
        thread_check((handles[i] = handle_alloc(store, i)) != HANDLE_NULL);
    for (unsigned i = 0; i < 200; i++)
        thread_check(handle_free_now(store, handles[i]) == 0);
    section_leave();
}

static uint64_t
cached_bytes(handle_store *store, uint64_t *threads)
{
    struct handle_stats stats = take_stats(store);
    uint64_t cached = stats.thread_cache;
    *threads = stats.threads;
    return cached;
}

static void
detach_gives_back(void **state)
{
    struct fixture *fixture = *state;
    uint64_t threads = 0;
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    handle_thread_detach(fixture->store); /* without a cache: nothing */
    for (unsigned i = 0; i < 3; i++) {
        uint64_t cached = 0;
        for (unsigned turns = 0; turns < 100 && cached == 0; turns++) { /* 0: held up, so idle */
            warm_cache(fixture->store);
            cached = cached_bytes(fixture->store, &threads);
        }
        assert_true(cached > 0);
        assert_int_equal(threads, 1);
        handle_thread_detach(fixture->store);
        assert_int_equal(cached_bytes(fixture->store, &threads), 0);
        assert_int_equal(threads, 0);
    }
    handle_t handle = make_object(fixture->store, 50, 1); /* the thread goes on */
    assert_object(fixture->store, handle, 50, 1);
}

/** What a pressure callback found after it had detached its thread. */
struct detached {
    unsigned calls;
    uint64_t cached, threads;
};

static void
detach_under_pressure(void *opaque, handle_store *store, size_t bytes)
{
    struct detached *detached = ((struct fixture *)opaque)->pressure_context;
    (void)bytes;
    detached->calls++;
    warm_cache(store);
    handle_thread_detach(store);
    detached->cached = cached_bytes(store, &detached->threads);
}

/* From a callback: what the cache holds goes back at once, the cache itself stays until the call is
 * over, which counts in it. Fails when it ends with the detach: seen, no thread is left. */
static void
detach_within_a_call(void **state)
{
    struct fixture *fixture = *state;
    struct detached detached = {.calls = 0};
    uint64_t threads = 0;
    fixture->options.max_bytes = 16 * MIB;
    fixture->options.pressure = detach_under_pressure;
    fixture->options.defrag.enabled = false;
    fixture_reopen(fixture);
    fixture->pressure_context = &detached;
    assert_int_equal(handle_alloc(fixture->store, 32 * MIB), HANDLE_NULL);
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(detached.calls, 1);
    assert_int_equal(detached.cached, 0);
    assert_int_equal(detached.threads, 1);
    handle_t handle = make_object(fixture->store, 50, 1); /* the thread goes on */
    assert_object(fixture->store, handle, 50, 1);
    handle_thread_detach(fixture->store);
    assert_int_equal(cached_bytes(fixture->store, &threads), 0);
    assert_int_equal(threads, 0);
}

static void
warm_and_exit(void *arg, unsigned index)
{
    (void)index;
    warm_cache(arg);
}

/* No call by the threads that end: their caches come back all the same. */
static void
thread_exit_gives_back(void **state)
{
    struct fixture *fixture = *state;
    uint64_t threads = 0;
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    for (unsigned round = 0; round < 20; round++) {
        run_threads(8, warm_and_exit, fixture->store);
        assert_int_equal(cached_bytes(fixture->store, &threads), 0);
        assert_int_equal(threads, 0);
        assert_clean(fixture->store);
    }
}

/* The library's exit path runs although the thread has unregistered from the flavour before. */
static void *
unregistered_exit(void *opaque)
{
    thread_enter();
    warm_cache(opaque);
    thread_leave();
    return NULL;
}

struct ending {
    pthread_barrier_t used;
    pthread_barrier_t destroyed;
    handle_store *store;
};

static void *
outlive(void *opaque)
{
    struct ending *ending = opaque;
    thread_enter();
    warm_cache(ending->store);
    thread_check(handle_alloc(ending->store, 77) != HANDLE_NULL);
    wait_begin();
    pthread_barrier_wait(&ending->used);
    pthread_barrier_wait(&ending->destroyed);
    wait_end();
    thread_leave();
    return NULL; /* with a cache of a store that is gone */
}

static void
threads_outlive_the_store(void **state)
{
    struct fixture *fixture = *state;
    struct ending ending = {.store = handle_store_create(&fixture->options)};
    pthread_t threads[4];
    pthread_barrier_init(&ending.used, NULL, 5);
    pthread_barrier_init(&ending.destroyed, NULL, 5);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, outlive, &ending), 0);
    wait_begin();
    pthread_barrier_wait(&ending.used);
    wait_end();
    assert_int_equal(handle_store_destroy(ending.store), 0);
    /* another store may well get the same address: the old caches must not touch it */
    handle_store *next = handle_store_create(&fixture->options);
    assert_non_null(next);
    handle_t handle = make_object(next, 50, 2);
    wait_begin();
    pthread_barrier_wait(&ending.destroyed);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    wait_end();
    assert_object(next, handle, 50, 2);
    assert_clean(next);
    assert_int_equal(handle_store_destroy(next), 0);
    pthread_barrier_destroy(&ending.used);
    pthread_barrier_destroy(&ending.destroyed);
}

static void
exit_after_unregistering(void **state)
{
    struct fixture *fixture = *state;
    pthread_t thread;
    uint64_t threads = 0;
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    assert_int_equal(pthread_create(&thread, NULL, unregistered_exit, fixture->store), 0);
    wait_begin();
    pthread_join(thread, NULL);
    wait_end();
    assert_int_equal(cached_bytes(fixture->store, &threads), 0);
}

/* ---- objects that cross threads, several stores ---------------------------------------------- */

#define STORES  3
#define MAILBOX 1000

struct crossing {
    handle_store *stores[STORES];
    handle_t mailbox[STORES][MAILBOX]; /* whoever takes a handle out is the only one who has it */
    unsigned rounds;
};

static size_t
crossing_size(uint64_t seed)
{
    return seed % 8 ? seed % 500 : seed % 9000;
}

/* Allocates here, hands over; what was found there is checked and freed by this thread, in one of
 * the two ways. The seed is kept in front of the object. */
static void
exchange(void *arg, unsigned index)
{
    struct crossing *crossing = arg;
    uint64_t random = index + 11;
    for (unsigned i = 0; i < crossing->rounds; i++) {
        unsigned s = (unsigned)random_below(&random, STORES);
        unsigned box = (unsigned)random_below(&random, MAILBOX);
        handle_store *store = crossing->stores[s];
        uint64_t seed = random_next(&random), *object = NULL;
        section_enter();
        handle_t handle = handle_alloc_object(store, 8 + crossing_size(seed), 0, (void **)&object);
        thread_check(handle != HANDLE_NULL);
        object[0] = seed;
        fill(object + 1, crossing_size(seed), seed);
        handle = __atomic_exchange_n(&crossing->mailbox[s][box], handle, __ATOMIC_ACQ_REL);
        const uint64_t *found = handle_deref(store, handle);
        thread_check((found != NULL) == (handle != HANDLE_NULL));
        if (found) {
            size_t size = crossing_size(found[0]);
            thread_check(handle_size(store, handle) == size + 8);
            thread_check(mismatch(found + 1, size, found[0]) == size);
            int result = i % 2 ? handle_free(store, handle) : handle_free_now(store, handle);
            thread_check(result == 0);
        }
        section_leave();
    }
}

static void
objects_cross_threads_and_stores(void **state)
{
    struct fixture *fixture = *state;
    static struct crossing crossing;
    memset(&crossing, 0, sizeof(crossing));
    crossing.rounds = scaled(100000);
    for (unsigned s = 0; s < STORES; s++) {
        crossing.stores[s] = handle_store_create(&fixture->options);
        assert_non_null(crossing.stores[s]);
        set_option(crossing.stores[s], "defrag.ignore_bytes", "0");
    }
    run_threads(4, exchange, &crossing);
    for (unsigned s = 0; s < STORES; s++) {
        size_t used = 0;
        compact_checked(crossing.stores[s], NULL);
        for (unsigned box = 0; box < MAILBOX; box++) {
            section_enter();
            const uint64_t *object = handle_deref(crossing.stores[s], crossing.mailbox[s][box]);
            used += object ? 8 + crossing_size(object[0]) : 0;
            section_leave();
        }
        assert_used(crossing.stores[s], used);
        assert_int_equal(handle_store_destroy(crossing.stores[s]), 0);
    }
}

/* ---- call_rcu -------------------------------------------------------------------------------- */

struct deferred {
    struct rcu_head head;
    handle_store *store;
    handle_t handle;
    handle_t handle_now;
    handle_cell cell;
    handle_cell cell_now;
};

static unsigned deferred_done;

/* A callback is on a registered thread: handle_free as anywhere, the others in a section of its
 * own. Not section_leave(): its quiescent state belongs to the thread that runs the callbacks. */
static void
free_deferred(struct rcu_head *head)
{
    struct deferred *deferred = caa_container_of(head, struct deferred, head);
    flavour_tsan_acquire();
    thread_check(handle_free(deferred->store, deferred->handle) == 0);
    rcu_read_lock();
    flavour_tsan_acquire();
    thread_check(handle_free_now(deferred->store, deferred->handle_now) == 0);
    thread_check(handle_cell_free(deferred->store, &deferred->cell) == 0);
    thread_check(handle_cell_free_now(deferred->store, &deferred->cell_now) == 0);
    thread_check(deferred->cell.word == 0 && deferred->cell_now.word == 0);
    flavour_tsan_release();
    rcu_read_unlock();
    __atomic_add_fetch(&deferred_done, 1, __ATOMIC_RELEASE);
}

static void
frees_from_call_rcu(void **state)
{
    struct fixture *fixture = *state;
    enum { STRUCTURES = 2000 };
    static struct deferred all[STRUCTURES];
    memset(all, 0, sizeof(all));
    deferred_done = 0;
    set_option(fixture->store, "defrag.ignore_bytes", "0");
    for (unsigned i = 0; i < STRUCTURES; i++) {
        struct deferred *one = &all[i];
        one->store = fixture->store;
        one->handle = make_object(fixture->store, i % 300, i);
        one->handle_now = make_object(fixture->store, i % 300, i);
        section_enter();
        assert_non_null(handle_cell_alloc(fixture->store, &one->cell, i % 300, 0));
        assert_non_null(handle_cell_alloc(fixture->store, &one->cell_now, i % 300, 0));
        section_leave();
    }
    for (unsigned i = 0; i < STRUCTURES; i++) {
        flavour_tsan_release();
        call_rcu(&all[i].head, free_deferred);
    }
    rcu_barrier();
    assert_int_equal(__atomic_load_n(&deferred_done, __ATOMIC_ACQUIRE), STRUCTURES);
    assert_int_equal(handle_store_used(fixture->store), 0);
    settle(fixture->store);
    struct handle_stats stats = take_stats(fixture->store);
    assert_true(stats.objects == 0 && stats.limbo == 0);
    assert_int_equal(stats.frees, 4 * STRUCTURES);
}

/* ---- threads that come and go while others use the store ------------------------------------- */

static void
come_and_go(void *arg, unsigned index)
{
    handle_store *store = arg;
    for (unsigned round = 0; round < 30 && index < 2; round++) {
        pthread_t threads[4];
        for (unsigned i = 0; i < 4; i++)
            thread_check(pthread_create(&threads[i], NULL, unregistered_exit, store) == 0);
        wait_begin();
        for (unsigned i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
        wait_end();
    }
    for (unsigned round = 0; round < 200 && index >= 2; round++) {
        warm_cache(store);
        thread_check(handle_store_purge(store, NULL) == 0); /* takes caches back */
    }
}

static void
caches_are_taken_back_beside_exits(void **state)
{
    struct fixture *fixture = *state;
    run_threads(4, come_and_go, fixture->store);
    assert_int_equal(handle_store_used(fixture->store), 0);
    settle(fixture->store);
    uint64_t threads = 0;
    assert_int_equal(cached_bytes(fixture->store, &threads), 0);
}

/* ---- figures --------------------------------------------------------------------------------- */

struct sampled {
    handle_store *store;
    uint32_t stop; /* atomic */
};

/* Objects without any rounding, so that the slightest disorder of counters shows below zero. */
static void
sample_beside_churn(void *arg, unsigned index)
{
    enum { OBJECTS = 100, BYTES = 240 };
    struct sampled *sampled = arg;
    handle_t handles[OBJECTS];
    while (index > 0 && !__atomic_load_n(&sampled->stop, __ATOMIC_ACQUIRE)) {
        section_enter();
        for (unsigned i = 0; i < OBJECTS; i++)
            thread_check((handles[i] = handle_alloc(sampled->store, BYTES)) != HANDLE_NULL);
        for (unsigned i = 0; i < OBJECTS; i++)
            thread_check(handle_free_now(sampled->store, handles[i]) == 0);
        section_leave();
    }
    for (unsigned i = 0; index == 0 && i < scaled(2000); i++) {
        struct handle_stats stats = take_stats(sampled->store);
        const uint64_t *breakdown = &stats.requested;
        for (unsigned step = 0; &breakdown[step] <= &stats.committed; step++)
            thread_check(breakdown[step] <= stats.reserved);
        thread_check(stats.objects <= stats.reserved / BYTES);
        thread_check(stats.objects_by_handle <= stats.reserved / BYTES);
        thread_check(handle_store_used(sampled->store) <= stats.reserved);
    }
    if (index == 0)
        __atomic_store_n(&sampled->stop, 1, __ATOMIC_RELEASE);
}

/* Figures read beside other threads need not add up, but none of them comes round to 2^64. Seen
 * failing: rounding as a plain difference. */
static void
figures_beside_threads(void **state)
{
    struct fixture *fixture = *state;
    struct sampled sampled = {fixture->store, 0};
    run_threads(3, sample_beside_churn, &sampled);
}

int
group_threads(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(detach_gives_back),         STORE_TEST(detach_within_a_call),
        STORE_TEST(thread_exit_gives_back),    STORE_TEST(exit_after_unregistering),
        STORE_TEST(threads_outlive_the_store), STORE_TEST(objects_cross_threads_and_stores),
        STORE_TEST(frees_from_call_rcu),       STORE_TEST(caches_are_taken_back_beside_exits),
        STORE_TEST(figures_beside_threads),
    };
    return cmocka_run_group_tests_name("threads", tests, NULL, NULL);
}
