/* SPDX-License-Identifier: MIT */
/*
 * model_store.c - the operations of model_store.h. Each does the same to the store and to the map;
 * an answer that the map does not predict ends the process with the seed and the step.
 *
 * Seen failing: retire that frees at once, an abort that does not count, a publish that loses a bit
 * of the tag.
 */
#include "model_store.h"

_Noreturn void
model_failed(const struct model *model, const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: seed %llu, step %llu, %s: %s does not hold\n", file, line,
            (unsigned long long)model->seed, (unsigned long long)model->steps,
            model->doing ? model->doing : "verify", condition);
    abort();
}

static void *
grab(struct model *model, size_t size)
{
    void *memory = malloc(size ? size : 1);
    model_check(model, memory != NULL);
    return memory;
}

unsigned char *
model_copy_of(struct model *model, const unsigned char *bytes, size_t size)
{
    return memcpy(grab(model, size), bytes, size);
}

/* Most objects are of a few sizes, so that their classes have several spans and the mover has
 * something to do; the others are of any size, a few of them large. */
size_t
model_random_size(struct model *model)
{
    static const size_t common[] = {1000, 2041, 997, 2040};
    uint64_t kind = random_below(&model->random, 1000);
    if (kind < 600)
        return common[random_below(&model->random, 4)];
    if (kind < 850)
        return random_below(&model->random, 300);
    if (kind < 970)
        return random_below(&model->random, 3000);
    if (kind < 998)
        return random_below(&model->random, 30000);
    return random_below(&model->random, 300000);
}

/* Contents of a shared key say themselves what they are: seed, length, pattern. */
unsigned char *
model_random_bytes(struct model *model, size_t size, bool shared)
{
    unsigned char *bytes = grab(model, size);
    uint64_t seed = random_next(&model->random);
    if (!shared) {
        fill(bytes, size, seed);
        return bytes;
    }
    uint64_t head[2] = {seed, size - sizeof(head)};
    memcpy(bytes, head, sizeof(head));
    fill(bytes + sizeof(head), size - sizeof(head), seed);
    return bytes;
}

bool
model_is_shared(const struct model *model, unsigned key)
{
    return key < model->shared_keys;
}

handle_cell *
model_cell_of(struct model_object *object)
{
    return &object->cells[object->at];
}

/* ---- resolving, by either kind of name ------------------------------------------------------- */

const void *
model_resolve(struct model *model, struct model_object *object)
{
    return object->by_cell ? handle_cell_deref(model->store, model_cell_of(object))
                           : handle_deref(model->store, object->handle);
}

static size_t
size_in_store(struct model *model, struct model_object *object)
{
    return object->by_cell ? handle_cell_size(model->store, model_cell_of(object))
                           : handle_size(model->store, object->handle);
}

/* In a section: the object is there, or it is not, exactly as the map says. */
static void
compare_object(struct model *model, struct model_object *object)
{
    const void *found = model_resolve(model, object);
    model_check(model, (found != NULL) == object->live);
    if (!object->live) {
        model_check(model, size_in_store(model, object) == 0);
        return;
    }
    model_check(model, size_in_store(model, object) == object->size);
    model_check(model, memcmp(found, object->bytes, object->size) == 0);
    if (object->by_cell) {
        uint32_t tag = ~0u;
        found = handle_cell_read(model->store, model_cell_of(object), &tag);
        model_check(model, found && memcmp(found, object->bytes, object->size) == 0);
        model_check(model, tag == object->tag);
    }
}

/* ---- operations: each on one key, outside sections ------------------------------------------- */

bool
model_worked(struct model *model, int result)
{
    return result == 0 || (model->excused && model->excused(-result));
}

/* A refusal for want of memory: only at the limit; where memory is on its way, wait for it. */
void
model_refused(struct model *model, int error)
{
    model_check(model, model->limited || model_worked(model, -error));
    model_check(model, error == ENOMEM || error == EAGAIN);
    if (error == EAGAIN)
        model_check(model, handle_store_reclaim(model->store, 1 << 20) == 0);
}

