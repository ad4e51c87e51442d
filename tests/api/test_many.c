/* SPDX-License-Identifier: MIT */
/*
 * test_many.c - allocations and frees of many objects in one call, by handle and by cell: the same
 * as one call for each, whatever lies among them, also where memory ends.
 */
#include "support.h"

#define MOST 200

/* A call's arguments and what it gave. */
struct batch {
    size_t sizes[MOST];
    handle_t handles[MOST];
    handle_cell cells[MOST];
    handle_cell *names[MOST];
    void *objects[MOST + 1];
};
static struct batch batch;

static size_t total;

/* Of all classes, and large ones. */
static void
prepare(unsigned n)
{
    memset(&batch, 0, sizeof(batch));
    total = 0;
    for (unsigned i = 0; i < MOST; i++) {
        batch.sizes[i] = i % 50 == 49 ? 70000 + i : i % 7 == 6 ? 2000 + i * 37 : i * 11;
        batch.names[i] = &batch.cells[i];
        total += i < n ? batch.sizes[i] : 0;
    }
    memset(batch.objects, 0x5a, sizeof(batch.objects));
}

static void
fill_all(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_non_null(batch.objects[i]);
        fill(batch.objects[i], batch.sizes[i], i);
    }
}

/* Nothing was written behind the end. */
static void
assert_untouched(const void *object)
{
    const void *untouched;
    memset(&untouched, 0x5a, sizeof(untouched));
    assert_ptr_equal(object, untouched);
}

static void
made_and_freed_by_handle(void **state)
{
    struct fixture *fixture = *state;
    static const unsigned counts[] = {0, 1, 2, 15, 16, 17, 31, 32, 33, 100, MOST};
    for (unsigned c = 0; c < sizeof(counts) / sizeof(counts[0]); c++) {
        unsigned n = counts[c];
        prepare(n);
        section_enter();
        assert_int_equal(
            handle_alloc_many(fixture->store, batch.sizes, 0, batch.handles, batch.objects, n), n);
        assert_untouched(batch.objects[n]);
        fill_all(n);
        section_leave();
        for (unsigned i = 0; i < n; i++)
            assert_object(fixture->store, batch.handles[i], batch.sizes[i], i);
        assert_used(fixture->store, total);
        assert_int_equal(handle_free_many(fixture->store, batch.handles, n), n);
        assert_int_equal(handle_free_many(fixture->store, batch.handles, n), 0);
        assert_used(fixture->store, 0);
    }
    assert_clean(fixture->store);
}

static void
made_and_freed_by_cell(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned n = 0; n <= MOST; n += 25) {
        prepare(n);
        section_enter();
        assert_int_equal(
            handle_cell_alloc_many(fixture->store, batch.names, batch.sizes, 0, batch.objects, n),
            n);
        assert_untouched(batch.objects[n]);
        fill_all(n);
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(handle_cell_size(fixture->store, &batch.cells[i]), batch.sizes[i]);
            assert_ptr_equal(handle_cell_deref(fixture->store, &batch.cells[i]), batch.objects[i]);
            assert_filled(batch.objects[i], batch.sizes[i], i);
        }
        assert_int_equal(handle_cell_free_many(fixture->store, batch.names, n), n);
        assert_int_equal(handle_cell_free_many(fixture->store, batch.names, n), 0);
        section_leave();
        assert_used(fixture->store, 0);
    }
    assert_clean(fixture->store);
}

/* Without addresses. */
static void
addresses_are_left_out(void **state)
{
    struct fixture *fixture = *state;
    prepare(MOST);
    section_enter();
    assert_int_equal(handle_alloc_many(fixture->store, batch.sizes, 0, batch.handles, NULL, MOST),
                     MOST);
    assert_int_equal(
        handle_cell_alloc_many(fixture->store, batch.names, batch.sizes, 0, NULL, MOST), MOST);
    section_leave();
    assert_used(fixture->store, 2 * total);
}

/* What names nothing is passed over: stale, null, forged, one twice, and a pinned one is freed. */
static void
frees_pass_over(void **state)
{
    struct fixture *fixture = *state;
    prepare(MOST);
    section_enter();
    assert_int_equal(
        handle_alloc_many(fixture->store, batch.sizes, 0, batch.handles, batch.objects, MOST),
        MOST);
    assert_int_equal(
        handle_cell_alloc_many(fixture->store, batch.names, batch.sizes, 0, batch.objects, MOST),
        MOST);
    const void *pinned = handle_pin(fixture->store, batch.handles[50]);
    assert_non_null(pinned);
    section_leave();
    assert_int_equal(handle_free(fixture->store, batch.handles[3]), 0);
    assert_int_equal(handle_retire(fixture->store, batch.handles[4]), 0);
    handle_t last = batch.handles[MOST - 1];
    batch.handles[20] = HANDLE_NULL;
    batch.handles[21] = ~HANDLE_NULL;
    batch.handles[MOST - 1] = batch.handles[MOST - 2];
    /* Of those only the retired one can be freed. */
    assert_int_equal(handle_free_many(fixture->store, batch.handles, MOST), MOST - 4);
    assert_int_equal(handle_free(fixture->store, last), 0);
    section_enter();
    assert_int_equal(handle_cell_free(fixture->store, &batch.cells[7]), 0);
    assert_int_equal(handle_cell_retire(fixture->store, &batch.cells[8]), 0);
    batch.names[9] = NULL;
    batch.names[MOST - 1] = &batch.cells[0];
    assert_int_equal(handle_cell_free_many(fixture->store, batch.names, MOST), MOST - 4);
    batch.names[9] = &batch.cells[9];
    batch.names[10] = &batch.cells[MOST - 1];
    assert_int_equal(handle_cell_free_many(fixture->store, batch.names + 9, 2), 2);
    section_leave();
    handle_unpin(fixture->store, pinned);
}

