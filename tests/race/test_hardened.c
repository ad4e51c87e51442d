/* SPDX-License-Identifier: MIT */
/*
 * test_hardened.c - the short ways of hardened stores beside the mover, a walk and a taker. What
 * only they do is poison a slot while the free's call lasts: nobody may still read the object then,
 * nor take the poison for damage.
 *
 * What makes these tests fail is named at each.
 */
#include "race.h"

#define OTHER_BYTES 200 /* another class */

static void
make_hardened_ground(struct race *race, bool by_cell)
{
    race->fixture->options.hardened = true;
    fixture_reopen(race->fixture);
    race->store = race->fixture->store;
    ground_make(race, by_cell);
    set_option(race->store, "thread_cache_bytes", "256K");
}

static int
free_target_now(struct race *race)
{
    return race->by_cell ? handle_cell_free_now(race->store, &race->target->cell)
                         : handle_free_now(race->store, race->target->handle);
}

static int
free_target(struct race *race)
{
    return race->by_cell ? handle_cell_free(race->store, &race->target->cell)
                         : handle_free(race->store, race->target->handle);
}

/* Gives the thread a cache, says so, and frees the target in a section, as told by `size`. */
enum { NOW, LATER };
static void
body_free(struct actor *actor)
{
    struct race *race = actor->race;
    handle_t other = handle_alloc(race->store, OTHER_BYTES);
    thread_check(other != HANDLE_NULL);
    actor_stays(actor);
    section_enter();
    thread_check((actor->size == NOW ? free_target_now : free_target)(race) == 0);
    actor_stays(actor);
    thread_check(handle_free_now(race->store, other) == 0);
    section_leave();
}

/* Until sn_rcu_after_fork. */
static void
keep_grace_period_thread_out(void)
{
    wait_begin();
    sn_rcu_before_fork(true);
    wait_end();
}

/* An actor stands inside its cache, the target's word loaded and not yet ended. The grace-period
 * thread is kept out of the store until then: it takes from caches that were idle for a while, and
 * the actor would go the long way. */
static struct actor *
freer_stands(struct race *race, size_t kind, struct stage **stage)
{
    struct actor *freer = actor_new(race, body_free);
    freer->size = kind;
    keep_grace_period_thread_out();
    actor_run(freer);
    actor_await(freer);
    *stage = stage_arm(race, SN_HOOK_CACHE_ENTERED, NULL);
    actor_leave(freer);
    stage_wait(*stage);
    sn_rcu_after_fork();
    return freer;
}

static void
target_is_gone(struct race *race)
{
    thing_is_gone(race->target);
    ground_verify(race);
    ground_settle(race);
}

/* ---- the mover ------------------------------------------------------------------------------- */

/*
 * The mover is about to look at the canary, when a writer calls the move off and frees the object
 * at once: no damage. Fails (the process ends, "written past its end") when the mover does not look
 * at the word again; so it was once.
 */
static void
free_before_copy(struct race *race, bool by_cell)
{
    make_hardened_ground(race, by_cell);
    struct stage *stage = stage_arm(race, SN_HOOK_BEFORE_COPY, race->from);
    struct actor *mover = actor_start(race, body_compact);
    stage_wait(stage);
    thing_write(race, race->target, 7001);
    section_enter();
    assert_int_equal(free_target_now(race), 0);
    section_leave();
    stage_go(stage);
    actor_join(mover);
    assert_int_equal(mover->result, 0);
    target_is_gone(race);
}

static void
test_free_now_before_copy(void **state)
{
    free_before_copy(*state, false);
}

static void
test_cell_free_now_before_copy(void **state)
{
    free_before_copy(*state, true);
}

/*
 * The freer has loaded LIVE; the mover closes the span and marks the word; the freer ends it, by
 * free_now with a plain store (G4), and poisons the slot. Fails when the header is left as it was
 * (a free slot whose header names an object); by free, which finds its CAS lost to the mark and
 * goes the long way, when it goes on instead (the word still names the slot).
 */
static void
free_beside_mark(struct race *race, bool by_cell, size_t kind)
{
    struct stage *inside;
    make_hardened_ground(race, by_cell);
    struct actor *freer = freer_stands(race, kind, &inside);
    struct stage *marked = stage_arm(race, SN_HOOK_AFTER_MARK, race->from);
    struct actor *mover = actor_start(race, body_compact);
    stage_wait(marked);
    stage_go(inside);
    actor_await(freer); /* still in its section: the mover can not go on past its grace period */
    assert_null(thing_address(race, race->target));
    stage_go(marked);
    actor_leave(freer);
    actor_join(freer);
    actor_join(mover);
    assert_int_equal(mover->result, 0);
    assert_int_equal(mover->report.spans_evacuated, 1);
    target_is_gone(race);
}

