/* SPDX-License-Identifier: MIT */
/*
 * test_sections.c - grace periods hold: what was resolved in a section stays as it is until the
 * section ends (G2), batches wait for one another, and nobody else waits for them (G8). The mover
 * steps as often as it likes meanwhile; how often is counted, not timed.
 */
#include "race.h"

#include <signal.h>

#include "core/misuse.h"
#include "thread/drain.h"

/* Steps until it is told to stop; says after how many. */
static void
body_step(struct actor *actor)
{
    const struct timespec moment = {.tv_nsec = 200000};
    while (!__atomic_load_n(&actor->race->ending, __ATOMIC_ACQUIRE)) {
        struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
        thread_check(handle_defrag_step(actor->race->store, 10000, &report) == 0);
        __atomic_fetch_add(&actor->size, 1, __ATOMIC_RELEASE);
        wait_begin();
        nanosleep(&moment, NULL);
        wait_end();
    }
}

static void
await_steps(struct actor *actor, size_t count)
{
    size_t begin = __atomic_load_n(&actor->size, __ATOMIC_ACQUIRE);
    while (__atomic_load_n(&actor->size, __ATOMIC_ACQUIRE) < begin + count)
        nap();
}

static void
end_steps(struct actor *actor)
{
    __atomic_store_n(&actor->race->ending, true, __ATOMIC_RELEASE);
    actor_join(actor);
}

/* Resolves a thing and stays in the section; looks at the contents before it leaves. */
static void
body_read(struct actor *actor)
{
    struct race *race = actor->race;
    section_enter();
    const void *object = race->by_cell ? handle_cell_deref(race->store, actor->cell)
                                       : handle_deref(race->store, actor->handle);
    thread_check(object != NULL);
    actor->object = (void *)(uintptr_t)object;
    actor_stays(actor);
    actor->size = mismatch(object, THING_BYTES, (uint64_t)actor->result);
    section_leave();
}

static struct actor *
read_thing(struct race *race, struct thing *thing)
{
    struct actor *reader = actor_new(race, body_read);
    reader->handle = thing->handle;
    reader->cell = &thing->cell;
    reader->result = (int)thing->seed;
    actor_run(reader);
    actor_await(reader);
    return reader;
}

static void
end_read(struct actor *reader)
{
    actor_finish(reader);
    assert_int_equal(reader->size, THING_BYTES);
}

/* ---- what a reader found --------------------------------------------------------------------- */

/*
 * A reader that resolved just before publish holds the old slot: it is not reclaimed, reused nor
 * written, though the object lives on elsewhere, is written there and freed. Fails without the
 * grace period of step 6.
 */
static void
test_old_slot_stays(struct race *race)
{
    steps_begin(race);
    struct actor *mover = stand(race, body_step, SN_HOOK_BEFORE_PUBLISH);
    struct actor *reader = read_thing(race, race->target);
    assert_ptr_equal(reader->object, race->from);
    actor_go(mover);
    await_steps(mover, 50);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, race->from), 1);
    assert_ptr_not_equal(thing_address(race, race->target), race->from);
    thing_write(race, race->target, 5001);
    thing_free(race, race->target);
    for (unsigned i = 0; i < SPARSE_ADDED; i++)
        assert_ptr_not_equal(thing_address(race, thing_make(race, 5100 + i)), race->from);
    await_steps(mover, 50);
    assert_int_equal(passed(SN_HOOK_BEFORE_RECLAIM, race->span), 0);
    end_read(reader);
    while (passed(SN_HOOK_BEFORE_RECLAIM, race->span) == 0)
        await_steps(mover, 1);
    end_steps(mover);
    steps_end(race);
}

/* A freed object stays as it is for who found it, and its slot is nobody's meanwhile. */
static void
test_freed_slot_stays(struct race *race)
{
    struct thing *thing = &race->things[THINGS - 1]; /* in a span that serves refills */
    const char *at = thing_address(race, thing);
    struct actor *reader = read_thing(race, thing);
    thing_free(race, thing);
    for (unsigned i = 0; i < SPARSE_ADDED; i++)
        assert_ptr_not_equal(thing_address(race, thing_make(race, 5200 + i)), at);
    end_read(reader);
}

/* Under a walk even free_now leaves the object in place: the walk has a section of its own. */
struct freeing_walk {
    struct race *race;
    unsigned freed, reused;
};

