/* SPDX-License-Identifier: MIT */
/*
 * test_damage.c - an application that writes behind the end of its object damages the next
 * object's header. The damage is reported, with its place, and nothing crashes: not the walk,
 * not the mover, not a free, not the end of the store. Misuse by design; memory checkers see only
 * the arena here.
 */
#include "support.h"

#define OBJECTS 4000

struct placed {
    handle_t handle;
    unsigned char *address;
};

static struct placed placed[OBJECTS];
static size_t size, slot;

static int
by_address(const void *a, const void *b)
{
    const struct placed *left = a, *right = b;
    return left->address < right->address ? -1 : left->address > right->address;
}

/* Objects of 240 bytes or a little more that fill their slots to the last byte, sorted by
 * address, mover off. */
static void
place_objects(struct fixture *fixture)
{
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    const struct handle_class_stats *c = class_stats_of(fixture->store);
    while (c->object_bytes < 240)
        c++;
    size = c->object_bytes;
    slot = c->slot_bytes;
    for (unsigned i = 0; i < OBJECTS; i++) {
        void *object = NULL;
        section_enter();
        placed[i].handle = handle_alloc_object(fixture->store, size, 0, &object);
        assert_int_not_equal(placed[i].handle, HANDLE_NULL);
        memset(object, 0x11, size);
        section_leave();
        placed[i].address = object;
    }
    qsort(placed, OBJECTS, sizeof(placed[0]), by_address);
}

/* Writes one byte behind an object's end. It hits the check bits of the next header, and only them:
 * found always, where 8 arbitrary bytes pass once in 256 and are then followed. */
static void
damage_behind(const struct placed *object)
{
    damage_byte(&object->address[size]);
}

/* Some object whose successor is in the next slot. */
static unsigned
followed(unsigned from)
{
    unsigned i = from;
    while (placed[i].address + slot != placed[i + 1].address)
        i++;
    assert_true(i + 1 < OBJECTS);
    return i;
}

/* Writes behind its end. Result: the index of the successor, whose header is damaged now. */
static unsigned
write_past_the_end(unsigned from)
{
    unsigned i = followed(from);
    damage_behind(&placed[i]);
    return i + 1;
}

/* The same by a string's terminator. */
static handle_t
write_zero_past_the_end(unsigned from)
{
    unsigned i = followed(from);
    __atomic_store_n(&placed[i].address[size], 0, __ATOMIC_RELAXED); /* as damage_byte */
    return placed[i + 1].handle;
}

struct reports {
    unsigned lines;
    char text[1024];
};

static void
note_violation(void *opaque, const char *violation)
{
    struct reports *reports = opaque;
    reports->lines++;
    snprintf(reports->text, sizeof(reports->text), "%s", violation);
}

/* The checker counts it and says where. */
static void
check_finds_it(void **state)
{
    struct fixture *fixture = *state;
    fixture->errors_expected = true;
    struct reports reports = {0, ""};
    place_objects(fixture);
    assert_int_equal(handle_store_check(fixture->store, note_violation, &reports), 0);
    unsigned victim = write_past_the_end(1000);
    int violations = handle_store_check(fixture->store, note_violation, &reports);
    assert_true(violations >= 1);
    assert_int_equal(reports.lines, violations);
    assert_true(strlen(reports.text) > 10);
    /* the contents are as they were: only the header is gone */
    section_enter();
    assert_ptr_equal(handle_deref(fixture->store, placed[victim].handle), placed[victim].address);
    section_leave();
}

/* The mover refuses it, reports it, and leaves its span alone; all others are moved. */
static void
compaction_reports_it(void **state)
{
    struct fixture *fixture = *state;
    fixture->errors_expected = true;
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    place_objects(fixture);
    unsigned victims[5];
    for (unsigned v = 0; v < 5; v++)
        victims[v] = write_past_the_end(v * 700);
    unsigned v = 0;
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (v < 5 && i == victims[v])
            v++;
        else if (i % 10)
            assert_int_equal(handle_free(fixture->store, placed[i].handle), 0);
    }
    assert_int_equal(handle_store_compact(fixture->store, &report), 0);
    assert_true(report.refused[HANDLE_REFUSED_DAMAGED] >= 1);
    assert_true(report.moved_objects > 0);
    assert_true(errors_count(fixture) >= 1);
    struct handle_stats stats = take_stats(fixture->store);
    assert_true(stats.errors_reported >= 1);
    assert_true(stats.refused[HANDLE_REFUSED_DAMAGED] >= 1);
    for (unsigned i = 0; i < 10; i++) /* each once, not again and again */
        assert_int_equal(handle_store_compact(fixture->store, &report), 0);
    assert_true(errors_count(fixture) <= 5);
    section_enter();
    for (v = 0; v < 5; v++)
        assert_ptr_equal(handle_deref(fixture->store, placed[victims[v]].handle),
                         placed[victims[v]].address);
    section_leave();
}

/* Every call on the damaged object: whatever is answered, nothing crashes, and the rest of the
 * store works. */
