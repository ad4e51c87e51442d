/* SPDX-License-Identifier: MIT */
/*
 * tables.c - objects by cell. The cells stand in a table that is replaced again and again by
 * another one, cell by cell, under its readers: a reader that finds a cell empty looks in the
 * next table (G6). The old table is freed through call_rcu, a grace period after its last cell
 * was emptied.
 *
 * Seen failing:
 *   a move loses the tag                                  "without its tag"
 *   a move's header says the whole slot                   "size"
 *   a relocation empties `from` first                     "found in no table"
 *   free_now leaves the cell full                         "free_now of a private cell"
 *   an object is filled after it was published            "contents are wrong", once in 12 s
 *   publish on its slow path empties the cell first       "found in no table"
 */
#include "torture.h"

#include <sched.h>

/* Either of two tags is right: they change under readers. A new object has tag 0 until it is
 * filled, which is how its readers know. */
static uint32_t
tag_of(unsigned index, unsigned which)
{
    return (uint32_t)(index * 2 + which + 1) & 0xffffff;
}

static struct key *
random_cell(struct worker *worker, struct heap *heap, unsigned *index)
{
    *index = (unsigned)roll(worker, roll(worker, 2) ? CELLS : 8);
    return &heap->cells[*index];
}

/* In a section. Objects go forward from table to table only, so one walk finds what is there. */
static const void *
look_up(struct heap *heap, unsigned index, uint32_t *tag)
{
    struct table *table = __atomic_load_n(&heap->table, __ATOMIC_ACQUIRE);
    for (; table; table = __atomic_load_n(&table->next, __ATOMIC_ACQUIRE)) {
        const void *object = handle_cell_read(heap->store, &table->cells[index], tag);
        if (object)
            return object;
    }
    return NULL;
}

void
op_cell_read(struct worker *worker, struct heap *heap)
{
    unsigned index;
    struct key *key = random_cell(worker, heap, &index);
    uint64_t name = object_name(heap, KIND_CELL, index);
    uint64_t state = __atomic_load_n(&key->state, __ATOMIC_ACQUIRE);
    uint32_t tag = 0;
    section_enter();
    const void *object = look_up(heap, index, &tag);
    if (object &&
        tag == 0) { /* live since alloc, but being filled: set_tag says when it is ready */
        if (state & 1 && __atomic_load_n(&key->state, __ATOMIC_ACQUIRE) == state)
            finding("cell %u: present, but without its tag", index);
    } else if (object) {
        key_verify(worker, key, name, state, object);
        if (tag != tag_of(index, 0) && tag != tag_of(index, 1))
            finding("cell %u: tag %x", index, tag);
        linger(worker, 20);
        key_verify(worker, key, name, state, object);
    } else if (state & 1 && __atomic_load_n(&key->state, __ATOMIC_ACQUIRE) == state) {
        finding("cell %u: present, but found in no table", index);
    }
    section_leave();
}

/* ---- writers: with the key's lock, in a section ---------------------------------------------- */

static int
cell_alloc(struct worker *worker, struct heap *heap, struct key *key, unsigned index)
{
    handle_cell *cell = &key->table->cells[index];
    size_t length = random_length(worker);
    errno = 0;
    void *object = handle_cell_alloc(heap->store, cell, length, 0);
    if (!object)
        return errno;
    stamp_fill(object, object_name(heap, KIND_CELL, index), key_version(key) + 1, length);
    int result = handle_cell_set_tag(heap->store, cell, tag_of(index, 0));
    if (result)
        finding("cell %u: set_tag: %d", index, result);
    key->length = key->size = length;
    worker->counters.allocs++;
    key_advance(key, true);
    return 0;
}

/* In an empty cell, or in the place of what it names; some are given up. */
static int
cell_publish(struct worker *worker, struct heap *heap, struct key *key, unsigned index)
{
    struct handle_reserved reserved;
    size_t length = random_length(worker);
    bool replaces = key_present(key);
    errno = 0;
    if (!handle_reserve(heap->store, length, 0, &reserved))
        return errno;
    dawdle(worker);
    stamp_fill(reserved.object, object_name(heap, KIND_CELL, index), key_version(key) + 1, length);
    if (roll(worker, 16) == 0) {
        handle_reserved_abort(heap->store, &reserved);
        return 0;
    }
    int result = handle_cell_publish(heap->store, &key->table->cells[index], &reserved,
                                     tag_of(index, (unsigned)roll(worker, 2)));
    if (result)
        finding("cell %u: publish: %d", index, result);
    key->length = key->size = length;
    replaces ? worker->counters.updates++ : worker->counters.allocs++;
    key_advance(key, true);
    return 0;
}

