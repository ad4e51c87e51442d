/* SPDX-License-Identifier: MIT */
/*
 * test_hardened.c - poison: every byte of a slot is filled, none outside of it, and a change of any
 * bit is found; for slots on both sides of the size up to which no library function is called.
 * Leaving out one of the four stores of sn_poison_few, or one of the four loads of
 * sn_poison_has_few, fails here. And a word that is touched before it is read and written costs one
 * page fault: it was two without sn_touch, and where that loaded before it stored (arm64).
 */
#include "unit.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/hardened.h"

#define PAYLOAD_MAX 160u /* bytes, a multiple of 8 */
#define OUTSIDE     0x5a

/* The header's word, the payload, and a word behind it. */
static uint64_t slot[1 + PAYLOAD_MAX / 8 + 1];
#define DATA (slot + 1)

static void
poison(size_t payload)
{
    memset(slot, OUTSIDE, sizeof(slot));
    sn_poison_put(DATA, payload);
}

static void
test_fills_its_bytes_only(void **state)
{
    (void)state;
    for (size_t payload = 8; payload <= PAYLOAD_MAX; payload += 8) {
        poison(payload);
        assert_int_equal(slot[0], SN_POISONED_HEADER);
        const uint8_t *byte = (const uint8_t *)DATA;
        for (size_t i = 0; i < PAYLOAD_MAX + 8; i++)
            assert_int_equal(byte[i], i < payload ? SN_POISON_BYTE : OUTSIDE);
    }
}

static void
test_finds_every_bit(void **state)
{
    (void)state;
    for (size_t payload = 8; payload <= PAYLOAD_MAX; payload += 8) {
        poison(payload);
        assert_true(sn_poison_has(DATA, payload));
        for (size_t bit = 0; bit < payload * 8; bit++) {
            DATA[bit / 64] ^= UINT64_C(1) << (bit % 64);
            assert_false(sn_poison_has(DATA, payload));
            DATA[bit / 64] ^= UINT64_C(1) << (bit % 64);
        }
        assert_true(sn_poison_has(DATA, payload));
    }
}

static long
page_faults(void)
{
    struct rusage usage;
    assert_int_equal(getrusage(RUSAGE_THREAD, &usage), 0);
    return usage.ru_minflt;
}

static void
test_touches_by_one_page_fault(void **state)
{
    (void)state;
    if (slow_run()) /* sanitizers and valgrind have pages of their own, which fault, too */
        skip();
    const size_t pages = 64, page_bytes = (size_t)sysconf(_SC_PAGESIZE);
    char *memory =
        mmap(NULL, pages * page_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    (void)madvise(memory, pages * page_bytes, MADV_NOHUGEPAGE);
    long before = page_faults();
    for (size_t i = 0; i < pages; i++) {
        uint64_t *word = (uint64_t *)(void *)(memory + i * page_bytes);
        sn_touch(word, 7, 0);
        *(volatile uint64_t *)word = *(volatile uint64_t *)word + 1;
    }
    long faults = page_faults() - before;
    /* Half as many more for pages that the kernel takes back, or moves, meanwhile. */
    assert_in_range(faults, pages, pages + pages / 2);
    munmap(memory, pages * page_bytes);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fills_its_bytes_only),
        cmocka_unit_test(test_finds_every_bit),
        cmocka_unit_test(test_touches_by_one_page_fault),
    };
    return cmocka_run_group_tests_name("hardened", tests, NULL, NULL);
}
