/* SPDX-License-Identifier: MIT */
/*
 * race.c - the helpers of race.h. Not a test by itself.
 */
#include "race.h"
#include "rcu/rcu_fork.h"

#include <sys/wait.h>
#include <time.h>

enum { STAGE_UNUSED, STAGE_ARMED, STAGE_STANDS, STAGE_PASSED };

static struct race *current; /* the hook function's */
static pthread_t director;

/* ---- what passed ----------------------------------------------------------------------------- */

#define LOG_ENTRIES 4096

static struct {
    uint32_t count;
    enum sn_hook_point point[LOG_ENTRIES];
    const void *object[LOG_ENTRIES];
} hook_log;

static bool
is_logged(enum sn_hook_point point)
{
    /* The mover's own, and few; the others come too often. */
    return point <= SN_HOOK_BEFORE_RECLAIM || point == SN_HOOK_TURN;
}

static void
log_hook(enum sn_hook_point point, const void *object)
{
    uint32_t at = __atomic_fetch_add(&hook_log.count, 1, __ATOMIC_RELAXED);
    if (at >= LOG_ENTRIES)
        return;
    __atomic_store_n(&hook_log.object[at], object, __ATOMIC_RELAXED);
    __atomic_store_n(&hook_log.point[at], point, __ATOMIC_RELEASE);
}

unsigned
passed(enum sn_hook_point point, const void *object)
{
    uint32_t count = __atomic_load_n(&hook_log.count, __ATOMIC_RELAXED);
    unsigned found = 0;
    thread_check(count <= LOG_ENTRIES);
    for (uint32_t i = 0; i < count; i++) {
        if (__atomic_load_n(&hook_log.point[i], __ATOMIC_ACQUIRE) == point &&
            __atomic_load_n(&hook_log.object[i], __ATOMIC_RELAXED) == object)
            found++;
    }
    return found;
}

void
passed_reset(void)
{
    __atomic_store_n(&hook_log.count, 0, __ATOMIC_RELAXED);
}

/* ---- stages ---------------------------------------------------------------------------------- */

/* Under QSBR it holds up no grace period where no section is open, of whichever flavour. */
static void
stop_here(struct stage *stage)
{
    bool outside = stage->point == SN_HOOK_WALK_SECTION || stage->point == SN_HOOK_STEP_LEFT;
    sem_post(&stage->reached);
    if (outside)
        wait_begin();
    while (sem_wait(&stage->go) != 0) /* a signal */
        ;
    if (outside)
        wait_end();
}

