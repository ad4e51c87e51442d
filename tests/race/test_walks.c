/* SPDX-License-Identifier: MIT */
/*
 * test_walks.c - a walk over the store stands somewhere, and the mover works: what lives throughout
 * is met exactly once, and nobody waits for the walk. The ground is five spans of one class, in
 * rising address; the walk stands before the objects of one of them, in no section.
 *
 * What makes these tests fail:
 *   - a destination on the other side of the walk: an object is met twice, or not at all;
 *   - a span that the walk is in is closed, or filled: the same;
 *   - a batch whose spans are all the room there is on their side leaves every object in place;
 *   - compact, stop or reclaim that wait for the walk: they hang.
 */
#include "race.h"

#define SPANS      5
#define SPAN_SLOTS (THINGS / 3)

struct ground {
    struct race *race;
    handle_t handles[SPANS * SPAN_SLOTS];
    unsigned seen[SPANS * SPAN_SLOTS];
    unsigned visits;
    const char *span[SPANS]; /* address */
};

static uint32_t
span_of(const struct ground *ground, unsigned i)
{
    section_enter();
    const void *object = handle_deref(ground->race->store, ground->handles[i]);
    assert_non_null(object);
    assert_filled(object, THING_BYTES, i);
    uint64_t offset = sn_store_offset(ground->race->store, object);
    section_leave();
    return (uint32_t)(offset >> SN_BLOCK_SHIFT);
}

/* kept[k]: so many objects stay in span k. */
static void
make_spans(struct race *race, struct ground *ground, const unsigned kept[SPANS])
{
    memset(ground, 0, sizeof(*ground));
    ground->race = race;
    for (unsigned i = 0; i < SPANS * SPAN_SLOTS; i++)
        ground->handles[i] = make_object(race->store, THING_BYTES, i);
    for (unsigned k = 0; k < SPANS; k++) {
        uint32_t number = span_of(ground, k * SPAN_SLOTS);
        ground->span[k] = sn_store_address(race->store, sn_span_offset(number));
        assert_true(k == 0 || ground->span[k] > ground->span[k - 1]);
        section_enter();
        for (unsigned i = kept[k]; i < SPAN_SLOTS; i++) {
            handle_t *handle = &ground->handles[k * SPAN_SLOTS + i];
            assert_int_equal(handle_free_now(race->store, *handle), 0);
            *handle = HANDLE_NULL;
        }
        section_leave();
    }
}

/* How many of the objects that were in span k are in span `in` now. */
static unsigned
count_in(const struct ground *ground, unsigned k, unsigned in)
{
    unsigned count = 0;
    for (unsigned i = k * SPAN_SLOTS; i < (k + 1) * SPAN_SLOTS; i++) {
        if (ground->handles[i] == HANDLE_NULL)
            continue;
        uint64_t offset = sn_span_offset(span_of(ground, i));
        count +=
            sn_store_address(ground->race->store, offset) == (void *)(uintptr_t)ground->span[in];
    }
    return count;
}

static int
note_visit(void *opaque, const struct handle_object *object)
{
    struct ground *ground = opaque;
    ground->visits++;
    for (unsigned i = 0; i < SPANS * SPAN_SLOTS; i++)
        ground->seen[i] += ground->handles[i] == object->handle;
    return 0;
}

static void
body_walk(struct actor *actor)
{
    actor->result = handle_store_each(actor->race->store, note_visit, actor->object);
}

static struct actor *
walk_stands_in(struct race *race, struct ground *ground, unsigned k)
{
    struct actor *walker = actor_new(race, body_walk);
    walker->object = ground;
    actor_run_to(walker, SN_HOOK_WALK_SECTION, ground->span[k]);
    return walker;
}

/* All that live were met, once each. */
static void
walk_ends(struct ground *ground, struct actor *walker)
{
    unsigned live = 0;
    actor_finish(walker);
    assert_int_equal(walker->result, 0);
    assert_int_equal(sn_load_relaxed(&ground->race->store->mover.stuck_bytes), 0);
    for (unsigned i = 0; i < SPANS * SPAN_SLOTS; i++) {
        assert_int_equal(ground->seen[i], ground->handles[i] != HANDLE_NULL);
        live += ground->handles[i] != HANDLE_NULL;
    }
    assert_int_equal(ground->visits, live);
    compact_checked(ground->race->store, NULL); /* what the walk kept apart comes together */
    assert_clean(ground->race->store);
    handle_store_clear(ground->race->store);
}

/*
 * The plan closes the three sparsest spans, one more than one side has room for, and the other side
 * none: of each side one is emptied into the one that is left. Seen failing: with destinations
 * wherever the fullest span was, objects were met twice; without giving up the last of a batch,
 * nothing moved.
 */
static void
test_moves_stay_on_their_side(void **state)
{
    static struct ground ground;
    struct race *race = *state;
    struct handle_defrag_report report;
    make_spans(race, &ground, (const unsigned[SPANS]){3, 10, 20, 4, 11});
    struct actor *walker = walk_stands_in(race, &ground, 2);
    compact(race, &report);
    assert_int_equal(report.spans_evacuated, 2);
    assert_int_equal(count_in(&ground, 0, 0) + count_in(&ground, 0, 1), 3);
    assert_int_equal(count_in(&ground, 1, 0) + count_in(&ground, 1, 1), 10);
    assert_int_equal(count_in(&ground, 2, 2), 20);
    assert_int_equal(count_in(&ground, 3, 3) + count_in(&ground, 3, 4), 4);
    assert_int_equal(count_in(&ground, 4, 3) + count_in(&ground, 4, 4), 11);
    walk_ends(&ground, walker);
}

