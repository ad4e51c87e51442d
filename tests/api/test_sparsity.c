/* SPDX-License-Identifier: MIT */
/*
 * test_sparsity.c - handle_sparsity and handle_cell_sparsity: who evicts by them leaves compaction
 * nothing to move; they answer 0 of what it does not move.
 */
#include "support.h"

#define OBJECTS 20000
#define BYTES   1000

static handle_t handles[OBJECTS];

static uint32_t
sparsity_of(handle_store *store, handle_t handle)
{
    section_enter();
    uint32_t sparsity = handle_sparsity(store, handle);
    section_leave();
    return sparsity;
}

/* Nothing is left in caches and limbo: what is free counts as free. */
static void
let_go(handle_store *store)
{
    assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
    handle_thread_detach(store);
}

static void
drop(handle_store *store, unsigned i)
{
    assert_int_equal(handle_free(store, handles[i]), 0);
    handles[i] = HANDLE_NULL;
}

/* A third of the objects whole, of a third every second one, of the last every tenth. */
static void
make_sparser(handle_store *store)
{
    assert_int_equal(handle_defrag_stop(store), 0);
    set_option(store, "purge_delay_ms", "-1");
    for (unsigned i = 0; i < OBJECTS; i++)
        handles[i] = make_object(store, BYTES, i);
    for (unsigned i = OBJECTS / 3; i < OBJECTS; i++) {
        if (i < OBJECTS / 3 * 2 ? i % 2 : i % 10)
            drop(store, i);
    }
    let_go(store);
}

static struct handle_defrag_report
estimate(handle_store *store)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_defrag_estimate(store, &report), 0);
    return report;
}

/* The free share of the object's span; spans that are kept answer 0. Objects were taken in order,
 * but for those near the borders. */
static void
tells_the_free_share(void **state)
{
    struct fixture *fixture = *state;
    make_sparser(fixture->store);
    for (unsigned i = 0; i < OBJECTS; i++) {
        unsigned third = i / (OBJECTS / 3), within = i % (OBJECTS / 3);
        if (handles[i] == HANDLE_NULL || within < 200 || within >= OBJECTS / 3 - 200)
            continue;
        uint32_t sparsity = sparsity_of(fixture->store, handles[i]);
        if (third == 0)
            assert_int_equal(sparsity, 0);
        else if (third == 1)
            assert_true(sparsity == 0 || (sparsity >= 45 && sparsity <= 55));
        else
            assert_in_range(sparsity, 85, 95);
    }
}

static unsigned
evict(handle_store *store, bool sparse_only, unsigned most)
{
    unsigned evicted = 0;
    for (unsigned i = 0; i < OBJECTS && evicted < most; i++) {
        if (handles[i] == HANDLE_NULL || (sparse_only && sparsity_of(store, handles[i]) == 0))
            continue;
        drop(store, i);
        evicted++;
    }
    let_go(store);
    return evicted;
}

/* Who evicts the sparse ones leaves nothing to be moved; as many others leave all of it. */
static void
evicted_by_it_nothing_is_moved(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    make_sparser(store);
    uint64_t before = estimate(store).moved_objects;
    assert_true(before > OBJECTS / 30);
    unsigned evicted = 0, some;
    while ((some = evict(store, true, OBJECTS)) > 0)
        evicted += some;
    assert_true(evicted > 0);
    assert_int_equal(estimate(store).moved_objects, 0);
    assert_int_equal(estimate(store).recoverable_bytes, 0);
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    compact_checked(store, &report);
    assert_int_equal(report.moved_objects, 0);

    assert_int_equal(handle_store_clear(store), 0);
    make_sparser(store);
    assert_int_equal(evict(store, false, evicted), evicted);
    assert_true(estimate(store).moved_objects > before / 2);
}