static void
cell_free(struct worker *worker, struct heap *heap, struct key *key, unsigned index)
{
    handle_cell *cell = &key->table->cells[index];
    key_leave(key);
    int result = handle_cell_free(heap->store, cell);
    if (result || __atomic_load_n(&cell->word, __ATOMIC_ACQUIRE))
        finding("cell %u: free: %d", index, result);
    key_advance(key, false);
    worker->counters.frees++;
}

static int
cell_update(struct worker *worker, struct heap *heap, struct key *key, unsigned index)
{
    struct handle_update update;
    size_t length = random_length(worker);
    handle_cell *cell = &key->table->cells[index];
    errno = 0;
    void *object = handle_cell_update_begin(heap->store, cell, length, &update);
    if (!object)
        return errno;
    stamp_fill(object, object_name(heap, KIND_CELL, index), key_version(key) + 1, length);
    dawdle(worker);
    int result = handle_update_commit(heap->store, &update);
    worker->counters.updates++;
    if (result) {
        finding("cell %u: commit without a rival: %d", index, result);
        return 0;
    }
    key->length = key->size = length;
    key_advance(key, true);
    return 0;
}

/* In a section, as look_up, for writing. */
static void *
look_up_mut(struct heap *heap, unsigned index)
{
    struct table *table = __atomic_load_n(&heap->table, __ATOMIC_ACQUIRE);
    for (; table; table = __atomic_load_n(&table->next, __ATOMIC_ACQUIRE)) {
        void *object = handle_cell_deref_mut(heap->store, &table->cells[index]);
        if (object)
            return object;
    }
    return NULL;
}

/* With `written` held. The cell itself may be relocated meanwhile (G3, G6). */
static void
cell_write(struct worker *worker, struct heap *heap, struct key *key, unsigned index)
{
    uint64_t name = object_name(heap, KIND_CELL, index);
    uint32_t tag;
    void *object = look_up_mut(heap, index);
    if (!object) {
        finding("cell %u: deref_mut of a full cell gives nothing", index);
        return;
    }
    if (!stamp_is(object, name, key_version(key), key->length))
        stamp_finding("not what its only writer left", object, name, key_version(key));
    linger(worker, 1);
    tarry(worker);
    if (object != look_up(heap, index, &tag))
        finding("cell %u: moved while it was being written", index);
    stamp_rewrite(object, name, key_version(key) + 1, key->length);
    key_advance(key, true);
}

static int
cell_resize(struct worker *worker, struct heap *heap, struct key *key, unsigned index)
{
    size_t size = key->length + roll(worker, key->length + 50);
    int result = handle_cell_resize(heap->store, &key->table->cells[index], size);
    if (result)
        return -result;
    key->size = size;
    worker->counters.resizes++;
    return 0;
}

static void
cell_set_tag(struct heap *heap, struct key *key, unsigned index, unsigned which)
{
    handle_cell *cell = &key->table->cells[index];
    if (handle_cell_set_tag(heap->store, cell, tag_of(index, which)))
        finding("cell %u: set_tag of a full cell failed", index);
    if (handle_cell_size(heap->store, cell) != key->size)
        finding("cell %u: size %zu instead of %zu", index, handle_cell_size(heap->store, cell),
                key->size);
}

/* Result: errno of a refused allocation. */
static int
change_locked(struct worker *worker, struct heap *heap, struct key *key, unsigned index)
{
    uint64_t choice = roll(worker, 8);
    if (!key_present(key))
        return choice < 4 ? cell_alloc(worker, heap, key, index)
                          : cell_publish(worker, heap, key, index);
    if (choice == 0)
        cell_free(worker, heap, key, index);
    else if (choice == 1)
        return cell_update(worker, heap, key, index);
    else if (choice == 2)
        return cell_publish(worker, heap, key, index);
    else if (choice < 5)
        return cell_resize(worker, heap, key, index);
    else
        cell_set_tag(heap, key, index, choice & 1);
    return 0;
}

