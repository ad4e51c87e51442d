/* SPDX-License-Identifier: MIT */
/*
 * engine.c - the operations on one object, and the table that says which byte is which operation.
 *
 * Seen failing: a resize that copies whole words only, relocate that loses the tag, HANDLE_ZERO
 * that leaves small objects as they are, retire that frees at once, publish that loses a bit of the
 * tag.
 */
#include "engine.h"

/* ---- contents -------------------------------------------------------------------------------- */

/* Word i of an object: no two words of one object, nor those of two objects, are likely alike. */
#define STEP UINT64_C(0x9e3779b97f4a7c15)

uint64_t
engine_stamp(struct engine *engine)
{
    return (engine->stamps += UINT64_C(0xd6e8feb86659fd93));
}

void
engine_fill(void *memory, size_t from, size_t size, uint64_t stamp)
{
    unsigned char *bytes = memory;
    for (size_t at = from & ~(size_t)7; at < size; at += 8) {
        uint64_t word = stamp + at * STEP;
        memcpy(bytes + at, &word, size - at < 8 ? size - at : 8);
    }
}

bool
engine_holds_stamp(const void *memory, size_t size, uint64_t stamp)
{
    const unsigned char *bytes = memory;
    uint64_t differs = 0;
    size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t word;
        memcpy(&word, bytes + at, 8);
        differs |= word ^ (stamp + at * STEP);
    }
    uint64_t last = stamp + at * STEP;
    return differs == 0 && memcmp(bytes + at, &last, size - at) == 0;
}

/* Mostly small; one in seven of a class whose spans hold few objects, so that compaction has work;
 * one in 16 up to a few KiB, seldom a large object. */
uint32_t
engine_size(struct engine *engine)
{
    unsigned kind = take_byte(engine->source);
    if (kind < 192)
        return kind % 96;
    if (kind < 230)
        return 1000;
    if (kind < 240)
        return take_word(engine->source) % 1024;
    if (kind < 248 || !take_rare(engine->source, 5))
        return take_word(engine->source) % 4096;
    return (take_word(engine->source) << 3) % 300000;
}

/* ---- resolving ------------------------------------------------------------------------------- */

const void *
engine_resolve(struct engine *engine, struct object *object)
{
    return object->by_cell ? handle_cell_deref(engine->store, cell_of(object))
                           : handle_deref(engine->store, object->handle);
}

void *
engine_resolve_mut(struct engine *engine, struct object *object)
{
    return object->by_cell ? handle_cell_deref_mut(engine->store, cell_of(object))
                           : handle_deref_mut(engine->store, object->handle);
}

static size_t
size_of(struct engine *engine, struct object *object)
{
    return object->by_cell ? handle_cell_size(engine->store, cell_of(object))
                           : handle_size(engine->store, object->handle);
}

void
engine_compare(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    const void *memory = engine_resolve(engine, object);
    fuzz_check((memory != NULL) == object->live);
    if (!memory)
        return;
    fuzz_check(engine_holds_stamp(memory, object->size, object->stamp));
    fuzz_check(size_of(engine, object) == object->size);
}

void
engine_refused(struct engine *engine, int error)
{
    fuzz_check(engine->limited);
    fuzz_check(error == ENOMEM || error == EAGAIN);
}

/* ---- operations on one object ---------------------------------------------------------------- */

static void
op_read(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    engine_compare(engine, key);
    if (object->live && key % 16 == 0)
        engine_note_read(engine, key, engine_resolve(engine, object));
    if (!object->by_cell)
        return;
    uint32_t tag = ~0u;
    const void *memory = handle_cell_read(engine->store, cell_of(object), &tag);
    fuzz_check((memory != NULL) == object->live);
    fuzz_check(tag == (object->live ? object->tag : 0));
}

void
engine_born(struct object *object, uint32_t size, uint64_t stamp)
{
    object->live = true;
    object->tag = 0;
    object->birth++;
    object->incarnation++;
    object->size = size;
    object->stamp = stamp;
}

static void
born(struct engine *engine, struct object *object, void *memory)
{
    engine_born(object, object->size, engine_stamp(engine));
    engine_fill(memory, 0, object->size, object->stamp);
}

static void
op_alloc(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    if (object->live) {
        op_read(engine, key);
        return;
    }
    void *memory = NULL;
    unsigned flags = take_byte(engine->source);
    object->by_cell = flags & 0x80;
    object->flags = flags % 32 < 4 ? flags % 4 : 0;
    object->size = engine_size(engine);
    errno = 0;
    if (object->by_cell)
        memory = handle_cell_alloc(engine->store, cell_of(object), object->size, object->flags);
    else
        object->handle = handle_alloc_object(engine->store, object->size, object->flags, &memory);
    if (!memory) {
        object->handle = HANDLE_NULL;
        engine_refused(engine, errno);
        return;
    }
    for (size_t i = 0; object->flags & HANDLE_ZERO && i < object->size; i++)
        fuzz_check(((const unsigned char *)memory)[i] == 0);
    born(engine, object, memory);
}

