/* SPDX-License-Identifier: MIT */
/*
 * test_stores.c - many stores in one process, and stores that grow: address space and mappings
 * that a store takes, beside a program that wants its own; extension in place while readers read,
 * and what happens where it is not possible; limits of the process.
 *
 * Seen failing: reservations of six times the physical memory (after some 900 stores nothing is
 * left of the address space); a table end that is not raised with the table; a blocked extension
 * without a line.
 */
#include "support.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- what the process has -------------------------------------------------------------------- */

static unsigned
count_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    unsigned lines = 0;
    assert_non_null(file);
    for (int c; (c = getc(file)) != EOF;)
        lines += c == '\n';
    fclose(file);
    return lines;
}

/* The end of the mapping that an address lies in. */
static char *
mapping_end(const void *address)
{
    FILE *file = fopen("/proc/self/maps", "r");
    char line[512];
    uintptr_t begin, end = 0;
    bool found = false;
    assert_non_null(file);
    while (!found && fgets(line, sizeof(line), file))
        found = sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &begin, &end) == 2 &&
                (uintptr_t)address >= begin && (uintptr_t)address < end;
    fclose(file);
    assert_true(found);
    return (char *)end;
}

static uint64_t
stat_of(handle_store *store, size_t offset)
{
    struct handle_stats stats = take_stats(store);
    uint64_t value;
    memcpy(&value, (const char *)&stats + offset, sizeof(value));
    return value;
}
#define STAT(store, member) stat_of(store, offsetof(struct handle_stats, member))

/* Stores that begin small need a part of the address space that sanitizers keep for themselves, and
 * valgrind for itself. */
static bool
begins_small(handle_store *store)
{
    if (STAT(store, reserved) < 4 * GIB)
        return true;
    assert_true(slow_run());
    return false;
}

/* ---- many stores ----------------------------------------------------------------------------- */

#define MANY 10000

static void
many_default_stores(void **state)
{
    (void)state;
    static handle_store *stores[MANY];
    static handle_t handles[MANY];
    unsigned count = slow_run() ? 8 : MANY;
    unsigned mappings = count_mappings();
    for (unsigned i = 0; i < count; i++) {
        stores[i] = handle_store_create(NULL);
        assert_non_null(stores[i]);
        if (i % 64 == 0)
            handles[i] = make_object(stores[i], 100, i);
    }
    /* Sanitizers map memory for each mapping that they watch, and valgrind hides its own. */
    if (!slow_run())
        assert_in_range(count_mappings() - mappings, 0, 3 * count + count / 64 + count / 16 + 64);
    void *own = malloc(GIB);
    assert_non_null(own);
    free(own);
    for (unsigned i = 0; i < count; i += 64)
        assert_object(stores[i], handles[i], 100, i);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(handle_store_destroy(stores[i]), 0);
    assert_in_range(count_mappings(), 0, mappings + 500);
}

/* ---- what a store costs ---------------------------------------------------------------------- */

/* Pages of the mapping that an address lies in which are there, and not only read. */
static uint64_t
resident_bytes(const void *address)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    char line[512];
    uintptr_t begin, end;
    unsigned long kib;
    uint64_t bytes = 0;
    bool inside = false;
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2)
            inside = (uintptr_t)address >= begin && (uintptr_t)address < end;
        else if (inside && sscanf(line, "Anonymous: %lu kB", &kib) == 1)
            bytes += (uint64_t)kib * 1024;
    }
    fclose(file);
    return bytes;
}

/* Its mappings, whatever the C library does. Seen failing with locks of all size classes that
 * are made at once (96 KiB more), and a fallback cache whose bins are filled in (12 KiB). */
static void
few_objects_cost_little(void **state)
{
    (void)state;
    enum { OBJECTS = 100, SIZE = 64 };
    handle_store *store = handle_store_create(NULL);
    handle_t handle = HANDLE_NULL;
    assert_non_null(store);
    if (begins_small(store)) {
        for (unsigned i = 0; i < OBJECTS; i++)
            handle = make_object(store, SIZE, i);
        section_enter();
        const void *object = handle_deref(store, handle);
        section_leave();
        uint64_t bytes = resident_bytes(store) + resident_bytes(object);
        assert_in_range(bytes, OBJECTS * SIZE, OBJECTS * SIZE + 64 * 1024);
    }
    assert_int_equal(handle_store_destroy(store), 0);
}

static unsigned
count_threads(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    unsigned threads = 0;
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        (void)sscanf(line, "Threads: %u", &threads);
    fclose(file);
    return threads;
}

/* A thread that was joined leaves the kernel's list a moment later. */
static void
await_threads(unsigned threads)
{
    for (unsigned turns = 0; count_threads() > threads; turns++) {
        assert_in_range(turns, 0, 1000000); /* would go on for ever */
        grace_period();
    }
}

