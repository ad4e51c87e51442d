/* SPDX-License-Identifier: MIT */
/*
 * test_reference.c - the words of the protocol: what a reference word and a header word encode, and
 * which changes the check bits notice.
 */
#include "unit.h"

#include "object.h"

#define ROUNDS 20000

static uint64_t seed;

static int
pick_seed(void **state)
{
    (void)state;
    seed = random_seed("reference");
    return 0;
}

/* ---- reference words ------------------------------------------------------------------------- */

static void
test_word_fields(void **state)
{
    (void)state;
    static const uint64_t offsets[] = {8, 4096, 65544, (UINT64_C(1) << 40) - 8};
    static const uint64_t tags[] = {0, 1, 0x800000, SN_TAG_MASK};
    for (unsigned i = 0; i < 4; i++) {
        for (unsigned k = 0; k < 4; k++) {
            for (unsigned flags = 0; flags <= HANDLE_UNMOVABLE; flags += HANDLE_UNMOVABLE) {
                uint64_t word = sn_object_word(tags[k], offsets[i], flags);
                assert_int_equal(sn_word_offset(word), offsets[i]);
                assert_int_equal(sn_word_tag(word), tags[k]);
                assert_int_equal(sn_object_flags(word), flags);
                assert_true(sn_word_has_object(word));
                assert_false(sn_word_is_moving(word));
                uint64_t moving = word | SN_WORD_MOVING;
                assert_true(sn_word_is_moving(moving));
                assert_true(sn_word_has_object(moving));
                assert_int_equal(sn_word_offset(moving), offsets[i]);
                assert_int_equal(sn_word_tag(moving), tags[k]);
                assert_int_equal(sn_word_as_live(moving), word);
                assert_int_equal(sn_word_as_live(word), word);
            }
        }
    }
}

static void
test_word_at_another_slot(void **state)
{
    (void)state;
    uint64_t random = seed;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t tag = random_next(&random) & SN_TAG_MASK;
        uint64_t from = random_next(&random) & SN_WORD_OFFSET;
        uint64_t to = random_next(&random) & SN_WORD_OFFSET;
        unsigned flags = random_below(&random, 2) ? HANDLE_UNMOVABLE : 0;
        uint64_t moving = sn_object_word(tag, from, flags) | SN_WORD_MOVING;
        assert_int_equal(sn_word_at(moving, to), sn_object_word(tag, to, flags));
    }
}

/* One compare answers "same generation, and live", whatever the state. Where in a handle the index
 * stands does not matter to it. */
static void
test_words_against_handles(void **state)
{
    (void)state;
    uint64_t random = seed;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t tag = random_next(&random) & SN_TAG_MASK;
        uint64_t other = random_next(&random) & SN_TAG_MASK;
        uint64_t at = random_next(&random) & SN_WORD_OFFSET;
        uint64_t live = sn_object_word(tag, random_next(&random) & SN_WORD_OFFSET, 0);
        handle_t handle = tag << SN_TAG_SHIFT | at | 1;
        handle_t stranger = other << SN_TAG_SHIFT | at | 1;
        assert_int_equal((live ^ handle) & HANDLE_MATCH_MASK, 0);
        assert_int_equal(((live | SN_WORD_MOVING) ^ handle) & HANDLE_MATCH_MASK, 0);
        assert_int_equal(((live ^ stranger) & HANDLE_MATCH_MASK) == 0, tag == other);
        uint64_t free_word = tag << SN_TAG_SHIFT | (at & 0xff8);
        assert_int_not_equal((free_word ^ handle) & HANDLE_MATCH_MASK, 0);
    }
}

/* ---- header words ---------------------------------------------------------------------------- */

struct sample {
    uint64_t secret, slack, offset, header;
    uint64_t *reference;
};

static struct sample
make_sample(uint64_t *random)
{
    struct sample s = {
        .secret = random_next(random),
        .slack = random_next(random) & SN_HEADER_SLACK,
        .offset = random_next(random) & SN_WORD_OFFSET,
    };
    uint64_t room = SN_CELL_ADDRESS_MAX - SN_CELL_ADDRESS_MIN;
    uint64_t address = SN_CELL_ADDRESS_MIN + (random_next(random) % room & ~UINT64_C(7));
    s.reference = (uint64_t *)(uintptr_t)address;
    s.header = sn_header_make(s.secret, s.reference, s.slack, s.offset);
    return s;
}

