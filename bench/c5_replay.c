/* SPDX-License-Identifier: MIT */
/*
 * c5_replay.c - C5: what does libsinter-cache miss of a trace, beside LRU at the same memory?
 * Replays a file of requests: each key is looked up, and set after a miss. Files are read from
 * standard input, so that any packer may stand before it:
 *
 *     xzcat web12.trace.xz | c5_replay --format keys32 --percent 10
 *     xzcat adapt_size.trace.xz | c5_replay --format text --percent 3
 *     c5_replay --smoke                          made-up requests; verdict: no more than LRU
 *
 *   --format keys32   32-bit big-endian keys, one a request; all values of one size
 *   --format text     lines "time key bytes", as AdaptSize's
 *   --percent P       the cache holds P percent of the bytes of all objects that occur: 0.01 to 100
 *   --favour WHAT     requests (default) or bytes
 *
 * The cache's limit is 8 MiB or more, so the bytes of small traces are multiplied: what is looked
 * at is the share. A miss counts by objects and by bytes; first requests count as misses, too.
 */
#include <urcu-bp.h>

#include <sinter/cache.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BESIDE      56u                  /* bytes that an item costs beside its value */
#define BUDGET_MOST (UINT64_C(1) << 30)  /* of the cache */
#define BUDGET_MIN  (UINT64_C(24) << 20) /* its items' bytes are multiplied up to that */
#define VALUE_MOST  (UINT64_C(1) << 26)

static void
die(const char *what)
{
    fprintf(stderr, "c5_replay: %s\n", what);
    exit(2);
}

static void *
need(void *memory)
{
    if (!memory)
        die("no memory");
    return memory;
}

/* ---- the trace ------------------------------------------------------------------------------- */

/** A request names an object by its number. */
static struct trace {
    uint32_t *request;
    uint64_t requests, room;
    uint64_t *key; /* of an object */
    uint64_t *size;
    uint32_t objects, objects_room;
    uint32_t *slot; /* hash table of object numbers + 1 */
    uint64_t slots;
} trace;

