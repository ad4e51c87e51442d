/* SPDX-License-Identifier: MIT */
/*
 * model_holds.c - the model's pins, versions under way and reserved objects, and what becomes of
 * them when their object is replaced or freed. The plain operations are in model_store.c.
 */
#include "model_store.h"

/* ---- pins and versions of an object ---------------------------------------------------------- */

static unsigned
current_holds(const struct model *model, unsigned key)
{
    unsigned holds = 0;
    for (unsigned i = 0; i < MODEL_PINS; i++)
        holds += model->pins[i].address && model->pins[i].current && model->pins[i].key == key;
    for (unsigned i = 0; i < MODEL_UPDATES; i++)
        holds +=
            model->updates[i].active && model->updates[i].current && model->updates[i].key == key;
    return holds;
}

/* The last unpin of an object ends its being pinned for writing. */
static void
hold_ended(struct model *model, unsigned key)
{
    if (current_holds(model, key) == 0)
        model->objects[key].written = false;
}

/* The object's slot was given up (freed, resized elsewhere, replaced): whoever held it keeps the
 * bytes of this moment. Called while the map still has them. */
void
model_slot_given_up(struct model *model, unsigned key)
{
    struct model_object *object = &model->objects[key];
    for (unsigned i = 0; i < MODEL_PINS; i++) {
        struct model_pin *pin = &model->pins[i];
        if (!pin->address || !pin->current || pin->key != key)
            continue;
        pin->current = false;
        pin->bytes = model_copy_of(model, object->bytes, pin->size);
    }
    for (unsigned i = 0; i < MODEL_UPDATES; i++)
        if (model->updates[i].key == key)
            model->updates[i].current = false;
    object->written = false;
    object->incarnation++;
}

/* An address that tells whether the object stayed in its slot; NULL when nobody holds it. */
const void *
model_held_address(const struct model *model, unsigned key)
{
    for (unsigned i = 0; i < MODEL_PINS; i++)
        if (model->pins[i].address && model->pins[i].current && model->pins[i].key == key)
            return model->pins[i].address;
    for (unsigned i = 0; i < MODEL_UPDATES; i++)
        if (model->updates[i].active && model->updates[i].current && model->updates[i].key == key)
            return model->updates[i].seen;
    return NULL;
}

/* ---- pins ------------------------------------------------------------------------------------ */

static void
pin_object(struct model *model, unsigned key, bool writing)
{
    struct model_object *object = &model->objects[key];
    struct model_pin *pin = &model->pins[random_below(&model->random, MODEL_PINS)];
    if (pin->address || model_is_shared(model, key))
        return;
    const void *held = model_held_address(model, key);
    writing = writing && !object->by_cell;
    section_enter();
    errno = 0;
    const void *address = object->by_cell ? handle_cell_pin(model->store, model_cell_of(object))
                          : writing       ? handle_pin_mut(model->store, object->handle)
                                          : handle_pin(model->store, object->handle);
    int error = errno;
    section_leave();
    model_check(model, object->live || (address == NULL && error == ENOENT));
    if (!address) {
        if (object->live)
            model_refused(model, error);
        return;
    }
    model_check(model, held == NULL || held == address); /* what is pinned does not move */
    *pin = (struct model_pin){address, key, true, object->size, NULL};
    object->written = object->written || writing;
}

void
model_op_pin(struct model *model, unsigned key)
{
    pin_object(model, key, false);
}

void
model_op_pin_mut(struct model *model, unsigned key)
{
    pin_object(model, key, true);
}

/* Outside sections: that is what a pin is for. */
static void
compare_pin(struct model *model, const struct model_pin *pin)
{
    const unsigned char *bytes = pin->current ? model->objects[pin->key].bytes : pin->bytes;
    model_check(model, memcmp(pin->address, bytes, pin->size) == 0);
    if (!pin->current)
        return;
    section_enter();
    model_check(model, model_resolve(model, &model->objects[pin->key]) == pin->address);
    section_leave();
}

static void
end_pin(struct model *model, struct model_pin *pin)
{
    struct model_pin ended = *pin;
    compare_pin(model, pin);
    handle_unpin(model->store, pin->address);
    memset(pin, 0, sizeof(*pin));
    free(ended.bytes);
    if (ended.current)
        hold_ended(model, ended.key);
}

