/* SPDX-License-Identifier: MIT */
/*
 * test_create.c - making and ending stores: defaults, struct sizes, refusals, pins at the end,
 * calls inside sections that must wait, several stores side by side, every call on a NULL store.
 * Option values are test_options.c's.
 */
#include "support.h"

#include <unistd.h>

static void
version_is_the_header_s(void **state)
{
    (void)state;
    char text[32];
    snprintf(text, sizeof(text), "%d.%d.%d", HANDLE_VERSION_MAJOR, HANDLE_VERSION_MINOR,
             HANDLE_VERSION_PATCH);
    assert_string_equal(handle_version(), text);
}

/* The one test with the default arena, which is far larger than the machine's memory. */
static void
create_with_defaults(void **state)
{
    (void)state;
    handle_store *store = handle_store_create(NULL);
    assert_non_null(store);
    struct handle_stats stats = take_stats(store);
    assert_true(stats.reserved >= GIB);
    assert_int_equal(stats.objects, 0);
    assert_int_equal(stats.max_bytes, 0);
    handle_t handle = make_object(store, 100, 1);
    assert_object(store, handle, 100, 1);
    assert_clean(store);
    assert_int_equal(handle_store_destroy(store), 0);
}

static void
create_through_the_flavour(void **state)
{
    (void)state;
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.arena_bytes = MIB;
    handle_store *store = handle_store_create_flavor(&options, &rcu_flavor);
    assert_non_null(store);
    handle_t handle = make_object(store, 64, 2);
    assert_object(store, handle, 64, 2);
    assert_int_equal(handle_store_destroy(store), 0);
    errno = 0;
    assert_null(handle_store_create_flavor(&options, NULL));
    assert_int_equal(errno, EINVAL);
}

/* Fails when the library copies more than the caller's struct holds, or believes a short one. */
static void
options_struct_size(void **state)
{
    struct fixture *fixture = *state;
    static const size_t too_small[] = {0, 1, 4, sizeof(size_t), sizeof(size_t) + 8};
    struct handle_store_options options;
    for (size_t i = 0; i < sizeof(too_small) / sizeof(too_small[0]); i++) {
        fixture_options(fixture, &options);
        options.struct_size = too_small[i];
        errno = 0;
        assert_null(handle_store_create(&options));
        assert_int_equal(errno, EINVAL);
    }
    struct {
        struct handle_store_options options;
        char tail[128];
    } later = {.tail = {0}};
    fixture_options(fixture, &later.options);
    later.options.struct_size = sizeof(later);
    handle_store *store = handle_store_create(&later.options);
    assert_non_null(store);
    assert_int_equal(handle_store_destroy(store), 0);
    errors_reset(fixture);
}

/* Standard error while a program of that version gets no store; the caller frees it. */
static char *
line_on_stderr(const struct handle_store_options *options, uint32_t major, uint32_t minor)
{
    char *text = calloc(1, 512);
    int ends[2], kept = dup(STDERR_FILENO);
    assert_non_null(text);
    assert_int_equal(pipe(ends), 0);
    fflush(stderr);
    dup2(ends[1], STDERR_FILENO);
    close(ends[1]);
    handle_store *store = handle_store_create_version(options, &rcu_flavor, major, minor);
    int error = errno;
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    assert_true(read(ends[0], text, 511) >= 0);
    close(ends[0]);
    assert_null(store);
    assert_int_equal(error, EINVAL);
    return text;
}

/* Whatever create refuses as EINVAL, it says why: to the callback, or where none is known, to
 * standard error. */
