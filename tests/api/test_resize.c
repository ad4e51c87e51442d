/* SPDX-License-Identifier: MIT */
/*
 * test_resize.c - handle_resize and handle_cell_resize: up and down, within a slot and to another,
 * contents kept up to the smaller size, readers of the old size, refusals that change nothing; the
 * capacities of handle_resize_reserve.
 */
#include "support.h"
#include "waiting.h"

static size_t
smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* From each size of the list to each other. Fails when the copy is too short, or goes by the class
 * instead of the size asked for. */
static void
every_size_to_every_other(void **state)
{
    struct fixture *fixture = *state;
    size_t step = slow_run() ? 7 : 1;
    for (size_t a = 0; a < test_sizes_count; a += step) {
        for (size_t b = 0; b < test_sizes_count; b++) {
            size_t from = test_sizes[a], to = test_sizes[b];
            uint64_t seed = a * 1000 + b;
            handle_t handle = make_object(fixture->store, from, seed);
            assert_int_equal(handle_resize(fixture->store, handle, to), 0);
            section_enter();
            const void *object = handle_deref(fixture->store, handle);
            assert_non_null(object);
            assert_int_equal(handle_size(fixture->store, handle), to);
            assert_filled(object, smaller(from, to), seed);
            section_leave();
            assert_used(fixture->store, to);
            assert_int_equal(handle_free(fixture->store, handle), 0);
        }
    }
}

static void
cells_every_size(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell = HANDLE_CELL_INIT;
    for (size_t a = 0; a < test_sizes_count; a++) {
        size_t from = test_sizes[a], to = test_sizes[test_sizes_count - 1 - a];
        section_enter();
        fill(handle_cell_alloc(fixture->store, &cell, from, 0), from, a);
        assert_int_equal(handle_cell_set_tag(fixture->store, &cell, 0xabcdef), 0);
        assert_int_equal(handle_cell_resize(fixture->store, &cell, to), 0);
        uint32_t tag = 0;
        const void *object = handle_cell_read(fixture->store, &cell, &tag);
        assert_non_null(object);
        assert_int_equal(tag, 0xabcdef);
        assert_int_equal(handle_cell_size(fixture->store, &cell), to);
        assert_filled(object, smaller(from, to), a);
        assert_int_equal(handle_cell_free(fixture->store, &cell), 0);
        section_leave();
    }
}

/* An object that grows byte by byte and shrinks again, with compaction in between. */
static void
byte_by_byte(void **state)
{
    struct fixture *fixture = *state;
    handle_t handle = make_object(fixture->store, 0, 1);
    size_t most = 1200;
    for (size_t size = 1; size <= most; size++) {
        section_enter();
        assert_int_equal(handle_resize(fixture->store, handle, size), 0);
        fill(handle_deref_mut(fixture->store, handle), size, 7);
        section_leave();
        assert_object(fixture->store, handle, size, 7);
        if (size % 100 == 0)
            compact_checked(fixture->store, NULL);
    }
    for (size_t size = most; size-- > 0;) {
        assert_int_equal(handle_resize(fixture->store, handle, size), 0);
        assert_object(fixture->store, handle, size, 7);
    }
}

/* A reader that resolved the object before keeps it complete, whatever the new size is. Fails
 * when a resize in place spoils the bytes it cuts off while a section is open, or gives the old
 * slot back at once. */
static void
a_reader_keeps_the_old_object(void **state)
{
    struct fixture *fixture = *state;
    static const size_t sizes[] = {0, 90, 99, 100, 101, 104, 500, 5000, 100000};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        handle_t handle = make_object(fixture->store, 100, i);
        section_enter();
        const void *before = handle_deref(fixture->store, handle);
        assert_int_equal(handle_resize(fixture->store, handle, sizes[i]), 0);
        for (unsigned n = 0; n < 200; n++) {
            void *other = NULL;
            assert_int_not_equal(handle_alloc_object(fixture->store, 100, 0, &other), 0);
            fill(other, 100, ~i);
        }
        assert_filled(before, 100, i);
        section_leave();
    }
}

