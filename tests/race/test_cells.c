/* SPDX-License-Identifier: MIT */
/*
 * test_cells.c - a thread stands in the middle of a call on a cell, and meanwhile the object is
 * marked or looked at; and the memory of a cell that was emptied, which is the application's again
 * a grace period later: the mover must not follow its old notes there (G6).
 */
#include "race.h"

static handle_store *
store_of(const struct actor *actor)
{
    return actor->race->store;
}

static handle_cell *
cell_of(const struct actor *actor)
{
    return &actor->race->target->cell;
}

static void
mark_target(struct race *race)
{
    steps_begin(race);
    step_until(race, SN_HOOK_AFTER_MARK, race->from);
}

/*
 * The cell is empty, its grace period is over, and the application has put something of its own in
 * its place that looks like the word the mover marked. Fails when step 3 believes the word without
 * having looked at the header: it would be changed.
 */
static void
assert_cell_memory_is_ours(struct race *race, handle_cell *cell, uint64_t marked)
{
    assert_true(sn_word_is_moving(marked));
    assert_int_equal(cell->word, 0);
    grace_period();
    __atomic_store_n(&cell->word, marked, __ATOMIC_RELAXED);
    steps_end(race);
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, race->from), 0);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, race->from), 0);
    assert_true(__atomic_load_n(&cell->word, __ATOMIC_RELAXED) == marked);
    cell->word = 0;
}

/* ---- free ------------------------------------------------------------------------------------ */

static void
body_free(struct actor *actor)
{
    section_enter();
    actor->result = handle_cell_free(store_of(actor), cell_of(actor));
    section_leave();
}

/* The free has loaded LIVE and ends the word by a plain store over the mark (G4). */
static void
test_free_loaded_then_marked(struct race *race)
{
    struct actor *freer = stand(race, body_free, SN_HOOK_FREE_LOADED);
    mark_target(race);
    uint64_t marked = race->target->cell.word;
    actor_finish(freer);
    assert_int_equal(freer->result, 0);
    thing_is_gone(race->target);
    assert_cell_memory_is_ours(race, &race->target->cell, marked);
    assert_int_equal(refused(race, HANDLE_REFUSED_FREED), 1);
}

/* One of several, between others; by the fast path, once the first have opened the limbo. */
static void
body_free_many(struct actor *actor)
{
    static handle_cell own[3];
    handle_cell *cells[] = {&own[0], &own[1], &actor->race->target->cell, &own[2]};
    section_enter();
    for (unsigned i = 0; i < 3; i++)
        thread_check(handle_cell_alloc(store_of(actor), &own[i], THING_BYTES, 0) != NULL);
    actor->size = handle_cell_free_many(store_of(actor), cells, 4);
    thread_check(own[0].word == 0 && own[1].word == 0 && own[2].word == 0);
    section_leave();
}

/* The same of the call for many, which stands inside the thread's cache meanwhile. */
static void
test_free_many_loaded_then_marked(struct race *race)
{
    use_thread_caches(race);
    struct actor *freer = stand(race, body_free_many, SN_HOOK_FREE_LOADED);
    mark_target(race);
    uint64_t marked = race->target->cell.word;
    actor_finish(freer);
    assert_int_equal(freer->size, 4);
    thing_is_gone(race->target);
    assert_cell_memory_is_ours(race, &race->target->cell, marked);
    assert_int_equal(refused(race, HANDLE_REFUSED_FREED), 1);
}

/* By the fast path; another cell, or the same, then names the slot. */
static void
body_free_now_and_reuse(struct actor *actor)
{
    handle_cell warm[4] = {HANDLE_CELL_INIT};
    section_enter();
    for (unsigned i = 0; i < 4; i++)
        thread_check(handle_cell_alloc(store_of(actor), &warm[i], THING_BYTES, 0) != NULL);
    for (unsigned i = 0; i < 4; i++)
        thread_check(handle_cell_free_now(store_of(actor), &warm[i]) == 0);
    actor->result = handle_cell_free_now(store_of(actor), cell_of(actor));
    actor->object = handle_cell_alloc(store_of(actor), actor->cell, THING_BYTES, 0);
    thread_check(actor->object != NULL);
    fill(actor->object, THING_BYTES, 9600);
    section_leave();
    actor_stays(actor);
}