void
model_op_unpin(struct model *model, unsigned key)
{
    struct model_pin *pin = &model->pins[key % MODEL_PINS];
    if (pin->address)
        end_pin(model, pin);
}

/* ---- versions -------------------------------------------------------------------------------- */

void
model_op_update_begin(struct model *model, unsigned key)
{
    struct model_object *object = &model->objects[key];
    struct model_update *entry = &model->updates[random_below(&model->random, MODEL_UPDATES)];
    if (entry->active)
        return;
    size_t size = model_random_size(model) + (model_is_shared(model, key) ? 16 : 0);
    section_enter();
    errno = 0;
    void *memory =
        object->by_cell
            ? handle_cell_update_begin(model->store, model_cell_of(object), size, &entry->update)
            : handle_update_begin(model->store, object->handle, size, &entry->update);
    int error = errno;
    const void *seen = memory ? model_resolve(model, object) : NULL; /* pinned: does not move */
    section_leave();
    model_check(model, object->live || (!memory && error == ENOENT));
    if (!memory) {
        if (object->live)
            model_refused(model, error);
        return;
    }
    model_check(model, memory == entry->update.object);
    entry->bytes = model_random_bytes(model, size, model_is_shared(model, key));
    memcpy(memory, entry->bytes, size);
    entry->active = true;
    entry->current = true;
    entry->key = key;
    entry->birth = object->birth;
    entry->incarnation = object->incarnation;
    entry->seen = seen;
    entry->size = size;
}

static void
update_over(struct model *model, struct model_update *entry)
{
    bool current = entry->current;
    unsigned key = entry->key;
    entry->active = false;
    entry->current = false;
    if (current)
        hold_ended(model, key);
}

static void
committed(struct model *model, struct model_update *entry)
{
    struct model_object *object = &model->objects[entry->key];
    update_over(model, entry);
    model_slot_given_up(model, entry->key);
    free(object->bytes);
    object->bytes = entry->bytes;
    object->size = entry->size;
}

void
model_op_update_commit(struct model *model, unsigned key)
{
    struct model_update *entry = &model->updates[key % MODEL_UPDATES];
    struct model_object *object = &model->objects[entry->key];
    if (!entry->active)
        return;
    int expected = entry->incarnation == object->incarnation ? 0 : -EAGAIN;
    bool gone = !object->live || entry->birth != object->birth;
    /* a cell that was freed and filled again: not the version that was seen, either way */
    bool refilled = gone && object->live && object->by_cell;
    model_check(model, memcmp(entry->update.object, entry->bytes, entry->size) == 0);
    section_enter();
    int result = handle_update_commit(model->store, &entry->update);
    section_leave();
    model_check(model, (refilled && result == -EAGAIN) || result == (gone ? -ENOENT : expected));
    if (result == 0) {
        committed(model, entry);
        return;
    }
    update_over(model, entry);
    free(entry->bytes);
}

void
model_op_update_abort(struct model *model, unsigned key)
{
    struct model_update *entry = &model->updates[key % MODEL_UPDATES];
    if (!entry->active)
        return;
    handle_update_abort(model->store, &entry->update);
    update_over(model, entry);
    free(entry->bytes);
}

bool
model_has_update(const struct model *model, unsigned key)
{
    for (unsigned i = 0; i < MODEL_UPDATES; i++)
        if (model->updates[i].active && model->updates[i].key == key)
            return true;
    return false;
}

/* ---- reserved objects ------------------------------------------------------------------------ */

void
model_op_reserve(struct model *model, unsigned key)
{
    struct model_reserved *entry = &model->reserved[key % MODEL_RESERVED];
    if (entry->active)
        return;
    entry->size = model_random_size(model);
    entry->flags = (unsigned)random_below(&model->random, 8);
    entry->flags = entry->flags < 4 ? entry->flags : 0;
    errno = 0;
    unsigned char *memory =
        handle_reserve(model->store, entry->size, entry->flags, &entry->reserved);
    if (!memory) {
        model_refused(model, errno);
        return;
    }
    for (size_t i = 0; entry->flags & HANDLE_ZERO && i < entry->size; i++)
        model_check(model, memory[i] == 0);
    entry->bytes = model_random_bytes(model, entry->size, false);
    memcpy(memory, entry->bytes, entry->size);
    entry->active = true;
}

