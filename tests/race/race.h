/* SPDX-License-Identifier: MIT */
/*
 * race.h - staging of races. The test's own thread is the director: it arms stages, starts actors
 * (threads that compact, free, resize ...), waits until one stands at its stage, does something
 * itself, and lets it go on. The director is never stopped by a stage.
 *
 * The ground is three spans of one class: the first holds four objects, the others are half full,
 * so that a compaction evacuates exactly the first. The second of the four is the target.
 *
 * What a failed assertion leaves behind (actors that stand, open sections) the tear-down lets go.
 */
#ifndef TEST_RACE_H
#define TEST_RACE_H

#include "waiting.h"

#include <semaphore.h>
#include <unistd.h>

#include "base/hooks.h"
#include "defrag/life.h"

#define THING_BYTES  1000
#define THINGS       195                                /* three spans full */
#define LIVE         (KEPT + (THINGS - THINGS / 3) / 2) /* of these */
#define STAGES       6
#define ACTORS       4
#define KEPT         4  /* in the span that is evacuated */
#define TARGET       20 /* index of the target among the things */
#define SPARSE_ADDED 8

/** Where an actor stops. */
struct stage {
    enum sn_hook_point point;
    const void *object; /* the hook's; NULL: any */
    unsigned state;     /* atomic: 0 unused, 1 armed, 2 somebody stands there, 3 passed */
    sem_t reached, go;
};

struct race;

/** A thread of the test, registered with the flavour. */
struct actor {
    struct race *race;
    void (*body)(struct actor *actor);
    pthread_t thread;
    bool running;
    int result;
    struct handle_defrag_report report;
    void *object; /* for the bodies' use */
    handle_t handle;
    handle_cell *cell, *other_cell;
    size_t size;
    sem_t inside, leave; /* for bodies that stay somewhere until they are told */
    struct stage *stage; /* where actor_run_to has sent it, or NULL */
};

/** An object of the ground, by handle or by cell, and what it must hold. */
struct thing {
    handle_t handle;
    handle_cell cell;
    size_t size;
    uint64_t seed;
    uint32_t tag;
    bool live;
};

struct race {
    struct fixture *fixture;
    handle_store *store;
    const void *test_case; /* cmocka's initial state */
    bool by_cell;
    struct thing things[THINGS + SPARSE_ADDED];
    struct thing *target;
    char *from;       /* where the target lies before any compaction */
    const char *span; /* what BEFORE_RECLAIM shows for its span */
    bool ending;      /* atomic: bodies that go round and round stop */
    struct stage stages[STAGES];
    struct actor actors[ACTORS];
};

/** cmocka set-up (the state becomes a struct race, a state given before becomes test_case) and
 * tear-down. No background thread, no thread caches, and thresholds that never ask for work. */
int race_setup(void **state);
int race_teardown(void **state);
#define RACE_TEST(function) cmocka_unit_test_setup_teardown(function, race_setup, race_teardown)

/**
 * Rows of a table of tests, for functions that take the race alone: the ground is made before, by
 * handle, by cell, or once by each; it is verified and settled after. `ground` is a function as
 * ground_make, which it calls.
 */
struct race_case {
    void (*run)(struct race *race);
    void (*ground)(struct race *race, bool by_cell);
    bool by_cell;
};
void race_run(void **state);
#define RACE_CASE(name, function, ground, by_cell)                                                 \
    {                                                                                              \
        name, race_run, race_setup, race_teardown, (void *)&(struct race_case)                     \
        {                                                                                          \
            function, ground, by_cell                                                              \
        }                                                                                          \
    }
#define BY_HANDLE_ON(ground, function) RACE_CASE(#function, function, ground, false)
#define BY_CELL_ON(ground, function)   RACE_CASE(#function ", by cell", function, ground, true)
#define BY_BOTH_ON(ground, function)   BY_HANDLE_ON(ground, function), BY_CELL_ON(ground, function)
#define BY_HANDLE(function)            BY_HANDLE_ON(ground_make, function)
#define BY_CELL(function)              BY_CELL_ON(ground_make, function)
#define BY_BOTH(function)              BY_BOTH_ON(ground_make, function)

/** main() of a file with one table. */
#define RACE_MAIN(name, tests)                                                                     \
    int main(void)                                                                                 \
    {                                                                                              \
        thread_enter();                                                                            \
        int failed = cmocka_run_group_tests_name(name " " FLAVOUR_NAME, tests, NULL, NULL);        \
        thread_leave();                                                                            \
        return failed;                                                                             \
    }

/* ---- the ground ------------------------------------------------------------------------------ */

void ground_make(struct race *race, bool by_cell);
/** From here on threads have caches, and keep what they cache: housekeeping looks at none. */
void use_thread_caches(struct race *race);
/**
 * From here on the grace-period thread takes over nothing that is freed, for which it shuts the
 * gates of all caches: a call that comes in at that moment takes its slow path. For cases that fail
 * by the slow path. What they free with a grace period stays in limbo until it is let go.
 */
void keep_limbo_ungathered(struct race *race);
void let_limbo_be_gathered(struct race *race);
/** Where a thing lies now; NULL when it is gone. */
char *thing_address(const struct race *race, const struct thing *thing);
/**
 * The object before the target wrote past its end: a bit of the target's header changes; once more
 * mends it. DAMAGE_NAME: a bit that is found in any case. (One of a check byte may leave none of
 * it, and the slot without an object.)
 */