static void
check_free_now(struct race *race, bool same_cell)
{
    use_thread_caches(race);
    keep_limbo_ungathered(race);
    struct thing *reused = same_cell ? race->target : &race->things[THINGS];
    struct actor *freer = actor_new(race, body_free_now_and_reuse);
    freer->cell = &reused->cell;
    actor_run_to(freer, SN_HOOK_FREE_LOADED, &race->target->cell.word);
    mark_target(race);
    uint64_t marked = race->target->cell.word;
    step_often(race);
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, race->from), 0);
    actor_goes_alone(freer);
    actor_leave(freer);
    actor_join(freer);
    assert_int_equal(freer->result, 0);
    assert_ptr_equal(freer->object, race->from);
    thing_is_gone(race->target);
    reused->size = THING_BYTES;
    reused->seed = 9600;
    reused->live = true;
    if (same_cell)
        steps_end(race);
    else
        assert_cell_memory_is_ours(race, &race->target->cell, marked);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, race->from), 0);
}

static void
test_free_now_then_another_cell(struct race *race)
{
    check_free_now(race, false);
}

/* R names S again, the header names R again: all is as it was marked, but for the state. */
static void
test_free_now_then_the_same_cell(struct race *race)
{
    check_free_now(race, true);
}

/* ---- relocate -------------------------------------------------------------------------------- */

static void
body_relocate(struct actor *actor)
{
    section_enter();
    actor->result = handle_cell_relocate(store_of(actor), cell_of(actor), actor->cell);
    section_leave();
}

static struct actor *
stand_relocating(struct race *race, enum sn_hook_point point)
{
    struct actor *actor = actor_new(race, body_relocate);
    actor->cell = &race->things[THINGS].cell;
    actor_run_to(actor, point, target_at(race, point));
    return actor;
}

static void
note_relocated(struct race *race)
{
    struct thing *to = &race->things[THINGS];
    to->size = THING_BYTES;
    to->seed = race->target->seed;
    to->tag = race->target->tag;
    to->live = true;
    thing_is_gone(race->target);
    race->target = to;
}

static void
finish_relocating(struct race *race, struct actor *actor)
{
    actor_finish(actor);
    assert_int_equal(actor->result, 0);
    note_relocated(race);
}

/* Relocate has made `from` LIVE, the mover marks it, relocate goes on by plain stores. */
static void
test_relocate_loaded_then_marked(struct race *race)
{
    section_enter();
    assert_int_equal(handle_cell_set_tag(race->store, &race->target->cell, 0x123456), 0);
    section_leave();
    race->target->tag = 0x123456;
    handle_cell *from = &race->target->cell;
    struct actor *actor = stand_relocating(race, SN_HOOK_MUT_LOADED);
    mark_target(race);
    uint64_t marked = from->word;
    finish_relocating(race, actor);
    assert_cell_memory_is_ours(race, from, marked);
    assert_ptr_equal(thing_address(race, race->target), race->from);
    ground_settle(race);
    assert_ptr_not_equal(thing_address(race, race->target), race->from);
}

static int
count_target(void *opaque, const struct handle_object *object)
{
    struct race *race = opaque;
    if (object->data == race->from) {
        assert_true(object->cell == &race->target->cell ||
                    object->cell == &race->things[THINGS].cell);
        race->actors[0].size++;
    }
    return 0;
}

/* What cells and walks show while a relocation stands at a point: the object in `from` or not, in
 * `to` always; a walk meets it once. */
static void
check_seen_while_relocating(struct race *race, enum sn_hook_point point, bool in_from)
{
    struct actor *actor = stand_relocating(race, point);
    const handle_cell *from = &race->target->cell, *to = &race->things[THINGS].cell;
    section_enter();
    assert_ptr_equal(handle_cell_deref(race->store, from), in_from ? race->from : NULL);
    section_leave();
    assert_on_its_way(race, from, to, in_from ? THING_BYTES : 0);
    finish_relocating(race, actor);
}