/* A store has a thread while it has something to compact, and none before or after. */
static void
threads_come_with_work(void **state)
{
    struct fixture *fixture = *state; /* its store's grace-period thread is there */
    handle_store *stores[20];
    static handle_t handles[20000];
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    await_threads(count_threads());
    unsigned before = count_threads();
    for (unsigned i = 0; i < 20; i++) {
        stores[i] = handle_store_create(NULL);
        assert_non_null(stores[i]);
        make_object(stores[i], 100, i);
        assert_int_equal(handle_store_set(stores[i], "purge_delay_ms", "100"), 0);
    }
    assert_int_equal(count_threads(), before);
    for (unsigned i = 0; i < 20000; i++)
        handles[i] = make_object(stores[0], 1000, i);
    for (unsigned i = 0; i < 20000; i++)
        if (i % 4 != 0)
            assert_int_equal(handle_free(stores[0], handles[i]), 0);
    while (STAT(stores[0], compaction_released) == 0)
        grace_period();
    await_threads(before);
    for (unsigned i = 0; i < 20000; i += 400)
        assert_object(stores[0], handles[i], 1000, i);
    assert_clean(stores[0]);
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(handle_store_destroy(stores[i]), 0);
}

/* Places are used again: stores that come and go do not push later ones together. */
static void
places_are_used_again(void **state)
{
    (void)state;
    handle_store *kept = handle_store_create(NULL);
    char first[32], later[32];
    assert_non_null(kept);
    if (begins_small(kept)) {
        assert_int_equal(handle_store_get(kept, "arena_bytes", first, sizeof(first)), 0);
        for (unsigned i = 0; i < 2000; i++) {
            handle_store *store = handle_store_create(NULL);
            assert_non_null(store);
            assert_int_equal(handle_store_get(store, "arena_bytes", later, sizeof(later)), 0);
            assert_string_equal(first, later);
            assert_int_equal(handle_store_destroy(store), 0);
        }
    }
    assert_int_equal(handle_store_destroy(kept), 0);
}

/* ---- growth ---------------------------------------------------------------------------------- */

#define READERS 2

struct growth {
    handle_store *store;
    handle_t *handles;
    handle_cell *cells;
    unsigned count; /* atomic; so many are there */
    bool over;      /* atomic */
};

/* The first bytes of an object say which it is. */
static void
read_some(struct growth *growth, uint64_t *random)
{
    unsigned count = __atomic_load_n(&growth->count, __ATOMIC_RELAXED);
    section_enter();
    for (unsigned i = 0; i < 64 && count > 0; i++) {
        unsigned at = i < 2 ? count - 1 : (unsigned)random_below(random, count);
        const unsigned *object =
            handle_deref(growth->store, __atomic_load_n(&growth->handles[at], __ATOMIC_RELAXED));
        thread_check(object && *object == at);
        object = handle_cell_deref(growth->store, &growth->cells[at]);
        thread_check(object && *object == at);
    }
    section_leave();
}

static void
grow_or_read(void *arg, unsigned index)
{
    struct growth *growth = arg;
    uint64_t random = index + 1;
    while (index > 0 && !__atomic_load_n(&growth->over, __ATOMIC_RELAXED))
        read_some(growth, &random);
    unsigned total = index > 0 ? 0 : scaled(200000);
    for (unsigned i = 0; i < total; i++) {
        void *object;
        section_enter();
        handle_t handle = handle_alloc_object(growth->store, 8, 0, &object);
        thread_check(handle != HANDLE_NULL);
        memcpy(object, &i, sizeof(i));
        __atomic_store_n(&growth->handles[i], handle, __ATOMIC_RELAXED);
        object = handle_cell_alloc(growth->store, &growth->cells[i], 2000, 0);
        thread_check(object != NULL);
        memcpy(object, &i, sizeof(i));
        section_leave();
        __atomic_store_n(&growth->count, i + 1, __ATOMIC_RELEASE);
    }
    if (index == 0)
        __atomic_store_n(&growth->over, true, __ATOMIC_RELAXED);
}

/* 400 MiB of cells: a dozen steps. Handles get the table's share by being many. */
static void
grows_in_place(void **state)
{
    (void)state;
    struct growth growth = {.store = handle_store_create(NULL)};
    unsigned total = scaled(200000);
    assert_non_null(growth.store);
    uint64_t reserved = STAT(growth.store, reserved);
    growth.handles = calloc(total, sizeof(growth.handles[0]));
    growth.cells = calloc(total, sizeof(growth.cells[0]));
    assert_true(growth.handles && growth.cells);
    run_threads(1 + READERS, grow_or_read, &growth);
    if (!slow_run())
        assert_true(STAT(growth.store, reserved) >= reserved + 384 * MIB);
    assert_clean(growth.store);
    compact_checked(growth.store, NULL);
    assert_int_equal(STAT(growth.store, alloc_failures), 0);
    assert_int_equal(handle_store_destroy(growth.store), 0);
    free(growth.handles);
    free(growth.cells);
}