static void
publish(struct model *model, unsigned key, uint64_t handle)
{
    if (model_is_shared(model, key))
        __atomic_store_n(&model->published[key], handle, __ATOMIC_RELEASE);
}

/* Either kind of name, either kind of call. Result: errno, or 0 with the object filled. */
static int
alloc_in_store(struct model *model, struct model_object *object, unsigned flags)
{
    void *memory = NULL;
    int error;
    section_enter();
    errno = 0;
    if (object->by_cell)
        memory = handle_cell_alloc(model->store, model_cell_of(object), object->size, flags);
    else
        object->handle = handle_alloc_object(model->store, object->size, flags, &memory);
    error = errno;
    for (size_t i = 0; memory && flags & HANDLE_ZERO && i < object->size; i++)
        model_check(model, ((unsigned char *)memory)[i] == 0);
    if (memory)
        memcpy(memory, object->bytes, object->size);
    section_leave();
    return memory ? 0 : error;
}

static void
op_alloc(struct model *model, unsigned key)
{
    struct model_object *object = &model->objects[key];
    if (object->live)
        return;
    object->by_cell = !model_is_shared(model, key) && random_below(&model->random, 2);
    object->size = model_random_size(model) + (model_is_shared(model, key) ? 16 : 0);
    object->bytes = model_random_bytes(model, object->size, model_is_shared(model, key));
    object->flags = (unsigned)random_below(&model->random, 8);
    object->flags = object->flags < 4 ? object->flags : 0; /* mostly movable, not zeroed */
    int error = alloc_in_store(model, object, object->flags);
    if (error) {
        free(object->bytes);
        object->handle = HANDLE_NULL;
        model_refused(model, error);
        return;
    }
    object->live = true;
    object->tag = 0;
    object->birth++;
    object->incarnation++;
    publish(model, key, object->handle);
}

/* handle_alloc: live at once, filled through deref_mut. */
static void
op_alloc_plain(struct model *model, unsigned key)
{
    struct model_object *object = &model->objects[key];
    if (object->live || model_is_shared(model, key))
        return;
    size_t size = model_random_size(model);
    errno = 0;
    handle_t handle = handle_alloc(model->store, size);
    if (handle == HANDLE_NULL) {
        model_refused(model, errno);
        return;
    }
    object->live = true;
    object->by_cell = false;
    object->flags = 0;
    object->handle = handle;
    object->size = size;
    object->birth++;
    object->incarnation++;
    object->bytes = model_random_bytes(model, size, false);
    section_enter();
    memcpy(handle_deref_mut(model->store, handle), object->bytes, size);
    section_leave();
}

/* Atomic: for a grace period the mover may still try to change the word. */
static bool
is_empty(const handle_cell *cell)
{
    return __atomic_load_n(&cell->word, __ATOMIC_RELAXED) == 0;
}

static void
forget(struct model *model, unsigned key)
{
    struct model_object *object = &model->objects[key];
    model_slot_given_up(model, key);
    if (object->by_cell)
        model_check(model, is_empty(model_cell_of(object)));
    else
        model->stale[random_below(&model->random, MODEL_STALE)] = object->handle;
    free(object->bytes);
    object->live = false;
    object->bytes = NULL;
    object->size = 0;
}

static void
free_object(struct model *model, unsigned key, bool now)
{
    struct model_object *object = &model->objects[key];
    int expected = object->live ? 0 : -ENOENT, result;
    now = now && !model_is_shared(model, key);
    publish(model, key, HANDLE_NULL);
    section_enter();
    if (object->by_cell)
        result = now ? handle_cell_free_now(model->store, model_cell_of(object))
                     : handle_cell_free(model->store, model_cell_of(object));
    else
        result = now ? handle_free_now(model->store, object->handle)
                     : handle_free(model->store, object->handle);
    section_leave();
    model_check(model, result == expected);
    if (object->live)
        forget(model, key);
}

static void
op_free(struct model *model, unsigned key)
{
    free_object(model, key, false);
}

static void
op_free_now(struct model *model, unsigned key)
{
    free_object(model, key, true);
}

