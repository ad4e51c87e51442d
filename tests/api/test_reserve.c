/* SPDX-License-Identifier: MIT */
/*
 * test_reserve.c - reserve, fill, publish: nothing half-made is ever visible, an overwrite replaces
 * in one step, what was reserved survives sections, threads, compaction, clear and fork.
 */
#include "support.h"

/* A reserved object of this size, filled from seed. */
static void *
reserve(handle_store *store, size_t size, uint64_t seed, struct handle_reserved *reserved)
{
    void *object = handle_reserve(store, size, 0, reserved);
    assert_non_null(object);
    assert_ptr_equal(object, reserved->object);
    fill(object, size, seed);
    return object;
}

static int
publish(handle_store *store, handle_cell *cell, size_t size, uint64_t seed, uint32_t tag)
{
    struct handle_reserved reserved;
    reserve(store, size, seed, &reserved);
    section_enter();
    int result = handle_cell_publish(store, cell, &reserved, tag);
    section_leave();
    return result;
}

static void
assert_cell(handle_store *store, const handle_cell *cell, size_t size, uint64_t seed, uint32_t tag)
{
    uint32_t found = ~tag;
    section_enter();
    assert_filled(handle_cell_read(store, cell, &found), size, seed);
    assert_int_equal(found, tag);
    assert_int_equal(handle_cell_size(store, cell), size);
    section_leave();
}

static int
count_visit(void *opaque, const struct handle_object *object)
{
    (void)object;
    ++*(unsigned *)opaque;
    return 0;
}

static unsigned
count_objects(handle_store *store)
{
    unsigned count = 0;
    assert_int_equal(handle_store_each(store, count_visit, &count), 0);
    return count;
}

static void
assert_counts(handle_store *store, uint64_t objects, uint64_t reserved)
{
    struct handle_stats stats = take_stats(store);
    assert_int_equal(stats.objects, objects + reserved);
    assert_int_equal(stats.objects_reserved, reserved);
    assert_int_equal(stats.objects_by_handle + stats.objects_by_cell, objects);
    assert_int_equal(count_objects(store), objects);
    assert_clean(store);
}

static void
publish_by_handle(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < test_sizes_count; i++) {
        struct handle_reserved reserved;
        const void *object = reserve(fixture->store, test_sizes[i], i, &reserved);
        assert_counts(fixture->store, i, 1); /* nobody sees it yet */
        handle_t handle = handle_publish(fixture->store, &reserved);
        assert_true(handle != HANDLE_NULL);
        section_enter();
        assert_ptr_equal(handle_deref(fixture->store, handle), object);
        section_leave();
        assert_object(fixture->store, handle, test_sizes[i], i);
        assert_counts(fixture->store, i + 1, 0);
    }
    compact_checked(fixture->store, NULL);
}

static void
publish_in_empty_cells(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell;
    size_t used = 0;
    for (size_t i = 0; i < test_sizes_count; i++) {
        uint32_t tag = (uint32_t)(i * 7919 & 0xffffff);
        assert_int_equal(publish(fixture->store, &cell, test_sizes[i], i, tag), 0);
        assert_cell(fixture->store, &cell, test_sizes[i], i, tag);
        compact_checked(fixture->store, NULL);
        assert_cell(fixture->store, &cell, test_sizes[i], i, tag);
        assert_used(fixture->store, test_sizes[i]);
        section_enter();
        assert_int_equal(i % 2 ? handle_cell_free(fixture->store, &cell)
                               : handle_cell_free_now(fixture->store, &cell),
                         0);
        section_leave();
        used += test_sizes[i];
    }
    assert_int_equal(handle_store_used(fixture->store), 0);
    assert_true(used > 0);
}

