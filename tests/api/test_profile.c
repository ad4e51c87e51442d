/* SPDX-License-Identifier: MIT */
/*
 * test_profile.c - handle_store_profile and handle_store_census: what they answer, that records
 * follow their objects through all that gives an object another slot or name, and that none stays
 * when its object is gone. What the numbers say is looked at with the real tool in tests/insight.
 *
 * One object of 64 bytes is drawn on average here, that is, each of 2,000 bytes and more (but for
 * one of 10^13).
 */
#include "support.h"

#define OBJECTS 500
#define SIZE    4000

static handle_t handles[OBJECTS];
static handle_cell cells[OBJECTS], others[OBJECTS];

/* ---- reading --------------------------------------------------------------------------------- */

static struct {
    unsigned char of[1 << 20];
    size_t length;
} profile;

static void
collect(void *opaque, const char *piece, size_t length)
{
    (void)opaque;
    assert_true(profile.length + length <= sizeof(profile.of));
    memcpy(profile.of + profile.length, piece, length);
    profile.length += length;
}

static uint64_t
varint(size_t *at, size_t end)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        assert_true(*at < end && shift < 64);
        value |= (uint64_t)(profile.of[*at] & 127) << shift;
        if (profile.of[(*at)++] < 128)
            return value;
    }
}

#define SAMPLE       2 /* of the profile */
#define SAMPLE_VALUE 2
enum { ALLOC_OBJECTS = 0, INUSE_OBJECTS = 2, INUSE_SPACE = 3, PINNED = 6, MOVED = 7, LIMBO = 8 };

static uint64_t
sum_of_sample(size_t at, size_t end, unsigned which)
{
    unsigned values = 0;
    uint64_t sum = 0;
    while (at < end) {
        uint64_t key = varint(&at, end), value = varint(&at, end);
        if (key % 8 == 2) /* bytes */
            at += value;
        else if (key >> 3 == SAMPLE_VALUE && values++ == which)
            sum += value;
    }
    return sum;
}

/* Sum of one of the values over all samples. */
static uint64_t
sum_of(unsigned which)
{
    uint64_t sum = 0;
    for (size_t at = 0; at < profile.length;) {
        uint64_t key = varint(&at, profile.length), value = varint(&at, profile.length);
        if (key % 8 != 2)
            continue;
        assert_true(value <= profile.length - at);
        if (key >> 3 == SAMPLE)
            sum += sum_of_sample(at, at + value, which);
        at += value;
    }
    return sum;
}

static void
take(handle_store *store)
{
    profile.length = 0;
    assert_int_equal(handle_store_profile(store, HANDLE_PROFILE_PPROF, collect, NULL), 0);
}

/* How many of the live objects are drawn. */
static unsigned
drawn_of_live(handle_store *store)
{
    static const char before[] = " MiB, of ";
    take(store);
    const char *at = memmem(profile.of, profile.length, before, sizeof(before) - 1);
    assert_non_null(at);
    return (unsigned)strtoul(at + sizeof(before) - 1, NULL, 10);
}

/* Each object of SIZE is drawn. */
static void
begin(handle_store *store)
{
    set_option(store, "profile.sample_bytes", "64");
    set_option(store, "profile.enabled", "yes");
    handle_t first = handle_alloc(store, SIZE); /* the thread sees that there is a profile */
    assert_int_equal(handle_free(store, first), 0);
}

#define assert_live(store, objects, bytes)                                                         \
    do {                                                                                           \
        take(store);                                                                               \
        assert_int_equal(sum_of(INUSE_OBJECTS), objects);                                          \
        assert_int_equal(sum_of(INUSE_SPACE), bytes);                                              \
    } while (0)

static void
make_handles(handle_store *store)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_true((handles[i] = handle_alloc(store, SIZE)) != HANDLE_NULL);
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void
answers(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    enum handle_profile_format wrong = (enum handle_profile_format)7;
    assert_int_equal(handle_store_profile(store, HANDLE_PROFILE_PPROF, collect, NULL), -ENOENT);
    begin(store);
    assert_int_equal(handle_store_profile(NULL, HANDLE_PROFILE_PPROF, collect, NULL), -EINVAL);
    assert_int_equal(handle_store_profile(store, wrong, collect, NULL), -EINVAL);
    assert_int_equal(handle_store_profile(store, HANDLE_PROFILE_PPROF, NULL, NULL), -EINVAL);
    assert_int_equal(handle_store_census(store, NULL, NULL, wrong, collect, NULL), -EINVAL);
    assert_int_equal(handle_store_census(NULL, NULL, NULL, HANDLE_PROFILE_PPROF, collect, NULL),
                     -EINVAL);
    assert_live(store, 0, 0);
    make_handles(store);
    set_option(store, "profile.enabled", "no");
    assert_true(handle_alloc(store, SIZE) != HANDLE_NULL); /* not drawn */
    assert_live(store, OBJECTS, OBJECTS * SIZE);
}

