/* SPDX-License-Identifier: MIT */
/*
 * test_dense.c - dense parts of a store become huge pages by the mover's thread, and pages again,
 * whatever the store does meanwhile; no mapping of its arena is split. What comes of them while a
 * forked child shares the pages, and of a trim beside a collapse. Left out where the kernel does
 * not make them. Seen failing (the mappings) with MADV_HUGEPAGE for each part.
 */
#include "race.h"

#include <sinter/handle.h>

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/mover.h"
#include "memory/dense.h"
#include "rcu/rcu_fork.h"

enum { OBJECTS = 20000, BYTES = 4000 }; /* 80 MB */

static handle_t handles[OBJECTS];

/* Mappings that a store's arena consists of. */
static unsigned
mappings_of(const handle_store *store)
{
    uintptr_t arena = (uintptr_t)store->pool.arena;
    uintptr_t end = arena + sn_pool_reserved_bytes(&store->pool);
    unsigned count = 0;
    char line[512];
    FILE *maps = fopen("/proc/self/maps", "r");
    if (!maps)
        skip();
    while (fgets(line, sizeof(line), maps)) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            count += from < end && to > arena;
    }
    fclose(maps);
    return count;
}

/* One mapping; or two, as what is in use is in cores, and what is reserved behind it is not. */
static void
assert_in_one_piece(const handle_store *store)
{
    assert_in_range(mappings_of(store), 1, 2);
}

static struct handle_stats
stats_of(handle_store *store)
{
    return take_stats(store);
}

/* Frees all but every n-th that is left. */
static void
thin_out(handle_store *store, unsigned n)
{
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (i % n == 0 || handles[i] == HANDLE_NULL)
            continue;
        assert_int_equal(handle_free(store, handles[i]), 0);
        handles[i] = HANDLE_NULL;
    }
    section_leave();
}

static void
verify(handle_store *store)
{
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++) {
        const uint64_t *object = handle_deref(store, handles[i]);
        assert_true((object != NULL) == (handles[i] != HANDLE_NULL));
        assert_true(!object || object[0] == i);
    }
    section_leave();
}

static void
fill_store(handle_store *store)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        section_enter();
        handles[i] = handle_alloc(store, BYTES);
        uint64_t *object = handle_deref_mut(store, handles[i]);
        assert_non_null(object);
        object[0] = i;
        section_leave();
    }
}

/* Two looks, as housekeeping takes them, and the mover's thread is woken. Housekeeping may do the
 * same meanwhile. False: the kernel has refused all, for want of free memory in one piece. */
static bool
make_some(handle_store *store)
{
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(sn_dense_look(&store->heap, 0, UINT32_MAX), 0);
    sn_mover_wake_for_dense(store);
    await(stats_of(store).hugepages_made + stats_of(store).hugepages_refused > 0);
    return stats_of(store).hugepages_made > 0;
}

/* The store is full, and has huge pages. */
static void
thin_out_to_nothing(handle_store *store)
{
    thin_out(store, 3);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(handle_store_compact(store, NULL), 0);
        assert_int_equal(handle_store_purge(store, NULL), 0);
        assert_in_one_piece(store);
        verify(store);
    }
    thin_out(store, OBJECTS + 1);
    assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
    assert_int_equal(handle_store_purge(store, NULL), 0);
    assert_in_one_piece(store);
}

/* False: the kernel has made no huge page. */
static bool
there_and_back(handle_store *store)
{
    assert_in_one_piece(store);
    fill_store(store);
    assert_in_one_piece(store); /* it has grown */
    bool made_some = make_some(store);
    assert_in_one_piece(store);
    struct handle_stats made = stats_of(store);
    assert_true(made.hugepage <= made.committed);
    verify(store);
    thin_out_to_nothing(store);
    await(stats_of(store).hugepage == 0); /* the mover's thread may still be making one */
    assert_true(stats_of(store).hugepages_undone > 0 || !made_some);
    return made_some;
}

static handle_store *
make_store(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.hugepages = HANDLE_HUGEPAGES_DENSE;
    handle_store *store = handle_store_create(&options);
    assert_non_null(store);
    return store;
}

static void
test_there_and_back(void **state)
{
    (void)state;
    handle_store *store = make_store();
    bool small = stats_of(store).dense_reason == HANDLE_DENSE_SMALL;
    bool whole = small && there_and_back(store);
    assert_int_equal(handle_store_destroy(store), 0);
    if (!whole)
        skip();
}

/* ---- a forked child -------------------------------------------------------------------------- */

static uint64_t (*housekeep)(struct sn_rcu_client *client, uint64_t now_ns);
static unsigned ticks; /* atomic */

static uint64_t
housekeep_by_ticks(struct sn_rcu_client *client, uint64_t now_ns)
{
    enum { SOON_NS = 1000000 };
    sn_container_of(client, handle_store, client)->next_tick_ns = 0;
    (void)housekeep(client, now_ns);
    (void)__atomic_add_fetch(&ticks, 1, __ATOMIC_RELEASE);
    return now_ns + SOON_NS;
}