/* More handles than the table begins with; each is found as soon as it is there. */
static void
table_grows(void **state)
{
    (void)state;
    const unsigned entries = slow_run() ? 1000 : 9 * (1u << 20);
    handle_store *store = handle_store_create(NULL);
    assert_non_null(store);
    handle_t *handles = calloc(entries, sizeof(handles[0]));
    assert_non_null(handles);
    for (unsigned i = 0; i < entries; i++) {
        void *object;
        section_enter();
        handles[i] = handle_alloc_object(store, 4, 0, &object);
        assert_true(handles[i] != HANDLE_NULL);
        memcpy(object, &i, sizeof(i));
        assert_ptr_equal(handle_deref(store, handles[i]), object);
        section_leave();
    }
    section_enter();
    for (unsigned i = 0; i < entries; i += 997)
        assert_memory_equal(handle_deref(store, handles[i]), &i, sizeof(i));
    assert_null(handle_deref(store, handles[0] ^ UINT64_C(1) << 63)); /* far beyond the table */
    section_leave();
    free(handles);
    assert_int_equal(handle_store_destroy(store), 0);
}

/* A large object: the arena grows for it. */
static handle_t
allocate_large(handle_store *store, uint64_t bytes)
{
    errno = 0;
    return handle_alloc(store, bytes);
}

/* Somebody else's mapping lies above the arena. */
static void
arena_small(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.arena_bytes = 0;
    fixture_reopen(fixture);
    handle_store *store = fixture->store;
    if (!begins_small(store))
        return;
    handle_t handle = make_object(store, 5000, 7);
    section_enter();
    char *end = mapping_end(handle_deref(store, handle));
    section_leave();
    void *other = mmap(end, 4096, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    assert_ptr_equal(other, end);
    fixture->errors_expected = true;
    for (unsigned i = 0; i < 3; i++) {
        assert_true(allocate_large(store, 100 * MIB) == HANDLE_NULL);
        assert_int_equal(errno, ENOMEM);
    }
    assert_int_equal(errors_count(fixture), 1);
    assert_true(errors_contain(fixture, "arena_small"));
    struct handle_stats stats = take_stats(store);
    assert_int_equal(stats.alloc_failure_reason, HANDLE_ALLOC_FAILURE_ARENA_SMALL);
    assert_int_equal(stats.alloc_failures, 3);
    assert_object(store, handle, 5000, 7);
    handle_t small = allocate_large(store, 8 * MIB); /* what there is serves on */
    assert_true(small != HANDLE_NULL);
    assert_int_equal(munmap(other, 4096), 0);
    assert_true(allocate_large(store, 100 * MIB) != HANDLE_NULL); /* and grows again */
    assert_int_equal(errors_count(fixture), 1);
}

/* An arena that was asked for is not extended; that it is full is no error to report. */
static void
given_arena_is_kept(void **state)
{
    struct fixture *fixture = *state;
    fixture->options.arena_bytes = 8 * MIB;
    fixture_reopen(fixture);
    assert_true(STAT(fixture->store, reserved) >= 12 * MIB);
    assert_true(allocate_large(fixture->store, 6 * MIB) != HANDLE_NULL);
    assert_true(allocate_large(fixture->store, 6 * MIB) == HANDLE_NULL);
    assert_int_equal(errno, ENOMEM);
    struct handle_stats stats = take_stats(fixture->store);
    assert_int_equal(stats.alloc_failure_reason, HANDLE_ALLOC_FAILURE_ARENA_SMALL);
    assert_int_equal(errors_count(fixture), 0);
}

/* ---- limits of the process ------------------------------------------------------------------- */

/* In a child, which may set limits. */
static void
quarter_of_the_limit(uint64_t bytes)
{
    struct rlimit limit = {bytes, bytes};
    thread_check(setrlimit(RLIMIT_AS, &limit) == 0);
    handle_store *store = handle_store_create(NULL);
    thread_check(store != NULL);
    char text[32];
    thread_check(handle_store_get(store, "arena_bytes", text, sizeof(text)) == 0);
    thread_check(strtoull(text, NULL, 10) * 3 / 2 <= bytes / 4);
    void *own = malloc(bytes / 8 * 5);
    thread_check(own != NULL);
    free(own);
    thread_check(handle_store_destroy(store) == 0);
}

static void
address_limit(void **state)
{
    (void)state;
    if (slow_run())
        return;
    int status = 1;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        quarter_of_the_limit(8 * GIB);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}

int
group_stores(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_default_stores),
        cmocka_unit_test(few_objects_cost_little),
        STORE_TEST(threads_come_with_work),
        cmocka_unit_test(places_are_used_again),
        cmocka_unit_test(grows_in_place),
        cmocka_unit_test(table_grows),
        STORE_TEST(arena_small),
        STORE_TEST(given_arena_is_kept),
        cmocka_unit_test(address_limit),
    };
    return cmocka_run_group_tests_name("stores", tests, NULL, NULL);
}
