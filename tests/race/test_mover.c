/* SPDX-License-Identifier: MIT */
/*
 * test_mover.c - the mover stands at one of its six points with the target in hand, and something
 * else happens to the target: every point against every operation. Asserted of each: which outcome
 * the move had, counted under the right reason and no other; where the object is; that no write was
 * lost and nothing else was touched; that the store is sound, and that the next compaction finishes
 * what this one could not.
 *
 * What makes these tests fail:
 *   - publish by a plain store instead of a CAS: every operation before publish is undone (a write,
 *     a free, a tag, a new size) and found by ground_verify;
 *   - cell_publish that stores plainly after it loaded MOVING: what the mover has published in
 *     between is never freed, or a slot is reclaimed that the mover still reads;
 *   - deref_mut, set_tag, resize, update or pin that does not call the move off: the object is
 *   moved
 *     although WRITTEN is expected, and what was written at the old place is lost;
 *   - step 3 that does not look at the word (or the header) again: an object whose move was called
 *     off at "after mark" is copied and published, or counted under another reason;
 *   - free or free_now that reuses a slot found MOVING: the object allocated next in the same
 *   thread
 *     lies in the slot that the mover reads, or is overwritten by its copy;
 *   - a failed publish that leaves the destination's header: handle_store_check finds a free slot
 *     whose header names an object;
 *   - a failed publish that leaks the destination: the class's counters do not add up at the end.
 */
#include "race.h"

/* ---- what happens meanwhile ------------------------------------------------------------------ */

/* REPLACED: the object got a new version meanwhile; its move may count as WRITTEN or as FREED. */
enum fate { MOVED, WRITTEN, FREED, REPLACED };

struct operation {
    const char *name;
    bool cell;
    void (*act)(struct race *race);
    enum fate early;                   /* of the target's move, when it happens at "after mark" */
    enum fate middle;                  /* between copy and publish; afterwards the move is MOVED */
    bool replaced;                     /* a new version takes another slot, whoever moves */
    void (*finish)(struct race *race); /* after the mover has ended; NULL: nothing */
};

struct test_case {
    const struct operation *operation;
    enum sn_hook_point point;
};

static enum sn_hook_point
point_of(const struct race *race)
{
    return ((const struct test_case *)race->test_case)->point;
}

static void
act_deref(struct race *race)
{
    section_enter();
    const void *object = race->by_cell ? handle_cell_deref(race->store, &race->target->cell)
                                       : handle_deref(race->store, race->target->handle);
    assert_filled(object, THING_BYTES, race->target->seed);
    section_leave();
}

static void
act_write(struct race *race)
{
    thing_write(race, race->target, 7001);
}

static void
act_free(struct race *race)
{
    thing_free(race, race->target);
    section_enter(); /* only one of several wins */
    assert_int_equal(thing_try_free(race, race->target), -ENOENT);
    section_leave();
}

/* Things made while the mover stands; with a cache, so that a slot reused at once would be
 * taken. */
static void
allocate_some(struct race *race)
{
    for (unsigned i = 0; i < SPARSE_ADDED; i++)
        assert_ptr_not_equal(thing_address(race, thing_make(race, 8000 + i)), race->from);
}

static void
act_retire(struct race *race)
{
    section_enter();
    assert_int_equal(handle_retire(race->store, race->target->handle), 0);
    assert_filled(handle_deref(race->store, race->target->handle), THING_BYTES, race->target->seed);
    section_leave();
    thing_is_gone(race->target);
}

static void
act_retire_and_free(struct race *race)
{
    act_retire(race);
    assert_int_equal(handle_free(race->store, race->target->handle), 0);
    assert_int_equal(handle_free(race->store, race->target->handle), -ENOENT);
}

static void
act_free_now(struct race *race)
{
    set_option(race->store, "thread_cache_bytes", "256K");
    section_enter();
    assert_int_equal(thing_try_free_now(race, race->target), 0);
    section_leave();
    thing_is_gone(race->target);
    allocate_some(race);
}

static size_t
size_of_target(const struct race *race)
{
    return race->by_cell ? handle_cell_size(race->store, &race->target->cell)
                         : handle_size(race->store, race->target->handle);
}

/* Contents are kept up to the smaller size; what was added is filled at once. */
static void
resize_to(struct race *race, size_t size)
{
    struct thing *target = race->target;
    size_t kept = size < target->size ? size : target->size;
    section_enter();
    assert_int_equal(race->by_cell ? handle_cell_resize(race->store, &target->cell, size)
                                   : handle_resize(race->store, target->handle, size),
                     0);
    assert_int_equal(size_of_target(race), size);
    const void *object = race->by_cell ? handle_cell_deref(race->store, &target->cell)
                                       : handle_deref(race->store, target->handle);
    assert_filled(object, kept, target->seed);
    section_leave();
    target->size = size;
    thing_write(race, target, 7002);
}

