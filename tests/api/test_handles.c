/* SPDX-License-Identifier: MIT */
/*
 * test_handles.c - resolving and freeing by handle: deref, deref_mut, deref_many, size, free,
 * free_now, twice and in races, stale, forged and foreign handles, the inline read path against the
 * exported one. Generations running out are test_exhaust.c's.
 */
#include "support.h"

#include "exported.h"

static void
deref_and_its_exported_twin(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell = HANDLE_CELL_INIT;
    handle_t handle = make_object(fixture->store, 99, 1);
    section_enter();
    fill(handle_cell_alloc(fixture->store, &cell, 55, 0), 55, 2);
    assert_ptr_equal(handle_deref(fixture->store, handle), exported_deref(fixture->store, handle));
    assert_ptr_equal(handle_cell_deref(fixture->store, &cell),
                     exported_cell_deref(fixture->store, &cell));
    assert_filled(exported_deref(fixture->store, handle), 99, 1);
    assert_filled(exported_cell_deref(fixture->store, &cell), 55, 2);
    assert_int_equal(handle_free(fixture->store, handle), 0);
    assert_int_equal(handle_cell_free(fixture->store, &cell), 0);
    assert_null(exported_deref(fixture->store, handle));
    assert_null(exported_deref(fixture->store, HANDLE_NULL));
    assert_null(exported_cell_deref(fixture->store, &cell));
    section_leave();
}

static void
deref_mut_writes_stay(void **state)
{
    struct fixture *fixture = *state;
    enum { OBJECTS = 300 };
    handle_t handles[OBJECTS];
    for (unsigned i = 0; i < OBJECTS; i++)
        handles[i] = make_object(fixture->store, i, i);
    for (unsigned round = 1; round <= 3; round++) {
        for (unsigned i = 0; i < OBJECTS; i++) {
            section_enter();
            void *object = handle_deref_mut(fixture->store, handles[i]);
            assert_non_null(object);
            fill(object, i, i * 10 + round);
            section_leave();
        }
        compact_checked(fixture->store, NULL);
        for (unsigned i = 0; i < OBJECTS; i++)
            assert_object(fixture->store, handles[i], i, i * 10 + round);
    }
}

/* All lengths around the batch that the library may use; live, stale, null and forged mixed. */
static void
deref_many_mixed(void **state)
{
    struct fixture *fixture = *state;
    enum { MOST = 70 };
    handle_t handles[MOST];
    const void *objects[MOST + 1];
    for (unsigned i = 0; i < MOST; i++)
        handles[i] = make_object(fixture->store, i, i);
    for (unsigned i = 0; i < MOST; i += 3)
        assert_int_equal(handle_free(fixture->store, handles[i]), 0);
    handles[1] = HANDLE_NULL;
    handles[7] = ~HANDLE_NULL;
    for (unsigned n = 0; n <= MOST; n++) {
        section_enter();
        memset(objects, 0x5a, sizeof(objects));
        size_t live = 0;
        size_t reported = handle_deref_many(fixture->store, handles, objects, n);
        for (unsigned i = 0; i < n; i++) {
            bool is_live = i % 3 && i != 1 && i != 7;
            live += is_live;
            assert_true((objects[i] != NULL) == is_live);
            assert_ptr_equal(objects[i], handle_deref(fixture->store, handles[i]));
            if (is_live)
                assert_filled(objects[i], i, i);
        }
        assert_int_equal(reported, live);
        const void *untouched;
        memset(&untouched, 0x5a, sizeof(untouched));
        assert_ptr_equal(objects[n], untouched); /* nothing behind the end */
        section_leave();
    }
}

static void
free_once(void **state)
{
    struct fixture *fixture = *state;
    handle_t handle = make_object(fixture->store, 123, 1);
    handle_t now = make_object(fixture->store, 123, 2);
    assert_used(fixture->store, 246);
    assert_int_equal(handle_free(fixture->store, handle), 0);
    assert_used(fixture->store, 123);
    assert_int_equal(handle_free(fixture->store, handle), -ENOENT);
    section_enter();
    assert_int_equal(handle_free_now(fixture->store, handle), -ENOENT);
    assert_int_equal(handle_free_now(fixture->store, now), 0);
    assert_int_equal(handle_free_now(fixture->store, now), -ENOENT);
    section_leave();
    assert_int_equal(handle_free(fixture->store, now), -ENOENT);
    assert_int_equal(handle_store_used(fixture->store), 0);
}

