/* SPDX-License-Identifier: MIT */
/*
 * test_reference.c - the words of the protocol: what a reference word and a header word encode, and
 * which changes the check bits notice.
 */
#include "thread/limbo.h"
#include "unit.h"

#include "core/reservation.h"
#include "object/object.h"

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
                assert_int_equal((word & SN_WORD_SPECIAL) != 0, flags != 0);
                assert_true(sn_word_has_object(word));
                assert_false(sn_word_is_moving(word));
                uint64_t moving = word | SN_WORD_MOVING;
                /* An unmovable object is never MOVING: its word would be RETIRED. */
                assert_int_equal(sn_word_is_moving(moving), flags == 0);
                assert_int_equal(sn_word_is_retired(moving), flags != 0);
                assert_true(sn_word_is_marked(moving) && !sn_word_is_marked(word));
                assert_int_equal(sn_word_is_freed(moving), flags != 0);
                assert_true(sn_word_as_retired(word) == (word | SN_WORD_RETIRED));
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
        uint64_t from = random_next(&random) & SN_OFFSET_MASK;
        uint64_t to = random_next(&random) & SN_OFFSET_MASK;
        unsigned flags = random_below(&random, 2) ? HANDLE_UNMOVABLE : 0;
        uint64_t moving = sn_object_word(tag, from, flags) | SN_WORD_MOVING;
        assert_int_equal(sn_word_at(moving, to), sn_object_word(tag, to, flags));
    }
}

static uint64_t
differs(uint64_t word, handle_t handle)
{
    return sn_word_mismatch(word, handle) & HANDLE_MATCH_MASK;
}

/* One sum answers "same generation, and live", whatever the state. Where in a handle the index
 * stands does not matter to it. */
static void
test_words_against_handles(void **state)
{
    (void)state;
    uint64_t random = seed;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t generation = random_next(&random) & SN_TAG_MASK;
        uint64_t other = random_next(&random) & SN_TAG_MASK;
        uint64_t index = random_next(&random) << HANDLE_INDEX_SHIFT;
        uint64_t tag = sn_word_tag(sn_word_of_generation(generation));
        uint64_t live = sn_object_word(tag, random_next(&random) & SN_OFFSET_MASK,
                                       random_below(&random, 2) ? HANDLE_UNMOVABLE : 0);
        assert_int_equal(sn_word_generation(live), generation);
        assert_int_equal(differs(live, index | generation), 0);
        assert_int_equal(differs(live | SN_WORD_MOVING, index | generation), 0);
        assert_int_equal(differs(live, index | other) == 0, generation == other);
        assert_int_equal(live & HANDLE_MATCH_MASK, sn_word_of_handle(index | generation));
        assert_int_equal(sn_word_mismatch(live, generation) & SN_WORD_STATE, 0);
        assert_int_not_equal(sn_word_mismatch(live | SN_WORD_MOVING, generation) & SN_WORD_STATE,
                             0);
    }
}

/* No handle matches a word that names no object: neither the one whose generation it has, nor any
 * of those that the sum would bring nearest to it. */
static void
test_no_handle_matches_without_object(void **state)
{
    (void)state;
    uint64_t random = seed;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t word = random_next(&random) & ~SN_WORD_LIVE; /* FREE, GOING, or noise */
        if (i % 4 == 0)
            word &= SN_WORD_TAG; /* as in the table */
        for (unsigned near = 0; near < 64; near++) {
            assert_int_not_equal(differs(word, sn_word_generation(word) + near - 32), 0);
            assert_int_not_equal(differs(word, sn_word_tag(word) + near - 32), 0);
            assert_int_not_equal(differs(word, random_next(&random)), 0);
        }
        assert_int_not_equal(differs(0, random_next(&random)), 0);
        assert_int_not_equal(differs(word, HANDLE_NULL), 0);
    }
}

/* ---- header words ---------------------------------------------------------------------------- */

struct sample {
    uint64_t secret, size, offset, header;
    uint64_t *reference;
};

