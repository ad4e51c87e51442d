/* SPDX-License-Identifier: MIT */
/*
 * test_inner.c - a thread stands where a parent is copied, or published and its child's header not
 * yet turned (G13); meanwhile the child is written, freed, resized, relocated, pinned, marked, met
 * by walks and checks, or looked at from the parent's old copy.
 *
 * The ground is that of race.h, made anew: in the span that is evacuated lie a parent, by handle,
 * and its child, behind it or before it. Slots are large, so that each object is a flight.
 */
#include "race.h"

#define PARENT_AT 20
#define SPARES    8

struct node {
    handle_cell kid;
    uint64_t value;
};

struct family {
    struct race *race;
    handle_store *store;
    handle_t root;
    handle_t other[THINGS];
    struct node *parent; /* where they lay in the beginning */
    struct node *child;
    handle_cell outside;
};

static struct handle_cells
cells_of(void *opaque, const void *object, size_t size)
{
    (void)opaque;
    (void)object;
    return (struct handle_cells){0, size >= sizeof(struct node)};
}

static struct node *
address_of(const struct family *f, handle_t handle)
{
    section_enter();
    const void *address = handle_deref(f->store, handle);
    section_leave();
    return (struct node *)(uintptr_t)address;
}

static void
make_child(struct family *f)
{
    section_enter();
    struct node *parent = handle_deref_mut(f->store, f->root);
    f->child = handle_cell_alloc(f->store, &parent->kid, THING_BYTES, 0);
    assert_non_null(f->child);
    f->child->value = 2;
    section_leave();
}

static void
make_parent(struct family *f)
{
    void *object;
    section_enter();
    f->root = handle_alloc_object(f->store, THING_BYTES, HANDLE_CELLS, &object);
    assert_non_null(object);
    f->parent = object;
    f->parent->value = 1;
    section_leave();
}

static bool
is_kept(unsigned i)
{
    return i < THINGS / 3 ? i == 5 || i == 40 : i % 2 == 0;
}

/* The child lies behind the parent; or, before: where another object was. */
static void
make_family(struct family *f, struct race *race, bool before)
{
    race->fixture->options.cells = cells_of;
    fixture_reopen(race->fixture);
    race->store = race->fixture->store;
    *f = (struct family){.race = race, .store = race->store};
    for (unsigned i = 0; i < THINGS; i++) {
        if (i == PARENT_AT)
            make_parent(f);
        else if (i == PARENT_AT + 1 && !before)
            make_child(f);
        else
            f->other[i] = make_object(f->store, THING_BYTES, i);
    }
    if (before) {
        section_enter();
        assert_int_equal(handle_free_now(f->store, f->other[PARENT_AT - 1]), 0);
        section_leave();
        f->other[PARENT_AT - 1] = 0;
        make_child(f);
    }
    for (unsigned i = 0; i < THINGS; i++) {
        section_enter();
        if (f->other[i] && !is_kept(i))
            assert_int_equal(handle_free_now(f->store, f->other[i]), 0);
        section_leave();
    }
    assert_true(before ? f->child < f->parent : f->child > f->parent);
    passed_reset();
}

/* What the child's header names. */
static const handle_cell *
name_of(struct family *f, const struct node *child)
{
    const uint64_t *header = sn_object_header(f->store, sn_store_offset(f->store, child));
    return (const handle_cell *)(const void *)sn_header_reference(sn_load_relaxed(header));
}

static const void *
header_of(const struct node *node)
{
    return (const char *)node - SN_HEADER_BYTES;
}

static handle_cell *
cell_to_write(struct family *f)
{
    struct node *parent = handle_deref_mut(f->store, f->root);
    assert_non_null(parent);
    return &parent->kid;
}