/* What every call answers to a handle that names nothing. */
static void
assert_stale(handle_store *store, handle_t handle)
{
    struct handle_update update;
    section_enter();
    assert_null(handle_deref(store, handle));
    assert_null(handle_deref_mut(store, handle));
    const void *object = store;
    assert_int_equal(handle_deref_many(store, &handle, &object, 1), 0);
    assert_null(object);
    assert_int_equal(handle_size(store, handle), 0);
    assert_int_equal(handle_free(store, handle), -ENOENT);
    assert_int_equal(handle_free_now(store, handle), -ENOENT);
    assert_int_equal(handle_resize(store, handle, 10), -ENOENT);
    errno = 0;
    assert_null(handle_pin(store, handle));
    assert_int_equal(errno, ENOENT);
    errno = 0;
    assert_null(handle_pin_mut(store, handle));
    assert_int_equal(errno, ENOENT);
    errno = 0;
    assert_null(handle_update_begin(store, handle, 10, &update));
    assert_int_equal(errno, ENOENT);
    section_leave();
}

static void
stale_handles(void **state)
{
    struct fixture *fixture = *state;
    enum { OBJECTS = 2000 };
    static handle_t old[OBJECTS], new[OBJECTS];
    for (unsigned i = 0; i < OBJECTS; i++)
        old[i] = make_object(fixture->store, 50, i);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(handle_free(fixture->store, old[i]), 0);
    grace_period();
    for (unsigned i = 0; i < OBJECTS; i++) /* indexes are used again */
        new[i] = make_object(fixture->store, 50, OBJECTS + i);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_stale(fixture->store, old[i]);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_object(fixture->store, new[i], 50, OBJECTS + i);
}

static void
forged_handles(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = random_seed("forged_handles");
    handle_t live = make_object(fixture->store, 50, 1);
    assert_stale(fixture->store, HANDLE_NULL);
    assert_stale(fixture->store, ~HANDLE_NULL);
    for (handle_t small = 1; small < 300; small++) /* an index, a boolean, an uninitialised int */
        assert_stale(fixture->store, small);
    for (unsigned bit = 0; bit < 64; bit++) /* another generation; another entry, or none */
        assert_stale(fixture->store, live ^ UINT64_C(1) << bit);
    for (unsigned i = 0; i < scaled(20000); i++)
        assert_stale(fixture->store, random_next(&random));
    assert_object(fixture->store, live, 50, 1);
    assert_used(fixture->store, 50);
}

/* Handles that have all that a free entry shows, or one that was never used or whose page has gone
 * back: index and generation. */
static void
handles_of_free_entries(void **state)
{
    struct fixture *fixture = *state;
    enum { OBJECTS = 3000, ENTRIES = 1 << 13 };
    static handle_t old[OBJECTS];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < OBJECTS; i++)
            old[i] = make_object(fixture->store, 50, i);
        for (unsigned i = 0; i < OBJECTS; i++)
            assert_int_equal(handle_free(fixture->store, old[i]), 0);
        for (unsigned i = 0; i < OBJECTS; i++) { /* the generation that the entry gets next */
            assert_stale(fixture->store, old[i] + 1);
            assert_stale(fixture->store, old[i] - 1);
        }
        for (handle_t index = 0; index < ENTRIES; index++) { /* what zeros in an entry look like */
            assert_stale(fixture->store, index << 24 | 0xffffff);
            assert_stale(fixture->store, index << 24);
        }
        assert_int_equal(handle_store_purge(fixture->store, NULL), 0);
    }
    assert_int_equal(handle_store_used(fixture->store), 0);
}

/* Another store's handles resolve by chance only: 2^-24 that the two random generations meet. */
static void
foreign_handles(void **state)
{
    struct fixture *fixture = *state;
    handle_store *other = handle_store_create(&fixture->options);
    assert_non_null(other);
    for (unsigned i = 0; i < 500; i++) {
        handle_t own = make_object(fixture->store, 40, i);
        handle_t foreign = make_object(other, 40, i + 1000);
        assert_stale(fixture->store, foreign);
        assert_stale(other, own);
    }
    assert_used(fixture->store, 500 * 40);
    assert_used(other, 500 * 40);
    assert_clean(other);
    assert_int_equal(handle_store_destroy(other), 0);
}

