/* SPDX-License-Identifier: MIT */
/*
 * test_hardened.c - the fast paths of hardened stores beside the mover, a walk and a drainer. What
 * only they do is poison a slot while the free's call lasts: nobody may still read the object then,
 * nor take the poison for damage.
 *
 * What makes these tests fail is named at each.
 */
#include "race.h"
#include "rcu/rcu_fork.h"
#include "thread/drain.h"

#define OTHER_BYTES 200 /* another class */

static void
make_hardened_ground(struct race *race, bool by_cell)
{
    race->fixture->options.hardened = true;
    fixture_reopen(race->fixture);
    race->store = race->fixture->store;
    ground_make(race, by_cell);
    use_thread_caches(race);
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
    thread_check((actor->size == NOW ? thing_try_free_now : thing_try_free)(race, race->target) ==
                 0);
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
 * the actor would take the slow path. */
static struct actor *
freer_stands(struct race *race, size_t kind)
{
    struct actor *freer = actor_new(race, body_free);
    freer->size = kind;
    keep_grace_period_thread_out();
    actor_run(freer);
    actor_await(freer);
    actor_leave_to(freer, SN_HOOK_CACHE_ENTERED, NULL);
    sn_rcu_after_fork();
    return freer;
}

/* ---- the mover ------------------------------------------------------------------------------- */

/*
 * The mover is about to look at the canary, when a writer calls the move off and frees the object
 * at once: no damage. Fails (the process ends, "written past its end") when the mover does not look
 * at the word again; so it was once.
 */
static void
test_free_now_before_copy(struct race *race)
{
    struct actor *mover = actor_stands(race, body_compact, SN_HOOK_BEFORE_COPY, race->from);
    thing_write(race, race->target, 7001);
    section_enter();
    assert_int_equal(thing_try_free_now(race, race->target), 0);
    section_leave();
    actor_finish(mover);
    assert_int_equal(mover->result, 0);
    thing_is_gone(race->target);
}

/*
 * The freer has loaded LIVE; the mover closes the span and marks the word; the freer ends it, by
 * free_now with a plain store (G4), and poisons the slot. Fails when the header is left as it was
 * (a free slot whose header names an object); by free, which finds its CAS lost to the mark and
 * takes the slow path, when it goes on instead (the word still names the slot).
 */
static void
free_beside_mark(struct race *race, size_t kind)
{
    struct actor *freer = freer_stands(race, kind);
    struct actor *mover = actor_stands(race, body_compact, SN_HOOK_AFTER_MARK, race->from);
    actor_go(freer);
    actor_await(freer); /* still in its section: the mover can not go on past its grace period */
    assert_null(thing_address(race, race->target));
    actor_go(mover);
    actor_finish(freer);
    actor_join(mover);
    assert_int_equal(mover->result, 0);
    assert_int_equal(mover->report.spans_evacuated, 1);
    thing_is_gone(race->target);
}

static void
test_free_now_beside_mark(struct race *race)
{
    free_beside_mark(race, NOW);
}

static void
test_free_beside_mark(struct race *race)
{
    free_beside_mark(race, LATER);
}

/* ---- a walk ---------------------------------------------------------------------------------- */

struct walk {
    struct race *race;
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
    actor_go(walk->freer);
    while (sem_wait(&walk->freer->inside) != 0) /* not actor_await: this is a section */
        ;
    assert_filled(object->data, walk->race->target->size, walk->race->target->seed);
    walk->found++;
    return 0;
}

/* Fails when the fast path does not look for walks: the visitor finds poison. */
static void
test_free_now_under_a_walk(struct race *race)
{
    struct walk walk = {.race = race, .freer = freer_stands(race, NOW)};
    assert_int_equal(handle_store_each(race->store, free_what_is_visited, &walk), 0);
    assert_int_equal(walk.found, 1);
    actor_leave(walk.freer);
    actor_join(walk.freer);
    thing_is_gone(race->target);
}

/* ---- a drainer ------------------------------------------------------------------------------- */

/* A drainer passes over who stands inside. Fails when the fast path does not show itself inside. */
static void
test_taker_skips_a_freer(struct race *race)
{
    struct actor *freer = freer_stands(race, NOW);
    assert_int_equal(sn_caches_drain(&race->store->caches, false, false, NULL), 1);
    actor_go(freer);
    actor_await(freer);
    assert_int_equal(sn_caches_drain(&race->store->caches, false, false, NULL), 0);
    actor_finish(freer);
    thing_is_gone(race->target);
}

#define HARDENED_BY_HANDLE(function) BY_HANDLE_ON(make_hardened_ground, function)
#define HARDENED_BY_BOTH(function)   BY_BOTH_ON(make_hardened_ground, function)

static const struct CMUnitTest tests[] = {
    HARDENED_BY_BOTH(test_free_now_before_copy),  HARDENED_BY_BOTH(test_free_now_beside_mark),
    HARDENED_BY_BOTH(test_free_beside_mark),      HARDENED_BY_BOTH(test_free_now_under_a_walk),
    HARDENED_BY_HANDLE(test_taker_skips_a_freer),
};

RACE_MAIN("hardened", tests)
