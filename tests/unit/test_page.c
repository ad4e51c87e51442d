/* SPDX-License-Identifier: MIT */
/*
 * test_page.c - pages as large as the kernel's, or larger, if SINTER_DEBUG_PAGE_BYTES says so: what
 * is resident is what counts as committed, page for page, after taking, trimming and purging; a
 * released page of the handle table is gone; the layout of spans is whole pages.
 */
#include "unit.h"

#include <sys/mman.h>
#include <unistd.h>

#include "insight/map_lines.h"
#include "memory/trim.h"

/* ---- the size -------------------------------------------------------------------------------- */

static void
test_size(void **state)
{
    (void)state;
    const char *wanted = getenv(SN_PAGE_VARIABLE);
    size_t kernel = (size_t)sysconf(_SC_PAGESIZE);
    assert_int_equal(sn_kernel_page_bytes(), kernel);
    assert_true(sn_page_size_fits());
    assert_int_equal(SN_PAGE_BYTES, sn_max(wanted ? strtoul(wanted, NULL, 10) : 0, kernel));
    assert_int_equal(SN_BLOCK_PAGES * SN_PAGE_BYTES, SN_BLOCK_BYTES);
    assert_int_equal(SN_BLOCK_PAGES, 1 << SN_BLOCK_PAGES_SHIFT);
    assert_int_equal(SN_TABLE_PAGE_ENTRIES * 8, SN_PAGE_BYTES);
    assert_true(SN_TABLE_PAGE_ENTRIES <= SN_TABLE_PLACE_MASK);
}

/* Maps have a character for 4 KiB. */
static void
test_pieces_of_a_map(void **state)
{
    (void)state;
    for (unsigned dirty = 0; dirty <= UINT16_MAX; dirty++)
        assert_int_equal(sn_map_pieces((uint16_t)dirty, 4096), dirty);
    assert_int_equal(sn_map_pieces(0x5, 16384), 0x0f0f);
    assert_int_equal(sn_map_pieces(0x8, 16384), 0xf000);
    assert_int_equal(sn_map_pieces(0x1, 65536), 0xffff);
    assert_int_equal(sn_map_pieces(0, 65536), 0);
}

/* ---- what is resident ------------------------------------------------------------------------ */

/* Kernel's pages in memory of one page of the library's. */
static unsigned
resident_in(char *page)
{
    unsigned char kernels[1 << (SN_PAGE_SHIFT_MAX - SN_PAGE_SHIFT_MIN)];
    unsigned count = 0;
    assert_int_equal(mincore(page, SN_PAGE_BYTES, kernels), 0);
    for (size_t i = 0; i < SN_PAGE_BYTES / sn_kernel_page_bytes(); i++)
        count += kernels[i] & 1;
    return count;
}

/* Whether no page is in memory that is not counted as committed. Result: those that are. */
static uint64_t
assert_resident_is_committed(const struct world *world)
{
    const struct sn_pool *pool = &world->pool;
    uint64_t pages = 0;
    for (uint32_t block = 1; block < pool->blocks; block++) {
        for (uint32_t page = 0; page < SN_BLOCK_PAGES; page++) {
            bool committed = pool->spans[block].dirty >> page & 1;
            char *at = world->arena + sn_span_offset(block) + page * SN_PAGE_BYTES;
            pages += committed;
            if (!committed && resident_in(at) > 0)
                fail_msg("block %u, page %u: in memory, and not committed", block, page);
        }
        assert_true(pool->spans[block].dirty < UINT32_C(1) << SN_BLOCK_PAGES);
    }
    assert_int_equal(pages * SN_PAGE_BYTES, pool->arena_committed);
    return pages;
}

/* Takes many slots and fills them. */
static uint32_t
take_and_fill(struct world *world, unsigned class_id, uint64_t *slots, uint32_t want)
{
    uint32_t taken = 0, got;
    uint32_t bytes = world->classes.of[class_id].payload;
    do {
        got = sn_heap_take(&world->heap, class_id, SN_MOVABLE, SN_CHARGE_APPLICATION, want - taken,
                           slots + taken);
        taken += got;
    } while (got > 0 && taken < want);
    for (uint32_t i = 0; i < taken; i++)
        memset(world->arena + slots[i], 1, bytes);
    return taken;
}

enum { SLOTS = 2000 };

static uint32_t
trim_all(struct world *world)
{
    size_t bytes = 0;
    for (uint32_t number = 1; number < world->pool.high; number += world->pool.spans[number].blocks)
        if (sn_span_state(&world->pool.spans[number]) == SN_SPAN_OPEN)
            bytes += sn_heap_trim(&world->heap, number);
    return (uint32_t)(bytes / SN_PAGE_BYTES);
}

