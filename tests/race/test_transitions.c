/* SPDX-License-Identifier: MIT */
/*
 * test_transitions.c - starts, stops and forks that meet each other, a grace period, a walk, a
 * purge; a walk that meets a trim, a purge and a span that drains beside readers and busy threads:
 * who waits for whom, and who wins.
 */
#include "race.h"

#include "insight/stats.h"
#include "memory/trim.h"
#include "thread/drain.h"

static bool
thread_is(struct sn_defrag *d, bool running)
{
    sn_lock(&d->mover->wake_lock);
    bool is = d->mover->running && !d->stopping;
    sn_unlock(&d->mover->wake_lock);
    return is == running;
}

/* The background thread stands where it has just marked the target. */
static struct stage *
mover_stands(struct race *race)
{
    steps_begin(race);
    struct stage *stage = stage_arm(race, SN_HOOK_AFTER_MARK, race->from);
    assert_int_equal(handle_defrag_start(race->store), 0);
    stage_wait(stage);
    return stage;
}

/* size: whether there was a thread when stop returned. */
static void
body_stop(struct actor *actor)
{
    struct sn_defrag *d = actor->race->store->defrag;
    actor->result = handle_defrag_stop(actor->race->store);
    sn_lock(&d->mover->wake_lock);
    actor->size = d->mover->running;
    sn_unlock(&d->mover->wake_lock);
}

static bool
is_stopping(struct sn_defrag *d)
{
    sn_lock(&d->mover->wake_lock);
    bool stopping = d->stopping;
    sn_unlock(&d->mover->wake_lock);
    return stopping;
}

/* ---- start and stop -------------------------------------------------------------------------- */

/* Fails when a start while a stop waits is taken for one of a thread that runs anyway: seen, the
 * option says yes, there is no thread, and nothing is moved for ever. */
static void
test_start_during_a_stop(struct race *race)
{
    struct sn_defrag *d = race->store->defrag;
    struct stage *stage = mover_stands(race);
    struct actor *stopper = actor_start(race, body_stop);
    while (!is_stopping(d))
        nap();
    assert_int_equal(handle_defrag_start(race->store), 0);
    stage_go(stage);
    actor_join(stopper);
    assert_int_equal(stopper->result, 0);
    assert_true(thread_is(d, true));
    assert_true(race->store->options.defrag.enabled);
    ground_verify(race);
    assert_int_equal(handle_defrag_stop(race->store), 0);
    assert_true(thread_is(d, false));
    steps_end(race);
}

/* The last word counts: stop, start, stop. */
static void
test_stop_after_a_start_during_a_stop(struct race *race)
{
    struct sn_defrag *d = race->store->defrag;
    struct stage *stage = mover_stands(race);
    struct actor *first = actor_start(race, body_stop);
    while (!is_stopping(d))
        nap();
    assert_int_equal(handle_defrag_start(race->store), 0);
    struct actor *second = actor_start(race, body_stop);
    while (sn_load_relaxed(&race->store->options.defrag.enabled))
        nap();
    stage_go(stage);
    actor_join(first);
    actor_join(second);
    assert_true(thread_is(d, false));
    assert_false(d->mover->running);
    assert_int_equal(handle_defrag_start(race->store), 0); /* and on again */
    while (!thread_is(d, true))
        nap();
    assert_int_equal(handle_defrag_stop(race->store), 0);
    steps_end(race);
}

/* Fails when the second stop returns while the first still waits: seen, a thread runs on. */
static void
test_two_stops(struct race *race)
{
    struct stage *stage = mover_stands(race);
    struct actor *stopper[2];
    for (unsigned i = 0; i < 2; i++)
        stopper[i] = actor_start(race, body_stop);
    give_way();
    stage_go(stage);
    for (unsigned i = 0; i < 2; i++) {
        actor_join(stopper[i]);
        assert_int_equal(stopper[i]->result, 0);
        assert_int_equal(stopper[i]->size, 0);
    }
    assert_false(mover_is_running(race));
    steps_end(race);
}