static struct sample
make_sample(uint64_t *random)
{
    struct sample s = {
        .secret = sn_header_secret(random_next(random), random_next(random) & 1),
        .size = random_next(random) & SN_HEADER_SIZE,
        .offset = random_next(random) & SN_OFFSET_MASK,
    };
    uint64_t room = SN_CELL_ADDRESS_MAX - SN_CELL_ADDRESS_MIN;
    uint64_t address = SN_CELL_ADDRESS_MIN + (random_next(random) % room & ~UINT64_C(7));
    s.reference = (uint64_t *)(uintptr_t)address;
    s.header = sn_header_make(s.secret, s.reference, s.size, s.offset);
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
        assert_int_equal(sn_header_size(s.header), s.size);
        assert_int_equal(s.header & SN_HEADER_OBJECT, SN_HEADER_OBJECT);
        assert_true(sn_header_is_sound(s.secret, s.header, s.offset));
        assert_false(sn_header_is_clear(s.header));
    }
    uint64_t *highest = (uint64_t *)(uintptr_t)(SN_CELL_ADDRESS_MAX - 8);
    assert_ptr_equal(sn_header_reference(sn_header_make(1, highest, 0, 8)), highest);
}

/* Every single bit of every sample is flipped, and each flip is noticed: of the odd numbers a
 * secret is one for which it is so. */
static void
test_every_flipped_bit(void **state)
{
    (void)state;
    uint64_t random = seed;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sample s = make_sample(&random);
        for (unsigned bit = 0; bit < 64; bit++) {
            uint64_t changed = s.header ^ (UINT64_C(1) << bit);
            assert_false(sn_header_is_sound(s.secret, changed, s.offset));
        }
    }
}

/* Secrets are odd, and not the same for other random numbers, the worst included. */
static void
test_secrets(void **state)
{
    (void)state;
    uint64_t random = seed, last = 0;
    const uint64_t worst[] = {0, 2, UINT64_MAX, UINT64_C(1) << 63};
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t secret = sn_header_secret(i < 4 ? worst[i] : random_next(&random), i & 1);
        assert_int_equal(secret & 1, 1);
        assert_int_not_equal(secret, last);
        last = secret;
    }
}

/* Class and header together say the size: of every size that a class serves, also where each
 * request is served with one byte more. */
static void
test_every_size(void **state)
{
    (void)state;
    static const uint32_t alignments[] = {8, 16, 64};
    static struct sn_classes classes;
    for (unsigned i = 0; i < 6; i++) {
        sn_classes_init(&classes, alignments[i / 2], i % 2);
        for (size_t size = 0; size <= sn_classes_max_size(&classes); size++) {
            unsigned class_id = sn_class_for(&classes, size + classes.extra);
            size_t largest = sn_class_max_size(&classes, class_id);
            uint64_t header = sn_header_make(1, NULL, size & SN_HEADER_SIZE, 8);
            assert_true(size <= largest && largest - size < SN_SIZES_OF_A_CLASS_MAX);
            assert_int_equal(largest - sn_header_slack(header, largest), size);
        }
    }
}

/* The table may end where headers end to hold addresses, and not beyond. */
static void
test_reservations_that_can_be_named(void **state)
{
    (void)state;
    struct sn_reservation r = {.metadata_bytes = 1 << 21, .table_max = UINT64_C(1) << 30};
    uint64_t bytes = r.metadata_bytes + HANDLE_TABLE_OFFSET + r.table_max;
    r.lower = (char *)(uintptr_t)(SN_CELL_ADDRESS_MAX - bytes);
    assert_true(sn_reservation_is_nameable(&r));
    r.lower += SN_PAGE_BYTES;
    assert_false(sn_reservation_is_nameable(&r));
    r.lower = (char *)(uintptr_t)(SN_CELL_ADDRESS_MAX << 1);
    assert_false(sn_reservation_is_nameable(&r));
}

/* Words that were never headers, headers of another slot or another store: 1 in 128, and none that
 * is text. */