static void
test_header_fields(void **state)
{
    (void)state;
    uint64_t random = seed;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sample s = make_sample(&random);
        assert_ptr_equal(sn_header_reference(s.header), s.reference);
        assert_int_equal(sn_header_slack(s.header), s.slack);
        assert_true(sn_header_is_sound(s.secret, s.header, s.offset));
        assert_false(sn_header_is_clear(s.header)); /* check bits 0 are never computed */
    }
    uint64_t *highest = (uint64_t *)(uintptr_t)(SN_CELL_ADDRESS_MAX - 8);
    assert_ptr_equal(sn_header_reference(sn_header_make(1, highest, 0, 8)), highest);
}

/* What check bits computed before 0 was turned into 1; the two cannot be told apart. */
static bool
is_blind_pair(uint64_t secret, uint64_t header, uint64_t changed, uint64_t offset)
{
    uint64_t body = header & ~SN_HEADER_CHECK, other = changed & ~SN_HEADER_CHECK;
    return sn_header_check(secret, body, offset) == 1 &&
           sn_header_check(secret, other, offset) == 1;
}

/*
 * Every single bit of every sample is flipped. A flip in the check bits is always noticed, one in
 * the body unless both bodies have check value 1, which stands for two of the 256 remainders.
 */
static void
test_every_flipped_bit(void **state)
{
    (void)state;
    uint64_t random = seed, blind = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sample s = make_sample(&random);
        for (unsigned bit = 0; bit < 64; bit++) {
            uint64_t changed = s.header ^ (UINT64_C(1) << bit);
            if (!sn_header_is_sound(s.secret, changed, s.offset))
                continue;
            assert_true(bit >= 8);
            assert_true(is_blind_pair(s.secret, s.header, changed, s.offset));
            blind++;
        }
    }
    assert_true(blind * 2000 < (uint64_t)ROUNDS * 56);
}

/* Words that were never headers, headers of another slot or another store: 1 in 128 at most. */
static void
test_what_is_no_header(void **state)
{
    (void)state;
    uint64_t random = seed;
    unsigned moved = 0, foreign = 0, noise = 0, text = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sample s = make_sample(&random);
        moved += sn_header_is_sound(s.secret, s.header, s.offset + 8 * (1 + i % 1000));
        foreign += sn_header_is_sound(random_next(&random), s.header, s.offset);
        noise += sn_header_is_sound(s.secret, random_next(&random), s.offset);
        text += sn_header_is_sound(s.secret, UINT64_C(0x2020202020202020), s.offset);
        assert_false(sn_header_is_sound(s.secret, 0, s.offset));
        assert_false(sn_header_is_sound(s.secret, s.offset << 8, s.offset)); /* a limbo link */
        assert_true(sn_header_is_clear(s.offset << 8));
    }
    assert_true(moved < ROUNDS / 128 && foreign < ROUNDS / 128);
    assert_true(noise < ROUNDS / 128 && text < ROUNDS / 128);
}

static void
test_limbo_links(void **state)
{
    (void)state;
    uint64_t last = (UINT64_C(1) << 40) - 8;
    assert_int_equal(sn_limbo_next(last << 8), last);
    assert_int_equal(sn_limbo_next(0), 0);
}

/* ---- calling off ----------------------------------------------------------------------------- */

static void
test_call_off(void **state)
{
    (void)state;
    const uint64_t live = sn_object_word(7, 4096, 0), moving = live | SN_WORD_MOVING;
    const handle_t handle = UINT64_C(7) << SN_TAG_SHIFT | 80 | 1;
    uint64_t word = live;
    assert_int_equal(sn_reference_call_off(&word, handle, HANDLE_MATCH_MASK), live);
    assert_int_equal(word, live);
    word = moving;
    assert_int_equal(sn_reference_call_off(&word, handle, HANDLE_MATCH_MASK), live);
    assert_int_equal(word, live);
    /* Another generation's move is not ours to call off. */
    word = moving;
    handle_t stale = UINT64_C(6) << SN_TAG_SHIFT | 80 | 1;
    assert_int_equal(sn_reference_call_off(&word, stale, HANDLE_MATCH_MASK), moving);
    assert_int_equal(word, moving);
    word = UINT64_C(8) << SN_TAG_SHIFT;
    assert_int_equal(sn_reference_call_off(&word, handle, HANDLE_MATCH_MASK), word);
    assert_int_equal(word, UINT64_C(8) << SN_TAG_SHIFT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_word_fields),           cmocka_unit_test(test_word_at_another_slot),
        cmocka_unit_test(test_words_against_handles), cmocka_unit_test(test_header_fields),
        cmocka_unit_test(test_every_flipped_bit),     cmocka_unit_test(test_what_is_no_header),
        cmocka_unit_test(test_limbo_links),           cmocka_unit_test(test_call_off),
    };
    return cmocka_run_group_tests_name("reference", tests, pick_seed, NULL);
}