static void
on_hook(enum sn_hook_point point, const void *object)
{
    if (is_logged(point))
        log_hook(point, object);
    if (pthread_equal(pthread_self(), director))
        return;
    for (unsigned i = 0; i < STAGES; i++) {
        struct stage *stage = &current->stages[i];
        unsigned armed = STAGE_ARMED;
        if (__atomic_load_n(&stage->state, __ATOMIC_ACQUIRE) == STAGE_ARMED &&
            stage->point == point && (!stage->object || stage->object == object) &&
            __atomic_compare_exchange_n(&stage->state, &armed, STAGE_STANDS, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            stop_here(stage);
            return; /* a stage armed meanwhile is for who comes by next */
        }
    }
}

struct stage *
stage_arm(struct race *race, enum sn_hook_point point, const void *object)
{
    struct stage *stage = race->stages;
    while (__atomic_load_n(&stage->state, __ATOMIC_RELAXED) != STAGE_UNUSED)
        stage++;
    assert_true(stage < race->stages + STAGES);
    stage->point = point;
    stage->object = object;
    __atomic_store_n(&stage->state, STAGE_ARMED, __ATOMIC_RELEASE);
    return stage;
}

const enum sn_hook_point mover_points[MOVER_POINTS] = {
    SN_HOOK_AFTER_MARK,     SN_HOOK_BEFORE_COPY,   SN_HOOK_AFTER_COPY,
    SN_HOOK_BEFORE_PUBLISH, SN_HOOK_AFTER_PUBLISH, SN_HOOK_BEFORE_RECLAIM};
const char *const mover_point_names[MOVER_POINTS] = {
    "after_mark", "before_copy", "after_copy", "before_publish", "after_publish", "before_reclaim"};

const void *
target_at(struct race *race, enum sn_hook_point point)
{
    switch (point) {
    case SN_HOOK_FREE_LOADED:
    case SN_HOOK_MUT_LOADED:
    case SN_HOOK_PUBLISH_LOADED:
    case SN_HOOK_PUBLISH_SLOW:
        return thing_reference(race, race->target);
    case SN_HOOK_COMMIT_HEADER:
        return NULL; /* the new version, of which nobody knows yet */
    case SN_HOOK_BEFORE_RECLAIM:
        return race->span;
    default:
        return race->from;
    }
}

void
give_way(void)
{
    for (unsigned i = 0; i < 10; i++)
        nap();
}

void
stage_wait(struct stage *stage)
{
    wait_begin();
    while (sem_wait(&stage->reached) != 0)
        ;
    wait_end();
}

void
stage_go(struct stage *stage)
{
    if (__atomic_exchange_n(&stage->state, STAGE_PASSED, __ATOMIC_ACQ_REL) == STAGE_STANDS)
        sem_post(&stage->go);
}

/* ---- actors ---------------------------------------------------------------------------------- */

static void *
actor_main(void *opaque)
{
    struct actor *actor = opaque;
    thread_enter();
    actor->body(actor);
    thread_leave();
    return NULL;
}

struct actor *
actor_new(struct race *race, void (*body)(struct actor *actor))
{
    struct actor *actor = race->actors;
    while (actor->body)
        actor++;
    assert_true(actor < race->actors + ACTORS);
    actor->race = race;
    actor->body = body;
    return actor;
}

void
actor_run(struct actor *actor)
{
    assert_int_equal(pthread_create(&actor->thread, NULL, actor_main, actor), 0);
    actor->running = true;
}

struct actor *
actor_start(struct race *race, void (*body)(struct actor *actor))
{
    struct actor *actor = actor_new(race, body);
    actor_run(actor);
    return actor;
}

void
actor_run_to(struct actor *actor, enum sn_hook_point point, const void *object)
{
    actor->stage = stage_arm(actor->race, point, object);
    actor_run(actor);
    stage_wait(actor->stage);
}

void
actor_go(struct actor *actor)
{
    stage_go(actor->stage);
}

struct actor *
actor_stands(struct race *race, void (*body)(struct actor *actor), enum sn_hook_point point,
             const void *object)
{
    struct actor *actor = actor_new(race, body);
    actor_run_to(actor, point, object);
    return actor;
}

struct actor *
stand(struct race *race, void (*body)(struct actor *actor), enum sn_hook_point point)
{
    return actor_stands(race, body, point, target_at(race, point));
}

struct actor *
actor_inside(struct race *race, void (*body)(struct actor *actor))
{
    struct actor *actor = actor_start(race, body);
    actor_await(actor);
    return actor;
}

void
actor_goes_alone(struct actor *actor)
{
    sn_lock(&actor->race->store->caches.lock);
    actor_go(actor);
    actor_await(actor);
    sn_unlock(&actor->race->store->caches.lock);
}

void
actor_join(struct actor *actor)
{
    wait_begin();
    pthread_join(actor->thread, NULL);
    wait_end();
    actor->running = false;
}

void
actor_finish(struct actor *actor)
{
    if (actor->stage)
        actor_go(actor);
    actor_leave(actor);
    actor_join(actor);
}

void
actor_stays(struct actor *actor)
{
    bool outside = section_depth == 0;
    sem_post(&actor->inside);
    if (outside)
        wait_begin();
    while (sem_wait(&actor->leave) != 0)
        ;
    if (outside)
        wait_end();
}

void
actor_await(struct actor *actor)
{
    wait_begin();
    while (sem_wait(&actor->inside) != 0)
        ;
    wait_end();
}

void
actor_leave(struct actor *actor)
{
    sem_post(&actor->leave);
}

void
actor_leave_to(struct actor *actor, enum sn_hook_point point, const void *object)
{
    actor->stage = stage_arm(actor->race, point, object);
    actor_leave(actor);
    stage_wait(actor->stage);
}

bool
mover_is_running(struct race *race)
{
    struct sn_defrag *d = race->store->defrag;
    sn_lock(&d->mover->wake_lock);
    bool running = d->mover->running;
    sn_unlock(&d->mover->wake_lock);
    return running;
}

void
compact(struct race *race, struct handle_defrag_report *report)
{
    *report = (struct handle_defrag_report)HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_store_compact(race->store, report), 0);
}