static void
refusals_change_nothing(void **state)
{
    struct fixture *fixture = *state;
    handle_t handle = make_object(fixture->store, 150, 1);
    assert_int_equal(handle_resize(fixture->store, handle, 2 * TEST_ARENA_BYTES), -EINVAL);
    assert_int_equal(handle_resize(fixture->store, handle, SIZE_MAX), -EINVAL);
    assert_object(fixture->store, handle, 150, 1);
    assert_int_equal(handle_free(fixture->store, handle), 0);
    assert_int_equal(handle_resize(fixture->store, handle, 10), -ENOENT);
    assert_int_equal(handle_resize(fixture->store, HANDLE_NULL, 10), -ENOENT);
    static handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    assert_int_equal(handle_cell_resize(fixture->store, &cell, 10), -ENOENT);
    section_leave();
    assert_true(cell.word == 0);
}

static void
no_memory_changes_nothing(void **state)
{
    struct fixture *fixture = *state;
    set_option(fixture->store, "max_bytes", "8M");
    handle_t handle = make_object(fixture->store, 150, 1);
    int result = handle_resize(fixture->store, handle, 16 * MIB);
    assert_true(result == -ENOMEM || result == -EAGAIN);
    assert_object(fixture->store, handle, 150, 1);
    assert_int_equal(handle_resize(fixture->store, handle, 4000), 0);
}

/* Pinned for writing: -EBUSY until the last unpin, also when pinned for reading before and
 * after. */
static void
pinned_for_writing_is_busy(void **state)
{
    struct fixture *fixture = *state;
    handle_t handle = make_object(fixture->store, 150, 1);
    section_enter();
    const void *first = handle_pin(fixture->store, handle);
    assert_non_null(first);
    assert_int_equal(handle_resize(fixture->store, handle, 151), 0);
    handle_unpin(fixture->store, first);
    assert_int_equal(handle_resize(fixture->store, handle, 150), 0);
    const void *reading = handle_pin(fixture->store, handle);
    assert_non_null(reading);
    void *writing = handle_pin_mut(fixture->store, handle);
    assert_ptr_equal(writing, reading);
    section_leave();
    assert_int_equal(handle_resize(fixture->store, handle, 10), -EBUSY);
    assert_int_equal(handle_resize(fixture->store, handle, 10000), -EBUSY);
    fill(writing, 150, 2); /* the address holds outside sections */
    handle_unpin(fixture->store, reading);
    assert_int_equal(handle_resize(fixture->store, handle, 10000), -EBUSY);
    handle_unpin(fixture->store, writing);
    assert_object(fixture->store, handle, 150, 2);
    assert_int_equal(handle_resize(fixture->store, handle, 10000), 0);
    section_enter();
    assert_filled(handle_deref(fixture->store, handle), 150, 2);
    section_leave();
}

/* Pinned for reading only: the object may be replaced, the pin keeps the old bytes. */
static void
pinned_for_reading_keeps_the_old_bytes(void **state)
{
    struct fixture *fixture = *state;
    handle_t handle = make_object(fixture->store, 150, 1);
    section_enter();
    const void *pinned = handle_pin(fixture->store, handle);
    assert_non_null(pinned);
    section_leave();
    assert_int_equal(handle_resize(fixture->store, handle, 20000), 0);
    section_enter();
    fill(handle_deref_mut(fixture->store, handle), 20000, 2);
    section_leave();
    compact_checked(fixture->store, NULL);
    assert_filled(pinned, 150, 1);
    assert_object(fixture->store, handle, 20000, 2);
    handle_unpin(fixture->store, pinned);
}

/* ---- large objects --------------------------------------------------------------------------- */

static const void *
address_of(handle_store *store, handle_t handle)
{
    section_enter();
    const void *address = handle_deref(store, handle);
    section_leave();
    return address;
}

static void
assert_begins(handle_store *store, handle_t handle, size_t bytes, uint64_t seed)
{
    section_enter();
    assert_filled(handle_deref(store, handle), bytes, seed);
    section_leave();
}

