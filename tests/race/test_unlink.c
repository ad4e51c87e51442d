/* SPDX-License-Identifier: MIT */
/*
 * test_unlink.c - a thread stands in the middle of cell_unlink or cell_retire, or in the structure
 * around a cell that is left (G12), and meanwhile the object is marked, moved, freed or pinned.
 */
#include "race.h"

static handle_store *
store_of(const struct actor *actor)
{
    return actor->race->store;
}

static handle_cell *
from_of(struct race *race)
{
    return &race->things[TARGET].cell;
}

static handle_cell *
to_of(struct race *race)
{
    return &race->things[THINGS].cell;
}

static void
mark_target(struct race *race)
{
    steps_begin(race);
    step_until(race, SN_HOOK_AFTER_MARK, race->from);
}

/* What the application may do a grace period later; nobody looks there any more. */
static void
use_cell_memory(handle_cell *cell)
{
    grace_period();
    __atomic_store_n(&cell->word, 0, __ATOMIC_RELAXED);
}

static void
unlink_target(struct race *race)
{
    section_enter();
    assert_int_equal(handle_cell_unlink(race->store, from_of(race), to_of(race)), 0);
    section_leave();
}

static void
retire_target(struct race *race)
{
    section_enter();
    assert_int_equal(handle_cell_retire(race->store, from_of(race)), 0);
    section_leave();
}

/* The target is the thing of `to` from now on. */
static void
note_unlinked(struct race *race)
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
body_unlink(struct actor *actor)
{
    section_enter();
    actor->result = handle_cell_unlink(store_of(actor), from_of(actor->race), to_of(actor->race));
    section_leave();
}

static struct actor *
stand_unlinking(struct race *race, enum sn_hook_point point)
{
    return actor_stands(race, body_unlink, point, target_at(race, point));
}

static void
finish_unlinking(struct race *race, struct actor *actor)
{
    handle_cell *from = from_of(race);
    actor_finish(actor);
    assert_int_equal(actor->result, 0);
    assert_true(sn_word_is_retired(from->word));
    use_cell_memory(from);
    note_unlinked(race);
}

/* ---- unlink ---------------------------------------------------------------------------------- */

/* Unlink has made `from` LIVE, the mover marks it, unlink goes on by plain stores. Then the memory
 * of `from` is somebody's, and looks like the word that was marked. */
static void
test_loaded_then_marked(struct race *race)
{
    handle_cell *from = from_of(race);
    struct actor *actor = stand_unlinking(race, SN_HOOK_MUT_LOADED);
    mark_target(race);
    uint64_t marked = from->word;
    assert_true(sn_word_is_moving(marked));
    finish_unlinking(race, actor);
    __atomic_store_n(&from->word, marked, __ATOMIC_RELAXED);
    steps_end(race);
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, race->from), 0);
    assert_true(__atomic_load_n(&from->word, __ATOMIC_RELAXED) == marked);
    from->word = 0;
    ground_settle(race);
    assert_ptr_not_equal(thing_address(race, race->target), race->from);
}

/* Readers of either cell find the object at each point, a walk meets it once, as movable. */
static void
check_seen(struct race *race, enum sn_hook_point point, size_t size_by_from)
{
    struct actor *actor = stand_unlinking(race, point);
    section_enter();
    assert_ptr_equal(handle_cell_deref(race->store, from_of(race)), race->from);
    section_leave();
    assert_on_its_way(race, from_of(race), to_of(race), size_by_from);
    finish_unlinking(race, actor);
}

static void
test_seen_with_both_filled(struct race *race)
{
    check_seen(race, SN_HOOK_RELOCATE_TO, THING_BYTES);
}

/* The header names a cell that is left. Fails when a walk takes it for empty; or its flag for that
 * of what is unmovable. */
static void
test_seen_with_from_left(struct race *race)
{
    check_seen(race, SN_HOOK_RELOCATE_GOING, THING_BYTES);
}

