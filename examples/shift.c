/* SPDX-License-Identifier: MIT */
/*
 * shift.c - the main job: a cache whose values change their sizes, over libsinter-cache, and the
 * same job over a cache on malloc (glibc's, and jemalloc's) that counts every byte it asks for.
 * Both may hold as much: is that kept, by the whole process, index included? Are the keys there
 * that were written last? How much of the memory is payload?
 *
 * Each kind runs in a process of its own, which this one starts; every value that is read is
 * verified. The cache on malloc is what many programs have: a hash table with chains and a list of
 * the least recently used, evicting when the sum of malloc_usable_size is above the limit.
 *
 *     example_shift [--limit MIB]      8 to 1024; default 64
 */
#include <urcu-bp.h>

#include <sinter/cache.h>

#include <inttypes.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true
#else
#define SANITIZED false
#endif

#define PHASES             4u
#define TURNS              3u /* bytes written in a phase, in limits */
#define KEY_SIZE           20u
#define SIZE_MAX_OF_VALUES 1024u

static const struct {
    const char *name;
    uint32_t least, most;
} phases[PHASES] = {
    {"240-256", 240, 256}, {"272-288", 272, 288}, {"16-64", 16, 64}, {"640", 640, 640}};

struct kind {
    const char *name, *title;
    bool (*open)(uint64_t limit);
    bool (*set)(const char *key, const char *value, uint32_t size);
    /** The value's size, 0: not there. */
    uint32_t (*get)(const char *key, char *value);
    uint64_t (*payload)(void);
};

/* ---- over libsinter-cache -------------------------------------------------------------------- */

static sinter_cache *cache;

static bool
open_sinter(uint64_t limit)
{
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    options.limit_bytes = limit;
    cache = sinter_cache_create(&options);
    return cache != NULL;
}

static bool
set_sinter(const char *key, const char *value, uint32_t size)
{
    return sinter_cache_set(cache, key, KEY_SIZE, value, size, 0, 0) == 0;
}

static uint32_t
get_sinter(const char *key, char *value)
{
    struct sinter_cache_info info;
    int rc = sinter_cache_get(cache, key, KEY_SIZE, value, SIZE_MAX_OF_VALUES, &info);
    return rc == 0 ? (uint32_t)info.size : 0;
}

static uint64_t
payload_sinter(void)
{
    struct sinter_cache_stats stats = SINTER_CACHE_STATS_INIT;
    sinter_cache_stats(cache, &stats);
    return stats.payload_bytes;
}

/* ---- over malloc ----------------------------------------------------------------------------- */

struct entry {
    struct entry *next;          /* in its chain */
    struct entry *newer, *older; /* in the order of use */
    uint32_t size;
    char data[]; /* key, value */
};

static struct entry **table, *newest, *oldest;
static uint64_t table_size, entries, counted, payload, counted_most;

static uint64_t
mix(uint64_t x)
{
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    x = (x ^ x >> 32) * UINT64_C(0xd6e8feb86659fd93);
    return x ^ x >> 32;
}

static uint64_t
hash_of(const char *key)
{
    uint64_t word[2];
    memcpy(word, key + KEY_SIZE - 16, 16);
    return mix(word[0] ^ mix(word[1]));
}

static bool
resize_table(uint64_t size)
{
    struct entry **larger = calloc(size, sizeof(struct entry *));
    if (!larger)
        return false;
    for (struct entry *e = newest; e; e = e->older) {
        struct entry **chain = &larger[hash_of(e->data) & (size - 1)];
        e->next = *chain;
        *chain = e;
    }
    free(table);
    counted += (size - table_size) * sizeof(struct entry *);
    table = larger;
    table_size = size;
    return true;
}

static bool
open_malloc(uint64_t limit)
{
    counted_most = limit;
    return resize_table(1024);
}

static struct entry **
find(const char *key)
{
    struct entry **at = &table[hash_of(key) & (table_size - 1)];
    while (*at && memcmp((*at)->data, key, KEY_SIZE) != 0)
        at = &(*at)->next;
    return at;
}

static void
unlist(struct entry *e)
{
    *(e->newer ? &e->newer->older : &newest) = e->older;
    *(e->older ? &e->older->newer : &oldest) = e->newer;
}

static void
list_first(struct entry *e)
{
    e->newer = NULL;
    e->older = newest;
    *(newest ? &newest->newer : &oldest) = e;
    newest = e;
}

static void
drop(struct entry **at)
{
    struct entry *e = *at;
    *at = e->next;
    unlist(e);
    counted -= malloc_usable_size(e);
    payload -= KEY_SIZE + e->size;
    entries--;
    free(e);
}