void
op_cell_change(struct worker *worker, struct heap *heap)
{
    unsigned index;
    struct key *key = random_cell(worker, heap, &index);
    if (!try_lock(&key->locked))
        return;
    int error = 0;
    if (try_lock(&key->written)) {
        section_enter();
        error = change_locked(worker, heap, key, index);
        section_leave();
        unlock(&key->written);
    }
    unlock(&key->locked);
    if (error)
        allocation_refused(worker, heap, error);
}

/* A writer of an object's bytes is no writer of its cell: half of all writes are of the one that is
 * being relocated. */
void
op_cell_write(struct worker *worker, struct heap *heap)
{
    unsigned index;
    struct key *key = random_cell(worker, heap, &index);
    if (roll(worker, 2)) {
        index = __atomic_load_n(&heap->relocated, __ATOMIC_RELAXED);
        key = &heap->cells[index];
    }
    if (!try_lock(&key->written))
        return;
    if (key_present(key)) {
        section_enter();
        cell_write(worker, heap, key, index);
        section_leave();
    }
    unlock(&key->written);
}

void
op_cell_pin(struct worker *worker, struct heap *heap)
{
    unsigned index;
    struct key *key = random_cell(worker, heap, &index);
    struct hold *hold = &worker->holds[roll(worker, HOLDS)];
    if (hold->pinned || hold->updating || !try_lock(&key->locked))
        return;
    if (key_present(key)) {
        section_enter();
        const void *object = handle_cell_pin(heap->store, &key->table->cells[index]);
        section_leave();
        if (object)
            *hold = (struct hold){
                .heap = heap, .pinned = object, .name = object_name(heap, KIND_CELL, index)};
    }
    unlock(&key->locked);
}

/* Cells and objects that only this worker has. */
void
op_cell_private(struct worker *worker, struct heap *heap)
{
    size_t lengths[PRIVATE_CELLS];
    int error = 0;
    section_enter();
    for (unsigned i = 0; i < PRIVATE_CELLS; i++) {
        lengths[i] = random_length(worker);
        errno = 0;
        void *object = handle_cell_alloc(heap->store, &worker->cells[i], lengths[i], 0);
        if (object)
            stamp_fill(object, i, 4, lengths[i]);
        else
            error = errno;
    }
    section_leave();
    dawdle(worker); /* here they may be moved */
    for (unsigned i = 0; i < PRIVATE_CELLS; i++) {
        handle_cell *cell = &worker->cells[i];
        section_enter();
        const void *object = handle_cell_deref(heap->store, cell);
        if (object && !stamp_is(object, i, 4, lengths[i]))
            stamp_finding("a private object is not what was written", object, i, 4);
        int result = handle_cell_free_now(heap->store, cell);
        if (result != (object ? 0 : -ENOENT) || handle_cell_deref(heap->store, cell))
            finding("free_now of a private cell: %d", result);
        section_leave();
    }
    if (error)
        allocation_refused(worker, heap, error);
}

/* ---- growing --------------------------------------------------------------------------------- */

static void
free_table(struct rcu_head *head)
{
    flavour_tsan_acquire();
    free(caa_container_of(head, struct table, head));
}

static void
carry_over(struct worker *worker, struct heap *heap, unsigned index, struct table *next)
{
    struct key *key = &heap->cells[index];
    while (!try_lock(&key->locked)) {
        quiesce();
        sched_yield();
    }
    __atomic_store_n(&heap->relocated, index, __ATOMIC_RELAXED);
    section_enter();
    handle_cell *from = &key->table->cells[index];
    int result = handle_cell_relocate(heap->store, from, &next->cells[index]);
    if (result != (key_present(key) ? 0 : -ENOENT))
        finding("cell %u: relocate: %d", index, result);
    worker->counters.relocations += result == 0;
    key->table = next;
    section_leave();
    unlock(&key->locked);
}

void
op_grow(struct worker *worker, struct heap *heap)
{
    if (!try_lock(&heap->growing))
        return;
    struct table *old = heap->table, *next = calloc(1, sizeof(*next));
    if (next) {
        __atomic_store_n(&old->next, next, __ATOMIC_RELEASE);
        for (unsigned index = 0; index < CELLS; index++)
            carry_over(worker, heap, index, next);
        __atomic_store_n(&heap->table, next, __ATOMIC_RELEASE);
        flavour_tsan_release();
        call_rcu(&old->head, free_table);
    }
    unlock(&heap->growing);
}
