/* SPDX-License-Identifier: MIT */
/*
 * race.c - handles that everybody is after, without any lock of the application: freed, resized,
 * updated, pinned and read at once. Of the racing frees of one handle exactly one wins (G4): the
 * winner, and only the winner, takes the handle out of its place, so a second winner finds it gone.
 *
 * Seen failing: handle_free that ends the word by a plain store ("was freed twice").
 */
#include "torture.h"

/* Longest stamp of a raced object. Resizes go to at least this size, because whose stamp they will
 * find cannot be known: none is ever cut. */
#define RACE_LENGTH 400

static size_t
race_length(struct worker *worker)
{
    return STAMP_BYTES + roll(worker, RACE_LENGTH - STAMP_BYTES + 1);
}

static void
race_verify(struct worker *worker, const void *object, uint64_t name)
{
    uint64_t version = 0;
    size_t length = 0;
    worker->counters.derefs++;
    if (stamp_verify(object, name, &version, &length) == STAMP_BAD || length > RACE_LENGTH)
        stamp_finding("raced contents are wrong", object, name, 0);
}

/* An empty place is filled by whoever comes first; the others take theirs back. */
static void
race_alloc(struct worker *worker, struct heap *heap, uint64_t *place, uint64_t name)
{
    void *object = NULL;
    uint64_t empty = HANDLE_NULL;
    size_t length = race_length(worker);
    section_enter();
    errno = 0;
    handle_t handle = handle_alloc_object(heap->store, length, 0, &object);
    int error = errno;
    if (handle != HANDLE_NULL) {
        stamp_fill(object, name, roll(worker, 1000), length);
        if (!__atomic_compare_exchange_n(place, &empty, handle, false, __ATOMIC_ACQ_REL,
                                         __ATOMIC_ACQUIRE) &&
            handle_free_now(heap->store, handle))
            finding("free_now of an unpublished object failed");
    }
    section_leave();
    if (handle == HANDLE_NULL)
        allocation_refused(worker, heap, error);
}

static void
race_free(struct worker *worker, struct heap *heap, unsigned index, uint64_t handle)
{
    uint64_t *place = &heap->races[index], expected = handle;
    dawdle(worker);
    int result = handle_free(heap->store, handle);
    if (result == -ENOENT) {
        worker->counters.races_lost++;
        return;
    }
    if (result)
        finding("raced free: %d", result);
    worker->counters.races_won++;
    __atomic_add_fetch(&heap->race_ends[index], 1, __ATOMIC_RELAXED);
    section_enter();
    if (handle_deref(heap->store, handle))
        finding("handle %llx resolves after it was freed", (unsigned long long)handle);
    section_leave();
    if (!__atomic_compare_exchange_n(place, &expected, HANDLE_NULL, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_ACQUIRE))
        finding("handle %llx was freed twice", (unsigned long long)handle);
}

static void
race_update(struct worker *worker, struct heap *heap, uint64_t handle, uint64_t name)
{
    struct handle_update update;
    size_t length = race_length(worker);
    section_enter();
    errno = 0;
    void *object = handle_update_begin(heap->store, handle, length, &update);
    int error = errno, result = 0;
    if (object) {
        stamp_fill(object, name, roll(worker, 1000), length);
        dawdle(worker);
        result = handle_update_commit(heap->store, &update);
        worker->counters.updates++;
        worker->counters.conflicts += result != 0;
    }
    section_leave();
    if (!object && error != ENOENT)
        allocation_refused(worker, heap, error);
    if (result && result != -ENOENT && result != -EAGAIN)
        finding("raced commit: %d", result);
}

static void
race_resize(struct worker *worker, struct heap *heap, uint64_t handle)
{
    int result = handle_resize(heap->store, handle, RACE_LENGTH + roll(worker, 600));
    if (result == 0)
        worker->counters.resizes++;
    else if (result == -ENOMEM || result == -EAGAIN)
        allocation_refused(worker, heap, -result);
    else if (result != -ENOENT)
        finding("raced resize: %d", result);
}

static void
race_read(struct worker *worker, struct heap *heap, uint64_t handle, uint64_t name)
{
    section_enter();
    const void *object =
        roll(worker, 2) ? handle_deref(heap->store, handle) : handle_deref_mut(heap->store, handle);
    if (object) {
        race_verify(worker, object, name);
        (void)handle_size(heap->store, handle);
        dawdle(worker);
        race_verify(worker, object, name);
    }
    section_leave();
}

static void
race_pin(struct worker *worker, struct heap *heap, uint64_t handle, uint64_t name)
{
    section_enter();
    errno = 0;
    const void *object = handle_pin(heap->store, handle);
    int error = errno;
    section_leave();
    if (!object) {
        if (error != ENOENT)
            allocation_refused(worker, heap, error);
        return;
    }
    worker->counters.pins++;
    dawdle(worker);
    race_verify(worker, object, name);
    handle_unpin(heap->store, object);
}

static void
race_once(struct worker *worker, struct heap *heap, unsigned index)
{
    uint64_t name = object_name(heap, KIND_RACE, index);
    uint64_t handle = __atomic_load_n(&heap->races[index], __ATOMIC_ACQUIRE);
    uint64_t choice = roll(worker, 16);
    if (handle == HANDLE_NULL)
        race_alloc(worker, heap, &heap->races[index], name);
    else if (choice < 5)
        race_free(worker, heap, index, handle);
    else if (choice < 8)
        race_update(worker, heap, handle, name);
    else if (choice < 10)
        race_resize(worker, heap, handle);
    else if (choice < 12)
        race_pin(worker, heap, handle, name);
    else
        race_read(worker, heap, handle, name);
}

/* Some rounds on one place, mostly the same for all: so that they do meet. */
void
op_race(struct worker *worker, struct heap *heap)
{
    unsigned index = (unsigned)roll(worker, roll(worker, 4) ? 1 : RACES);
    for (unsigned round = 0; round < 16; round++)
        race_once(worker, heap, index);
}
