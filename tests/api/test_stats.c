/* SPDX-License-Identifier: MIT */
/*
 * test_stats.c - the statistics: the memory breakdown adds up exactly when nothing is at work,
 * every rung is compared with what the test itself knows, classes add up to the whole, histograms
 * to their counts. The printed forms are test_print.c's.
 */
#include "support.h"

#include <time.h>

static void
assert_breakdown(const struct handle_stats *stats)
{
    uint64_t sum = stats->requested + stats->rounding + stats->header + stats->free_slot +
                   stats->thread_cache + stats->limbo + stats->empty_span + stats->table +
                   stats->metadata;
    assert_int_equal(sum, stats->committed);
    assert_true(stats->committed <= stats->committed_peak);
    assert_true(stats->committed <= stats->reserved);
    assert_int_equal((int64_t)stats->resident - (int64_t)stats->committed,
                     stats->resident_unexplained);
}

/* Classes against each other and against the whole store. */
static void
assert_classes(handle_store *store, const struct handle_stats *stats)
{
    uint64_t live = 0, free_bytes = 0, tails = 0, cached = 0, moved = 0, recoverable = 0;
    const struct handle_class_stats *classes = class_stats_of(store);
    for (uint32_t c = 0; c < stats->classes; c++) {
        const struct handle_class_stats *class = &classes[c];
        uint64_t slots = class->live + class->free + class->cached + class->limbo, sparse = 0;
        for (unsigned e = 0; e < 8; e++)
            sparse += class->occupancy[e];
        assert_int_equal(slots, class->spans * class->span_slots);
        assert_int_equal(class->spans_full + sparse, class->spans);
        assert_true(class->recoverable_bytes <= class->spans * class->span_bytes);
        live += class->live;
        free_bytes += class->free * class->slot_bytes;
        tails += class->spans * (class->span_bytes - class->span_slots * class->slot_bytes);
        cached += class->cached * class->slot_bytes;
        moved += class->moved;
        recoverable += class->recoverable_bytes;
    }
    assert_int_equal(live + stats->objects_large, stats->objects);
    assert_true(stats->free_slot <=
                free_bytes + tails); /* what was not used yet is not committed */
    assert_int_equal(cached, stats->thread_cache);
    assert_int_equal(moved, stats->moved_objects);
    assert_int_equal(recoverable, stats->recoverable);
}

static void
assert_histogram(const struct handle_histogram *histogram)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < 24; i++)
        sum += histogram->bucket[i];
    assert_int_equal(sum, histogram->count);
    assert_true(histogram->max_ns <= histogram->sum_ns);
    assert_true((histogram->count == 0) == (histogram->sum_ns == 0));
}

static void
an_empty_store(void **state)
{
    struct fixture *fixture = *state;
    settle(fixture->store);
    struct handle_stats stats = take_stats(fixture->store);
    assert_breakdown(&stats);
    assert_classes(fixture->store, &stats);
    assert_true(stats.metadata > 0);
    assert_true(stats.reserved >= TEST_ARENA_BYTES);
    assert_int_equal(stats.objects + stats.allocs + stats.frees + stats.pins, 0);
    assert_int_equal(stats.requested + stats.rounding + stats.header + stats.limbo, 0);
    assert_int_equal(stats.moved_objects + stats.alloc_failures + stats.errors_reported, 0);
    assert_int_equal(stats.idle_reason, HANDLE_IDLE_DISABLED);
}

/** What the test has allocated. */
struct known {
    uint64_t bytes, objects, by_cell, large, large_bytes, rounding;
    uint64_t allocs, frees;
};

static void
assert_known(handle_store *store, const struct known *known)
{
    struct handle_stats stats = take_stats(store);
    assert_breakdown(&stats);
    assert_classes(store, &stats);
    assert_used(store, known->bytes);
    assert_int_equal(stats.objects, known->objects);
    assert_int_equal(stats.objects_by_cell, known->by_cell);
    assert_int_equal(stats.objects_by_handle, known->objects - known->by_cell);
    assert_int_equal(stats.objects_large, known->large);
    assert_int_equal(stats.large, known->large_bytes);
    assert_int_equal(stats.allocs, known->allocs);
    assert_int_equal(stats.frees, known->frees);
    assert_true(stats.header >= 8 * (known->objects - known->large));
    assert_true(stats.header <= 8 * known->objects);
    assert_int_equal(stats.limbo, 0);
    assert_true(stats.table >= 8 * (known->objects - known->by_cell));
}

