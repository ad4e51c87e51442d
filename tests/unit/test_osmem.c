/* SPDX-License-Identifier: MIT */
/*
 * test_osmem.c - what is asked of the kernel: address space that reads as zero, pages given back,
 * the faults that tests can inject, clocks, threads and barriers. Whether a page is resident is
 * asked of mincore.
 */
#include "unit.h"

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#define RANGE (256 * SN_PAGE_BYTES)

/* In pages of the library's, however many of the kernel's one of them has. */
static size_t
resident_pages(void *address, size_t bytes)
{
    unsigned char pages[256 << (SN_PAGE_SHIFT_MAX - SN_PAGE_SHIFT_MIN)];
    size_t count = 0, kernels = bytes / sn_kernel_page_bytes();
    assert_true(kernels <= sizeof(pages));
    assert_int_equal(mincore(address, bytes, pages), 0);
    for (size_t i = 0; i < kernels; i++)
        count += pages[i] & 1;
    return count * sn_kernel_page_bytes() / SN_PAGE_BYTES;
}

/* ---- address space --------------------------------------------------------------------------- */

static void
test_reserve_is_aligned_and_zero(void **state)
{
    (void)state;
    static const size_t aligns[] = {4096, 65536, (size_t)2 << 20};
    for (unsigned i = 0; i < 3; i++) {
        char *base = sn_os_reserve(RANGE, aligns[i]);
        assert_non_null(base);
        assert_int_equal((uintptr_t)base % aligns[i], 0);
        sn_os_hugepages(base, RANGE, false); /* so that one byte is one page */
        assert_int_equal(resident_pages(base, RANGE), 0);
        for (size_t at = 0; at < RANGE; at += SN_PAGE_BYTES)
            assert_int_equal(base[at], 0);
        base[0] = base[RANGE - 1] = 1;
        sn_os_release(base, RANGE);
        assert_int_equal(mincore(base, 1, (unsigned char *)&(int){0}), -1);
    }
}

/* Neither the slack of the alignment nor anything else stays behind. */
static void
test_reserve_leaves_no_slack(void **state)
{
    (void)state;
    unsigned char page;
    char *base = sn_os_reserve(RANGE, (size_t)64 << 20);
    assert_non_null(base);
    assert_int_equal(mincore(base, 1, &page), 0);
    /* Above and below may lie somebody else's mappings, but not 64 MiB of ours. */
    size_t mapped = 0;
    for (size_t at = RANGE; at < (size_t)63 << 20; at += RANGE)
        mapped += mincore(base + at, 1, &page) == 0;
    assert_true(mapped < ((size_t)63 << 20) / RANGE - 1);
    sn_os_release(base, RANGE);
}

static void
test_reserve_fails(void **state)
{
    (void)state;
    errno = 0;
    assert_null(sn_os_reserve(SIZE_MAX - 100, SN_PAGE_BYTES));
    assert_int_equal(errno, ENOMEM);
    errno = 0;
    assert_null(sn_os_reserve((size_t)1 << 60, SN_PAGE_BYTES));
    assert_int_equal(errno, ENOMEM);
    fail_next(SN_INJECT_MMAP, 0, 1);
    errno = 0;
    assert_null(sn_os_reserve(RANGE, SN_PAGE_BYTES));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(fail_none(), 1);
}

/* More than the machine has: it is address space, not memory. */
static void
test_reserve_commits_nothing(void **state)
{
    (void)state;
    size_t bytes = sn_os_physical_bytes() * 2;
    char *base = sn_os_reserve(bytes, SN_PAGE_BYTES);
    assert_non_null(base);
    base[0] = base[bytes / 2] = base[bytes - 1] = 1;
    sn_os_release(base, bytes);
}

/* ---- pages ----------------------------------------------------------------------------------- */