static void
note_move(handle_store *store, handle_t *fence, const void **address, const void *now,
          unsigned *moves)
{
    if (now == *address)
        return;
    ++*moves;
    *address = now;
    if (*fence != HANDLE_NULL)
        assert_int_equal(handle_free(store, *fence), 0);
    /* However slow grace periods are: what it has left is reusable before it moves again. */
    assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
    *fence = make_object(store, 70000, 2); /* behind it, as long as it does not move again */
}

/* An object that grows by a page at a time, with another one always behind it. It moves as often as
 * it doubles, and memory never holds more than it twice. Seen failing with a copy for each page. */
static void
grows_by_pages(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    size_t size = 128 * KIB, most = (slow_run() ? 4 : 16) * MIB;
    handle_t handle = make_object(store, size, 1), fence = HANDLE_NULL;
    struct handle_stats before = take_stats(store);
    const void *address = NULL;
    unsigned moves = 0;
    for (; size < most; size += 4096) {
        note_move(store, &fence, &address, address_of(store, handle), &moves);
        assert_int_equal(handle_resize(store, handle, size + 4096), 0);
    }
    struct handle_stats after = take_stats(store);
    assert_begins(store, handle, 128 * KIB, 1);
    assert_int_equal(after.requested, most + 70000);
    assert_in_range(moves, 0, 9);
    assert_true(after.committed_peak - before.committed <= 2 * most + MIB);
}

/* Behind the last object of an arena that can be extended there is room, too. Seen failing: the
 * object moved, and its bytes were there twice meanwhile. */
static void
grows_with_the_arena(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.arena_bytes = 0;
    fixture_reopen(fixture);
    handle_t handle = make_object(fixture->store, 10 * MIB, 3);
    section_enter();
    const void *before = handle_deref(fixture->store, handle);
    for (size_t size = 20 * MIB; size <= 160 * MIB; size *= 2) {
        assert_int_equal(handle_resize(fixture->store, handle, size), 0);
        assert_ptr_equal(handle_deref(fixture->store, handle), before);
    }
    assert_filled(before, 10 * MIB, 3);
    section_leave();
    assert_clean(fixture->store);
}

/* Within the last page nothing moves and nothing is committed. */
static void
grows_within_a_page(void **state)
{
    struct fixture *fixture = *state;
    handle_t handle = make_object(fixture->store, 200001, 1);
    const void *address = address_of(fixture->store, handle);
    struct handle_stats before = take_stats(fixture->store);
    for (size_t size = 200002; size <= (size_t)49 * 4096; size++)
        assert_int_equal(handle_resize(fixture->store, handle, size), 0);
    struct handle_stats after = take_stats(fixture->store);
    assert_ptr_equal(address_of(fixture->store, handle), address);
    assert_int_equal(after.committed, before.committed);
    assert_int_equal(after.requested, 49 * 4096);
    assert_int_equal(after.large, 49 * 4096);
}

/* What is cut off stays for who resolved the object before, whatever else is allocated and given
 * back meanwhile; then it goes back to the kernel. Seen failing with pages that go at once. */
static void
a_reader_keeps_what_is_cut_off(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    size_t size = 3 * MIB;
    set_option(store, "purge_delay_ms", "0");
    handle_t handle = make_object(store, size, 1);
    section_enter();
    const void *before = handle_deref(store, handle);
    assert_int_equal(handle_resize(store, handle, 100000), 0);
    assert_ptr_equal(handle_deref(store, handle), before);
    assert_int_equal(handle_size(store, handle), 100000);
    for (unsigned i = 0; i < 20; i++) {
        handle_t other = handle_alloc(store, 200000);
        assert_int_equal(handle_free_now(store, other), 0);
    }
    struct handle_stats stats = take_stats(store);
    assert_true(stats.limbo >= size - 100000 - page_bytes());
    assert_filled(before, size, 1);
    section_leave();
    settle(store);
    stats = take_stats(store);
    assert_int_equal(stats.limbo, 0);
    uint64_t pages = 1 + 100000 / page_bytes();
    assert_true(stats.committed - stats.metadata - stats.table <= (pages + 1) * page_bytes());
    assert_object(store, handle, 100000, 1);
}

