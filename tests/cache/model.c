/* SPDX-License-Identifier: MIT */
/*
 * model.c - random sequences of all calls against a plain table of what has to be there. The
 * callback says what leaves by itself, so that every other loss, and every answer, is exact.
 *
 *     cache_model_memb [--ops N] [--seed N]
 */
#include "support.h"

#include <inttypes.h>

#define KEYS              3000u
#define SIZE_MAX_OF_MODEL 300000u

/** What the cache has to have of a key. */
struct entry {
    bool there;
    unsigned char *value; /* of `size` bytes */
    size_t size;
    uint32_t flags;
    uint64_t deadline, cas;
};

static struct fixture_cache fixture;
static struct entry entries[KEYS];
static uint64_t seed, done, told; /* told: atomic */
static pthread_t main_thread;
static unsigned char
    left_elsewhere[KEYS]; /* atomic: by the cache's thread, without having expired */

_Noreturn static void
differ(const char *what, unsigned number, int64_t got, int64_t wanted)
{
    fprintf(stderr, "operation %" PRIu64 ": %s, key %u: %" PRId64 ", not %" PRId64 "\n", done, what,
            number, got, wanted);
    exit(1);
}

static void
expect(const char *what, unsigned number, int64_t got, int64_t wanted)
{
    if (got != wanted)
        differ(what, number, got, wanted);
}

static size_t key_of(unsigned number, char key[SINTER_CACHE_KEY_MAX]);

/* What the cache calls the version that it has now. */
static uint64_t
cas_of(unsigned number)
{
    char key[SINTER_CACHE_KEY_MAX];
    struct sinter_cache_info info = {.cas = 0};
    sinter_cache_get(fixture.cache, key, key_of(number, key), NULL, 0, &info);
    return info.cas;
}

static size_t
key_of(unsigned number, char key[SINTER_CACHE_KEY_MAX])
{
    size_t length = (size_t)snprintf(key, SINTER_CACHE_KEY_MAX, "%u:", number);
    size_t size = number % 97 == 0 ? SINTER_CACHE_KEY_MAX : length + number % 30;
    memset(key + length, 'k', size - length);
    return size;
}

static void
forget(struct entry *entry)
{
    free(entry->value);
    *entry = (struct entry){0};
}

static bool
is_over(const struct entry *entry)
{
    return entry->deadline && entry->deadline <= fixture.now_ms;
}

/* The entry, without one that has left meanwhile. */
static struct entry *
entry_of(unsigned number)
{
    struct entry *entry = &entries[number];
    uint64_t left = __atomic_exchange_n(&left_elsewhere[number], 0, __ATOMIC_RELAXED);
    if (entry->there && (left == entry->cas || is_over(entry)))
        forget(entry);
    return entry;
}

static void
note_left(void *opaque, const struct sinter_cache_view *item, enum sinter_cache_reason reason)
{
    char key[16] = "";
    (void)opaque;
    memcpy(key, item->key, item->key_size < 15 ? item->key_size : 15);
    unsigned number = (unsigned)strtoul(key, NULL, 10);
    struct entry *entry = &entries[number];
    __atomic_fetch_add(&told, 1, __ATOMIC_RELAXED);
    if (!pthread_equal(pthread_self(), main_thread)) {
        if (reason != SINTER_CACHE_EXPIRED)
            __atomic_store_n(&left_elsewhere[number], item->info.cas, __ATOMIC_RELAXED);
        return;
    }
    if (reason == SINTER_CACHE_EXPIRED && entry->there && !is_over(entry))
        differ("expired before its time", number, 0, 0);
    if (reason != SINTER_CACHE_EXPIRED)
        expect("left", number, entry->there, 1);
    if (reason != SINTER_CACHE_EXPIRED && item->info.size != entry->size)
        differ("left with another size", number, (int64_t)item->info.size, (int64_t)entry->size);
    /* An expired one may have been forgotten, and even set again: then the new one is there. */
    if (reason != SINTER_CACHE_EXPIRED || (entry->there && is_over(entry)))
        forget(entry);
}

static void
remember(struct entry *entry, const unsigned char *value, size_t size, uint32_t flags,
         uint64_t deadline)
{
    forget(entry);
    entry->value = malloc(size + 1);
    memcpy(entry->value, value, size);
    entry->size = size;
    entry->flags = flags;
    entry->deadline = deadline;
    entry->there = true;
    entry->cas = cas_of((unsigned)(entry - entries));
}

/* ---- checking -------------------------------------------------------------------------------- */

static void
check_info(unsigned number, const struct entry *entry, const struct sinter_cache_info *info)
{
    expect("size", number, (int64_t)info->size, (int64_t)entry->size);
    expect("flags", number, info->flags, entry->flags);
    expect("ttl", number, (int64_t)info->ttl_ms,
           entry->deadline ? (int64_t)(entry->deadline - fixture.now_ms) : 0);
}

