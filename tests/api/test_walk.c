/* SPDX-License-Identifier: MIT */
/*
 * test_walk.c - calls over the whole store: each, clear, check and used; what a visitor may do, and
 * walks beside threads that allocate and free.
 */
#include "support.h"

#define OBJECTS 3000

static handle_t handles[OBJECTS];
static handle_cell cells[OBJECTS];

static size_t
size_of(unsigned i)
{
    return i % 100 ? i % 700 : 70000 + i;
}

/* Even ones by handle, odd ones by cell with a tag; every seventh is unmovable. */
static void
populate(handle_store *store)
{
    memset(handles, 0, sizeof(handles));
    memset(cells, 0, sizeof(cells));
    for (unsigned i = 0; i < OBJECTS; i++) {
        unsigned flags = i % 7 ? 0 : HANDLE_UNMOVABLE;
        void *object = NULL;
        section_enter();
        if (i % 2)
            object = handle_cell_alloc(store, &cells[i], size_of(i), flags);
        else
            handles[i] = handle_alloc_object(store, size_of(i), flags, &object);
        assert_non_null(object);
        fill(object, size_of(i), i);
        if (i % 2)
            assert_int_equal(handle_cell_set_tag(store, &cells[i], i), 0);
        section_leave();
    }
}

static void
free_cells(handle_store *store)
{
    section_enter();
    for (unsigned i = 1; i < OBJECTS; i += 2)
        handle_cell_free(store, &cells[i]);
    section_leave();
}

struct visit {
    handle_store *store;
    unsigned char seen[OBJECTS];
    unsigned visits;
    unsigned stop_after;
    int result;
    const void *last;
};

static unsigned
index_of(const struct handle_object *object)
{
    if (object->cell) {
        assert_int_equal(object->handle, HANDLE_NULL);
        assert_true(object->cell >= cells && object->cell < cells + OBJECTS);
        return (unsigned)(object->cell - cells);
    }
    for (unsigned i = 0; i < OBJECTS; i += 2)
        if (handles[i] == object->handle)
            return i;
    fail_msg("a handle that nobody has: %llx", (unsigned long long)object->handle);
    return 0;
}

static int
note_visit(void *opaque, const struct handle_object *object)
{
    struct visit *visit = opaque;
    unsigned i = index_of(object);
    visit->seen[i]++;
    visit->visits++;
    assert_int_equal(object->size, size_of(i));
    assert_int_equal(object->tag, i % 2 ? i : 0);
    assert_int_equal(object->flags, i % 7 ? 0 : HANDLE_UNMOVABLE);
    assert_filled(object->data, object->size, i);
    assert_true((uintptr_t)object->data > (uintptr_t)visit->last); /* by address */
    visit->last = object->data;
    return visit->visits == visit->stop_after ? visit->result : 0;
}

