/* SPDX-License-Identifier: MIT */
/*
 * audit.c - set-up, end, and what is compared while all workers are at rest and hold nothing:
 * every key against its object exactly, the sums against the statistics, a digest of all contents
 * around a compaction, the memory breakdown, the invariants.
 *
 * Seen failing:
 *   a walk leaves out the last slot of each span          digest; "each shows"; violation
 *   HANDLE_UNMOVABLE ignored, by place and mover          digest
 *   caches of one class counted with a slot too many      violation: memory breakdown
 *   a move's header damaged: check bits                   "reported without reason"
 *   a clear leaves every other object                     "bytes are left"
 */
#include "torture.h"

#include <inttypes.h>

struct heap heaps[STORES];

static void
on_error(void *opaque, const char *message)
{
    (void)opaque;
    finding("reported without reason: %s", message);
}

static void
on_violation(void *opaque, const char *violation)
{
    (void)opaque;
    finding("violation: %s", violation);
}

/* ---- set-up ---------------------------------------------------------------------------------- */

static void
fill_constants(struct worker *worker, struct heap *heap)
{
    for (unsigned i = 0; i < CONSTANTS; i++) {
        size_t length = random_length(worker);
        void *object = NULL;
        section_enter();
        heap->constants[i] = handle_alloc_object(heap->store, length, 0, &object);
        if (object)
            stamp_fill(object, object_name(heap, KIND_CONSTANT, i), 1, length);
        else
            finding("constant %u could not be allocated: %s", i, strerror(errno));
        section_leave();
    }
}

void
heaps_open(struct worker *worker, uint64_t seed)
{
    for (unsigned h = 0; h < STORES; h++) {
        struct heap *heap = &heaps[h];
        struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
        options.name = h ? "torture-1" : "torture-0";
        options.hardened = h && seed % 2;
        options.alignment = h ? 16 : 8;
        options.arena_bytes = UINT64_C(4) << 30;
        options.error = on_error;
        options.cells = grove_cells;
        options.defrag.ignore_bytes = 0;
        options.defrag.cpu_max_percent = 100;
        heap->index = h;
        heap->store = handle_store_create(&options);
        heap->table = calloc(1, sizeof(struct table));
        if (!heap->store || !heap->table) {
            finding("store %u could not be made: %s", h, strerror(errno));
            exit(1);
        }
        for (unsigned i = 0; i < CELLS; i++)
            heap->cells[i].table = heap->table;
        fill_constants(worker, heap);
        for (unsigned i = 0; i < KEYS; i++)
            op_alloc(worker, heap);
        for (unsigned i = 0; i < CELLS; i++)
            op_cell_change(worker, heap);
        links_open(worker, heap);
        grove_open(worker, &heap->grove, heap->store, h);
    }
}

/* ---- one object ------------------------------------------------------------------------------ */

/* With everybody at rest a look is exact: this version, this length, this size. */
static void
expect(struct sums *sums, const void *object, uint64_t name, const struct key *key, size_t size)
{
    if ((object != NULL) != key_present(key))
        finding("audit: %" PRIx64 " is%s there", name, object ? "" : " not");
    if (!object)
        return;
    if (!stamp_is(object, name, key_version(key), key->length))
        stamp_finding("audit: contents", object, name, key_version(key));
    if (size != key->size)
        finding("audit: %" PRIx64 " has %zu bytes instead of %zu", name, size, key->size);
    sums->objects++;
    sums->bytes += size;
}

static void
audit_keys(struct heap *heap, struct sums *sums)
{
    for (unsigned i = 0; i < KEYS; i++) {
        handle_t handle = heap->keys[i].handle;
        section_enter();
        expect(sums, handle_deref(heap->store, handle), object_name(heap, KIND_KEY, i),
               &heap->keys[i], handle_size(heap->store, handle));
        if (handle_deref(heap->store, heap->keys[i].stale))
            finding("audit: stale handle %" PRIx64 " resolves", heap->keys[i].stale);
        section_leave();
    }
    for (unsigned i = 0; i < CELLS; i++) {
        handle_cell *cell = &heap->cells[i].table->cells[i];
        uint64_t before = sums->objects;
        section_enter();
        expect(sums, handle_cell_deref(heap->store, cell), object_name(heap, KIND_CELL, i),
               &heap->cells[i], handle_cell_size(heap->store, cell));
        section_leave();
        sums->by_cell += sums->objects - before;
    }
}

/* Objects whose versions nobody records: whole, and counted. */
static void
audit_others(struct heap *heap, struct sums *sums)
{
    for (unsigned i = 0; i < CONSTANTS + RACES; i++) {
        handle_t handle = i < CONSTANTS ? heap->constants[i] : heap->races[i - CONSTANTS];
        uint64_t version = 0, name = i < CONSTANTS ? object_name(heap, KIND_CONSTANT, i)
                                                   : object_name(heap, KIND_RACE, i - CONSTANTS);
        size_t length = 0;
        section_enter();
        const void *object = handle_deref(heap->store, handle);
        if (object) {
            if (stamp_verify(object, name, &version, &length) != STAMP_GOOD)
                stamp_finding("audit: contents", object, name, 1);
            sums->objects++;
            sums->bytes += handle_size(heap->store, handle);
        } else if (handle != HANDLE_NULL) {
            finding("audit: %" PRIx64 " does not resolve", name);
        }
        section_leave();
    }
}