static void
refused_options_say_why(void **state)
{
    struct fixture *fixture = *state;
    struct handle_store_options zeroed;
    memset(&zeroed, 0, sizeof(zeroed));
    char *text = line_on_stderr(&zeroed, HANDLE_VERSION_MAJOR, HANDLE_VERSION_MINOR);
    assert_non_null(strstr(text, "struct_size is 0"));
    free(text);
    struct {
        struct handle_store_options options;
        uint64_t later;
    } newer = {.later = 1};
    fixture_options(fixture, &newer.options);
    newer.options.struct_size = sizeof(newer);
    assert_null(handle_store_create(&newer.options));
    assert_int_equal(errors_count(fixture), 1);
    newer.options.struct_size = sizeof(newer.options);
    assert_null(handle_store_create_flavor(&newer.options, NULL));
    assert_int_equal(errors_count(fixture), 2);
    assert_true(errors_contain(fixture, "flavor: NULL"));
    errors_reset(fixture);
}

/* A program that was compiled with another header: where its options' callback is, nobody knows. */
static void
another_version_is_refused(void **state)
{
    static const uint32_t others[][2] = {{HANDLE_VERSION_MAJOR, HANDLE_VERSION_MINOR + 1},
                                         {HANDLE_VERSION_MAJOR, HANDLE_VERSION_MINOR - 1},
                                         {HANDLE_VERSION_MAJOR + 1, HANDLE_VERSION_MINOR},
                                         {UINT32_MAX, UINT32_MAX}};
    struct fixture *fixture = *state;
    struct handle_store_options options;
    fixture_options(fixture, &options);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        char *text = line_on_stderr(&options, others[i][0], others[i][1]);
        assert_non_null(strstr(text, "compile it anew"));
        free(text);
    }
    assert_int_equal(errors_count(fixture), 0);
    handle_store *store = handle_store_create_version(&options, &rcu_flavor, HANDLE_VERSION_MAJOR,
                                                      HANDLE_VERSION_MINOR);
    assert_non_null(store);
    assert_int_equal(handle_store_destroy(store), 0);
}

/* A program built before an option was appended has a shorter struct: the option has its default,
 * the others are the program's. What stands behind the struct is not looked at. */
static void
options_of_an_older_version(void **state)
{
    struct fixture *fixture = *state;
    char value[32];
    struct handle_store_options options;
    fixture_options(fixture, &options);
    options.purge_delay_ms = 17;
    options.defrag.fork_copy_bytes = -99;
    options.struct_size = offsetof(struct handle_store_options, defrag.fork_copy_bytes);
    handle_store *store = handle_store_create(&options);
    assert_non_null(store);
    assert_int_equal(handle_store_get(store, "defrag.fork_copy_bytes", value, sizeof(value)), 0);
    assert_string_equal(value, "-1");
    assert_int_equal(handle_store_get(store, "purge_delay_ms", value, sizeof(value)), 0);
    assert_string_equal(value, "17");
    assert_int_equal(handle_store_destroy(store), 0);
    options.struct_size--;
    assert_null(handle_store_create(&options));
    options.struct_size = sizeof(options); /* the same member, now in it */
    assert_null(handle_store_create(&options));
    errors_reset(fixture);
}

static void
report_and_stats_struct_size(void **state)
{
    struct fixture *fixture = *state;
    struct {
        struct handle_defrag_report report;
        char tail[64];
    } later = {.tail = {0}};
    later.report.struct_size = sizeof(later);
    assert_int_equal(handle_defrag_estimate(fixture->store, &later.report), 0);
    assert_int_equal(later.report.struct_size, sizeof(later));
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    report.struct_size = 0;
    assert_int_equal(handle_defrag_estimate(fixture->store, &report), -EINVAL);
    report.struct_size = sizeof(size_t);
    assert_int_equal(handle_store_compact(fixture->store, &report), -EINVAL);
    assert_int_equal(handle_defrag_step(fixture->store, 100, &report), -EINVAL);
    struct handle_stats *stats = calloc(1, sizeof(*stats) + 64);
    assert_non_null(stats);
    assert_int_equal(handle_store_stats(fixture->store, stats), -EINVAL);
    stats->struct_size = sizeof(size_t);
    assert_int_equal(handle_store_stats(fixture->store, stats), -EINVAL);
    stats->struct_size = sizeof(*stats) + 64;
    assert_int_equal(handle_store_stats(fixture->store, stats), 0);
    assert_true(stats->committed > 0);
    free(stats);
}

