/* SPDX-License-Identifier: MIT */
/*
 * target_cache.c - fuzz target: sequences of all calls of libsinter-cache beside a plain table of
 * what has to be there. The callback says what leaves by itself; every other loss, and every
 * answer, is exact. One thread calls; the cache's own may find what has expired, which the table
 * knows as well.
 *
 * Seen failing: an append that puts its bytes one too far; a delete that does not look at cas; a
 * touch that keeps the old time to live.
 */
#include "fuzz.h"

#include <sinter/cache.h>

#define KEYS       64u
#define BYTES_MOST 200000u

/** What the cache has to have of a key. */
struct entry {
    bool there;
    uint8_t first; /* the value is made from it */
    uint32_t flags;
    size_t size;
    uint64_t deadline;
    uint8_t value[300]; /* where it is as short as this; else bytes that follow from `first` */
};

static struct entry entries[KEYS];
static sinter_cache *cache;
static uint64_t now_ms; /* atomic */
static uint64_t told;   /* atomic */
static uint8_t bytes[BYTES_MOST], found[BYTES_MOST + 1];

static uint64_t
clock_of(void *opaque)
{
    (void)opaque;
    return __atomic_load_n(&now_ms, __ATOMIC_RELAXED);
}

static size_t
key_of(unsigned number, char key[300])
{
    size_t size = number % 7 == 0 ? 300 : 1 + number % 40;
    memset(key, 'k', size);
    key[0] = (char)number;
    return size;
}

/* What is expired may go at any time, by any thread. */
static void
note_left(void *opaque, const struct sinter_cache_view *item, enum sinter_cache_reason reason)
{
    (void)opaque;
    __atomic_fetch_add(&told, 1, __ATOMIC_RELAXED);
    if (reason == SINTER_CACHE_EXPIRED)
        return;
    unsigned number = (uint8_t)((const char *)item->key)[0];
    fuzz_check(number < KEYS && entries[number].there);
    entries[number].there = false;
}

/* Whether an answer is the one that is wanted, or that of a key which was evicted for its own new
 * version. */
static bool
answers(unsigned number, int rc, int wanted)
{
    return rc == wanted || (wanted == 0 && rc == -ENOENT && !entries[number].there);
}

/* The entry, without what has expired. */
static struct entry *
entry_of(unsigned number)
{
    struct entry *entry = &entries[number];
    if (entry->there && entry->deadline && entry->deadline <= now_ms)
        entry->there = false;
    return entry;
}

/* ---- values ---------------------------------------------------------------------------------- */

static void
make_value(uint8_t *value, uint8_t first, size_t size)
{
    for (size_t i = 0; i < size; i++)
        value[i] = (uint8_t)(first + i + (i >> 8) * 7);
}

static const uint8_t *
value_of(const struct entry *entry)
{
    if (entry->size <= sizeof(entry->value))
        return entry->value;
    make_value(bytes, entry->first, entry->size);
    return bytes;
}

static size_t
take_size(struct source *source)
{
    unsigned kind = take_byte(source);
    if (kind < 200)
        return take_byte(source) % 100;
    if (kind < 250 || !take_rare(source, 4))
        return take_word(source) % 4000;
    return take_word(source) * 3u % BYTES_MOST;
}

static uint64_t
take_ttl(struct source *source)
{
    unsigned kind = take_byte(source);
    return kind % 2 ? 0 : kind < 16 ? UINT64_C(1) << 47 : 1 + kind;
}

static void
remember(struct entry *entry, uint8_t first, size_t size, uint32_t flags, uint64_t ttl)
{
    entry->there = true;
    entry->first = first;
    entry->size = size;
    entry->flags = flags;
    entry->deadline = ttl ? now_ms + ttl : 0;
    if (size <= sizeof(entry->value))
        make_value(entry->value, first, size);
}

/* ---- calls ----------------------------------------------------------------------------------- */