static void
records_follow_handles(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    assert_int_equal(handle_defrag_stop(store), 0);
    begin(store);
    make_handles(store);
    for (unsigned i = 0; i < OBJECTS; i += 2)
        assert_int_equal(handle_free(store, handles[i]), 0);
    assert_live(store, OBJECTS / 2, OBJECTS / 2 * SIZE);
    compact_checked(store, NULL);
    assert_live(store, OBJECTS / 2, OBJECTS / 2 * SIZE);
    struct handle_stats stats = take_stats(store);
    assert_int_equal(sum_of(MOVED), stats.moved_bytes);
    assert_true(stats.moved_bytes > 0);
    for (unsigned i = 1; i < OBJECTS; i += 2) /* in place, and to other slots */
        assert_int_equal(handle_resize(store, handles[i], i % 4 == 1 ? SIZE - 4 : 2 * SIZE), 0);
    assert_live(store, OBJECTS / 2, OBJECTS / 4 * (3 * SIZE - 4));
    for (unsigned i = 1; i < OBJECTS; i += 2) {
        struct handle_update update;
        section_enter();
        assert_non_null(handle_update_begin(store, handles[i], SIZE, &update));
        assert_int_equal(handle_update_commit(store, &update), 0);
        section_leave();
    }
    assert_live(store, OBJECTS / 2, OBJECTS / 2 * SIZE);
    section_enter();
    for (unsigned i = 1; i < OBJECTS; i += 4)
        assert_int_equal(handle_free_now(store, handles[i]), 0);
    for (unsigned i = 3; i < OBJECTS; i += 4)
        assert_int_equal(handle_retire(store, handles[i]), 0);
    section_leave();
    assert_live(store, 0, 0);
}

static void
records_follow_cells(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    begin(store);
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++) {
        memset(&cells[i], 0, sizeof(cells[i]));
        memset(&others[i], 0, sizeof(others[i]));
        assert_non_null(handle_cell_alloc(store, &cells[i], SIZE, 0));
        assert_int_equal(handle_cell_relocate(store, &cells[i], &others[i]), 0);
    }
    section_leave();
    assert_live(store, OBJECTS, OBJECTS * SIZE);
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++) {
        struct handle_reserved reserved;
        assert_non_null(handle_reserve(store, SIZE / 2, 0, &reserved));
        assert_int_equal(handle_cell_publish(store, &others[i], &reserved, 5), 0);
    }
    section_leave();
    assert_live(store, OBJECTS, OBJECTS * SIZE / 2);
    section_enter();
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(handle_cell_free(store, &others[i]), 0);
    take(store);
    section_leave();
    assert_int_equal(sum_of(INUSE_OBJECTS), 0);
    assert_true(sum_of(LIMBO) >= OBJECTS * SIZE / 2);
}

/* A slot that is used again, by what is not drawn, has no record any more: else what is replaced
 * often would count for all that was there. */
static void
slots_that_are_used_again(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    begin(store);
    section_enter();
    assert_non_null(handle_cell_alloc(store, &cells[0], SIZE, 0));
    section_leave();
    set_option(store, "profile.enabled", "no");
    section_enter();
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(handle_cell_free_now(store, &cells[0]), 0);
        assert_non_null(handle_cell_alloc(store, &cells[0], SIZE, 0));
    }
    section_leave();
    assert_live(store, 0, 0);
}

/* Estimates are right on average: of so many objects, 63 % of which are drawn, within six standard
 * errors. */
static void
estimates_have_no_bias(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    const unsigned count = scaled(200000);
    begin(store);
    take(store);
    uint64_t before = sum_of(ALLOC_OBJECTS);
    for (unsigned i = 0; i < count; i++) {
        handle_t handle = handle_alloc(store, 64);
        assert_true(handle != HANDLE_NULL);
        if (i % 2)
            assert_int_equal(handle_free(store, handle), 0);
    }
    take(store);
    /* Variance (1 - p) / p for each; 36 of it, as a square. */
    double off = (double)(sum_of(ALLOC_OBJECTS) - before) - count;
    assert_true(off * off < 36 * 0.582 * count);
    off = (double)sum_of(INUSE_OBJECTS) - count / 2;
    assert_true(off * off < 36 * 0.582 * count / 2);
}

