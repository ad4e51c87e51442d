/* SPDX-License-Identifier: MIT */
/*
 * growing_table.c - cells in a hash table that grows under its readers. A bucket is a lock and a
 * few cells; when one is full the table doubles: under the bucket's lock each object's cell is
 * relocated into the new array, and the old array is freed by call_rcu when it is empty.
 *
 * What to take from it:
 *   - a cell is the reference itself: no handle table, no second cache miss; its 24-bit tag holds
 *     a part of the key's hash, so that a look-up touches only objects that are likely to be the
 *     right ones;
 *   - handle_cell_relocate writes the new cell before it empties the old one: who looks into the
 *     old array and then into the new one finds the object at any moment;
 *   - the memory of emptied cells (the old array) waits for a grace period.
 *
 * It is a set of records, not a finished hash table: it never shrinks.
 */
#include <urcu.h>

#include <sinter/handle.h>

#include "expect.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define CELLS      7u      /* per bucket */
#define RECORDS    100000u /* per inserting thread */
#define INSERTERS  2u
#define FINDERS    2u
#define FIRST_SIZE 16u

struct record {
    uint64_t key;
    char text[40];
};

struct bucket {
    pthread_mutex_t lock; /* serialises this bucket's writers */
    bool moved;           /* guarded by lock: look in the next array */
    handle_cell cell[CELLS];
};

struct array {
    size_t size;        /* power of two */
    struct array *next; /* while growing, and for ever after: the larger one */
    struct rcu_head rcu;
    struct bucket bucket[];
};

static handle_store *store;
static struct array *current; /* where look-ups begin; read in sections */
static pthread_mutex_t growing = PTHREAD_MUTEX_INITIALIZER;
static uint64_t growths, arrays_freed;
static uint32_t inserted[INSERTERS]; /* records that finders may look for */
static bool finders_done;