/* Reads a key by one of three ways, and compares. Result: its cas. */
static uint64_t
check_key(unsigned number, unsigned way)
{
    char key[300];
    size_t key_size = key_of(number, key), at = 0;
    struct sinter_cache_view view = {.info = {0}};
    struct entry *entry = entry_of(number);
    int rc;
    if (way % 3 == 0) {
        section_enter();
        rc = sinter_cache_look(cache, key, key_size, &view);
        for (bool more = rc == 0; more; more = sinter_cache_next(cache, &view)) {
            memcpy(found + at, view.data, view.data_size);
            at += view.data_size;
        }
        section_leave();
        fuzz_check(at == view.info.size);
    } else if (way % 3 == 1) {
        rc = sinter_cache_get(cache, key, key_size, found, sizeof(found), &view.info);
    } else {
        void *copy = sinter_cache_get_copy(cache, key, key_size, &view.info);
        rc = copy ? 0 : -errno;
        if (copy)
            memcpy(found, copy, view.info.size + 1);
        free(copy);
    }
    fuzz_check(rc == (entry->there ? 0 : -ENOENT));
    if (rc != 0)
        return 0;
    fuzz_check(view.info.size == entry->size && view.info.flags == entry->flags);
    fuzz_check(memcmp(found, value_of(entry), entry->size) == 0);
    fuzz_check(view.info.ttl_ms == (entry->deadline ? entry->deadline - now_ms : 0));
    return view.info.cas;
}

/* set, add, replace, cas; cas with a right number and with a wrong one. */
static void
store(struct source *source, unsigned number)
{
    char key[300];
    size_t key_size = key_of(number, key), size = take_size(source);
    unsigned kind = take_byte(source) % 5;
    uint8_t first = (uint8_t)take_byte(source);
    uint32_t flags = first % 3 ? 0 : first * 0x01010101u;
    uint64_t ttl = take_ttl(source), cas = kind > 2 ? check_key(number, 1) : 0;
    bool there = entry_of(number)->there;
    int rc, wanted = 0;
    make_value(bytes, first, size);
    if (kind == 0) {
        rc = sinter_cache_set(cache, key, key_size, bytes, size, flags, ttl);
    } else if (kind == 1) {
        wanted = there ? -EEXIST : 0;
        rc = sinter_cache_add(cache, key, key_size, bytes, size, flags, ttl);
    } else if (kind == 2) {
        wanted = there ? 0 : -ENOENT;
        rc = sinter_cache_replace(cache, key, key_size, bytes, size, flags, ttl);
    } else {
        wanted = !there ? -ENOENT : kind == 3 ? 0 : -EEXIST;
        rc = sinter_cache_cas(cache, key, key_size, bytes, size, flags, ttl, cas + (kind == 4));
    }
    fuzz_check(answers(number, rc, wanted));
    if (rc == 0)
        remember(&entries[number], first, size, flags, ttl);
}

/* append and prepend; of short values only, which the table holds as bytes. */
static void
extend(struct source *source, unsigned number)
{
    char key[300];
    size_t key_size = key_of(number, key), size = take_byte(source) % 20;
    uint8_t part[20], first = (uint8_t)take_byte(source);
    struct entry *entry = entry_of(number);
    bool in_front = first % 2, there = entry->there;
    if (entry->size + size > sizeof(entry->value))
        return;
    make_value(part, first, size);
    int rc = in_front ? sinter_cache_prepend(cache, key, key_size, part, size)
                      : sinter_cache_append(cache, key, key_size, part, size);
    fuzz_check(answers(number, rc, there ? 0 : -ENOENT));
    if (rc != 0)
        return;
    if (in_front)
        memmove(entry->value + size, entry->value, entry->size);
    memcpy(entry->value + (in_front ? 0 : entry->size), part, size);
    entry->size += size;
}

/* What is no number stays as it is. */
static void
count(struct source *source, unsigned number)
{
    char key[300], text[24];
    size_t key_size = key_of(number, key);
    uint64_t start = (uint64_t)take_word(source) << take_byte(source) % 49, result = 0;
    uint64_t by = (uint64_t)take_word(source) << take_byte(source) % 49;
    struct entry *entry = entry_of(number);
    bool down = by % 2;
    if (entry->there && entry->size && (value_of(entry)[0] < '0' || value_of(entry)[0] > '9'))
        fuzz_check(sinter_cache_incr(cache, key, key_size, 1, &result) == -EDOM);
    int length = snprintf(text, sizeof(text), "%llu", (unsigned long long)start);
    fuzz_check(sinter_cache_set(cache, key, key_size, text, (size_t)length, 3, 0) == 0);
    entry->there = true;
    int rc = (down ? sinter_cache_decr : sinter_cache_incr)(cache, key, key_size, by, &result);
    fuzz_check(answers(number, rc, 0));
    if (rc != 0)
        return;
    fuzz_check(result == (!down ? start + by : start > by ? start - by : 0));
    remember(entry, 0, 0, 3, 0);
    entry->size = (size_t)snprintf(text, sizeof(text), "%llu", (unsigned long long)result);
    memcpy(entry->value, text, entry->size);
}