void
body_compact(struct actor *actor)
{
    actor->report = (struct handle_defrag_report)HANDLE_DEFRAG_REPORT_INIT;
    actor->result = handle_store_compact(actor->race->store, &actor->report);
}

/* ---- steps ----------------------------------------------------------------------------------- */

bool
step(struct race *race)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_defrag_step(race->store, 100000, &report), 0);
    assert_int_equal(report.busy, 0);
    wait_begin();
    const struct timespec moment = {.tv_nsec = 200000};
    nanosleep(&moment, NULL);
    wait_end();
    return report.more != 0;
}

void
steps_begin(struct race *race)
{
    set_option(race->store, "defrag.ignore_bytes", "0");
}

void
steps_end(struct race *race)
{
    set_option(race->store, "defrag.ignore_bytes", "1T");
    for (unsigned i = 0; step(race); i++)
        assert_in_range(i, 0, 100000); /* would hang */
}

void
step_until(struct race *race, enum sn_hook_point point, const void *object)
{
    for (unsigned i = 0; passed(point, object) == 0; i++) {
        assert_in_range(i, 0, 100000); /* would hang */
        step(race);
    }
}

void
step_often(struct race *race)
{
    for (unsigned i = 0; i < 60; i++)
        step(race);
}

/* ---- the ground ------------------------------------------------------------------------------ */

static uint32_t
span_number(const struct race *race, const void *address)
{
    return (uint32_t)(sn_store_offset(race->store, address) >> SN_BLOCK_SHIFT);
}

struct thing *
thing_make(struct race *race, uint64_t seed)
{
    struct thing *thing = race->things;
    void *object = NULL;
    while (thing->size != 0)
        thing++;
    assert_true(thing < race->things + THINGS + SPARSE_ADDED);
    size_t size = THING_BYTES - race->store->classes.extra; /* the same class with a canary */
    *thing = (struct thing){.size = size, .seed = seed, .live = true};
    section_enter();
    if (race->by_cell)
        object = handle_cell_alloc(race->store, &thing->cell, thing->size, 0);
    else
        thing->handle = handle_alloc_object(race->store, thing->size, 0, &object);
    assert_non_null(object);
    fill(object, thing->size, thing->seed);
    section_leave();
    return thing;
}

int
thing_try_free(const struct race *race, struct thing *thing)
{
    return race->by_cell ? handle_cell_free(race->store, &thing->cell)
                         : handle_free(race->store, thing->handle);
}

int
thing_try_free_now(const struct race *race, struct thing *thing)
{
    return race->by_cell ? handle_cell_free_now(race->store, &thing->cell)
                         : handle_free_now(race->store, thing->handle);
}

static uint64_t (*housekeep)(struct sn_rcu_client *client, uint64_t now_ns);

static uint64_t
housekeep_without_ticks(struct sn_rcu_client *client, uint64_t now_ns)
{
    sn_container_of(client, handle_store, client)->next_tick_ns = SN_NEVER;
    return housekeep(client, now_ns);
}

static bool
gather_nothing(struct sn_rcu_client *client)
{
    (void)client;
    return false;
}

static void
keep_grace_period_thread_out(void)
{
    wait_begin();
    sn_rcu_before_fork(true);
    wait_end();
}

/* A tick takes from caches that were idle since the one before: threads that stand at a stage for
 * long, on a busy machine, would take slow paths afterwards. */
void
use_thread_caches(struct race *race)
{
    struct sn_rcu_client *client = &race->store->client;
    keep_grace_period_thread_out();
    if (client->housekeep != housekeep_without_ticks) {
        housekeep = client->housekeep;
        client->housekeep = housekeep_without_ticks;
    }
    sn_rcu_after_fork();
    set_option(race->store, "thread_cache_bytes", "256K");
}

static bool (*gather)(struct sn_rcu_client *client);

void
keep_limbo_ungathered(struct race *race)
{
    struct sn_rcu_client *client = &race->store->client;
    keep_grace_period_thread_out();
    gather = client->gather;
    client->gather = gather_nothing;
    sn_rcu_after_fork();
}

void
let_limbo_be_gathered(struct race *race)
{
    keep_grace_period_thread_out();
    race->store->client.gather = gather;
    sn_rcu_after_fork();
}

static bool
is_kept(unsigned i)
{
    return i < THINGS / 3 ? i == 5 || i == TARGET || i == 40 || i == 60 : i % 2 == 0;
}

