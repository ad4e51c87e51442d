/* SPDX-License-Identifier: MIT */
/*
 * test_exhaust.c - a stale handle never names another object, for ever: one index is used until its
 * 2^24 generations are gone, and is then never issued again. Some seconds; apart for that reason.
 */
#include "support.h"

#define GENERATIONS (1u << 24)
#define INDEX_MASK  UINT64_C(0x000000ffffffffff)

struct use {
    unsigned first_again; /* how often the first handle's index was issued again */
    unsigned others;      /* how often another index was issued than the time before */
};

/* Allocates and frees more often than an index has generations; the first handle must stay
 * stale. */
static struct use
use_up(handle_store *store, handle_t first)
{
    struct use use = {0, 0};
    handle_t last = first;
    for (unsigned i = 0; i < GENERATIONS + 1000; i++) {
        section_enter();
        void *object = NULL;
        handle_t handle = handle_alloc_object(store, 16, 0, &object);
        use.first_again += (handle & INDEX_MASK) == (first & INDEX_MASK);
        use.others += (handle & INDEX_MASK) != (last & INDEX_MASK);
        bool alive = handle == first || handle == HANDLE_NULL || handle_deref(store, first);
        int freed = handle_free_now(store, handle);
        section_leave();
        if (alive || freed)
            fail_msg("allocation %u: the first handle came back, or free failed: %d", i, freed);
        last = handle;
    }
    return use;
}

/* Fails when a generation wraps round: after at most 2^24 reuses the first handle would be live
 * again. An index that was used up must be counted as dead. (While the grace-period thread looks
 * into the thread's cache, an allocation takes another index; so the first need not be used up
 * here, the unit test of the table does it without threads.) */
static void
generations_run_out(void **state)
{
    struct fixture *fixture = *state;
    settle(fixture->store);
    handle_t first = make_object(fixture->store, 16, 1);
    assert_int_equal(handle_free(fixture->store, first), 0);
    struct use use = use_up(fixture->store, first);
    struct handle_stats stats = take_stats(fixture->store);
    print_message("index issued %u times more, %u changes of index, %llu dead\n", use.first_again,
                  use.others, (unsigned long long)stats.table_entries_dead);
    assert_true(use.first_again < GENERATIONS);
    assert_true(use.others >= 1);
    assert_true(stats.table_entries_dead <= use.others);
    if (use.first_again >= GENERATIONS - 2)
        assert_true(stats.table_entries_dead >= 1);
    for (unsigned i = 0; i < 1000; i++) { /* the store goes on with other indexes */
        handle_t handle = make_object(fixture->store, 16, i);
        assert_true(handle != first);
        assert_object(fixture->store, handle, 16, i);
    }
    section_enter();
    assert_null(handle_deref(fixture->store, first));
    section_leave();
}

int
group_exhaust(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(generations_run_out),
    };
    return cmocka_run_group_tests_name("exhaust", tests, NULL, NULL);
}