static int
free_and_make(void *opaque, const struct handle_object *object)
{
    struct freeing_walk *walk = opaque;
    if (object->data != walk->race->from)
        return 0;
    assert_int_equal(handle_free_now(walk->race->store, object->handle), 0);
    walk->freed++;
    for (unsigned i = 0; i < SPARSE_ADDED; i++) {
        const char *at = thing_address(walk->race, thing_make(walk->race, 5300 + i));
        walk->reused += at == walk->race->from;
    }
    assert_filled(object->data, object->size, TARGET + 1);
    return 0;
}

static void
test_visitor_frees_now(struct race *race)
{
    struct freeing_walk walk = {.race = race};
    use_thread_caches(race);
    /* With a cached slot of the class, so that reuse at once would take this one. */
    struct thing *warm = thing_make(race, 5299);
    section_enter();
    assert_int_equal(handle_free_now(race->store, warm->handle), 0);
    section_leave();
    warm->size = 0;
    section_enter(); /* thing_make's sections are inner ones: no quiescent state in the visitor */
    assert_int_equal(handle_store_each(race->store, free_and_make, &walk), 0);
    section_leave();
    assert_int_equal(walk.freed, 1);
    assert_int_equal(walk.reused, 0);
    thing_is_gone(race->target);
}

/* ---- batches --------------------------------------------------------------------------------- */

/* Thins the second span out, but less than the first: two are to be evacuated, one in each
 * batch. */
static void
make_two_batches(struct race *race)
{
    race->store->defrag->evacuation.bytes_max = 1;
    for (unsigned i = THINGS / 3; i < 2 * THINGS / 3; i++) {
        if (race->things[i].live && i % 6 != 0)
            thing_free(race, &race->things[i]);
    }
    assert_int_equal(handle_store_reclaim(race->store, SIZE_MAX), 0);
}

/*
 * While the first batch drains behind a reader, the second may be marked, but not moved: its grace
 * period waits for the same reader. Fails when batches do not wait (two would be between mark and
 * publish at once), or when a batch is reclaimed on the other's ticket.
 */
static void
test_second_batch_waits(struct race *race)
{
    make_two_batches(race);
    struct thing *second = &race->things[72]; /* one that stayed in the second span */
    const char *second_at = thing_address(race, second);
    assert_non_null(second_at);
    steps_begin(race);
    struct actor *mover = stand(race, body_step, SN_HOOK_BEFORE_PUBLISH);
    struct actor *reader = read_thing(race, race->target);
    actor_go(mover);
    while (passed(SN_HOOK_AFTER_MARK, second_at) == 0)
        await_steps(mover, 1);
    await_steps(mover, 50);
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, second_at), 0);
    assert_int_equal(passed(SN_HOOK_BEFORE_RECLAIM, race->span), 0);
    thing_write(race, second, 5401); /* and may still be cancelled */
    end_read(reader);
    while (passed(SN_HOOK_BEFORE_RECLAIM, race->span) == 0)
        await_steps(mover, 1);
    end_steps(mover);
    steps_end(race);
    assert_int_equal(refused(race, HANDLE_REFUSED_WRITTEN), 1);
}

/* ---- reclaim --------------------------------------------------------------------------------- */

/* As for an allocation that was told to wait. size: how often the span was reclaimed by then. */
static void
body_reclaim(struct actor *actor)
{
    struct race *race = actor->race;
    __atomic_store_n(&race->store->shortage.told_cached, 1, __ATOMIC_RELEASE);
    actor->result = handle_store_reclaim(race->store, SIZE_MAX);
    actor->size = passed(SN_HOOK_BEFORE_RECLAIM, race->span);
}

/*
 * Steps have left a batch that drains behind a reader and one that is marked; no step comes any
 * more. Reclaim waits for the reader, and what was moved has come back when it returns. Result:
 * where an object of the second batch lay.
 */
static const char *
reclaim_what_steps_left(struct race *race, uint64_t compactions)
{
    make_two_batches(race);
    const char *second_at = thing_address(race, &race->things[72]);
    steps_begin(race);
    struct actor *mover = stand(race, body_step, SN_HOOK_BEFORE_PUBLISH);
    struct actor *reader = read_thing(race, race->target);
    actor_go(mover);
    while (passed(SN_HOOK_AFTER_MARK, second_at) == 0)
        await_steps(mover, 1);
    end_steps(mover);
    sn_add_relaxed(&race->store->defrag->forced_wanted, compactions);
    struct actor *reclaimer = actor_start(race, body_reclaim);
    give_way();
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, second_at), 0);
    assert_int_equal(passed(SN_HOOK_BEFORE_RECLAIM, race->span), 0);
    end_read(reader);
    actor_join(reclaimer);
    sn_sub_relaxed(&race->store->defrag->forced_wanted, compactions);
    assert_int_equal(reclaimer->result, 0);
    assert_int_equal(reclaimer->size, 1);
    return second_at;
}