/* ---- the whole store ------------------------------------------------------------------------- */

static uint64_t
hash(const unsigned char *bytes, size_t size)
{
    uint64_t value = size * UINT64_C(0x9e3779b97f4a7c15) + 1;
    for (size_t at = 0; at < size; at += 8) {
        uint64_t word = 0;
        memcpy(&word, bytes + at, size - at < 8 ? size - at : 8);
        value = (value ^ word) * UINT64_C(0xd6e8feb86659fd93);
        value ^= value >> 32;
    }
    return value;
}

static int
add_object(void *opaque, const struct handle_object *object)
{
    uint64_t *digest = opaque;
    uint64_t grove = grove_digest(object->data, object->size);
    uint64_t name = object->handle ? object->handle : (uint64_t)(uintptr_t)object->cell;
    uint64_t place = object->flags & HANDLE_UNMOVABLE ? (uint64_t)(uintptr_t)object->data : 0;
    /* What has cells moves, and they change with what they name. */
    uint64_t parts[5] = {grove ? object->handle : name, object->tag, object->flags, place,
                         grove ? grove : hash(object->data, object->size)};
    digest[0] += hash((const unsigned char *)parts, sizeof(parts));
    digest[1]++;
    return 0;
}

static void
audit_compaction(struct heap *heap, const struct sums *sums)
{
    uint64_t before[2] = {0, 0}, after[2] = {0, 0};
    int first = handle_store_each(heap->store, add_object, before);
    int result = handle_store_compact(heap->store, NULL);
    int second = handle_store_each(heap->store, add_object, after);
    if (first || result || second)
        finding("audit: each %d, compact %d, each %d", first, result, second);
    if (before[0] != after[0] || before[1] != after[1])
        finding("audit: compaction changed the digest, or the number of objects from %" PRIu64
                " to %" PRIu64,
                before[1], after[1]);
    if (before[1] != sums->objects)
        finding("audit: each shows %" PRIu64 " objects of %" PRIu64, before[1], sums->objects);
}

static void
audit_stats(struct heap *heap, const struct sums *sums)
{
    struct handle_stats s = HANDLE_STATS_INIT;
    if (handle_store_stats(heap->store, &s))
        finding("audit: stats failed");
    uint64_t breakdown = s.requested + s.rounding + s.header + s.free_slot + s.thread_cache +
                         s.limbo + s.empty_span + s.table + s.metadata;
    if (breakdown != s.committed)
        finding("audit: the memory breakdown is %" PRIu64 ", committed %" PRIu64, breakdown,
                s.committed);
    if (s.objects != sums->objects || s.objects_by_cell != sums->by_cell || s.pins)
        finding("audit: %" PRIu64 " objects, %" PRIu64 " by cell, %" PRIu64 " pins; expected "
                "%" PRIu64 ", %" PRIu64 ", 0",
                s.objects, s.objects_by_cell, s.pins, sums->objects, sums->by_cell);
    size_t bytes = 0;
    int counted = handle_store_used_exact(heap->store, &bytes);
    if (counted || bytes != sums->bytes)
        finding("audit: %zu bytes requested; expected %" PRIu64 " (%d)", bytes, sums->bytes,
                counted);
    if (s.limbo)
        finding("audit: %" PRIu64 " bytes stay in limbo", s.limbo);
}

void
audit(struct worker *worker)
{
    worker->counters.audits++;
    release_mailbox(worker);
    for (unsigned h = 0; h < STORES; h++) {
        struct sums sums = {0, 0, 0};
        struct heap *heap = &heaps[h];
        audit_keys(heap, &sums);
        audit_others(heap, &sums);
        links_audit(heap, &sums);
        grove_audit(worker, &heap->grove, &sums);
        audit_compaction(heap, &sums);
        /* twice: the first purge waits for the limbo there is, the last slice may have added
         * some */
        if (handle_defrag_stop(heap->store) || handle_store_purge(heap->store, NULL) ||
            handle_store_purge(heap->store, NULL))
            finding("audit: stop or purge failed");
        audit_stats(heap, &sums);
        handle_store_check(heap->store, on_violation, NULL);
        if (handle_defrag_start(heap->store))
            finding("audit: start failed");
    }
}

/* ---- the end --------------------------------------------------------------------------------- */

void
heaps_close(struct worker *worker)
{
    (void)worker;
    rcu_barrier(); /* tables that were left */
    for (unsigned h = 0; h < STORES; h++) {
        struct heap *heap = &heaps[h];
        section_enter();
        for (unsigned i = 0; i < CELLS; i++)
            if (key_present(&heap->cells[i]) &&
                handle_cell_free(heap->store, &heap->table->cells[i]))
                finding("end: cell %u could not be freed", i);
        section_leave();
        links_close(heap);
        if (handle_store_clear(heap->store) || handle_store_used(heap->store))
            finding("end: %zu bytes are left", handle_store_used(heap->store));
        int result = handle_store_destroy(heap->store);
        if (result)
            finding("end: destroy: %d", result);
        free(heap->table);
    }
}
