/* SPDX-License-Identifier: MIT */
/*
 * test_policy.c - what to compact, when and how hard: tables of numbers in and plans out, and a
 * model of spans as bare counts that is compacted by the plan alone until nothing is left to gain.
 */
#include "unit.h"

#include "memory/policy.h"

/* ---- sums ----------------------------------------------------------------------------------- */

static void
test_permille(void **state)
{
    (void)state;
    const uint64_t most = UINT64_MAX, petabyte = UINT64_C(1) << 50;
    assert_int_equal(sn_permille(5, 0), 0);
    assert_int_equal(sn_permille(0, 5), 0);
    assert_int_equal(sn_permille(1, 3), 333);
    assert_int_equal(sn_permille(30 * petabyte, 20 * petabyte), 1500); /* 1000 times does not fit */
    assert_int_equal(sn_permille(most, most), 1000);
    assert_true(sn_permille(most, 1) >= most / 1000);
}

static void
test_sums(void **state)
{
    (void)state;
    const struct sn_class_use a = {.slots = 64,
                                   .slot_bytes = 1024,
                                   .span_bytes = 65536,
                                   .committed = 10 * 65536,
                                   .used = 6 * 64,
                                   .spans = 10,
                                   .spans_in = {2, 0, 0, 0, 4, 0, 0, 0, 4}};
    const struct sn_class_use dense = {.slots = 8,
                                       .slot_bytes = 8192,
                                       .span_bytes = 65536,
                                       .committed = 2 * 65536,
                                       .used = 16,
                                       .spans = 2,
                                       .spans_in = {0, 0, 0, 0, 0, 0, 0, 0, 2}};
    struct sn_policy_sum sum = {0};
    sn_policy_add(&sum, &a);
    assert_int_equal(sum.live_bytes, 6 * 65536);
    assert_int_equal(sum.gain.committed, 10 * 65536);
    assert_int_equal(sum.recoverable_spans, 4);
    assert_int_equal(sum.gain.excess_bytes, 4 * 65536);
    /* The two sparsest (a sixteenth, by the middle of their eighth) and two that are half full. */
    assert_int_equal(sum.move_objects, 2 * 4 + 2 * 36);
    assert_int_equal(sum.move_bytes, sum.move_objects * 1024);
    struct sn_policy_sum before = sum;
    sn_policy_add(&sum, &dense);
    assert_int_equal(sum.live_bytes, before.live_bytes + 16 * 8192);
    assert_int_equal(sum.gain.committed, before.gain.committed + 2 * 65536);
    assert_int_equal(sum.gain.excess_bytes, before.gain.excess_bytes);
    assert_int_equal(sum.move_objects, before.move_objects);
}

/* A bin doubles up to the class's bound, or to what a burst takes. */
static void
test_bin_cap(void **state)
{
    (void)state;
    const struct sn_class c = {.slot_bytes = 64, .cache_slots = 12};
    const struct sn_class large = {.slot_bytes = SN_CACHE_BURST_BYTES, .cache_slots = 4};
    assert_int_equal(sn_policy_bin_cap(&c, 0, false), 2);
    assert_int_equal(sn_policy_bin_cap(&c, 2, false), 4);
    assert_int_equal(sn_policy_bin_cap(&c, 8, false), 12);
    assert_int_equal(sn_policy_bin_cap(&c, 12, false), 12);
    assert_int_equal(sn_policy_bin_cap(&c, 12, true), 24);
    assert_int_equal(sn_policy_bin_cap(&c, 24, false), 24); /* what a burst has taken stays */
    assert_int_equal(sn_policy_bin_cap(&c, UINT32_MAX / 2 + 1, true), UINT32_MAX / 2 + 1);
    assert_int_equal(sn_policy_bin_cap(&large, 4, true), 4);
    assert_int_equal(sn_policy_bin_cap(&large, 0, false), 1);
    assert_int_equal(sn_policy_bin_cap(&large, 1, false), 2);
}

