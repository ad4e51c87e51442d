/* SPDX-License-Identifier: MIT */
/*
 * test_alloc.c - allocation by handle: every kind of size, every class boundary, alignments, flags,
 * what does not fit. That objects do not overlap is seen by filling all and then reading all.
 */
#include "support.h"

/* Every byte of every object is its own: fails when two slots overlap, when a class is too small
 * for its sizes, or when a move copies too little. */
static void
sizes_hold_their_contents(void **state)
{
    struct fixture *fixture = *state;
    handle_t *handles = calloc(test_sizes_count, sizeof(*handles));
    assert_non_null(handles);
    for (size_t i = 0; i < test_sizes_count; i++)
        handles[i] = make_object(fixture->store, test_sizes[i], i + 1);
    compact_checked(fixture->store, NULL);
    size_t used = 0;
    for (size_t i = 0; i < test_sizes_count; i++) {
        assert_object(fixture->store, handles[i], test_sizes[i], i + 1);
        used += test_sizes[i];
    }
    assert_used(fixture->store, used);
    for (size_t i = 0; i < test_sizes_count; i++)
        assert_int_equal(handle_free(fixture->store, handles[i]), 0);
    assert_int_equal(handle_store_used(fixture->store), 0);
    free(handles);
}

/* handle_alloc gives an object that is live at once and filled later. */
static void
alloc_outside_a_section(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < test_sizes_count; i++) {
        handle_t handle = handle_alloc(fixture->store, test_sizes[i]);
        assert_int_not_equal(handle, HANDLE_NULL);
        section_enter();
        void *object = handle_deref_mut(fixture->store, handle);
        assert_non_null(object);
        fill(object, test_sizes[i], i);
        section_leave();
        assert_object(fixture->store, handle, test_sizes[i], i);
    }
}

static void
hundred_mebibytes(void **state)
{
    struct fixture *fixture = *state;
    size_t size = 100 * MIB + 3;
    void *object = NULL;
    section_enter();
    handle_t handle = handle_alloc_object(fixture->store, size, HANDLE_ZERO, &object);
    assert_int_not_equal(handle, HANDLE_NULL);
    unsigned char *bytes = object;
    assert_true(bytes[0] == 0 && bytes[size / 2] == 0 && bytes[size - 1] == 0);
    bytes[0] = 1;
    bytes[size / 2] = 2;
    bytes[size - 1] = 3;
    section_leave();
    assert_int_equal(handle_store_compact(fixture->store, NULL), 0);
    section_enter();
    const unsigned char *seen = handle_deref(fixture->store, handle);
    assert_non_null(seen);
    assert_true(seen[0] == 1 && seen[size / 2] == 2 && seen[size - 1] == 3);
    assert_int_equal(handle_size(fixture->store, handle), size);
    section_leave();
    struct handle_stats stats = take_stats(fixture->store);
    assert_int_equal(stats.objects_large, 1);
    assert_true(stats.large == size && stats.requested == size);
    assert_true(stats.committed >= size && stats.committed < size + 8 * MIB);
    assert_int_equal(handle_free(fixture->store, handle), 0);
}

static void
larger_than_the_arena(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sizes[] = {
        TEST_ARENA_BYTES + 1, 2 * TEST_ARENA_BYTES, UINT64_C(1) << 40, (UINT64_C(1) << 40) + 1,
        SIZE_MAX / 2,         SIZE_MAX - 65536,     SIZE_MAX - 7,      SIZE_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        void *object = fixture;
        errno = 0;
        assert_int_equal(handle_alloc(fixture->store, sizes[i]), HANDLE_NULL);
        assert_int_equal(errno, EINVAL);
        section_enter();
        errno = 0;
        assert_int_equal(handle_alloc_object(fixture->store, sizes[i], 0, &object), HANDLE_NULL);
        assert_int_equal(errno, EINVAL);
        assert_null(object);
        section_leave();
    }
    assert_int_equal(handle_store_used(fixture->store), 0);
}