/* A pin keeps it, too: the object is replaced, as by every resize of a pinned one. */
static void
a_pin_keeps_what_is_cut_off(void **state)
{
    struct fixture *fixture = *state;
    handle_t handle = make_object(fixture->store, 3 * MIB, 1);
    section_enter();
    const void *pinned = handle_pin(fixture->store, handle);
    section_leave();
    assert_int_equal(handle_resize(fixture->store, handle, 100000), 0);
    settle(fixture->store);
    assert_filled(pinned, 3 * MIB, 1);
    handle_unpin(fixture->store, pinned);
}

/* An update that was begun before sees the resize, whether the object was long enough or not. */
static void
an_update_sees_large_resizes(void **state)
{
    struct fixture *fixture = *state;
    struct handle_update update;
    handle_t handle = make_object(fixture->store, 300000, 1);
    for (size_t size = 300000; size < 400000; size += 33333) {
        section_enter();
        assert_non_null(handle_update_begin(fixture->store, handle, 10, &update));
        assert_int_equal(handle_resize(fixture->store, handle, size), 0);
        assert_int_equal(handle_update_commit(fixture->store, &update), -EAGAIN);
        section_leave();
    }
}

/* At the limit growth needs what it adds, not a second object. What is refused changes nothing.
 * Seen failing with growth by copy: at 7 MiB. */
static void
grows_at_the_limit(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    set_option(store, "max_bytes", "16M");
    size_t size = 128 * KIB;
    handle_t handle = make_object(store, size, 1);
    while (size < 12 * MIB && handle_resize(store, handle, size + 65536) == 0)
        size += 65536;
    assert_int_equal(size, 12 * MIB);
    int result = handle_resize(store, handle, 20 * MIB);
    assert_true(result == -ENOMEM || result == -EAGAIN);
    section_enter();
    assert_int_equal(handle_size(store, handle), size);
    section_leave();
    assert_begins(store, handle, 128 * KIB, 1);
}

/* ---- capacity -------------------------------------------------------------------------------- */

#define CAPACITY (4 * MIB)

static handle_t
make_reserved(handle_store *store, size_t size, size_t capacity, uint64_t seed)
{
    handle_t handle = make_object(store, size, seed);
    assert_int_equal(handle_resize_reserve(store, handle, size, capacity), 0);
    assert_object(store, handle, size, seed);
    return handle;
}

static size_t
capacity_of(handle_store *store, handle_t handle)
{
    section_enter();
    size_t capacity = handle_capacity(store, handle);
    section_leave();
    return capacity;
}

static void
resize_there(handle_store *store, handle_t handle, size_t size, const void *address)
{
    assert_int_equal(handle_resize(store, handle, size), 0);
    assert_ptr_equal(address_of(store, handle), address);
}

/* From a few bytes to its capacity an object stays where it is, whatever is allocated meanwhile,
 * and takes the memory of its size. Seen failing with room that other objects get. */
static void
grows_to_its_capacity(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    handle_t handle = make_reserved(store, 100, CAPACITY, 1);
    struct handle_stats before = take_stats(store);
    const void *address = address_of(store, handle);
    assert_true(before.large == 100 && capacity_of(store, handle) >= CAPACITY);
    for (size_t size = 100; size < CAPACITY; size += 100000) {
        resize_there(store, handle, size, address);
        (void)make_object(store, 70000, 2);
    }
    resize_there(store, handle, CAPACITY, address);
    assert_begins(store, handle, 100, 1);
    struct handle_stats full = take_stats(store);
    assert_int_equal(full.large, CAPACITY + (full.objects_large - 1) * 70000);
    resize_there(store, handle, 50, address);
    settle(store);
    assert_int_equal(handle_store_purge(store, NULL), 0);
    struct handle_stats after = take_stats(store);
    assert_true(after.committed + CAPACITY <= full.committed + 65536);
    resize_there(store, handle, CAPACITY, address);
    assert_begins(store, handle, 50, 1);
    assert_clean(store);
}

