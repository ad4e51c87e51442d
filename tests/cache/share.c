/* SPDX-License-Identifier: MIT */
/* share.c - what of a limit the items get, by tables: cache/share.h has functions of numbers. */
#include "../api/support.h"

#include "cache/share.h"

static void
test_items_get_what_is_left(void **state)
{
    static const struct {
        struct sc_share share;
        uint64_t least, most;
    } table[] = {
        /* Nothing is there yet: all but what is always needed. */
        {{.limit = 64 * MIB, .fixed = MIB, .reserve = MIB}, 62 * MIB, 62 * MIB},
        {{.limit = 64 * MIB, .fixed = MIB, .reserve = MIB, .store_own = 2 * MIB},
         60 * MIB,
         60 * MIB},
        /* Half as much beside the items as they have: two thirds, however many there are. */
        {{.limit = 64 * MIB, .fixed = 4 * MIB, .slots = 40 * MIB, .beside = 20 * MIB},
         40 * MIB - 1,
         40 * MIB},
        {{.limit = 16 * MIB, .fixed = 4 * MIB, .slots = 40 * MIB, .beside = 20 * MIB},
         8 * MIB - 1,
         8 * MIB},
        {{.limit = 64 * MIB, .fixed = 4 * MIB, .slots = 4, .beside = 2}, 40 * MIB - 1, 40 * MIB},
        /* The largest: nothing overflows. */
        {{.limit = 1024 * GIB, .slots = 1024 * GIB, .beside = 1024 * GIB}, 512 * GIB, 512 * GIB},
        /* Odd figures: a quarter. */
        {{.limit = 8 * MIB, .store_own = 9 * MIB}, 2 * MIB, 2 * MIB},
        {{.limit = 8 * MIB, .fixed = 9 * MIB}, 0, 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        uint64_t items = sc_share_of_items(&table[i].share);
        assert_in_range(items, table[i].least, table[i].most);
    }
}

static void
test_reserve_follows_refusals(void **state)
{
    static const struct {
        uint64_t reserve, store, set, waited, next;
    } table[] = {
        {MIB, 64 * MIB, MIB, 0, MIB},                          /* the least */
        {2 * MIB, 64 * MIB, MIB, 0, 2 * MIB - 32 * KIB},       /* down slowly */
        {2 * MIB, 64 * MIB, 4 * MIB, KIB, 2 * MIB - 32 * KIB}, /* one in 4096 */
        {2 * MIB, 64 * MIB, 4 * MIB, KIB + 1, 2 * MIB + 256 * KIB},
        {4 * MIB, 64 * MIB, MIB, MIB, 4 * MIB}, /* the most */
        {5 * MIB, 64 * MIB, MIB, MIB, 4 * MIB}, /* the store had more */
        {0, 4 * MIB, 0, 0, 128 * KIB},
        {0, 1024 * GIB, 0, 0, MIB},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(
            sc_share_next_reserve(table[i].reserve, table[i].store, table[i].set, table[i].waited),
            table[i].next);
    assert_int_equal(sc_share_least_reserve(16 * MIB), 512 * KIB);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_items_get_what_is_left),
                                       cmocka_unit_test(test_reserve_follows_refusals)};
    return cmocka_run_group_tests_name("share", tests, NULL, NULL);
}