static bool
set_malloc(const char *key, const char *value, uint32_t size)
{
    struct entry **at = find(key);
    if (*at)
        drop(at);
    struct entry *e = malloc(sizeof(*e) + KEY_SIZE + size);
    if (!e || (entries > table_size && !resize_table(2 * table_size)))
        return false;
    memcpy(e->data, key, KEY_SIZE);
    memcpy(e->data + KEY_SIZE, value, size);
    e->size = size;
    at = find(key);
    e->next = *at;
    *at = e;
    list_first(e);
    counted += malloc_usable_size(e);
    payload += KEY_SIZE + size;
    entries++;
    while (counted > counted_most && oldest != e)
        drop(find(oldest->data));
    return true;
}

static uint32_t
get_malloc(const char *key, char *value)
{
    struct entry *e = *find(key);
    if (!e)
        return 0;
    unlist(e);
    list_first(e);
    memcpy(value, e->data + KEY_SIZE, e->size);
    return e->size;
}

static uint64_t
payload_malloc(void)
{
    return payload;
}

static const struct kind kinds[] = {
    {"malloc", "malloc", open_malloc, set_malloc, get_malloc, payload_malloc},
    {"jemalloc", "jemalloc", open_malloc, set_malloc, get_malloc, payload_malloc},
    {"sinter", "sinter-cache", open_sinter, set_sinter, get_sinter, payload_sinter},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* ---- the job --------------------------------------------------------------------------------- */

/** What a phase came to. */
struct result {
    double resident, peak, payload, kept, rate; /* MiB, MiB, MiB, %, thousand a second */
};

static uint64_t wrong, verified, refused;

static double
resident_mib(void)
{
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE) / (1 << 20);
}

static double
seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static uint32_t
size_of(unsigned phase, uint64_t number)
{
    return phases[phase].least +
           (uint32_t)(mix(number) % (phases[phase].most - phases[phase].least + 1));
}

static void
make_key(uint64_t number, char key[32])
{
    snprintf(key, 32, "key:%016" PRIx64, mix(number));
}

static void
make_value(uint64_t number, uint32_t size, char *value)
{
    uint64_t word = mix(number ^ size);
    for (uint32_t i = 0; i < size; i += 8, word = word * 31 + 1)
        memcpy(value + i, &word, 8);
}

/** Whether the key is there; its value is compared. */
static bool
read_and_verify(const struct kind *kind, unsigned phase, uint64_t number)
{
    char key[32], value[SIZE_MAX_OF_VALUES + 8], wanted[SIZE_MAX_OF_VALUES + 8];
    make_key(number, key);
    uint32_t size = kind->get(key, value);
    if (!size)
        return false;
    make_value(number, size_of(phase, number), wanted);
    verified++;
    wrong += size != size_of(phase, number) || memcmp(value, wanted, size) != 0;
    return true;
}

/** Result: bytes of key and value. */
static uint64_t
put(const struct kind *kind, unsigned phase, uint64_t number)
{
    char key[32], value[SIZE_MAX_OF_VALUES + 8];
    uint32_t size = size_of(phase, number);
    make_key(number, key);
    make_value(number, size, value);
    refused += !kind->set(key, value, size);
    return KEY_SIZE + size;
}

/** New keys only; each is read once more when a quarter of the limit has been written since, and
 * put in again if it is not there. Kept: the share of these reads that hit, in the last third of
 * the phase. */
static struct result
run_phase(const struct kind *kind, unsigned phase, uint64_t limit, uint64_t *next)
{
    struct result result = {0};
    uint64_t first = *next, bytes = 0,
             mean = KEY_SIZE + (phases[phase].least + phases[phase].most) / 2;
    uint64_t lag = limit / 4 / mean, hits = 0, asked = 0, operations = 0;
    double begin = seconds();
    for (; bytes < TURNS * limit; (*next)++) {
        bytes += put(kind, phase, *next);
        operations++;
        if (*next >= first + lag) {
            bool hit = read_and_verify(kind, phase, *next - lag);
            operations++;
            if (!hit)
                put(kind, phase, *next - lag);
            asked += bytes > 2 * limit;
            hits += bytes > 2 * limit && hit;
        }
        if (*next % 4096 == 0) {
            double now = resident_mib();
            result.peak = now > result.peak ? now : result.peak;
        }
    }
    result.rate = (double)operations / (seconds() - begin) / 1000;
    result.resident = resident_mib();
    result.payload = (double)kind->payload() / (1 << 20);
    result.kept = asked ? 100.0 * (double)hits / (double)asked : 0;
    return result;
}

