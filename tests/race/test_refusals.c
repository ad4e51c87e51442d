/* SPDX-License-Identifier: MIT */
/*
 * test_refusals.c - every reason for which the mover leaves an object where it is, brought about
 * one by one; each is counted once, under its own name, and the object is as before. PINNED,
 * WRITTEN and FREED by a race are in test_mover.c and test_mutator.c,
 * where each object is a group of its own; a group of several is here.
 */
#include "race.h"

static void
assert_refused(const struct handle_defrag_report *report, enum handle_refusal reason,
               uint64_t times)
{
    for (unsigned i = 0; i < HANDLE_REFUSED_REASONS; i++)
        assert_int_equal(report->refused[i], i == reason ? times : 0);
}

/* ---- pinned ---------------------------------------------------------------------------------- */

static void
test_pinned(struct race *race)
{
    struct handle_defrag_report report;
    section_enter();
    const void *once = handle_pin(race->store, race->target->handle);
    const void *twice = handle_pin(race->store, race->target->handle);
    section_leave();
    assert_ptr_equal(once, twice);
    compact(race, &report);
    assert_refused(&report, HANDLE_REFUSED_PINNED, 1);
    assert_int_equal(report.moved_objects, KEPT - 1);
    handle_unpin(race->store, once); /* pins nest: the other one still holds it */
    handle_unpin(race->store, twice);
    compact(race, &report);
    assert_refused(&report, HANDLE_REFUSED_PINNED, 0);
    assert_ptr_not_equal(thing_address(race, race->target), race->from);
}

/* A span that pins keep is tried once, then set aside: other spans are emptied in its place. */
static void
test_pinned_and_set_aside(struct race *race)
{
    struct handle_defrag_report report;
    section_enter();
    const void *object = handle_pin(race->store, race->target->handle);
    section_leave();
    compact(race, &report);
    assert_refused(&report, HANDLE_REFUSED_PINNED, 1);
    compact(race, &report);
    assert_refused(&report, HANDLE_REFUSED_PINNED, 0);
    assert_true(report.released_bytes > 0);
    assert_ptr_equal(thing_address(race, race->target), race->from);
    ground_verify(race);
    handle_unpin(race->store, object);
}

/* Destinations that the mover gives back unused are charged to it: at the limit none is kept for
 * the application. Seen failing: one was, out of the mover's last room. */
static void
test_unused_destinations_are_not_kept(struct race *race)
{
    struct sn_heap *heap = &race->store->heap;
    unsigned class_id = sn_class_for(&race->store->classes, THING_BYTES);
    struct actor *mover = actor_stands(race, body_compact, SN_HOOK_BEFORE_COPY, race->from);
    sn_store_relaxed(&race->store->budget.max_bytes, 1); /* at its limit from here on */
    sn_store_relaxed(&heap->keeps, 1);
    struct stage *stage = stage_arm(race, SN_HOOK_BEFORE_RECLAIM, race->span);
    actor_go(mover);
    stage_wait(stage);
    sn_lock(&heap->of[class_id].lock);
    uint64_t kept = heap->of[class_id].kept;
    sn_unlock(&heap->of[class_id].lock);
    sn_store_relaxed(&race->store->budget.max_bytes, 0);
    stage_go(stage);
    actor_join(mover);
    assert_int_equal(mover->report.moved_objects, KEPT);
    assert_int_equal(kept, 0);
}

/* ---- no room --------------------------------------------------------------------------------- */

/* Takes every free slot of the class that a refill would give. */
static unsigned
use_up_the_class(struct race *race, uint64_t slots[THINGS])
{
    struct sn_heap *heap = &race->store->heap;
    unsigned class_id = sn_class_for(&race->store->classes, THING_BYTES);
    unsigned count = 0;
    race->store->budget.max_bytes = 1; /* no new span, for nobody */
    while (count < THINGS &&
           sn_heap_take(heap, class_id, SN_MOVABLE, SN_CHARGE_MOVER, 1, &slots[count]) == 1)
        count++;
    return count;
}

/*
 * The destinations are gone between mark and move. Fails when a move without a destination leaves
 * its word MOVING, or when its span is taken for empty.
 */
static void
test_no_room(struct race *race)
{
    uint64_t slots[THINGS];
    unsigned class_id = sn_class_for(&race->store->classes, THING_BYTES);
    struct actor *mover = actor_stands(race, body_compact, SN_HOOK_AFTER_MARK, race->from);
    unsigned count = use_up_the_class(race, slots);
    assert_int_not_equal(count, 0);
    actor_finish(mover);
    assert_refused(&mover->report, HANDLE_REFUSED_NO_ROOM, KEPT);
    assert_int_equal(mover->report.moved_objects, 0);
    assert_int_equal(mover->report.spans_evacuated, 0);
    assert_ptr_equal(thing_address(race, race->target), race->from);
    assert_false(sn_word_is_moving(*thing_reference(race, race->target)));
    race->store->budget.max_bytes = 0;
    sn_heap_put(&race->store->heap, class_id, slots, count);
    ground_settle(race);
    assert_ptr_not_equal(thing_address(race, race->target), race->from);
}