/* Fails when what another driver has begun is left as it is, or taken for done. */
static void
stop_beside(struct race *race, struct actor *driver, struct stage *stage)
{
    stage_wait(stage);
    assert_int_equal(handle_defrag_start(race->store), 0);
    while (!thread_is(race->store->defrag, true)) /* it is started by another thread */
        nap();
    struct actor *stopper = actor_start(race, body_stop);
    while (!is_stopping(race->store->defrag))
        nap();
    stage_go(stage);
    actor_join(driver);
    actor_join(stopper);
    assert_int_equal(driver->result, 0);
    assert_int_equal(stopper->result, 0);
    assert_int_equal(stopper->size, 0);
    assert_false(sn_word_is_moving(*thing_reference(race, race->target)));
    for (uint32_t number = 1; number < race->store->pool.high; number++)
        assert_int_not_equal(sn_span_state(&race->store->pool.spans[number]), SN_SPAN_CLOSED);
    ground_verify(race);
}

/* The batch is cancelled, and the plan made again. Seen failing with a cancel that counts the
 * forced pass as ended: nothing was moved. */
static void
test_stop_beside_a_compact(struct race *race)
{
    struct stage *stage = stage_arm(race, SN_HOOK_AFTER_MARK, race->from);
    struct actor *compacter = actor_start(race, body_compact);
    stop_beside(race, compacter, stage);
    assert_int_equal(compacter->report.moved_objects, KEPT);
    assert_int_equal(compacter->report.spans_evacuated, 1);
}

static void
body_step_to_mark(struct actor *actor)
{
    while (passed(SN_HOOK_AFTER_MARK, actor->race->from) == 0 && actor->result == 0)
        actor->result = handle_defrag_step(actor->race->store, 100000, NULL);
}

/* Nobody steps afterwards. Seen failing with a thread that ends without winding down: the span
 * stayed closed. */
static void
test_stop_beside_a_step(struct race *race)
{
    steps_begin(race);
    struct stage *stage = stage_arm(race, SN_HOOK_AFTER_MARK, race->from);
    stop_beside(race, actor_start(race, body_step_to_mark), stage);
    steps_end(race);
}

/* What a callback may see while destroy waits for the thread. */
static void
test_start_when_destroy_began(struct race *race)
{
    assert_int_equal(handle_defrag_start(race->store), 0);
    sn_defrag_end(race->store);
    assert_true(thread_is(race->store->defrag, false));
    assert_int_equal(handle_defrag_start(race->store), -EBUSY);
    assert_false(mover_is_running(race));
    assert_int_equal(handle_defrag_stop(race->store), 0);
    assert_int_equal(handle_defrag_start(race->store), -EBUSY);
    sn_lock(&race->store->mover.wake_lock);
    race->store->mover.ended = false; /* destroy goes on at the tear-down */
    sn_unlock(&race->store->mover.wake_lock);
}

/* ---- fork ------------------------------------------------------------------------------------ */

static unsigned gp_was_let_go;

/* result: whether before_fork came back only after the grace period. */
static void
body_prepare_fork(struct actor *actor)
{
    handle_store_before_fork(actor->race->store);
    actor->result = (int)__atomic_load_n(&gp_was_let_go, __ATOMIC_ACQUIRE);
    handle_store_after_fork_parent(actor->race->store);
}

/*
 * In synchronize_rcu the grace-period thread holds locks of liburcu, which a child would inherit.
 * Fails when before_fork does not wait for its return: seen.
 */
static void
test_fork_waits_for_the_grace_period(struct race *race)
{
    if (TEST_TSAN)
        skip(); /* it follows no thread that holds as many locks as before_fork takes */
    __atomic_store_n(&gp_was_let_go, 0, __ATOMIC_RELEASE);
    struct stage *stage = stage_arm(race, SN_HOOK_GP_START, NULL);
    thing_free(race, race->target);
    stage_wait(stage);
    struct actor *forker = actor_start(race, body_prepare_fork);
    give_way();
    __atomic_store_n(&gp_was_let_go, 1, __ATOMIC_RELEASE);
    stage_go(stage);
    actor_join(forker);
    assert_int_equal(forker->result, 1);
}

static void
child_works(struct race *race)
{
    unsigned live = 0, visited = 0;
    for (unsigned i = 0; i < THINGS; i++)
        live += race->things[i].live;
    CHILD_CHECK(handle_store_each(race->store, count_visit, &visited) == 0);
    CHILD_CHECK(visited == live);
    CHILD_CHECK(race->store->pool.purging == 0);
    CHILD_CHECK(sn_stats_at_rest(race->store));
    for (unsigned i = 0; i < 200; i++)
        CHILD_CHECK(handle_alloc(race->store, THING_BYTES) != HANDLE_NULL);
    CHILD_CHECK(handle_store_purge(race->store, NULL) == 0);
    CHILD_CHECK(race->store->pool.empty_bytes == 0);
    CHILD_CHECK(handle_store_check(race->store, NULL, NULL) == 0);
    CHILD_CHECK(handle_store_destroy(race->store) == 0);
}