/* A full cell ends it: those before it are filled, those behind it as they were. */
static void
a_full_cell_ends_it(void **state)
{
    struct fixture *fixture = *state;
    for (unsigned full = 0; full < 40; full += 13) {
        prepare(40);
        section_enter();
        void *first = handle_cell_alloc(fixture->store, &batch.cells[full], 9, 0);
        errno = 0;
        assert_int_equal(
            handle_cell_alloc_many(fixture->store, batch.names, batch.sizes, 0, batch.objects, 40),
            full);
        assert_int_equal(errno, EEXIST);
        assert_ptr_equal(handle_cell_deref(fixture->store, &batch.cells[full]), first);
        for (unsigned i = full; i < 40; i++)
            assert_null(batch.objects[i]);
        for (unsigned i = full + 1; i < 40; i++)
            assert_int_equal(batch.cells[i].word, 0);
        assert_int_equal(handle_cell_free_many(fixture->store, batch.names, 40), full + 1);
        section_leave();
    }
}

static int
count_unmovable(void *opaque, const struct handle_object *object)
{
    *(unsigned *)opaque += (object->flags & HANDLE_UNMOVABLE) != 0;
    return 0;
}

static void
flags_hold_for_all(void **state)
{
    struct fixture *fixture = *state;
    prepare(MOST);
    section_enter();
    assert_int_equal(handle_alloc_many(fixture->store, batch.sizes, HANDLE_ZERO | HANDLE_UNMOVABLE,
                                       batch.handles, batch.objects, MOST),
                     MOST);
    for (unsigned i = 0; i < MOST; i++) {
        for (size_t at = 0; at < batch.sizes[i]; at++)
            assert_int_equal(((const char *)batch.objects[i])[at], 0);
    }
    section_leave();
    unsigned unmovable = 0;
    assert_int_equal(handle_store_each(fixture->store, count_unmovable, &unmovable), 0);
    assert_int_equal(unmovable, MOST);
    assert_int_equal(handle_free_many(fixture->store, batch.handles, MOST), MOST);
    section_enter();
    errno = 0;
    assert_int_equal(
        handle_alloc_many(fixture->store, batch.sizes, 1u << 20, batch.handles, NULL, 3), 0);
    assert_int_equal(errno, EINVAL);
    assert_true(batch.handles[0] == HANDLE_NULL && batch.handles[2] == HANDLE_NULL);
    section_leave();
}

/* A size that no store has: those before it stay. */
static void
too_large_ends_it(void **state)
{
    struct fixture *fixture = *state;
    prepare(30);
    batch.sizes[20] = SIZE_MAX;
    section_enter();
    errno = 0;
    assert_int_equal(
        handle_alloc_many(fixture->store, batch.sizes, 0, batch.handles, batch.objects, 30), 20);
    assert_int_equal(errno, EINVAL);
    for (unsigned i = 0; i < 30; i++)
        assert_true((batch.handles[i] != HANDLE_NULL) == (i < 20) &&
                    (batch.objects[i] != NULL) == (i < 20));
    section_leave();
    assert_int_equal(handle_free_many(fixture->store, batch.handles, 30), 20);
    assert_used(fixture->store, 0);
}

/* At the limit: what was had stays and can be freed; then there is memory again. */
static void
the_limit_ends_it(void **state)
{
    struct fixture *fixture = *state;
    enum { OBJECTS = 20000 };
    static handle_t handles[OBJECTS];
    static size_t sizes[OBJECTS];
    for (unsigned i = 0; i < OBJECTS; i++)
        sizes[i] = 1000;
    fixture->options.max_bytes = 4 * MIB;
    fixture_reopen(fixture);
    size_t made[2];
    for (unsigned round = 0; round < 2; round++) {
        section_enter();
        errno = 0;
        made[round] = handle_alloc_many(fixture->store, sizes, 0, handles, NULL, OBJECTS);
        assert_true(errno == ENOMEM || errno == EAGAIN);
        section_leave();
        assert_in_range(made[round], 2 * MIB / 1000, 4 * MIB / 1000);
        for (unsigned i = 0; i < OBJECTS; i++)
            assert_true((handles[i] != HANDLE_NULL) == (i < made[round]));
        assert_int_equal(handle_free_many(fixture->store, handles, OBJECTS), made[round]);
        assert_int_equal(handle_store_reclaim(fixture->store, SIZE_MAX), 0);
    }
    assert_in_range(made[1], made[0] - made[0] / 10, made[0] + made[0] / 10);
}