/* handle_alloc: live at once, filled through deref_mut. */
static void
op_alloc_plain(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    if (object->live)
        return;
    object->size = engine_size(engine);
    object->flags = 0;
    object->by_cell = false;
    errno = 0;
    object->handle = handle_alloc(engine->store, object->size);
    if (object->handle == HANDLE_NULL) {
        engine_refused(engine, errno);
        return;
    }
    void *memory = handle_deref_mut(engine->store, object->handle);
    fuzz_check(memory != NULL);
    born(engine, object, memory);
}

/* The map's half of a free. */
static void
left(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    engine_left_slot(engine, key);
    object->live = false;
    if (object->by_cell)
        fuzz_check(cell_of(object)->word == 0);
    else
        engine->stale[engine->next_stale++ % STALE] = object->handle;
}

void
engine_free(struct engine *engine, unsigned key, bool now)
{
    struct object *object = &engine->objects[key];
    int result;
    if (object->by_cell)
        result = now ? handle_cell_free_now(engine->store, cell_of(object))
                     : handle_cell_free(engine->store, cell_of(object));
    else
        result = now ? handle_free_now(engine->store, object->handle)
                     : handle_free(engine->store, object->handle);
    fuzz_check(result == (object->live ? 0 : -ENOENT));
    if (!object->live)
        return;
    if (now)
        engine_forget_reads(engine, key);
    left(engine, key);
}

static void
op_free(struct engine *engine, unsigned key)
{
    engine_free(engine, key, false);
}

static void
op_free_now(struct engine *engine, unsigned key)
{
    engine_free(engine, key, true);
}

/* Sections that are open resolve it, for reading; half of them are freed at once all the same. */
static void
op_retire(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    handle_store *store = engine->store;
    handle_t handle = object->handle;
    if (object->by_cell)
        return;
    fuzz_check(handle_retire(store, handle) == (object->live ? 0 : -ENOENT));
    if (!object->live)
        return;
    const void *memory = handle_deref(store, handle);
    fuzz_check(memory && engine_holds_stamp(memory, object->size, object->stamp));
    fuzz_check(handle_size(store, handle) == object->size);
    fuzz_check(handle_deref_mut(store, handle) == NULL && handle_pin(store, handle) == NULL);
    fuzz_check(handle_resize(store, handle, 9) == -ENOENT);
    fuzz_check(handle_retire(store, handle) == -ENOENT);
    engine_left_slot(engine, key);
    object->live = false;
    object->handle = HANDLE_NULL; /* it goes stale when the grace period has ended */
    if (take_byte(engine->source) % 2) {
        fuzz_check(handle_free(store, handle) == 0 && handle_deref(store, handle) == NULL);
        engine->stale[engine->next_stale++ % STALE] = handle;
    }
}

static void
op_write(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    void *memory = engine_resolve_mut(engine, object);
    fuzz_check((memory != NULL) == object->live);
    if (!memory)
        return;
    engine_forget_reads(engine, key);
    fuzz_check(engine_holds_stamp(memory, object->size, object->stamp));
    object->stamp = engine_stamp(engine);
    engine_fill(memory, 0, object->size, object->stamp);
}

/* Odd sizes with a capacity of eight times as much. */
static int
resize(struct engine *engine, struct object *object, uint32_t size)
{
    size_t capacity = size & 1 ? 8 * (size_t)size : 0;
    if (object->by_cell)
        return capacity ? handle_cell_resize_reserve(engine->store, cell_of(object), size, capacity)
                        : handle_cell_resize(engine->store, cell_of(object), size);
    return capacity ? handle_resize_reserve(engine->store, object->handle, size, capacity)
                    : handle_resize(engine->store, object->handle, size);
}

static void
op_resize(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    uint32_t size = engine_size(engine), kept = size < object->size ? size : object->size;
    engine_forget_reads(engine, key);
    int result = resize(engine, object, size);
    if (!object->live || object->written) {
        fuzz_check(result == (object->live ? -EBUSY : -ENOENT));
        return;
    }
    if (result) {
        engine_refused(engine, -result);
        return;
    }
    engine_left_slot(engine, key); /* a pinned one always does */
    void *memory = engine_resolve_mut(engine, object);
    fuzz_check(memory && engine_holds_stamp(memory, kept, object->stamp));
    object->size = size;
    engine_fill(memory, kept, size, object->stamp);
}