/* Fails when a size is taken from nothing but a header that names the very cell: the reader of `to`
 * would be told of damage. */
static void
test_relocate_seen_with_both_filled(struct race *race)
{
    check_seen_while_relocating(race, SN_HOOK_RELOCATE_TO, true);
}

/* The header names a cell that is empty to readers. Fails when a walk takes it for empty, too. */
static void
test_relocate_seen_with_from_going(struct race *race)
{
    check_seen_while_relocating(race, SN_HOOK_RELOCATE_GOING, false);
}

static void
test_relocate_seen_with_the_header_changed(struct race *race)
{
    check_seen_while_relocating(race, SN_HOOK_RELOCATE, false);
}

/* A cell that is GOING has no object for any call that others than its writers may make, and the
 * mover leaves it alone. */
static void
test_relocate_answers_of_a_going_cell(struct race *race)
{
    struct handle_update update;
    uint32_t tag = 1;
    struct actor *actor = stand_relocating(race, SN_HOOK_RELOCATE_GOING);
    handle_cell *from = &race->target->cell;
    section_enter();
    assert_null(handle_cell_deref_mut(race->store, from));
    assert_null(handle_cell_read(race->store, from, &tag));
    assert_int_equal(tag, 0);
    errno = 0;
    assert_null(handle_cell_pin(race->store, from));
    assert_int_equal(errno, ENOENT);
    errno = 0;
    assert_null(handle_cell_update_begin(race->store, from, THING_BYTES, &update));
    assert_int_equal(errno, ENOENT);
    section_leave();
    steps_begin(race);
    step_often(race);
    assert_int_equal(passed(SN_HOOK_AFTER_MARK, race->from), 0);
    assert_true(from->word != 0);
    finish_relocating(race, actor);
    assert_int_equal(from->word, 0);
    steps_end(race);
}

/* Looks at both cells, `from` first, stays, then writes. */
static void
body_write(struct actor *actor)
{
    section_enter();
    actor->object = handle_cell_deref_mut(store_of(actor), cell_of(actor));
    if (!actor->object)
        actor->object = handle_cell_deref_mut(store_of(actor), actor->cell);
    actor_stays(actor);
    fill(actor->object, THING_BYTES, 9650);
    section_leave();
}

/*
 * `to` is marked while relocate still stands there; then a writer enters a section, and relocate
 * goes on: the mover's grace period does not wait for that writer (G3). Fails when he finds the
 * object by `from`, where no move can be cancelled: what he writes is lost.
 */
static void
test_relocate_then_marked_then_written(struct race *race)
{
    struct actor *relocator = stand_relocating(race, SN_HOOK_RELOCATE);
    mark_target(race);
    step_often(race);
    struct actor *writer = actor_new(race, body_write);
    writer->cell = &race->things[THINGS].cell;
    actor_run(writer);
    actor_await(writer);
    assert_ptr_equal(writer->object, race->from);
    actor_finish(relocator);
    assert_int_equal(relocator->result, 0);
    step_often(race);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, race->from), 0);
    actor_finish(writer);
    note_relocated(race);
    race->target->seed = 9650;
    steps_end(race);
}

static void
body_walk(struct actor *actor)
{
    actor->result = handle_store_each(store_of(actor), count_target, actor->race);
}

/* A walk has found the header naming `from`; when it looks there, the object has gone on to `to`.
 * Fails when it does not read the header again: seen, the object is passed by. */
static void
test_relocate_beside_a_walk(struct race *race)
{
    struct actor *walker =
        actor_stands(race, body_walk, SN_HOOK_WALK_HEADER, &race->target->cell.word);
    section_enter();
    assert_int_equal(
        handle_cell_relocate(race->store, &race->target->cell, &race->things[THINGS].cell), 0);
    section_leave();
    actor_finish(walker);
    assert_int_equal(walker->result, 0);
    assert_int_equal(race->actors[0].size, 1);
    note_relocated(race);
}