static void
act_resize_in_place(struct race *race)
{
    char *before = thing_address(race, race->target);
    resize_to(race, THING_BYTES - 10);
    assert_ptr_equal(thing_address(race, race->target), before);
}

static void
act_grow(struct race *race)
{
    resize_to(race, 2 * THING_BYTES);
}

static void
act_shrink(struct race *race)
{
    resize_to(race, THING_BYTES / 3);
}

static void
begin_update(struct race *race, struct handle_update *update)
{
    void *version =
        race->by_cell
            ? handle_cell_update_begin(race->store, &race->target->cell, THING_BYTES, update)
            : handle_update_begin(race->store, race->target->handle, THING_BYTES, update);
    assert_non_null(version);
    fill(version, THING_BYTES, 7003);
}

static void
act_update(struct race *race)
{
    struct handle_update update;
    section_enter();
    begin_update(race, &update);
    assert_int_equal(handle_update_commit(race->store, &update), 0);
    section_leave();
    race->target->seed = 7003;
}

static void
act_update_abort(struct race *race)
{
    struct handle_update update;
    section_enter();
    begin_update(race, &update);
    section_leave();
    handle_update_abort(race->store, &update);
}

/* The update stays open while the mover goes on: its old version is pinned. */
static struct handle_update open_update;

static void
act_update_begin(struct race *race)
{
    section_enter();
    begin_update(race, &open_update);
    section_leave();
}

static void
finish_update(struct race *race)
{
    section_enter();
    assert_int_equal(handle_update_commit(race->store, &open_update), 0);
    section_leave();
    race->target->seed = 7003;
}

static struct handle_reserved reserved;

/* Reserved while the mover works, and filled. */
static void
act_reserve(struct race *race)
{
    assert_non_null(handle_reserve(race->store, THING_BYTES, 0, &reserved));
    fill(reserved.object, THING_BYTES, 7005);
}

static void
finish_publish(struct race *race)
{
    section_enter();
    assert_int_equal(handle_cell_publish(race->store, &race->target->cell, &reserved, 0x765432), 0);
    section_leave();
    race->target->seed = 7005;
    race->target->tag = 0x765432;
}

static void
act_publish(struct race *race)
{
    act_reserve(race);
    finish_publish(race);
}

static void *pinned;

static void
act_pin(struct race *race)
{
    section_enter();
    pinned = (void *)(uintptr_t)(race->by_cell ? handle_cell_pin(race->store, &race->target->cell)
                                               : handle_pin(race->store, race->target->handle));
    section_leave();
    assert_non_null(pinned);
    assert_filled(pinned, THING_BYTES, race->target->seed);
}

static void
act_pin_mut(struct race *race)
{
    section_enter();
    pinned = handle_pin_mut(race->store, race->target->handle);
    section_leave();
    assert_non_null(pinned);
    fill(pinned, THING_BYTES, 7004);
    race->target->seed = 7004;
}

/* The address is good without a section, and nothing else has come there. */
static void
finish_pin(struct race *race)
{
    assert_ptr_equal(thing_address(race, race->target), pinned);
    assert_filled(pinned, THING_BYTES, race->target->seed);
    handle_unpin(race->store, pinned);
}

static void
act_relocate(struct race *race)
{
    struct thing *to = &race->things[THINGS];
    *to = (struct thing){.size = THING_BYTES, .seed = race->target->seed, .live = true};
    section_enter();
    assert_int_equal(handle_cell_relocate(race->store, &race->target->cell, &to->cell), 0);
    section_leave();
    assert_int_equal(race->target->cell.word, 0);
    thing_is_gone(race->target);
    race->target = to;
}

static void
act_set_tag(struct race *race)
{
    section_enter();
    assert_int_equal(handle_cell_set_tag(race->store, &race->target->cell, 0xabcdef), 0);
    section_leave();
    race->target->tag = 0xabcdef;
}

/* ---- a walk: it needs the mover's lock; then the span is its own, moves out of it end -------- */

static const struct thing *
find_thing(const struct race *race, const struct handle_object *object)
{
    for (unsigned i = 0; i < THINGS; i++) {
        const struct thing *thing = &race->things[i];
        if (race->by_cell ? object->cell == &thing->cell : object->handle == thing->handle)
            return thing;
    }
    return NULL;
}

static int
check_visit(void *opaque, const struct handle_object *object)
{
    struct actor *actor = opaque;
    const struct thing *thing = find_thing(actor->race, object);
    thread_check(thing && thing->live && object->size == thing->size);
    thread_check(mismatch(object->data, thing->size, thing->seed) == thing->size);
    actor->size++;
    return 0;
}

