/* SPDX-License-Identifier: MIT */
/*
 * chained_table.c - a hash table whose chains are cells inside the items, as a cache: each item
 * costs one reference of 8 bytes, which moves with it, and readers take no lock.
 *
 *     bucket | first | used |        used: a bit for each item of the chain, by its place: found
 *                |                   since all of them were
 *                v
 *              item | next |         Each item is named by one cell. So there is no list through
 *                      |             all items for an LRU to keep: recency lies beside the bucket.
 *                      v
 *                    item | next |   (empty: the end)
 *
 * What to take from it:
 *   - to the front: what the bucket names is unlinked into the new item's own cell, and the new
 *     item published in the bucket, so that readers find the whole chain at any moment;
 *   - out: the item's cell is unlinked into the one that named it, which frees the item; who stands
 *     on it goes on from there;
 *   - writers come by handle_cell_deref_mut, in one section with what they change.
 */
#include <urcu.h>

#include <sinter/handle.h>

#include "expect.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define BUCKETS   2048u /* power of two */
#define LOCKS     64u
#define KEYS      8192u
#define KEEPERS   8u /* one key of so many is never taken out */
#define CHANGES   60000u
#define READERS   2u
#define FILLER    20000u
#define MAX_BYTES (UINT64_C(4) << 20)
#define MAX_TRIES 1000u /* evictions for one item: more are an error */
#define HOT       2000u /* keys that are asked for again and again */

struct item {
    handle_cell next;
    uint64_t key;
    uint32_t version, length;
    char text[];
};

struct bucket {
    handle_cell first;
    uint32_t used; /* bit i: item number i was found; a hint. Atomic */
};

static struct bucket bucket[BUCKETS];
static pthread_mutex_t lock[LOCKS]; /* of the writers of every 64th bucket */
static handle_store *store;
static uint32_t hand;          /* bucket that eviction looks at next; under no lock: one evicts */
static uint32_t version[KEYS]; /* what the writer has put in last; 0: it is not there. Atomic */
static uint64_t moved, lookups_done, evicted;
static bool writer_done;

static uint64_t
mix(uint64_t x)
{
    x = (x ^ (x >> 32)) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ (x >> 32);
}

static struct bucket *
bucket_of(uint64_t key)
{
    return &bucket[mix(key) & (BUCKETS - 1)];
}

static pthread_mutex_t *
lock_of(const struct bucket *of)
{
    return &lock[(size_t)(of - bucket) % LOCKS];
}

/** Where the cells of an item lie: the option cells. */
static struct handle_cells
cells_of_item(void *opaque, const void *object, size_t size)
{
    (void)opaque;
    (void)object;
    (void)size;
    return (struct handle_cells){offsetof(struct item, next), 1};
}

/* ---- recency, beside the bucket -------------------------------------------------------------- */

static void
note_use(struct bucket *of, unsigned place)
{
    uint32_t bit = place < 32 ? 1u << place : 0;
    if (bit & ~__atomic_load_n(&of->used, __ATOMIC_RELAXED))
        __atomic_fetch_or(&of->used, bit, __ATOMIC_RELAXED);
}

/** The items behind this place get one place up, or down; under the lock. */
static void
shift_uses(struct bucket *of, unsigned place, bool up)
{
    uint32_t used = __atomic_load_n(&of->used, __ATOMIC_RELAXED);
    uint32_t before = place < 32 ? (1u << place) - 1 : UINT32_MAX, behind = used & ~before;
    used = (used & before) | (up ? behind << 1 : behind >> 1 & ~before);
    __atomic_store_n(&of->used, used, __ATOMIC_RELAXED);
}

/* ---- reading --------------------------------------------------------------------------------- */

/** In a section, without a lock. */
static const struct item *
find(uint64_t key)
{
    struct bucket *of = bucket_of(key);
    const struct item *item = handle_cell_deref(store, &of->first);
    unsigned place = 0;
    for (; item && item->key != key; place++)
        item = handle_cell_deref(store, &item->next);
    if (item)
        note_use(of, place);
    return item;
}