static void
test_slots(void **state)
{
    struct world *world = *state;
    static const uint32_t size[] = {16, 100, 1000, 5000, 20000, 40000, 65000};
    for (size_t i = 0; i < sizeof(size) / sizeof(size[0]); i++) {
        static uint64_t slots[SLOTS];
        unsigned class_id = sn_class_for(&world->classes, size[i]);
        uint32_t want = (uint32_t)sn_min(SLOTS, (size_t)12 * SN_BLOCK_BYTES / size[i]);
        uint32_t taken = take_and_fill(world, class_id, slots, want);
        assert_int_equal(taken, want);
        assert_resident_is_committed(world);
        /* Three of four runs of slots that are as long as two pages: one lies under free ones. */
        uint64_t run = 2 * SN_PAGE_BYTES + 2 * size[i];
        uint32_t kept = 0;
        for (uint32_t k = 0; k < taken; k++) {
            if (slots[k] / run % 4 == 0)
                slots[kept++] = slots[k];
            else
                sn_heap_put(&world->heap, class_id, &slots[k], 1);
        }
        trim_all(world);
        assert_resident_is_committed(world);
        assert_class_sound(world, class_id);
        for (uint32_t k = 0; k < kept; k++)
            assert_int_equal(world->arena[slots[k]], 1);
        sn_heap_put(&world->heap, class_id, slots, kept);
        uint64_t next;
        sn_pool_purge(&world->pool, UINT64_MAX, 0, &next);
        assert_pool_sound(world);
        assert_resident_is_committed(world);
    }
    (void)trim_all(world);
    assert_true(assert_resident_is_committed(world) <= SN_BLOCK_PAGES * 16);
}

static void
test_large_objects(void **state)
{
    struct world *world = *state;
    bool zero;
    uint64_t offset = sn_large_take(&world->large, 5 * SN_BLOCK_BYTES + 1, false, &zero);
    assert_int_not_equal(offset, 0);
    memset(world->arena + offset, 1, 5 * SN_BLOCK_BYTES + 1);
    assert_int_equal(assert_resident_is_committed(world), 5 * SN_BLOCK_PAGES + 1);
    assert_int_equal(sn_pool_trim(&world->pool, sn_block_of(offset), (uint32_t)SN_BLOCK_PAGES,
                                  5 * (uint32_t)SN_BLOCK_PAGES + 1),
                     4 * SN_BLOCK_BYTES + SN_PAGE_BYTES);
    assert_int_equal(assert_resident_is_committed(world), SN_BLOCK_PAGES);
    assert_int_equal(world->arena[offset + SN_BLOCK_BYTES - 1], 1);
    sn_large_put(&world->large, offset);
    uint64_t next;
    assert_int_equal(sn_pool_purge(&world->pool, UINT64_MAX, 0, &next), SN_BLOCK_BYTES);
    assert_int_equal(assert_resident_is_committed(world), 0);
}

/* ---- the handle table ------------------------------------------------------------------------ */

static void
test_released_page_of_the_table(void **state)
{
    (void)state;
    struct sn_table table = {0};
    struct sn_budget budget = {0};
    size_t bytes = 4 * SN_PAGE_BYTES, groups = sn_table_groups_bytes(bytes);
    char *words = sn_os_reserve(bytes, SN_PAGE_BYTES);
    char *metadata = sn_os_reserve(groups, SN_PAGE_BYTES);
    static uint64_t entry[3 << (SN_PAGE_SHIFT_MAX - 3)];
    uint32_t count = 3 * (uint32_t)SN_TABLE_PAGE_ENTRIES - 1;
    sn_table_init(&table, words, bytes, metadata + groups, 1, &budget);
    for (uint32_t taken = 0; taken < count;)
        taken += sn_table_take(&table, entry + taken, count - taken);
    unsigned whole = (unsigned)(SN_PAGE_BYTES / sn_kernel_page_bytes());
    for (unsigned page = 0; page < 3; page++)
        assert_int_equal(resident_in(words + page * SN_PAGE_BYTES), whole);
    assert_int_equal(resident_in(words + 3 * SN_PAGE_BYTES), 0);
    for (uint32_t i = 0; i < count; i++) /* all of pages 1 and 2 but the very last entry */
        if (entry[i] >= SN_PAGE_BYTES && entry[i] != 3 * SN_PAGE_BYTES - 8)
            sn_table_put(&table, &entry[i], 1);
    assert_int_equal(sn_table_purge(&table, UINT32_MAX), SN_PAGE_BYTES);
    assert_int_equal(resident_in(words + SN_PAGE_BYTES), 0);
    assert_int_equal(resident_in(words + 2 * SN_PAGE_BYTES), whole);
    sn_os_release(words, bytes);
    sn_os_release(metadata, groups);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_pieces_of_a_map),
        WORLD_TEST(test_slots, 64),
        WORLD_TEST(test_large_objects, 64),
        cmocka_unit_test(test_released_page_of_the_table),
    };
    return cmocka_run_group_tests_name("page", tests, NULL, NULL);
}