/* All is as it should be: the child with this value, or none (0). The mover is at rest. */
static void
assert_family(struct family *f, uint64_t value)
{
    section_enter();
    const struct node *parent = handle_deref(f->store, f->root);
    assert_non_null(parent);
    assert_int_equal(parent->value, 1);
    const struct node *child = handle_cell_deref(f->store, &parent->kid);
    assert_true(value == 0 ? !child : child && child->value == value);
    if (child)
        assert_ptr_equal(name_of(f, child), &parent->kid);
    assert_false(sn_word_is_moving(sn_load_relaxed(&parent->kid.word)));
    section_leave();
    assert_clean(f->store);
}

static void
end_family(struct family *f)
{
    section_enter();
    if (handle_cell_deref(f->store, &f->outside))
        assert_int_equal(handle_cell_free(f->store, &f->outside), 0);
    section_leave();
    assert_int_equal(handle_store_clear(f->store), 0);
    assert_int_equal(handle_store_reclaim(f->store, SIZE_MAX), 0);
    assert_int_equal(used_exactly(f->store), 0);
    assert_clean(f->store);
}

static uint64_t
written(struct family *f)
{
    return refused(f->race, HANDLE_REFUSED_WRITTEN);
}

static void
move_all(struct family *f)
{
    struct handle_defrag_report report;
    compact(f->race, &report);
}

/* ---- alone ----------------------------------------------------------------------------------- */

static void
test_parent_before_child(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    move_all(&f);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, f.parent), 1);
    assert_int_equal(passed(SN_HOOK_TURN, header_of(f.child)), 1);
    assert_ptr_not_equal(address_of(&f, f.root), f.parent);
    assert_family(&f, 2);
    move_all(&f);
    assert_family(&f, 2);
    end_family(&f);
}

static void
test_child_before_parent(void **state)
{
    struct family f;
    make_family(&f, *state, true);
    move_all(&f);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, f.child), 1);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, f.parent), 1);
    assert_family(&f, 2);
    end_family(&f);
}

/* ---- at the copy ----------------------------------------------------------------------------- */

/* The child is marked: the parent's copy cancels its move, and takes the parent along. */
static void
test_carry_cancels_the_childs_move(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *mover = actor_stands(f.race, body_compact, SN_HOOK_CARRY, &f.parent->kid);
    assert_true(sn_word_is_moving(sn_load_relaxed(&f.parent->kid.word)));
    uint64_t before = written(&f);
    actor_go(mover);
    await(passed(SN_HOOK_TURN, header_of(f.child)) == 1);
    actor_join(mover);
    assert_true(written(&f) > before);
    assert_true(sn_word_has_object(address_of(&f, f.root)->kid.word));
    assert_family(&f, 2);
    end_family(&f);
}

/* The writer of the cells comes after a cell was carried: the copy is thrown away, nothing of it
 * was seen. */
static void
test_copied_then_freed(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *mover = actor_stands(f.race, body_compact, SN_HOOK_BEFORE_PUBLISH, f.parent);
    section_enter();
    assert_int_equal(handle_cell_free(f.store, cell_to_write(&f)), 0);
    section_leave();
    actor_finish(mover);
    assert_ptr_equal(address_of(&f, f.root), f.parent);
    assert_family(&f, 0);
    end_family(&f);
}

static void
test_copied_then_filled(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    section_enter();
    assert_int_equal(handle_cell_free(f.store, cell_to_write(&f)), 0);
    section_leave();
    struct actor *mover = actor_stands(f.race, body_compact, SN_HOOK_BEFORE_PUBLISH, f.parent);
    section_enter();
    struct node *child = handle_cell_alloc(f.store, cell_to_write(&f), THING_BYTES, HANDLE_CELLS);
    child->value = 3;
    section_leave();
    actor_finish(mover);
    assert_family(&f, 3);
    end_family(&f);
}

/* A writer of the child alone, who has come by the old copy: his write is kept, and the parent's
 * move goes on. */
static void
test_copied_then_the_child_written(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *mover = actor_stands(f.race, body_compact, SN_HOOK_CARRY, &f.parent->kid);
    section_enter();
    const struct node *parent = handle_deref(f.store, f.root);
    struct node *child = handle_cell_deref_mut(f.store, (handle_cell *)(uintptr_t)&parent->kid);
    child->value = 4;
    section_leave();
    actor_finish(mover);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, f.parent), 1);
    assert_family(&f, 4);
    end_family(&f);
}