/* Both batches are carried through, each after its own grace period. Fails (so does the next) when
 * reclaim only waits. */
static void
test_reclaim_carries_batches_through(struct race *race)
{
    const char *second_at = reclaim_what_steps_left(race, 0);
    if (!mover_is_running(race)) /* else so long has no step come that a thread does the rest */
        assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, second_at), 1);
    steps_end(race);
}

/*
 * The same beside a compaction that was asked for and does not get a processor: what was moved
 * until now is not left to it. Fails when only batches that nobody else carries on are carried
 * through.
 */
static void
test_reclaim_leaves_no_batch_to_others(struct race *race)
{
    reclaim_what_steps_left(race, 1);
    steps_end(race);
}

/* ---- who does not wait ----------------------------------------------------------------------- */

/* While the mover waits behind a reader everything else goes on (G8). */
static void
test_nobody_waits_for_a_waiting_mover(struct race *race)
{
    struct actor *reader = read_thing(race, race->target);
    steps_begin(race);
    step_until(race, SN_HOOK_AFTER_MARK, race->from);
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_defrag_step(race->store, 1000, &report), 0);
    assert_int_equal(report.busy, 0);
    assert_int_equal(report.more, 1);
    assert_int_equal(report.idle_reason, HANDLE_IDLE_GRACE_PERIOD);
    unsigned visited = 0;
    assert_int_equal(handle_store_each(race->store, count_visit, &visited), 0);
    assert_int_equal(visited, LIVE);
    thing_free(race, thing_make(race, 5500));
    thing_write(race, &race->things[40], 5501);
    assert_clean(race->store);
    handle_thread_detach(race->store);
    end_read(reader);
    steps_end(race);
}

/* While the mover holds its lock a step says so, instead of waiting. */
static void
test_step_beside_a_busy_mover(struct race *race)
{
    struct actor *mover = stand(race, body_compact, SN_HOOK_BEFORE_COPY);
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    assert_int_equal(handle_defrag_step(race->store, 1000, &report), 0);
    assert_int_equal(report.busy, 1);
    assert_int_equal(report.more, 1);
    assert_int_equal(report.moved_objects, 0);
    actor_finish(mover);
    assert_int_equal(mover->report.moved_objects, KEPT);
}

/* Calls that would wait for a grace period say so inside a section, and change nothing. */
static void
test_waiting_calls_refuse_a_section(struct race *race)
{
    if (!FLAVOUR_SEES_SECTIONS)
        skip();
    section_enter();
    assert_int_equal(handle_store_compact(race->store, NULL), -EDEADLK);
    assert_int_equal(handle_store_purge(race->store, NULL), -EDEADLK);
    assert_int_equal(handle_store_reclaim(race->store, 1), -EDEADLK);
    assert_int_equal(handle_defrag_stop(race->store), -EDEADLK);
    assert_int_equal(handle_store_destroy(race->store), -EDEADLK);
    section_leave();
    assert_ptr_equal(thing_address(race, race->target), race->from);
}

/* ---- what the library's threads do between --------------------------------------------------- */

static handle_store *housekept;

/* What housekeeping does when a cache is idle, just when its slots are summed up, once. */
static void
keep_house_between(enum sn_hook_point point, const void *object)
{
    if (point != SN_HOOK_STATS_SUMS || object != &housekept->caches)
        return;
    __atomic_store_n(&sn_hook_fn, NULL, __ATOMIC_RELEASE);
    (void)sn_caches_drain(&housekept->caches, false, false, NULL);
}

/* Statistics of a store that nobody uses are of one moment. Fails when they are taken once. */
static void
test_housekeeping_tears_no_sums(struct race *race)
{
    use_thread_caches(race);
    handle_t handles[20];
    for (unsigned i = 0; i < 20; i++) /* refills leave slots with the thread */
        handles[i] = handle_alloc(race->store, THING_BYTES);
    void (*before)(enum sn_hook_point, const void *) = sn_hook_fn;
    housekept = race->store;
    __atomic_store_n(&sn_hook_fn, keep_house_between, __ATOMIC_RELEASE);
    struct handle_stats stats = take_stats(race->store);
    __atomic_store_n(&sn_hook_fn, before, __ATOMIC_RELEASE);
    const struct handle_class_stats *classes = class_stats_of(race->store);
    for (unsigned i = 0; i < stats.classes; i++) {
        const struct handle_class_stats *c = &classes[i];
        assert_int_equal(c->live + c->free + c->cached + c->limbo, c->spans * c->span_slots);
    }
    for (unsigned i = 0; i < 20; i++)
        assert_int_equal(handle_free(race->store, handles[i]), 0);
}