void
ground_make(struct race *race, bool by_cell)
{
    race->by_cell = by_cell;
    for (unsigned i = 0; i < THINGS; i++)
        thing_make(race, i + 1);
    for (unsigned i = 0; i < THINGS; i++) {
        if (is_kept(i))
            continue;
        section_enter();
        assert_int_equal(thing_try_free_now(race, &race->things[i]), 0);
        section_leave();
        thing_is_gone(&race->things[i]);
    }
    race->target = &race->things[TARGET];
    race->from = thing_address(race, race->target);
    uint32_t number = span_number(race, race->from);
    race->span = sn_store_address(race->store, sn_span_offset(number));
    /* The lay-out that the tests rely on. */
    for (unsigned i = 0; i < THINGS; i++) {
        const char *at = thing_address(race, &race->things[i]);
        assert_true(!at || (span_number(race, at) == number) == (i < THINGS / 3));
    }
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_defrag_estimate(race->store, &report), 0);
    assert_int_equal(report.spans_evacuated, 1);
    passed_reset();
}

void
target_damage(struct race *race, unsigned bit)
{
    uint64_t *header = (uint64_t *)(void *)(race->from - SN_HEADER_BYTES);
    /* Atomic: the statistics' look at requested bytes may read headers meanwhile. */
    (void)__atomic_xor_fetch(header, UINT64_C(1) << bit, __ATOMIC_RELAXED);
}

uint64_t *
thing_reference(struct race *race, struct thing *thing)
{
    return race->by_cell ? &thing->cell.word
                         : sn_table_word(&race->store->table, sn_table_at(thing->handle));
}

char *
thing_address(const struct race *race, const struct thing *thing)
{
    section_enter();
    const void *object = race->by_cell ? handle_cell_deref(race->store, &thing->cell)
                                       : handle_deref(race->store, thing->handle);
    section_leave();
    return (char *)(uintptr_t)object;
}

char *
thing_write(struct race *race, struct thing *thing, uint64_t seed)
{
    section_enter();
    void *object = race->by_cell ? handle_cell_deref_mut(race->store, &thing->cell)
                                 : handle_deref_mut(race->store, thing->handle);
    assert_non_null(object);
    fill(object, thing->size, seed);
    section_leave();
    thing->seed = seed;
    return object;
}

void
thing_is_gone(struct thing *thing)
{
    thing->live = false;
}

void
thing_free(struct race *race, struct thing *thing)
{
    section_enter();
    assert_int_equal(thing_try_free(race, thing), 0);
    section_leave();
    thing_is_gone(thing);
}

static void
verify_thing(const struct race *race, const struct thing *thing)
{
    uint32_t tag = 0;
    section_enter();
    const void *object = race->by_cell ? handle_cell_read(race->store, &thing->cell, &tag)
                                       : handle_deref(race->store, thing->handle);
    size_t size = race->by_cell ? handle_cell_size(race->store, &thing->cell)
                                : handle_size(race->store, thing->handle);
    assert_int_equal(object != NULL, thing->live);
    if (thing->live) {
        assert_int_equal(size, thing->size);
        assert_int_equal(tag, thing->tag);
        assert_filled(object, thing->size, thing->seed);
    }
    section_leave();
}

struct on_its_way {
    const void *object;
    const handle_cell *from, *to;
    unsigned met;
};

static int
meet(void *opaque, const struct handle_object *object)
{
    struct on_its_way *way = opaque;
    if (object->data == way->object) {
        assert_true(object->cell == way->from || object->cell == way->to);
        assert_int_equal(object->flags, 0);
        way->met++;
    }
    return 0;
}

void
assert_on_its_way(struct race *race, const handle_cell *from, const handle_cell *to,
                  size_t size_by_from)
{
    struct on_its_way way = {.object = race->from, .from = from, .to = to};
    section_enter();
    assert_ptr_equal(handle_cell_deref(race->store, to), race->from);
    assert_int_equal(handle_cell_size(race->store, to), THING_BYTES);
    assert_int_equal(handle_cell_size(race->store, from), size_by_from);
    section_leave();
    assert_int_equal(errors_count(race->fixture), 0);
    assert_int_equal(handle_store_each(race->store, meet, &way), 0);
    assert_int_equal(way.met, 1);
}

int
count_visit(void *opaque, const struct handle_object *object)
{
    (void)object;
    ++*(unsigned *)opaque;
    return 0;
}