static void
destroy_while_pinned(void **state)
{
    struct fixture *fixture = *state;
    handle_t handle = make_object(fixture->store, 200, 3);
    section_enter();
    const void *pinned = handle_pin(fixture->store, handle);
    section_leave();
    assert_non_null(pinned);
    assert_int_equal(handle_store_destroy(fixture->store), -EBUSY);
    /* The store goes on as before. */
    assert_filled(pinned, 200, 3);
    handle_t other = make_object(fixture->store, 300, 4);
    assert_object(fixture->store, other, 300, 4);
    compact_checked(fixture->store, NULL);
    handle_unpin(fixture->store, pinned);
    assert_int_equal(handle_store_destroy(fixture->store), 0);
    fixture->store = NULL;
}

static void
destroy_during_update(void **state)
{
    struct fixture *fixture = *state;
    struct handle_update update;
    handle_t handle = make_object(fixture->store, 200, 5);
    section_enter();
    assert_non_null(handle_update_begin(fixture->store, handle, 50, &update));
    section_leave();
    assert_int_equal(handle_store_destroy(fixture->store), -EBUSY);
    assert_object(fixture->store, handle, 200, 5);
    handle_update_abort(fixture->store, &update);
    assert_object(fixture->store, handle, 200, 5);
}

/* Fails when destroy frees the arena while a reader's grace period is still to come: the limbo of
 * this test is full at that moment. */
static void
destroy_with_full_limbo(void **state)
{
    struct fixture *fixture = *state;
    handle_t handles[512];
    for (unsigned i = 0; i < 512; i++)
        handles[i] = make_object(fixture->store, i * 8, i);
    for (unsigned i = 0; i < 512; i += 2)
        assert_int_equal(handle_free(fixture->store, handles[i]), 0);
    fixture_reopen(fixture);
    assert_int_equal(handle_store_used(fixture->store), 0);
}

/* A flavour that sees sections refuses to wait inside one; QSBR cannot know, goes offline and does
 * what was asked. */
static void
waiting_calls_inside_a_section(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    int expected = FLAVOUR_SEES_SECTIONS ? -EDEADLK : 0;
    handle_t handle = make_object(store, 40, 6);
    section_enter();
    assert_int_equal(handle_store_compact(store, NULL), expected);
    assert_int_equal(handle_store_purge(store, NULL), expected);
    assert_int_equal(handle_store_reclaim(store, 1), expected);
    assert_int_equal(handle_defrag_stop(store), expected);
    errno = 0;
    handle_store *second = handle_store_create(&fixture->options);
    if (FLAVOUR_SEES_SECTIONS) {
        assert_null(second);
        assert_int_equal(errno, EDEADLK);
        assert_int_equal(handle_store_destroy(store), -EDEADLK);
    } else {
        assert_non_null(second);
        assert_int_equal(handle_store_destroy(second), 0);
    }
    section_leave();
    assert_object(store, handle, 40, 6);
}

static void
several_stores(void **state)
{
    struct fixture *fixture = *state;
    enum { STORES = 5, OBJECTS = 400 };
    handle_store *stores[STORES];
    handle_t handles[STORES][OBJECTS];
    for (unsigned s = 0; s < STORES; s++)
        assert_non_null(stores[s] = handle_store_create(&fixture->options));
    for (unsigned i = 0; i < OBJECTS; i++)
        for (unsigned s = 0; s < STORES; s++)
            handles[s][i] = make_object(stores[s], 16 + i, i * STORES + s);
    for (unsigned s = 0; s < STORES; s += 2) /* those left must not notice */
        assert_int_equal(handle_store_destroy(stores[s]), 0);
    for (unsigned s = 1; s < STORES; s += 2) {
        compact_checked(stores[s], NULL);
        for (unsigned i = 0; i < OBJECTS; i++)
            assert_object(stores[s], handles[s][i], 16 + i, i * STORES + s);
        assert_used(stores[s], 16 * OBJECTS + OBJECTS * (OBJECTS - 1) / 2);
        assert_int_equal(handle_store_destroy(stores[s]), 0);
    }
}