/* An object of no bytes gives its run back, too: there is room for one run alone. Seen failing with
 * an object that holds no page, whose bytes in limbo added up to none. */
static void
one_of_no_bytes_goes(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.arena_bytes = 64 * MIB;
    fixture_reopen(fixture);
    handle_store *store = fixture->store;
    handle_t other = make_object(store, 100, 1);
    for (unsigned i = 0; i < 3; i++) {
        handle_t handle = make_object(store, 0, 0);
        assert_int_equal(handle_resize_reserve(store, handle, 0, 40 * MIB), 0);
        settle(store); /* nothing else is in limbo */
        assert_int_equal(handle_free(store, handle), 0);
        settle(store);
    }
    assert_int_equal(handle_resize_reserve(store, other, 100, 40 * MIB), 0);
    assert_clean(store);
}

/* What a lower capacity gives up beside what readers may still see comes back after it: the arena
 * has room for one of the two runs alone. Seen failing: it stayed the object's. */
static void
lowered_beside_a_tail(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.arena_bytes = 64 * MIB;
    fixture_reopen(fixture);
    handle_store *store = fixture->store;
    handle_t handle = make_object(store, 100, 1);
    for (unsigned i = 0; i < 3; i++) {
        size_t size = i == 1 ? 100 : 40 * MIB; /* the tail is long, or not */
        assert_int_equal(handle_resize_reserve(store, handle, size, 40 * MIB), 0);
        if (i == 2)
            assert_int_equal(handle_resize(store, handle, 50000), 0);
        assert_int_equal(handle_resize_reserve(store, handle, 100000, MIB), 0);
        assert_in_range(capacity_of(store, handle), MIB, MIB + 65536);
        settle(store);
        handle_t other = make_object(store, 40 * MIB, 2);
        assert_int_equal(handle_free(store, other), 0);
        settle(store);
    }
    assert_begins(store, handle, 100, 1);
    assert_clean(store);
}

/* Pages that an object with a capacity shrinks by go back while the store is busy, also where it
 * asks for huge pages: blocks of them, as those of other runs. Seen failing: they stayed. */
static void
shrunk_in_a_busy_store(void **state)
{
    struct fixture *fixture = *state;
    static const char *const modes[] = {"never", "advise", "always"};
    for (unsigned i = 0; i < 3; i++) {
        fixture_reopen(fixture);
        handle_store *store = fixture->store;
        set_option(store, "hugepages", modes[i]);
        handle_t handle = make_reserved(store, 2 * CAPACITY, 2 * CAPACITY, 1);
        assert_true(take_stats(store).committed >= 2 * CAPACITY);
        assert_int_equal(handle_resize(store, handle, 70000), 0);
        await(handle_free(store, make_object(store, 100, 2)) == 0 &&
              take_stats(store).committed < CAPACITY);
        assert_in_range(capacity_of(store, handle), 2 * CAPACITY, 2 * CAPACITY + 65536);
        assert_object(store, handle, 70000, 1);
    }
}

/* Where there is no room for a capacity, small objects on their way are not worth waiting for; a
 * run on its way is, of which hardly any page was used. Seen failing: told EAGAIN as long as
 * somebody frees a page's worth meanwhile; or ENOMEM, though the run came. */
static void
waits_for_a_run_alone(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.arena_bytes = 64 * MIB;
    fixture_reopen(fixture);
    handle_store *store = fixture->store;
    handle_t handle = make_object(store, 100, 1), big = make_reserved(store, 100, 40 * MIB, 2);
    for (unsigned i = 0; i < 8; i++) {
        section_enter();
        for (unsigned k = 0; k < 200; k++)
            assert_int_equal(handle_free(store, make_object(store, k ? 100 : 200000, 3)), 0);
        int result = handle_resize_reserve(store, handle, 100, 40 * MIB);
        section_leave();
        assert_int_equal(result, -ENOMEM);
    }
    section_enter();
    assert_int_equal(handle_free(store, big), 0);
    int result = handle_resize_reserve(store, handle, 100, 40 * MIB);
    section_leave();
    assert_int_equal(result, -EAGAIN);
    settle(store);
    assert_int_equal(handle_resize_reserve(store, handle, 100, 40 * MIB), 0);
    section_enter();
    assert_int_equal(handle_free(store, handle), 0);
    assert_int_equal(handle_alloc(store, 40 * MIB), HANDLE_NULL);
    int error = errno;
    section_leave();
    assert_int_equal(error, EAGAIN);
    settle(store);
    assert_object(store, make_object(store, 40 * MIB, 4), 40 * MIB, 4);
}

