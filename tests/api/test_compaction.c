/* SPDX-License-Identifier: MIT */
/*
 * test_compaction.c - compaction by call, by step and in the background: the digest of all live
 * contents is the same before and after, the result is as dense as the plan says, reports say what
 * happened. What is never moved (pins) is test_pins.c's.
 */
#include "support.h"

#include <time.h>

#define OBJECTS 20000

static handle_t handles[OBJECTS];

/** Objects of several classes, of which one in `keep` stays, chosen at random. */
static void
fragment(handle_store *store, size_t smallest, size_t largest, unsigned keep, uint64_t *random)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        handles[i] = make_object(store, smallest + random_below(random, largest - smallest + 1), i);
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (random_below(random, keep) == 0)
            continue;
        assert_int_equal(handle_free(store, handles[i]), 0);
        handles[i] = HANDLE_NULL;
    }
    assert_int_equal(handle_store_reclaim(store, SIZE_MAX), 0);
}

static void
assert_contents(handle_store *store)
{
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (handles[i] == HANDLE_NULL)
            continue;
        section_enter();
        const void *object = handle_deref(store, handles[i]);
        assert_non_null(object);
        size_t size = handle_size(store, handles[i]);
        assert_filled(object, size, i);
        section_leave();
    }
}

/* Per class the fewest spans that hold its objects, and one for what the last slice left. */
static void
assert_dense(handle_store *store)
{
    struct handle_stats stats = take_stats(store);
    const struct handle_class_stats *classes = class_stats_of(store);
    for (uint32_t c = 0; c < stats.classes; c++) {
        const struct handle_class_stats *class = &classes[c];
        uint64_t needed = (class->live + class->span_slots - 1) / class->span_slots;
        if (class->spans > needed + 1)
            print_error("class of %llu bytes: %llu spans for %llu objects, %llu would do\n",
                        (unsigned long long)class->object_bytes, (unsigned long long)class->spans,
                        (unsigned long long)class->live, (unsigned long long)needed);
        assert_true(class->spans <= needed + 1);
    }
}

static void
compact_everything(void **state)
{
    struct fixture *fixture = *state;
    static const size_t ranges[][2] = {{240, 240}, {0, 64}, {16, 1024}, {3000, 9000}};
    uint64_t random = random_seed("compact_everything");
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    for (unsigned r = 0; r < 4; r++) {
        struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
        fragment(fixture->store, ranges[r][0], ranges[r][1], 10, &random);
        compact_checked(fixture->store, &report);
        assert_contents(fixture->store);
        assert_dense(fixture->store);
        assert_true(report.moved_objects > 0 && report.moved_bytes >= report.moved_objects * 8);
        assert_true(report.spans_evacuated > 0 && report.released_bytes > 0);
        assert_true(report.grace_periods > 0 && report.cpu_ns > 0);
        assert_true(report.live_bytes <= report.span_bytes);
        assert_int_equal(report.recoverable_bytes, 0);
        assert_true(report.busy == 0 && report.more == 0);
        compact_checked(fixture->store, &report); /* nothing is left to do */
        assert_int_equal(report.moved_objects, 0);
        assert_int_equal(report.spans_evacuated, 0);
        assert_int_equal(handle_store_clear(fixture->store), 0);
    }
}

/* T6's shape: every span exactly half full. A plan that compares with the average finds nothing. */
static void
every_span_half_full(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        handles[i] = make_object(fixture->store, 1000, i);
    for (unsigned i = 0; i < OBJECTS; i += 2) {
        assert_int_equal(handle_free(fixture->store, handles[i]), 0);
        handles[i] = HANDLE_NULL;
    }
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    compact_checked(fixture->store, &report);
    assert_true(report.live_bytes * 100 >= report.span_bytes * 97);
    assert_contents(fixture->store);
}

struct bounds {
    uint64_t spans, least, most; /* spans to be emptied, and the objects in them */
};

/* Adds what the statistics say of a class: its sparsest spans go, until those that stay are just
 * enough. An eighth of occupancy tells between which numbers a span's objects are. */
static void
add_bounds(struct bounds *to, const struct handle_class_stats *of)
{
    uint64_t n = of->span_slots, used = of->spans * n - of->free;
    uint64_t left = of->spans - (used + n - 1) / n;
    to->spans += left;
    for (unsigned eighths = 0; eighths < 8; eighths++) {
        uint64_t spans = of->occupancy[eighths] < left ? of->occupancy[eighths] : left;
        to->least += spans * ((eighths * n + 7) / 8);
        to->most += spans * (((eighths + 1) * n + 7) / 8 - 1);
        left -= spans;
    }
    assert_int_equal(left, 0);
}