static void
large_and_pinned(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    begin(store);
    handle_t large = make_object(store, 300000, 1), small = make_object(store, SIZE, 2);
    section_enter();
    const void *address = handle_pin(store, small);
    section_leave();
    assert_live(store, 2, 300000 + SIZE);
    assert_true(sum_of(PINNED) >= SIZE);
    section_enter();
    const void *large_address = handle_pin(store, large);
    section_leave();
    assert_live(store, 2, 300000 + SIZE);
    assert_true(sum_of(PINNED) >= 300000 + SIZE); /* seen failing without the look at its pin */
    handle_unpin(store, large_address);
    assert_int_equal(handle_resize(store, large, 310000), 0);
    assert_live(store, 2, 310000 + SIZE);
    assert_int_equal(handle_free(store, large), 0);
    handle_unpin(store, address);
    assert_live(store, 1, SIZE);
    assert_int_equal(sum_of(PINNED), 0);
}

/* As if allocated anew: all are drawn by their new size, of which each counts once, not as many
 * times as it stood for when it was small. */
static void
objects_that_grow(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    begin(store);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_true((handles[i] = handle_alloc(store, 16)) != HANDLE_NULL);
    for (unsigned i = 0; i < OBJECTS; i++)
        assert_int_equal(handle_resize(store, handles[i], SIZE), 0);
    assert_live(store, OBJECTS, OBJECTS * SIZE);
    set_option(store, "profile.sample_bytes", "1G"); /* one in 10^4 is drawn */
    handle_t large = handle_alloc(store, 100000);
    set_option(store, "profile.sample_bytes", "64");
    assert_int_equal(handle_free(store, handle_alloc(store, SIZE)), 0);
    assert_int_equal(handle_resize(store, large, 110000), 0); /* in its place */
    assert_live(store, OBJECTS + 1, OBJECTS * SIZE + 110000);
}

/* Of objects that are gone: there are never many more than of those that live. */
static void
records_go(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    begin(store);
    uint64_t before = take_stats(store).metadata;
    for (unsigned round = 0; round < 40; round++) { /* in other slots each */
        for (unsigned i = 0; i < OBJECTS; i++)
            assert_true((handles[i] = handle_alloc(store, 1000 + 80 * round)) != HANDLE_NULL);
        for (unsigned i = 0; i < OBJECTS; i++)
            assert_int_equal(handle_free(store, handles[i]), 0);
    }
    assert_live(store, 0, 0);
    assert_true(take_stats(store).metadata < before + (400 << 10)); /* 1.1 MB, with all */
}

/* More live objects than there are records: the sums hold, however often the table was thinned.
 * Seen failing with every second record gone: a third too many. */
static void
more_than_records(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    begin(store);
    for (unsigned i = 0; i < 400000; i++) /* it is thinned twice */
        assert_true(handle_alloc(store, 100) != HANDLE_NULL);
    take(store);
    uint64_t requested = take_stats(store).requested;
    assert_in_range(sum_of(INUSE_SPACE), requested - requested / 20, requested + requested / 20);
    /* Where they have gone others are drawn as often as before. Seen failing: for ever as seldom as
     * the fullest table asked for. */
    assert_int_equal(handle_store_clear(store), 0);
    for (unsigned i = 0; i < 60000; i++)
        assert_int_equal(handle_free(store, handle_alloc(store, SIZE)), 0);
    for (unsigned i = 0; i < 1000; i++)
        assert_true(handle_alloc(store, 100) != HANDLE_NULL);
    assert_in_range(drawn_of_live(store), 700, 900); /* 79 in a hundred, and not 32 */
}

/* It is charged, as all of a store is. */
static void
no_room(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    unsigned count = 0;
    set_option(store, "max_bytes", "4M");
    while (handle_alloc(store, SIZE) != HANDLE_NULL)
        count++;
    assert_int_equal(handle_store_set(store, "profile.enabled", "yes"), -ENOMEM);
    assert_int_equal(handle_store_profile(store, HANDLE_PROFILE_PPROF, collect, NULL), -ENOENT);
    assert_in_range(count, 500, 1048);
    set_option(store, "max_bytes", "0");
    begin(store);
    make_handles(store);
    assert_live(store, OBJECTS, OBJECTS * SIZE);
}

static void
hardened_stores(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.hardened = true;
    fixture_reopen(fixture);
    records_follow_handles(state);
    fixture_reopen(fixture);
    records_follow_cells(state);
    fixture_reopen(fixture);
    estimates_have_no_bias(state);
}

static void
child_takes_a_profile(void *store)
{
    child_check(handle_alloc(store, SIZE) != HANDLE_NULL);
    child_check(handle_free(store, handles[0]) == 0);
    take(store);
    child_check(sum_of(INUSE_OBJECTS) == OBJECTS);
    child_check(handle_store_destroy(store) == 0);
}

static void
child_begins_one(void *store)
{
    child_check(handle_store_set(store, "profile.sample_bytes", "64") == 0);
    child_check(handle_store_set(store, "profile.enabled", "yes") == 0);
    child_check(handle_free(store, handle_alloc(store, SIZE)) == 0);
    child_check(handle_alloc(store, SIZE) != HANDLE_NULL);
    take(store);
    child_check(sum_of(INUSE_OBJECTS) == 1);
    child_check(handle_store_destroy(store) == 0);
}