/* Every object exactly once, in the order of addresses, with what belongs to it. */
static void
each_visits_all(void **state)
{
    struct fixture *fixture = *state;
    struct visit visit = {.store = fixture->store};
    assert_int_equal(handle_store_each(fixture->store, note_visit, &visit), 0);
    assert_int_equal(visit.visits, 0);
    populate(fixture->store);
    assert_int_equal(handle_store_each(fixture->store, note_visit, &visit), 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(visit.seen[i], 1);
    free_cells(fixture->store);
    memset(&visit, 0, sizeof(visit));
    assert_int_equal(handle_store_each(fixture->store, note_visit, &visit), 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(visit.seen[i], i % 2 == 0);
}

static void
each_ends_when_told(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture->store);
    static const int results[] = {1, -1, -EINVAL, 12345, INT32_MIN};
    for (unsigned i = 0; i < 5; i++) {
        struct visit visit = {.store = fixture->store, .stop_after = 10 + i, .result = results[i]};
        assert_int_equal(handle_store_each(fixture->store, note_visit, &visit), results[i]);
        assert_int_equal(visit.visits, 10 + i);
    }
    free_cells(fixture->store);
    compact_checked(fixture->store, NULL); /* the walk let go of its spans */
}

static int
free_visited(void *opaque, const struct handle_object *object)
{
    struct visit *visit = opaque;
    unsigned i = index_of(object);
    visit->visits++;
    int result = object->cell ? handle_cell_free(visit->store, &cells[i])
                              : handle_free(visit->store, object->handle);
    assert_int_equal(result, 0);
    assert_filled(object->data, size_of(i), i); /* it is in a section */
    return 0;
}

/* A visitor may free what it sees. */
static void
each_may_free(void **state)
{
    struct fixture *fixture = *state;
    struct visit visit = {.store = fixture->store};
    populate(fixture->store);
    assert_int_equal(handle_store_each(fixture->store, free_visited, &visit), 0);
    assert_int_equal(visit.visits, OBJECTS);
    assert_int_equal(handle_store_used(fixture->store), 0);
    settle(fixture->store);
    struct handle_stats after = take_stats(fixture->store);
    assert_true(after.objects == 0 && after.limbo == 0);
}

static int
allocate_at_visit(void *opaque, const struct handle_object *object)
{
    struct visit *visit = opaque;
    visit->visits++;
    (void)object;
    if (visit->visits > OBJECTS)
        return 0;
    return handle_alloc(visit->store, size_of(visit->visits)) == HANDLE_NULL ? -ENOMEM : 0;
}

static void
each_ends_though_the_visitor_allocates(void **state)
{
    struct fixture *fixture = *state;
    struct visit visit = {.store = fixture->store};
    populate(fixture->store);
    assert_int_equal(handle_store_each(fixture->store, allocate_at_visit, &visit), 0);
    assert_true(visit.visits >= OBJECTS && visit.visits <= 2 * OBJECTS);
    assert_clean(fixture->store);
    free_cells(fixture->store);
}

static int
wait_at_visit(void *opaque, const struct handle_object *object)
{
    struct visit *visit = opaque;
    (void)object;
    assert_int_equal(handle_store_compact(visit->store, NULL), -EDEADLK);
    assert_int_equal(handle_store_purge(visit->store, NULL), -EDEADLK);
    assert_int_equal(handle_store_reclaim(visit->store, 1), -EDEADLK);
    assert_int_equal(handle_defrag_stop(visit->store), -EDEADLK);
    assert_int_equal(handle_store_destroy(visit->store), -EDEADLK);
    errno = 0;
    assert_null(handle_store_create(NULL));
    assert_int_equal(errno, EDEADLK);
    return ++visit->visits == 2;
}

/* A visitor stands in a section. Seen failing: QSBR shows none, the compaction waited for the walk
 * to end, and the walk for its visitor. */
static void
each_refuses_to_wait_for_itself(void **state)
{
    struct fixture *fixture = *state;
    struct visit visit = {.store = fixture->store};
    populate(fixture->store);
    assert_int_equal(handle_store_each(fixture->store, wait_at_visit, &visit), 1);
    assert_int_equal(visit.visits, 2);
    assert_int_equal(handle_store_compact(fixture->store, NULL), 0);
    free_cells(fixture->store);
}

static int
check_at_visit(void *opaque, const struct handle_object *object)
{
    struct visit *visit = opaque;
    (void)object;
    assert_int_equal(handle_store_check(visit->store, print_violation, NULL), 0);
    return ++visit->visits == 2;
}

/* The checker has to do without a walk of its own. Fails when it takes a refused one for a walk
 * that found nothing: seen, "a walk finds 0 objects". */
static void
each_may_check(void **state)
{
    struct fixture *fixture = *state;
    struct visit visit = {.store = fixture->store};
    populate(fixture->store);
    assert_int_equal(handle_store_each(fixture->store, check_at_visit, &visit), 1);
    assert_int_equal(visit.visits, 2);
    free_cells(fixture->store);
}

/* What is used is counted object by object, whatever has become of the objects. */
static void
used_is_counted(void **state)
{
    enum { RESIZED = 4, LARGE = 100000 };
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    size_t used = 0;
    assert_used(store, 0);
    populate(store);
    for (unsigned i = 0; i < OBJECTS; i++)
        used += size_of(i);
    assert_used(store, used);
    make_object(store, LARGE, 1);
    assert_int_equal(handle_resize(store, handles[RESIZED], size_of(RESIZED) + 1), 0);
    assert_used(store, used + LARGE + 1);
    assert_int_equal(handle_free(store, handles[0]), 0);
    compact_checked(store, NULL);
    assert_used(store, used + LARGE + 1 - size_of(0));
    assert_int_equal(handle_store_used_exact(store, NULL), -EINVAL);
    free_cells(store);
    assert_int_equal(handle_store_clear(store), 0);
    assert_used(store, 0);
}

static void
clear_frees_handles_and_leaves_cells(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture->store);
    section_enter();
    const void *kept = handle_deref(fixture->store, handles[2]);
    assert_int_equal(handle_store_clear(fixture->store), 0);
    assert_filled(kept, size_of(2), 2); /* as if by handle_free: this section keeps it */
    for (unsigned i = 0; i < OBJECTS; i += 2)
        assert_null(handle_deref(fixture->store, handles[i]));
    section_leave();
    compact_checked(fixture->store, NULL);
    size_t used = 0;
    for (unsigned i = 1; i < OBJECTS; i += 2) {
        uint32_t tag = 0;
        section_enter();
        assert_filled(handle_cell_read(fixture->store, &cells[i], &tag), size_of(i), i);
        section_leave();
        assert_int_equal(tag, i);
        used += size_of(i);
    }
    assert_used(fixture->store, used);
    for (unsigned i = 0; i < OBJECTS; i += 2)
        assert_int_equal(handle_free(fixture->store, handles[i]), -ENOENT);
    assert_int_equal(handle_store_clear(fixture->store), 0); /* nothing left to clear */
    assert_used(fixture->store, used);
    free_cells(fixture->store);
}