/* ---- writing, in a section and under the bucket's lock --------------------------------------- */

/** An item, where it stands in its chain, and the cell that names it. */
struct place {
    handle_cell *cell;
    struct item *item; /* NULL: behind the end */
    unsigned number;
};

static struct place
first_place(struct bucket *of)
{
    return (struct place){&of->first, handle_cell_deref_mut(store, &of->first), 0};
}

static void
go_on(struct place *at)
{
    at->cell = &at->item->next;
    at->item = handle_cell_deref_mut(store, at->cell);
    at->number++;
}

static struct place
place_of(struct bucket *of, uint64_t key)
{
    struct place at = first_place(of);
    while (at.item && at.item->key != key)
        go_on(&at);
    return at;
}

/** What a cell names comes behind the new item, if there is anything. */
static void
take_over(handle_cell *cell, struct item *made)
{
    int error = handle_cell_unlink(store, cell, &made->next);
    expect(error == 0 || error == -ENOENT);
}

static void
take_out(struct bucket *of, const struct place *at)
{
    int error = handle_cell_unlink(store, &at->item->next, at->cell);
    if (error == -ENOENT) /* the last one */
        error = handle_cell_free(store, at->cell);
    expect(error == 0);
    shift_uses(of, at->number, false);
}

/** In the place of the item with this key, or at the front. */
static void
put_in(struct bucket *of, uint64_t key, struct handle_reserved *made)
{
    struct place at = place_of(of, key);
    handle_cell *cell = at.item ? at.cell : &of->first;
    take_over(at.item ? &at.item->next : &of->first, made->object);
    expect(handle_cell_publish(store, cell, made, 0) == 0);
    if (!at.item)
        shift_uses(of, 0, true);
}

/* ---- the table ------------------------------------------------------------------------------- */

static void
fill(struct item *item, uint64_t key, uint32_t of_version, uint32_t length)
{
    item->key = key;
    item->version = of_version;
    item->length = length;
    memset(item->text, (int)(mix(key + of_version) & 0x7f), length);
}

static bool
is_whole(const struct item *item)
{
    char first = (char)(mix(item->key + item->version) & 0x7f);
    return item->text[0] == first && item->text[item->length - 1] == first;
}

/** 0, or -ENOMEM: evict, and try again. Outside of sections. */
static int
put(uint64_t key, uint32_t of_version)
{
    uint32_t length = 1 + (uint32_t)(mix(key * 3 + of_version) % 100);
    struct handle_reserved made;
    while (!handle_reserve(store, sizeof(struct item) + length, HANDLE_CELLS, &made)) {
        if (errno != EAGAIN)
            return -errno;
        handle_store_reclaim(store, 256); /* it is on its way: wait for it */
    }
    fill(made.object, key, of_version, length);
    struct bucket *of = bucket_of(key);
    pthread_mutex_lock(lock_of(of));
    rcu_read_lock();
    put_in(of, key, &made);
    rcu_read_unlock();
    pthread_mutex_unlock(lock_of(of));
    return 0;
}

static bool
take(uint64_t key)
{
    struct bucket *of = bucket_of(key);
    pthread_mutex_lock(lock_of(of));
    rcu_read_lock();
    struct place at = place_of(of, key);
    if (at.item)
        take_out(of, &at);
    rcu_read_unlock();
    pthread_mutex_unlock(lock_of(of));
    return at.item != NULL;
}

/** The item farthest back that was not found; when all were, they begin anew. */
static bool
evict_from(struct bucket *of)
{
    struct place victim = {0};
    pthread_mutex_lock(lock_of(of));
    rcu_read_lock();
    uint32_t used = __atomic_load_n(&of->used, __ATOMIC_RELAXED);
    for (struct place at = first_place(of); at.item; go_on(&at))
        if (at.number >= 32 || !(used & 1u << at.number))
            victim = at;
    if (victim.item)
        take_out(of, &victim);
    else
        __atomic_store_n(&of->used, 0, __ATOMIC_RELAXED);
    rcu_read_unlock();
    pthread_mutex_unlock(lock_of(of));
    return victim.item != NULL;
}