static void
test_what_is_no_header(void **state)
{
    (void)state;
    uint64_t random = seed;
    unsigned moved = 0, foreign = 0, noise = 0, text = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sample s = make_sample(&random);
        moved += sn_header_is_sound(s.secret, s.header, s.offset + 8 * (1 + i % 1000));
        uint64_t other = sn_header_secret(random_next(&random), s.secret & SN_SECRET_CELLS);
        foreign += sn_header_is_sound(other, s.header, s.offset);
        noise += sn_header_is_sound(s.secret, random_next(&random), s.offset);
        text += sn_header_is_sound(s.secret, UINT64_C(0x2020202020202020), s.offset);
        assert_false(sn_header_is_sound(s.secret, 0, s.offset));
        assert_false(sn_header_is_sound(s.secret, s.offset << 8, s.offset)); /* a limbo link */
        assert_true(sn_header_is_clear(s.offset << 8));
    }
    /* One of 64 by chance: with the mark, and without; of 32 in stores whose objects have cells. */
    assert_true(moved < ROUNDS / 20 && foreign < ROUNDS / 20 && noise < ROUNDS / 40);
    assert_int_equal(text, 0);
}

/* The mark is seen, is taken for no damage, ends with the header, and goes on to the next one. */
static void
test_mark(void **state)
{
    (void)state;
    uint64_t random = seed;
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct sample s = make_sample(&random);
        uint64_t marked = sn_header_with_mark(s.header, SN_HEADER_SAMPLED);
        const uint64_t *reference = sn_header_reference(s.header);
        assert_int_equal(sn_header_marks(s.secret, s.header, s.offset), 0);
        assert_int_equal(sn_header_marks(s.secret, marked, s.offset), SN_HEADER_SAMPLED);
        assert_true(sn_header_has_object(s.secret, marked, s.offset));
        assert_true(sn_header_names(s.secret, marked, reference, s.offset));
        assert_ptr_equal(sn_header_reference(marked), reference);
        assert_int_equal(sn_header_size(marked), sn_header_size(s.header));
        for (unsigned bit = 0; bit < 64; bit++) {
            uint64_t spoilt = marked ^ UINT64_C(1) << bit;
            assert_false(sn_header_has_object(s.secret, spoilt, s.offset));
        }
    }
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
test_cancel_move(void **state)
{
    static const handle_store store; /* whose objects have no cells */
    (void)state;
    const uint64_t live = sn_object_word(7, 4096, 0), moving = live | SN_WORD_MOVING;
    const uint64_t want = live & HANDLE_MATCH_MASK;
    uint64_t word = live;
    assert_int_equal(sn_reference_cancel_move(&store, &word, want, HANDLE_MATCH_MASK), live);
    assert_int_equal(word, live);
    word = moving;
    assert_int_equal(sn_reference_cancel_move(&store, &word, want, HANDLE_MATCH_MASK), live);
    assert_int_equal(word, live);
    /* Another generation's move is not ours to cancel. */
    word = moving;
    uint64_t stale = sn_object_word(6, 0, 0);
    assert_int_equal(sn_reference_cancel_move(&store, &word, stale, HANDLE_MATCH_MASK), moving);
    assert_int_equal(word, moving);
    word = sn_word_of_tag(8);
    assert_int_equal(sn_reference_cancel_move(&store, &word, want, HANDLE_MATCH_MASK), word);
    assert_int_equal(word, sn_word_of_tag(8));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_word_fields),
        cmocka_unit_test(test_word_at_another_slot),
        cmocka_unit_test(test_words_against_handles),
        cmocka_unit_test(test_header_fields),
        cmocka_unit_test(test_every_flipped_bit),
        cmocka_unit_test(test_what_is_no_header),
        cmocka_unit_test(test_mark),
        cmocka_unit_test(test_limbo_links),
        cmocka_unit_test(test_cancel_move),
        cmocka_unit_test(test_secrets),
        cmocka_unit_test(test_every_size),
        cmocka_unit_test(test_reservations_that_can_be_named),
        cmocka_unit_test(test_no_handle_matches_without_object),
    };
    return cmocka_run_group_tests_name("reference", tests, pick_seed, NULL);
}
