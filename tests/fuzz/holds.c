/* SPDX-License-Identifier: MIT */
/*
 * holds.c - pins, versions under way, reserved objects and what readers of this section have
 * resolved, and what becomes of them when their object is written, replaced or freed.
 *
 * Seen failing: a commit that does not look whether the object is still in the slot of begin, a
 * free_now that gives a pinned slot back at once, an abort that does not count, a publish that does
 * not free what it replaces.
 */
#include "engine.h"

/* ---- readers --------------------------------------------------------------------------------- */

void
engine_note_read(struct engine *engine, unsigned key, const void *address)
{
    struct object *object = &engine->objects[key];
    engine->reads[engine->next_read++ % READS] =
        (struct read){address, (uint16_t)key, object->size, object->stamp};
}

void
engine_forget_reads(struct engine *engine, unsigned key)
{
    for (unsigned i = 0; i < READS; i++)
        if (engine->reads[i].key == key)
            engine->reads[i].address = NULL;
}

void
engine_check_reads(struct engine *engine)
{
    for (unsigned i = 0; i < READS; i++) {
        struct read *read = &engine->reads[i];
        fuzz_check(!read->address || engine_holds_stamp(read->address, read->size, read->stamp));
        read->address = NULL;
    }
}

/* ---- the slot and its holders ---------------------------------------------------------------- */

void
engine_left_slot(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    object->incarnation++;
    object->written = false;
    for (unsigned i = 0; engine->pins_held && i < PINS; i++) {
        struct pin *pin = &engine->pins[i];
        if (!pin->address || !pin->current || pin->key != key)
            continue;
        pin->current = false;
        pin->size = object->size;
        pin->stamp = object->stamp;
    }
    for (unsigned i = 0; engine->versions_active && i < UPDATES; i++)
        if (engine->versions[i].key == key)
            engine->versions[i].current = false;
}

/* The last hold on the object's slot ends its being pinned for writing. */
static void
hold_ended(struct engine *engine, unsigned key)
{
    bool held = false;
    for (unsigned i = 0; i < PINS; i++)
        held |= engine->pins[i].address && engine->pins[i].current && engine->pins[i].key == key;
    for (unsigned i = 0; i < UPDATES; i++)
        held |= engine->versions[i].active && engine->versions[i].current &&
                engine->versions[i].key == key;
    if (!held)
        engine->objects[key].written = false;
}

bool
engine_has_version(const struct engine *engine, unsigned key)
{
    for (unsigned i = 0; engine->versions_active && i < UPDATES; i++)
        if (engine->versions[i].active && engine->versions[i].key == key)
            return true;
    return false;
}

/* ---- pins ------------------------------------------------------------------------------------ */

static void
compare_pin(struct engine *engine, const struct pin *pin)
{
    struct object *object = &engine->objects[pin->key];
    uint32_t size = pin->current ? object->size : pin->size;
    uint64_t stamp = pin->current ? object->stamp : pin->stamp;
    fuzz_check(engine_holds_stamp(pin->address, size, stamp));
    if (pin->current) /* what is pinned does not move */
        fuzz_check(engine_resolve(engine, object) == pin->address);
}

void
engine_pin(struct engine *engine, unsigned key, bool writing)
{
    struct object *object = &engine->objects[key];
    struct pin *pin = &engine->pins[take_byte(engine->source) % PINS];
    if (pin->address)
        return;
    writing = writing && !object->by_cell;
    errno = 0;
    const void *address = object->by_cell ? handle_cell_pin(engine->store, cell_of(object))
                          : writing       ? handle_pin_mut(engine->store, object->handle)
                                          : handle_pin(engine->store, object->handle);
    fuzz_check((address != NULL) == object->live);
    if (!address) {
        fuzz_check(errno == ENOENT);
        return;
    }
    *pin = (struct pin){address, (uint16_t)key, true, 0, 0};
    engine->pins_held++;
    object->written = object->written || writing;
    compare_pin(engine, pin);
}

void
engine_unpin(struct engine *engine, unsigned i)
{
    struct pin ended = engine->pins[i];
    if (!ended.address)
        return;
    compare_pin(engine, &ended);
    handle_unpin(engine->store, ended.address);
    engine->pins[i].address = NULL;
    engine->pins_held--;
    if (ended.current)
        hold_ended(engine, ended.key);
}

/* ---- versions -------------------------------------------------------------------------------- */

void
engine_update_begin(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    struct version *version = &engine->versions[take_byte(engine->source) % UPDATES];
    if (version->active)
        return;
    uint32_t size = engine_size(engine);
    errno = 0;
    void *memory =
        object->by_cell
            ? handle_cell_update_begin(engine->store, cell_of(object), size, &version->update)
            : handle_update_begin(engine->store, object->handle, size, &version->update);
    fuzz_check(object->live || (!memory && errno == ENOENT));
    if (!memory) {
        if (object->live)
            engine_refused(engine, errno);
        return;
    }
    version->key = (uint16_t)key;
    version->active = version->current = true;
    version->size = size;
    version->stamp = engine_stamp(engine);
    version->birth = object->birth;
    version->incarnation = object->incarnation;
    engine->versions_active++;
    engine_fill(memory, 0, size, version->stamp);
}