static void
op_set_tag(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    uint32_t tag = take_word(engine->source) * 513; /* one in 512 is too large */
    if (!object->by_cell)
        return;
    int result = handle_cell_set_tag(engine->store, cell_of(object), tag);
    if (tag > 0xffffff)
        fuzz_check(result == -EINVAL);
    else
        fuzz_check(result == (object->live ? 0 : -ENOENT));
    if (result == 0)
        object->tag = tag;
}

static void
op_relocate(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key];
    if (!object->by_cell || engine_has_version(engine, key))
        return;
    handle_cell *from = cell_of(object), *to = &object->cells[!object->at];
    bool unlink = take_byte(engine->source) & 1;
    int result = unlink ? handle_cell_unlink(engine->store, from, to)
                        : handle_cell_relocate(engine->store, from, to);
    fuzz_check(result == (object->live ? 0 : -ENOENT));
    if (unlink && result == 0) {
        fuzz_check(handle_cell_deref(engine->store, from) == handle_cell_deref(engine->store, to));
        __atomic_store_n(&from->word, 0, __ATOMIC_RELEASE);
    }
    fuzz_check(from->word == 0);
    if (object->live)
        object->at = !object->at;
    engine_compare(engine, key);
}

/* A full cell is refused as a target, whoever asks. */
static void
op_full_cell(struct engine *engine, unsigned key)
{
    struct object *object = &engine->objects[key], *other;
    if (!object->by_cell || !object->live)
        return;
    errno = 0;
    fuzz_check(!handle_cell_alloc(engine->store, cell_of(object), 8, 0) && errno == EEXIST);
    other = &engine->objects[take_word(engine->source) % KEYS];
    if (other->by_cell && other->live)
        fuzz_check(handle_cell_relocate(engine->store, cell_of(other), cell_of(object)) == -EEXIST);
    engine_compare(engine, key);
}

static void
op_deref_many(struct engine *engine, unsigned key)
{
    enum { MOST = 40 };
    handle_t handles[MOST];
    handle_cell *cells[MOST];
    const void *by_handle[MOST], *by_cell[MOST];
    size_t n = take_byte(engine->source) % (MOST + 1), live[2] = {0, 0};
    for (size_t i = 0; i < n; i++) {
        struct object *object = &engine->objects[(key + i) % KEYS];
        handles[i] = object->by_cell ? HANDLE_NULL : object->handle;
        cells[i] = &object->cells[object->at];
        live[object->by_cell] += object->live;
    }
    fuzz_check(handle_deref_many(engine->store, handles, by_handle, n) == live[0]);
    fuzz_check(handle_cell_deref_many(engine->store, cells, by_cell, n) == live[1]);
    for (size_t i = 0; i < n; i++) {
        struct object *object = &engine->objects[(key + i) % KEYS];
        const void *memory = object->by_cell ? by_cell[i] : by_handle[i];
        fuzz_check((memory != NULL) == object->live);
        fuzz_check(!memory || engine_holds_stamp(memory, object->size, object->stamp));
    }
}

#define MANY 40

/* Keys of one kind of name from `key` on, live or not. Result: how many. */
static size_t
some_keys(struct engine *engine, unsigned key, bool live, unsigned *keys, size_t most)
{
    bool by_cell = engine->objects[key].by_cell;
    size_t n = 0, wanted = take_byte(engine->source) % (most + 1);
    for (unsigned i = 0; i < 2 * most && n < wanted; i++) {
        unsigned at = (key + i) % KEYS;
        bool fits = live ? engine->objects[at].by_cell == by_cell : !engine->objects[at].live;
        if (fits)
            keys[n++] = at;
    }
    return n;
}

static void
op_alloc_many(struct engine *engine, unsigned key)
{
    unsigned keys[MANY], byte = take_byte(engine->source);
    size_t sizes[MANY], n = some_keys(engine, key, false, keys, MANY);
    bool by_cell = byte & 0x80;
    uint8_t flags = byte % 32 < 4 ? byte % 4 : 0;
    handle_t handles[MANY];
    handle_cell *cells[MANY];
    void *objects[MANY];
    for (size_t i = 0; i < n; i++) {
        struct object *object = &engine->objects[keys[i]];
        object->by_cell = by_cell;
        object->flags = flags;
        sizes[i] = object->size = engine_size(engine);
        cells[i] = cell_of(object);
        object->handle = HANDLE_NULL;
    }
    errno = 0;
    size_t made = by_cell ? handle_cell_alloc_many(engine->store, cells, sizes, flags, objects, n)
                          : handle_alloc_many(engine->store, sizes, flags, handles, objects, n);
    if (made < n)
        engine_refused(engine, errno);
    for (size_t i = 0; i < n; i++) {
        fuzz_check((objects[i] != NULL) == (i < made));
        fuzz_check(by_cell || (handles[i] != HANDLE_NULL) == (i < made));
        if (i >= made)
            continue;
        engine->objects[keys[i]].handle = by_cell ? HANDLE_NULL : handles[i];
        born(engine, &engine->objects[keys[i]], objects[i]);
    }
}