static void
test_free_now_beside_mark(void **state)
{
    free_beside_mark(*state, false, NOW);
}

static void
test_free_beside_mark(void **state)
{
    free_beside_mark(*state, false, LATER);
}

static void
test_cell_free_now_beside_mark(void **state)
{
    free_beside_mark(*state, true, NOW);
}

static void
test_cell_free_beside_mark(void **state)
{
    free_beside_mark(*state, true, LATER);
}

/* ---- a walk ---------------------------------------------------------------------------------- */

struct walk {
    struct race *race;
    struct stage *stage;
    struct actor *freer;
    unsigned found;
};

/* The walk has found the target live; now it is freed, and must stay readable. */
static int
free_what_is_visited(void *opaque, const struct handle_object *object)
{
    struct walk *walk = opaque;
    if (object->data != walk->race->from)
        return 0;
    stage_go(walk->stage);
    while (sem_wait(&walk->freer->inside) != 0) /* not actor_await: this is a section */
        ;
    assert_filled(object->data, walk->race->target->size, walk->race->target->seed);
    walk->found++;
    return 0;
}

/* Fails when the short way does not look for walks: the visitor finds poison. */
static void
free_under_a_walk(struct race *race, bool by_cell)
{
    struct walk walk = {.race = race};
    make_hardened_ground(race, by_cell);
    walk.freer = freer_stands(race, NOW, &walk.stage);
    assert_int_equal(handle_store_each(race->store, free_what_is_visited, &walk), 0);
    assert_int_equal(walk.found, 1);
    actor_leave(walk.freer);
    actor_join(walk.freer);
    target_is_gone(race);
}

static void
test_free_now_under_a_walk(void **state)
{
    free_under_a_walk(*state, false);
}

static void
test_cell_free_now_under_a_walk(void **state)
{
    free_under_a_walk(*state, true);
}

/* ---- a taker --------------------------------------------------------------------------------- */

/* A taker passes over who stands inside. Fails when the short way does not show itself busy. */
static void
test_taker_skips_a_freer(void **state)
{
    struct race *race = *state;
    struct stage *stage;
    make_hardened_ground(race, false);
    struct actor *freer = freer_stands(race, NOW, &stage);
    assert_int_equal(sn_caches_take_slots(&race->store->caches, false, false, NULL), 1);
    stage_go(stage);
    actor_await(freer);
    assert_int_equal(sn_caches_take_slots(&race->store->caches, false, false, NULL), 0);
    actor_leave(freer);
    actor_join(freer);
    target_is_gone(race);
}

/*
 * Frees that their thread has only noted count as done, by their sizes: where there are guards
 * nobody else reads the slots for that, so they are finished. Fails when they are not, and the
 * payloads of slots stand for sizes.
 */
static void
test_used_beside_notes(void **state)
{
    struct race *race = *state;
    make_hardened_ground(race, false);
    handle_t other = handle_alloc(race->store, OTHER_BYTES); /* the thread has a cache */
    assert_true(other != HANDLE_NULL);
    keep_grace_period_thread_out(); /* nobody else finishes them */
    uint64_t used = handle_store_used(race->store);
    section_enter();
    handle_t handle = handle_alloc(race->store, OTHER_BYTES - 3);
    uint64_t with_it = handle_store_used(race->store);
    int freed = handle_free_now(race->store, handle);
    section_leave();
    uint64_t without = handle_store_used(race->store);
    sn_rcu_after_fork();
    assert_int_equal(with_it, used + OTHER_BYTES - 3);
    assert_int_equal(freed, 0);
    assert_int_equal(without, used);
    assert_int_equal(handle_free(race->store, other), 0);
    ground_verify(race);
    ground_settle(race);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        RACE_TEST(test_free_now_before_copy),      RACE_TEST(test_cell_free_now_before_copy),
        RACE_TEST(test_free_now_beside_mark),      RACE_TEST(test_free_beside_mark),
        RACE_TEST(test_cell_free_now_beside_mark), RACE_TEST(test_cell_free_beside_mark),
        RACE_TEST(test_free_now_under_a_walk),     RACE_TEST(test_cell_free_now_under_a_walk),
        RACE_TEST(test_taker_skips_a_freer),       RACE_TEST(test_used_beside_notes),
    };
    thread_enter();
    int failed = cmocka_run_group_tests_name("hardened " FLAVOUR_NAME, tests, NULL, NULL);
    thread_leave();
    return failed;
}