static void
calls_on_the_damaged_object(void **state)
{
    struct fixture *fixture = *state;
    fixture->errors_expected = true;
    place_objects(fixture);
    handle_store *store = fixture->store;
    for (unsigned v = 0; v < 8; v++) {
        unsigned victim = write_past_the_end(v * 400 + 10);
        handle_t handle = placed[victim].handle;
        struct handle_update update;
        section_enter();
        assert_non_null(handle_deref(store, handle));
        (void)handle_size(store, handle);
        const void *pinned = v % 2 ? handle_pin(store, handle) : NULL;
        if (v == 2)
            (void)handle_resize(store, handle, 20);
        if (v == 3)
            (void)handle_resize(store, handle, 2000);
        if ((v == 4 || v == 5) && handle_update_begin(store, handle, 30, &update))
            (void)handle_update_commit(store, &update);
        if (pinned)
            handle_unpin(store, pinned);
        if (v == 6)
            (void)handle_free_now(store, handle);
        else
            (void)handle_free(store, handle);
        section_leave();
    }
    assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
    (void)handle_store_check(store, NULL, NULL);
    handle_t other = make_object(store, 100, 1);
    assert_object(store, other, 100, 1);
    (void)handle_store_clear(store);
    assert_int_equal(handle_store_purge(store, NULL), 0);
    other = make_object(store, size, 2);
    assert_object(store, other, size, 2);
}

/* With its check bits 0 a header says that there is no object, as that of one that has just ended
 * does: but that one's word has ended before. Seen failing: when size or resize believe the header,
 * they answer as for a freed object, and nothing is reported. */
static void
zero_is_told_from_an_end(void **state)
{
    struct fixture *fixture = *state;
    fixture->errors_expected = true;
    place_objects(fixture);
    handle_store *store = fixture->store;
    handle_t sized = write_zero_past_the_end(100), resized = write_zero_past_the_end(900);
    handle_t freed = write_zero_past_the_end(1700), checked = write_zero_past_the_end(2500);
    section_enter();
    assert_non_null(handle_deref(store, sized));
    assert_int_equal(handle_size(store, sized), 0);
    assert_int_equal(errors_count(fixture), 1);
    assert_int_equal(handle_resize(store, resized, size / 2), -EINVAL);
    assert_int_equal(errors_count(fixture), 2);
    assert_non_null(handle_deref(store, resized));
    assert_int_equal(handle_free(store, freed), 0);
    section_leave();
    assert_int_equal(errors_count(fixture), 3); /* a thread's first free takes the slow path */
    assert_true(handle_store_check(store, NULL, NULL) >= 1);
    section_enter();
    assert_non_null(handle_deref(store, checked));
    section_leave();
}

/*
 * A free reads its object only when it takes the slow path: the first of a list that waits for a
 * grace period, the one that fills it, and every one that finds its bin full. So of many damaged
 * objects some are reported, by free and by free_now, and never one twice. Fails when slow paths
 * look at none.
 */
static void
some_frees_report_it(void **state)
{
    enum { VICTIMS = 300 };
    struct fixture *fixture = *state;
    fixture->errors_expected = true;
    unsigned before = 0;
    place_objects(fixture);
    for (unsigned now = 0; now < 2; now++) {
        section_enter();
        for (unsigned v = 0; v < VICTIMS; v++) {
            handle_t handle = placed[write_past_the_end((now * VICTIMS + v) * 5)].handle;
            assert_int_equal((now ? handle_free_now : handle_free)(fixture->store, handle), 0);
        }
        section_leave();
        struct handle_stats stats = take_stats(fixture->store);
        assert_in_range(stats.errors_reported - before, 1, VICTIMS / 2);
        before = (unsigned)stats.errors_reported;
    }
}

static int
count_visit(void *opaque, const struct handle_object *object)
{
    (void)object;
    ++*(unsigned *)opaque;
    return 0;
}

/* A walk shows the objects whose headers are whole. */
static void
walk_passes_it_by(void **state)
{
    struct fixture *fixture = *state;
    fixture->errors_expected = true;
    unsigned visits = 0;
    place_objects(fixture);
    write_past_the_end(500);
    assert_int_equal(handle_store_each(fixture->store, count_visit, &visits), 0);
    assert_true(visits == OBJECTS - 1 || visits == OBJECTS);
}

/* With the background thread on: it meets the damage by itself. Waits for its report. */
static void
background_thread_reports_it(void **state)
{
    struct fixture *fixture = *state;
    fixture->errors_expected = true;
    place_objects(fixture);
    /* in several spans: two of them may be dense enough to be kept */
    bool victims[OBJECTS] = {false};
    for (unsigned v = 0; v < 5; v++)
        victims[write_past_the_end(v * 700)] = true;
    for (unsigned i = 0; i < OBJECTS; i++)
        if (i % 10 && !victims[i])
            assert_int_equal(handle_free(fixture->store, placed[i].handle), 0);
    set_option(fixture->store, "defrag.ignore_bytes", "0");
    assert_int_equal(handle_defrag_start(fixture->store), 0);
    while (errors_count(fixture) == 0)
        grace_period();
    struct handle_stats stats = take_stats(fixture->store);
    assert_true(stats.refused[HANDLE_REFUSED_DAMAGED] >= 1);
}

int
group_damage(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(check_finds_it),
        STORE_TEST(compaction_reports_it),
        STORE_TEST(calls_on_the_damaged_object),
        STORE_TEST(zero_is_told_from_an_end),
        STORE_TEST(some_frees_report_it),
        STORE_TEST(walk_passes_it_by),
        STORE_TEST(background_thread_reports_it),
    };
    return cmocka_run_group_tests_name("damage", tests, NULL, NULL);
}