/* From each size to each other; the old one stays for those who resolved it. */
static void
overwrite(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sizes[] = {0, 20, 64, 2000, 3000, 30000, 65528, 100000, 1 << 20};
    enum { SIZES = sizeof(sizes) / sizeof(sizes[0]) };
    static handle_cell cell;
    struct handle_reserved reserved;
    assert_int_equal(publish(fixture->store, &cell, 8, 1000, 1), 0);
    size_t last = 8;
    uint64_t seed = 1000;
    for (unsigned i = 0; i < SIZES * SIZES; i++) {
        size_t size = sizes[i % 2 ? i / SIZES : i % SIZES];
        section_enter();
        const void *old = handle_cell_deref(fixture->store, &cell);
        reserve(fixture->store, size, i, &reserved);
        assert_ptr_equal(handle_cell_deref(fixture->store, &cell), old);
        assert_int_equal(handle_cell_publish(fixture->store, &cell, &reserved, i), 0);
        assert_ptr_equal(handle_cell_deref(fixture->store, &cell), reserved.object);
        handle_t other = make_object(fixture->store, last, ~seed); /* not in its place */
        assert_filled(old, last, seed);
        section_leave();
        assert_int_equal(handle_free(fixture->store, other), 0);
        assert_cell(fixture->store, &cell, size, i, i);
        assert_used(fixture->store, size);
        last = size;
        seed = i;
    }
    struct handle_stats stats = take_stats(fixture->store);
    assert_int_equal(stats.frees, 2 * SIZES * SIZES);
    assert_int_equal(stats.pins, 0);
}

static void
flags(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell;
    static const size_t sizes[] = {100, 100000};
    for (unsigned i = 0; i < 2; i++) {
        struct handle_reserved reserved;
        size_t size = sizes[i];
        const char *zero = handle_reserve(fixture->store, size, HANDLE_ZERO, &reserved);
        assert_non_null(zero);
        for (size_t k = 0; k < size; k++)
            assert_int_equal(zero[k], 0);
        handle_reserved_abort(fixture->store, &reserved);
        const void *fixed = handle_reserve(fixture->store, size, HANDLE_UNMOVABLE, &reserved);
        assert_non_null(fixed);
        fill(reserved.object, size, i);
        section_enter();
        assert_int_equal(handle_cell_publish(fixture->store, &cell, &reserved, 3), 0);
        section_leave();
        compact_checked(fixture->store, NULL);
        section_enter();
        assert_ptr_equal(handle_cell_deref(fixture->store, &cell), fixed);
        section_leave();
        assert_cell(fixture->store, &cell, size, i, 3);
    }
}

static void
refusals(void **state)
{
    struct fixture *fixture = *state;
    struct handle_reserved reserved;
    static const struct {
        size_t size;
        unsigned flags;
    } bad[] = {{SIZE_MAX, 0}, {TEST_ARENA_BYTES + 1, 0}, {10, 4}, {10, ~0u}};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        memset(&reserved, 0x5a, sizeof(reserved));
        errno = 0;
        assert_null(handle_reserve(fixture->store, bad[i].size, bad[i].flags, &reserved));
        assert_int_equal(errno, EINVAL);
        assert_null(reserved.object);
        errno = 0;
        assert_true(handle_publish(fixture->store, &reserved) == HANDLE_NULL);
        assert_int_equal(errno, EINVAL);
        handle_reserved_abort(fixture->store, &reserved);
    }
    errno = 0;
    assert_null(handle_reserve(fixture->store, 10, 0, NULL));
    assert_int_equal(errno, EINVAL);
    errno = 0;
    assert_null(handle_reserve(NULL, 10, 0, &reserved));
    assert_int_equal(errno, EINVAL);
    assert_counts(fixture->store, 0, 0);
}

/* A refused publish leaves the reservation as it was. */
static void
refused_publishes(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell;
    _Alignas(8) char buffer[16] = {0};
    struct handle_reserved reserved;
    void *object = NULL;
    section_enter();
    handle_t handle = handle_alloc_object(fixture->store, 256, HANDLE_ZERO, &object);
    reserve(fixture->store, 50, 1, &reserved);
    handle_cell *bad[] = {object, (handle_cell *)(void *)(buffer + 1),
                          (handle_cell *)(void *)(buffer + 4), NULL, (handle_cell *)(uintptr_t)8};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]) - 1; i++)
        assert_int_equal(handle_cell_publish(fixture->store, bad[i], &reserved, 1), -EINVAL);
    assert_int_equal(handle_cell_publish(fixture->store, &cell, &reserved, 0x1000000), -EINVAL);
    assert_int_equal(handle_cell_publish(fixture->store, &cell, &reserved, UINT32_MAX), -EINVAL);
    assert_int_equal(handle_cell_publish(fixture->store, &cell, NULL, 1), -EINVAL);
    assert_int_equal(handle_cell_publish(NULL, &cell, &reserved, 1), -EINVAL);
    assert_true(cell.word == 0);
    assert_int_equal(handle_cell_publish(fixture->store, &cell, &reserved, 0xffffff), 0);
    section_leave();
    assert_cell(fixture->store, &cell, 50, 1, 0xffffff);
    assert_int_equal(handle_free(fixture->store, handle), 0);
    errors_reset(fixture);
}