/* ---- between publish and turn ---------------------------------------------------------------- */

static struct actor *
stand_turning(struct family *f)
{
    struct actor *mover = actor_stands(f->race, body_compact, SN_HOOK_TURN, header_of(f->child));
    assert_ptr_not_equal(address_of(f, f->root), f->parent);
    assert_ptr_equal(name_of(f, f->child), &f->parent->kid);
    return mover;
}

/* What a writer does through the new cell, while the header names the old one. */
static void
check_changed(void **state, void (*change)(struct family *f, handle_cell *cell), uint64_t value)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *mover = stand_turning(&f);
    section_enter();
    change(&f, cell_to_write(&f));
    section_leave();
    actor_finish(mover);
    assert_family(&f, value);
    end_family(&f);
}

static void
free_child(struct family *f, handle_cell *cell)
{
    assert_int_equal(handle_cell_free(f->store, cell), 0);
}

static void
free_child_now(struct family *f, handle_cell *cell)
{
    assert_int_equal(handle_cell_free_now(f->store, cell), 0);
    struct node *next = handle_cell_alloc(f->store, cell, THING_BYTES, HANDLE_CELLS);
    next->value = 5;
}

static void
resize_child_in_place(struct family *f, handle_cell *cell)
{
    assert_int_equal(handle_cell_resize(f->store, cell, THING_BYTES - 1), 0);
    assert_int_equal(handle_cell_size(f->store, cell), THING_BYTES - 1);
}

static void
resize_child_by_copy(struct family *f, handle_cell *cell)
{
    assert_int_equal(handle_cell_resize(f->store, cell, 3 * THING_BYTES), 0);
    assert_int_equal(handle_cell_size(f->store, cell), 3 * THING_BYTES);
}

static void
relocate_child(struct family *f, handle_cell *cell)
{
    assert_int_equal(handle_cell_relocate(f->store, cell, &f->outside), 0);
    assert_ptr_equal(name_of(f, f->child), &f->outside);
}

static void
relocate_child_and_back(struct family *f, handle_cell *cell)
{
    relocate_child(f, cell);
    assert_int_equal(handle_cell_relocate(f->store, &f->outside, cell), 0);
}

static void
tag_child(struct family *f, handle_cell *cell)
{
    assert_int_equal(handle_cell_set_tag(f->store, cell, 99), 0);
}

static void
update_child(struct family *f, handle_cell *cell)
{
    struct handle_update update;
    struct node *version = handle_cell_update_begin(f->store, cell, THING_BYTES, &update);
    assert_non_null(version);
    version->value = 6;
    assert_int_equal(handle_cell_update_commit(f->store, cell, &update), 0);
}

static void
resize_parent(struct family *f, handle_cell *cell)
{
    (void)cell;
    assert_int_equal(handle_resize(f->store, f->root, 2 * THING_BYTES), 0);
}

static void
pin_child(struct family *f, handle_cell *cell)
{
    const void *pinned = handle_cell_pin(f->store, cell);
    assert_ptr_equal(pinned, f->child);
    handle_unpin(f->store, pinned);
}

static void
look_at_size(struct family *f, handle_cell *cell)
{
    assert_int_equal(handle_cell_size(f->store, cell), THING_BYTES);
    assert_int_equal(handle_cell_size(f->store, &f->parent->kid), THING_BYTES);
}

#define CHANGE_TEST(change, value)                                                                 \
    static void test_published_then_##change(void **state)                                         \
    {                                                                                              \
        check_changed(state, change, value);                                                       \
    }
