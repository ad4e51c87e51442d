/* SPDX-License-Identifier: MIT */
/*
 * test_retire.c - a thread stands in the middle of a retire, or of a call that found the object
 * before it was retired (G11).
 */
#include "race.h"

static handle_store *
store_of(const struct actor *actor)
{
    return actor->race->store;
}

static handle_t
handle_of(const struct actor *actor)
{
    return actor->race->target->handle;
}

static void
body_retire(struct actor *actor)
{
    actor->result = handle_retire(store_of(actor), handle_of(actor));
}

static struct actor *
stand_retiring(struct race *race, enum sn_hook_point point)
{
    return actor_stands(race, body_retire, point, thing_reference(race, race->target));
}

static void
assert_resolves(struct race *race)
{
    section_enter();
    assert_filled(handle_deref(race->store, race->target->handle), THING_BYTES, race->target->seed);
    assert_int_equal(handle_size(race->store, race->target->handle), THING_BYTES);
    section_leave();
}

static bool
is_stale(struct race *race)
{
    section_enter();
    bool stale = !handle_deref(race->store, race->target->handle);
    section_leave();
    return stale;
}

static void
finish_retiring(struct race *race, struct actor *actor)
{
    actor_finish(actor);
    assert_int_equal(actor->result, 0);
    await(is_stale(race));
    thing_is_gone(race->target);
}

/* The name ends at once, before the object is in the list: the list has to end the rest. */
static void
test_word_retired_then_freed(struct race *race)
{
    struct actor *actor = stand_retiring(race, SN_HOOK_RETIRE_WORD);
    assert_resolves(race);
    assert_int_equal(handle_free(race->store, race->target->handle), 0);
    assert_int_equal(handle_free(race->store, race->target->handle), -ENOENT);
    assert_true(is_stale(race));
    for (unsigned i = 0; i < SPARSE_ADDED; i++)
        assert_ptr_not_equal(thing_address(race, thing_make(race, 9100 + i)), race->from);
    finish_retiring(race, actor);
}

/* The header still names the word: a resize in place must not take it for a live object's. */
static void
test_word_retired_then_resized(struct race *race)
{
    struct actor *actor = stand_retiring(race, SN_HOOK_RETIRE_WORD);
    assert_int_equal(handle_resize(race->store, race->target->handle, THING_BYTES - 1), -ENOENT);
    assert_int_equal(handle_resize(race->store, race->target->handle, 5 * THING_BYTES), -ENOENT);
    assert_int_equal(handle_retire(race->store, race->target->handle), -ENOENT);
    assert_resolves(race);
    finish_retiring(race, actor);
}

static void
body_resize(struct actor *actor)
{
    actor->result = handle_resize(store_of(actor), handle_of(actor), actor->size);
}

/* Retires what an actor that stands is about to change: that fails, and the object goes. */
static void
retire_first(struct race *race, struct actor *actor)
{
    assert_int_equal(handle_retire(race->store, race->target->handle), 0);
    assert_resolves(race);
    actor_finish(actor);
    assert_int_equal(actor->result, -ENOENT);
    await(is_stale(race));
    thing_is_gone(race->target);
}

/* Resize has found the object, or filled its new slot: fails when its CAS makes it live again. */
static void
check_resize(struct race *race, size_t size, enum sn_hook_point point)
{
    struct actor *actor = actor_new(race, body_resize);
    actor->size = size;
    actor_run_to(actor, point, race->from);
    retire_first(race, actor);
}

static void
test_resize_loaded_then_retired(struct race *race)
{
    check_resize(race, THING_BYTES - 1, SN_HOOK_RESIZE_LOADED);
}

static void
test_resize_copied_then_retired(struct race *race)
{
    check_resize(race, 5 * THING_BYTES, SN_HOOK_RESIZE_COPIED);
}

static void
body_update(struct actor *actor)
{
    struct handle_update update;
    section_enter();
    void *version = handle_update_begin(store_of(actor), handle_of(actor), THING_BYTES, &update);
    thread_check(version != NULL);
    fill(version, THING_BYTES, 9200);
    actor->result = handle_update_commit(store_of(actor), &update);
    section_leave();
}

static void
test_commit_then_retired(struct race *race)
{
    struct actor *actor = stand(race, body_update, SN_HOOK_COMMIT_HEADER);
    retire_first(race, actor);
}

/* In a section: until it ends, what is retired meanwhile is not ended by a grace period. */
static void
body_free(struct actor *actor)
{
    section_enter();
    actor->result = handle_free(store_of(actor), handle_of(actor));
    section_leave();
}

/* The free has loaded LIVE, and finds its object retired when it ends the word. */
static void
test_free_loaded_then_retired(struct race *race)
{
    struct actor *actor = stand(race, body_free, SN_HOOK_FREE_LOADED);
    assert_int_equal(handle_retire(race->store, race->target->handle), 0);
    actor_finish(actor);
    assert_int_equal(actor->result, 0);
    assert_true(is_stale(race));
    thing_is_gone(race->target);
}

static void
body_pin(struct actor *actor)
{
    section_enter();
    actor->object = (void *)(uintptr_t)handle_pin(store_of(actor), handle_of(actor));
    section_leave();
}

/* The count was raised before: the pin holds, the slot stays beyond the object's end. */
static void
test_pin_counted_then_retired(struct race *race)
{
    struct actor *actor = stand(race, body_pin, SN_HOOK_PIN_COUNTED);
    assert_int_equal(handle_retire(race->store, race->target->handle), 0);
    actor_finish(actor);
    assert_ptr_equal(actor->object, race->from);
    await(is_stale(race));
    assert_int_equal(handle_store_reclaim(race->store, SIZE_MAX), 0);
    assert_filled(actor->object, THING_BYTES, race->target->seed);
    handle_unpin(race->store, actor->object);
    thing_is_gone(race->target);
}

/* A section that was open when it was retired resolves it, however long it lasts. */
static void
test_listed_in_a_section(struct race *race)
{
    section_enter();
    struct actor *actor = stand_retiring(race, SN_HOOK_RETIRE_LISTED);
    const void *object = handle_deref(race->store, race->target->handle);
    assert_filled(object, THING_BYTES, race->target->seed);
    actor_finish(actor);
    for (unsigned i = 0; i < 30 && !FLAVOUR_QSBR; i++) { /* a nap is offline under QSBR */
        nap();
        assert_ptr_equal(handle_deref(race->store, race->target->handle), object);
    }
    section_leave();
    await(is_stale(race));
    thing_is_gone(race->target);
}

static const struct CMUnitTest tests[] = {
    BY_HANDLE(test_word_retired_then_freed),    BY_HANDLE(test_word_retired_then_resized),
    BY_HANDLE(test_resize_loaded_then_retired), BY_HANDLE(test_resize_copied_then_retired),
    BY_HANDLE(test_commit_then_retired),        BY_HANDLE(test_free_loaded_then_retired),
    BY_HANDLE(test_pin_counted_then_retired),   BY_HANDLE(test_listed_in_a_section),
};

RACE_MAIN("retire", tests)