static struct bounds
bounds_of(handle_store *store, unsigned count)
{
    struct bounds bounds = {0, 0, 0};
    const struct handle_class_stats *classes = class_stats_of(store);
    for (unsigned i = 0; i < count; i++) {
        if (classes[i].spans > 0)
            add_bounds(&bounds, &classes[i]);
    }
    return bounds;
}

/* The estimate touches nothing and tells what compact then does. */
static void
estimate_then_compact(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = random_seed("estimate_then_compact");
    struct handle_defrag_report estimate = HANDLE_DEFRAG_REPORT_INIT;
    struct handle_defrag_report done = HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    set_option(fixture->store, "purge_delay_ms", "-1"); /* no trim in between takes a part of it */
    fragment(fixture->store, 100, 400, 8, &random);
    handle_thread_detach(fixture->store);
    struct handle_stats before = take_stats(fixture->store);
    assert_int_equal(handle_defrag_estimate(fixture->store, &estimate), 0);
    struct handle_stats after = take_stats(fixture->store);
    assert_true(after.moved_objects == before.moved_objects);
    assert_true(after.committed == before.committed);
    assert_true(estimate.recoverable_bytes == estimate.released_bytes);
    assert_true(estimate.recoverable_bytes == before.recoverable);
    struct bounds bounds = bounds_of(fixture->store, (unsigned)before.classes);
    compact_checked(fixture->store, &done);
    assert_true(estimate.moved_objects > 0 && estimate.spans_evacuated > 0);
    assert_int_equal(estimate.spans_evacuated, bounds.spans);
    assert_int_equal(done.spans_evacuated, bounds.spans);
    assert_in_range(estimate.moved_objects, bounds.least, bounds.most);
    assert_in_range(done.moved_objects, bounds.least, bounds.most);
    assert_true(done.released_bytes * 100 >= estimate.released_bytes * 95);
}

/* Budgets outside 1 to 1000000 are refused. */
static void
step_budgets(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    assert_int_equal(handle_defrag_step(fixture->store, 0, NULL), -EINVAL);
    assert_int_equal(handle_defrag_step(fixture->store, 1000001, NULL), -EINVAL);
    assert_int_equal(handle_defrag_step(fixture->store, UINT32_MAX, NULL), -EINVAL);
    assert_int_equal(handle_defrag_step(fixture->store, 1, NULL), 0);
    assert_int_equal(handle_defrag_step(fixture->store, 1000000, NULL), 0);
}

/* An event loop's steps get the work done that the background thread would do, and then stop asking
 * for more. The grace periods between steps are this thread's quiescent states. */
static void
steps_finish(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = random_seed("steps_finish"), moved = 0, evacuated = 0;
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    fragment(fixture->store, 200, 300, 10, &random);
    uint64_t digest = store_digest(fixture->store);
    assert_int_equal(handle_defrag_estimate(fixture->store, &report), 0);
    uint64_t recoverable = report.recoverable_bytes;
    do {
        assert_int_equal(handle_defrag_step(fixture->store, 500, &report), 0);
        assert_int_equal(report.busy, 0);
        moved += report.moved_objects;
        evacuated += report.spans_evacuated;
        quiesce();
        wait_begin();
        nanosleep(&(struct timespec){0, 100000}, NULL);
        wait_end();
    } while (report.more || moved == 0);
    assert_true(store_digest(fixture->store) == digest);
    assert_true(evacuated > 0);
    assert_int_equal(handle_defrag_estimate(fixture->store, &report), 0);
    assert_true(report.recoverable_bytes < recoverable / 4 || report.recoverable_bytes < 2 * MIB);
    assert_contents(fixture->store);
    assert_clean(fixture->store);
}

/* What a step has begun a purge finishes; it begins nothing, though the thresholds ask for it. Seen
 * failing without that: it compacted the store. */
static void
purge_begins_nothing(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = random_seed("purge_begins_nothing");
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    fragment(fixture->store, 200, 300, 10, &random);
    assert_int_equal(handle_defrag_estimate(fixture->store, &report), 0);
    uint64_t recoverable = report.recoverable_bytes;
    assert_int_equal(handle_defrag_step(fixture->store, 1, NULL), 0);
    quiesce();
    assert_int_equal(handle_store_purge(fixture->store, NULL), 0);
    assert_int_equal(handle_defrag_estimate(fixture->store, &report), 0);
    assert_true(report.recoverable_bytes > recoverable / 2);
    assert_contents(fixture->store);
    assert_clean(fixture->store);
}