static bool
published_by_handle(struct model *model, struct model_object *object, struct model_reserved *entry)
{
    errno = 0;
    handle_t handle = handle_publish(model->store, &entry->reserved);
    if (handle == HANDLE_NULL) { /* to be published later */
        model_refused(model, errno);
        return false;
    }
    object->handle = handle;
    object->by_cell = false;
    return true;
}

/* In an empty cell, or in the place of its object. */
static bool
published_by_cell(struct model *model, struct model_object *object, struct model_reserved *entry)
{
    uint32_t tag = (uint32_t)random_below(&model->random, 0x1100000);
    section_enter();
    int result = handle_cell_publish(model->store, model_cell_of(object), &entry->reserved, tag);
    section_leave();
    model_check(model, result == (tag > 0xffffff ? -EINVAL : 0));
    if (result != 0)
        return false;
    object->by_cell = true;
    object->tag = tag;
    return true;
}

void
model_op_publish(struct model *model, unsigned key)
{
    struct model_reserved *entry = &model->reserved[random_below(&model->random, MODEL_RESERVED)];
    struct model_object *object = &model->objects[key];
    if (!entry->active || model_is_shared(model, key) || (object->live && !object->by_cell))
        return;
    model_check(model, memcmp(entry->reserved.object, entry->bytes, entry->size) == 0);
    bool by_cell = object->live || random_below(&model->random, 2);
    if (by_cell ? !published_by_cell(model, object, entry)
                : !published_by_handle(model, object, entry))
        return;
    if (object->live)
        model_slot_given_up(model, key);
    else
        object->birth++;
    free(object->live ? object->bytes : NULL);
    object->live = true;
    object->incarnation++;
    object->flags = entry->flags;
    object->size = entry->size;
    object->bytes = entry->bytes;
    entry->active = false;
}

void
model_op_reserved_abort(struct model *model, unsigned key)
{
    struct model_reserved *entry = &model->reserved[key % MODEL_RESERVED];
    if (!entry->active)
        return;
    model_check(model, memcmp(entry->reserved.object, entry->bytes, entry->size) == 0);
    handle_reserved_abort(model->store, &entry->reserved);
    entry->active = false;
    free(entry->bytes);
}

size_t
model_reserved(const struct model *model)
{
    size_t reserved = 0;
    for (unsigned i = 0; i < MODEL_RESERVED; i++)
        reserved += model->reserved[i].active;
    return reserved;
}

void
model_verify_holds(struct model *model)
{
    for (unsigned i = 0; i < MODEL_PINS; i++)
        if (model->pins[i].address)
            compare_pin(model, &model->pins[i]);
    for (unsigned i = 0; i < MODEL_UPDATES; i++) {
        struct model_update *entry = &model->updates[i];
        if (entry->active)
            model_check(model, memcmp(entry->update.object, entry->bytes, entry->size) == 0);
    }
}

void
model_release(struct model *model)
{
    for (unsigned i = 0; i < MODEL_PINS; i++)
        if (model->pins[i].address)
            end_pin(model, &model->pins[i]);
    for (unsigned i = 0; i < MODEL_UPDATES; i++)
        model_op_update_abort(model, i);
    for (unsigned i = 0; i < MODEL_RESERVED; i++)
        model_op_reserved_abort(model, i);
}

size_t
model_held(const struct model *model)
{
    size_t held = 0;
    for (unsigned i = 0; i < MODEL_PINS; i++)
        held += model->pins[i].address != NULL;
    for (unsigned i = 0; i < MODEL_UPDATES; i++)
        held += model->updates[i].active;
    return held;
}

size_t
model_versions(const struct model *model)
{
    size_t versions = 0;
    for (unsigned i = 0; i < MODEL_UPDATES; i++)
        versions += model->updates[i].active;
    return versions;
}

size_t
model_version_bytes(const struct model *model)
{
    size_t bytes = 0;
    for (unsigned i = 0; i < MODEL_UPDATES; i++)
        bytes += model->updates[i].active ? model->updates[i].size : 0;
    return bytes;
}
