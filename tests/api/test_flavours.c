/* SPDX-License-Identifier: MIT */
/*
 * test_flavours.c - stores of two flavours in one process, memb and qsbr: a fork waits for the
 * grace periods of both, whichever store it is prepared with.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "flavour.h"

#include <urcu/urcu-qsbr.h>

extern const struct rcu_flavor_struct urcu_qsbr_flavor; /* headers name one flavour, the first */

static handle_store *memb, *qsbr;
static unsigned reports;

static void
nap(void)
{
    nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* Whoever held a lock of a store here would wait for itself. */
static void
report(void *opaque, const char *message)
{
    (void)opaque;
    print_message("reported: %s\n", message);
    handle_t handle = handle_alloc(memb, 100);
    assert_int_equal(handle_free(memb, handle), 0);
    reports++;
}

static int
make_stores(void **state)
{
    (void)state;
    alarm(300); /* the end of a test that would hang */
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.error = report;
    options.arena_bytes = UINT64_C(1) << 30;
    reports = 0;
    memb = handle_store_create_flavor(&options, &urcu_memb_flavor);
    qsbr = handle_store_create_flavor(&options, &urcu_qsbr_flavor);
    return memb && qsbr ? 0 : -1;
}

static int
destroy_stores(void **state)
{
    (void)state;
    urcu_qsbr_thread_offline();
    return handle_store_destroy(memb) || handle_store_destroy(qsbr) ? -1 : 0;
}

/* Something freed, and a grace period under way that waits for the calling thread. */
static void
hold_grace_period(handle_store *store)
{
    handle_t handle = handle_alloc(store, 1000);
    assert_int_equal(handle_free(store, handle), 0);
    struct handle_stats *stats = calloc(1, sizeof(*stats));
    stats->struct_size = sizeof(*stats);
    do {
        nap();
        assert_int_equal(handle_store_stats(store, stats), 0);
    } while (stats->grace_period_age_ns == 0);
    free(stats);
}

static void
fork_with(handle_store *first, handle_store *second)
{
    int status = 1;
    handle_store_before_fork(first);
    handle_store_before_fork(second);
    pid_t child = fork();
    if (child == 0) {
        handle_store_after_fork_child(second);
        handle_store_after_fork_child(first);
        alarm(300);
        _exit(!handle_alloc(first, 100) || !handle_alloc(second, 100));
    }
    handle_store_after_fork_parent(second);
    handle_store_after_fork_parent(first);
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

/* Fails when before_fork goes offline in its own store's flavour only: seen, it waits for ever. */
static void
online_in_the_other_flavour(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        urcu_qsbr_thread_online();
        hold_grace_period(qsbr);
        fork_with(round ? memb : qsbr, round ? qsbr : memb);
        assert_true(urcu_qsbr_read_ongoing()); /* online again */
        assert_int_equal(reports, 0);
        urcu_qsbr_thread_offline();
    }
}

/* Fails when before_fork looks for sections of its own store's flavour only (seen: it waits for
 * itself), or when a lock is held during the report. */
static void
inside_a_section_of_the_other(void **state)
{
    (void)state;
#if SN_DEBUG
    skip(); /* there the report ends the process, see misuse/fork_in_section.c */
#endif
    urcu_memb_read_lock();
    hold_grace_period(memb);
    fork_with(qsbr, memb);
    urcu_memb_read_unlock();
    assert_int_equal(reports, 1);
}

static int
wait_for_the_other(void *opaque, const struct handle_object *object)
{
    (void)opaque, (void)object;
    assert_int_equal(handle_store_reclaim(qsbr, SIZE_MAX), -EDEADLK);
    assert_int_equal(handle_store_purge(qsbr, NULL), -EDEADLK);
    assert_int_equal(handle_store_compact(qsbr, NULL), -EDEADLK);
    assert_int_equal(handle_defrag_stop(qsbr), -EDEADLK);
    return 1;
}

/* A visitor keeps the mover and other walks waiting, and who waits for those may be who it waits
 * for. Fails when only the flavour of the walk's store is looked at. */
static void
visitors_wait_in_no_flavour(void **state)
{
    (void)state;
    assert_true(handle_alloc(memb, 100) != HANDLE_NULL);
    assert_int_equal(handle_store_each(memb, wait_for_the_other, NULL), 1);
    assert_int_equal(handle_store_reclaim(qsbr, SIZE_MAX), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(visitors_wait_in_no_flavour, make_stores, destroy_stores),
        cmocka_unit_test_setup_teardown(online_in_the_other_flavour, make_stores, destroy_stores),
        cmocka_unit_test_setup_teardown(inside_a_section_of_the_other, make_stores, destroy_stores),
    };
    if (TEST_TSAN) { /* it follows no thread that holds as many locks as before_fork takes */
        print_message("flavours: left out under ThreadSanitizer\n");
        return 0;
    }
    urcu_memb_register_thread();
    urcu_qsbr_register_thread();
    urcu_qsbr_thread_offline();
    int failed = cmocka_run_group_tests_name("flavours", tests, NULL, NULL);
    urcu_qsbr_unregister_thread();
    urcu_memb_unregister_thread();
    return failed ? 1 : 0;
}