static void
over_once_published_or_aborted(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell, other;
    struct handle_reserved reserved;
    section_enter();
    for (unsigned how = 0; how < 3; how++) {
        for (size_t size = 50; size <= 200000; size += 199950) {
            reserve(fixture->store, size, how, &reserved);
            if (how == 0)
                assert_true(handle_publish(fixture->store, &reserved) != HANDLE_NULL);
            else if (how == 1)
                assert_int_equal(handle_cell_publish(fixture->store, &cell, &reserved, 1), 0);
            else
                handle_reserved_abort(fixture->store, &reserved);
            handle_reserved_abort(fixture->store, &reserved);
            assert_int_equal(handle_cell_publish(fixture->store, &other, &reserved, 1), -EINVAL);
            errno = 0;
            assert_true(handle_publish(fixture->store, &reserved) == HANDLE_NULL);
            assert_int_equal(errno, EINVAL);
        }
    }
    section_leave();
    assert_true(other.word == 0);
    assert_used(fixture->store, 50 + 200000 + 200000);
    assert_counts(fixture->store, 3, 0);
}

/* Its memory is taken by the next one of its size: nothing is lost by an abort. */
static void
abort_gives_back(void **state)
{
    struct fixture *fixture = *state;
    struct handle_reserved reserved;
    for (size_t i = 0; i < test_sizes_count; i++) {
        for (unsigned k = 0; k < 3; k++) {
            reserve(fixture->store, test_sizes[i], k, &reserved);
            handle_reserved_abort(fixture->store, &reserved);
        }
    }
    assert_int_equal(handle_store_used(fixture->store), 0);
    assert_counts(fixture->store, 0, 0);
    settle(fixture->store);
    assert_clean(fixture->store);
}

/* A whole span of them, beside as many objects of which most are freed: compaction leaves the
 * reserved ones where they are, published they can be moved. */
static void
survives_compaction(void **state)
{
    struct fixture *fixture = *state;
    enum { RESERVED = 300 };
    static struct handle_reserved reserved[RESERVED];
    static handle_t handles[10 * RESERVED];
    for (unsigned i = 0; i < RESERVED; i++) {
        for (unsigned k = 0; k < 10; k++)
            handles[10 * i + k] = make_object(fixture->store, 240, k);
        reserve(fixture->store, 240, i, &reserved[i]);
    }
    for (unsigned i = 0; i < 10 * RESERVED; i++)
        assert_int_equal(handle_free(fixture->store, handles[i]), 0);
    compact_checked(fixture->store, NULL);
    uint64_t moved = take_stats(fixture->store).moved_objects;
    for (unsigned i = 0; i < RESERVED; i++) {
        assert_filled(reserved[i].object, 240, i);
        handles[i] = handle_publish(fixture->store, &reserved[i]);
        assert_true(handles[i] != HANDLE_NULL);
    }
    compact_checked(fixture->store, NULL);
    assert_true(take_stats(fixture->store).moved_objects >
                moved); /* by us, or by the compaction thread */
    for (unsigned i = 0; i < RESERVED; i++)
        assert_object(fixture->store, handles[i], 240, i);
}

static void
clear_leaves_it(void **state)
{
    struct fixture *fixture = *state;
    struct handle_reserved reserved;
    make_object(fixture->store, 100, 1);
    reserve(fixture->store, 100, 2, &reserved);
    assert_int_equal(handle_store_clear(fixture->store), 0);
    assert_counts(fixture->store, 0, 1);
    handle_t handle = handle_publish(fixture->store, &reserved);
    assert_object(fixture->store, handle, 100, 2);
    assert_counts(fixture->store, 1, 0);
    assert_int_equal(handle_store_clear(fixture->store), 0);
    section_enter();
    assert_null(handle_deref(fixture->store, handle));
    section_leave();
}

