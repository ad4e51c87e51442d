/* SPDX-License-Identifier: MIT */
/*
 * test_budget.c - the account of committed bytes: who may charge how far, the peak, and that a
 * refused charge is nobody's business but its own.
 */
#include "unit.h"

#define LIMIT (16 * MIB)

static void
test_kept_back(void **state)
{
    (void)state;
    struct sn_budget budget = {.max_bytes = LIMIT};
    const uint64_t reserve = sn_budget_reserve(LIMIT), application = LIMIT - reserve;
    assert_true(sn_budget_charge(&budget, application, SN_CHARGE_APPLICATION));
    assert_false(sn_budget_charge(&budget, 1, SN_CHARGE_APPLICATION));
    assert_int_equal(sn_budget_lacks(&budget, 1, SN_CHARGE_APPLICATION), 1);
    assert_int_equal(sn_budget_lacks(&budget, reserve, SN_CHARGE_MOVER), 0);
    assert_true(sn_budget_charge(&budget, reserve, SN_CHARGE_MOVER));
    assert_false(sn_budget_charge(&budget, 1, SN_CHARGE_MOVER));
    assert_int_equal(budget.committed, LIMIT);
    assert_true(sn_budget_charge(&budget, 1, SN_CHARGE_ALWAYS));
    assert_int_equal(sn_budget_lacks(&budget, 5, SN_CHARGE_MOVER), 6);
    assert_int_equal(sn_budget_lacks(&budget, 5, SN_CHARGE_ALWAYS), 0);
    assert_int_equal(budget.peak, LIMIT + 1);
    sn_budget_refund(&budget, LIMIT);
    assert_int_equal(budget.committed, 1);
    assert_int_equal(budget.peak, LIMIT + 1);
}

/* A share of the limit, within bounds; and what a lowered limit leaves above it. */
static void
test_follows_the_limit(void **state)
{
    (void)state;
    assert_int_equal(sn_budget_reserve(SN_MAX_BYTES_MIN), SN_RESERVE_MIN_BYTES);
    assert_int_equal(sn_budget_reserve(16 * MIB), MIB / 2);
    assert_int_equal(sn_budget_reserve(UINT64_C(1) << 40), SN_RESERVE_MAX_BYTES);
    struct sn_budget budget = {.max_bytes = LIMIT, .committed = LIMIT + 7};
    assert_int_equal(sn_budget_excess(&budget), 7);
    budget.committed = LIMIT;
    assert_int_equal(sn_budget_excess(&budget), 0);
    budget.max_bytes = 0;
    assert_int_equal(sn_budget_excess(&budget), 0);
}

/* Above a limit that was lowered the mover's lists have what was committed before, and no more:
 * the limit as it was holds. Seen failing: with lists charged in any case. */
static void
test_lists_above_a_lowered_limit(void **state)
{
    (void)state;
    const uint64_t before = LIMIT - 1000;
    struct sn_budget budget = {.max_bytes = LIMIT};
    assert_true(sn_budget_charge(&budget, before, SN_CHARGE_MOVER));
    assert_false(sn_budget_charge(&budget, SN_PAGE_BYTES, SN_CHARGE_LISTS));
    budget.max_bytes = LIMIT / 2;
    assert_false(sn_budget_charge(&budget, SN_PAGE_BYTES, SN_CHARGE_LISTS));
    sn_budget_refund(&budget, SN_PAGE_BYTES);
    assert_false(sn_budget_charge(&budget, SN_PAGE_BYTES, SN_CHARGE_MOVER));
    assert_true(sn_budget_charge(&budget, SN_PAGE_BYTES, SN_CHARGE_LISTS));
    assert_int_equal(budget.peak, before);
    sn_budget_refund(&budget, before - LIMIT / 2);
    assert_false(sn_budget_charge(&budget, 1, SN_CHARGE_LISTS)); /* it is reached */
}

static void
test_no_limit(void **state)
{
    (void)state;
    struct sn_budget budget = {0};
    assert_true(sn_budget_charge(&budget, UINT64_MAX / 4, SN_CHARGE_APPLICATION));
    assert_int_equal(sn_budget_lacks(&budget, UINT64_MAX / 4, SN_CHARGE_APPLICATION), 0);
}

/* ---- beside a charge that is refused --------------------------------------------------------- */

struct beside {
    struct sn_budget budget;
    unsigned ended;
};

/* Thread 0: one page, that always fits, and back. The others: far more than there is. */
static void
charge(void *arg, unsigned index)
{
    struct beside *beside = arg;
    for (unsigned i = 0; index == 0 && i < scaled(2000000); i++) {
        thread_check(sn_budget_charge(&beside->budget, SN_PAGE_BYTES, SN_CHARGE_MOVER));
        sn_budget_refund(&beside->budget, SN_PAGE_BYTES);
    }
    while (index != 0 && !__atomic_load_n(&beside->ended, __ATOMIC_ACQUIRE))
        thread_check(!sn_budget_charge(&beside->budget, LIMIT, SN_CHARGE_MOVER));
    if (index == 0)
        __atomic_store_n(&beside->ended, 1, __ATOMIC_RELEASE);
}

/* Fails when a charge is added first and taken back when it turns out too large: seen with that. */
static void
test_refused_charge_is_not_seen(void **state)
{
    (void)state;
    static struct beside beside;
    memset(&beside, 0, sizeof(beside));
    beside.budget.max_bytes = LIMIT;
    assert_true(sn_budget_charge(&beside.budget, MIB, SN_CHARGE_MOVER));
    run_threads(3, charge, &beside);
    assert_int_equal(beside.budget.committed, MIB);
    assert_int_equal(beside.budget.peak, MIB + SN_PAGE_BYTES);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kept_back),
        cmocka_unit_test(test_follows_the_limit),
        cmocka_unit_test(test_lists_above_a_lowered_limit),
        cmocka_unit_test(test_no_limit),
        cmocka_unit_test(test_refused_charge_is_not_seen),
    };
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