static uint64_t
mix(uint64_t key)
{
    key = (key ^ key >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return key ^ key >> 32;
}

static void
grow_table(void)
{
    uint64_t slots = trace.slots ? 2 * trace.slots : 1 << 16;
    uint32_t *slot = need(calloc(slots, sizeof(*slot)));
    for (uint32_t i = 0; i < trace.objects; i++) {
        uint64_t at = mix(trace.key[i]) & (slots - 1);
        while (slot[at])
            at = (at + 1) & (slots - 1);
        slot[at] = i + 1;
    }
    free(trace.slot);
    trace.slot = slot;
    trace.slots = slots;
}

static uint32_t
new_object(uint64_t key, uint64_t size)
{
    if (trace.objects == trace.objects_room) {
        trace.objects_room = trace.objects_room ? 2 * trace.objects_room : 1 << 15;
        trace.key = need(realloc(trace.key, trace.objects_room * sizeof(*trace.key)));
        trace.size = need(realloc(trace.size, trace.objects_room * sizeof(*trace.size)));
    }
    trace.key[trace.objects] = key;
    trace.size[trace.objects] = size;
    return trace.objects++;
}

/* The object of a key; its size is that of its first request. */
static uint32_t
object_of(uint64_t key, uint64_t size)
{
    if (2 * (uint64_t)trace.objects >= trace.slots)
        grow_table();
    uint64_t at = mix(key) & (trace.slots - 1);
    while (trace.slot[at] && trace.key[trace.slot[at] - 1] != key)
        at = (at + 1) & (trace.slots - 1);
    if (!trace.slot[at])
        trace.slot[at] = new_object(key, size) + 1;
    return trace.slot[at] - 1;
}

static void
add_request(uint64_t key, uint64_t size)
{
    if (trace.requests == trace.room) {
        trace.room = trace.room ? 2 * trace.room : 1 << 16;
        trace.request = need(realloc(trace.request, trace.room * sizeof(*trace.request)));
    }
    trace.request[trace.requests++] = object_of(key, size);
}

static void
read_text(FILE *file)
{
    unsigned long long key, size;
    while (fscanf(file, "%*s %llu %llu", &key, &size) == 2)
        add_request(key, size);
}

static void
read_keys32(FILE *file)
{
    unsigned char key[4];
    while (fread(key, 1, sizeof(key), file) == sizeof(key))
        add_request(
            (uint64_t)key[0] << 24 | (uint64_t)key[1] << 16 | (uint64_t)key[2] << 8 | key[3], 1000);
}

/* Popular keys, of which the first are more so, and scans between them. */
static void
make_up(void)
{
    uint64_t state = 1;
    for (uint64_t i = 0; i < 200000; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        double share = (double)(state >> 33) / 2147483648.0;
        if (i / 10000 % 2 && i % 3 == 0)
            add_request(1000000 + i, 1000);
        else
            add_request((uint64_t)(20000.0 * share * share * share * share), 1000);
    }
}

/* ---- LRU ------------------------------------------------------------------------------------- */

/** What a policy missed. */
struct misses {
    uint64_t objects, bytes;
};

struct lru {
    uint32_t *before, *after; /* of an object; the list's ends are `objects` */
    bool *there;
    uint64_t used;
};

static void
lru_unlink(struct lru *lru, uint32_t object)
{
    lru->after[lru->before[object]] = lru->after[object];
    lru->before[lru->after[object]] = lru->before[object];
    lru->there[object] = false;
    lru->used -= trace.size[object] + BESIDE;
}

static void
lru_push(struct lru *lru, uint32_t object)
{
    uint32_t end = trace.objects;
    lru->before[object] = end;
    lru->after[object] = lru->after[end];
    lru->before[lru->after[object]] = lru->after[end] = object;
    lru->there[object] = true;
    lru->used += trace.size[object] + BESIDE;
}

static struct misses
replay_lru(uint64_t capacity)
{
    struct misses missed = {0, 0};
    size_t ends = (size_t)trace.objects + 1;
    struct lru lru = {need(malloc(ends * 4)), need(malloc(ends * 4)), need(calloc(ends, 1)), 0};
    lru.before[trace.objects] = lru.after[trace.objects] = trace.objects;
    for (uint64_t i = 0; i < trace.requests; i++) {
        uint32_t object = trace.request[i];
        if (lru.there[object]) {
            lru_unlink(&lru, object);
        } else {
            missed.objects++;
            missed.bytes += trace.size[object];
        }
        if (trace.size[object] + BESIDE > capacity)
            continue;
        while (lru.used + trace.size[object] + BESIDE > capacity)
            lru_unlink(&lru, lru.before[trace.objects]);
        lru_push(&lru, object);
    }
    free(lru.before);
    free(lru.after);
    free(lru.there);
    return missed;
}

/* ---- the cache ------------------------------------------------------------------------------- */

/** Multiplies sizes, so that the share asked for is what a cache of some MiB holds. */
static double
scale_for(uint64_t capacity)
{
    return capacity < BUDGET_MIN ? (double)BUDGET_MIN / (double)capacity : 1.0;
}

static sinter_cache *
open_cache(uint64_t budget, enum sinter_cache_favour favour)
{
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    options.limit_bytes = budget + budget / 16 + (UINT64_C(2) << 20);
    options.wait_ms = 60000;
    options.favour = favour;
    sinter_cache *cache = sinter_cache_create(&options);
    if (!cache)
        die("no cache");
    return cache;
}

/* A request of what is there is a hit, though nothing is copied. */
static struct misses
replay_cache(sinter_cache *cache, double scale)
{
    static char value[VALUE_MOST];
    struct misses missed = {0, 0};
    for (uint64_t i = 0; i < trace.requests; i++) {
        uint32_t object = trace.request[i];
        uint64_t key = trace.key[object];
        uint64_t size = (uint64_t)((double)(trace.size[object] + BESIDE) * scale) - BESIDE;
        if (sinter_cache_get(cache, &key, sizeof(key), NULL, 0, NULL) == -ENOSPC)
            continue;
        missed.objects++;
        missed.bytes += trace.size[object];
        if (size <= sizeof(value))
            (void)sinter_cache_set(cache, &key, sizeof(key), value, size ? size : 1, 0, 0);
    }
    return missed;
}

/* ---- the program ----------------------------------------------------------------------------- */

static void
print_row(const char *name, struct misses missed, struct misses lru)
{
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < trace.requests; i++)
        bytes += trace.size[trace.request[i]];
    printf("  %-14s misses by objects %6.2f %% (%+6.2f %% to LRU), by bytes %6.2f %% (%+6.2f %%)\n",
           name, 100.0 * (double)missed.objects / (double)trace.requests,
           100.0 * ((double)missed.objects / (double)lru.objects - 1),
           100.0 * (double)missed.bytes / (double)bytes,
           100.0 * ((double)missed.bytes / (double)lru.bytes - 1));
}