/* All are ahead of the walk but the first, which can go nowhere; the walked one is left alone. What
 * this pass has not gained is no verdict any more once the walk has ended: seen failing. */
static void
test_no_move_across_a_walk(void **state)
{
    static struct ground ground;
    struct race *race = *state;
    struct handle_defrag_report report;
    make_spans(race, &ground, (const unsigned[SPANS]){3, 4, 65, 65, 30});
    struct actor *walker = walk_stands_in(race, &ground, 1);
    compact(race, &report);
    assert_int_equal(report.moved_objects, 0);
    assert_true(sn_load_relaxed(&race->store->mover.stuck_bytes) > 0);
    assert_int_equal(count_in(&ground, 0, 0), 3);
    assert_int_equal(count_in(&ground, 1, 1), 4);
    walk_ends(&ground, walker);
}

/* From behind an object could come to where the walk still goes. */
static void
test_no_move_ahead_of_a_walk(void **state)
{
    static struct ground ground;
    struct race *race = *state;
    struct handle_defrag_report report;
    make_spans(race, &ground, (const unsigned[SPANS]){64, 30, 65, 65, 4});
    struct actor *walker = walk_stands_in(race, &ground, 3);
    compact(race, &report); /* the last one is the only one ahead */
    assert_int_equal(count_in(&ground, 4, 4), 4);
    walk_ends(&ground, walker);
}

/* What was marked when the walk came is given up, and the walk has the span: its free slots serve
 * nobody, its objects stay. */
static void
test_walk_comes_to_a_closed_span(void **state)
{
    static struct ground ground;
    struct race *race = *state;
    struct handle_defrag_report report;
    make_spans(race, &ground, (const unsigned[SPANS]){40, 3, 40, 40, 40});
    steps_begin(race);
    handle_t first = ground.handles[SPAN_SLOTS];
    const uint64_t *word = sn_table_word(&race->store->table, sn_table_at(first));
    section_enter(); /* its grace period waits */
    for (unsigned i = 0; !sn_word_is_moving(sn_load_relaxed(word)); i++) {
        assert_in_range(i, 0, 1000);
        assert_int_equal(handle_defrag_step(race->store, 100000, NULL), 0);
    }
    section_leave();
    struct actor *walker = walk_stands_in(race, &ground, 1);
    assert_false(sn_word_is_moving(sn_load_relaxed(word)));
    compact(race, &report);
    assert_int_equal(count_in(&ground, 1, 1), 3);
    walk_ends(&ground, walker);
    steps_end(race);
}

static void
body_stop(struct actor *actor)
{
    actor->result = handle_defrag_stop(actor->race->store);
}

/* Seen failing: each of them waited for the walk, and the walk for the test. */
static void
test_nobody_waits_for_a_walk(void **state)
{
    static struct ground ground;
    struct race *race = *state;
    make_spans(race, &ground, (const unsigned[SPANS]){3, 10, 20, 4, 11});
    struct actor *walker = walk_stands_in(race, &ground, 2);
    assert_int_equal(handle_defrag_start(race->store), 0);
    struct actor *stopper = actor_start(race, body_stop);
    actor_join(stopper);
    assert_int_equal(stopper->result, 0);
    assert_int_equal(handle_store_purge(race->store, NULL), 0);
    assert_int_equal(handle_store_reclaim(race->store, SIZE_MAX), 0);
    assert_int_equal(handle_store_compact(race->store, NULL), 0);
    walk_ends(&ground, walker);
}

static int
stay_twice(void *opaque, const struct handle_object *object)
{
    struct actor *actor = opaque;
    (void)object;
    if (actor->size++ < 2)
        actor_stays(actor);
    return 0;
}

static void
body_stay(struct actor *actor)
{
    actor->result = handle_store_each(actor->race->store, stay_twice, actor);
}

/* A grace period that has begun ends with the visit: the next one is in another section. Under QSBR
 * the walk would be one, but for the visitor, who is offline. Seen failing: it waited for a whole
 * group of visits. */
static void
test_a_grace_period_waits_for_one_visit(void **state)
{
    static struct ground ground;
    struct race *race = *state;
    make_spans(race, &ground, (const unsigned[SPANS]){20, 20, 20, 20, 20});
    struct actor *walker = actor_inside(race, body_stay);
    uint64_t ticket = sn_rcu_request(race->store->rcu);
    await(sn_rcu_started(race->store->rcu) >= ticket || sn_rcu_is_done(race->store->rcu, ticket));
    actor_leave(walker);
    actor_await(walker); /* the second object, in the same span */
    await(sn_rcu_is_done(race->store->rcu, ticket));
    actor_finish(walker);
    assert_int_equal(walker->result, 0);
    assert_int_equal(walker->size, SPANS * 20); /* none was left out, none met twice */
    handle_store_clear(race->store);
}

static const struct CMUnitTest tests[] = {
    RACE_TEST(test_moves_stay_on_their_side), RACE_TEST(test_no_move_across_a_walk),
    RACE_TEST(test_no_move_ahead_of_a_walk),  RACE_TEST(test_walk_comes_to_a_closed_span),
    RACE_TEST(test_nobody_waits_for_a_walk),  RACE_TEST(test_a_grace_period_waits_for_one_visit),
};

RACE_MAIN("walks", tests)
