/* SPDX-License-Identifier: MIT */
/*
 * keys.c - objects by handle. Readers check that a key that is present resolves, to contents that
 * are whole and not older than what was published before; writers hold the key's lock and check
 * every answer exactly. Pins and versions are kept over several operations.
 *
 * Seen failing:
 *   a free makes its slot reusable at once                "freed in this section"
 *   a free leaves the generation as it is                 "stale handle"; "free of the stale"
 *   a move copies before the grace period                 "moved while it was being written"
 *   ... its source is reclaimed before the one after      "a constant has changed", after 30 s
 *   HANDLE_ZERO ignored                                   "not zero"
 *   a move, a resize copies 8 bytes less                  "not what its only writer left"
 *   freed slots reused although pinned                    "pinned contents are wrong"
 *   pins ignored by the mover; no move cancelled          "reported without reason", unpin's
 *   a commit that does not look which version it saw      "reported without reason", its own
 *   retire frees at once                                  "it does not resolve"
 */
#include "torture.h"

static const void *mailbox[8 * STORES]; /* pins that one thread took and another ends */

/* Most objects are of a few sizes, so that their classes have several spans and the mover has
 * something to do. */
size_t
random_length(struct worker *worker)
{
    /* 2036 and up to 7 more: to 2040 by the fast path. */
    static const size_t common[] = {200, 960, 2036};
    uint64_t kind = roll(worker, 1000);
    if (kind < 700)
        return common[roll(worker, 3)] + roll(worker, 8);
    if (kind < 900)
        return STAMP_BYTES + roll(worker, 1000);
    if (kind < 998)
        return STAMP_BYTES + roll(worker, 12000);
    return STAMP_BYTES + roll(worker, 150000);
}