/** Some at once: one wait for the memory serves them all. */
static void
evict(unsigned count)
{
    for (unsigned tries = 0; count > 0 && tries < 4 * BUCKETS; tries++) {
        bool gone = evict_from(&bucket[hand++ % BUCKETS]);
        count -= gone;
        evicted += gone;
    }
}

/* ---- beside compaction ----------------------------------------------------------------------- */

static uint64_t
next_random(uint64_t *random)
{
    *random += UINT64_C(0x9e3779b97f4a7c15);
    return mix(*random);
}

/** What is found is whole, and as new as what was there before; keepers are always found. */
static void
look_up(uint32_t key)
{
    uint32_t before = __atomic_load_n(&version[key], __ATOMIC_ACQUIRE);
    rcu_read_lock();
    const struct item *item = find(key);
    if (item)
        expect(item->key == key && item->version >= before && is_whole(item));
    else
        expect(key % KEEPERS != 0);
    rcu_read_unlock();
}

static void *
keep_reading(void *seed)
{
    uint64_t random = (uint64_t)(uintptr_t)seed, lookups = 0;
    rcu_register_thread();
    do {
        for (unsigned i = 0; i < 1000; i++)
            look_up((uint32_t)(next_random(&random) % KEYS));
        lookups += 1000;
    } while (!__atomic_load_n(&writer_done, __ATOMIC_ACQUIRE));
    __atomic_fetch_add(&lookups_done, lookups, __ATOMIC_RELAXED);
    rcu_unregister_thread();
    return NULL;
}

/** Items of no table come among the others, and most of them go again: these lie sparse then. */
static void
scatter(handle_t *filler)
{
    for (uint32_t i = 0; i < FILLER; i++)
        handle_free(store, filler[i]); /* of the round before; -ENOENT for HANDLE_NULL */
    rcu_read_lock();
    for (uint32_t i = 0; i < FILLER; i++) {
        void *object;
        filler[i] =
            handle_alloc_object(store, sizeof(struct item) + i % 100, HANDLE_CELLS, &object);
        expect(filler[i] != HANDLE_NULL);
    }
    rcu_read_unlock();
    for (uint32_t i = 0; i < FILLER; i++)
        if (i % 8)
            expect(handle_free(store, filler[i]) == 0);
}

static void *
keep_compacting(void *argument)
{
    static handle_t filler[FILLER];
    rcu_register_thread();
    do {
        struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
        scatter(filler);
        expect(handle_store_compact(store, &report) == 0);
        moved += report.moved_objects;
    } while (!__atomic_load_n(&writer_done, __ATOMIC_ACQUIRE));
    for (uint32_t i = 0; i < FILLER; i += 8)
        handle_free(store, filler[i]);
    rcu_unregister_thread();
    return argument;
}

static void
change(uint32_t key, uint32_t next, bool putting)
{
    if (putting) {
        expect(put(key, next) == 0);
        __atomic_store_n(&version[key], next, __ATOMIC_RELEASE);
    } else if (key % KEEPERS != 0) {
        expect(take(key) == (version[key] != 0));
        __atomic_store_n(&version[key], 0, __ATOMIC_RELEASE);
    }
}

/** All that is to be in the table is there, and nothing else. */
static void
check(void)
{
    uint32_t items = 0, keys = 0;
    rcu_read_lock();
    for (uint32_t key = 0; key < KEYS; key++) {
        const struct item *item = find(key);
        expect(item ? item->version == version[key] : version[key] == 0);
        keys += version[key] != 0;
    }
    for (uint32_t i = 0; i < BUCKETS; i++)
        for (struct place at = first_place(&bucket[i]); at.item; go_on(&at))
            items++;
    rcu_read_unlock();
    expect(items == keys);
    expect(handle_store_check(store, expect_violation, NULL) == 0);
    printf("%" PRIu32 " items in %u buckets\n", items, BUCKETS);
}