/* In the section it resolves, for reading; half of them are freed at once all the same. */
static void
retire_object(struct model *model, struct model_object *object)
{
    handle_store *store = model->store;
    handle_t handle = object->handle;
    model_check(model, handle_retire(store, handle) == 0);
    const void *memory = handle_deref(store, handle);
    model_check(model, memory && memcmp(memory, object->bytes, object->size) == 0);
    model_check(model, handle_size(store, handle) == object->size);
    model_check(model, !handle_deref_mut(store, handle) && !handle_pin(store, handle));
    model_check(model, handle_resize(store, handle, 5) == -ENOENT);
    model_check(model, handle_retire(store, handle) == -ENOENT);
    if (random_below(&model->random, 2) == 0) {
        object->handle = HANDLE_NULL; /* it goes stale when the grace period has ended */
        return;
    }
    model_check(model, handle_free(store, handle) == 0 && !handle_deref(store, handle));
}

static void
op_retire(struct model *model, unsigned key)
{
    struct model_object *object = &model->objects[key];
    if (object->by_cell || !object->live)
        return;
    publish(model, key, HANDLE_NULL);
    section_enter();
    retire_object(model, object);
    section_leave();
    forget(model, key);
}

static void
op_read(struct model *model, unsigned key)
{
    section_enter();
    compare_object(model, &model->objects[key]);
    section_leave();
}

/* A part of the object is written in place. */
static void
op_write(struct model *model, unsigned key)
{
    struct model_object *object = &model->objects[key];
    if (model_is_shared(model, key))
        return;
    section_enter();
    unsigned char *memory = object->by_cell
                                ? handle_cell_deref_mut(model->store, model_cell_of(object))
                                : handle_deref_mut(model->store, object->handle);
    model_check(model, (memory != NULL) == object->live);
    if (object->live && object->size) {
        size_t from = random_below(&model->random, object->size);
        size_t length = random_below(&model->random, object->size - from + 1);
        fill(object->bytes + from, length, random_next(&model->random));
        memcpy(memory + from, object->bytes + from, length);
    }
    section_leave();
}

/* What the map's copy becomes: kept up to the smaller size; the test fills what is added. */
static void
resize_map(struct model *model, struct model_object *object, size_t size, void *memory)
{
    unsigned char *bytes = model_random_bytes(model, size, false);
    size_t kept = object->size < size ? object->size : size;
    memcpy(bytes, object->bytes, kept);
    memcpy((char *)memory + kept, bytes + kept, size - kept);
    free(object->bytes);
    object->bytes = bytes;
    object->size = size;
}

static void
resized(struct model *model, unsigned key, size_t size, const void *held)
{
    struct model_object *object = &model->objects[key];
    void *memory = object->by_cell ? handle_cell_deref_mut(model->store, model_cell_of(object))
                                   : handle_deref_mut(model->store, object->handle);
    size_t kept = object->size < size ? object->size : size;
    model_check(model, memory && memcmp(memory, object->bytes, kept) == 0);
    if (held == memory) { /* in place: pins go on showing what both sizes have */
        object->incarnation++;
        for (unsigned i = 0; i < MODEL_PINS; i++)
            if (model->pins[i].key == key && model->pins[i].current && model->pins[i].size > kept)
                model->pins[i].size = kept;
    } else {
        model_slot_given_up(model, key);
    }
    resize_map(model, object, size, memory);
}

/* Every fourth time a capacity is asked for, or given up. */
static int
resize(struct model *model, struct model_object *object, size_t size)
{
    size_t capacity = random_below(&model->random, 600000);
    bool reserves = random_below(&model->random, 4) == 0;
    if (object->by_cell)
        return reserves
                   ? handle_cell_resize_reserve(model->store, model_cell_of(object), size, capacity)
                   : handle_cell_resize(model->store, model_cell_of(object), size);
    return reserves ? handle_resize_reserve(model->store, object->handle, size, capacity)
                    : handle_resize(model->store, object->handle, size);
}