/* ---- unmovable ------------------------------------------------------------------------------- */

/* Such an object among movable ones cannot be made; its flag in the word is what protects it. */
static void
test_unmovable_flag(struct race *race)
{
    struct handle_defrag_report report;
    race->target->cell.word |= SN_WORD_SPECIAL;
    compact(race, &report);
    assert_refused(&report, HANDLE_REFUSED_UNMOVABLE, 1);
    assert_ptr_equal(thing_address(race, race->target), race->from);
    race->target->cell.word &= ~SN_WORD_SPECIAL;
}

/* Spans of unmovable objects are not even looked at, however sparse they are. */
static void
test_unmovable_spans(struct race *race)
{
    struct handle_defrag_report report;
    handle_t handles[130];
    void *object[130];
    section_enter();
    for (unsigned i = 0; i < 130; i++) {
        handles[i] = handle_alloc_object(race->store, THING_BYTES, HANDLE_UNMOVABLE, &object[i]);
        assert_int_not_equal(handles[i], HANDLE_NULL);
    }
    for (unsigned i = 0; i < 130; i++) {
        if (i % 65 != 30)
            assert_int_equal(handle_free(race->store, handles[i]), 0);
    }
    section_leave();
    compact(race, &report);
    assert_refused(&report, HANDLE_REFUSED_UNMOVABLE, 0);
    assert_int_equal(report.moved_objects, KEPT);
    section_enter();
    assert_ptr_equal(handle_deref(race->store, handles[30]), object[30]);
    assert_ptr_equal(handle_deref(race->store, handles[95]), object[95]);
    assert_int_equal(handle_free(race->store, handles[30]), 0);
    assert_int_equal(handle_free(race->store, handles[95]), 0);
    section_leave();
}

/* ---- damaged --------------------------------------------------------------------------------- */

static void
check_damage(struct race *race, unsigned bit)
{
    struct handle_defrag_report report;
    char handle[32];
    target_damage(race, bit);
    compact(race, &report);
    assert_refused(&report, HANDLE_REFUSED_DAMAGED, 1);
    assert_int_equal(report.moved_objects, KEPT - 1);
    snprintf(handle, sizeof(handle), "%#llx", (unsigned long long)race->target->handle);
    assert_int_equal(errors_count(race->fixture), 1);
    assert_true(errors_contain(race->fixture, handle));
    assert_ptr_equal(thing_address(race, race->target), race->from);
    section_enter();
    assert_filled(handle_deref(race->store, race->target->handle), THING_BYTES, race->target->seed);
    section_leave();
    /* Its span is left alone from now on. */
    errors_reset(race->fixture);
    compact(race, &report);
    assert_refused(&report, HANDLE_REFUSED_DAMAGED, 0);
    assert_int_equal(errors_count(race->fixture), 0);
    target_damage(race, bit); /* mended, for the checks at the end */
}

/* A bit whose change leaves check bits: without any, the slot would have no object. */
static void
test_damaged_check_bits(struct race *race)
{
    uint64_t header = *(const uint64_t *)(const void *)(race->from - SN_HEADER_BYTES);
    check_damage(race, (header & SN_HEADER_CHECK) == 1 << 3 ? 4 : 3);
}

/* Fails (in a crash, mostly) when a header is followed before it is checked. */
static void
test_damaged_name(struct race *race)
{
    check_damage(race, DAMAGE_NAME);
}

/* Damage between mark and move: the object is dropped without following anything. */
static void
test_damaged_after_mark(struct race *race)
{
    struct actor *mover = actor_stands(race, body_compact, SN_HOOK_AFTER_MARK, race->from);
    target_damage(race, DAMAGE_NAME);
    actor_finish(mover);
    assert_int_equal(mover->report.moved_objects, KEPT - 1);
    assert_ptr_equal(thing_address(race, race->target), race->from);
    target_damage(race, DAMAGE_NAME);
    thing_write(race, race->target, 6001); /* nothing is lost: still readable, writable */
}

/* ---- what is not refused --------------------------------------------------------------------- */

/* Objects that came and went while the span was closed are no refusals. */
static void
test_freed_before_the_mark(struct race *race)
{
    struct actor *mover = actor_stands(race, body_compact, SN_HOOK_AFTER_MARK, race->from);
    thing_free(race, &race->things[60]); /* closed with it in use, not yet marked */
    actor_finish(mover);
    assert_refused(&mover->report, HANDLE_REFUSED_FREED, 0);
    assert_int_equal(mover->report.moved_objects, KEPT - 1);
    assert_int_equal(mover->report.spans_evacuated, 1);
}

