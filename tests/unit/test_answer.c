/* SPDX-License-Identifier: MIT */
/*
 * test_answer.c - what an allocation is told that max_bytes refused: the rule as a table, and the
 * bounds of what comes. Seen failing: with the comparison turned round, without own_slots, without
 * all_bytes; with full spans left out of what becomes empty.
 */
#include "unit.h"

#include "memory/answer.h"

#define MB UINT64_C(1048576)

static void
test_rule(void **state)
{
    (void)state;
    static const struct {
        const char *what;
        uint64_t lacks;
        struct sn_waited waited;
        struct sn_coming coming;
        enum sn_answer answer;
    } table[] = {
        {"nothing comes", 65536, {0}, {0, 8 * MB, 0, 0}, SN_ANSWER_ENOMEM},
        {"one slot of its class", 65536, {0}, {1, 8 * MB, 0, 0}, SN_ANSWER_EAGAIN},
        {"a slot of its class, whatever pages lack",
         UINT64_MAX,
         {0},
         {1, 0, 0, 0},
         SN_ANSWER_EAGAIN},
        {"a large object in limbo is as large", MB, {0}, {0, 8 * MB, MB, 0}, SN_ANSWER_EAGAIN},
        {"a page less", MB, {0}, {0, 8 * MB, MB - 4096, 0}, SN_ANSWER_ENOMEM},
        {"the mover gains enough", MB, {0}, {0, 8 * MB, 0, MB}, SN_ANSWER_EAGAIN},
        {"the mover gains too little", MB, {0}, {0, 8 * MB, 0, MB / 2}, SN_ANSWER_ENOMEM},
        {"both count the same spans", MB, {0}, {0, 8 * MB, MB / 2, MB / 2}, SN_ANSWER_ENOMEM},
        {"more than there is", 16 * MB, {0}, {0, 8 * MB, 20 * MB, 20 * MB}, SN_ANSWER_ENOMEM},
        {"no lack, and nothing comes", 0, {0}, {0, 8 * MB, 0, 0}, SN_ANSWER_ENOMEM},
        {"it has waited, and lacks less",
         MB - 1,
         {MB, 1, false},
         {0, 8 * MB, 0, MB},
         SN_ANSWER_EAGAIN},
        {"it has waited in vain", MB, {MB, 1, false}, {0, 8 * MB, MB, MB}, SN_ANSWER_ENOMEM},
        {"for a slot, too", MB, {MB, 1, false}, {1, 8 * MB, 0, 0}, SN_ANSWER_ENOMEM},
        {"and lacks more", 2 * MB, {MB, 1, false}, {0, 8 * MB, 0, 4 * MB}, SN_ANSWER_ENOMEM},
        {"but the mover has gained",
         2 * MB,
         {MB, 1, true},
         {0, 8 * MB, 0, 4 * MB},
         SN_ANSWER_EAGAIN},
        {"again and again",
         MB - 1,
         {MB, SN_ANSWER_WAITS_MAX, true},
         {1, 8 * MB, MB, MB},
         SN_ANSWER_ENOMEM},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (sn_answer(table[i].lacks, &table[i].waited, &table[i].coming) != table[i].answer)
            fail_msg("%s", table[i].what);
    }
}

static const struct sn_class_use dense = {.slots = 64,
                                          .slot_bytes = 1024,
                                          .span_bytes = 65536,
                                          .committed = UINT64_C(10) * 65536,
                                          .used = 10 * 64,
                                          .spans = 10};

static void
test_emptied(void **state)
{
    (void)state;
    static const struct {
        uint64_t returned, spans; /* emptied */
        uint32_t spans_in[SN_OCCUPANCIES];
        uint32_t detached;
    } table[] = {
        {0, 0, {5, 0, 0, 0, 0, 0, 0, 0, 5}, 0},  {1, 1, {5, 0, 0, 0, 0, 0, 0, 0, 5}, 0},
        {5, 5, {5, 0, 0, 0, 0, 0, 0, 0, 5}, 0},  {64, 1, {0, 0, 0, 0, 0, 0, 0, 0, 10}, 0},
        {8, 1, {0, 10, 0, 0, 0, 0, 0, 0, 0}, 0}, {1000, 10, {0, 3, 0, 0, 0, 0, 0, 0, 7}, 0},
        {1, 1, {0, 0, 0, 0, 0, 0, 0, 0, 8}, 2}, /* how full a detached one is, is not known */
        {66, 3, {0, 0, 0, 0, 0, 0, 0, 0, 8}, 2},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct sn_class_use c = dense;
        c.detached = table[i].detached;
        memcpy(c.spans_in, table[i].spans_in, sizeof(c.spans_in));
        if (sn_answer_emptied(&c, table[i].returned) != table[i].spans * 65536)
            fail_msg("row %zu: %llu", i,
                     (unsigned long long)sn_answer_emptied(&c, table[i].returned));
    }
}

/* Pages of spans that stay: as many as the slots touch, or as are free with them. */
static void
test_emptied_pages(void **state)
{
    needs_pages_of_4_kib();
    (void)state;
    struct sn_class_use c = dense;
    c.spans_in[SN_OCCUPANCIES - 1] = 10;
    assert_int_equal(sn_answer_loose(&c), 0);
    assert_int_equal(sn_answer_emptied(&c, 1), 1024);
    assert_int_equal(sn_answer_emptied(&c, 4), 4096);
    c.used -= 100;
    assert_int_equal(sn_answer_loose(&c), 100 * 1024);
    assert_int_equal(sn_answer_emptied(&c, 1), 2 * 4096);
    c.slots = 3; /* with a tail, which serves nobody */
    c.slot_bytes = 20000;
    c.used = 30;
    assert_int_equal(sn_answer_loose(&c), 0);
    assert_int_equal(sn_answer_emptied(&c, 1), 20000);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),
        cmocka_unit_test(test_emptied),
        cmocka_unit_test(test_emptied_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