/* What commit answers: 0 when nothing happened to the object since begin. */
static bool
is_right_answer(const struct object *object, const struct version *version, int result)
{
    bool same = version->birth == object->birth;
    if (!object->live || (!same && !object->by_cell))
        return result == -ENOENT;
    if (!same) /* a cell that was freed and filled again: either is right */
        return result == -EAGAIN || result == -ENOENT;
    return result == (version->incarnation == object->incarnation ? 0 : -EAGAIN);
}

void
engine_update_end(struct engine *engine, unsigned i, bool commit)
{
    struct version *version = &engine->versions[i];
    struct object *object = &engine->objects[version->key];
    int result = -ENOENT;
    if (!version->active)
        return;
    fuzz_check(engine_holds_stamp(version->update.object, version->size, version->stamp));
    if (commit) {
        result = handle_update_commit(engine->store, &version->update);
        fuzz_check(is_right_answer(object, version, result));
    } else {
        handle_update_abort(engine->store, &version->update);
    }
    bool current = version->current;
    version->active = version->current = false;
    engine->versions_active--;
    if (current)
        hold_ended(engine, version->key);
    if (result == 0) {
        engine_left_slot(engine, version->key);
        object->size = version->size;
        object->stamp = version->stamp;
    }
    engine_compare(engine, version->key);
}

/* ---- reserved objects ------------------------------------------------------------------------ */

void
engine_reserve(struct engine *engine, unsigned i)
{
    struct reservation *r = &engine->reservations[i];
    if (r->active)
        return;
    unsigned flags = take_byte(engine->source);
    r->flags = flags % 32 < 4 ? flags % 4 : 0;
    r->size = engine_size(engine);
    errno = 0;
    unsigned char *memory = handle_reserve(engine->store, r->size, r->flags, &r->reserved);
    if (!memory) {
        engine_refused(engine, errno);
        return;
    }
    for (size_t at = 0; r->flags & HANDLE_ZERO && at < r->size; at++)
        fuzz_check(memory[at] == 0);
    r->stamp = engine_stamp(engine);
    r->active = true;
    engine->reservations_active++;
    engine_fill(memory, 0, r->size, r->stamp);
}

static void
published_by_handle(struct engine *engine, struct object *object, struct reservation *r)
{
    errno = 0;
    handle_t handle = handle_publish(engine->store, &r->reserved);
    if (handle == HANDLE_NULL) { /* to be published later */
        engine_refused(engine, errno);
        return;
    }
    object->handle = handle;
    object->by_cell = r->active = false;
    engine_born(object, r->size, r->stamp);
}

/* In an empty cell, or in the place of its object. */
static void
published_by_cell(struct engine *engine, unsigned key, struct reservation *r)
{
    struct object *object = &engine->objects[key];
    uint32_t tag = take_word(engine->source) * 513; /* one in 512 is too large */
    int result = handle_cell_publish(engine->store, cell_of(object), &r->reserved, tag);
    fuzz_check(result == (tag > 0xffffff ? -EINVAL : 0));
    if (result != 0)
        return;
    r->active = false;
    if (object->live) {
        engine_left_slot(engine, key);
        object->size = r->size;
        object->stamp = r->stamp;
    } else {
        object->by_cell = true;
        engine_born(object, r->size, r->stamp);
    }
    object->tag = tag;
}

void
engine_publish(struct engine *engine, unsigned key, unsigned i)
{
    struct object *object = &engine->objects[key];
    struct reservation *r = &engine->reservations[i];
    if (!r->active || (object->live && !object->by_cell))
        return;
    fuzz_check(engine_holds_stamp(r->reserved.object, r->size, r->stamp));
    if (object->live || take_byte(engine->source) % 2)
        published_by_cell(engine, key, r);
    else
        published_by_handle(engine, object, r);
    if (!r->active) {
        object->flags = r->flags;
        engine->reservations_active--;
    }
    engine_compare(engine, key);
}

void
engine_abort(struct engine *engine, unsigned i)
{
    struct reservation *r = &engine->reservations[i];
    if (!r->active)
        return;
    fuzz_check(engine_holds_stamp(r->reserved.object, r->size, r->stamp));
    handle_reserved_abort(engine->store, &r->reserved);
    r->active = false;
    engine->reservations_active--;
}

void
engine_release(struct engine *engine)
{
    for (unsigned i = 0; i < PINS; i++)
        engine_unpin(engine, i);
    for (unsigned i = 0; i < UPDATES; i++)
        engine_update_end(engine, i, false);
    for (unsigned i = 0; i < RESERVED; i++)
        engine_abort(engine, i);
    fuzz_check(engine->pins_held == 0 && engine->versions_active == 0);
    fuzz_check(engine->reservations_active == 0);
}
