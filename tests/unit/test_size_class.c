/* SPDX-License-Identifier: MIT */
/*
 * test_size_class.c - the tables of size classes, over every size and every alignment. The expected
 * values are computed here from what size_class.h promises, by search instead of by table.
 */
#include "unit.h"

static const uint32_t alignments[] = {8, 16, 64};
static const uint32_t extras[] = {0, 8};

static void
for_each_table(void (*test)(const struct sn_classes *classes, uint32_t alignment))
{
    for (size_t a = 0; a < 3; a++) {
        for (size_t e = 0; e < 2; e++) {
            struct sn_classes classes;
            sn_classes_init(&classes, alignments[a], extras[e]);
            assert_int_equal(classes.extra, extras[e]);
            test(&classes, alignments[a]);
        }
    }
}

/* ---- slot sizes ------------------------------------------------------------------------------ */

static void
slots_rise_and_are_aligned(const struct sn_classes *classes, uint32_t alignment)
{
    assert_in_range(classes->count, 1, SN_CLASSES_MAX);
    assert_true(classes->count < SN_CLASS_NONE);
    uint32_t before = 0;
    for (uint32_t i = 0; i < classes->count; i++) {
        assert_true(classes->of[i].slot_bytes > before);
        assert_int_equal(classes->of[i].slot_bytes % alignment, 0);
        before = classes->of[i].slot_bytes;
    }
    assert_int_equal(classes->of[0].slot_bytes, alignment > 16 ? alignment : 16);
    assert_int_equal(before, SN_SLOT_MAX_BYTES);
}

static void
every_size_gets_the_smallest_class(const struct sn_classes *classes, uint32_t alignment)
{
    (void)alignment;
    unsigned smallest = 0;
    size_t max = sn_classes_max_size(classes);
    assert_int_equal(max + SN_HEADER_BYTES + classes->extra, SN_SLOT_MAX_BYTES);
    for (size_t size = 0; size <= max; size++) {
        size_t need = size + SN_HEADER_BYTES + classes->extra;
        while (classes->of[smallest].slot_bytes < need)
            smallest++;
        if (sn_class_for(classes, size + classes->extra) != smallest)
            fail_msg("size %zu: class %u, the smallest is %u", size,
                     sn_class_for(classes, size + classes->extra), smallest);
        assert_true(sn_class_payload(&classes->of[smallest]) >= size + classes->extra);
    }
}

static void
test_slot_sizes(void **state)
{
    (void)state;
    for_each_table(slots_rise_and_are_aligned);
}

static void
test_smallest_class(void **state)
{
    (void)state;
    for_each_table(every_size_gets_the_smallest_class);
}

/* The bound in size_class.h, for the default alignment, in whole numbers rounded down. */
static size_t
most_slot_bytes(size_t need)
{
    if (need <= 512)
        return need + 7;
    if (need <= 2048)
        return need * 33 / 32 + 1;
    return need * 17 / 16 + 1;
}

static void
test_waste_bound(void **state)
{
    (void)state;
    struct sn_classes classes;
    sn_classes_init(&classes, 8, 0);
    for (size_t size = 0; size <= sn_classes_max_size(&classes); size++) {
        size_t slot = classes.of[sn_class_for(&classes, size)].slot_bytes;
        if (slot < 24) /* the smallest slot serves what is smaller, too */
            continue;
        if (slot > most_slot_bytes(size + SN_HEADER_BYTES))
            fail_msg("size %zu: slot of %zu bytes, bound %zu", size, slot,
                     most_slot_bytes(size + SN_HEADER_BYTES));
    }
}

/* ---- spans ----------------------------------------------------------------------------------- */

static uint32_t
slots_in(const struct sn_class *c, uint32_t alignment, uint32_t blocks)
{
    return ((blocks << SN_BLOCK_SHIFT) - (alignment - SN_HEADER_BYTES)) / c->slot_bytes;
}

static uint32_t
touched_bytes(const struct sn_class *c, uint32_t alignment, uint32_t blocks)
{
    uint32_t used = slots_in(c, alignment, blocks) * c->slot_bytes + alignment - SN_HEADER_BYTES;
    return (used + SN_PAGE_BYTES - 1) / SN_PAGE_BYTES * SN_PAGE_BYTES;
}