/* From here on each time that house is kept is a tick, and the next one comes soon. */
static void
hurry_ticks(handle_store *store)
{
    wait_begin();
    sn_rcu_before_fork(true); /* keeps the grace-period thread out of the store */
    wait_end();
    housekeep = store->client.housekeep;
    store->client.housekeep = housekeep_by_ticks;
    sn_rcu_after_fork();
}

static void
await_ticks(handle_store *store, unsigned count)
{
    unsigned from = __atomic_load_n(&ticks, __ATOMIC_ACQUIRE);
    sn_store_signal(store, true);
    await(__atomic_load_n(&ticks, __ATOMIC_ACQUIRE) - from >= count);
}

/* As if a child were there: until the descriptor, which is the result, is closed. */
static int
pretend_child(handle_store *store)
{
    int fd[2];
    struct stat file;
    struct sn_children *children = &store->children;
    assert_int_equal(pipe2(fd, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(fstat(fd[0], &file), 0);
    sn_lock(&children->lock);
    children->children.of[children->children.count++] =
        (struct sn_pipe_end){fd[0], file.st_dev, file.st_ino};
    sn_unlock(&children->lock);
    return fd[1];
}

static uint64_t
tried(handle_store *store)
{
    struct handle_stats stats = stats_of(store);
    return stats.hugepages_made + stats.hugepages_refused;
}

/* While a child shares the pages nobody wakes the mover for them; when it has gone they are made.
 * Seen failing: the mover's thread was started, and woken at each tick. */
static void
test_child_shares_pages(void **state)
{
    enum { TICKS = 20 };
    (void)state;
    handle_store *store = make_store();
    bool skips = stats_of(store).dense_reason != HANDLE_DENSE_SMALL;
    if (!skips) {
        int child = pretend_child(store);
        fill_store(store);
        hurry_ticks(store);
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(sn_dense_look(&store->heap, 0, UINT32_MAX), 0);
        assert_true(sn_dense_has_due(&store->pool));
        await_ticks(store, TICKS);
        assert_true(sn_dense_has_due(&store->pool));
        assert_false(sn_mover_has_thread(&store->mover));
        assert_int_equal(tried(store), 0);
        close(child);
        await(tried(store) > 0);
    }
    assert_int_equal(handle_store_destroy(store), 0);
    if (skips)
        skip();
}

/* ---- a trim beside a collapse ---------------------------------------------------------------- */

static struct {
    const struct sn_pool *pool;
    bool stood;
    sem_t reached, go;
} standing;

static void
stand_once(enum sn_hook_point point, const void *object)
{
    if (point != SN_HOOK_COLLAPSE || object != standing.pool || standing.stood)
        return;
    standing.stood = true;
    sem_post(&standing.reached);
    while (sem_wait(&standing.go) != 0)
        continue;
}

/* Frees two in sixteen, which lie side by side: a page of each span. */
static void
loosen(handle_store *store)
{
    enum { OF = 16 };
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (i % OF != 3 && i % OF != 4)
            continue;
        assert_int_equal(handle_free(store, handles[i]), 0);
        handles[i] = HANDLE_NULL;
    }
    section_leave();
}

/* Two looks when what was freed has come to the spans. */
static void
make_due(handle_store *store)
{
    for (unsigned i = 0; i < 1000 && !sn_dense_has_due(&store->pool); i++) {
        assert_int_equal(sn_dense_look(&store->heap, 0, UINT32_MAX), 0);
        nap();
    }
}

/* The mover's thread stands in a collapse: housekeeping's trim stops before that region, and house
 * is kept all the same. Seen failing: it waited, with the mover's lock held. */
static void
test_trim_waits_for_no_collapse(void **state)
{
    enum { TICKS = 50 };
    (void)state;
    handle_store *store = make_store();
    bool skips = stats_of(store).dense_reason != HANDLE_DENSE_SMALL;
    if (!skips) {
        set_option(store, "purge_delay_ms", "-1");
        set_option(store, "defrag.ignore_bytes", "1G");
        fill_store(store);
        loosen(store);
        assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
        standing.pool = &store->pool;
        standing.stood = false;
        assert_int_equal(sem_init(&standing.reached, 0, 0), 0);
        assert_int_equal(sem_init(&standing.go, 0, 0), 0);
        __atomic_store_n(&sn_hook_fn, stand_once, __ATOMIC_RELEASE);
        hurry_ticks(store);
        make_due(store);
        sn_mover_wake_for_dense(store);
        await(sem_trywait(&standing.reached) == 0);
        set_option(store, "purge_delay_ms", "0");
        await_ticks(store, TICKS);
        sem_post(&standing.go);
        await(sn_load_relaxed(&store->pool.collapsing) == 0);
        verify(store);
    }
    assert_int_equal(handle_store_destroy(store), 0);
    __atomic_store_n(&sn_hook_fn, NULL, __ATOMIC_RELEASE);
    if (skips)
        skip();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(test_there_and_back),
    cmocka_unit_test(test_child_shares_pages),
    cmocka_unit_test(test_trim_waits_for_no_collapse),
};

RACE_MAIN("dense", tests)
