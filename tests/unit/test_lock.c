/* SPDX-License-Identifier: MIT */
/*
 * test_lock.c - the lock order, as debug builds check it: every pair of ranks is taken in both
 * orders, each by a child of its own, since a wrong one ends the process. Also how a hook and a
 * fault point answer when nobody has set them.
 */
#include "unit.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/lock.h"

/* Runs body in a child. Result: the signal that ended it, 0 when it went through. */
static int
signal_of(void (*body)(enum sn_lock_rank, enum sn_lock_rank), enum sn_lock_rank a,
          enum sn_lock_rank b)
{
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        if (!freopen("/dev/null", "w", stderr))
            _exit(2);
        signal(SIGABRT, SIG_DFL); /* cmocka and sanitizers catch it */
        body(a, b);
        _exit(0);
    }
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status))
        return WTERMSIG(status);
    assert_int_equal(WEXITSTATUS(status), 0);
    return 0;
}

static void
take_both(enum sn_lock_rank a, enum sn_lock_rank b)
{
    struct sn_lock first, second;
    sn_lock_init(&first, a);
    sn_lock_init(&second, b);
    sn_lock(&first);
    sn_lock(&second);
    sn_unlock(&second);
    sn_unlock(&first);
}

static void
test_rising_ranks_only(void **state)
{
    (void)state;
    for (int a = SN_RANK_REGISTRY; a < SN_RANK_MAX; a++) {
        for (int b = SN_RANK_REGISTRY; b < SN_RANK_MAX; b++) {
            int expected = a < b ? 0 : SIGABRT;
            if (signal_of(take_both, (enum sn_lock_rank)a, (enum sn_lock_rank)b) != expected)
                fail_msg("rank %d, then %d: expected signal %d", a, b, expected);
        }
    }
}

static void
take_one_after_the_other(enum sn_lock_rank a, enum sn_lock_rank b)
{
    struct sn_lock first, second;
    sn_lock_init(&first, a);
    sn_lock_init(&second, b);
    for (int i = 0; i < 3; i++) {
        sn_lock(&first);
        sn_unlock(&first);
        sn_lock(&second);
        sn_unlock(&second);
    }
}

/* A try cannot wait, so that its order is free; but it is held like any other. */
static void
try_lower(enum sn_lock_rank a, enum sn_lock_rank b)
{
    struct sn_lock first, second;
    sn_lock_init(&first, a);
    sn_lock_init(&second, b);
    sn_lock(&first);
    if (!sn_try_lock(&second))
        _exit(3);
    sn_assert_locked(&second);
    sn_unlock(&second);
    sn_unlock(&first);
}

static void
lock_above_a_tried_one(enum sn_lock_rank a, enum sn_lock_rank b)
{
    struct sn_lock first, second;
    sn_lock_init(&first, a);
    sn_lock_init(&second, b);
    if (!sn_try_lock(&first))
        _exit(3);
    sn_lock(&second);
}

static void
claim_what_is_not_held(enum sn_lock_rank a, enum sn_lock_rank b)
{
    struct sn_lock lock;
    (void)b;
    sn_lock_init(&lock, a);
    sn_assert_locked(&lock);
}

static void
claim_what_was_let_go(enum sn_lock_rank a, enum sn_lock_rank b)
{
    struct sn_lock lock;
    (void)b;
    sn_lock_init(&lock, a);
    sn_lock(&lock);
    sn_assert_locked(&lock);
    sn_unlock(&lock);
    sn_assert_locked(&lock);
}

static void
test_what_is_held(void **state)
{
    (void)state;
    assert_int_equal(signal_of(take_one_after_the_other, SN_RANK_WAKE, SN_RANK_REGISTRY), 0);
    assert_int_equal(signal_of(try_lower, SN_RANK_POOL, SN_RANK_CLASS), 0);
    assert_int_equal(signal_of(lock_above_a_tried_one, SN_RANK_MOVER, SN_RANK_CLASS), 0);
    assert_int_equal(signal_of(lock_above_a_tried_one, SN_RANK_CLASS, SN_RANK_MOVER), SIGABRT);
    assert_int_equal(signal_of(claim_what_is_not_held, SN_RANK_CLASS, SN_RANK_CLASS), SIGABRT);
    assert_int_equal(signal_of(claim_what_was_let_go, SN_RANK_CLASS, SN_RANK_CLASS), SIGABRT);
}

/* What one thread holds says nothing of another. */
struct two {
    struct sn_lock low, high;
};

static void
hold_the_other(void *arg, unsigned index)
{
    struct two *two = arg;
    (void)index;
    sn_lock(&two->low);
    sn_unlock(&two->low);
}

static void
test_threads_are_apart(void **state)
{
    (void)state;
    struct two two;
    sn_lock_init(&two.low, SN_RANK_CLASS);
    sn_lock_init(&two.high, SN_RANK_POOL);
    sn_lock(&two.high);
    run_threads(1, hold_the_other, &two);
    assert_int_equal(sn_lock_held[SN_RANK_POOL], 1);
    assert_int_equal(sn_lock_held[SN_RANK_CLASS], 0);
    sn_unlock(&two.high);
    sn_lock_destroy(&two.low);
    sn_lock_destroy(&two.high);
}

struct count {
    struct sn_lock lock;
    uint64_t value;
    unsigned rounds;
};

static void
count_up(void *arg, unsigned index)
{
    struct count *count = arg;
    for (unsigned i = 0; i < count->rounds; i++) {
        if (index == 0 || !sn_try_lock(&count->lock))
            sn_lock(&count->lock);
        count->value++;
        sn_unlock(&count->lock);
    }
}

static void
test_mutual_exclusion(void **state)
{
    (void)state;
    struct count count = {.rounds = scaled(200000)};
    sn_lock_init(&count.lock, SN_RANK_CLASS);
    run_threads(3, count_up, &count);
    assert_int_equal(count.value, 3 * count.rounds);
    sn_lock_destroy(&count.lock);
}

static void
test_no_hook_no_fault(void **state)
{
    (void)state;
    assert_null(sn_hook_fn);
    assert_null(sn_inject_fn);
    for (int point = 0; point < SN_HOOK_POINTS; point++)
        sn_hook((enum sn_hook_point)point, NULL);
    for (int point = 0; point < SN_INJECT_POINTS; point++)
        assert_false(sn_inject((enum sn_inject_point)point));
    assert_false(sn_force_moves());
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rising_ranks_only), cmocka_unit_test(test_what_is_held),
        cmocka_unit_test(test_threads_are_apart), cmocka_unit_test(test_mutual_exclusion),
        cmocka_unit_test(test_no_hook_no_fault),
    };
    return cmocka_run_group_tests_name("lock", tests, NULL, NULL);
}