static void
of_another_store(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell;
    struct handle_reserved reserved;
    handle_store *other = handle_store_create(&fixture->options);
    assert_non_null(other);
    reserve(fixture->store, 100, 1, &reserved);
    handle_reserved_abort(other, &reserved);
    errno = 0;
    assert_true(handle_publish(other, &reserved) == HANDLE_NULL);
    assert_int_equal(errno, EINVAL);
    section_enter();
    assert_int_equal(handle_cell_publish(other, &cell, &reserved, 1), -EINVAL);
    assert_int_equal(handle_cell_publish(fixture->store, &cell, &reserved, 1), 0);
    section_leave();
    assert_cell(fixture->store, &cell, 100, 1, 1);
    assert_int_equal(handle_store_destroy(other), 0);
}

/* Of one that is gone, whose place the next one has. */
static void
of_a_store_that_is_gone(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell;
    static const size_t sizes[] = {100, 100000};
    fixture->errors_expected = true;
    for (unsigned i = 0; i < 2; i++) {
        struct handle_reserved reserved;
        reserve(fixture->store, sizes[i], 1, &reserved);
        fixture_reopen(fixture);
        make_object(fixture->store, sizes[i], 2);
        errno = 0;
        assert_true(handle_publish(fixture->store, &reserved) == HANDLE_NULL);
        assert_int_equal(errno, EINVAL);
        section_enter();
        assert_int_equal(handle_cell_publish(fixture->store, &cell, &reserved, 1), -EINVAL);
        section_leave();
        handle_reserved_abort(fixture->store, &reserved);
        assert_counts(fixture->store, 1, 0);
    }
}

/* The update saw a version that is none any more; its pin keeps that one readable. */
static void
overwrites_what_is_pinned(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell;
    struct handle_update update;
    static const size_t sizes[] = {100, 3000, 100000};
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(publish(fixture->store, &cell, sizes[i], 1, 1), 0);
        section_enter();
        const void *pinned = handle_cell_pin(fixture->store, &cell);
        assert_non_null(handle_cell_update_begin(fixture->store, &cell, 50, &update));
        section_leave();
        assert_int_equal(publish(fixture->store, &cell, sizes[i], 2, 2), 0);
        section_enter();
        assert_int_equal(handle_update_commit(fixture->store, &update), -EAGAIN);
        section_leave();
        compact_checked(fixture->store, NULL);
        assert_filled(pinned, sizes[i], 1);
        handle_unpin(fixture->store, pinned);
        assert_cell(fixture->store, &cell, sizes[i], 2, 2);
    }
}

static void
destroy_reports(void **state)
{
    struct fixture *fixture = *state;
    struct handle_reserved reserved[3];
    for (unsigned i = 0; i < 3; i++)
        reserve(fixture->store, 100, i, &reserved[i]);
    handle_reserved_abort(fixture->store, &reserved[1]);
    fixture->errors_expected = true;
    fixture_reopen(fixture);
    assert_int_equal(errors_count(fixture), 1);
    assert_true(errors_contain(fixture, "handle_store_destroy: 2 reserved objects"));
    errors_reset(fixture);
}

/* No memory for another page of the table: the object stays reserved, and is published when there
 * is. */
static void
publish_at_the_limit(void **state)
{
    struct fixture *fixture = *state;
    enum { CELLS = 3000, HANDLES = 2000 };
    static handle_cell cells[CELLS];
    static struct handle_reserved reserved[HANDLES];
    unsigned filled = 0, made = 0, refused = 0;
    set_option(fixture->store, "defrag.enabled", "no");
    set_option(fixture->store, "max_bytes", "8M");
    while (made < HANDLES && handle_reserve(fixture->store, 64, 0, &reserved[made]))
        fill(reserved[made].object, 64, made), made++;
    assert_int_equal(made, HANDLES);
    section_enter();
    while (filled < CELLS && handle_cell_alloc(fixture->store, &cells[filled], 4000, 0))
        filled++;
    assert_true(filled > 0 && filled < CELLS);
    section_leave();
    for (unsigned i = 0; i < HANDLES; i++) {
        handle_t handle;
        errno = 0;
        while ((handle = handle_publish(fixture->store, &reserved[i])) == HANDLE_NULL) {
            assert_true(errno == ENOMEM || errno == EAGAIN);
            assert_filled(reserved[i].object, 64, i);
            refused++;
            section_enter();
            if (errno == ENOMEM && filled > 0)
                assert_int_equal(handle_cell_free(fixture->store, &cells[--filled]), 0);
            section_leave();
            assert_int_equal(handle_store_reclaim(fixture->store, SIZE_MAX), 0);
        }
        assert_object(fixture->store, handle, 64, i);
    }
    assert_true(refused > 0);
    assert_counts(fixture->store, filled + HANDLES, 0);
}