static struct misses
replay(double percent, enum sinter_cache_favour favour, struct misses *lru)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    uint64_t all = 0;
    for (uint32_t i = 0; i < trace.objects; i++)
        all += trace.size[i] + BESIDE;
    uint64_t capacity = (uint64_t)((double)all * percent / 100);
    double scale = scale_for(capacity);
    if ((double)capacity * scale > (double)BUDGET_MOST)
        die("--percent: so much is more than 1 GiB");
    sinter_cache *cache = open_cache((uint64_t)((double)capacity * scale), favour);
    struct misses missed = replay_cache(cache, scale);
    sinter_cache_stats(cache, &stats);
    /* LRU gets what the cache's items had, as it was in the end. */
    uint64_t had = stats.evicted ? stats.used_bytes + 28 * stats.items : stats.budget_bytes;
    *lru = replay_lru((uint64_t)((double)had / scale));
    printf("%llu requests of %u objects; the cache holds %llu items, %.2f %% of all bytes\n",
           (unsigned long long)trace.requests, trace.objects, (unsigned long long)stats.items,
           100.0 * (double)had / scale / (double)all);
    sinter_cache_destroy(cache);
    return missed;
}

struct arguments {
    const char *format, *favour;
    double percent;
    bool smoke;
};

static struct arguments
read_arguments(int argc, char **argv)
{
    struct arguments given = {"", "requests", 10, false};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--smoke") == 0)
            given.smoke = true;
        else if (strcmp(argv[i], "--format") == 0)
            given.format = value, i++;
        else if (strcmp(argv[i], "--percent") == 0)
            given.percent = atof(value), i++;
        else if (strcmp(argv[i], "--favour") == 0)
            given.favour = value, i++;
        else
            die("options: --format keys32|text, --percent P, --favour requests|bytes, --smoke");
    }
    if (!(given.percent >= 0.01 && given.percent <= 100))
        die("--percent: it is 0.01 to 100");
    if (strcmp(given.favour, "requests") != 0 && strcmp(given.favour, "bytes") != 0)
        die("--favour: it is requests or bytes");
    return given;
}

static void
read_trace(const struct arguments *given)
{
    if (given->smoke)
        make_up();
    else if (strcmp(given->format, "text") == 0)
        read_text(stdin);
    else if (strcmp(given->format, "keys32") == 0)
        read_keys32(stdin);
    else
        die("--format: it is keys32 or text");
    if (trace.requests == 0)
        die("no requests in standard input");
}

int
main(int argc, char **argv)
{
    struct arguments given = read_arguments(argc, argv);
    struct misses lru;
    read_trace(&given);
    struct misses missed = replay(
        given.percent,
        given.favour[0] == 'b' ? SINTER_CACHE_FAVOUR_BYTES : SINTER_CACHE_FAVOUR_REQUESTS, &lru);
    print_row("LRU", lru, lru);
    print_row("sinter-cache", missed, lru);
    return given.smoke && missed.objects > lru.objects;
}