/* Of what compaction does not move, and of what there is not, it is 0. */
static void
is_0_of_what_stays(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    void *object;
    unsigned sparse = OBJECTS / 10 * 9; /* one of the last third */
    make_sparser(store);
    handle_t large = make_object(store, 100000, 1);
    section_enter();
    handle_t unmovable = handle_alloc_object(store, BYTES, HANDLE_UNMOVABLE, &object);
    assert_int_equal(handle_sparsity(store, unmovable), 0);
    assert_int_equal(handle_sparsity(store, large), 0);
    assert_int_equal(handle_sparsity(store, HANDLE_NULL), 0);
    assert_int_equal(handle_sparsity(store, handles[sparse] ^ 1), 0);
    assert_int_equal(handle_sparsity(NULL, large), 0);

    handle_t near = handles[sparse], stale = handles[sparse + 10];
    const void *pinned = handle_pin(store, near);
    assert_int_equal(handle_sparsity(store, near), 0);
    section_leave();
    handle_unpin(store, pinned);
    assert_in_range(sparsity_of(store, near), 85, 95);
    drop(store, sparse + 10);
    assert_int_equal(sparsity_of(store, stale), 0);
    section_enter();
    assert_int_equal(handle_retire(store, near), 0);
    assert_int_equal(handle_sparsity(store, near), 0);
    section_leave();
    compact_checked(store, NULL);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(sparsity_of(store, handles[i]), 0);
}

/* Cells answer as handles do. */
static void
cells_tell_it_too(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    static handle_cell cells[OBJECTS];
    unsigned sparse = 0;
    memset(cells, 0, sizeof(cells));
    assert_int_equal(handle_defrag_stop(store), 0);
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_non_null(handle_cell_alloc(store, &cells[i], BYTES, 0));
    for (unsigned i = OBJECTS / 2; i < OBJECTS; i++)
        assert_int_equal(i % 10 ? handle_cell_free(store, &cells[i]) : 0, 0);
    section_leave();
    let_go(store);
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++) {
        uint32_t sparsity = handle_cell_sparsity(store, &cells[i]);
        assert_in_range(sparsity, 0, cells[i].word && i >= OBJECTS / 2 - 100 ? 95 : 0);
        sparse += sparsity >= 85;
    }
    assert_true(sparse > OBJECTS / 20 - 50);
    assert_int_equal(handle_cell_retire(store, &cells[OBJECTS - 10]), 0);
    assert_int_equal(handle_cell_sparsity(store, &cells[OBJECTS - 10]), 0);
    assert_int_equal(handle_cell_sparsity(store, NULL), 0);
    assert_int_equal(handle_cell_sparsity(NULL, &cells[0]), 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        (void)handle_cell_free(store, &cells[i]);
    section_leave();
}

struct shared {
    handle_store *store;
    unsigned rounds;
    unsigned stop;
};

static void
free_or_ask(void *arg, unsigned index)
{
    struct shared *shared = arg;
    uint64_t random = index + 1;
    while (index > 0 && !__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
        section_enter();
        for (unsigned i = 0; i < 100; i++) {
            handle_t *slot = &handles[random_below(&random, OBJECTS)];
            thread_check(handle_sparsity(shared->store, __atomic_load_n(slot, __ATOMIC_RELAXED)) <=
                         100);
        }
        section_leave();
    }
    for (unsigned i = 0; index == 0 && i < shared->rounds; i++) {
        handle_t *slot = &handles[random_below(&random, OBJECTS)];
        if (*slot == HANDLE_NULL) {
            __atomic_store_n(slot, handle_alloc(shared->store, BYTES), __ATOMIC_RELAXED);
            continue;
        }
        thread_check(handle_free(shared->store, *slot) == 0);
        __atomic_store_n(slot, HANDLE_NULL, __ATOMIC_RELAXED);
        quiesce();
    }
    __atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
}

/* While objects are freed and made, and compaction works. */
static void
asked_beside_others(void **state)
{
    struct fixture *fixture = *state;
    struct shared shared = {fixture->store, scaled(100000), 0};
    set_option(fixture->store, "defrag.ignore_bytes", "0");
    memset(handles, 0, sizeof(handles));
    run_threads(3, free_or_ask, &shared);
    assert_clean(fixture->store);
}

int
group_sparsity(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(tells_the_free_share),
        STORE_TEST(evicted_by_it_nothing_is_moved),
        STORE_TEST(is_0_of_what_stays),
        STORE_TEST(cells_tell_it_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int
group_sparsity_threads(void)
{
    const struct CMUnitTest tests[] = {STORE_TEST(asked_beside_others)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