/* ---- threads --------------------------------------------------------------------------------- */

struct handed {
    handle_store *store;
    struct handle_reserved reserved[64];
    handle_t handles[64];
};

/* Reserved by one thread, filled and published by others, or aborted. */
static void
publish_foreign(void *arg, unsigned index)
{
    struct handed *handed = arg;
    for (unsigned i = index; i < 64; i += 4) {
        fill(handed->reserved[i].object, 100, i);
        if (i % 3 == 0)
            handle_reserved_abort(handed->store, &handed->reserved[i]);
        else
            handed->handles[i] = handle_publish(handed->store, &handed->reserved[i]);
    }
}

static void
from_thread_to_thread(void **state)
{
    struct fixture *fixture = *state;
    struct handed handed = {.store = fixture->store};
    for (unsigned i = 0; i < 64; i++)
        assert_non_null(handle_reserve(fixture->store, 100, 0, &handed.reserved[i]));
    assert_counts(fixture->store, 0, 64);
    run_threads(4, publish_foreign, &handed);
    for (unsigned i = 0; i < 64; i++)
        if (i % 3)
            assert_object(fixture->store, handed.handles[i], 100, i);
    assert_counts(fixture->store, 42, 0);
}

#define SHARED_CELLS 40

struct shared {
    handle_store *store;
    handle_cell cells[SHARED_CELLS];
    unsigned rounds, ended;
};

/* What a cell's object must be, by its tag: a size and contents of one version. */
static size_t
size_of_version(uint32_t tag)
{
    return 16 + tag % 7 * 100 + (tag % 61 == 0 ? 5000 : 0);
}

static void
write_versions(struct shared *shared, unsigned index)
{
    for (uint32_t i = 0; i < shared->rounds; i++) {
        struct handle_reserved reserved;
        unsigned key = i % (SHARED_CELLS / 2) * 2 + index;
        uint32_t tag = i * 4 + index + 1;
        size_t size = size_of_version(tag);
        thread_check(handle_reserve(shared->store, size, 0, &reserved) != NULL);
        fill(reserved.object, size, tag);
        section_enter();
        thread_check(handle_cell_publish(shared->store, &shared->cells[key], &reserved, tag) == 0);
        section_leave();
    }
    __atomic_fetch_add(&shared->ended, 1, __ATOMIC_RELEASE);
}

/* Never an empty cell, never half of a version, never another one's tag. */
static void
read_versions(struct shared *shared, unsigned index)
{
    uint64_t random = index + 1;
    while (__atomic_load_n(&shared->ended, __ATOMIC_ACQUIRE) < 2) {
        const handle_cell *cell = &shared->cells[random_below(&random, SHARED_CELLS)];
        uint32_t tag = 0;
        section_enter();
        const void *object = handle_cell_read(shared->store, cell, &tag);
        thread_check(object != NULL);
        thread_check(mismatch(object, size_of_version(tag), tag) == size_of_version(tag));
        section_leave();
    }
}

static void
write_or_read(void *arg, unsigned index)
{
    if (index < 2)
        write_versions(arg, index);
    else if (index == 2)
        read_versions(arg, index);
    else
        while (__atomic_load_n(&((struct shared *)arg)->ended, __ATOMIC_ACQUIRE) < 2)
            thread_check(handle_store_compact(((struct shared *)arg)->store, NULL) == 0);
}

static void
overwrites_beside_readers_and_moves(void **state)
{
    struct fixture *fixture = *state;
    static struct shared shared;
    memset(&shared, 0, sizeof(shared));
    shared.store = fixture->store;
    shared.rounds = scaled(20000);
    for (unsigned i = 0; i < SHARED_CELLS; i++)
        assert_int_equal(publish(fixture->store, &shared.cells[i], size_of_version(0), 0, 0), 0);
    run_threads(4, write_or_read, &shared);
    assert_counts(fixture->store, SHARED_CELLS, 0);
}