CHANGE_TEST(free_child, 0)
CHANGE_TEST(free_child_now, 5)
CHANGE_TEST(resize_child_in_place, 2)
CHANGE_TEST(resize_child_by_copy, 2)
CHANGE_TEST(relocate_child, 0)
CHANGE_TEST(relocate_child_and_back, 2)
CHANGE_TEST(tag_child, 2)
CHANGE_TEST(update_child, 6)
CHANGE_TEST(resize_parent, 2)
CHANGE_TEST(pin_child, 2)
CHANGE_TEST(look_at_size, 2)

/* ---- while a cell gets its object ------------------------------------------------------------ */

static void
body_relocate(struct actor *actor)
{
    section_enter();
    struct node *parent = handle_deref_mut(actor->race->store, actor->handle);
    actor->result = handle_cell_relocate(actor->race->store, actor->cell, &parent->kid);
    section_leave();
}

/* It names the child already, whose header names the cell where it was. */
static void
test_checked_while_the_child_comes(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    section_enter();
    assert_int_equal(handle_cell_relocate(f.store, cell_to_write(&f), &f.outside), 0);
    section_leave();
    struct actor *writer = actor_new(f.race, body_relocate);
    writer->handle = f.root;
    writer->cell = &f.outside;
    actor_run_to(writer, SN_HOOK_RELOCATE_TO, f.child);
    assert_clean(f.store);
    actor_finish(writer);
    assert_int_equal(writer->result, 0);
    assert_family(&f, 2);
    end_family(&f);
}

/* ---- readers in the old copy ----------------------------------------------------------------- */

/* In a section, with the parent as it was. */
static void
body_read(struct actor *actor)
{
    section_enter();
    actor->object = (void *)(uintptr_t)handle_deref(actor->race->store, actor->handle);
    actor_stays(actor);
    const struct node *parent = actor->object;
    const struct node *child = handle_cell_deref(actor->race->store, &parent->kid);
    actor->result = child ? (int)child->value : -1;
    actor->size = handle_cell_size(actor->race->store, &parent->kid);
    section_leave();
}

static struct actor *
start_reader(struct family *f)
{
    struct actor *reader = actor_new(f->race, body_read);
    reader->handle = f->root;
    actor_run(reader);
    actor_await(reader);
    assert_ptr_equal(reader->object, f->parent);
    return reader;
}

static void
finish_reader(struct actor *reader, int value, size_t size)
{
    actor_leave(reader);
    actor_join(reader);
    assert_int_equal(reader->result, value);
    assert_int_equal(reader->size, size);
}

/* The next batch, too, must not move the child before the reader has gone. */
static void
test_reader_in_the_old_copy(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *mover = actor_stands(f.race, body_compact, SN_HOOK_BEFORE_PUBLISH, f.parent);
    struct actor *reader = start_reader(&f);
    actor_go(mover);
    await(passed(SN_HOOK_TURN, header_of(f.child)) == 1);
    give_way();
    section_enter();
    const struct node *parent = handle_deref(f.store, f.root);
    assert_ptr_not_equal(parent, f.parent);
    assert_ptr_equal(handle_cell_deref(f.store, &parent->kid), f.child);
    assert_ptr_equal(handle_cell_deref(f.store, &f.parent->kid), f.child);
    section_leave();
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, f.child), 0);
    finish_reader(reader, 2, THING_BYTES);
    actor_join(mover);
    assert_family(&f, 2);
    end_family(&f);
}

/* A free and a resize do not show in the old copy; what it names stays as it was. */
static void
check_reader(void **state, void (*change)(struct family *f, handle_cell *cell), uint64_t value)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *reader = start_reader(&f);
    section_enter();
    assert_int_equal(handle_resize(f.store, f.root, 2 * THING_BYTES), 0);
    change(&f, cell_to_write(&f));
    section_leave();
    finish_reader(reader, 2, 0);
    assert_family(&f, value);
    end_family(&f);
}

static void
test_reader_of_a_child_that_was_freed(void **state)
{
    check_reader(state, free_child, 0);
}

static void
test_reader_of_a_child_that_was_resized(void **state)
{
    check_reader(state, resize_child_by_copy, 2);
}

/* A pin by the old copy's cell, of a child that has ended: the slot is found pinned after the grace
 * period, and nobody gets it before the unpin. */