/* An arena that is full, without max_bytes: no address range is left. */
static void
arena_full(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.arena_bytes = 4 * MIB;
    fixture_reopen(fixture);
    static handle_t handles[4096];
    unsigned n = 0;
    for (; n < 4096; n++) {
        errno = 0;
        handles[n] = handle_alloc(fixture->store, 4000);
        if (handles[n] == HANDLE_NULL)
            break;
    }
    assert_true(n >= 3 * MIB / 4000 && n < 4096);
    assert_true(errno == ENOMEM || errno == EAGAIN);
    while (n)
        assert_int_equal(handle_free(fixture->store, handles[--n]), 0);
    assert_int_equal(handle_store_reclaim(fixture->store, SIZE_MAX), 0);
    assert_int_not_equal(handle_alloc(fixture->store, 4000), HANDLE_NULL);
}

static uint64_t
live_in_class(handle_store *store, uint32_t class)
{
    struct handle_stats stats = take_stats(store);
    uint64_t live = class < stats.classes ? class_stats_of(store)[class].live : stats.objects_large;
    return live;
}

/* The largest request of a class is served by it, one byte more by the next. Fails for an error in
 * the size-to-class computation at any of its bends. */
static void
every_class_boundary(void **state)
{
    struct fixture *fixture = *state;
    struct handle_stats stats = take_stats(fixture->store);
    uint64_t seed = 1;
    assert_true(stats.classes > 64 && stats.classes <= HANDLE_CLASSES_MAX);
    for (uint32_t c = 0; c < stats.classes; c++) {
        const struct handle_class_stats *classes = class_stats_of(fixture->store);
        size_t largest = classes[c].object_bytes;
        assert_true(c == 0 || largest > classes[c - 1].object_bytes);
        assert_true(classes[c].slot_bytes > largest);
        assert_true(classes[c].span_slots * classes[c].slot_bytes <= classes[c].span_bytes);
        uint64_t before = live_in_class(fixture->store, c);
        assert_object(fixture->store, make_object(fixture->store, largest, seed), largest, seed);
        assert_int_equal(live_in_class(fixture->store, c), before + 1);
        before = live_in_class(fixture->store, c + 1);
        handle_t over = make_object(fixture->store, largest + 1, seed + 1);
        assert_object(fixture->store, over, largest + 1, seed + 1);
        assert_int_equal(live_in_class(fixture->store, c + 1), before + 1);
        handle_t under = make_object(fixture->store, largest - 1, seed + 2);
        assert_object(fixture->store, under, largest - 1, seed + 2);
        seed += 3;
    }
    assert_true(class_stats_of(fixture->store)[stats.classes - 1].object_bytes >= 16 * KIB - 8);
}

static void
alignments(void **state)
{
    struct fixture *fixture = *state;
    static const uint32_t wanted[] = {8, 16, 64};
    for (unsigned a = 0; a < 3; a++) {
        fixture->options.alignment = wanted[a];
        fixture_reopen(fixture);
        for (size_t i = 0; i < test_sizes_count; i++) {
            for (unsigned flags = 0; flags < 4; flags++) {
                void *object = NULL;
                section_enter();
                handle_t handle =
                    handle_alloc_object(fixture->store, test_sizes[i], flags, &object);
                assert_int_not_equal(handle, HANDLE_NULL);
                assert_int_equal((uintptr_t)object % wanted[a], 0);
                fill(object, test_sizes[i], i);
                section_leave();
                assert_object(fixture->store, handle, test_sizes[i], i);
            }
        }
        assert_clean(fixture->store);
    }
}