static void
op_resize(struct model *model, unsigned key)
{
    struct model_object *object = &model->objects[key];
    if (model_is_shared(model, key))
        return;
    size_t size = random_below(&model->random, 3) ? model_random_size(model)
                                                  : object->size + random_below(&model->random, 17);
    const void *held = model_held_address(model, key);
    section_enter();
    int result = resize(model, object, size);
    if (!object->live)
        model_check(model, result == -ENOENT);
    else if (object->written)
        model_check(model, result == -EBUSY);
    else if (result == 0)
        resized(model, key, size, held);
    compare_object(model, object);
    section_leave();
    if (result && result != -ENOENT && result != -EBUSY)
        model_refused(model, -result);
}

/* ---- what only cells have -------------------------------------------------------------------- */

static void
op_set_tag(struct model *model, unsigned key)
{
    struct model_object *object = &model->objects[key];
    if (!object->by_cell)
        return;
    uint32_t tag = (uint32_t)random_below(&model->random, 0x1100000);
    section_enter();
    int result = handle_cell_set_tag(model->store, model_cell_of(object), tag);
    section_leave();
    if (tag > 0xffffff) {
        model_check(model, result == -EINVAL || (!object->live && result == -ENOENT));
        return;
    }
    model_check(model, result == (object->live ? 0 : -ENOENT));
    if (object->live)
        object->tag = tag;
}

static void
op_relocate(struct model *model, unsigned key)
{
    struct model_object *object = &model->objects[key];
    handle_cell *from = model_cell_of(object), *to = &object->cells[!object->at];
    if (!object->by_cell || model_has_update(model, key))
        return;
    section_enter();
    bool unlink = random_below(&model->random, 2);
    int result = unlink ? handle_cell_unlink(model->store, from, to)
                        : handle_cell_relocate(model->store, from, to);
    model_check(model, result == (object->live ? 0 : -ENOENT));
    if (object->live)
        object->at = !object->at;
    if (unlink && result == 0) { /* nobody else is there: it may be used again at once */
        model_check(model,
                    handle_cell_deref(model->store, from) == handle_cell_deref(model->store, to));
        __atomic_store_n(&from->word, 0, __ATOMIC_RELEASE);
    }
    model_check(model, is_empty(&object->cells[!object->at]));
    compare_object(model, object);
    section_leave();
}

/* A full cell is refused as a target. */
static void
op_cell_exists(struct model *model, unsigned key)
{
    struct model_object *object = &model->objects[key];
    struct model_object *other = &model->objects[random_below(&model->random, MODEL_KEYS)];
    if (!object->by_cell || !object->live)
        return;
    section_enter();
    errno = 0;
    model_check(model, !handle_cell_alloc(model->store, model_cell_of(object), 10, 0));
    model_check(model, errno == EEXIST);
    if (other->by_cell && other->live) {
        int result =
            handle_cell_relocate(model->store, model_cell_of(other), model_cell_of(object));
        model_check(model, result == -EEXIST);
        compare_object(model, other);
    }
    compare_object(model, object);
    section_leave();
}

/* ---- many at once, stale ones ---------------------------------------------------------------- */

static void
op_deref_many(struct model *model, unsigned key)
{
    enum { MOST = 24 };
    handle_t handles[MOST];
    const void *objects[MOST];
    struct model_object *expected[MOST];
    size_t n = random_below(&model->random, MOST + 1), live = 0;
    for (size_t i = 0; i < n; i++) {
        expected[i] = &model->objects[(key + i * 7) % MODEL_KEYS];
        if (expected[i]->by_cell)
            expected[i] = NULL;
        handles[i] = expected[i] ? expected[i]->handle : HANDLE_NULL;
        live += expected[i] && expected[i]->live;
    }
    section_enter();
    model_check(model, handle_deref_many(model->store, handles, objects, n) == live);
    for (size_t i = 0; i < n; i++) {
        bool there = expected[i] && expected[i]->live;
        model_check(model, (objects[i] != NULL) == there);
        model_check(model,
                    !there || memcmp(objects[i], expected[i]->bytes, expected[i]->size) == 0);
    }
    section_leave();
}