/* A thread's share of the bins' bytes falls with the number of threads, to a quarter. */
static void
test_thread_bytes(void **state)
{
    (void)state;
    const struct {
        uint64_t thread_bytes, total_bytes;
        uint32_t threads;
        uint64_t share;
    } row[] = {
        {1 << 20, 16 << 20, 0, 1 << 20},   /* nobody has a cache of its own */
        {1 << 20, 16 << 20, 1, 1 << 20},   /* the option's bound */
        {1 << 20, 16 << 20, 8, 1 << 20},   /* all that one half allows eight */
        {1 << 20, 16 << 20, 16, 1 << 19},  /* an even share of one half */
        {1 << 20, 16 << 20, 32, 1 << 18},  /* the same, and a quarter of the bound */
        {1 << 20, 16 << 20, 100, 1 << 18}, /* not less than that */
        {1 << 16, 1 << 18, 1, 1 << 16},    /* the smallest limit's */
        {0, 16 << 20, 1, 0},
        {1 << 20, 0, 1, 1 << 18}, /* what all together may have refuses it */
    };
    for (unsigned i = 0; i < sizeof(row) / sizeof(row[0]); i++)
        assert_int_equal(
            sn_policy_thread_bytes(row[i].thread_bytes, row[i].total_bytes, row[i].threads),
            row[i].share);
}

/* Spans that have not committed all of their pages give back no more than they have. */
static void
test_recoverable_is_what_is_committed(void **state)
{
    (void)state;
    static const struct {
        uint64_t committed_pages, recoverable_pages;
    } table[] = {{160, 64}, {140, 44}, {97, 1}, {96, 0}, {40, 0}};
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const struct sn_class_use c = {.slots = 64,
                                       .slot_bytes = 1024,
                                       .span_bytes = 65536,
                                       .committed = table[i].committed_pages * 4096,
                                       .used = 6 * 64,
                                       .spans = 10};
        struct sn_policy_sum sum = {0};
        sn_policy_add(&sum, &c);
        assert_int_equal(sum.gain.committed, table[i].committed_pages * 4096);
        assert_int_equal(sum.gain.excess_bytes, table[i].recoverable_pages * 4096);
    }
}

/* ---- when ------------------------------------------------------------------------------------ */

static void
test_decide(void **state)
{
    (void)state;
    static const struct {
        uint64_t recoverable, span_bytes, ignore;
        uint32_t lower;
        enum handle_idle_reason reason;
    } table[] = {
        {0, 0, 0, 0, HANDLE_IDLE_BELOW_IGNORE},
        {0, 1000, 0, 0, HANDLE_IDLE_BELOW_IGNORE}, /* nothing to gain: never work */
        {1, 1000, 0, 0, HANDLE_IDLE_RUNNING},
        {100, 1000, 100, 0, HANDLE_IDLE_BELOW_IGNORE},
        {101, 1000, 100, 0, HANDLE_IDLE_RUNNING},
        {20, 1000, 0, 2, HANDLE_IDLE_BELOW_THRESHOLD},
        {21, 1000, 0, 2, HANDLE_IDLE_RUNNING},
        {101, 1000, 100, 20, HANDLE_IDLE_BELOW_THRESHOLD}, /* both must be exceeded */
        {201, 1000, 100, 20, HANDLE_IDLE_RUNNING},
        {1000, 1000, 0, 100, HANDLE_IDLE_BELOW_THRESHOLD},
        {UINT64_C(1) << 40, UINT64_C(1) << 41, UINT64_C(1) << 20, 2, HANDLE_IDLE_RUNNING},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        struct sn_policy_sum sum = {
            .gain = {.excess_bytes = table[i].recoverable, .committed = table[i].span_bytes}};
        struct sn_policy_limits limits = {
            .ignore_bytes = table[i].ignore, .lower_percent = table[i].lower, .upper_percent = 100};
        if (sn_policy_decide(&sum, &limits) != table[i].reason)
            fail_msg("row %zu: %d, wanted %d", i, sn_policy_decide(&sum, &limits), table[i].reason);
    }
}

/* ---- how hard -------------------------------------------------------------------------------- */

static void
test_effort_is_linear(void **state)
{
    (void)state;
    const struct sn_policy_limits limits = {
        .lower_percent = 10, .upper_percent = 60, .cpu_min_percent = 5, .cpu_max_percent = 55};
    struct sn_policy_sum sum = {.gain.committed = 1000000};
    for (uint32_t percent = 0; percent <= 100; percent++) {
        sum.gain.excess_bytes = sum.gain.committed * percent / 100;
        uint32_t expected = percent <= 10 ? 5 : percent >= 60 ? 55 : 5 + (percent - 10);
        assert_int_equal(sn_policy_effort(&sum, &limits), expected);
    }
}