static int
stay_once(void *opaque, const struct handle_object *object)
{
    struct actor *actor = opaque;
    (void)object;
    if (actor->size++ == 2)
        actor_stays(actor);
    return 0;
}

static void
body_walk(struct actor *actor)
{
    actor->result = handle_store_each(actor->race->store, stay_once, actor);
}

/* Fails when the child finds the walk's lock taken, or its span detached for ever: seen with
 * each. */
static void
test_fork_during_a_walk(struct race *race)
{
    if (TEST_TSAN)
        skip(); /* it does not follow a fork from a process with threads */
    struct actor *walker = actor_inside(race, body_walk);
    assert_int_equal(fork_and_wait(race, child_works), 0);
    actor_finish(walker);
    assert_int_equal(walker->result, 0);
}

static void
body_purge(struct actor *actor)
{
    actor->result = handle_store_purge(actor->race->store, NULL);
}

/* Allocates objects and frees them at once; what they leave is not purged by itself. */
static void
leave_empty(struct race *race, unsigned objects, size_t size)
{
    handle_t large[8];
    set_option(race->store, "purge_delay_ms", "-1");
    section_enter();
    for (unsigned i = 0; i < objects; i++)
        assert_int_not_equal(large[i] = handle_alloc(race->store, size), HANDLE_NULL);
    for (unsigned i = 0; i < objects; i++)
        assert_int_equal(handle_free_now(race->store, large[i]), 0);
    section_leave();
}

static struct actor *
purger_stands(struct race *race)
{
    leave_empty(race, 1, 300000);
    return actor_stands(race, body_purge, SN_HOOK_PURGE, &race->store->pool);
}

/* Fails when the run that another thread was purging stays so in the child: seen, it counts as
 * empty memory for ever. */
static void
test_fork_during_a_purge(struct race *race)
{
    if (TEST_TSAN)
        skip();
    struct actor *purger = purger_stands(race);
    assert_int_equal(fork_and_wait(race, child_works), 0);
    actor_finish(purger);
    assert_int_equal(purger->result, 0);
    assert_int_equal(race->store->pool.empty_bytes, 0);
}

/* What another thread is giving back has gone when handle_store_purge returns. Seen failing with
 * one that looks for free runs alone: the purger's are in no list. */
static void
body_purge_all(struct actor *actor)
{
    actor->result = handle_store_purge(actor->race->store, NULL);
    actor->size = sn_load_relaxed(&actor->race->store->pool.empty_bytes);
    actor_stays(actor);
}

static void
test_purge_waits_for_another(struct race *race)
{
    struct actor *first = purger_stands(race);
    struct actor *second = actor_start(race, body_purge_all);
    give_way(); /* it would be back by now if it did not wait */
    actor_go(first);
    actor_await(second);
    assert_int_equal(second->size, 0);
    actor_finish(second);
    actor_join(first);
    assert_int_equal(second->result, 0);
}

/* However much is to be purged, a grace period that is asked for begins after a piece of it. Seen
 * failing with a purge of all that is old enough: 24 MiB. */
static void
test_purge_lets_grace_periods_pass(struct race *race)
{
    struct sn_pool *pool = &race->store->pool;
    leave_empty(race, 6, 4 * MIB);
    struct stage *stage = stage_arm(race, SN_HOOK_PURGE, pool);
    set_option(race->store, "purge_delay_ms", "0");
    sn_store_signal(race->store, true);
    stage_wait(stage);
    uint64_t before = sn_load_relaxed(&pool->released_bytes);
    (void)sn_rcu_request(race->store->rcu);
    struct stage *grace_period = stage_arm(race, SN_HOOK_GP_START, NULL);
    stage_go(stage);
    stage_wait(grace_period);
    assert_true(sn_load_relaxed(&pool->released_bytes) - before <= SN_PURGE_PIECE_BYTES);
    stage_go(grace_period);
    while (sn_load_relaxed(&pool->empty_bytes) > 0) /* it goes on all the same */
        nap();
}

static void
body_drain(struct actor *actor)
{
    actor->result = (int)sn_caches_drain(&actor->race->store->caches, false, false, NULL);
}