static int
visit_nothing(void *opaque, const struct handle_object *object)
{
    (void)opaque;
    (void)object;
    return 0;
}

static void
write_nothing(void *opaque, const char *text, size_t length)
{
    (void)opaque;
    (void)text;
    (void)length;
}

#define assert_errno(call_is_null, error)                                                          \
    do {                                                                                           \
        errno = 0;                                                                                 \
        assert_true(call_is_null);                                                                 \
        assert_int_equal(errno, error);                                                            \
    } while (0)

static void
null_store_handles(void **state)
{
    (void)state;
    char bytes[8] = "", *object = bytes;
    handle_t one = 1;
    struct handle_update update = {.object = NULL};
    section_enter();
    assert_errno(handle_alloc(NULL, 1) == HANDLE_NULL, EINVAL);
    assert_errno(handle_alloc_object(NULL, 1, 0, (void **)&object) == HANDLE_NULL, EINVAL);
    assert_null(object);
    assert_int_equal(handle_size(NULL, one), 0);
    assert_null(handle_deref_mut(NULL, one));
    const void *resolved = bytes;
    assert_int_equal(handle_deref_many(NULL, &one, &resolved, 1), 0);
    assert_int_equal(handle_free(NULL, one), -EINVAL);
    assert_int_equal(handle_free_now(NULL, one), -EINVAL);
    assert_int_equal(handle_resize(NULL, one, 1), -EINVAL);
    assert_errno(handle_update_begin(NULL, one, 1, &update) == NULL, EINVAL);
    assert_int_equal(handle_update_commit(NULL, &update), -EINVAL);
    handle_update_abort(NULL, &update);
    assert_errno(handle_pin(NULL, one) == NULL, EINVAL);
    assert_errno(handle_pin_mut(NULL, one) == NULL, EINVAL);
    handle_unpin(NULL, bytes);
    section_leave();
}

static void
null_store_cells(void **state)
{
    (void)state;
    static handle_cell cell = HANDLE_CELL_INIT, other = HANDLE_CELL_INIT;
    handle_cell *cells[] = {&cell};
    struct handle_update update = {.object = NULL};
    const void *object = &cell;
    uint32_t tag = 9;
    section_enter();
    assert_errno(handle_cell_alloc(NULL, &cell, 1, 0) == NULL, EINVAL);
    assert_null(handle_cell_read(NULL, &cell, &tag));
    assert_null(handle_cell_deref_mut(NULL, &cell));
    assert_int_equal(handle_cell_deref_many(NULL, cells, &object, 1), 0);
    assert_int_equal(handle_cell_size(NULL, &cell), 0);
    assert_int_equal(handle_cell_set_tag(NULL, &cell, 1), -EINVAL);
    assert_int_equal(handle_cell_free(NULL, &cell), -EINVAL);
    assert_int_equal(handle_cell_free_now(NULL, &cell), -EINVAL);
    assert_int_equal(handle_cell_resize(NULL, &cell, 1), -EINVAL);
    assert_int_equal(handle_cell_relocate(NULL, &cell, &other), -EINVAL);
    assert_errno(handle_cell_update_begin(NULL, &cell, 1, &update) == NULL, EINVAL);
    assert_errno(handle_cell_pin(NULL, &cell) == NULL, EINVAL);
    section_leave();
    assert_true(cell.word == 0 && other.word == 0);
}