/* ---- a group --------------------------------------------------------------------------------- */

#define SMALL_BYTES 100 /* things of the ground are so large that each is a group of its own */
#define SMALL_MAX   2000
#define GROUP       8 /* so many are copied before the first is published */

struct small {
    handle_t handle;
    const char *at;
};

static const char *
address_of(struct race *race, handle_t handle)
{
    section_enter();
    const char *at = handle_deref(race->store, handle);
    section_leave();
    return at;
}

/* Two spans full, of which GROUP objects stay in the first and half of those in the second. Result:
 * how many; those of the group come first. */
static unsigned
make_small(struct race *race, struct small small[SMALL_MAX])
{
    const struct sn_class *c =
        &race->store->classes.of[sn_class_for(&race->store->classes, SMALL_BYTES)];
    unsigned kept = 0;
    assert_in_range(2 * c->slots, 0, SMALL_MAX);
    for (unsigned i = 0; i < 2 * c->slots; i++)
        small[i].handle = make_object(race->store, SMALL_BYTES, i);
    for (unsigned i = 0; i < 2 * c->slots; i++) {
        section_enter();
        bool stays = i < GROUP || (i >= c->slots && i % 2 == 0);
        if (!stays)
            assert_int_equal(handle_free_now(race->store, small[i].handle), 0);
        section_leave();
        if (stays)
            small[kept++].handle = small[i].handle;
    }
    for (unsigned i = 0; i < kept; i++)
        small[i].at = address_of(race, small[i].handle);
    for (unsigned i = 1; i < GROUP; i++)
        assert_true(small[i - 1].at < small[i].at); /* the mover takes them in this order */
    return kept;
}

/*
 * All of a group are copied, none is published yet; then one is written to, one freed, one resized
 * in its place, one pinned. They stay, the others are moved, and no slot is lost. Seen failing: a
 * failed publish that keeps its destination (the sums), or ends its group (slots of live objects
 * are reclaimed), and groups of one object.
 */
static void
test_group(void **state)
{
    static struct small small[SMALL_MAX];
    struct race *race = *state;
    unsigned count = make_small(race, small);
    struct actor *mover = actor_stands(race, body_compact, SN_HOOK_AFTER_COPY, small[GROUP - 1].at);
    for (unsigned i = 0; i < GROUP; i++)
        assert_ptr_equal(address_of(race, small[i].handle), small[i].at);
    section_enter();
    fill(handle_deref_mut(race->store, small[0].handle), SMALL_BYTES, 7000);
    section_leave();
    assert_int_equal(handle_free(race->store, small[1].handle), 0);
    assert_int_equal(handle_resize(race->store, small[2].handle, SMALL_BYTES - 1), 0);
    section_enter();
    const void *pinned = handle_pin(race->store, small[3].handle);
    section_leave();
    assert_ptr_equal(pinned, small[3].at);
    actor_finish(mover);
    assert_int_equal(mover->result, 0);
    assert_int_equal(mover->report.moved_objects, GROUP - 4);
    assert_int_equal(refused(race, HANDLE_REFUSED_WRITTEN), 3);
    assert_int_equal(refused(race, HANDLE_REFUSED_FREED), 1);
    assert_object(race->store, small[0].handle, SMALL_BYTES, 7000);
    assert_object(race->store, small[2].handle, SMALL_BYTES - 1, 2);
    for (unsigned i = 0; i < count; i++) {
        if (i != 1)
            assert_int_equal(address_of(race, small[i].handle) == small[i].at, i < 4 || i >= GROUP);
        if (i >= 3 && i < GROUP)
            assert_object(race->store, small[i].handle, SMALL_BYTES, i);
    }
    handle_unpin(race->store, pinned);
    assert_clean(race->store);
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    compact_checked(race->store, &report); /* what was refused is moved by the next compaction */
    assert_int_equal(report.moved_objects, 3);
    assert_int_equal(report.spans_evacuated, 1);
}

static const struct CMUnitTest tests[] = {
    BY_HANDLE(test_pinned),
    BY_HANDLE(test_pinned_and_set_aside),
    BY_HANDLE(test_unused_destinations_are_not_kept),
    BY_HANDLE(test_no_room),
    BY_CELL(test_unmovable_flag),
    BY_HANDLE(test_unmovable_spans),
    BY_HANDLE(test_damaged_check_bits),
    BY_HANDLE(test_damaged_name),
    BY_HANDLE(test_damaged_after_mark),
    BY_HANDLE(test_freed_before_the_mark),
    RACE_TEST(test_group),
};

RACE_MAIN("refusals", tests)