/* Pinned objects are cleared as they would be freed. */
static void
clear_with_pins(void **state)
{
    struct fixture *fixture = *state;
    populate(fixture->store);
    section_enter();
    const void *pinned = handle_pin(fixture->store, handles[4]);
    assert_non_null(pinned);
    section_leave();
    assert_int_equal(handle_store_clear(fixture->store), 0);
    grace_period();
    assert_filled(pinned, size_of(4), 4);
    handle_unpin(fixture->store, pinned);
    free_cells(fixture->store);
    assert_int_equal(handle_store_used(fixture->store), 0);
}

/* ---- beside other threads -------------------------------------------------------------------- */

struct walking {
    handle_store *store;
    handle_t kept[200]; /* live throughout */
    unsigned walks;
    unsigned done;
};

static int
find_kept(void *opaque, const struct handle_object *object)
{
    struct visit *visit = opaque;
    if (object->size != 333)
        return 0;
    thread_check(mismatch(object->data, 333, 33) == 333);
    visit->visits++;
    return 0;
}

static void
walk_or_churn(void *arg, unsigned index)
{
    struct walking *walking = arg;
    uint64_t random = index + 3;
    for (unsigned i = 0; index == 0 && i < walking->walks; i++) {
        struct visit visit = {.store = walking->store};
        thread_check(handle_store_each(walking->store, find_kept, &visit) == 0);
        thread_check(visit.visits == 200); /* live throughout: each must show them */
        thread_check(handle_store_check(walking->store, print_violation, NULL) == 0);
        quiesce();
    }
    if (index == 0)
        __atomic_store_n(&walking->done, 1, __ATOMIC_RELEASE);
    handle_t own[100] = {0};
    while (!__atomic_load_n(&walking->done, __ATOMIC_ACQUIRE)) {
        unsigned k = (unsigned)random_below(&random, 100);
        thread_check(own[k] == HANDLE_NULL || handle_free(walking->store, own[k]) == 0);
        errno = 0;
        own[k] = handle_alloc(walking->store, random_below(&random, 300));
        thread_check(own[k] != HANDLE_NULL || errno == EAGAIN);
        quiesce();
        if (own[k] == HANDLE_NULL) /* frees are ahead of the walker's grace periods */
            thread_check(handle_store_reclaim(walking->store, 1000) == 0);
    }
    for (unsigned k = 0; k < 100; k++)
        thread_check(own[k] == HANDLE_NULL || handle_free(walking->store, own[k]) == 0);
}

/* Objects that live throughout are all visited, and the checker finds nothing, while others come
 * and go and the background thread moves. */
static void
walks_beside_churn(void **state)
{
    struct fixture *fixture = *state;
    static struct walking walking;
    memset(&walking, 0, sizeof(walking));
    walking.store = fixture->store;
    walking.walks = scaled(300);
    set_option(fixture->store, "defrag.ignore_bytes", "0");
    set_option(fixture->store, "max_bytes", "64M");
    for (unsigned k = 0; k < 200; k++)
        walking.kept[k] = make_object(fixture->store, 333, 33);
    run_threads(3, walk_or_churn, &walking);
    for (unsigned k = 0; k < 200; k++)
        assert_int_equal(handle_free(fixture->store, walking.kept[k]), 0);
    assert_int_equal(handle_store_used(fixture->store), 0);
}