static void
test_discard(void **state)
{
    (void)state;
    char *base = sn_os_reserve(RANGE, SN_PAGE_BYTES);
    sn_os_hugepages(base, RANGE, false);
    memset(base, 1, RANGE);
    assert_int_equal(resident_pages(base, RANGE), 256);
    assert_true(sn_os_discard(base + 8 * SN_PAGE_BYTES, 16 * SN_PAGE_BYTES));
    assert_int_equal(resident_pages(base, RANGE), 240);
    for (size_t at = 0; at < RANGE; at++) {
        bool gone = at >= 8 * SN_PAGE_BYTES && at < 24 * SN_PAGE_BYTES;
        if (base[at] != !gone)
            fail_msg("byte %zu", at);
    }
    fail_next(SN_INJECT_MADVISE, 0, 1);
    errno = 0;
    assert_false(sn_os_discard(base, SN_PAGE_BYTES));
    assert_int_equal(errno, ENOMEM);
    assert_int_equal(base[0], 1); /* nothing changed */
    assert_int_equal(fail_none(), 1);
    sn_os_release(base, RANGE);
    assert_false(sn_os_discard((void *)(uintptr_t)1, SN_PAGE_BYTES)); /* no page begins there */
}

/* Whether exactly the first `gone` of three ranges of four pages, at pages 8, 16 and 24, read as
 * zero. */
static void
assert_gone(const char *base, size_t gone)
{
    for (size_t at = 0; at < RANGE; at++) {
        size_t page = at / SN_PAGE_BYTES;
        bool in_range = page >= 8 && page % 8 < 4 && page / 8 <= gone;
        if (base[at] != !in_range)
            fail_msg("%zu gone, byte %zu", gone, at);
    }
}

static size_t
discard_three(char *base)
{
    const size_t bytes = 4 * SN_PAGE_BYTES;
    const struct iovec ranges[] = {{base + 8 * SN_PAGE_BYTES, bytes},
                                   {base + 16 * SN_PAGE_BYTES, bytes},
                                   {base + 24 * SN_PAGE_BYTES, bytes}};
    memset(base, 1, RANGE);
    return sn_os_discard_many(ranges, 3);
}

/*
 * By one call, where the kernel has it, and range by range; in both ways the second or the third
 * may fail. Seen failing with a count that takes a range for given back that was not, and with one
 * that stops at the first.
 */
static void
test_discard_many(void **state)
{
    (void)state;
    char *base = sn_os_reserve(RANGE, SN_PAGE_BYTES);
    sn_os_hugepages(base, RANGE, false);
    assert_int_equal(discard_three(base), 3);
    assert_gone(base, 3);
    fail_next(SN_INJECT_PROCESS_MADVISE, 0, 1);
    assert_int_equal(discard_three(base), 3);
    assert_gone(base, 3);
    assert_int_equal(fail_none(), 1);
    for (unsigned first = 0; first < 3; first++) {
        fail_next(SN_INJECT_MADVISE, first, 1);
        errno = 0;
        assert_int_equal(discard_three(base), first);
        assert_int_equal(errno, ENOMEM);
        assert_int_equal(fail_none(), 1);
        assert_gone(base, first);
    }
    sn_os_release(base, RANGE);
}

/* The kernel's own refusal: no page begins there. What follows it is left alone. */
static void
test_discard_many_stops_at_a_refusal(void **state)
{
    (void)state;
    char *base = sn_os_reserve(RANGE, SN_PAGE_BYTES);
    sn_os_hugepages(base, RANGE, false);
    memset(base, 1, RANGE);
    const struct iovec ranges[] = {{base, SN_PAGE_BYTES},
                                   {(void *)(uintptr_t)1, SN_PAGE_BYTES},
                                   {base + 2 * SN_PAGE_BYTES, SN_PAGE_BYTES}};
    errno = 0;
    assert_int_equal(sn_os_discard_many(ranges, 3), 1);
    assert_int_not_equal(errno, 0);
    assert_int_equal(base[0], 0);
    assert_int_equal(base[2 * SN_PAGE_BYTES], 1);
    sn_os_release(base, RANGE);
}