static void
null_store_rest(void **state)
{
    (void)state;
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    struct handle_stats *stats = calloc(1, sizeof(*stats));
    char value[32];
    assert_non_null(stats);
    stats->struct_size = sizeof(*stats);
    assert_int_equal(handle_store_destroy(NULL), -EINVAL);
    assert_int_equal(handle_store_clear(NULL), -EINVAL);
    assert_int_equal(handle_store_set(NULL, "max_bytes", "0"), -EINVAL);
    assert_int_equal(handle_store_get(NULL, "max_bytes", value, sizeof(value)), -EINVAL);
    assert_int_equal(handle_defrag_start(NULL), -EINVAL);
    assert_int_equal(handle_defrag_stop(NULL), -EINVAL);
    assert_int_equal(handle_defrag_step(NULL, 100, &report), -EINVAL);
    assert_int_equal(handle_store_compact(NULL, &report), -EINVAL);
    assert_int_equal(handle_defrag_estimate(NULL, &report), -EINVAL);
    assert_int_equal(handle_store_purge(NULL, NULL), -EINVAL);
    assert_int_equal(handle_store_reclaim(NULL, 1), -EINVAL);
    assert_int_equal(handle_store_used(NULL), 0);
    size_t used = 17;
    assert_int_equal(handle_store_used_exact(NULL, &used), -EINVAL);
    assert_int_equal(used, 17);
    assert_int_equal(handle_store_stats(NULL, stats), -EINVAL);
    assert_int_equal(handle_store_stats_print(NULL, HANDLE_STATS_TEXT, write_nothing, NULL),
                     -EINVAL);
    assert_int_equal(handle_store_each(NULL, visit_nothing, NULL), -EINVAL);
    assert_int_equal(handle_store_check(NULL, NULL, NULL), -EINVAL);
    handle_thread_detach(NULL);
    handle_store_before_fork(NULL);
    handle_store_after_fork_parent(NULL);
    handle_store_after_fork_child(NULL);
    free(stats);
}

/* Arguments other than the store that may not be NULL. */
static void
null_arguments(void **state)
{
    struct fixture *fixture = *state;
    handle_store *store = fixture->store;
    struct handle_update update;
    handle_t handle = make_object(store, 32, 7);
    section_enter();
    assert_errno(handle_update_begin(store, handle, 1, NULL) == NULL, EINVAL);
    assert_int_equal(handle_update_commit(store, NULL), -EINVAL);
    handle_update_abort(store, NULL);
    assert_errno(handle_cell_alloc(store, NULL, 1, 0) == NULL, EINVAL);
    assert_errno(handle_cell_update_begin(store, NULL, 1, &update) == NULL, EINVAL);
    section_leave();
    assert_int_equal(handle_defrag_estimate(store, NULL), -EINVAL);
    assert_int_equal(handle_store_stats(store, NULL), -EINVAL);
    assert_int_equal(handle_store_stats_print(store, HANDLE_STATS_JSON, NULL, NULL), -EINVAL);
    assert_int_equal(handle_store_each(store, NULL, NULL), -EINVAL);
    assert_int_equal(handle_store_check(store, NULL, NULL), 0); /* report may be NULL */
    assert_object(store, handle, 32, 7);
}

int
group_create(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(version_is_the_header_s),
        cmocka_unit_test(create_with_defaults),
        cmocka_unit_test(create_through_the_flavour),
        STORE_TEST(options_struct_size),
        STORE_TEST(refused_options_say_why),
        STORE_TEST(another_version_is_refused),
        STORE_TEST(options_of_an_older_version),
        STORE_TEST(report_and_stats_struct_size),
        STORE_TEST(destroy_while_pinned),
        STORE_TEST(destroy_during_update),
        STORE_TEST(destroy_with_full_limbo),
        STORE_TEST(waiting_calls_inside_a_section),
        STORE_TEST(several_stores),
        cmocka_unit_test(null_store_handles),
        cmocka_unit_test(null_store_cells),
        cmocka_unit_test(null_store_rest),
        STORE_TEST(null_arguments),
    };
    return cmocka_run_group_tests_name("create", tests, NULL, NULL);
}