/* Asked for again: more, less, none. */
static void
capacities_change(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    handle_t handle = make_reserved(store, 70000, CAPACITY, 1);
    assert_int_equal(handle_resize_reserve(store, handle, 70000, 2 * CAPACITY), 0);
    assert_true(capacity_of(store, handle) >= 2 * CAPACITY);
    assert_int_equal(handle_resize_reserve(store, handle, CAPACITY, CAPACITY), 0);
    assert_int_equal(handle_resize(store, handle, 70000), 0);
    assert_in_range(capacity_of(store, handle), CAPACITY, 2 * CAPACITY - 1);
    assert_int_equal(handle_resize_reserve(store, handle, 70000, 0), 0);
    assert_true(capacity_of(store, handle) <= 2 * 65536);
    assert_object(store, handle, 70000, 1);
    /* Of a small one the room is its slot's, and a small one again. */
    assert_int_equal(handle_resize_reserve(store, handle, 100, 1000), 0);
    assert_true(capacity_of(store, handle) < 1000);
    assert_begins(store, handle, 100, 1);
    assert_int_equal(handle_resize_reserve(store, handle, 200, 100000), 0);
    assert_true(capacity_of(store, handle) >= 100000);
    assert_int_equal(handle_resize(store, handle, 10), 0); /* kept */
    assert_true(capacity_of(store, handle) >= 100000);
    /* Beyond it, and by a new version, there is none. */
    assert_int_equal(handle_resize(store, handle, 300000), 0);
    assert_int_equal(handle_resize(store, handle, 10), 0);
    assert_true(capacity_of(store, handle) < 100);
    assert_begins(store, handle, 10, 1);
    assert_clean(store);
}

/* A pinned object is copied, and its capacity with it. */
static void
a_copy_keeps_its_capacity(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    handle_t handle = make_reserved(store, 100, CAPACITY, 1);
    section_enter();
    const void *pinned = handle_pin(store, handle);
    section_leave();
    assert_int_equal(handle_resize(store, handle, 200000), 0);
    const void *address = address_of(store, handle);
    assert_ptr_not_equal(address, pinned);
    assert_filled(pinned, 100, 1);
    handle_unpin(store, pinned);
    resize_there(store, handle, CAPACITY, address);
    assert_begins(store, handle, 100, 1);
}

/* What is refused changes nothing; what max_bytes refuses is memory, not capacity. */
static void
refused_capacities(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.arena_bytes = 64 * MIB;
    fixture_reopen(fixture);
    handle_store *store = fixture->store;
    set_option(store, "max_bytes", "8M");
    handle_t handle = make_reserved(store, 150, 40 * MIB, 1), other = make_object(store, 150, 2);
    assert_int_equal(handle_resize_reserve(store, other, 150, 64 * MIB + 1), -EINVAL);
    assert_int_equal(handle_resize_reserve(store, other, 150, SIZE_MAX), -EINVAL);
    int result = -EAGAIN; /* as long as something is in limbo */
    for (unsigned i = 0; i < 10 && result == -EAGAIN; i++) {
        assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
        result = handle_resize_reserve(store, other, 150, 40 * MIB);
    }
    assert_int_equal(result, -ENOMEM);
    assert_int_equal(take_stats(store).alloc_failure_reason, HANDLE_ALLOC_FAILURE_ARENA_SMALL);
    assert_object(store, other, 150, 2);
    result = handle_resize(store, handle, 20 * MIB);
    assert_true(result == -ENOMEM || result == -EAGAIN);
    assert_object(store, handle, 150, 1);
    assert_true(capacity_of(store, handle) >= 40 * MIB);
    assert_int_equal(handle_resize_reserve(store, handle, 150, 0), 0);
    assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
    assert_int_equal(handle_resize_reserve(store, other, 150, 40 * MIB), 0);
    assert_object(store, other, 150, 2);
    assert_int_equal(handle_free(store, other), 0);
    assert_int_equal(handle_resize_reserve(store, other, 1, 100000), -ENOENT);
    static handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    assert_int_equal(handle_cell_resize_reserve(store, &cell, 10, 100000), -ENOENT);
    section_leave();
}