/* ---- in pieces ------------------------------------------------------------------------------- */

struct pieces {
    handle_store *store;
    const handle_t *handles;
    unsigned seen[20000], visits, stop_after;
    int result;
};

static int
note_piece(void *opaque, const struct handle_object *object)
{
    struct pieces *pieces = opaque;
    unsigned i = 0;
    memcpy(&i, object->data, sizeof(i));
    assert_true(object->handle == pieces->handles[i]);
    pieces->seen[i]++;
    return ++pieces->visits == pieces->stop_after ? pieces->result : 0;
}

/* All pieces together are one walk, where nothing is moved between them; a visitor that ends one
 * sees the rest of its span in the next. */
static void
in_pieces(void **state)
{
    struct fixture *fixture = *state;
    enum { PIECED = 20000 };
    static handle_t handles[PIECED];
    static struct pieces pieces;
    uint64_t cursor = 0;
    unsigned calls = 0;
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    memset(&pieces, 0, sizeof(pieces));
    pieces.handles = handles;
    for (unsigned i = 0; i < PIECED; i++) {
        void *object = NULL;
        section_enter();
        handles[i] = handle_alloc_object(fixture->store, i % 500 ? 100 : 70000, 0, &object);
        memcpy(object, &i, sizeof(i));
        section_leave();
    }
    do {
        unsigned before = pieces.visits;
        assert_int_equal(handle_store_each_from(fixture->store, &cursor, 50, note_piece, &pieces),
                         0);
        assert_true(pieces.visits >= before + 50 || cursor == 0);
        calls++;
    } while (cursor != 0);
    assert_true(calls > 20 && pieces.visits == PIECED);
    for (unsigned i = 0; i < PIECED; i++)
        assert_int_equal(pieces.seen[i], 1);
    pieces.stop_after = pieces.visits + PIECED - 10;
    pieces.result = -EBUSY; /* it is the visitor's, and the walk has begun */
    assert_int_equal(handle_store_each_from(fixture->store, &cursor, SIZE_MAX, note_piece, &pieces),
                     -EBUSY);
    assert_true(cursor > 1);
    for (unsigned i = 0; i < PIECED; i++)
        pieces.seen[i] = 1;
    cursor = 0;
    pieces.stop_after = pieces.visits + 10;
    pieces.result = 7;
    assert_int_equal(handle_store_each_from(fixture->store, &cursor, 50, note_piece, &pieces), 7);
    assert_true(cursor != 0);
    assert_int_equal(handle_store_each_from(fixture->store, &cursor, SIZE_MAX, note_piece, &pieces),
                     0);
    assert_int_equal(cursor, 0);
    for (unsigned i = 0; i < PIECED; i++)
        assert_in_range(pieces.seen[i], 2, 3);
    cursor = UINT64_C(1) << 32;
    assert_int_equal(handle_store_each_from(fixture->store, &cursor, 1, note_piece, &pieces),
                     -EINVAL);
    cursor = 0;
    assert_int_equal(handle_store_each_from(fixture->store, &cursor, 0, note_piece, &pieces),
                     -EINVAL);
    assert_int_equal(handle_store_each_from(fixture->store, NULL, 1, note_piece, &pieces), -EINVAL);
    assert_int_equal(handle_store_each_from(fixture->store, &cursor, 1, NULL, NULL), -EINVAL);
    cursor = UINT32_MAX; /* beyond the end */
    assert_int_equal(handle_store_each_from(fixture->store, &cursor, 1, note_piece, &pieces), 0);
    assert_int_equal(cursor, 0);
}

int
group_walk(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(in_pieces),
        STORE_TEST(each_visits_all),
        STORE_TEST(each_ends_when_told),
        STORE_TEST(each_may_free),
        STORE_TEST(each_ends_though_the_visitor_allocates),
        STORE_TEST(each_refuses_to_wait_for_itself),
        STORE_TEST(each_may_check),
        STORE_TEST(used_is_counted),
        STORE_TEST(clear_frees_handles_and_leaves_cells),
        STORE_TEST(clear_with_pins),
    };
    return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}

int
group_walk_threads(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(walks_beside_churn),
    };
    return cmocka_run_group_tests_name("walk_threads", tests, NULL, NULL);
}