static void
body_each(struct actor *actor)
{
    actor->result = handle_store_each(actor->race->store, check_visit, actor);
}

static struct actor *walker;

static void
act_each(struct race *race)
{
    walker = actor_start(race, body_each);
}

static void
finish_each(struct race *race)
{
    actor_join(walker);
    assert_int_equal(walker->result, 0);
    assert_int_equal(walker->size, LIVE);
    (void)race;
}

/* ---- a thread that frees two of the kept and ends -------------------------------------------- */

static void
body_free_and_exit(struct actor *actor)
{
    struct race *race = actor->race;
    section_enter();
    thread_check(thing_try_free_now(race, &race->things[60]) == 0);
    thread_check(thing_try_free(race, &race->things[40]) == 0);
    section_leave();
}

static void
act_thread_exit(struct race *race)
{
    set_option(race->store, "thread_cache_bytes", "256K");
    actor_join(actor_start(race, body_free_and_exit));
    thing_is_gone(&race->things[40]);
    thing_is_gone(&race->things[60]);
    set_option(race->store, "thread_cache_bytes", "0");
}

/* ---- the cases ------------------------------------------------------------------------------- */

static const struct operation operations[] = {
    {"deref", false, act_deref, MOVED, MOVED, false, NULL},
    {"deref_mut", false, act_write, WRITTEN, WRITTEN, false, NULL},
    {"free", false, act_free, FREED, FREED, false, NULL},
    {"retire", false, act_retire, FREED, FREED, false, NULL},
    {"retire_and_free", false, act_retire_and_free, FREED, FREED, false, NULL},
    {"free_now", false, act_free_now, FREED, FREED, false, NULL},
    {"resize_in_place", false, act_resize_in_place, WRITTEN, WRITTEN, false, NULL},
    {"grow", false, act_grow, REPLACED, REPLACED, true, NULL},
    {"shrink", false, act_shrink, REPLACED, REPLACED, true, NULL},
    {"update", false, act_update, REPLACED, REPLACED, true, NULL},
    {"update_begin", false, act_update_begin, WRITTEN, WRITTEN, true, finish_update},
    {"update_abort", false, act_update_abort, WRITTEN, WRITTEN, false, NULL},
    {"pin", false, act_pin, WRITTEN, WRITTEN, false, finish_pin},
    {"pin_mut", false, act_pin_mut, WRITTEN, WRITTEN, false, finish_pin},
    {"each", false, act_each, MOVED, MOVED, false, finish_each},
    {"thread_exit", false, act_thread_exit, MOVED, MOVED, false, NULL},
    {"cell_deref", true, act_deref, MOVED, MOVED, false, NULL},
    {"cell_deref_mut", true, act_write, WRITTEN, WRITTEN, false, NULL},
    {"cell_free", true, act_free, FREED, FREED, false, NULL},
    {"cell_free_now", true, act_free_now, FREED, FREED, false, NULL},
    {"cell_resize_in_place", true, act_resize_in_place, WRITTEN, WRITTEN, false, NULL},
    {"cell_grow", true, act_grow, REPLACED, REPLACED, true, NULL},
    {"cell_shrink", true, act_shrink, REPLACED, REPLACED, true, NULL},
    {"cell_update", true, act_update, REPLACED, REPLACED, true, NULL},
    {"cell_update_begin", true, act_update_begin, WRITTEN, WRITTEN, true, finish_update},
    {"cell_update_abort", true, act_update_abort, WRITTEN, WRITTEN, false, NULL},
    {"cell_publish", true, act_publish, REPLACED, REPLACED, true, NULL},
    {"cell_reserve", true, act_reserve, MOVED, MOVED, false, finish_publish},
    {"cell_pin", true, act_pin, WRITTEN, WRITTEN, false, finish_pin},
    {"cell_relocate", true, act_relocate, WRITTEN, FREED, false, NULL},
    {"cell_set_tag", true, act_set_tag, WRITTEN, WRITTEN, false, NULL},
    {"cell_each", true, act_each, MOVED, MOVED, false, finish_each},
    {"cell_thread_exit", true, act_thread_exit, MOVED, MOVED, false, NULL},
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

static enum fate
fate_of(const struct operation *operation, enum sn_hook_point point)
{
    if (point >= SN_HOOK_AFTER_PUBLISH)
        return MOVED;
    return point == SN_HOOK_AFTER_MARK ? operation->early : operation->middle;
}

/* Of the two that an exiting thread frees: marked already, and not yet moved. */
static unsigned
others_freed(const struct operation *operation, enum sn_hook_point point)
{
    bool in_between = point > SN_HOOK_AFTER_MARK && point < SN_HOOK_BEFORE_RECLAIM;
    return operation->act == act_thread_exit && in_between ? 2 : 0;
}

static bool
is_walk(const struct operation *operation)
{
    return operation->act == act_each;
}

static void
assert_report(const struct race *race, const struct handle_defrag_report *report, enum fate fate)
{
    const struct test_case *test = race->test_case;
    unsigned others = others_freed(test->operation, test->point);
    if (is_walk(test->operation)) { /* it comes before the rest of the mover's work, or after it */
        assert_in_range(report->moved_objects, 0, KEPT);
        return;
    }
    unsigned unmarked =
        test->operation->act == act_thread_exit && test->point == SN_HOOK_AFTER_MARK ? 2 : 0;
    assert_int_equal(report->moved_objects, KEPT - (fate != MOVED) - others - unmarked);
    uint64_t expected[HANDLE_REFUSED_REASONS] = {0};
    expected[HANDLE_REFUSED_WRITTEN] = fate == WRITTEN;
    expected[HANDLE_REFUSED_FREED] = (fate == FREED) + others;
    if (fate == REPLACED) {
        enum handle_refusal reason =
            report->refused[HANDLE_REFUSED_WRITTEN] ? HANDLE_REFUSED_WRITTEN : HANDLE_REFUSED_FREED;
        expected[reason]++;
    }
    for (unsigned reason = 0; reason < HANDLE_REFUSED_REASONS; reason++)
        assert_int_equal(report->refused[reason], expected[reason]);
    if (fate == MOVED)
        assert_int_equal(report->spans_evacuated, 1);
}

/* The class's counters tell the same story as the store's. */
static void
assert_class_counters(const struct race *race, const struct handle_defrag_report *report)
{
    struct handle_stats stats = take_stats(race->store);
    const struct handle_class_stats *classes = class_stats_of(race->store);
    uint64_t moved = 0, by_reason[HANDLE_REFUSED_REASONS] = {0};
    for (unsigned i = 0; i < stats.classes; i++) {
        moved += classes[i].moved;
        for (unsigned reason = 0; reason < HANDLE_REFUSED_REASONS; reason++)
            by_reason[reason] += classes[i].refused[reason];
    }
    assert_int_equal(moved, report->moved_objects);
    assert_int_equal(stats.moved_objects, report->moved_objects);
    for (unsigned reason = 0; reason < HANDLE_REFUSED_REASONS; reason++) {
        assert_int_equal(by_reason[reason], report->refused[reason]);
        assert_int_equal(stats.refused[reason], report->refused[reason]);
    }
}

static void
assert_place(const struct race *race, enum fate fate)
{
    const struct operation *operation = ((const struct test_case *)race->test_case)->operation;
    const char *now = thing_address(race, race->target);
    if (is_walk(operation))
        return;
    if (race->target->live && operation->replaced && operation->finish == NULL)
        assert_ptr_not_equal(now, race->from);
    else if (race->target->live)
        assert_int_equal(now == race->from, fate != MOVED);
}

static void
run_case(void **state)
{
    struct race *race = *state;
    const struct operation *operation = ((const struct test_case *)race->test_case)->operation;
    enum sn_hook_point point = point_of(race);
    enum fate fate = fate_of(operation, point);
    ground_make(race, operation->cell);
    struct actor *mover = stand(race, body_compact, point);
    operation->act(race);
    actor_finish(mover);
    assert_int_equal(mover->result, 0);
    assert_report(race, &mover->report, fate);
    assert_class_counters(race, &mover->report);
    assert_place(race, fate);
    if (operation->finish)
        operation->finish(race);
    ground_verify(race);
    ground_settle(race);
    if (race->target->live) /* what was refused is moved by the next compaction */
        assert_ptr_not_equal(thing_address(race, race->target), race->from);
}

int
main(void)
{
    static struct test_case cases[OPERATIONS * MOVER_POINTS];
    static struct CMUnitTest tests[OPERATIONS * MOVER_POINTS];
    static char names[OPERATIONS * MOVER_POINTS][64];
    for (size_t i = 0; i < OPERATIONS * MOVER_POINTS; i++) {
        cases[i] =
            (struct test_case){&operations[i / MOVER_POINTS], mover_points[i % MOVER_POINTS]};
        snprintf(names[i], sizeof(names[i]), "%s at %s", operations[i / MOVER_POINTS].name,
                 mover_point_names[i % MOVER_POINTS]);
        tests[i] = (struct CMUnitTest){names[i], run_case, race_setup, race_teardown, &cases[i]};
    }
    thread_enter();
    int failed = cmocka_run_group_tests_name("mover " FLAVOUR_NAME, tests, NULL, NULL);
    thread_leave();
    return failed;
}