/* Some of them are not there; every fourth one is named twice. */
static void
op_free_many(struct engine *engine, unsigned key)
{
    unsigned keys[MANY];
    size_t n = some_keys(engine, key, true, keys, MANY / 2), names = 0, live = 0;
    bool by_cell = engine->objects[key].by_cell;
    handle_t handles[MANY];
    handle_cell *cells[MANY];
    for (size_t i = 0; i < n; i++) {
        struct object *object = &engine->objects[keys[i]];
        live += object->live;
        for (unsigned times = 0; times <= (i % 4 == 0); times++) {
            handles[names] = object->handle;
            cells[names++] = cell_of(object);
        }
    }
    size_t freed = by_cell ? handle_cell_free_many(engine->store, cells, names)
                           : handle_free_many(engine->store, handles, names);
    fuzz_check(freed == live);
    for (size_t i = 0; i < n; i++)
        if (engine->objects[keys[i]].live)
            left(engine, keys[i]);
}

/* A handle that was freed never names anything again. */
static void
op_stale(struct engine *engine, unsigned key)
{
    handle_t stale = engine->stale[key % STALE];
    struct handle_update update;
    handle_store *store = engine->store;
    fuzz_check(handle_deref(store, stale) == NULL && handle_deref_mut(store, stale) == NULL);
    fuzz_check(handle_size(store, stale) == 0);
    fuzz_check(handle_free(store, stale) == -ENOENT);
    fuzz_check(handle_free_now(store, stale) == -ENOENT);
    fuzz_check(handle_resize(store, stale, 9) == -ENOENT);
    errno = 0;
    fuzz_check(handle_pin(store, stale) == NULL && errno == ENOENT);
    errno = 0;
    fuzz_check(handle_update_begin(store, stale, 9, &update) == NULL && errno == ENOENT);
}

static void
op_pin(struct engine *engine, unsigned key)
{
    engine_pin(engine, key, key % 4 == 0);
}

static void
op_unpin(struct engine *engine, unsigned key)
{
    engine_unpin(engine, key % PINS);
}

static void
op_update_begin(struct engine *engine, unsigned key)
{
    engine_update_begin(engine, key);
}

static void
op_update_commit(struct engine *engine, unsigned key)
{
    engine_update_end(engine, key % UPDATES, true);
}

static void
op_update_abort(struct engine *engine, unsigned key)
{
    engine_update_end(engine, key % UPDATES, false);
}

static void
op_reserve(struct engine *engine, unsigned key)
{
    engine_reserve(engine, key % RESERVED);
}

static void
op_publish(struct engine *engine, unsigned key)
{
    unsigned byte = take_byte(engine->source);
    if (byte < 224)
        engine_publish(engine, key, byte % RESERVED);
    else
        engine_abort(engine, byte % RESERVED);
}

static void
op_section(struct engine *engine, unsigned key)
{
    (void)key;
    engine_leave(engine);
    engine_enter(engine);
}

static void
op_whole(struct engine *engine, unsigned key)
{
    (void)key;
    if (take_rare(engine->source, 8))
        engine_whole_store(engine);
}

/* ---- which byte is which operation ----------------------------------------------------------- */

static const struct {
    unsigned below; /* bytes below this, and not below the one before */
    void (*run)(struct engine *engine, unsigned key);
} operations[] = {
    {74, op_read},          {76, op_reserve},      {78, op_publish},       {80, op_retire},
    {128, op_alloc},        {152, op_free},        {184, op_free_now},     {200, op_write},
    {208, op_resize},       {212, op_set_tag},     {216, op_relocate},     {217, op_full_cell},
    {218, op_deref_many},   {219, op_alloc_many},  {220, op_free_many},    {221, op_stale},
    {225, op_pin},          {229, op_unpin},       {232, op_update_begin}, {235, op_update_commit},
    {236, op_update_abort}, {244, op_alloc_plain}, {252, op_section},      {256, op_whole},
};

static void (*by_byte[256])(struct engine *engine, unsigned key);

static void
make_table(void)
{
    for (unsigned byte = 0, i = 0; byte < 256; byte++) {
        i += byte == operations[i].below;
        by_byte[byte] = operations[i].run;
    }
}

void
engine_step(struct engine *engine)
{
    if (!by_byte[0])
        make_table();
    unsigned byte = take_byte(engine->source);
    fuzz_operations++;
    by_byte[byte](engine, take_word(engine->source) % KEYS);
}