static void
test_effort_is_monotone(void **state)
{
    (void)state;
    uint64_t random = random_seed("test_effort_is_monotone");
    for (unsigned i = 0; i < 500; i++) {
        struct sn_policy_limits limits;
        limits.lower_percent = (uint32_t)random_below(&random, 101);
        limits.upper_percent =
            limits.lower_percent + (uint32_t)random_below(&random, 101 - limits.lower_percent);
        limits.cpu_min_percent = 1 + (uint32_t)random_below(&random, 100);
        limits.cpu_max_percent =
            limits.cpu_min_percent + (uint32_t)random_below(&random, 101 - limits.cpu_min_percent);
        struct sn_policy_sum sum = {.gain.committed = 1 + random_below(&random, UINT64_C(1) << 40)};
        uint32_t before = 0;
        for (uint64_t step = 0; step <= 200; step++) {
            sum.gain.excess_bytes = sum.gain.committed / 200 * step;
            uint32_t effort = sn_policy_effort(&sum, &limits);
            assert_true(effort >= before);
            assert_in_range(effort, limits.cpu_min_percent, limits.cpu_max_percent);
            before = effort;
        }
    }
}

static void
test_share_keeps_to_the_effort(void **state)
{
    (void)state;
    assert_int_equal(sn_policy_share_ns(500000, 100), 500000);
    assert_int_equal(sn_policy_share_ns(500000, 50), 1000000);
    assert_int_equal(sn_policy_share_ns(500000, 25), 2000000);
    assert_int_equal(sn_policy_share_ns(500000, 1), 50000000);
    assert_int_equal(sn_policy_share_ns(0, 5), 0);
    for (uint32_t effort = 1; effort <= 100; effort++) {
        uint64_t share = UINT64_C(1000000) * 100 / sn_policy_share_ns(1000000, effort);
        assert_in_range(share, effort, effort + 1); /* the time is rounded down */
    }
}

/* Fails when lost time is not made up for (from = begin_ns), or without a bound (from = due_ns). */
static void
test_schedule(void **state)
{
    (void)state;
    const uint64_t ms = 1000000;
    /* In time: work and rest follow each other. */
    assert_int_equal(sn_policy_due_ns(1000 * ms, 1000 * ms, 1 * ms, 50), 1002 * ms);
    /* Late by 5 ms: so much sooner comes the next. */
    assert_int_equal(sn_policy_due_ns(995 * ms, 1000 * ms, 1 * ms, 50), 997 * ms);
    /* After a long sleep no more than 20 ms are made up for. */
    assert_int_equal(sn_policy_due_ns(0, 1000 * ms, 1 * ms, 50), 982 * ms);
    assert_int_equal(sn_policy_due_ns(0, 5 * ms, 1 * ms, 50), 2 * ms);
    /* Woken before it was due: nothing was borrowed. */
    assert_int_equal(sn_policy_due_ns(1100 * ms, 1000 * ms, 1 * ms, 50), 1002 * ms);
    /* Preempted for a third of the time, slices overslept: half of the time is worked all the
     * same. */
    uint64_t due = 1000 * ms, now = due, worked = 0;
    for (int slice = 0; slice < 1000; slice++) {
        uint64_t begin = now;
        now += 750000; /* half a millisecond of work */
        worked += 500000;
        due = sn_policy_due_ns(due, begin, 500000, 50);
        now = due > now ? due + 60000 : now;
    }
    assert_in_range(worked * 1000 / (now - 1000 * ms), 495, 505);
}

/* ---- which ----------------------------------------------------------------------------------- */

static void
test_pick(void **state)
{
    (void)state;
    struct sn_class_use c[4] = {
        {.slot_bytes = 64, .spans_in = {[3] = 5}},
        {.slot_bytes = 128, .spans_in = {[1] = 1, [7] = 9}},
        {.slot_bytes = 4096, .spans_in = {[1] = 2}},
        {.slot_bytes = 65536, .spans_in = {[SN_FULL] = 100}},
    };
    uint32_t quota[4] = {1, 1, 1, 1};
    assert_int_equal(sn_policy_pick(c, quota, 4), 2); /* as sparse as 1, and larger objects */
    quota[2] = 0;
    assert_int_equal(sn_policy_pick(c, quota, 4), 1);
    quota[1] = 0;
    assert_int_equal(sn_policy_pick(c, quota, 4), 0);
    quota[0] = 0;
    assert_int_equal(sn_policy_pick(c, quota, 4), -1); /* full spans release nothing */
    c[3].spans_in[7] = 1;
    assert_int_equal(sn_policy_pick(c, quota, 4), 3);
    assert_int_equal(sn_policy_pick(c, quota, 3), -1);
    assert_int_equal(sn_policy_pick(c, quota, 0), -1);
}

/* ---- pauses ---------------------------------------------------------------------------------- */