static void
body_pin(struct actor *actor)
{
    section_enter();
    struct node *parent = (struct node *)(uintptr_t)handle_deref(actor->race->store, actor->handle);
    actor_stays(actor);
    actor->object = (void *)(uintptr_t)handle_cell_pin(actor->race->store, &parent->kid);
    section_leave();
}

static void
test_pinned_by_the_old_copy(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *pinner = actor_new(f.race, body_pin);
    pinner->handle = f.root;
    actor_run(pinner);
    actor_await(pinner);
    section_enter();
    assert_int_equal(handle_resize(f.store, f.root, 2 * THING_BYTES), 0);
    free_child(&f, cell_to_write(&f));
    section_leave();
    actor_leave(pinner);
    actor_join(pinner);
    assert_ptr_equal(pinner->object, f.child);
    (void)handle_store_reclaim_until(f.store, SIZE_MAX, 1000);
    for (unsigned i = 0; i < SPARES; i++) {
        handle_t spare = make_object(f.store, THING_BYTES, i);
        assert_ptr_not_equal(address_of(&f, spare), f.child);
    }
    assert_int_equal(f.child->value, 2);
    handle_unpin(f.store, f.child);
    assert_family(&f, 0);
    end_family(&f);
}

/* ---- a writer gives the parent another slot -------------------------------------------------- */

static void
body_resize(struct actor *actor)
{
    section_enter();
    actor->result = handle_resize(actor->race->store, actor->handle, 2 * THING_BYTES);
    section_leave();
}

static struct actor *
stand_resizing(struct family *f, enum sn_hook_point point, const void *object)
{
    struct actor *writer = actor_new(f->race, body_resize);
    writer->handle = f->root;
    actor_run_to(writer, point, object);
    return writer;
}

static void
finish_resizing(struct actor *writer)
{
    actor_finish(writer);
    assert_int_equal(writer->result, 0);
}

/* The child was marked by the old cell before: that move comes to nothing. */
static void
test_marked_then_the_parent_resized(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *mover = actor_stands(f.race, body_compact, SN_HOOK_BEFORE_COPY, f.parent);
    assert_true(sn_word_is_moving(sn_load_relaxed(&f.parent->kid.word)));
    section_enter();
    assert_int_equal(handle_resize(f.store, f.root, 2 * THING_BYTES), 0);
    section_leave();
    actor_finish(mover);
    assert_int_equal(passed(SN_HOOK_AFTER_PUBLISH, f.child), 0);
    assert_family(&f, 2);
    end_family(&f);
}

/* And one that is marked by it afterwards, while the header still names it. */
static void
test_resized_then_marked_by_the_old_cell(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *writer = stand_resizing(&f, SN_HOOK_TURN, header_of(f.child));
    struct actor *mover = actor_stands(f.race, body_compact, SN_HOOK_AFTER_MARK, f.child);
    assert_true(sn_word_is_moving(sn_load_relaxed(&f.parent->kid.word)));
    actor_go(mover);
    finish_resizing(writer);
    actor_join(mover);
    assert_family(&f, 2);
    end_family(&f);
}

/* The mover has published the parent and not turned yet: the writer turns from whatever it is. */
static void
test_published_then_the_writer_turns(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *mover = stand_turning(&f);
    struct actor *writer = actor_new(f.race, body_resize);
    writer->handle = f.root;
    actor_run(writer);
    actor_join(writer);
    assert_int_equal(writer->result, 0);
    assert_ptr_not_equal(name_of(&f, f.child), &f.parent->kid);
    actor_finish(mover);
    assert_family(&f, 2);
    end_family(&f);
}

/* A walk meets each once, and a check finds nothing. */
static void
test_met_while_the_writer_turns(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    unsigned before = 0, met = 0;
    assert_int_equal(handle_store_each(f.store, count_visit, &before), 0);
    struct actor *writer = stand_resizing(&f, SN_HOOK_TURN, header_of(f.child));
    assert_int_equal(handle_store_each(f.store, count_visit, &met), 0);
    assert_int_equal(met, before);
    assert_clean(f.store);
    finish_resizing(writer);
    assert_family(&f, 2);
    end_family(&f);
}