static uint64_t
hash_of(uint64_t key)
{
    key = (key ^ (key >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    key = (key ^ (key >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return key ^ (key >> 32);
}

/** Never 0, which is the tag of a cell whose record is still being written. */
static uint32_t
tag_of(uint64_t hash)
{
    return (uint32_t)(hash >> 40) | 1;
}

static struct bucket *
bucket_of(struct array *array, uint64_t hash)
{
    return &array->bucket[hash & (array->size - 1)];
}

static struct array *
array_new(size_t size)
{
    struct array *array = calloc(1, sizeof(*array) + size * sizeof(struct bucket));
    if (!array)
        return NULL;
    array->size = size;
    for (size_t i = 0; i < size; i++)
        pthread_mutex_init(&array->bucket[i].lock, NULL);
    return array;
}

static void
array_free(struct rcu_head *head)
{
    struct array *array = caa_container_of(head, struct array, rcu);
    for (size_t i = 0; i < array->size; i++)
        pthread_mutex_destroy(&array->bucket[i].lock);
    free(array);
    __atomic_fetch_add(&arrays_freed, 1, __ATOMIC_RELAXED);
}

/* ---- looking up ------------------------------------------------------------------------------ */

static const struct record *
find_in_bucket(const struct bucket *bucket, uint64_t key, uint64_t hash)
{
    for (uint32_t i = 0; i < CELLS; i++) {
        uint32_t tag;
        const struct record *record = handle_cell_read(store, &bucket->cell[i], &tag);
        if (record && tag == tag_of(hash) && __atomic_load_n(&record->key, __ATOMIC_ACQUIRE) == key)
            return record;
    }
    return NULL;
}

/** The record with this key. In a section, without a lock. */
static const struct record *
find(uint64_t key)
{
    uint64_t hash = hash_of(key);
    const struct record *record = NULL;
    for (struct array *array = rcu_dereference(current); array && !record;
         array = rcu_dereference(array->next))
        record = find_in_bucket(bucket_of(array, hash), key, hash);
    return record;
}

/* ---- growing --------------------------------------------------------------------------------- */

/** Relocates a bucket's objects. They split over two buckets of the new array, so all find room. */
static void
move_bucket(struct bucket *from, struct array *to)
{
    uint32_t used[2] = {0, 0};
    pthread_mutex_lock(&from->lock);
    rcu_read_lock();
    for (uint32_t i = 0; i < CELLS; i++) {
        const struct record *record = handle_cell_deref(store, &from->cell[i]);
        if (!record)
            continue;
        uint64_t hash = hash_of(record->key);
        bool upper = hash & (to->size / 2);
        handle_cell *cell = &bucket_of(to, hash)->cell[used[upper]++];
        expect(handle_cell_relocate(store, &from->cell[i], cell) == 0);
    }
    rcu_read_unlock();
    from->moved = true; /* from here on inserters use the new bucket */
    pthread_mutex_unlock(&from->lock);
}

/** Doubles the table, unless another thread has replaced `full` meanwhile. Outside of sections. */
static void
grow(struct array *full)
{
    pthread_mutex_lock(&growing);
    if (current == full) {
        struct array *larger = array_new(full->size * 2);
        if (!expect(larger != NULL))
            exit(expect_status());
        rcu_assign_pointer(full->next, larger);
        for (size_t i = 0; i < full->size; i++)
            move_bucket(&full->bucket[i], larger);
        rcu_assign_pointer(current, larger);
        call_rcu(&full->rcu, array_free); /* readers may still be walking through it */
        growths++;
    }
    pthread_mutex_unlock(&growing);
}

/* ---- inserting ------------------------------------------------------------------------------- */

/**
 * Makes a record in a free cell of a locked bucket. False: there is none. A reader may come across
 * it at once: tag and key are 0 until the text is there, and the key is released after it.
 */
static bool
insert_locked(struct bucket *bucket, uint64_t key, uint64_t hash)
{
    for (uint32_t i = 0; i < CELLS; i++) {
        handle_cell *cell = &bucket->cell[i];
        if (handle_cell_deref(store, cell))
            continue;
        struct record *record = handle_cell_alloc(store, cell, sizeof(*record), HANDLE_ZERO);
        if (!expect(record != NULL))
            exit(expect_status());
        snprintf(record->text, sizeof(record->text), "record %" PRIu64, key);
        __atomic_store_n(&record->key, key, __ATOMIC_RELEASE);
        expect(handle_cell_set_tag(store, cell, tag_of(hash)) == 0);
        return true;
    }
    return false;
}

/** The bucket of this key that is in use, locked. In a section. *array is where it lies. */
static struct bucket *
lock_bucket(uint64_t hash, struct array **array)
{
    *array = rcu_dereference(current);
    for (;;) {
        struct bucket *bucket = bucket_of(*array, hash);
        pthread_mutex_lock(&bucket->lock);
        if (!bucket->moved)
            return bucket;
        pthread_mutex_unlock(&bucket->lock);
        *array = rcu_dereference((*array)->next);
    }
}

static void
insert(uint64_t key)
{
    uint64_t hash = hash_of(key);
    for (bool done = false; !done;) {
        struct array *array;
        rcu_read_lock();
        struct bucket *bucket = lock_bucket(hash, &array);
        done = insert_locked(bucket, key, hash);
        pthread_mutex_unlock(&bucket->lock);
        rcu_read_unlock();
        if (!done)
            grow(array);
    }
}

/** Frees the key's record; readers keep it until their sections end. */
static void
remove_record(uint64_t key)
{
    uint64_t hash = hash_of(key);
    struct array *array;
    rcu_read_lock();
    struct bucket *bucket = lock_bucket(hash, &array);
    for (uint32_t i = 0; i < CELLS; i++) {
        const struct record *record = handle_cell_deref(store, &bucket->cell[i]);
        if (record && record->key == key)
            expect(handle_cell_free(store, &bucket->cell[i]) == 0);
    }
    pthread_mutex_unlock(&bucket->lock);
    rcu_read_unlock();
}

/* ---- the program ----------------------------------------------------------------------------- */

/** The i-th key of an inserter. Keys that are a multiple of 4 stay; the others go in the end. */
static uint64_t
key_of(uint32_t inserter, uint32_t i)
{
    return (uint64_t)inserter * RECORDS + i + 1;
}

static bool
stays(uint64_t key)
{
    return key % 4 == 0;
}

static void *
run_inserter(void *number)
{
    uint32_t me = (uint32_t)(uintptr_t)number;
    rcu_register_thread();
    for (uint32_t i = 0; i < RECORDS; i++) {
        insert(key_of(me, i));
        __atomic_store_n(&inserted[me], i + 1, __ATOMIC_RELEASE);
    }
    rcu_unregister_thread();
    return NULL;
}

/** Whether the key's record is there and is what it has to be. */
static bool
find_and_read(uint64_t key)
{
    char text[sizeof(((struct record *)NULL)->text)];
    snprintf(text, sizeof(text), "record %" PRIu64, key);
    rcu_read_lock();
    const struct record *record = find(key);
    if (record)
        expect(strcmp(record->text, text) == 0);
    rcu_read_unlock();
    return record != NULL;
}

static void *
run_finder(void *number)
{
    uint64_t state = (uintptr_t)number + 1;
    rcu_register_thread();
    while (!__atomic_load_n(&finders_done, __ATOMIC_ACQUIRE)) {
        state = hash_of(state);
        uint32_t inserter = (uint32_t)state % INSERTERS;
        uint32_t there = __atomic_load_n(&inserted[inserter], __ATOMIC_ACQUIRE);
        if (!there)
            continue;
        uint64_t key = key_of(inserter, (uint32_t)((state >> 32) % there));
        bool found = find_and_read(key);
        if (stays(key))
            expect(found);
    }
    rcu_unregister_thread();
    return NULL;
}

static void
start(pthread_t *threads, uint32_t count, void *(*work)(void *))
{
    for (uintptr_t i = 0; i < count; i++) {
        if (!expect(pthread_create(&threads[i], NULL, work, (void *)i) == 0))
            exit(expect_status());
    }
}

static void
join(const pthread_t *threads, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

/** Removes three records of four, then compacts: what stays moves together, still being found. */
static uint64_t
thin_out(void)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    expect(handle_defrag_stop(store) == 0); /* so that it is this call that moves */
    for (uint32_t i = 0; i < INSERTERS * RECORDS; i++) {
        if (!stays(key_of(0, i)))
            remove_record(key_of(0, i));
    }
    expect(handle_store_compact(store, &report) == 0);
    return report.moved_objects;
}

/** Every record that stays is there, and no other. */
static uint32_t
count_records(void)
{
    uint32_t found = 0;
    for (uint32_t i = 0; i < INSERTERS * RECORDS; i++) {
        bool here = find_and_read(key_of(0, i));
        expect(here == stays(key_of(0, i)));
        found += here;
    }
    return found;
}

int
main(void)
{
    pthread_t inserters[INSERTERS], finders[FINDERS];
    rcu_register_thread();
    store = handle_store_create(NULL);
    current = array_new(FIRST_SIZE);
    if (!store || !current) {
        perror("growing_table");
        return 1;
    }
    start(finders, FINDERS, run_finder);
    start(inserters, INSERTERS, run_inserter);
    join(inserters, INSERTERS);
    uint64_t moved = thin_out();
    __atomic_store_n(&finders_done, true, __ATOMIC_RELEASE);
    join(finders, FINDERS);
    rcu_barrier();
    printf("%" PRIu32 " records in %zu buckets after %" PRIu64 " growths, %" PRIu64 " moved\n",
           count_records(), current->size, growths, moved);
    expect(growths > 0 && arrays_freed == growths);
    expect(moved > 0);
    expect(handle_store_check(store, expect_violation, NULL) == 0);
    size_t used = 0;
    expect(handle_store_used_exact(store, &used) == 0);
    expect(used == INSERTERS * RECORDS / 4 * sizeof(struct record));
    expect(handle_store_destroy(store) == 0); /* the records go with it */
    array_free(&current->rcu);
    rcu_unregister_thread();
    return expect_status();
}