/* ---- options --------------------------------------------------------------------------------- */

static struct {
    handle_store *store;
    pthread_t first, second;
    bool over; /* atomic */
} setting;

static void *
set_second(void *unused)
{
    (void)unused;
    thread_check(handle_store_set(setting.store, "hugepages", "never") == 0);
    __atomic_store_n(&setting.over, true, __ATOMIC_RELEASE);
    return NULL;
}

/* The first setter is about to tell the kernel; another one comes by. It is over by then, or waits
 * for the first: that is not to be seen, so it gets a while. */
static int
come_by(enum sn_inject_point point)
{
    if (point != SN_INJECT_MADVISE || !pthread_equal(pthread_self(), setting.first))
        return 0;
    __atomic_store_n(&sn_inject_fn, NULL, __ATOMIC_RELEASE);
    thread_check(pthread_create(&setting.second, NULL, set_second, NULL) == 0);
    for (int i = 0; i < 100 && !__atomic_load_n(&setting.over, __ATOMIC_ACQUIRE); i++)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return 0;
}

/* Whether the kernel was told to use huge pages for the mapping of an address. */
static bool
wants_huge_pages(const void *address)
{
    bool here = false, wants = false;
    char line[512];
    FILE *smaps = fopen("/proc/self/smaps", "r");
    if (!smaps)
        skip();
    while (fgets(line, sizeof(line), smaps)) {
        unsigned long long begin, end;
        if (sscanf(line, "%llx-%llx ", &begin, &end) == 2)
            here = (uintptr_t)address >= begin && (uintptr_t)address < end;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            wants = strstr(line, " hg") != NULL;
    }
    fclose(smaps);
    return wants;
}

/* Of two threads that set an option, the value that is shown is the one in force. Fails when a
 * value takes effect outside of the lock under which it was set. */
static void
test_option_in_force_is_shown(struct race *race)
{
    char shown[16];
    setting.store = race->store;
    setting.first = pthread_self();
    setting.over = false;
    __atomic_store_n(&sn_inject_fn, come_by, __ATOMIC_RELEASE);
    set_option(race->store, "hugepages", "advise");
    assert_int_equal(pthread_join(setting.second, NULL), 0);
    assert_int_equal(handle_store_get(race->store, "hugepages", shown, sizeof(shown)), 0);
    assert_string_equal(shown, "never"); /* the second was the later one */
    assert_false(wants_huge_pages(race->store->pool.arena));
}

/* ---- signal handlers ------------------------------------------------------------------------- */

static handle_store *signalled;
static handle_t seen_by_handler;
static handle_cell empty_cell;

static void
resolve_in_handler(int number)
{
    const void *object;
    handle_cell *cell = &empty_cell;
    (void)number;
    (void)handle_deref_many(signalled, &seen_by_handler, &object, 1);
    (void)handle_cell_read(signalled, &empty_cell, NULL);
    (void)handle_cell_deref_many(signalled, &cell, &object, 1);
}

/* What the interrupted call is about is still known when the handler returns: a line about misuse
 * names that one. */
static void
test_handlers_leave_the_name(struct race *race)
{
    signalled = race->store;
    seen_by_handler = race->target->handle;
    struct sigaction action = {.sa_handler = resolve_in_handler}, before;
    sigaction(SIGUSR1, &action, &before);
    section_enter();
    assert_int_equal(handle_size(race->store, race->target->handle), THING_BYTES);
    raise(SIGUSR1);
    section_leave();
    sigaction(SIGUSR1, &before, NULL);
    assert_string_equal(sn_call.function, "handle_size");
    assert_true(sn_call.handle == race->target->handle);
}

static const struct CMUnitTest tests[] = {
    BY_BOTH(test_old_slot_stays),
    BY_HANDLE(test_freed_slot_stays),
    BY_HANDLE(test_visitor_frees_now),
    BY_HANDLE(test_second_batch_waits),
    BY_HANDLE(test_reclaim_carries_batches_through),
    BY_HANDLE(test_reclaim_leaves_no_batch_to_others),
    BY_HANDLE(test_nobody_waits_for_a_waiting_mover),
    BY_HANDLE(test_step_beside_a_busy_mover),
    BY_HANDLE(test_waiting_calls_refuse_a_section),
    BY_HANDLE(test_housekeeping_tears_no_sums),
    BY_HANDLE(test_option_in_force_is_shown),
    BY_HANDLE(test_handlers_leave_the_name),
};

RACE_MAIN("sections", tests)