/* A reader keeps what it resolved, though it is freed and its class is allocated from like mad.
 * Fails when handle_free gives the slot back before the section ends. */
static void
freed_while_read(void **state)
{
    struct fixture *fixture = *state;
    handle_t handle = make_object(fixture->store, 240, 1);
    section_enter();
    const void *object = handle_deref(fixture->store, handle);
    assert_int_equal(handle_free(fixture->store, handle), 0);
    assert_null(handle_deref(fixture->store, handle));
    for (unsigned i = 0; i < 3000; i++) {
        void *other = NULL;
        assert_int_not_equal(handle_alloc_object(fixture->store, 240, 0, &other), HANDLE_NULL);
        assert_ptr_not_equal(other, object);
        fill(other, 240, i + 2);
    }
    assert_filled(object, 240, 1);
    section_leave();
}

/* free_now: the bytes come back without a grace period; the section stays open all the time, so a
 * slot that waited for one could not. */
static void
free_now_is_reusable_at_once(void **state)
{
    struct fixture *fixture = *state;
    settle(fixture->store); /* no mover: a marked object would be retired */
    struct handle_stats before = take_stats(fixture->store);
    section_enter();
    for (unsigned i = 0; i < 100000; i++) {
        void *object = NULL;
        handle_t handle = handle_alloc_object(fixture->store, 1000, 0, &object);
        assert_int_not_equal(handle, HANDLE_NULL);
        *(volatile char *)object = 1;
        assert_int_equal(handle_free_now(fixture->store, handle), 0);
    }
    struct handle_stats after = take_stats(fixture->store);
    section_leave();
    assert_int_equal(after.limbo, before.limbo);
    assert_true(after.committed <= before.committed + 2 * MIB); /* not 100 MB */
    assert_int_equal(after.allocs - before.allocs, 100000);
    assert_int_equal(after.frees - before.frees, 100000);
}

/* ---- races ----------------------------------------------------------------------------------- */

#define RACERS        4
#define RACED_HANDLES 3000

struct race {
    handle_store *store;
    handle_t handles[RACED_HANDLES];
    unsigned winners[RACED_HANDLES];
    unsigned losers;
};

static void
race_to_free(void *arg, unsigned index)
{
    struct race *race = arg;
    for (unsigned n = 0; n < RACED_HANDLES; n++) {
        unsigned i = index % 2 ? RACED_HANDLES - 1 - n : n; /* they meet in the middle */
        int result = handle_free(race->store, race->handles[i]);
        thread_check(result == 0 || result == -ENOENT);
        if (result == 0)
            __atomic_add_fetch(&race->winners[i], 1, __ATOMIC_RELAXED);
        else
            __atomic_add_fetch(&race->losers, 1, __ATOMIC_RELAXED);
        quiesce();
    }
}

/* Exactly one of the racing frees wins (G4). Fails when freeing is a load and a store. */
static void
double_free_raced(void **state)
{
    struct fixture *fixture = *state;
    static struct race race;
    for (unsigned round = 0; round < scaled(20); round++) {
        memset(&race, 0, sizeof(race));
        race.store = fixture->store;
        for (unsigned i = 0; i < RACED_HANDLES; i++)
            race.handles[i] = make_object(fixture->store, 24 + i % 100, i);
        run_threads(RACERS, race_to_free, &race);
        for (unsigned i = 0; i < RACED_HANDLES; i++)
            assert_int_equal(race.winners[i], 1);
        assert_int_equal(race.losers, (RACERS - 1) * RACED_HANDLES);
        assert_int_equal(handle_store_used(fixture->store), 0);
        assert_clean(fixture->store);
    }
}

int
group_handles(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(deref_and_its_exported_twin),
        STORE_TEST(deref_mut_writes_stay),
        STORE_TEST(deref_many_mixed),
        STORE_TEST(free_once),
        STORE_TEST(stale_handles),
        STORE_TEST(forged_handles),
        STORE_TEST(handles_of_free_entries),
        STORE_TEST(foreign_handles),
        STORE_TEST(freed_while_read),
        STORE_TEST(free_now_is_reusable_at_once),
    };
    return cmocka_run_group_tests_name("handles", tests, NULL, NULL);
}

int
group_handles_threads(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(double_free_raced),
    };
    return cmocka_run_group_tests_name("handles_threads", tests, NULL, NULL);
}