/* Large means: no class serves it. */
static size_t
largest_class(handle_store *store)
{
    struct handle_stats stats = take_stats(store);
    size_t largest = class_stats_of(store)[stats.classes - 1].object_bytes;
    return largest;
}

static void
count(struct known *known, size_t size, bool cell, size_t largest, int sign)
{
    known->bytes += (uint64_t)(int64_t)sign * size;
    known->objects += (uint64_t)(int64_t)sign;
    known->by_cell += cell ? (uint64_t)(int64_t)sign : 0;
    known->large += size > largest ? (uint64_t)(int64_t)sign : 0;
    known->large_bytes += size > largest ? (uint64_t)(int64_t)sign * size : 0;
    known->allocs += sign > 0;
    known->frees += sign < 0;
}

/* Every rung that the test can compute, after allocations, frees of both kinds and compaction. */
static void
what_the_test_knows(void **state)
{
    struct fixture *fixture = *state;
    enum { OBJECTS = 3000 };
    static handle_t handles[OBJECTS];
    static handle_cell cells[OBJECTS];
    static size_t sizes[OBJECTS];
    struct known known = {0};
    uint64_t random = random_seed("what_the_test_knows");
    size_t largest = largest_class(fixture->store);
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    for (unsigned i = 0; i < OBJECTS; i++) {
        sizes[i] = random_below(&random, random_below(&random, 50) ? 2000 : 200000);
        section_enter();
        if (i % 2)
            assert_non_null(handle_cell_alloc(fixture->store, &cells[i], sizes[i], 0));
        else
            assert_int_not_equal(handles[i] = handle_alloc(fixture->store, sizes[i]), HANDLE_NULL);
        section_leave();
        count(&known, sizes[i], i % 2, largest, 1);
    }
    assert_known(fixture->store, &known);
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (i % 5 < 2)
            continue;
        section_enter();
        int result = i % 2 ? (i % 3 ? handle_cell_free(fixture->store, &cells[i])
                                    : handle_cell_free_now(fixture->store, &cells[i]))
                           : (i % 3 ? handle_free(fixture->store, handles[i])
                                    : handle_free_now(fixture->store, handles[i]));
        section_leave();
        assert_int_equal(result, 0);
        count(&known, sizes[i], i % 2, largest, -1);
    }
    settle(fixture->store);
    assert_known(fixture->store, &known);
    compact_checked(fixture->store, NULL);
    settle(fixture->store);
    assert_known(fixture->store, &known);
    section_enter();
    for (unsigned i = 1; i < OBJECTS; i += 2)
        handle_cell_free(fixture->store, &cells[i]);
    section_leave();
}

/* Rounding of one class, computed by hand. */
static void
rounding_of_a_class(void **state)
{
    struct fixture *fixture = *state;
    settle(fixture->store);
    struct handle_stats stats = take_stats(fixture->store);
    const struct handle_class_stats *class = &class_stats_of(fixture->store)[stats.classes / 2];
    size_t size = class->object_bytes - 3, slot = class->slot_bytes;
    for (unsigned i = 0; i < 1000; i++)
        make_object(fixture->store, size, i);
    stats = take_stats(fixture->store);
    assert_breakdown(&stats);
    assert_int_equal(stats.header, 8 * 1000);
    assert_int_equal(stats.requested + stats.rounding, (slot - 8) * 1000);
    assert_used(fixture->store, size * 1000);
}

/* Freed bytes stand in limbo as long as a section is open, the mover's own aside. */
static void
limbo_rung(void **state)
{
    struct fixture *fixture = *state;
    handle_t handles[1000];
    settle(fixture->store);
    for (unsigned i = 0; i < 1000; i++)
        handles[i] = make_object(fixture->store, 200, i);
    section_enter();
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(handle_free(fixture->store, handles[i]), 0);
    struct handle_stats stats = take_stats(fixture->store);
    assert_int_equal(stats.objects, 0);
    assert_int_equal(stats.requested, 0);
    assert_true(stats.limbo >= 1000 * 208);
    section_leave();
    settle(fixture->store);
    stats = take_stats(fixture->store);
    assert_int_equal(stats.limbo, 0);
    assert_breakdown(&stats);
}