static void
touch(struct source *source, unsigned number)
{
    char key[300];
    uint64_t ttl = take_ttl(source);
    struct entry *entry = entry_of(number);
    bool there = entry->there;
    int rc = sinter_cache_touch(cache, key, key_of(number, key), ttl);
    fuzz_check(answers(number, rc, there ? 0 : -ENOENT));
    if (rc == 0)
        entry->deadline = ttl ? now_ms + ttl : 0;
}

static void delete (struct source *source, unsigned number)
{
    char key[300];
    unsigned kind = take_byte(source) % 3; /* whatever it is; as it was read; not as it was read */
    uint64_t cas = kind ? check_key(number, 0) + (kind == 2) : 0;
    struct entry *entry = entry_of(number);
    int rc = sinter_cache_delete(cache, key, key_of(number, key), cas);
    fuzz_check(rc == (!entry->there ? -ENOENT : kind == 2 ? -EEXIST : 0));
    if (rc == 0)
        entry->there = false;
}

/* ---- all at once ----------------------------------------------------------------------------- */

static int
count_item(void *opaque, const struct sinter_cache_view *item)
{
    unsigned number = (uint8_t)((const char *)item->key)[0];
    fuzz_check(number < KEYS && entries[number].there && item->info.size == entries[number].size);
    ++*(unsigned *)opaque;
    return 0;
}

static void
check_all(void)
{
    unsigned there = 0, walked = 0;
    for (unsigned i = 0; i < KEYS; i++) {
        check_key(i, i);
        there += entries[i].there;
    }
    fuzz_check(sinter_cache_walk(cache, count_item, &walked) == 0);
    fuzz_check(walked == there);
    fuzz_check(handle_store_check(sinter_cache_store(cache), print_violation, NULL) == 0);
}

static void
rare(struct source *source)
{
    static const char *const limits[] = {"8M", "64M", "12M", "1G"};
    unsigned kind = take_byte(source);
    if (kind < 64) {
        fuzz_check(sinter_cache_configure(cache, "limit_bytes", limits[kind % 4]) == 0);
    } else if (kind < 96) {
        fuzz_check(sinter_cache_clear(cache) == 0);
        memset(entries, 0, sizeof(entries));
    } else if (kind < 160) {
        fuzz_check(sinter_cache_sweep(cache, 1 + kind) >= 0);
    } else {
        check_all();
    }
}

static void
step(struct source *source)
{
    unsigned kind = take_byte(source), number = take_byte(source) % KEYS;
    if (kind % 8 == 0)
        __atomic_fetch_add(&now_ms, take_byte(source), __ATOMIC_RELAXED);
    if (kind < 90)
        store(source, number);
    else if (kind < 120)
        extend(source, number);
    else if (kind < 140)
        count(source, number);
    else if (kind < 160)
        touch(source, number);
    else if (kind < 190)
        delete (source, number);
    else if (kind < 250)
        check_key(number, kind);
    else if (take_rare(source, 3))
        rare(source);
    fuzz_operations++;
}

void
fuzz_run(struct source *source, uint64_t operations)
{
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    uint64_t end = fuzz_operations + operations;
    unsigned first = take_byte(source);
    memset(entries, 0, sizeof(entries));
    now_ms = 1 + first;
    told = 0;
    options.limit_bytes = 64 * MIB;
    options.wait_ms = 60000;
    options.hardened = first % 4 == 1;
    options.clock_ms = clock_of;
    options.evicted = note_left;
    cache = sinter_cache_create(&options);
    fuzz_check(cache != NULL);
    while (fuzz_operations < end && !source_is_empty(source))
        step(source);
    check_all();
    do /* the cache's thread may be about to tell */
        fuzz_check(sinter_cache_stats(cache, &stats) == 0);
    while (sinter_cache_sweep(cache, 1) != 0);
    fuzz_check(sinter_cache_clear(cache) == 0);
    fuzz_check(sinter_cache_stats(cache, &stats) == 0);
    fuzz_check(stats.items == 0 && stats.payload_bytes == 0 && stats.used_bytes == 0);
    fuzz_check(stats.inserted ==
               stats.deleted + stats.evicted + stats.crowded + stats.expired + stats.cleared);
    fuzz_check(sinter_cache_destroy(cache) == 0);
    fuzz_check(told == stats.evicted + stats.crowded + stats.expired);
}

const uint64_t fuzz_round = 50000;