static void
check_key(unsigned number)
{
    static unsigned char buffer[SIZE_MAX_OF_MODEL + 64];
    char key[SINTER_CACHE_KEY_MAX];
    struct sinter_cache_info info;
    struct entry *entry = entry_of(number);
    int rc =
        sinter_cache_get(fixture.cache, key, key_of(number, key), buffer, sizeof(buffer), &info);
    expect("get", number, rc, entry->there ? 0 : -ENOENT);
    if (rc != 0)
        return;
    check_info(number, entry, &info);
    expect("contents", number, memcmp(buffer, entry->value, info.size), 0);
    entry->cas = info.cas;
}

/* ---- operations ------------------------------------------------------------------------------ */

static size_t
random_size(void)
{
    static const size_t most[] = {20, 300, 3000, 70000, SIZE_MAX_OF_MODEL};
    uint64_t kind = random_below(&seed, 100);
    return random_below(&seed, most[kind < 50   ? 0
                                    : kind < 90 ? 1
                                    : kind < 97 ? 2
                                    : kind < 99 ? 3
                                                : 4]);
}

/* What a write may answer beside what the model says: nothing else. */
static bool
written(const char *what, unsigned number, int rc, int wanted)
{
    expect(what, number, rc, wanted);
    return rc == 0;
}

static void
do_store(unsigned number)
{
    static unsigned char value[SIZE_MAX_OF_MODEL];
    char key[SINTER_CACHE_KEY_MAX];
    size_t key_size = key_of(number, key), size = random_size();
    uint32_t flags = random_below(&seed, 2) ? (uint32_t)random_next(&seed) : 0;
    uint64_t ttl = random_below(&seed, 3) ? 0 : 1 + random_below(&seed, 400);
    uint64_t deadline = ttl ? fixture.now_ms + ttl : 0, kind = random_below(&seed, 6);
    struct entry *entry = entry_of(number);
    fill(value, size, random_next(&seed));
    int rc, wanted = 0;
    if (kind < 3) {
        rc = sinter_cache_set(fixture.cache, key, key_size, value, size, flags, ttl);
    } else if (kind == 3) {
        wanted = entry->there ? -EEXIST : 0;
        rc = sinter_cache_add(fixture.cache, key, key_size, value, size, flags, ttl);
    } else if (kind == 4) {
        wanted = entry->there ? 0 : -ENOENT;
        rc = sinter_cache_replace(fixture.cache, key, key_size, value, size, flags, ttl);
    } else {
        check_key(number);
        bool good = random_below(&seed, 2);
        wanted = !entry->there ? -ENOENT : good ? 0 : -EEXIST;
        rc = sinter_cache_cas(fixture.cache, key, key_size, value, size, flags, ttl,
                              entry->cas + !good);
    }
    /* Evicted when room was made for it: then it was not there any more. */
    if (rc != wanted && !entry->there && wanted == 0 && kind >= 4 && rc == -ENOENT)
        return;
    if (written("store", number, rc, wanted))
        remember(entry_of(number), value, size, flags, deadline);
}

static void
do_extend(unsigned number)
{
    unsigned char part[64], *value;
    char key[SINTER_CACHE_KEY_MAX];
    size_t key_size = key_of(number, key), size = random_below(&seed, sizeof(part));
    bool in_front = random_below(&seed, 2);
    struct entry *entry = entry_of(number);
    if (entry->size + size > SIZE_MAX_OF_MODEL)
        return;
    bool there = entry->there;
    size_t old = entry->size;
    uint32_t flags = entry->flags;
    uint64_t deadline = entry->deadline;
    value = malloc(old + size + 1);
    fill(part, size, random_next(&seed));
    memcpy(value + (in_front ? 0 : old), part, size);
    if (there)
        memcpy(value + (in_front ? size : 0), entry->value, old);
    int rc = in_front ? sinter_cache_prepend(fixture.cache, key, key_size, part, size)
                      : sinter_cache_append(fixture.cache, key, key_size, part, size);
    /* Evicted between the copy and the write: to be read as if it had been before. */
    if (!(there && rc == -ENOENT && !entry->there) &&
        written("extend", number, rc, there ? 0 : -ENOENT))
        remember(entry, value, old + size, flags, deadline);
    free(value);
}

static void
do_count(unsigned number)
{
    char key[SINTER_CACHE_KEY_MAX], text[24];
    size_t key_size = key_of(number, key);
    uint64_t start = random_next(&seed) >> random_below(&seed, 64), by = random_next(&seed), result;
    int length = snprintf(text, sizeof(text), "%" PRIu64, start);
    bool down = random_below(&seed, 2);
    struct entry *entry = entry_of(number);
    int rc = sinter_cache_set(fixture.cache, key, key_size, text, (size_t)length, 3, 0);
    expect("set of a number", number, rc, 0);
    remember(entry, (unsigned char *)text, (size_t)length, 3, 0);
    rc = down ? sinter_cache_decr(fixture.cache, key, key_size, by, &result)
              : sinter_cache_incr(fixture.cache, key, key_size, by, &result);
    if (rc == -ENOENT && !entry->there)
        return;
    expect("count", number, rc, 0);
    uint64_t wanted = down ? (start > by ? start - by : 0) : start + by;
    expect("count's result", number, (int64_t)result, (int64_t)wanted);
    length = snprintf(text, sizeof(text), "%" PRIu64, wanted);
    remember(entry, (unsigned char *)text, (size_t)length, 3, 0);
}