static void
test_hugepages_are_a_hint(void **state)
{
    (void)state;
    char *base = sn_os_reserve(RANGE, SN_PAGE_BYTES);
    base[5] = 1;
    sn_os_hugepages(base, RANGE, true);
    sn_os_hugepages(base, RANGE, false);
    fail_next(SN_INJECT_MADVISE, 0, 1);
    sn_os_hugepages(base, RANGE, true); /* failure is ignored */
    assert_int_equal(fail_none(), 1);
    assert_int_equal(base[5], 1);
    sn_os_release(base, RANGE);
}

static void
test_small_structures(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        unsigned char *bytes = sn_os_zalloc(1000);
        assert_non_null(bytes);
        for (unsigned k = 0; k < 1000; k++)
            assert_int_equal(bytes[k], 0);
        memset(bytes, 0xff, 1000);
        sn_os_free(bytes);
    }
    sn_os_free(NULL);
    fail_next(SN_INJECT_MALLOC, 1, 1);
    void *first = sn_os_zalloc(8);
    assert_non_null(first);
    errno = 0;
    assert_null(sn_os_zalloc(8));
    assert_int_equal(errno, ENOMEM);
    void *third = sn_os_zalloc(8);
    assert_non_null(third);
    fail_none();
    sn_os_free(first);
    sn_os_free(third);
}

/* ---- the machine ----------------------------------------------------------------------------- */

static void
test_machine(void **state)
{
    (void)state;
    assert_true(sn_page_size_fits());
    assert_true(SN_PAGE_BYTES >= sn_kernel_page_bytes());
    assert_true(sn_os_physical_bytes() >= RANGE);
    assert_int_equal(sn_os_physical_bytes() % sn_kernel_page_bytes(), 0);
    assert_in_range(sn_os_l2_bytes(), 1024, (size_t)1 << 32);
    uint64_t before = sn_os_now_ns();
    for (unsigned i = 0; i < 1000; i++) {
        uint64_t now = sn_os_now_ns();
        assert_true(now >= before);
        before = now;
    }
    struct timespec moment = {.tv_nsec = 2000000};
    nanosleep(&moment, NULL);
    assert_true(sn_os_now_ns() - before >= 2000000); /* nanoseconds, and they pass */
}

static void
test_resident_bytes_follow(void **state)
{
    (void)state;
    size_t bytes = 64 * RANGE;
    char *base = sn_os_reserve(bytes, SN_PAGE_BYTES);
    uint64_t before = sn_os_resident_bytes();
    assert_true(before > 0);
    memset(base, 1, bytes);
    assert_true(sn_os_resident_bytes() >= before + bytes / 2);
    assert_true(sn_os_discard(base, bytes));
    if (!TEST_TSAN) /* whose shadow memory stays */
        assert_true(sn_os_resident_bytes() <= before + bytes / 2);
    sn_os_release(base, bytes);
}

static void
test_random_values_differ(void **state)
{
    (void)state;
    uint64_t value[64], ones = 0, zeros = 0;
    for (unsigned i = 0; i < 64; i++) {
        value[i] = sn_os_random();
        ones |= value[i];
        zeros |= ~value[i];
        for (unsigned k = 0; k < i; k++)
            assert_true(value[k] != value[i]);
    }
    assert_true(ones == UINT64_MAX && zeros == UINT64_MAX);
}

/* ---- barriers -------------------------------------------------------------------------------- */

/*
 * The asymmetric pair that the library builds on: one side stores and loads with a compiler fence
 * only, the other has the membarrier between its store and its load. Both loads never miss.
 */
struct pair {
    uint32_t light, heavy;
    uint32_t saw_heavy, saw_light;
    unsigned rounds;
    pthread_barrier_t barrier;
};