static void
op_stale(struct model *model, unsigned key)
{
    handle_t stale = model->stale[key % MODEL_STALE];
    struct handle_update update;
    section_enter();
    model_check(model, handle_deref(model->store, stale) == NULL);
    model_check(model, handle_deref_mut(model->store, stale) == NULL);
    model_check(model, handle_free(model->store, stale) == -ENOENT);
    model_check(model, handle_free_now(model->store, stale) == -ENOENT);
    model_check(model, handle_resize(model->store, stale, 5) == -ENOENT);
    model_check(model, handle_pin(model->store, stale) == NULL);
    model_check(model, handle_update_begin(model->store, stale, 5, &update) == NULL);
    section_leave();
}

/* Seldom: every handle's object goes at once, cells stay. */
static void
op_clear(struct model *model, unsigned key)
{
    if (!model->alone || key % 64)
        return;
    model_check(model, handle_store_clear(model->store) == 0);
    for (unsigned k = 0; k < MODEL_KEYS; k++)
        if (model->objects[k].live && !model->objects[k].by_cell)
            forget(model, k);
}

/* ---- many in one call ------------------------------------------------------------------------ */

#define MANY 24

/* Keys from `key` on that are nobody's to read: live ones of one kind of name, or such that are not
 * live. Result: how many. */
static size_t
some_keys(struct model *model, unsigned key, bool live, unsigned *keys)
{
    bool by_cell = model->objects[key].by_cell;
    size_t n = 0, wanted = random_below(&model->random, MANY + 1);
    for (unsigned k = key; k < MODEL_KEYS && n < wanted; k++) {
        const struct model_object *object = &model->objects[k];
        if (object->live == live && !model_is_shared(model, k) &&
            (!live || object->by_cell == by_cell))
            keys[n++] = k;
    }
    return n;
}

static void
prepare(struct model *model, struct model_object *object, bool by_cell, unsigned flags)
{
    object->by_cell = by_cell;
    object->flags = flags;
    object->size = model_random_size(model);
    object->bytes = model_random_bytes(model, object->size, false);
}

/* It was made, or not. */
static void
settle_prepared(struct model *model, struct model_object *object, handle_t handle, void *memory)
{
    model_check(model, object->by_cell || (handle != HANDLE_NULL) == (memory != NULL));
    object->handle = object->by_cell ? HANDLE_NULL : handle;
    object->live = memory != NULL;
    if (!memory) {
        free(object->bytes);
        object->bytes = NULL;
        return;
    }
    memcpy(memory, object->bytes, object->size);
    object->tag = 0;
    object->birth++;
    object->incarnation++;
}

static void
op_alloc_many(struct model *model, unsigned key)
{
    unsigned keys[MANY], flags = random_below(&model->random, 8) ? 0 : HANDLE_UNMOVABLE;
    size_t sizes[MANY], made, n = some_keys(model, key, false, keys);
    bool by_cell = random_below(&model->random, 2);
    handle_t handles[MANY] = {0};
    handle_cell *cells[MANY];
    void *objects[MANY];
    for (size_t i = 0; i < n; i++) {
        struct model_object *object = &model->objects[keys[i]];
        prepare(model, object, by_cell, flags);
        sizes[i] = object->size;
        cells[i] = model_cell_of(object);
    }
    section_enter();
    errno = 0;
    made = by_cell ? handle_cell_alloc_many(model->store, cells, sizes, flags, objects, n)
                   : handle_alloc_many(model->store, sizes, flags, handles, objects, n);
    int error = errno;
    for (size_t i = 0; i < n; i++) {
        model_check(model, (objects[i] != NULL) == (i < made));
        settle_prepared(model, &model->objects[keys[i]], handles[i], objects[i]);
    }
    section_leave();
    if (made < n)
        model_refused(model, error);
}