/* Fails when a drainer of the parent, which waits for the caches' lock, still counts as at work in
 * the child: seen, no check there ever compares the sums. */
static void
test_fork_beside_a_drainer(struct race *race)
{
    if (TEST_TSAN)
        skip();
    fflush(NULL);
    callbacks_pause();
    handle_store_before_fork(race->store);
    struct actor *drainer = actor_start(race, body_drain);
    while (sn_load_relaxed(&race->store->caches.workers) == 0)
        nap();
    pid_t child = fork_prepared(race, child_works);
    callbacks_resume();
    actor_join(drainer);
    assert_int_equal(drainer->result, 0);
    wait_begin();
    assert_int_equal(wait_for_child(child), 0);
    wait_end();
}

/* ---- a walk and a trim ----------------------------------------------------------------------- */

static void
body_trim(struct actor *actor)
{
    handle_store *store = actor->race->store;
    while (!__atomic_load_n(&actor->race->ending, __ATOMIC_ACQUIRE)) {
        for (uint32_t number = 1; number < sn_load_relaxed(&store->pool.high); number++)
            sn_heap_trim(&store->heap, number);
    }
}

/* Fails when a walk leaves out a span that was just being trimmed, and is open when it looks why it
 * could not hold it: seen within a few thousand walks. */
static void
test_walk_beside_trims(struct race *race)
{
    struct actor *trimmer = actor_start(race, body_trim);
    for (unsigned i = 0; i < scaled(20000); i++) {
        unsigned visited = 0;
        assert_int_equal(handle_store_each(race->store, count_visit, &visited), 0);
        assert_int_equal(visited, LIVE);
    }
    __atomic_store_n(&race->ending, true, __ATOMIC_RELEASE);
    actor_join(trimmer);
}

/* ---- purge in a long grace period ------------------------------------------------------------ */

static void
body_read(struct actor *actor)
{
    section_enter();
    actor_stays(actor);
    section_leave();
}

/* Fails when only the grace-period thread purges: seen, the pages stay for as long as the
 * reader. */
static void
test_purge_beside_a_stuck_reader(struct race *race)
{
    set_option(race->store, "purge_delay_ms", "0");
    section_enter();
    handle_t large = handle_alloc(race->store, 300000);
    section_leave();
    assert_int_equal(handle_defrag_start(race->store), 0); /* finds nothing to do */
    struct actor *reader = actor_inside(race, body_read);
    thing_free(race, race->target);
    while (sn_rcu_age_ns(race->store->rcu) == 0)
        nap();
    give_way();
    section_enter();
    assert_int_equal(handle_free_now(race->store, large), 0);
    section_leave();
    for (unsigned turns = 0; sn_load_relaxed(&race->store->pool.empty_bytes) > 0; turns++) {
        assert_in_range(turns, 0, 20000); /* would hang */
        nap();
    }
    assert_int_not_equal(sn_rcu_age_ns(race->store->rcu), 0); /* it is still there */
    actor_finish(reader);
    assert_int_equal(handle_defrag_stop(race->store), 0);
}

/* ---- limbo beside an allocation at the limit ------------------------------------------------- */

/* Allocates until there is no room any more. Result: how many. */
static unsigned
use_up(struct race *race, handle_t *handles, unsigned most)
{
    unsigned count = 0;
    sn_store_relaxed(&race->store->budget.max_bytes, race->store->budget.committed);
    while (count < most && (handles[count] = handle_alloc(race->store, THING_BYTES)) != HANDLE_NULL)
        count++;
    assert_in_range(count, 1, most - 1);
    assert_int_equal(errno, ENOMEM);
    return count;
}

/* The grace-period thread stands behind its grace period, with what these frees have put in
 * limbo; a first free keeps it busy until they are all made. */
static struct stage *
limbo_stands(struct race *race)
{
    struct stage *first = stage_arm(race, SN_HOOK_GP_END, NULL);
    thing_free(race, race->target);
    stage_wait(first);
    for (unsigned i = THINGS - 20; i < THINGS; i++) {
        if (race->things[i].live)
            thing_free(race, &race->things[i]);
    }
    struct stage *second = stage_arm(race, SN_HOOK_GP_END, NULL);
    stage_go(first);
    stage_wait(second);
    return second;
}