/* At most 1 % of the pages are of no use to any slot. */
static bool
is_tight(const struct sn_class *c, uint32_t alignment, uint32_t blocks)
{
    uint32_t touched = touched_bytes(c, alignment, blocks);
    uint32_t used = slots_in(c, alignment, blocks) * c->slot_bytes;
    return (touched - used) * 100 <= used;
}

static void
spans_waste_little(const struct sn_classes *classes, uint32_t alignment)
{
    for (uint32_t i = 0; i < classes->count; i++) {
        const struct sn_class *c = &classes->of[i];
        assert_in_range(c->blocks, 1, SN_SPAN_BLOCKS_MAX);
        assert_int_equal(c->lead, alignment - SN_HEADER_BYTES);
        assert_int_equal(c->slots, slots_in(c, alignment, c->blocks));
        assert_int_equal(c->pages * SN_PAGE_BYTES, touched_bytes(c, alignment, c->blocks));
        assert_true(c->pages <= c->blocks * SN_BLOCK_PAGES);
        assert_true(c->pages > (c->blocks - 1) * SN_BLOCK_PAGES); /* the last block is of use */
        assert_in_range(c->slots, 1, SN_BITMAP_LINES * SN_LINE_WORDS * 64);
        if (!is_tight(c, alignment, c->blocks) && SN_PAGE_SHIFT == SN_PAGE_SHIFT_MIN)
            fail_msg("slots of %u bytes: tail waste above 1 %%", c->slot_bytes);
    }
}

static void
spans_are_the_shortest(const struct sn_classes *classes, uint32_t alignment)
{
    for (uint32_t i = 0; i < classes->count; i++) {
        const struct sn_class *c = &classes->of[i];
        for (uint32_t blocks = 1; blocks < c->blocks; blocks++)
            assert_true(slots_in(c, alignment, blocks) == 0 || !is_tight(c, alignment, blocks));
    }
}

static void
slot_index_is_exact(const struct sn_classes *classes, uint32_t alignment)
{
    for (uint32_t i = 0; i < classes->count; i++) {
        const struct sn_class *c = &classes->of[i];
        for (uint32_t slot = 0; slot < c->slots; slot++) {
            uint64_t offset = sn_slot_offset(c, 3, slot);
            assert_int_equal(sn_slot_index(c, (uint64_t)slot * c->slot_bytes), slot);
            assert_int_equal(sn_slot_of(c, 3, offset), slot);
            assert_int_equal(offset % alignment, 0);
            assert_true(offset % SN_BLOCK_BYTES != 0); /* there large objects are: handle_free */
            assert_true(offset - sn_span_offset(3) + c->slot_bytes - SN_HEADER_BYTES <=
                        c->pages * SN_PAGE_BYTES);
        }
    }
}

static void
caches_are_bounded(const struct sn_classes *classes, uint32_t alignment)
{
    (void)alignment;
    for (uint32_t i = 0; i < classes->count; i++) {
        const struct sn_class *c = &classes->of[i];
        assert_in_range(c->cache_slots, 2, SN_CACHE_CLASS_SLOTS);
        uint32_t bytes = c->cache_slots * c->slot_bytes;
        assert_true(bytes <= SN_CACHE_CLASS_BYTES ||
                    (bytes <= SN_CACHE_FEW_BYTES && c->cache_slots <= SN_CACHE_FEW_SLOTS));
    }
}

static void
test_span_waste(void **state)
{
    (void)state;
    for_each_table(spans_waste_little);
}

static void
test_span_shortest(void **state)
{
    (void)state;
    for_each_table(spans_are_the_shortest);
}

static void
test_slot_index(void **state)
{
    (void)state;
    for_each_table(slot_index_is_exact);
}

static void
test_cache_bounds(void **state)
{
    (void)state;
    for_each_table(caches_are_bounded);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slot_sizes),    cmocka_unit_test(test_smallest_class),
        cmocka_unit_test(test_waste_bound),   cmocka_unit_test(test_span_waste),
        cmocka_unit_test(test_span_shortest), cmocka_unit_test(test_slot_index),
        cmocka_unit_test(test_cache_bounds),
    };
    return cmocka_run_group_tests_name("size_class", tests, NULL, NULL);
}