static void
test_seen_with_the_header_changed(struct race *race)
{
    check_seen(race, SN_HOOK_RELOCATE, 0);
}

/* A mark finds the header naming a cell that is left: it changes nothing. */
static void
test_left_is_not_marked(struct race *race)
{
    struct actor *actor = stand_unlinking(race, SN_HOOK_RELOCATE_GOING);
    steps_begin(race);
    step_often(race);
    assert_int_equal(passed(SN_HOOK_AFTER_MARK, race->from), 0);
    assert_true(sn_word_is_retired(from_of(race)->word));
    finish_unlinking(race, actor);
    steps_end(race);
}

/* Looks at both cells, `from` first, stays, then writes. */
static void
body_write(struct actor *actor)
{
    section_enter();
    actor->object = handle_cell_deref_mut(store_of(actor), from_of(actor->race));
    actor->size = actor->object != NULL;
    if (!actor->object)
        actor->object = handle_cell_deref_mut(store_of(actor), to_of(actor->race));
    actor_stays(actor);
    fill(actor->object, THING_BYTES, 9650);
    section_leave();
}

/*
 * `to` is marked while unlink still stands there; then a writer enters a section, and unlink goes
 * on: the mover's grace period does not wait for that writer (G3). Fails when he finds the object
 * by `from`, where no move can be cancelled: what he writes is lost.
 */
static void
test_marked_then_written(struct race *race)
{
    struct actor *unlinker = stand_unlinking(race, SN_HOOK_RELOCATE);
    mark_target(race);
    assert_true(sn_word_is_moving(to_of(race)->word));
    step_often(race);
    struct actor *writer = actor_inside(race, body_write);
    assert_int_equal(writer->size, 0); /* not by `from` */
    assert_ptr_equal(writer->object, race->from);
    actor_finish(unlinker);
    step_often(race);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, race->from), 0);
    actor_finish(writer);
    use_cell_memory(from_of(race));
    note_unlinked(race);
    race->target->seed = 9650;
    steps_end(race);
}

static void
body_unlink_into_target(struct actor *actor)
{
    section_enter();
    actor->result = handle_cell_unlink(store_of(actor), to_of(actor->race), from_of(actor->race));
    section_leave();
}

/* `to` names another object, and is marked: unlink has loaded MOVING, and the mover publishes its
 * copy. It is the copy that is replaced. Fails when unlink stores plainly. */
static void
test_replaced_is_loaded_then_moved(struct race *race)
{
    struct thing *added = thing_make(race, 9750);
    assert_ptr_equal(&added->cell, to_of(race));
    struct actor *mover = stand(race, body_compact, SN_HOOK_BEFORE_COPY);
    struct actor *actor = stand(race, body_unlink_into_target, SN_HOOK_PUBLISH_SLOW);
    actor_go(mover);
    await(passed(SN_HOOK_AFTER_PUBLISH, race->from) == 1);
    actor_finish(actor);
    assert_int_equal(actor->result, 0);
    actor_join(mover);
    use_cell_memory(to_of(race));
    thing_is_gone(added);
    race->target->seed = 9750;
}

/* ---- those who are there still --------------------------------------------------------------- */

/* Has come to the structure around `from`, and looks at the cell twice: before it stays, or only
 * after. */
static void
body_read(struct actor *actor)
{
    section_enter();
    actor_stays(actor);
    actor->object = (void *)(uintptr_t)handle_cell_deref(store_of(actor), from_of(actor->race));
    actor->result =
        actor->object != NULL && mismatch(actor->object, THING_BYTES, TARGET + 1) == THING_BYTES;
    section_leave();
}

static void
assert_reads(struct actor *reader)
{
    actor_finish(reader);
    assert_int_equal(reader->result, 1);
}