/* After a move the alignment still holds: fails when destinations are laid out by another rule. */
static void
alignment_after_moves(void **state)
{
    struct fixture *fixture = *state;
    enum { OBJECTS = 6000 };
    static handle_t handles[OBJECTS];
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    fixture->options.alignment = 64;
    fixture_reopen(fixture);
    for (unsigned i = 0; i < OBJECTS; i++)
        handles[i] = make_object(fixture->store, 100, i);
    for (unsigned i = 0; i < OBJECTS; i++)
        if (i % 8)
            assert_int_equal(handle_free(fixture->store, handles[i]), 0);
    compact_checked(fixture->store, &report);
    for (unsigned i = 0; i < OBJECTS; i += 8) {
        section_enter();
        assert_int_equal((uintptr_t)handle_deref(fixture->store, handles[i]) % 64, 0);
        section_leave();
        assert_object(fixture->store, handles[i], 100, i);
    }
}

/* Slots are dirtied and given back first: fails when ZERO relies on fresh pages. */
static void
zero_means_zero(void **state)
{
    struct fixture *fixture = *state;
    for (size_t i = 0; i < test_sizes_count; i++) {
        size_t size = test_sizes[i];
        section_enter();
        handle_t dirty[8];
        void *object = NULL;
        for (unsigned n = 0; n < 8; n++) {
            dirty[n] = handle_alloc_object(fixture->store, size, 0, &object);
            assert_int_not_equal(dirty[n], HANDLE_NULL);
            memset(object, 0xa5, size);
        }
        for (unsigned n = 0; n < 8; n++)
            assert_int_equal(handle_free_now(fixture->store, dirty[n]), 0);
        for (unsigned n = 0; n < 8; n++) {
            assert_int_not_equal(handle_alloc_object(fixture->store, size, HANDLE_ZERO, &object),
                                 0);
            const unsigned char *bytes = object;
            for (size_t b = 0; b < size; b++)
                assert_int_equal(bytes[b], 0);
        }
        section_leave();
    }
}

static void
unknown_flags(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell = HANDLE_CELL_INIT;
    static const unsigned flags[] = {4, 8, 0x80000000u, HANDLE_ZERO | 16};
    for (unsigned i = 0; i < 4; i++) {
        void *object = fixture;
        section_enter();
        errno = 0;
        assert_int_equal(handle_alloc_object(fixture->store, 8, flags[i], &object), HANDLE_NULL);
        assert_int_equal(errno, EINVAL);
        assert_null(object);
        errno = 0;
        assert_null(handle_cell_alloc(fixture->store, &cell, 8, flags[i]));
        assert_int_equal(errno, EINVAL);
        section_leave();
    }
    assert_true(cell.word == 0);
}

/* Handles differ from each other and are never HANDLE_NULL, also of objects without bytes. */
static void
empty_objects(void **state)
{
    struct fixture *fixture = *state;
    enum { OBJECTS = 1000 };
    handle_t handles[OBJECTS];
    for (unsigned i = 0; i < OBJECTS; i++) {
        handles[i] = handle_alloc(fixture->store, 0);
        assert_int_not_equal(handles[i], HANDLE_NULL);
        assert_true(i == 0 || handles[i] != handles[i - 1]);
    }
    assert_used(fixture->store, 0);
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++) {
        assert_non_null(handle_deref(fixture->store, handles[i]));
        assert_int_equal(handle_size(fixture->store, handles[i]), 0);
    }
    section_leave();
    for (unsigned i = 0; i < OBJECTS; i += 2)
        assert_int_equal(handle_free(fixture->store, handles[i]), 0);
    compact_checked(fixture->store, NULL);
    for (unsigned i = 1; i < OBJECTS; i += 2)
        assert_int_equal(handle_free(fixture->store, handles[i]), 0);
}

int
group_alloc(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(sizes_hold_their_contents),
        STORE_TEST(alloc_outside_a_section),
        STORE_TEST(hundred_mebibytes),
        STORE_TEST(larger_than_the_arena),
        STORE_TEST(arena_full),
        STORE_TEST(every_class_boundary),
        STORE_TEST(alignments),
        STORE_TEST(alignment_after_moves),
        STORE_TEST(zero_means_zero),
        STORE_TEST(unknown_flags),
        STORE_TEST(empty_objects),
    };
    return cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}