static void
test_pause_doubles_to_its_cap(void **state)
{
    (void)state;
    uint64_t pause = 0, expected = 100000000;
    for (unsigned i = 0; i < 20; i++) {
        pause = sn_policy_pause_ns(pause, 1000000, 9999); /* less than 1 % */
        assert_int_equal(pause, expected);
        expected = expected * 2 < UINT64_C(60000000000) ? expected * 2 : UINT64_C(60000000000);
    }
    assert_int_equal(pause, UINT64_C(60000000000));
    assert_int_equal(sn_policy_pause_ns(pause, 1000000, 10000), 0); /* gain ends it */
    assert_int_equal(sn_policy_pause_ns(0, 1000000, 10000), 0);
    assert_int_equal(sn_policy_pause_ns(0, 0, 1), 0);
    assert_int_equal(sn_policy_pause_ns(0, 0, 0), 100000000); /* nothing done is no gain */
    assert_int_equal(sn_policy_pause_ns(0, 99, 0), 100000000);
}

static void
test_notice(void **state)
{
    (void)state;
    assert_int_equal(sn_policy_notice_bytes(0, 0), 65536);
    assert_int_equal(sn_policy_notice_bytes(0, 1 << 20), 1 << 19);
    assert_int_equal(sn_policy_notice_bytes(UINT64_C(1) << 30, 1 << 20), (1 << 30) / 200);
    uint64_t before = 0;
    for (uint64_t live = 1; live < UINT64_C(1) << 40; live *= 2) {
        assert_true(sn_policy_notice_bytes(live, 1 << 20) >= before);
        before = sn_policy_notice_bytes(live, 1 << 20);
    }
}

/* ---- a plan carried out on bare counts ------------------------------------------------------- */

#define MODEL_CLASSES 20
#define MODEL_SPANS   64

struct model {
    uint32_t slots[MODEL_CLASSES];
    uint32_t used[MODEL_CLASSES][MODEL_SPANS]; /* 0: gone */
    uint64_t moves;
};

static struct sn_class_use
as_policy_sees(const struct model *model, unsigned k)
{
    struct sn_class_use c = {
        .slots = model->slots[k], .slot_bytes = 65536 / model->slots[k], .span_bytes = 65536};
    for (unsigned i = 0; i < MODEL_SPANS; i++) {
        if (model->used[k][i] == 0)
            continue;
        c.spans++;
        c.committed += c.span_bytes;
        c.used += model->used[k][i];
        c.spans_in[model->used[k][i] * SN_FULL / c.slots]++;
    }
    return c;
}

/* The span of the class that has fewest (or, of those not full, most) slots in use. */
static unsigned
find_span(const struct model *model, unsigned k, bool sparsest, unsigned except)
{
    unsigned best = MODEL_SPANS;
    for (unsigned i = 0; i < MODEL_SPANS; i++) {
        uint32_t used = model->used[k][i];
        if (used == 0 || used == model->slots[k] || i == except)
            continue;
        if (best == MODEL_SPANS ||
            (sparsest ? used < model->used[k][best] : used > model->used[k][best]))
            best = i;
    }
    return best;
}

static void
evacuate(struct model *model, unsigned k)
{
    unsigned from = find_span(model, k, true, MODEL_SPANS);
    assert_int_not_equal(from, MODEL_SPANS);
    while (model->used[k][from] > 0) {
        unsigned to = find_span(model, k, false, from);
        assert_int_not_equal(to, MODEL_SPANS); /* the plan never needs a span more */
        model->used[k][to]++;
        model->used[k][from]--;
        model->moves++;
    }
}

/* Passes until the policy finds nothing any more. Result: how many. */
static unsigned
compact(struct model *model)
{
    for (unsigned passes = 0;; passes++) {
        struct sn_class_use c[MODEL_CLASSES];
        struct sn_policy_sum sum = {0};
        uint32_t quota[MODEL_CLASSES];
        const struct sn_policy_limits limits = {.upper_percent = 12, .lower_percent = 2};
        for (unsigned k = 0; k < MODEL_CLASSES; k++) {
            c[k] = as_policy_sees(model, k);
            quota[k] = sn_excess_spans(&c[k], 0);
            sn_policy_add(&sum, &c[k]);
        }
        if (sn_policy_decide(&sum, &limits) != HANDLE_IDLE_RUNNING)
            return passes;
        assert_in_range(passes, 0, 10);
        for (int k; (k = sn_policy_pick(c, quota, MODEL_CLASSES)) >= 0;) {
            evacuate(model, (unsigned)k);
            quota[k]--;
            c[k] = as_policy_sees(model, (unsigned)k);
        }
    }
}