/* Everything that ends the object by `to`, while a reader stands where `from` is. */
static void
check_reader_stays(struct race *race, void (*end)(struct race *race))
{
    struct actor *reader = actor_inside(race, body_read);
    unlink_target(race);
    note_unlinked(race);
    end(race);
    steps_begin(race);
    step_often(race);
    for (unsigned i = 0; i < SPARSE_ADDED - 1; i++)
        assert_ptr_not_equal(thing_address(race, thing_make(race, 9100 + i)), race->from);
    assert_reads(reader);
    use_cell_memory(from_of(race));
    steps_end(race);
}

static void
end_by_nothing(struct race *race)
{
    (void)race; /* the mover tries */
}

static void
end_by_free(struct race *race)
{
    thing_free(race, race->target);
}

static void
end_by_retire(struct race *race)
{
    section_enter();
    assert_int_equal(handle_cell_retire(race->store, to_of(race)), 0);
    section_leave();
    to_of(race)->word = 0; /* nobody was there */
    thing_is_gone(race->target);
}

static void
end_by_resize(struct race *race)
{
    section_enter();
    assert_int_equal(handle_cell_resize(race->store, to_of(race), 2 * THING_BYTES), 0);
    section_leave();
    race->target->size = 2 * THING_BYTES;
    thing_write(race, race->target, 9800);
}

static void
end_by_publish(struct race *race)
{
    struct handle_reserved reserved;
    fill(handle_reserve(race->store, THING_BYTES, 0, &reserved), THING_BYTES, 9850);
    section_enter();
    assert_int_equal(handle_cell_publish(race->store, to_of(race), &reserved, 3), 0);
    section_leave();
    race->target->seed = 9850;
    race->target->tag = 3;
}

static void
test_reader_then_the_mover(struct race *race)
{
    check_reader_stays(race, end_by_nothing);
}

static void
test_reader_then_freed(struct race *race)
{
    check_reader_stays(race, end_by_free);
}

static void
test_reader_then_retired(struct race *race)
{
    check_reader_stays(race, end_by_retire);
}

static void
test_reader_then_resized(struct race *race)
{
    check_reader_stays(race, end_by_resize);
}

static void
test_reader_then_replaced(struct race *race)
{
    check_reader_stays(race, end_by_publish);
}

static void
body_unlink_and_stay(struct actor *actor)
{
    section_enter();
    actor->result = handle_cell_unlink(store_of(actor), from_of(actor->race), to_of(actor->race));
    actor_stays(actor);
    section_leave(); /* out of reach by now */
}

/*
 * The caller stays in its section until `from` is out of reach. A reader who comes to it meanwhile
 * is younger than the mark; the mover waits for the caller all the same, publishes, and waits for
 * the reader before the slot is used again.
 */
static void
test_caller_stays_until_out_of_reach(struct race *race)
{
    struct actor *caller = actor_inside(race, body_unlink_and_stay);
    mark_target(race);
    assert_true(sn_word_is_moving(to_of(race)->word));
    step_often(race);
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, race->from), 0); /* waits for the caller */
    struct actor *reader = actor_inside(race, body_read);
    actor_finish(caller);
    step_until(race, SN_HOOK_AFTER_PUBLISH, race->from);
    step_often(race);
    assert_int_equal(passed(SN_HOOK_BEFORE_RECLAIM, race->span), 0);
    assert_reads(reader);
    assert_ptr_equal(reader->object, race->from);
    use_cell_memory(from_of(race));
    note_unlinked(race);
    steps_end(race);
    assert_ptr_not_equal(thing_address(race, race->target), race->from);
}

/* ---- retire ---------------------------------------------------------------------------------- */

static void
body_retire(struct actor *actor)
{
    section_enter();
    actor->result = handle_cell_retire(store_of(actor), from_of(actor->race));
    section_leave();
}