/* In a hardened store there is none, and resizes work as ever. */
static void
hardened_without_capacity(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.hardened = true;
    fixture_reopen(fixture);
    handle_t handle = make_reserved(fixture->store, 100, CAPACITY, 1);
    assert_int_equal(capacity_of(fixture->store, handle), 100);
    assert_int_equal(handle_resize_reserve(fixture->store, handle, 200000, CAPACITY), 0);
    assert_int_equal(capacity_of(fixture->store, handle), 200000);
    assert_begins(fixture->store, handle, 100, 1);
}

static void
cells_have_capacities(void **state)
{
    struct fixture *fixture = *state;
    static handle_cell cell;
    cell.word = 0;
    section_enter();
    fill(handle_cell_alloc(fixture->store, &cell, 100, 0), 100, 1);
    assert_int_equal(handle_cell_set_tag(fixture->store, &cell, 77), 0);
    assert_int_equal(handle_cell_resize_reserve(fixture->store, &cell, 100, CAPACITY), 0);
    const void *address = handle_cell_deref(fixture->store, &cell);
    assert_true(handle_cell_capacity(fixture->store, &cell) >= CAPACITY);
    assert_int_equal(handle_cell_resize(fixture->store, &cell, CAPACITY), 0);
    assert_ptr_equal(handle_cell_match(fixture->store, &cell, 77), address);
    assert_filled(address, 100, 1);
    assert_int_equal(handle_cell_free(fixture->store, &cell), 0);
    section_leave();
}

/* ---- resizing under readers ------------------------------------------------------------------ */

struct resized {
    handle_store *store;
    handle_t handle;
    unsigned rounds;
    unsigned stop;
};

/* Readers see the old object or the new one, both complete: the first 64 bytes are common to all
 * sizes and must never be torn or undefined. */
static void
resize_or_read(void *arg, unsigned index)
{
    struct resized *shared = arg;
    uint64_t random = index + 1;
    if (index == 0) {
        for (unsigned i = 0; i < shared->rounds; i++) {
            size_t size = 64 + random_below(&random, 3000);
            thread_check(handle_resize(shared->store, shared->handle, size) == 0);
            quiesce();
        }
        __atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
    }
    while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
        section_enter();
        const void *object = handle_deref(shared->store, shared->handle);
        thread_check(object != NULL);
        thread_check(mismatch(object, 64, 5) == 64);
        thread_check(handle_size(shared->store, shared->handle) >= 64);
        section_leave();
    }
}

static void
resized_under_readers(void **state)
{
    struct fixture *fixture = *state;
    struct resized shared = {fixture->store, make_object(fixture->store, 64, 5), scaled(30000), 0};
    run_threads(3, resize_or_read, &shared);
    section_enter();
    assert_filled(handle_deref(fixture->store, shared.handle), 64, 5);
    section_leave();
}