static void
assert_packed(const struct model *model, uint64_t live, uint64_t most_moves)
{
    uint64_t used = 0, room = 0;
    for (unsigned k = 0; k < MODEL_CLASSES; k++) {
        struct sn_class_use c = as_policy_sees(model, k);
        used += c.used * c.slot_bytes;
        room += c.spans * (uint64_t)c.slots * c.slot_bytes;
    }
    assert_int_equal(used, live);
    assert_true(used * 100 >= room * 97);
    assert_true(model->moves <= most_moves);
}

static uint64_t
live_bytes(const struct model *model)
{
    uint64_t bytes = 0;
    for (unsigned k = 0; k < MODEL_CLASSES; k++)
        bytes += as_policy_sees(model, k).used * (65536 / model->slots[k]);
    return bytes;
}

/* 64 spans in each of 20 classes, every one exactly half full: one pass is enough. */
static void
test_half_full_classes_converge(void **state)
{
    (void)state;
    struct model model = {.moves = 0};
    uint64_t objects = 0;
    for (unsigned k = 0; k < MODEL_CLASSES; k++) {
        model.slots[k] = 8 + 12 * k;
        for (unsigned i = 0; i < MODEL_SPANS; i++)
            model.used[k][i] = model.slots[k] / 2;
        objects += (uint64_t)MODEL_SPANS * (model.slots[k] / 2);
    }
    uint64_t live = live_bytes(&model);
    assert_int_equal(compact(&model), 1);
    assert_packed(&model, live, objects / 2);
    uint64_t moves = model.moves;
    assert_int_equal(compact(&model), 0); /* and it stays so */
    assert_int_equal(model.moves, moves);
}

static void
test_random_classes_converge(void **state)
{
    (void)state;
    uint64_t random = random_seed("test_random_classes_converge");
    for (unsigned round = 0; round < scaled(200); round++) {
        struct model model = {.moves = 0};
        uint64_t objects = 0;
        for (unsigned k = 0; k < MODEL_CLASSES; k++) {
            model.slots[k] = 8 + (uint32_t)random_below(&random, 500);
            for (unsigned i = 0; i < MODEL_SPANS; i++) {
                model.used[k][i] = (uint32_t)random_below(&random, model.slots[k] + 1);
                objects += model.used[k][i];
            }
        }
        uint64_t live = live_bytes(&model);
        assert_in_range(compact(&model), 0, 2);
        assert_packed(&model, live, objects / 2);
    }
}

static void
test_at_rest(void **state)
{
    (void)state;
    const struct sn_policy_limits limits = {1 << 20, 9, 20, 5, 50};
    struct sn_policy_limits rest = sn_policy_at_rest(limits);
    assert_int_equal(rest.ignore_bytes, 1 << 18);
    assert_int_equal(rest.lower_percent, 2);
    assert_int_equal(rest.upper_percent, 20);
    assert_int_equal(rest.cpu_min_percent, 5);
    assert_int_equal(rest.cpu_max_percent, 50);
}

static void
test_purge_delay(void **state)
{
    (void)state;
    static const struct {
        uint64_t delay_ms, empty, committed, ns;
    } table[] = {
        {0, 1, 1, 0},
        {200, 1000, 200000, 200000000},
        {200, 1001, 200000, 50000000}, /* more than half a percent */
        {200, 1, 199, 50000000},       /* all of it */
        {3600000, 0, 0, UINT64_C(3600000000000)},
        {3600000, 1, 0, UINT64_C(900000000000)},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        assert_int_equal(
            sn_policy_purge_delay_ns(table[i].delay_ms, table[i].empty, table[i].committed),
            table[i].ns);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_permille),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_at_rest),
        cmocka_unit_test(test_purge_delay),
        cmocka_unit_test(test_bin_cap),
        cmocka_unit_test(test_thread_bytes),
        cmocka_unit_test(test_recoverable_is_what_is_committed),
        cmocka_unit_test(test_decide),
        cmocka_unit_test(test_effort_is_linear),
        cmocka_unit_test(test_effort_is_monotone),
        cmocka_unit_test(test_share_keeps_to_the_effort),
        cmocka_unit_test(test_schedule),
        cmocka_unit_test(test_pick),
        cmocka_unit_test(test_pause_doubles_to_its_cap),
        cmocka_unit_test(test_notice),
        cmocka_unit_test(test_half_full_classes_converge),
        cmocka_unit_test(test_random_classes_converge),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