struct cleared {
    handle_store *store;
    handle_cell cells[2];
    unsigned published;
};

static void
publish_or_clear(void *arg, unsigned index)
{
    struct cleared *cleared = arg;
    for (unsigned i = 0; index < 2 && i < scaled(4000); i++) {
        struct handle_reserved reserved;
        thread_check(handle_reserve(cleared->store, 40, 0, &reserved) != NULL);
        if (i % 2) {
            handle_t handle = handle_publish(cleared->store, &reserved);
            thread_check(handle != HANDLE_NULL);
            int result = handle_free(cleared->store, handle);
            thread_check(result == 0 || result == -ENOENT);
        } else {
            section_enter();
            thread_check(
                handle_cell_publish(cleared->store, &cleared->cells[index], &reserved, i) == 0);
            section_leave();
        }
    }
    __atomic_fetch_add(&cleared->published, index < 2, __ATOMIC_RELEASE);
    while (index == 2 && __atomic_load_n(&cleared->published, __ATOMIC_ACQUIRE) < 2)
        thread_check(handle_store_clear(cleared->store) == 0);
}

/* What is named by cells stays; of what is published under handles each is freed once. */
static void
publish_beside_clear(void **state)
{
    struct fixture *fixture = *state;
    static struct cleared cleared;
    memset(&cleared, 0, sizeof(cleared));
    cleared.store = fixture->store;
    run_threads(3, publish_or_clear, &cleared);
    assert_counts(fixture->store, 2, 0);
}

/* ---- fork ------------------------------------------------------------------------------------ */

struct forked {
    handle_store *store;
    struct handle_reserved reserved[3];
};

/* In the child: publishes one, aborts one, leaves one, which is lost with the store. */
static void
child_publishes(void *arg)
{
    static handle_cell cell;
    struct forked *forked = arg;
    handle_store *store = forked->store;
    child_check(mismatch(forked->reserved[0].object, 100, 0) == 100);
    section_enter();
    child_check(handle_cell_publish(store, &cell, &forked->reserved[0], 7) == 0);
    child_check(mismatch(handle_cell_deref(store, &cell), 100, 0) == 100);
    section_leave();
    handle_reserved_abort(store, &forked->reserved[1]);
    child_check(handle_store_check(store, NULL, NULL) == 0);
    child_check(handle_store_destroy(store) == 0);
}

static void
survives_fork(void **state)
{
    if (TEST_TSAN) /* it does not get over a fork beside other threads */
        skip();
    struct fixture *fixture = *state;
    struct forked forked = {.store = fixture->store};
    for (unsigned i = 0; i < 3; i++)
        reserve(fixture->store, 100, i, &forked.reserved[i]);
    assert_child_succeeds(fork_stores(&fixture->store, 1, child_publishes, &forked));
    assert_counts(fixture->store, 0, 3);
    for (unsigned i = 0; i < 3; i++)
        assert_object(fixture->store, handle_publish(fixture->store, &forked.reserved[i]), 100, i);
}

int
group_reserve(void)
{
    static const struct CMUnitTest tests[] = {
        STORE_TEST(publish_by_handle),
        STORE_TEST(publish_in_empty_cells),
        STORE_TEST(overwrite),
        STORE_TEST(flags),
        STORE_TEST(refusals),
        STORE_TEST(refused_publishes),
        STORE_TEST(over_once_published_or_aborted),
        STORE_TEST(abort_gives_back),
        STORE_TEST(survives_compaction),
        STORE_TEST(clear_leaves_it),
        STORE_TEST(of_another_store),
        STORE_TEST(of_a_store_that_is_gone),
        STORE_TEST(overwrites_what_is_pinned),
        STORE_TEST(destroy_reports),
        STORE_TEST(publish_at_the_limit),
    };
    return cmocka_run_group_tests_name("reserve " FLAVOUR_NAME, tests, NULL, NULL);
}

int
group_reserve_threads(void)
{
    static const struct CMUnitTest tests[] = {
        STORE_TEST(from_thread_to_thread),
        STORE_TEST(overwrites_beside_readers_and_moves),
        STORE_TEST(publish_beside_clear),
        STORE_TEST(survives_fork),
    };
    return cmocka_run_group_tests_name("reserve_threads " FLAVOUR_NAME, tests, NULL, NULL);
}