/* result: errno. */
static void
body_alloc(struct actor *actor)
{
    errno = 0;
    actor->handle = handle_alloc(actor->race->store, THING_BYTES);
    actor->result = errno;
}

/*
 * An allocation has found no room; before it asks whether some is on its way, all of that has come.
 * Fails when it does not look for room once more: seen, ENOMEM beside free slots.
 */
static void
test_limbo_comes_back_beside_an_allocation(struct race *race)
{
    handle_t handles[THINGS];
    unsigned count = use_up(race, handles, THINGS - 1);
    struct stage *limbo = limbo_stands(race);
    handles[count] = handle_alloc(race->store, THING_BYTES); /* what the first free gave back */
    assert_int_not_equal(handles[count++], HANDLE_NULL);
    struct stage *asks = stage_arm(race, SN_HOOK_SHORTAGE, race->store); /* what is in limbo */
    struct actor *allocator = actor_start(race, body_alloc);
    stage_wait(asks);
    stage_go(limbo);
    while (sn_load_relaxed(&race->store->caches.limbo_bytes) > 0)
        nap();
    stage_go(asks);
    actor_join(allocator);
    assert_int_equal(allocator->result, 0);
    assert_int_equal(handle_free(race->store, allocator->handle), 0);
    sn_store_relaxed(&race->store->budget.max_bytes, 0);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(handle_free(race->store, handles[i]), 0);
}

/* ---- draining spans -------------------------------------------------------------------------- */

/* Frees an object of the span that is evacuated into its cache, then stands inside that. */
static void
body_keeps_a_slot(struct actor *actor)
{
    section_enter();
    thread_check(handle_free_now(actor->race->store, actor->handle) == 0);
    section_leave();
    actor_stays(actor);
    actor->handle = handle_alloc(actor->race->store, 200);
    thread_check(actor->handle != HANDLE_NULL);
    thread_check(handle_free(actor->race->store, actor->handle) == 0);
}

static struct actor *
owner_keeps_a_slot(struct race *race)
{
    use_thread_caches(race);
    struct actor *owner = actor_new(race, body_keeps_a_slot);
    owner->handle = race->things[60].handle;
    actor_run(owner);
    actor_await(owner);
    thing_is_gone(&race->things[60]);
    actor_leave_to(owner, SN_HOOK_CACHE_INSIDE, NULL);
    return owner;
}

/*
 * A span whose last slot is with a busy thread is not given up before grace periods have passed,
 * however often steps look. Fails when each step counts as a try: seen, it is open again.
 */
static void
test_draining_span_waits_for_grace_periods(struct race *race)
{
    struct sn_defrag *d = race->store->defrag;
    if (FLAVOUR_QSBR)
        skip(); /* the busy thread would hold up every grace period */
    struct actor *owner = owner_keeps_a_slot(race);
    steps_begin(race);
    for (unsigned i = 0; d->draining_span_count == 0; i++) {
        assert_in_range(i, 0, 100000); /* would hang */
        step(race);
    }
    uint32_t number = d->draining_spans[0];
    section_enter(); /* no grace period ends */
    for (unsigned i = 0; i < 10 * SN_DRAINING_TRIES; i++)
        assert_int_equal(handle_defrag_step(race->store, 1000, NULL), 0);
    assert_int_equal(d->draining_span_count, 1);
    assert_int_equal(sn_span_state(&race->store->pool.spans[number]), SN_SPAN_CLOSED);
    section_leave();
    actor_finish(owner);
    steps_end(race); /* and it ends */
    assert_int_equal(d->draining_span_count, 0);
}

/* Given up in the end: a pass does not wait for a thread that stays inside its cache for ever.
 * Fails when there is no number of tries: seen, the pass does not end. */
static void
test_draining_span_is_given_up(struct race *race)
{
    struct sn_defrag *d = race->store->defrag;
    if (FLAVOUR_QSBR)
        skip();
    struct actor *owner = owner_keeps_a_slot(race);
    steps_begin(race);
    uint64_t passes = sn_load_relaxed(&d->mover->passes);
    for (unsigned i = 0; sn_load_relaxed(&d->mover->passes) == passes; i++) {
        assert_in_range(i, 0, 100000); /* would hang */
        step(race);
    }
    assert_int_equal(d->draining_span_count, 0);
    actor_finish(owner);
    steps_end(race);
}

/* ---- a step and a trim ----------------------------------------------------------------------- */