/* The mark finds the header naming `from`, though `to` is filled: it is dropped. */
static void
test_relocate_then_marked_before_the_header(struct race *race)
{
    handle_cell *from = &race->target->cell, *to = &race->things[THINGS].cell;
    struct actor *actor = stand_relocating(race, SN_HOOK_RELOCATE_TO);
    mark_target(race);
    assert_true(sn_word_is_moving(from->word));
    assert_false(sn_word_is_moving(to->word));
    step_often(race);
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, race->from), 0); /* it waits for the section */
    finish_relocating(race, actor);
    assert_int_equal(from->word, 0);
    steps_end(race);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, race->from), 0);
    assert_int_equal(from->word, 0);
    assert_ptr_equal(thing_address(race, race->target), race->from);
}

/* The mark finds the header naming `to`: it is `to` that is marked, and later moved. */
static void
test_relocate_then_marked(struct race *race)
{
    handle_cell *from = &race->target->cell;
    struct actor *actor = stand_relocating(race, SN_HOOK_RELOCATE);
    mark_target(race);
    assert_true(sn_word_is_moving(race->things[THINGS].cell.word));
    assert_false(sn_word_is_moving(from->word));
    step_often(race);
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, race->from), 0); /* it waits for the section */
    finish_relocating(race, actor);
    assert_int_equal(from->word, 0);
    steps_end(race);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, race->from), 1);
    assert_ptr_not_equal(thing_address(race, race->target), race->from);
}

/* ---- resize and update ----------------------------------------------------------------------- */

static void
body_resize(struct actor *actor)
{
    section_enter();
    actor->result = handle_cell_resize(store_of(actor), cell_of(actor), 2 * THING_BYTES);
    section_leave();
}

/* A mark is no conflict, and the tag stays. */
static void
test_resize_copied_then_marked(struct race *race)
{
    section_enter();
    assert_int_equal(handle_cell_set_tag(race->store, &race->target->cell, 0xfedcba), 0);
    section_leave();
    race->target->tag = 0xfedcba;
    struct actor *actor = stand(race, body_resize, SN_HOOK_RESIZE_COPIED);
    mark_target(race);
    step_often(race);
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, race->from), 0);
    actor_finish(actor);
    assert_int_equal(actor->result, 0);
    section_enter();
    assert_filled(handle_cell_deref(race->store, &race->target->cell), THING_BYTES, TARGET + 1);
    section_leave();
    race->target->size = 2 * THING_BYTES;
    thing_write(race, race->target, 9700);
    steps_end(race);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, race->from), 0);
}

static void
body_update(struct actor *actor)
{
    struct handle_update update;
    section_enter();
    void *version = handle_cell_update_begin(store_of(actor), cell_of(actor), THING_BYTES, &update);
    thread_check(version != NULL);
    fill(version, THING_BYTES, 9800);
    actor->result = handle_update_commit(store_of(actor), &update);
    section_leave();
}

/* A new tag meanwhile is no conflict: the commit keeps the one it finds. */
static void
test_commit_header_then_new_tag(struct race *race)
{
    struct actor *actor = stand(race, body_update, SN_HOOK_COMMIT_HEADER);
    section_enter();
    assert_int_equal(handle_cell_set_tag(race->store, &race->target->cell, 0x42), 0);
    section_leave();
    steps_begin(race);
    step_often(race);
    assert_int_equal(passed(SN_HOOK_AFTER_MARK, race->from), 0); /* pinned */
    actor_finish(actor);
    assert_int_equal(actor->result, 0);
    race->target->tag = 0x42;
    race->target->seed = 9800;
    steps_end(race);
}

/* The cell is emptied meanwhile: the commit is over, and its version gone. */
static void
test_commit_header_then_freed(struct race *race)
{
    struct actor *actor = stand(race, body_update, SN_HOOK_COMMIT_HEADER);
    thing_free(race, race->target);
    actor_finish(actor);
    assert_int_equal(actor->result, -ENOENT);
    assert_int_equal(race->target->cell.word, 0);
}

/* ---- publish in the place of what the cell names --------------------------------------------- */