/* Below the thresholds a step starts nothing. */
static void
steps_respect_the_thresholds(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = random_seed("steps_respect_the_thresholds");
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    set_option(fixture->store, "defrag.ignore_bytes", "1G");
    fragment(fixture->store, 200, 300, 10, &random);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(handle_defrag_step(fixture->store, 500, &report), 0);
        assert_int_equal(report.moved_objects, 0);
        assert_int_equal(report.more, 0);
        assert_int_equal(report.idle_reason, HANDLE_IDLE_BELOW_IGNORE);
        quiesce();
    }
    set_option(fixture->store, "defrag.ignore_bytes", "0");
    set_option(fixture->store, "defrag.threshold_upper_percent", "100");
    set_option(fixture->store, "defrag.threshold_lower_percent", "100");
    assert_int_equal(handle_defrag_step(fixture->store, 500, &report), 0);
    assert_int_equal(report.moved_objects, 0);
    assert_int_equal(report.idle_reason, HANDLE_IDLE_BELOW_THRESHOLD);
}

/* The background thread finds fragmentation by itself; stopped, it leaves everything alone. Waits
 * for the mover as long as it takes. */
static void
background_thread(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = random_seed("background_thread");
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    assert_int_equal(handle_defrag_stop(fixture->store), 0); /* also when it is stopped */
    fragment(fixture->store, 200, 300, 10, &random);
    uint64_t digest = store_digest(fixture->store);
    struct handle_stats stats = take_stats(fixture->store);
    assert_int_equal(stats.idle_reason, HANDLE_IDLE_DISABLED);
    uint64_t moved = stats.moved_objects;
    wait_begin();
    nanosleep(&(struct timespec){0, 50000000}, NULL);
    wait_end();
    stats = take_stats(fixture->store);
    assert_true(stats.moved_objects == moved);
    assert_int_equal(handle_defrag_start(fixture->store), 0);
    assert_int_equal(handle_defrag_start(fixture->store), 0); /* also when it runs */
    uint64_t passes;
    do {
        grace_period();
        assert_int_equal(handle_defrag_estimate(fixture->store, &report), 0);
        stats = take_stats(fixture->store);
        passes = stats.passes;
        assert_int_equal(errors_count(fixture), 0);
    } while (report.recoverable_bytes >= 2 * MIB || passes == 0); /* 0: the first ends just now */
    assert_true(store_digest(fixture->store) == digest);
    assert_contents(fixture->store);
    stats = take_stats(fixture->store);
    assert_true(stats.moved_objects > moved && stats.slice.count > 0);
    assert_true(stats.compaction_released > 0 && stats.moved_per_released_permille > 0);
}

/* Unmovable objects stay, whatever becomes of their neighbours, and are compacted around. */
static void
unmovable_objects_stay(void **state)
{
    struct fixture *fixture = *state;
    static const void *addresses[OBJECTS];
    for (unsigned i = 0; i < OBJECTS; i++) {
        void *object = NULL;
        section_enter();
        handles[i] =
            handle_alloc_object(fixture->store, 240, i % 4 ? 0 : HANDLE_UNMOVABLE, &object);
        assert_int_not_equal(handles[i], HANDLE_NULL);
        fill(object, 240, i);
        section_leave();
        addresses[i] = object;
    }
    for (unsigned i = 0; i < OBJECTS; i++) {
        if (i % 20 == 0 || i % 20 == 1)
            continue;
        assert_int_equal(handle_free(fixture->store, handles[i]), 0);
        handles[i] = HANDLE_NULL;
    }
    compact_checked(fixture->store, NULL);
    for (unsigned i = 0; i < OBJECTS; i += 20) {
        section_enter();
        assert_ptr_equal(handle_deref(fixture->store, handles[i]), addresses[i]);
        section_leave();
    }
    assert_contents(fixture->store);
}

/* ---- under load ------------------------------------------------------------------------------ */

struct load {
    handle_store *store;
    unsigned rounds;
    unsigned stop;
};

static void
churn(struct load *load, unsigned index)
{
    enum { OWN = 500 };
    handle_t own[OWN] = {0};
    size_t sizes[OWN] = {0};
    uint64_t random = index + 7;
    for (unsigned i = 0; i < load->rounds; i++) {
        unsigned k = (unsigned)random_below(&random, OWN);
        section_enter();
        const void *object = handle_deref(load->store, own[k]);
        thread_check((object != NULL) == (own[k] != HANDLE_NULL));
        thread_check(!object || mismatch(object, sizes[k], own[k]) == sizes[k]);
        thread_check(!object || handle_free(load->store, own[k]) == 0);
        void *fresh = NULL;
        sizes[k] = random_below(&random, 400);
        own[k] = handle_alloc_object(load->store, sizes[k], 0, &fresh);
        thread_check(own[k] != HANDLE_NULL);
        fill(fresh, sizes[k], own[k]);
        section_leave();
    }
    for (unsigned k = 0; k < OWN; k++)
        thread_check(own[k] == HANDLE_NULL || handle_free(load->store, own[k]) == 0);
    __atomic_add_fetch(&load->stop, 1, __ATOMIC_RELEASE);
}