/* Pages go back on their own from now on, when the store is at rest. */
static void
let_trim(struct race *race)
{
    handle_thread_detach(race->store);
    set_option(race->store, "purge_delay_ms", "100");
}

/* The grace-period thread keeps the mover out while it trims a span: that is not compacting. Seen
 * failing with a step that calls everybody busy who has the lock. */
static void
test_step_beside_a_trim(void **state)
{
    struct race *race = *state;
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    set_option(race->store, "purge_delay_ms", "-1");
    ground_make(race, false);
    steps_begin(race);
    struct stage *stage = stage_arm(race, SN_HOOK_TRIM, &race->store->heap);
    let_trim(race);
    stage_wait(stage);
    assert_int_equal(handle_defrag_step(race->store, 1000, &report), 0);
    assert_int_equal(report.busy, 0);
    assert_int_equal(report.more, 1);
    stage_go(stage);
    step_often(race);
    assert_ptr_not_equal(thing_address(race, race->target), race->from);
    ground_verify(race);
    steps_end(race);
    ground_settle(race);
}

/* But whoever moves is busy. */
static void
test_step_beside_a_mover(struct race *race)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    struct stage *stage = mover_stands(race);
    assert_int_equal(handle_defrag_step(race->store, 1000, &report), 0);
    assert_int_equal(report.busy, 1);
    assert_int_equal(report.more, 1);
    stage_go(stage);
    assert_int_equal(handle_defrag_stop(race->store), 0);
    steps_end(race);
}

/* ---- a trim that the kernel refuses ---------------------------------------------------------- */

static int
madvise_fails(enum sn_inject_point point)
{
    return point == SN_INJECT_MADVISE;
}

static uint64_t
stat_at(struct race *race, size_t offset)
{
    struct handle_stats stats = take_stats(race->store);
    uint64_t value;
    memcpy(&value, (const char *)&stats + offset, sizeof(value));
    return value;
}
#define STAT(member) stat_at(race, offsetof(struct handle_stats, member))

/* The store rests, and nobody calls any more: pages that were refused go back later. Seen failing
 * with a span that counts as trimmed all the same, and with a trim for each rest that has frees. */
static void
test_refused_trim_is_tried_again(void **state)
{
    struct race *race = *state;
    set_option(race->store, "purge_delay_ms", "-1");
    ground_make(race, false);
    __atomic_store_n(&sn_inject_fn, madvise_fails, __ATOMIC_RELEASE);
    let_trim(race);
    uint64_t loose = STAT(free_slot);
    for (unsigned turns = 0; STAT(purge_failures) == 0; turns++) {
        assert_in_range(turns, 0, 60000); /* would go on for ever */
        nap();
    }
    assert_int_equal(STAT(free_slot), loose);
    __atomic_store_n(&sn_inject_fn, NULL, __ATOMIC_RELEASE);
    for (unsigned turns = 0; STAT(free_slot) > loose - SN_PAGE_BYTES; turns++) {
        assert_in_range(turns, 0, 60000); /* would go on for ever */
        nap();
    }
    ground_verify(race);
    ground_settle(race);
}

static const struct CMUnitTest tests[] = {
    BY_HANDLE(test_start_during_a_stop),
    BY_HANDLE(test_stop_after_a_start_during_a_stop),
    BY_HANDLE(test_two_stops),
    BY_HANDLE(test_stop_beside_a_compact),
    BY_HANDLE(test_stop_beside_a_step),
    BY_HANDLE(test_start_when_destroy_began),
    BY_HANDLE(test_fork_waits_for_the_grace_period),
    BY_HANDLE(test_fork_during_a_walk),
    BY_HANDLE(test_fork_during_a_purge),
    BY_HANDLE(test_purge_waits_for_another),
    BY_HANDLE(test_purge_lets_grace_periods_pass),
    BY_HANDLE(test_fork_beside_a_drainer),
    BY_HANDLE(test_walk_beside_trims),
    RACE_TEST(test_step_beside_a_trim),
    BY_HANDLE(test_step_beside_a_mover),
    RACE_TEST(test_refused_trim_is_tried_again),
    BY_HANDLE(test_purge_beside_a_stuck_reader),
    BY_HANDLE(test_limbo_comes_back_beside_an_allocation),
    BY_HANDLE(test_draining_span_waits_for_grace_periods),
    BY_HANDLE(test_draining_span_is_given_up),
};

RACE_MAIN("transitions", tests)