static void
pair_side(void *arg, unsigned index)
{
    struct pair *pair = arg;
    for (unsigned i = 0; i < pair->rounds; i++) {
        if (index == 0)
            pair->light = pair->heavy = 0;
        pthread_barrier_wait(&pair->barrier);
        if (index == 0) {
            __atomic_store_n(&pair->light, 1, __ATOMIC_RELAXED);
            __atomic_signal_fence(__ATOMIC_SEQ_CST);
            pair->saw_heavy = __atomic_load_n(&pair->heavy, __ATOMIC_RELAXED);
        } else {
            __atomic_store_n(&pair->heavy, 1, __ATOMIC_RELAXED);
            sn_os_membarrier();
            pair->saw_light = __atomic_load_n(&pair->light, __ATOMIC_RELAXED);
        }
        pthread_barrier_wait(&pair->barrier);
        thread_check(index != 0 || pair->saw_heavy || pair->saw_light);
        pthread_barrier_wait(&pair->barrier);
    }
}

static void
test_membarrier_pairs_with_a_compiler_fence(void **state)
{
    (void)state;
    bool works = sn_os_membarrier_init();
    assert_int_equal(sn_os_membarrier_init(), works);
    if (!works)
        skip(); /* the kernel has none: owners use a fence, and nothing is asymmetric */
    struct pair pair = {.rounds = scaled(20000)};
    pthread_barrier_init(&pair.barrier, NULL, 2);
    run_threads(2, pair_side, &pair);
    pthread_barrier_destroy(&pair.barrier);
}

/* ---- time and threads ------------------------------------------------------------------------ */

static void
test_times_as_waits_want_them(void **state)
{
    (void)state;
    static const uint64_t times[] = {0, 1, 999999999, 1000000000, UINT64_C(86400123456789012)};
    for (unsigned i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
        struct timespec time = sn_os_timespec(times[i]);
        assert_in_range(time.tv_nsec, 0, 999999999);
        assert_int_equal((uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec, times[i]);
    }
}

struct started {
    sigset_t blocked;
    char name[16];
};

static void *
look_around(void *opaque)
{
    struct started *started = opaque;
    pthread_sigmask(SIG_SETMASK, NULL, &started->blocked);
    while (pthread_getname_np(pthread_self(), started->name, sizeof(started->name)) == 0 &&
           strncmp(started->name, "sn-", 3) != 0) /* who starts it names it afterwards */
        nap();
    return NULL;
}

/* Signals of the application are not for the library's threads. Seen failing without the mask. */
static void
test_threads_block_signals(void **state)
{
    (void)state;
    struct started started = {.name = ""};
    pthread_t thread;
    sigset_t before, after;
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    assert_int_equal(sn_os_start_thread(&thread, look_around, &started, "sn-0123456789abcdef"), 0);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_string_equal(started.name, "sn-0123456789ab");
    assert_int_equal(sigismember(&started.blocked, SIGTERM), 1);
    assert_int_equal(sigismember(&started.blocked, SIGCHLD), 1);
    assert_int_equal(sigismember(&after, SIGTERM), sigismember(&before, SIGTERM));
    fail_next(SN_INJECT_THREAD, 0, 1);
    assert_int_equal(sn_os_start_thread(&thread, look_around, &started, "sn-none"), EAGAIN);
    assert_int_equal(fail_none(), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reserve_is_aligned_and_zero),
        cmocka_unit_test(test_reserve_leaves_no_slack),
        cmocka_unit_test(test_reserve_fails),
        cmocka_unit_test(test_reserve_commits_nothing),
        cmocka_unit_test(test_discard),
        cmocka_unit_test(test_discard_many),
        cmocka_unit_test(test_discard_many_stops_at_a_refusal),
        cmocka_unit_test(test_hugepages_are_a_hint),
        cmocka_unit_test(test_small_structures),
        cmocka_unit_test(test_machine),
        cmocka_unit_test(test_resident_bytes_follow),
        cmocka_unit_test(test_random_values_differ),
        cmocka_unit_test(test_times_as_waits_want_them),
        cmocka_unit_test(test_threads_block_signals),
        cmocka_unit_test(test_membarrier_pairs_with_a_compiler_fence),
    };
    return cmocka_run_group_tests_name("osmem", tests, NULL, NULL);
}