/* A reader that stays: the age of the grace period grows and says what it is that is stuck. */
static void
a_stuck_reader_shows(void **state)
{
    struct fixture *fixture = *state;
    handle_t handle = make_object(fixture->store, 200, 1);
    section_enter();
    assert_int_equal(handle_free(fixture->store, handle), 0);
    uint64_t age = 0, first = 0;
    while (age <= first || first == 0) { /* until it has been seen twice, growing */
        struct handle_stats stats = take_stats(fixture->store);
        if (first == 0)
            first = stats.grace_period_age_ns;
        age = stats.grace_period_age_ns;
        assert_true(stats.limbo > 0);
        /* frees above the library's batch size bring the grace period about */
        handle_t more = handle_alloc(fixture->store, 5000);
        assert_int_equal(handle_free(fixture->store, more), 0);
        nanosleep(&(struct timespec){0, 1000000}, NULL); /* online: the section goes on */
    }
    section_leave();
    settle(fixture->store);
    struct handle_stats stats = take_stats(fixture->store);
    assert_true(stats.grace_periods > 0);
    assert_int_equal(stats.limbo, 0);
}

/* The counters of compaction, of failures and of time move when their cause occurs. */
static void
counters_follow_their_causes(void **state)
{
    struct fixture *fixture = *state;
    enum { OBJECTS = 10000 };
    static handle_t handles[OBJECTS];
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        handles[i] = make_object(fixture->store, 240, i);
    for (unsigned i = 0; i < OBJECTS; i++)
        if (i % 8)
            assert_int_equal(handle_free(fixture->store, handles[i]), 0);
    assert_int_equal(handle_store_reclaim(fixture->store, SIZE_MAX), 0);
    handle_thread_detach(fixture->store);
    struct handle_stats before = take_stats(fixture->store);
    assert_int_equal(before.shrink_reason, HANDLE_SHRINK_FRAGMENTED);
    assert_true(before.recoverable > MIB);
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    compact_checked(fixture->store, &report);
    settle(fixture->store);
    struct handle_stats after = take_stats(fixture->store);
    assert_int_equal(after.moved_objects - before.moved_objects, report.moved_objects);
    assert_int_equal(after.moved_bytes - before.moved_bytes, report.moved_bytes);
    assert_int_equal(after.compaction_released - before.compaction_released, report.released_bytes);
    assert_true(after.compaction_cpu_ns > before.compaction_cpu_ns);
    assert_true(after.passes > before.passes);
    assert_int_equal(after.moved_per_released_permille,
                     after.moved_bytes * 1000 / after.compaction_released);
    assert_true(after.grace_period.count > 0 && after.grace_periods > 0);
    assert_true(after.released > before.released);
    assert_true(after.committed < before.committed);
    assert_int_equal(after.recoverable, 0);
    assert_histogram(&after.slice);
    assert_histogram(&after.grace_period);
    assert_breakdown(&after);
    assert_classes(fixture->store, &after);
}

/* Counted page by page: statm adds up counters of each CPU, which may be megabytes off on large
 * machines. */
static uint64_t
resident_bytes(void)
{
    char line[256];
    unsigned long long kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    assert_non_null(file);
    while (kib == 0 && fgets(line, sizeof(line), file))
        (void)sscanf(line, "Rss: %llu kB", &kib);
    fclose(file);
    assert_true(kib > 0);
    return kib * KIB;
}

/* What the store says it has committed is what the process has gained, within what the kernel and
 * the C library round. Sanitizers have memory of their own for every byte: left out there. */
static void
committed_is_what_the_kernel_sees(void **state)
{
    struct fixture *fixture = *state;
    enum { OBJECTS = 60000 };
    static handle_t handles[OBJECTS];
    if (slow_run())
        skip();
    settle(fixture->store);
    memset(handles, 1, sizeof(handles));
    struct handle_stats before = take_stats(fixture->store);
    uint64_t resident_before = resident_bytes();
    for (unsigned i = 0; i < OBJECTS; i++)
        handles[i] = make_object(fixture->store, 1000, i);
    struct handle_stats after = take_stats(fixture->store);
    uint64_t gained = resident_bytes() - resident_before;
    uint64_t committed = after.committed - before.committed;
    assert_true(gained >= OBJECTS * UINT64_C(1000));
    assert_true(gained <= committed + 4 * MIB);
    assert_true(committed <= gained + 4 * MIB);
    assert_true(after.resident >= gained / 2); /* by statm */
    assert_int_equal(handle_store_clear(fixture->store), 0);
    settle(fixture->store);
    assert_true(resident_bytes() <= resident_before + 6 * MIB);
}

int
group_stats(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(an_empty_store),
        STORE_TEST(what_the_test_knows),
        STORE_TEST(rounding_of_a_class),
        STORE_TEST(limbo_rung),
        STORE_TEST(a_stuck_reader_shows),
        STORE_TEST(counters_follow_their_causes),
        STORE_TEST(committed_is_what_the_kernel_sees),
    };
    return cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}