/* Readers keep what was freed until their sections end. */
static void
freed_while_read_many(void **state)
{
    struct fixture *fixture = *state;
    prepare(MOST);
    section_enter();
    assert_int_equal(
        handle_alloc_many(fixture->store, batch.sizes, 0, batch.handles, batch.objects, MOST),
        MOST);
    fill_all(MOST);
    assert_int_equal(handle_free_many(fixture->store, batch.handles, MOST), MOST);
    static struct batch others;
    memcpy(others.sizes, batch.sizes, sizeof(others.sizes));
    assert_int_equal(
        handle_alloc_many(fixture->store, others.sizes, 0, others.handles, others.objects, MOST),
        MOST);
    for (unsigned i = 0; i < MOST; i++)
        fill(others.objects[i], others.sizes[i], 1000 + i);
    for (unsigned i = 0; i < MOST; i++)
        assert_filled(batch.objects[i], batch.sizes[i], i);
    section_leave();
    assert_int_equal(handle_free_many(fixture->store, others.handles, MOST), MOST);
}

/* ---- threads --------------------------------------------------------------------------------- */

#define RACERS 3

struct race {
    handle_store *store;
    handle_t handles[RACERS][MOST]; /* the same, each racer in an order of its own */
    size_t freed;
};

static void
race_to_free_many(void *arg, unsigned index)
{
    struct race *race = arg;
    size_t freed = handle_free_many(race->store, race->handles[index], MOST);
    __atomic_add_fetch(&race->freed, freed, __ATOMIC_RELAXED);
    quiesce();
}

/* Each is freed once, whoever does. */
static void
frees_of_many_raced(void **state)
{
    struct fixture *fixture = *state;
    static struct race race;
    for (unsigned round = 0; round < scaled(20); round++) {
        race.store = fixture->store;
        race.freed = 0;
        for (unsigned i = 0; i < MOST; i++) {
            handle_t handle = make_object(fixture->store, i, i);
            race.handles[0][i] = handle;
            race.handles[1][MOST - 1 - i] = handle;
            race.handles[2][i * 7 % MOST] = handle;
        }
        run_threads(RACERS, race_to_free_many, &race);
        assert_int_equal(race.freed, MOST);
        assert_int_equal(handle_store_used(fixture->store), 0);
    }
    assert_clean(fixture->store);
}

static void
make_and_free_many(void *arg, unsigned index)
{
    handle_store *store = arg;
    static struct batch of[RACERS];
    struct batch *own = &of[index];
    memset(own, 0, sizeof(*own));
    for (unsigned i = 0; i < MOST; i++) {
        own->sizes[i] = 16 + (i * 31 + index) % 600;
        own->names[i] = &own->cells[i];
    }
    for (unsigned round = 0; round < scaled(200); round++) {
        section_enter();
        thread_check(handle_alloc_many(store, own->sizes, 0, own->handles, own->objects, MOST) ==
                     MOST);
        for (unsigned i = 0; i < MOST; i++)
            fill(own->objects[i], own->sizes[i], i);
        thread_check(handle_cell_alloc_many(store, own->names, own->sizes, 0, own->objects, MOST) ==
                     MOST);
        section_leave();
        quiesce();
        section_enter();
        for (unsigned i = 0; i < MOST; i++)
            thread_check(mismatch(handle_deref(store, own->handles[i]), own->sizes[i], i) ==
                         own->sizes[i]);
        thread_check(handle_cell_free_many(store, own->names, MOST) == MOST);
        section_leave();
        thread_check(handle_free_many(store, own->handles, MOST) == MOST);
        quiesce();
    }
}

/* Beside compaction that never rests. */
static void
many_beside_compaction(void **state)
{
    struct fixture *fixture = *state;
    set_option(fixture->store, "defrag.ignore_bytes", "0");
    set_option(fixture->store, "defrag.cpu_max_percent", "100");
    run_threads(RACERS, make_and_free_many, fixture->store);
    assert_used(fixture->store, 0);
    assert_clean(fixture->store);
}

int
group_many(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(made_and_freed_by_handle), STORE_TEST(made_and_freed_by_cell),
        STORE_TEST(addresses_are_left_out),   STORE_TEST(frees_pass_over),
        STORE_TEST(a_full_cell_ends_it),      STORE_TEST(flags_hold_for_all),
        STORE_TEST(too_large_ends_it),        STORE_TEST(the_limit_ends_it),
        STORE_TEST(freed_while_read_many),
    };
    return cmocka_run_group_tests_name("many", tests, NULL, NULL);
}

int
group_many_threads(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(frees_of_many_raced),
        STORE_TEST(many_beside_compaction),
    };
    return cmocka_run_group_tests_name("many_threads", tests, NULL, NULL);
}