static void
forked_children(void **state)
{
    struct fixture *fixture = *state;
    assert_child_succeeds(fork_stores(&fixture->store, 1, child_begins_one, fixture->store));
    begin(fixture->store);
    make_handles(fixture->store);
    assert_child_succeeds(fork_stores(&fixture->store, 1, child_takes_a_profile, fixture->store));
    assert_live(fixture->store, OBJECTS, OBJECTS * SIZE);
}

/* ---- beside other threads -------------------------------------------------------------------- */

#define THREADS 4
#define ROUNDS  2000

/* Objects that are resized, updated, pinned and freed while others take profiles. */
static void
use_objects(handle_store *store, unsigned index)
{
    for (unsigned i = 0; i < ROUNDS; i++) {
        handle_t *handle = &handles[index * (OBJECTS / THREADS) + i % (OBJECTS / THREADS)];
        struct handle_update update;
        section_enter();
        thread_check(i < OBJECTS / THREADS || handle_free(store, *handle) == 0);
        thread_check((*handle = handle_alloc(store, SIZE)) != HANDLE_NULL);
        thread_check(i % 3 || handle_resize(store, *handle, SIZE / 2 + i % SIZE) == 0);
        if (i % 5 == 0 && handle_update_begin(store, *handle, SIZE, &update))
            thread_check(handle_update_commit(store, &update) == 0);
        section_leave();
    }
}

static void
discard(void *bytes, const char *piece, size_t length)
{
    (void)piece;
    *(size_t *)bytes += length;
}

static void
use_or_look(void *store, unsigned index)
{
    size_t bytes = 0;
    if (index < THREADS)
        use_objects(store, index);
    for (unsigned i = 0; i < 20; i++) {
        thread_check(handle_store_profile(store, HANDLE_PROFILE_PPROF, discard, &bytes) == 0);
        thread_check(index != THREADS || handle_store_compact(store, NULL) == 0);
    }
}

static void
readers_beside_writers(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    begin(store);
    run_threads(THREADS + 2, use_or_look, store);
    take(store);
    assert_int_equal(sum_of(INUSE_OBJECTS), take_stats(store).objects);
    size_t bytes;
    assert_int_equal(handle_store_used_exact(store, &bytes), 0);
    assert_int_equal(sum_of(INUSE_SPACE), bytes);
}

static const char *
kind_of(void *opaque, const struct handle_object *object)
{
    assert_string_equal(opaque, "opaque");
    return object->size == SIZE ? "these" : NULL;
}

static void
census_counts(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    make_handles(store);
    handle_t other = make_object(store, 77, 1);
    profile.length = 0;
    assert_int_equal(handle_store_census(store, kind_of, (char[]){"opaque"}, HANDLE_PROFILE_PPROF,
                                         collect, NULL),
                     0);
    assert_int_equal(sum_of(0), OBJECTS + 1);
    assert_int_equal(sum_of(1), OBJECTS * SIZE + 77);
    assert_int_equal(handle_free(store, other), 0);
}

static const char *
own_kind_of(void *opaque, const struct handle_object *object)
{
    static char text[32];
    (void)object;
    snprintf(text, sizeof(text), "kind %u", ++*(unsigned *)opaque);
    return text;
}

/* What goes beyond the kinds that there is room for is one kind. */
static void
census_of_many_kinds(void **state)
{
    struct fixture *fixture = *state;
    const unsigned objects = 5000;
    unsigned kinds = 0;
    for (unsigned i = 0; i < objects; i++)
        assert_true(handle_alloc(fixture->store, 10) != HANDLE_NULL);
    profile.length = 0;
    assert_int_equal(handle_store_census(fixture->store, own_kind_of, &kinds, HANDLE_PROFILE_PPROF,
                                         collect, NULL),
                     0);
    assert_int_equal(kinds, objects);
    assert_int_equal(sum_of(0), objects);
    assert_non_null(memmem(profile.of, profile.length, "(other)", 7));
}

int
group_profile(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(answers),
        STORE_TEST(records_follow_handles),
        STORE_TEST(records_follow_cells),
        STORE_TEST(slots_that_are_used_again),
        STORE_TEST(estimates_have_no_bias),
        STORE_TEST(large_and_pinned),
        STORE_TEST(census_counts),
        STORE_TEST(census_of_many_kinds),
        STORE_TEST(objects_that_grow),
        STORE_TEST(records_go),
        STORE_TEST(more_than_records),
        STORE_TEST(no_room),
        STORE_TEST(hardened_stores),
        STORE_TEST(forked_children),
        STORE_TEST(readers_beside_writers),
    };
    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