/* Somebody resizes the child in place while its header is turned: once more. */
static void
body_resize_child(struct actor *actor)
{
    section_enter();
    const struct node *parent = handle_deref_mut(actor->race->store, actor->handle);
    actor->result = handle_cell_resize(actor->race->store, (handle_cell *)(uintptr_t)&parent->kid,
                                       THING_BYTES - 1);
    section_leave();
}

static void
test_turned_while_the_child_is_resized(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *mover = stand_turning(&f);
    struct actor *writer = actor_new(f.race, body_resize_child);
    writer->handle = f.root;
    actor_run_to(writer, SN_HOOK_RESIZE_LOADED, f.child);
    actor_go(mover);
    await(name_of(&f, f.child) != &f.parent->kid);
    actor_finish(writer);
    assert_int_equal(writer->result, 0);
    actor_join(mover);
    assert_family(&f, 2);
    end_family(&f);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void
body_free_parent(struct actor *actor)
{
    actor->result = handle_free(actor->race->store, actor->handle);
}

/* Somebody who has not resolved the parent frees it, and has loaded its word before the move was
 * published: the header that he then finds clear does not say that it has no cells. */
static void
test_published_while_the_parent_is_freed(void **state)
{
    struct family f;
    make_family(&f, *state, false);
    struct actor *mover = actor_stands(f.race, body_compact, SN_HOOK_BEFORE_PUBLISH, f.parent);
    struct actor *freer = actor_new(f.race, body_free_parent);
    freer->handle = f.root;
    actor_run_to(freer, SN_HOOK_PARENT_LOADED, sn_table_word(&f.store->table, sn_table_at(f.root)));
    actor_go(mover);
    await(passed(SN_HOOK_TURN, header_of(f.child)) == 1);
    actor_finish(freer);
    assert_int_equal(freer->result, -EBUSY);
    actor_join(mover);
    assert_ptr_not_equal(address_of(&f, f.root), f.parent);
    assert_family(&f, 2);
    end_family(&f);
}

static const struct CMUnitTest tests[] = {
    RACE_TEST(test_parent_before_child),
    RACE_TEST(test_child_before_parent),
    RACE_TEST(test_carry_cancels_the_childs_move),
    RACE_TEST(test_copied_then_freed),
    RACE_TEST(test_copied_then_filled),
    RACE_TEST(test_copied_then_the_child_written),
    RACE_TEST(test_published_then_free_child),
    RACE_TEST(test_published_then_free_child_now),
    RACE_TEST(test_published_then_resize_child_in_place),
    RACE_TEST(test_published_then_resize_child_by_copy),
    RACE_TEST(test_published_then_relocate_child),
    RACE_TEST(test_published_then_relocate_child_and_back),
    RACE_TEST(test_published_then_tag_child),
    RACE_TEST(test_published_then_update_child),
    RACE_TEST(test_published_then_resize_parent),
    RACE_TEST(test_published_then_pin_child),
    RACE_TEST(test_published_then_look_at_size),
    RACE_TEST(test_checked_while_the_child_comes),
    RACE_TEST(test_reader_in_the_old_copy),
    RACE_TEST(test_reader_of_a_child_that_was_freed),
    RACE_TEST(test_reader_of_a_child_that_was_resized),
    RACE_TEST(test_pinned_by_the_old_copy),
    RACE_TEST(test_marked_then_the_parent_resized),
    RACE_TEST(test_resized_then_marked_by_the_old_cell),
    RACE_TEST(test_published_then_the_writer_turns),
    RACE_TEST(test_met_while_the_writer_turns),
    RACE_TEST(test_turned_while_the_child_is_resized),
    RACE_TEST(test_published_while_the_parent_is_freed),
};

RACE_MAIN("inner", tests)