void target_damage(struct race *race, unsigned bit);
#define DAMAGE_NAME 62
/** New contents, through deref_mut. Result: where they were written. */
char *thing_write(struct race *race, struct thing *thing, uint64_t seed);
/** The thing is gone from now on. */
void thing_is_gone(struct thing *thing);
/** Where the thing's reference word is: what the hooks before a cancel and a free show. */
uint64_t *thing_reference(struct race *race, struct thing *thing);
/** Makes one more thing, in a place among the things that was not used yet. */
struct thing *thing_make(struct race *race, uint64_t seed);
/** Free and free_now of its kind, as such: any thread, in a section. */
int thing_try_free(const struct race *race, struct thing *thing);
int thing_try_free_now(const struct race *race, struct thing *thing);
/** Frees by the plain call of its kind; asserts success. */
void thing_free(struct race *race, struct thing *thing);
/** Live things hold what they must and no others are live; handle_store_check finds nothing. */
void ground_verify(struct race *race);
/** Compacts with digests before and after, drains limbo: nothing is left of any race. */
void ground_settle(struct race *race);
/** Objects refused so far. */
uint64_t refused(const struct race *race, enum handle_refusal reason);

/**
 * While the target's object is on its way from one cell to another: a walk meets it once, by one of
 * them, as movable; its size by `to` is what it is, by `from` size_by_from; nothing is reported.
 */
void assert_on_its_way(struct race *race, const handle_cell *from, const handle_cell *to,
                       size_t size_by_from);

/** Visitor of a walk: counts, in an unsigned. */
int count_visit(void *opaque, const struct handle_object *object);

/* ---- stages ---------------------------------------------------------------------------------- */

/** The next actor that comes by (with this object; NULL: any) stops there, once. */
struct stage *stage_arm(struct race *race, enum sn_hook_point point, const void *object);
/** What the hook shows when it is passed with the target. */
const void *target_at(struct race *race, enum sn_hook_point point);
/** The points of a move, in their order. */
#define MOVER_POINTS 6
extern const enum sn_hook_point mover_points[MOVER_POINTS];
extern const char *const mover_point_names[MOVER_POINTS];
/** Long enough for another thread to get to where it waits, most likely; either way is right. */
void give_way(void);
/** Waits until an actor stands there. */
void stage_wait(struct stage *stage);
void stage_go(struct stage *stage);
/** How often a hook was passed with this object since the set-up (or the last reset). */
unsigned passed(enum sn_hook_point point, const void *object);
void passed_reset(void);

/* ---- actors ---------------------------------------------------------------------------------- */

struct actor *actor_start(struct race *race, void (*body)(struct actor *actor));
/** As actor_start, but the caller fills the actor's fields first. */
struct actor *actor_new(struct race *race, void (*body)(struct actor *actor));
void actor_run(struct actor *actor);
/** Arms a stage and runs the actor until it stands there; then lets it go on. */
void actor_run_to(struct actor *actor, enum sn_hook_point point, const void *object);
void actor_go(struct actor *actor);
/** The same until it stays, while nobody is let into thread caches: an owner that is locked out of
 * its cache frees to the heap. The body must not end before, and take no lock of the caches. */
void actor_goes_alone(struct actor *actor);
/** actor_new and actor_run_to. */
struct actor *actor_stands(struct race *race, void (*body)(struct actor *actor),
                           enum sn_hook_point point, const void *object);
/** The same with the target, as the hook shows it. */
struct actor *stand(struct race *race, void (*body)(struct actor *actor), enum sn_hook_point point);
/** actor_start, and actor_await. */
struct actor *actor_inside(struct race *race, void (*body)(struct actor *actor));
void actor_join(struct actor *actor);
/** Lets it go on from wherever it stands or stays, and joins it. */
void actor_finish(struct actor *actor);
/** In a body: says that it is there, and stays until actor_leave. */
void actor_stays(struct actor *actor);
void actor_await(struct actor *actor);
void actor_leave(struct actor *actor);
/** From where it stays to a stage, which is armed only now; waits until it stands there. */
void actor_leave_to(struct actor *actor, enum sn_hook_point point, const void *object);

/** Whether the store's compaction thread runs, or has not been joined yet. */
bool mover_is_running(struct race *race);
/** In the director's own thread. */
void compact(struct race *race, struct handle_defrag_report *report);
/** Body: one handle_store_compact; result and report are in the actor. */
void body_compact(struct actor *actor);

/* ---- compaction by steps, in the director's thread ------------------------------------------- */

/** From here on steps find the ground worth a pass (before, only handle_store_compact moves). */
void steps_begin(struct race *race);
/** One step, and a moment's sleep. Result: whether more is to be done. */
bool step(struct race *race);
/** Steps until the hook was passed with the object. */
void step_until(struct race *race, enum sn_hook_point point, const void *object);
/** Many steps: more than any part of the protocol needs when nothing holds it. */
void step_often(struct race *race);
/** No pass is begun any more; what is under way is carried to its end. */
void steps_end(struct race *race);

/* ---- forks ----------------------------------------------------------------------------------- */

/** assert_true for a forked child, which it ends. */
#define CHILD_CHECK(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: in the child: %s does not hold\n", __FILE__, __LINE__,         \
                    #condition);                                                                   \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

/** Forks after handle_store_before_fork, with all other hooks; the child runs child(race). */
pid_t fork_prepared(struct race *race, void (*child)(struct race *race));
/** Result: its exit status; -1 when a signal ended it. Any thread. */
int wait_for_child(pid_t pid);
/** The whole of it, with call_rcu's threads paused. Result: as of wait_for_child. */
int fork_and_wait(struct race *race, void (*child)(struct race *race));

#endif