static void
body_publish(struct actor *actor)
{
    struct handle_reserved reserved;
    thread_check(handle_reserve(store_of(actor), THING_BYTES, 0, &reserved) != NULL);
    fill(reserved.object, THING_BYTES, 9900);
    section_enter();
    actor->result = handle_cell_publish(store_of(actor), cell_of(actor), &reserved, 0x99);
    section_leave();
}

static void
finish_publishing(struct race *race, struct actor *actor)
{
    actor_finish(actor);
    assert_int_equal(actor->result, 0);
    race->target->seed = 9900;
    race->target->tag = 0x99;
}

/* Publish has loaded LIVE and stores over the mark; step 3 finds a header that names nothing. */
static void
test_publish_loaded_then_marked(struct race *race)
{
    struct actor *actor = stand(race, body_publish, SN_HOOK_PUBLISH_LOADED);
    mark_target(race);
    step_often(race);
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, race->from), 0); /* it waits for the section */
    finish_publishing(race, actor);
    steps_end(race);
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, race->from), 0);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, race->from), 0);
}

/*
 * Publish has loaded MOVING, and the mover publishes its copy before publish does anything: it is
 * the copy that is replaced. Fails when publish stores plainly: the copy is lost, and the old slot
 * retired twice.
 */
static void
test_publish_loaded_marked_then_moved(struct race *race)
{
    struct actor *mover = stand(race, body_compact, SN_HOOK_BEFORE_COPY);
    assert_true(sn_word_is_moving(race->target->cell.word));
    struct actor *actor = stand(race, body_publish, SN_HOOK_PUBLISH_SLOW);
    actor_go(mover);
    await(passed(SN_HOOK_AFTER_PUBLISH, race->from) == 1);
    finish_publishing(race, actor);
    actor_join(mover);
    assert_int_equal(mover->result, 0);
    assert_int_equal(mover->report.moved_objects, KEPT);
}

/* ---- after publish --------------------------------------------------------------------------- */

/*
 * The object was moved and is freed before its old slot is reclaimed; then the cell's memory is
 * used for something else. Step 6 must give the old slot back without a look at the cell.
 */
static void
test_published_then_freed_then_reclaimed(struct race *race)
{
    struct stage *reclaiming = stage_arm(race, SN_HOOK_BEFORE_RECLAIM, race->span);
    struct actor *mover = stand(race, body_compact, SN_HOOK_AFTER_PUBLISH);
    thing_free(race, race->target);
    actor_go(mover);
    stage_wait(reclaiming);
    const uint64_t noise = UINT64_C(0xfedcba9876543213);
    race->target->cell.word = noise;
    stage_go(reclaiming);
    actor_join(mover);
    assert_int_equal(mover->result, 0);
    assert_int_equal(mover->report.moved_objects, KEPT);
    assert_true(race->target->cell.word == noise);
    race->target->cell.word = 0;
}

static const struct CMUnitTest tests[] = {
    BY_CELL(test_free_loaded_then_marked),
    BY_CELL(test_free_many_loaded_then_marked),
    BY_CELL(test_free_now_then_another_cell),
    BY_CELL(test_free_now_then_the_same_cell),
    BY_CELL(test_relocate_loaded_then_marked),
    BY_CELL(test_relocate_seen_with_both_filled),
    BY_CELL(test_relocate_seen_with_from_going),
    BY_CELL(test_relocate_seen_with_the_header_changed),
    BY_CELL(test_relocate_answers_of_a_going_cell),
    BY_CELL(test_relocate_then_marked_then_written),
    BY_CELL(test_relocate_beside_a_walk),
    BY_CELL(test_relocate_then_marked_before_the_header),
    BY_CELL(test_relocate_then_marked),
    BY_CELL(test_resize_copied_then_marked),
    BY_CELL(test_commit_header_then_new_tag),
    BY_CELL(test_commit_header_then_freed),
    BY_CELL(test_publish_loaded_then_marked),
    BY_CELL(test_publish_loaded_marked_then_moved),
    BY_CELL(test_published_then_freed_then_reclaimed),
};

RACE_MAIN("cells", tests)