/** As a child: a line for each phase. */
static int
be_kind(const struct kind *kind, uint64_t limit)
{
    uint64_t next = 1;
    if (!kind->open(limit)) {
        perror(kind->name);
        return 1;
    }
    for (unsigned phase = 0; phase < PHASES; phase++) {
        struct result r = run_phase(kind, phase, limit, &next);
        printf("%f %f %f %f %f %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", r.resident, r.peak,
               r.payload, r.kept, r.rate, verified, wrong, refused);
        fflush(stdout);
    }
    return wrong != 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static struct result results[KINDS][PHASES];
static bool ran[KINDS];

/** What to preload. NULL: there is none, or an address sanitizer, which wants to be first, is. */
static const char *
find_jemalloc(void)
{
    if (SANITIZED)
        return NULL;
    static const char *const usual[] = {"/usr/lib/x86_64-linux-gnu/libjemalloc.so.2",
                                        "/usr/lib/aarch64-linux-gnu/libjemalloc.so.2",
                                        "/usr/lib64/libjemalloc.so.2"};
    for (unsigned i = 0; i < 3; i++) {
        if (access(usual[i], R_OK) == 0)
            return usual[i];
    }
    return NULL;
}

/** Runs a kind in a process of its own. False: it failed. */
static bool
run_kind(unsigned which, uint64_t limit_mib)
{
    char command[512], self[256] = "";
    const char *preload = strcmp(kinds[which].name, "jemalloc") == 0 ? find_jemalloc() : "";
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (!preload) {
        printf("jemalloc left out: not installed (Debian: libjemalloc2), or a sanitizer runs\n");
        return true;
    }
    if (length <= 0)
        return false;
    snprintf(command, sizeof(command), "%s%s '%s' --limit %" PRIu64 " --kind %s",
             *preload ? "LD_PRELOAD=" : "", preload, self, limit_mib, kinds[which].name);
    FILE *child = popen(command, "r");
    if (!child)
        return false;
    for (unsigned i = 0; i < PHASES; i++) {
        struct result *r = &results[which][i];
        if (fscanf(child, "%lf %lf %lf %lf %lf %" SCNu64 " %" SCNu64 " %" SCNu64, &r->resident,
                   &r->peak, &r->payload, &r->kept, &r->rate, &verified, &wrong, &refused) != 8)
            break;
        ran[which] = i + 1 == PHASES;
        printf("  %-12s values of %-7s %6.0f thousand operations a second, %" PRIu64
               " values verified, %" PRIu64 " wrong, %" PRIu64 " sets refused\n",
               kinds[which].title, phases[i].name, r->rate, verified, wrong, refused);
        fflush(stdout);
    }
    return pclose(child) == 0 && ran[which];
}

static void
print_rows(const char *title, size_t member, double divide)
{
    printf("\n  %-44s", title);
    for (unsigned i = 0; i < PHASES; i++)
        printf("%9s", phases[i].name);
    printf("\n");
    for (unsigned k = 0; k < KINDS; k++) {
        if (!ran[k])
            continue;
        printf("    %-42s", kinds[k].title);
        for (unsigned i = 0; i < PHASES; i++) {
            double value;
            memcpy(&value, (const char *)&results[k][i] + member, sizeof(value));
            printf("%9.2f", value / divide);
        }
        printf("\n");
    }
}

static int
compare(uint64_t limit_mib)
{
    bool good = true;
    printf("A cache that may hold %" PRIu64 " MiB, one after the other on each:\n", limit_mib);
    for (unsigned k = 0; k < KINDS; k++)
        good = run_kind(k, limit_mib) && good;
    print_rows("resident memory, highest, in limits", offsetof(struct result, peak),
               (double)limit_mib);
    print_rows("keys and values held, in limits", offsetof(struct result, payload),
               (double)limit_mib);
    print_rows("of keys written last, read again: hits, %", offsetof(struct result, kept), 1);
    print_rows("operations, thousand a second", offsetof(struct result, rate), 1);
    printf("\nColumns: sizes of values in bytes, phase by phase. Memory is the whole process, its\n"
           "index included, by the kernel's count, looked at every 4096 sets. 1.00: the limit.\n");
    if (!good)
        fprintf(stderr, "a kind of cache failed, or a value was wrong\n");
    return good ? 0 : 1;
}

int
main(int argc, char **argv)
{
    uint64_t limit_mib = 64;
    const char *name = NULL;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--limit") == 0)
            limit_mib = strtoull(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--kind") == 0)
            name = argv[i + 1];
    }
    if (limit_mib < 8 || limit_mib > 1024) {
        fprintf(stderr, "--limit: 8 to 1024 MiB\n");
        return 2;
    }
    for (unsigned k = 0; name && k < KINDS; k++) {
        if (strcmp(kinds[k].name, name) == 0)
            return be_kind(&kinds[k], limit_mib << 20);
    }
    return compare(limit_mib);
}