static bool
is_zero(const unsigned char *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static struct key *
random_key(struct worker *worker, struct heap *heap, uint64_t *name)
{
    /* half of all operations meet on a few keys */
    unsigned index = (unsigned)roll(worker, roll(worker, 2) ? KEYS : 8);
    *name = object_name(heap, KIND_KEY, index);
    return &heap->keys[index];
}

/* ---- readers --------------------------------------------------------------------------------- */

/* Resolved to nothing: right only if the handle was withdrawn, which is done before it is freed. */
static void
missed(struct key *key, uint64_t handle, uint64_t name)
{
    if (handle != HANDLE_NULL && __atomic_load_n(&key->handle, __ATOMIC_ACQUIRE) == handle)
        finding("object %llx: live handle %llx does not resolve", (unsigned long long)name,
                (unsigned long long)handle);
}

void
op_read(struct worker *worker, struct heap *heap)
{
    uint64_t name;
    struct key *key = random_key(worker, heap, &name);
    uint64_t state = __atomic_load_n(&key->state, __ATOMIC_ACQUIRE);
    uint64_t handle = __atomic_load_n(&key->handle, __ATOMIC_ACQUIRE);
    section_enter();
    const void *object = handle_deref(heap->store, handle);
    if (object) {
        key_verify(worker, key, name, state, object);
        linger(worker, 20);
        key_verify(worker, key, name, state, object); /* still, at the end of the section */
    } else {
        missed(key, handle, name);
    }
    section_leave();
}

void
op_read_constant(struct worker *worker, struct heap *heap)
{
    unsigned index = (unsigned)roll(worker, CONSTANTS);
    uint64_t name = object_name(heap, KIND_CONSTANT, index), version = 0;
    size_t length = 0;
    section_enter();
    const void *object = handle_deref(heap->store, heap->constants[index]);
    worker->counters.derefs++;
    tarry(worker);
    if (!object)
        finding("constant %llx does not resolve", (unsigned long long)name);
    else if (stamp_verify(object, name, &version, &length) != STAMP_GOOD || version != 1)
        stamp_finding("a constant has changed", object, name, 1);
    section_leave();
}

void
op_read_many(struct worker *worker, struct heap *heap)
{
    enum { MOST = 24 };
    struct key *keys[MOST];
    uint64_t names[MOST], states[MOST];
    handle_t handles[MOST];
    const void *objects[MOST];
    size_t n = 1 + roll(worker, MOST), live = 0;
    for (size_t i = 0; i < n; i++) {
        keys[i] = random_key(worker, heap, &names[i]);
        states[i] = __atomic_load_n(&keys[i]->state, __ATOMIC_ACQUIRE);
        handles[i] = __atomic_load_n(&keys[i]->handle, __ATOMIC_ACQUIRE);
    }
    section_enter();
    size_t found = handle_deref_many(heap->store, handles, objects, n);
    for (size_t i = 0; i < n; i++) {
        live += objects[i] != NULL;
        if (objects[i])
            key_verify(worker, keys[i], names[i], states[i], objects[i]);
        else
            missed(keys[i], handles[i], names[i]);
    }
    section_leave();
    if (found != live)
        finding("deref_many: %zu live, %zu reported", live, found);
}

/* A handle that was freed never names another object. */
void
op_stale(struct worker *worker, struct heap *heap)
{
    uint64_t name;
    struct key *key = random_key(worker, heap, &name);
    uint64_t stale = __atomic_load_n(&key->stale, __ATOMIC_ACQUIRE);
    section_enter();
    if (handle_deref(heap->store, stale))
        finding("stale handle %llx resolves", (unsigned long long)stale);
    int result = handle_free(heap->store, stale);
    if (result != -ENOENT)
        finding("free of the stale handle %llx: %d", (unsigned long long)stale, result);
    section_leave();
}

/* ---- writers: with the key's lock ------------------------------------------------------------ */

/* In a section: the object for writing, verified to be exactly the version that the key says. */
static void *
writable(struct worker *worker, struct heap *heap, struct key *key, uint64_t name)
{
    void *object = handle_deref_mut(heap->store, key->handle);
    if (!object) {
        finding("object %llx: deref_mut of a live handle gives nothing", (unsigned long long)name);
        return NULL;
    }
    worker->counters.derefs++;
    if (!stamp_is(object, name, key_version(key), key->length))
        stamp_finding("not what its only writer left", object, name, key_version(key));
    if (handle_size(heap->store, key->handle) != key->size)
        finding("object %llx: size %zu instead of %zu", (unsigned long long)name,
                handle_size(heap->store, key->handle), key->size);
    return object;
}

void
op_write(struct worker *worker, struct heap *heap)
{
    uint64_t name;
    struct key *key = random_key(worker, heap, &name);
    if (!try_lock(&key->locked))
        return;
    if (key_present(key)) {
        section_enter();
        void *object = writable(worker, heap, key, name);
        linger(worker, 3);
        tarry(worker);
        /* nobody replaces it, and no move takes effect before this section ends (G3) */
        if (object != handle_deref(heap->store, key->handle))
            finding("object %llx moved while it was being written", (unsigned long long)name);
        if (object) {
            stamp_rewrite(object, name, key_version(key) + 1, key->length);
            key_advance(key, true);
        }
        section_leave();
    }
    unlock(&key->locked);
}

/* Begins a version and commits it in the same section or in a later one. With the lock held there
 * is nobody to conflict with: a move of the old version is never a conflict. */
static void
update_locked(struct worker *worker, struct heap *heap, struct key *key, uint64_t name)
{
    struct handle_update update;
    size_t length = random_length(worker);
    bool two_sections = roll(worker, 4) == 0;
    section_enter();
    errno = 0;
    void *object = handle_update_begin(heap->store, key->handle, length, &update);
    int error = errno, result = 0;
    if (object && two_sections) {
        section_leave();
        dawdle(worker);
        section_enter();
    }
    if (object) {
        stamp_fill(object, name, key_version(key) + 1, length);
        result = handle_update_commit(heap->store, &update);
        if (result == 0) {
            key->length = key->size = length;
            key->written_pin = false;
            key->incarnation++;
            key_advance(key, true);
        }
    }
    section_leave();
    worker->counters.updates++;
    if (result)
        finding("object %llx: commit without a rival: %d", (unsigned long long)name, result);
    if (!object)
        allocation_refused(worker, heap, error);
}

void
op_update(struct worker *worker, struct heap *heap)
{
    uint64_t name;
    struct key *key = random_key(worker, heap, &name);
    if (!try_lock(&key->locked))
        return;
    if (key_present(key))
        update_locked(worker, heap, key, name);
    unlock(&key->locked);
}

/* To another size that holds the contents: readers need not know which of both they see. */
void
op_resize(struct worker *worker, struct heap *heap)
{
    uint64_t name;
    struct key *key = random_key(worker, heap, &name);
    if (!try_lock(&key->locked))
        return;
    size_t size = key->length + roll(worker, key->length + 50);
    int result = 0;
    if (key_present(key) && size != key->size) {
        section_enter();
        result = handle_resize(heap->store, key->handle, size);
        if (result == 0) {
            key->size = size;
            key->incarnation++;
            worker->counters.resizes++;
        }
        if (result == -EBUSY && !key->written_pin)
            finding("object %llx: busy, but never pinned for writing", (unsigned long long)name);
        writable(worker, heap, key, name);
        section_leave();
    }
    unlock(&key->locked);
    if (result && result != -EBUSY)
        allocation_refused(worker, heap, -result);
}

/* The key has its object from now on. */
static void
appear(struct worker *worker, struct key *key, handle_t handle, size_t length)
{
    key->length = key->size = length;
    key->written_pin = false;
    key->incarnation++;
    worker->counters.allocs++;
    __atomic_store_n(&key->handle, handle, __ATOMIC_RELEASE);
    key_advance(key, true);
}

/* Result: errno of a refused allocation. */
static int
alloc_absent(struct worker *worker, struct heap *heap, struct key *key, uint64_t name)
{
    size_t length = random_length(worker);
    void *object = NULL;
    unsigned flags = (unsigned)roll(worker, 32); /* a few zeroed, a few unmovable */
    section_enter();
    errno = 0;
    handle_t handle = handle_alloc_object(heap->store, length, flags < 4 ? flags : 0, &object);
    int error = errno;
    if (object && flags < 4 && flags & HANDLE_ZERO && !is_zero(object, length))
        finding("object %llx: not zero", (unsigned long long)name);
    dawdle(worker); /* live, not yet filled */
    if (handle != HANDLE_NULL) {
        stamp_fill(object, name, key_version(key) + 1, length);
        appear(worker, key, handle, length);
        error = 0;
    }
    section_leave();
    return error;
}

/* The same, whole when it is seen first. */
static int
publish_absent(struct worker *worker, struct heap *heap, struct key *key, uint64_t name)
{
    struct handle_reserved reserved;
    size_t length = random_length(worker);
    errno = 0;
    if (!handle_reserve(heap->store, length, 0, &reserved))
        return errno;
    stamp_fill(reserved.object, name, key_version(key) + 1, length);
    dawdle(worker);
    handle_t handle = handle_publish(heap->store, &reserved);
    int error = errno;
    if (handle == HANDLE_NULL) {
        handle_reserved_abort(heap->store, &reserved);
        return error;
    }
    appear(worker, key, handle, length);
    return 0;
}

void
op_alloc(struct worker *worker, struct heap *heap)
{
    uint64_t name;
    struct key *key = random_key(worker, heap, &name);
    if (!try_lock(&key->locked))
        return;
    int error = 0;
    if (!key_present(key))
        error = roll(worker, 2) ? alloc_absent(worker, heap, key, name)
                                : publish_absent(worker, heap, key, name);
    unlock(&key->locked);
    if (error)
        allocation_refused(worker, heap, error);
}

/* In a section: objects that nobody else ever sees, of this length or (0) of any: allocated,
 * filled, freed at once. Result: errno of a refused allocation. */
static int
private_objects(struct worker *worker, struct heap *heap, size_t length)
{
    handle_t handles[20];
    size_t lengths[20];
    int error = 0;
    unsigned n = 0, most = 1 + (unsigned)roll(worker, 20);
    for (; n < most && !error; n++) {
        void *object = NULL;
        lengths[n] = length ? length : random_length(worker);
        errno = 0;
        handles[n] = handle_alloc_object(heap->store, lengths[n], 0, &object);
        error = handles[n] == HANDLE_NULL ? errno : 0;
        if (!error)
            stamp_fill(object, n, 3, lengths[n]);
    }
    for (unsigned i = 0; i < (error ? n - 1 : n); i++) {
        const void *object = handle_deref(heap->store, handles[i]);
        if (!object || !stamp_is(object, i, 3, lengths[i]))
            finding("a private object is not what was written");
        if (handle_free_now(heap->store, handles[i]))
            finding("free_now of a private object failed");
    }
    return error;
}

void
op_private(struct worker *worker, struct heap *heap)
{
    section_enter();
    int error = private_objects(worker, heap, 0);
    section_leave();
    if (error)
        allocation_refused(worker, heap, error);
}

/* In a section: however much is allocated, what was resolved in it before its free stays as it was
 * (G2). Result: errno of a refused allocation. */
static int
crowd(struct worker *worker, struct heap *heap, struct key *key, uint64_t name, const void *object)
{
    int error = 0;
    if (roll(worker, 4) == 0)
        error = private_objects(worker, heap, key->size);
    if (object && !stamp_is(object, name, key_version(key), key->length))
        stamp_finding("freed in this section, and changed", object, name, key_version(key));
    return error;
}

/* Withdrawn first, then freed: a reader that misses it finds it withdrawn. */
/* In a section, which resolves the handle to its end; some are freed at once all the same. */
static void
retire(struct worker *worker, struct heap *heap, struct key *key, uint64_t name)
{
    handle_t handle = key->handle;
    section_enter();
    key_leave(key);
    __atomic_store_n(&key->handle, HANDLE_NULL, __ATOMIC_RELEASE);
    int result = handle_retire(heap->store, handle);
    if (result)
        finding("object %llx: retire: %d", (unsigned long long)name, result);
    tarry(worker);
    const void *object = handle_deref(heap->store, handle);
    if (!object || handle_size(heap->store, handle) != key->size)
        finding("object %llx: retired in this section, it does not resolve",
                (unsigned long long)name);
    else if (!stamp_is(object, name, key_version(key), key->length))
        stamp_finding("retired in this section", object, name, key_version(key));
    if (roll(worker, 8) == 0 && handle_free(heap->store, handle))
        finding("object %llx: free after retire failed", (unsigned long long)name);
    section_leave();
    key->incarnation++;
    key_advance(key, false);
    worker->counters.frees++;
}

void
op_free(struct worker *worker, struct heap *heap)
{
    uint64_t name;
    struct key *key = random_key(worker, heap, &name);
    if (!try_lock(&key->locked))
        return;
    int error = 0;
    if (key_present(key) && roll(worker, 4) == 0) {
        retire(worker, heap, key, name);
    } else if (key_present(key)) {
        handle_t handle = key->handle;
        section_enter();
        const void *object = handle_deref(heap->store, handle);
        key_leave(key);
        __atomic_store_n(&key->handle, HANDLE_NULL, __ATOMIC_RELEASE);
        int result = handle_free(heap->store, handle);
        if (result)
            finding("object %llx: free: %d", (unsigned long long)name, result);
        error = crowd(worker, heap, key, name, object);
        section_leave();
        __atomic_store_n(&key->stale, handle, __ATOMIC_RELEASE);
        key->incarnation++;
        key_advance(key, false);
        worker->counters.frees++;
    }
    unlock(&key->locked);
    if (error)
        allocation_refused(worker, heap, error);
}

/* Locks keys that are present. Result: how many. */
static size_t
lock_several(struct worker *worker, struct heap *heap, struct key **keys, size_t most)
{
    uint64_t name;
    size_t n = 0, wanted = 1 + roll(worker, (unsigned)most);
    for (size_t i = 0; i < wanted; i++) {
        struct key *key = random_key(worker, heap, &name);
        if (!try_lock(&key->locked))
            continue;
        if (key_present(key))
            keys[n++] = key;
        else
            unlock(&key->locked);
    }
    return n;
}

/* Several in one call, withdrawn first; their handles of the time before are stale, and among them.
 * In a section now and then. */
void
op_free_many(struct worker *worker, struct heap *heap)
{
    enum { MOST = 12 };
    struct key *keys[MOST];
    handle_t handles[2 * MOST];
    size_t n = lock_several(worker, heap, keys, MOST);
    bool inside = roll(worker, 2);
    for (size_t i = 0; i < n; i++) {
        handles[2 * i] = keys[i]->handle;
        handles[2 * i + 1] = keys[i]->stale;
        key_leave(keys[i]);
        __atomic_store_n(&keys[i]->handle, HANDLE_NULL, __ATOMIC_RELEASE);
    }
    if (inside)
        section_enter();
    size_t freed = handle_free_many(heap->store, handles, 2 * n);
    if (inside)
        section_leave();
    if (freed != n)
        finding("free_many: %zu freed of %zu that are live", freed, n);
    for (size_t i = 0; i < n; i++) {
        __atomic_store_n(&keys[i]->stale, handles[2 * i], __ATOMIC_RELEASE);
        keys[i]->incarnation++;
        key_advance(keys[i], false);
        worker->counters.frees++;
        unlock(&keys[i]->locked);
    }
}

/* ---- held over several operations ------------------------------------------------------------ */

static struct hold *
unused_hold(struct worker *worker)
{
    struct hold *hold = &worker->holds[roll(worker, HOLDS)];
    return hold->pinned || hold->updating ? NULL : hold;
}

static void
verify_pinned(const void *object, uint64_t name)
{
    uint64_t version = 0;
    size_t length = 0;
    if (stamp_verify(object, name, &version, &length) == STAMP_BAD)
        stamp_finding("pinned contents are wrong", object, name, 0);
}

/* Readers pin without the lock; the object may be replaced or freed meanwhile, its bytes stay. */
void
op_pin(struct worker *worker, struct heap *heap)
{
    uint64_t name;
    struct key *key = random_key(worker, heap, &name);
    struct hold *hold = unused_hold(worker);
    if (!hold)
        return;
    uint64_t handle = __atomic_load_n(&key->handle, __ATOMIC_ACQUIRE);
    section_enter();
    errno = 0;
    const void *object = handle_pin(heap->store, handle);
    int error = errno;
    section_leave();
    if (!object) {
        if (error == ENOENT)
            missed(key, handle, name);
        else
            allocation_refused(worker, heap, error);
        return;
    }
    worker->counters.pins++;
    verify_pinned(object, name);
    *hold = (struct hold){.heap = heap, .pinned = object, .name = name};
}

/* Writes through the pin, outside sections, holding the lock; the pin itself outlasts it. */
void
op_pin_mut(struct worker *worker, struct heap *heap)
{
    uint64_t name;
    struct key *key = random_key(worker, heap, &name);
    struct hold *hold = unused_hold(worker);
    if (!hold || !try_lock(&key->locked))
        return;
    void *object = NULL;
    if (key_present(key)) {
        section_enter();
        object = handle_pin_mut(heap->store, key->handle);
        section_leave();
    }
    if (object) {
        worker->counters.pins++;
        key->written_pin = true;
        dawdle(worker);
        stamp_rewrite(object, name, key_version(key) + 1, key->length);
        key_advance(key, true);
        *hold = (struct hold){.heap = heap, .pinned = object, .name = name};
    }
    unlock(&key->locked);
}

/* Begins a version that is committed some operations later, against whatever happens meanwhile. */
void
op_hold_update(struct worker *worker, struct heap *heap)
{
    uint64_t name;
    struct key *key = random_key(worker, heap, &name);
    struct hold *hold = unused_hold(worker);
    if (!hold || !try_lock(&key->locked))
        return;
    int error = 0;
    if (key_present(key)) {
        struct hold next = {.heap = heap,
                            .name = name,
                            .updating = true,
                            .key = key,
                            .handle = key->handle,
                            .incarnation = key->incarnation};
        next.size = random_length(worker);
        section_enter();
        errno = 0;
        if (handle_update_begin(heap->store, key->handle, next.size, &next.update))
            *hold = next;
        else
            error = errno;
        section_leave();
    }
    unlock(&key->locked);
    if (error)
        allocation_refused(worker, heap, error);
}

/* With the lock the answer is known: committed, or told exactly what happened since begin. */
static void
commit_hold(struct worker *worker, struct hold *hold)
{
    struct key *key = hold->key;
    int expected = 0;
    if (key->handle != hold->handle)
        expected = -ENOENT;
    else if (key->incarnation != hold->incarnation)
        expected = -EAGAIN;
    stamp_fill(hold->update.object, hold->name, key_version(key) + 1, hold->size);
    section_enter();
    int result = handle_update_commit(hold->heap->store, &hold->update);
    section_leave();
    if (result == 0) {
        key->length = key->size = hold->size;
        key->written_pin = false;
        key->incarnation++;
        key_advance(key, true);
    }
    worker->counters.updates++;
    worker->counters.conflicts += result != 0;
    if (result != expected)
        finding("object %llx: commit: %d instead of %d", (unsigned long long)hold->name, result,
                expected);
}

static void
release_update(struct worker *worker, struct hold *hold)
{
    if (roll(worker, 4) == 0 || !try_lock(&hold->key->locked)) {
        handle_update_abort(hold->heap->store, &hold->update);
    } else {
        commit_hold(worker, hold);
        unlock(&hold->key->locked);
    }
}

/* Ends a pin, or leaves it for whoever comes next and ends the one that was left there before. */
static void
release_pin(struct worker *worker, struct hold *hold)
{
    const void *pinned = hold->pinned;
    verify_pinned(pinned, hold->name);
    if (roll(worker, 3) == 0) {
        unsigned box = (unsigned)roll(worker, 8) * STORES + hold->heap->index;
        pinned = __atomic_exchange_n(&mailbox[box], pinned, __ATOMIC_ACQ_REL);
    }
    if (pinned)
        handle_unpin(hold->heap->store, pinned);
}

static void
release(struct worker *worker, struct hold *hold)
{
    if (hold->updating)
        release_update(worker, hold);
    else if (hold->pinned)
        release_pin(worker, hold);
    memset(hold, 0, sizeof(*hold));
}

void
op_release(struct worker *worker, struct heap *heap)
{
    (void)heap;
    release(worker, &worker->holds[roll(worker, HOLDS)]);
}

void
release_holds(struct worker *worker)
{
    for (unsigned i = 0; i < HOLDS; i++)
        release(worker, &worker->holds[i]);
}

void
release_mailbox(struct worker *worker)
{
    (void)worker;
    for (unsigned box = 0; box < 8 * STORES; box++) {
        const void *pinned = __atomic_exchange_n(&mailbox[box], NULL, __ATOMIC_ACQ_REL);
        if (pinned)
            handle_unpin(heaps[box % STORES].store, pinned);
    }
}