static void
toggle(struct load *load)
{
    static const char *const settings[][2] = {
        {"defrag.enabled", "no"},     {"defrag.enabled", "yes"},  {"defrag.slice_us", "50"},
        {"defrag.ignore_bytes", "0"}, {"purge_delay_ms", "0"},    {"defrag.cpu_max_percent", "100"},
        {"purge_delay_ms", "200"},    {"defrag.slice_us", "100"},
    };
    uint64_t random = 99;
    while (__atomic_load_n(&load->stop, __ATOMIC_ACQUIRE) < 2) {
        uint64_t choice = random_below(&random, 14);
        if (choice < 8)
            thread_check(handle_store_set(load->store, settings[choice][0], settings[choice][1]) ==
                         0);
        else if (choice < 10)
            thread_check(handle_defrag_start(load->store) == 0);
        else if (choice < 12)
            thread_check(handle_defrag_stop(load->store) == 0);
        else if (choice < 13)
            thread_check(handle_store_compact(load->store, NULL) == 0);
        else
            thread_check(handle_defrag_step(load->store, 100, NULL) == 0);
        quiesce();
    }
}

static void
churn_or_toggle(void *arg, unsigned index)
{
    if (index < 2)
        churn(arg, index);
    else
        toggle(arg);
}

/* On, off and retuned at any moment during anything else. */
static void
toggled_under_load(void **state)
{
    struct fixture *fixture = *state;
    struct load load = {fixture->store, scaled(200000), 0};
    run_threads(4, churn_or_toggle, &load);
    assert_clean(fixture->store);
    assert_int_equal(handle_store_used(fixture->store), 0);
    settle(fixture->store);
    struct handle_stats stats = take_stats(fixture->store);
    assert_true(stats.objects == 0 && stats.requested == 0 && stats.limbo == 0);
}

struct rounds {
    handle_store *store;
    pthread_barrier_t barrier;
};

static void
start_or_stop(void *arg, unsigned index)
{
    struct rounds *rounds = arg;
    for (unsigned i = scaled(4000); i > 0; i--) {
        wait_begin();
        pthread_barrier_wait(&rounds->barrier);
        wait_end();
        int result = index ? handle_defrag_stop(rounds->store) : handle_defrag_start(rounds->store);
        thread_check(result == 0);
    }
}

/* Every stop returns, also one that finds the thread of an earlier stop gone and another started
 * before it could look: it hung for ever where only a thread that winds down was counted, not one
 * that was joined. The last call holds. */
static void
starts_and_stops_at_once(void **state)
{
    struct fixture *fixture = *state;
    bool enabled;
    struct rounds rounds = {.store = fixture->store};
    /* Something was freed: each start makes a thread look at it. */
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(handle_free(fixture->store, make_object(fixture->store, 2000, i)), 0);
    assert_int_equal(handle_store_reclaim(fixture->store, SIZE_MAX), 0);
    assert_int_equal(pthread_barrier_init(&rounds.barrier, NULL, 4), 0);
    run_threads(4, start_or_stop, &rounds);
    pthread_barrier_destroy(&rounds.barrier);
    assert_int_equal(handle_defrag_stop(fixture->store), 0);
    struct handle_stats stats = take_stats(fixture->store);
    assert_int_equal(stats.idle_reason, HANDLE_IDLE_DISABLED);
    assert_int_equal(handle_defrag_start(fixture->store), 0);
    do {
        grace_period();
        stats = take_stats(fixture->store);
        enabled = stats.idle_reason != HANDLE_IDLE_DISABLED;
    } while (!enabled);
    assert_clean(fixture->store);
}

int
group_compaction(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(compact_everything),     STORE_TEST(every_span_half_full),
        STORE_TEST(estimate_then_compact),  STORE_TEST(step_budgets),
        STORE_TEST(steps_finish),           STORE_TEST(steps_respect_the_thresholds),
        STORE_TEST(purge_begins_nothing),   STORE_TEST(background_thread),
        STORE_TEST(unmovable_objects_stay),
    };
    return cmocka_run_group_tests_name("compaction", tests, NULL, NULL);
}

int
group_compaction_threads(void)
{
    const struct CMUnitTest tests[] = {
        STORE_TEST(toggled_under_load),
        STORE_TEST(starts_and_stops_at_once),
    };
    return cmocka_run_group_tests_name("compaction_threads", tests, NULL, NULL);
}