void
ground_verify(struct race *race)
{
    unsigned live = 0, visited = 0;
    for (unsigned i = 0; i < THINGS + SPARSE_ADDED; i++) {
        const struct thing *thing = &race->things[i];
        if (thing->size == 0)
            continue; /* never made */
        verify_thing(race, thing);
        live += thing->live;
    }
    assert_int_equal(handle_store_each(race->store, count_visit, &visited), 0);
    assert_int_equal(visited, live);
    assert_clean(race->store);
}

void
ground_settle(struct race *race)
{
    compact_checked(race->store, NULL);
    ground_verify(race);
    settle(race->store);
    struct handle_stats stats = take_stats(race->store);
    assert_int_equal(stats.limbo, 0);
    assert_int_equal(stats.pins, 0);
    assert_clean(race->store);
}

uint64_t
refused(const struct race *race, enum handle_refusal reason)
{
    struct handle_stats stats = take_stats(race->store);
    uint64_t count = stats.refused[reason];
    return count;
}

/* ---- forks ----------------------------------------------------------------------------------- */

pid_t
fork_prepared(struct race *race, void (*child)(struct race *race))
{
    flavour_before_fork();
    pid_t pid = fork();
    if (pid == 0) {
        alarm(300); /* the end of a child that would hang */
        flavour_after_fork_child();
        handle_store_after_fork_child(race->store);
        child(race);
        _exit(0);
    }
    flavour_after_fork_parent();
    handle_store_after_fork_parent(race->store);
    return pid;
}

int
wait_for_child(pid_t pid)
{
    int status = 0;
    thread_check(pid > 0);
    thread_check(waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int
fork_and_wait(struct race *race, void (*child)(struct race *race))
{
    fflush(NULL);
    callbacks_pause();
    handle_store_before_fork(race->store);
    pid_t pid = fork_prepared(race, child);
    callbacks_resume();
    wait_begin();
    int status = wait_for_child(pid);
    wait_end();
    return status;
}

/* ---- set-up and tear-down -------------------------------------------------------------------- */

static void
init_semaphores(struct race *race)
{
    for (unsigned i = 0; i < STAGES; i++) {
        sem_init(&race->stages[i].reached, 0, 0);
        sem_init(&race->stages[i].go, 0, 0);
    }
    for (unsigned i = 0; i < ACTORS; i++) {
        sem_init(&race->actors[i].inside, 0, 0);
        sem_init(&race->actors[i].leave, 0, 0);
    }
}

int
race_setup(void **state)
{
    const void *test_case = *state;
    struct race *race = calloc(1, sizeof(*race));
    void *fixture = NULL;
    if (!race || fixture_setup(&fixture) != 0)
        return -1;
    race->fixture = fixture;
    struct handle_store_options *options = &race->fixture->options;
    options->arena_bytes = 64 * MIB;
    options->thread_cache_bytes = 0;
    options->defrag.enabled = false;
    options->defrag.ignore_bytes = UINT64_C(1) << 40;
    options->defrag.threshold_lower_percent = 0;
    fixture_reopen(race->fixture);
    race->store = race->fixture->store;
    race->test_case = test_case;
    init_semaphores(race);
    current = race;
    director = pthread_self();
    passed_reset();
    __atomic_store_n(&sn_hook_fn, on_hook, __ATOMIC_RELEASE);
    *state = race;
    return 0;
}

void
race_run(void **state)
{
    struct race *race = *state;
    const struct race_case *test = race->test_case;
    test->ground(race, test->by_cell);
    test->run(race);
    ground_verify(race);
    ground_settle(race);
}

int
race_teardown(void **state)
{
    struct race *race = *state;
    while (section_depth)
        section_leave();
    __atomic_store_n(&race->ending, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < STAGES; i++)
        stage_go(&race->stages[i]);
    for (unsigned i = 0; i < ACTORS; i++)
        actor_leave(&race->actors[i]);
    for (unsigned i = 0; i < ACTORS; i++) {
        if (race->actors[i].running)
            actor_join(&race->actors[i]);
    }
    void *fixture = race->fixture;
    int result = fixture_teardown(&fixture);
    __atomic_store_n(&sn_hook_fn, NULL, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < STAGES; i++) {
        sem_destroy(&race->stages[i].reached);
        sem_destroy(&race->stages[i].go);
    }
    free(race);
    return result;
}