/* Large sizes: the object grows and shrinks where it lies, is written behind what others read. */
static void
resize_large_or_read(void *arg, unsigned index)
{
    struct resized *shared = arg;
    uint64_t random = index + 1;
    if (index == 0) {
        for (unsigned i = 0; i < shared->rounds; i++) {
            size_t size = 70000 + random_below(&random, 600000);
            thread_check(handle_resize(shared->store, shared->handle, size) == 0);
            section_enter();
            char *object = handle_deref_mut(shared->store, shared->handle);
            memset(object + 70000, 1, size - 70000);
            section_leave();
            quiesce();
        }
        __atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
    }
    while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
        section_enter();
        const char *object = handle_deref(shared->store, shared->handle);
        thread_check(object != NULL && mismatch(object, 70000, 5) == 70000);
        thread_check(handle_size(shared->store, shared->handle) >= 70000);
        section_leave();
    }
}

static void
large_resized_under_readers(void **state)
{
    struct fixture *fixture = *state;
    struct resized shared = {fixture->store, make_object(fixture->store, 70000, 5), scaled(500), 0};
    run_threads(3, resize_large_or_read, &shared);
    assert_begins(fixture->store, shared.handle, 70000, 5);
}

/* Within its capacity an object stays where it is also while its pages are given back: who does
 * that is waited for. */
static void
resize_or_purge(void *arg, unsigned index)
{
    struct resized *shared = arg;
    uint64_t random = index + 1;
    section_enter();
    const void *address = handle_deref(shared->store, shared->handle);
    section_leave();
    for (unsigned i = 0; index == 0 && i < shared->rounds; i++) {
        size_t size = 100 + random_below(&random, CAPACITY - 100);
        thread_check(handle_resize(shared->store, shared->handle, size) == 0);
        section_enter();
        char *object = handle_deref_mut(shared->store, shared->handle);
        thread_check(object == address && mismatch(object, 100, 5) == 100);
        memset(object + 100, 1, size - 100);
        section_leave();
        quiesce();
    }
    if (index == 0)
        __atomic_store_n(&shared->stop, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&shared->stop, __ATOMIC_ACQUIRE)) {
        thread_check(handle_store_purge(shared->store, NULL) == 0);
        quiesce();
    }
}

static void
reserved_resized_beside_purges(void **state)
{
    struct fixture *fixture = *state;
    struct resized shared = {fixture->store, make_reserved(fixture->store, 100, CAPACITY, 5),
                             scaled(100), 0};
    run_threads(2, resize_or_purge, &shared);
    assert_begins(fixture->store, shared.handle, 100, 5);
}

int
group_resize(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(every_size_to_every_other),
        STORE_TEST(cells_every_size),
        STORE_TEST(byte_by_byte),
        STORE_TEST(a_reader_keeps_the_old_object),
        STORE_TEST(refusals_change_nothing),
        STORE_TEST(no_memory_changes_nothing),
        STORE_TEST(pinned_for_writing_is_busy),
        STORE_TEST(pinned_for_reading_keeps_the_old_bytes),
        STORE_TEST(grows_by_pages),
        STORE_TEST(grows_within_a_page),
        STORE_TEST(grows_with_the_arena),
        STORE_TEST(a_reader_keeps_what_is_cut_off),
        STORE_TEST(a_pin_keeps_what_is_cut_off),
        STORE_TEST(an_update_sees_large_resizes),
        STORE_TEST(grows_at_the_limit),
        STORE_TEST(grows_to_its_capacity),
        STORE_TEST(one_of_no_bytes_goes),
        STORE_TEST(capacities_change),
        STORE_TEST(a_copy_keeps_its_capacity),
        STORE_TEST(refused_capacities),
        STORE_TEST(hardened_without_capacity),
        STORE_TEST(cells_have_capacities),
    };
    return cmocka_run_group_tests_name("resize", tests, NULL, NULL);
}

/* What takes 40 MiB, or waits for a thread of the library. */
int
group_capacity(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(waits_for_a_run_alone),
        STORE_TEST(lowered_beside_a_tail),
        STORE_TEST(shrunk_in_a_busy_store),
    };
    return cmocka_run_group_tests_name("capacity", tests, NULL, NULL);
}

int
group_resize_threads(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(resized_under_readers),
        STORE_TEST(large_resized_under_readers),
        STORE_TEST(reserved_resized_beside_purges),
    };
    return cmocka_run_group_tests_name("resize_threads", tests, NULL, NULL);
}