/* Over the mark; then the memory of the cell looks like the word that was marked. */
static void
test_retire_loaded_then_marked(struct race *race)
{
    handle_cell *cell = from_of(race);
    struct actor *actor = stand(race, body_retire, SN_HOOK_FREE_LOADED);
    mark_target(race);
    uint64_t marked = cell->word;
    actor_finish(actor);
    assert_int_equal(actor->result, 0);
    thing_is_gone(race->target);
    assert_true(sn_word_is_retired(cell->word));
    use_cell_memory(cell);
    __atomic_store_n(&cell->word, marked, __ATOMIC_RELAXED);
    steps_end(race);
    assert_int_equal(passed(SN_HOOK_BEFORE_COPY, race->from), 0);
    assert_true(__atomic_load_n(&cell->word, __ATOMIC_RELAXED) == marked);
    cell->word = 0;
}

/* Retire has loaded MOVING, and the copy is published: it is the copy that is retired. */
static void
test_retire_loaded_marked_then_moved(struct race *race)
{
    struct actor *mover = stand(race, body_compact, SN_HOOK_BEFORE_COPY);
    struct actor *actor = stand(race, body_retire, SN_HOOK_FREE_LOADED);
    actor_go(mover);
    await(passed(SN_HOOK_AFTER_PUBLISH, race->from) == 1);
    actor_finish(actor);
    assert_int_equal(actor->result, 0);
    thing_is_gone(race->target);
    actor_join(mover);
    use_cell_memory(from_of(race));
}

/* A reader stands there; nobody gets the slot before it has gone. */
static void
test_reader_of_a_retired_cell(struct race *race)
{
    struct actor *reader = actor_inside(race, body_read);
    retire_target(race);
    thing_is_gone(race->target);
    for (unsigned i = 0; i < SPARSE_ADDED; i++)
        assert_ptr_not_equal(thing_address(race, thing_make(race, 9100 + i)), race->from);
    assert_reads(reader);
    assert_ptr_equal(reader->object, race->from);
    use_cell_memory(from_of(race));
}

static void
body_pin(struct actor *actor)
{
    section_enter();
    const void *object = handle_cell_pin(store_of(actor), from_of(actor->race));
    actor->result = object ? 0 : errno;
    section_leave();
}

/* The pin has raised the count, and finds the cell left: as if it were empty. */
static void
check_pin(struct race *race, void (*leave)(struct race *race))
{
    struct actor *pinner = stand(race, body_pin, SN_HOOK_PIN_COUNTED);
    leave(race);
    actor_finish(pinner);
    assert_int_equal(pinner->result, ENOENT);
    use_cell_memory(from_of(race));
}

static void
test_pin_counted_then_retired(struct race *race)
{
    check_pin(race, retire_target);
    thing_is_gone(race->target);
}

static void
test_pin_counted_then_unlinked(struct race *race)
{
    check_pin(race, unlink_target);
    note_unlinked(race);
}

static const struct CMUnitTest tests[] = {
    BY_CELL(test_loaded_then_marked),
    BY_CELL(test_seen_with_both_filled),
    BY_CELL(test_seen_with_from_left),
    BY_CELL(test_seen_with_the_header_changed),
    BY_CELL(test_left_is_not_marked),
    BY_CELL(test_marked_then_written),
    BY_CELL(test_replaced_is_loaded_then_moved),
    BY_CELL(test_reader_then_the_mover),
    BY_CELL(test_reader_then_freed),
    BY_CELL(test_reader_then_retired),
    BY_CELL(test_reader_then_resized),
    BY_CELL(test_reader_then_replaced),
    BY_CELL(test_caller_stays_until_out_of_reach),
    BY_CELL(test_retire_loaded_then_marked),
    BY_CELL(test_retire_loaded_marked_then_moved),
    BY_CELL(test_reader_of_a_retired_cell),
    BY_CELL(test_pin_counted_then_retired),
    BY_CELL(test_pin_counted_then_unlinked),
};

RACE_MAIN("unlink", tests)