static void
do_delete(unsigned number)
{
    char key[SINTER_CACHE_KEY_MAX];
    size_t key_size = key_of(number, key);
    struct entry *entry = entry_of(number);
    int rc = sinter_cache_delete(fixture.cache, key, key_size, 0);
    expect("delete", number, rc, entry->there ? 0 : -ENOENT);
    forget(entry);
}

static void
do_touch(unsigned number)
{
    char key[SINTER_CACHE_KEY_MAX];
    size_t key_size = key_of(number, key);
    uint64_t ttl = random_below(&seed, 3) ? 1 + random_below(&seed, 400) : 0;
    struct entry *entry = entry_of(number);
    bool there = entry->there;
    int rc = sinter_cache_touch(fixture.cache, key, key_size, ttl);
    if (there && rc == -ENOENT && !entry->there)
        return;
    expect("touch", number, rc, there ? 0 : -ENOENT);
    if (there) {
        entry->deadline = ttl ? fixture.now_ms + ttl : 0;
        entry->cas = cas_of(number);
    }
}

/* All at once, now and then. */
static void
do_rare(void)
{
    static const char *const limits[] = {"8M", "10M", "12M", "9M"};
    uint64_t walked = 0, there = 0;
    switch (random_below(&seed, 8)) {
    case 0:
        expect("clear", 0, sinter_cache_clear(fixture.cache), 0);
        for (unsigned i = 0; i < KEYS; i++)
            forget(&entries[i]);
        break;
    case 1:
    case 2:
        expect("limit", 0,
               sinter_cache_configure(fixture.cache, "limit_bytes", limits[random_below(&seed, 4)]),
               0);
        break;
    case 3:
        expect("check", 0,
               handle_store_check(sinter_cache_store(fixture.cache), print_violation, NULL), 0);
        break;
    case 4:
        sinter_cache_sweep(fixture.cache, 1 + random_below(&seed, 2000));
        break;
    default:
        for (unsigned i = 0; i < KEYS; i++) {
            check_key(i);
            there += entries[i].there;
        }
        expect("walk", 0, sinter_cache_walk(fixture.cache, count_item, &walked), 0);
        expect("walked", 0, (int64_t)walked, (int64_t)there);
    }
}

static void
step(void)
{
    unsigned number = (unsigned)random_below(&seed, KEYS);
    uint64_t kind = random_below(&seed, 1000);
    if (random_below(&seed, 50) == 0)
        __atomic_fetch_add(&fixture.now_ms, random_below(&seed, 20), __ATOMIC_RELAXED);
    if (kind < 2)
        do_rare();
    else if (kind < 350)
        do_store(number);
    else if (kind < 400)
        do_extend(number);
    else if (kind < 450)
        do_count(number);
    else if (kind < 550)
        do_delete(number);
    else if (kind < 600)
        do_touch(number);
    else
        check_key(number);
    quiesce();
}

int
main(int argc, char **argv)
{
    uint64_t ops = slow_run() ? 20000 : 150000;
    seed = 0;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--ops") == 0)
            ops = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[i + 1], NULL, 10);
    }
    if (!seed)
        seed = random_seed("cache_model");
    main_thread = pthread_self();
    thread_enter();
    cache_options(&fixture);
    fixture.options.evicted = note_left;
    fixture.options.sweep_percent = 1;
    fixture.cache = sinter_cache_create_flavor(&fixture.options, &rcu_flavor);
    if (!fixture.cache) {
        perror("create");
        return 1;
    }
    for (done = 0; done < ops; done++)
        step();
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    do /* the thread may be about to tell */
        sinter_cache_stats(fixture.cache, &stats);
    while (sinter_cache_sweep(fixture.cache, 1) != 0);
    sinter_cache_clear(fixture.cache);
    sinter_cache_stats(fixture.cache, &stats);
    expect("told", 0, (int64_t)told, (int64_t)(stats.evicted + stats.expired + stats.crowded));
    printf("%" PRIu64 " operations; %" PRIu64 " evicted, %" PRIu64 " expired, %" PRIu64
           " crowded, %" PRIu64 " waits\n",
           done, stats.evicted, stats.expired, stats.crowded, stats.waits);
    expect("destroy", 0, sinter_cache_destroy(fixture.cache), 0);
    for (unsigned i = 0; i < KEYS; i++)
        forget(&entries[i]);
    thread_leave();
    return 0;
}