static void
run_beside_readers(void)
{
    pthread_t threads[READERS + 1];
    uint64_t random = 1;
    for (uint32_t key = 0; key < KEYS; key += KEEPERS)
        change(key, 1, true);
    for (uintptr_t i = 0; i <= READERS; i++) {
        void *(*run)(void *) = i < READERS ? keep_reading : keep_compacting;
        if (!expect(pthread_create(&threads[i], NULL, run, (void *)(i + 7)) == 0))
            exit(expect_status());
    }
    for (uint32_t i = 2; i < CHANGES; i++) {
        uint64_t drawn = next_random(&random);
        change((uint32_t)(drawn % KEYS), i, drawn >> 40 & 1);
    }
    __atomic_store_n(&writer_done, true, __ATOMIC_RELEASE);
    for (unsigned i = 0; i <= READERS; i++)
        pthread_join(threads[i], NULL);
    check();
    printf("%" PRIu64 " lookups beside the writer, %" PRIu64 " moves\n", lookups_done, moved);
    expect(moved > 0);
}

/* ---- at a limit ------------------------------------------------------------------------------ */

static bool
is_there(uint64_t key)
{
    rcu_read_lock();
    bool there = find(key) != NULL;
    rcu_read_unlock();
    return there;
}

static uint32_t
count_there(uint64_t from, uint64_t to)
{
    uint32_t there = 0;
    for (uint64_t key = from; key < to; key++)
        there += is_there(key);
    return there;
}

/** New keys come without end; some old ones are asked for now and then, and stay. */
static void
run_at_limit(void)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    for (uint64_t key = 0; key < 60 * HOT; key++) {
        int error = put(key, 1);
        for (unsigned tries = 0; error == -ENOMEM && tries < MAX_TRIES; tries++) {
            evict(64);
            error = put(key, 1);
        }
        expect(error == 0);
        if (key >= HOT && key % 4 == 0)
            is_there(mix(key) % HOT);
    }
    uint32_t hot = count_there(0, HOT), cold = count_there(HOT, 2 * HOT);
    expect(handle_store_stats(store, &stats) == 0);
    printf("%" PRIu64 " evicted; of %u old items that were asked for %" PRIu32
           " are there, of as many others %" PRIu32 "\n",
           evicted, HOT, hot, cold);
    expect(evicted > 0 && stats.committed_peak <= MAX_BYTES);
    expect(hot > HOT / 10 * 8 && cold < HOT / 2);
}

/* ---- life ------------------------------------------------------------------------------------ */

static bool
open_table(uint64_t max_bytes)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "chains";
    options.max_bytes = max_bytes;
    options.cells = cells_of_item;
    store = handle_store_create(&options);
    return expect(store != NULL);
}

/** From the front: an item is freed when its cell was unlinked. */
static void
close_table(void)
{
    struct handle_stats stats = HANDLE_STATS_INIT;
    rcu_read_lock();
    for (uint32_t i = 0; i < BUCKETS; i++) {
        struct place at;
        while ((at = first_place(&bucket[i])).item)
            take_out(&bucket[i], &at);
        bucket[i].used = 0;
    }
    rcu_read_unlock();
    expect(handle_store_stats(store, &stats) == 0 && stats.objects == 0);
    expect(handle_store_check(store, expect_violation, NULL) == 0);
    expect(handle_store_destroy(store) == 0);
}

int
main(void)
{
    rcu_register_thread();
    for (unsigned i = 0; i < LOCKS; i++)
        pthread_mutex_init(&lock[i], NULL);
    if (open_table(0)) {
        run_beside_readers();
        close_table();
    }
    if (open_table(MAX_BYTES)) {
        run_at_limit();
        close_table();
    }
    rcu_unregister_thread();
    return expect_status();
}