/* Every fourth one is named twice, and a stale handle is among them. */
static void
op_free_many(struct model *model, unsigned key)
{
    unsigned keys[MANY];
    size_t n = some_keys(model, key, true, keys), names = 0;
    bool by_cell = model->objects[key].by_cell;
    handle_t handles[2 * MANY + 1];
    handle_cell *cells[2 * MANY + 1];
    for (size_t i = 0; i < n; i++) {
        for (unsigned times = 0; times <= (i % 4 == 0); times++) {
            handles[names] = model->objects[keys[i]].handle;
            cells[names++] = model_cell_of(&model->objects[keys[i]]);
        }
    }
    handles[names] = model->stale[random_below(&model->random, MODEL_STALE)];
    cells[names++] = NULL;
    section_enter();
    size_t freed = by_cell ? handle_cell_free_many(model->store, cells, names)
                           : handle_free_many(model->store, handles, names);
    section_leave();
    model_check(model, freed == n);
    for (size_t i = 0; i < n; i++)
        forget(model, keys[i]);
}

/* ---- the model ------------------------------------------------------------------------------- */

static const struct operation {
    const char *name;
    unsigned weight;
    void (*run)(struct model *model, unsigned key);
} operations[] = {
    {"alloc", 200, op_alloc},
    {"alloc (plain)", 40, op_alloc_plain},
    {"free", 60, op_free},
    {"free_now", 60, op_free_now},
    {"retire", 20, op_retire},
    {"alloc_many", 8, op_alloc_many},
    {"free_many", 6, op_free_many},
    {"read", 200, op_read},
    {"write", 100, op_write},
    {"resize", 60, op_resize},
    {"pin", 20, model_op_pin},
    {"pin_mut", 10, model_op_pin_mut},
    {"unpin", 30, model_op_unpin},
    {"update_begin", 40, model_op_update_begin},
    {"update_commit", 30, model_op_update_commit},
    {"update_abort", 10, model_op_update_abort},
    {"reserve", 30, model_op_reserve},
    {"publish", 30, model_op_publish},
    {"reserved_abort", 5, model_op_reserved_abort},
    {"set_tag", 40, op_set_tag},
    {"relocate", 40, op_relocate},
    {"full cell", 10, op_cell_exists},
    {"deref_many", 20, op_deref_many},
    {"stale", 10, op_stale},
    {"compaction", 10, model_op_compaction},
    {"retune", 3, model_op_retune},
    {"whole store", 2, model_op_whole_store},
    {"clear", 2, op_clear},
};
#define OPERATIONS (sizeof(operations) / sizeof(operations[0]))

void
model_init(struct model *model, handle_store *store, uint64_t seed)
{
    memset(model, 0, sizeof(*model));
    model->store = store;
    model->seed = seed;
    model->random = seed;
}

void
model_step(struct model *model)
{
    unsigned sum = 0;
    for (size_t i = 0; i < OPERATIONS; i++)
        sum += operations[i].weight;
    uint64_t choice = random_below(&model->random, sum);
    size_t i = 0;
    for (; choice >= operations[i].weight; i++)
        choice -= operations[i].weight;
    model->doing = operations[i].name;
    model->steps++;
    operations[i].run(model, (unsigned)random_below(&model->random, MODEL_KEYS));
    model->doing = NULL;
}

void
model_verify(struct model *model)
{
    for (unsigned key = 0; key < MODEL_KEYS; key++)
        op_read(model, key);
    model_verify_holds(model);
}

void
model_end(struct model *model)
{
    model_release(model);
    for (unsigned key = 0; key < MODEL_KEYS; key++)
        if (model->objects[key].live)
            free_object(model, key, key % 2);
}

void
model_read_published(handle_store *store, const uint64_t *published, unsigned key)
{
    uint64_t handle = __atomic_load_n(&published[key], __ATOMIC_ACQUIRE);
    section_enter();
    const unsigned char *object = handle_deref(store, handle);
    uint64_t head[2];
    if (object) {
        memcpy(head, object, sizeof(head));
        thread_check(mismatch(object + sizeof(head), head[1], head[0]) == head[1]);
    } else { /* gone: then it was taken back before it was freed */
        uint64_t now = __atomic_load_n(&published[key], __ATOMIC_ACQUIRE);
        thread_check(handle == HANDLE_NULL || now != handle);
    }
    section_leave();
}
