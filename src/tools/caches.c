/* SPDX-License-Identifier: MIT */
/*
 * caches.c - sinter cache and sinter item: caches of libsinter-cache, by the table of offsets that
 * it carries beside the store's: what they hold, what they evict next, what the items are that keep
 * half empty spans from going back; and one item by its key.
 */
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/look.h"
#include "tools/reader_layout.h"

/* X(how it is called here, there, bytes that it must have; 0: a constant) */
#define CACHE_NAMES(X)                                                                             \
    X(store, "cache.store", 8)                                                                     \
    X(name, "cache.name", 32)                                                                      \
    X(next, "cache.next", 8)                                                                       \
    X(used, "cache.policy.used", 8)                                                                \
    X(items, "cache.policy.items", 8)                                                              \
    X(ring_used, "cache.policy.ring_used", 8)                                                      \
    X(target, "cache.policy.target", 8)                                                            \
    X(left_ring, "cache.policy.left_ring", 8)                                                      \
    X(left_main, "cache.policy.left_main", 8)                                                      \
    X(limit, "cache.room.limit", 8)                                                                \
    X(budget, "cache.room.budget", 8)                                                              \
    X(payload, "cache.payload", 8)                                                                 \
    X(counts, "cache.counts", 0)                                                                   \
    X(bucket_state, "bucket.state", 4)                                                             \
    X(bucket_heat, "bucket.heat", 2)                                                               \
    X(bucket_cell, "bucket.cell", 0)                                                               \
    X(sizeof_bucket, "sizeof.bucket", 0)                                                           \
    X(sizeof_stripe, "sizeof.stripe", 0)                                                           \
    X(stripes, "stripes", 0)                                                                       \
    X(in_main, "bucket.in_main", 0)                                                                \
    X(count_hits, "count.hits", 0)                                                                 \
    X(count_misses, "count.misses", 0)                                                             \
    X(count_sets, "count.sets", 0)                                                                 \
    X(count_evicted, "count.evicted", 0)                                                           \
    X(count_expired, "count.expired", 0)                                                           \
    X(key_at, "item.key_at", 0)                                                                    \
    X(key_bits, "item.key_bits", 0)                                                                \
    X(expires, "item.expires", 0)                                                                  \
    X(flags, "item.flags", 0)                                                                      \
    X(pieces, "item.pieces", 0)                                                                    \
    X(head, "item.head", 0)

struct cache_layout {
#define MEMBER(here, there, bytes) uint32_t here;
    CACHE_NAMES(MEMBER)
#undef MEMBER
};

static const struct reader_name cache_names[] = {
#define NAME(here, there, bytes) {there, bytes},
    CACHE_NAMES(NAME)
#undef NAME
};
#define CACHE_NAMES_COUNT (sizeof(cache_names) / sizeof(cache_names[0]))
#define CACHES_MAX        4096u
#define STRIPES_MAX       1024u

struct caches {
    struct reader *reader;
    struct cache_layout at;
    uint64_t cache; /* address of the one that is looked at */
    char name[32];
    struct reader_store store;
    bool addresses;
    const char *key; /* of the item that is looked for, or NULL */
    size_t key_size;
    uint64_t found;
    /* Of spans that are more than half free: */
    uint64_t sparse_spans, sparse_bytes, sparse_items, sparse_pieces, sparse_ring, sparse_heat[4];
};

/* ---- an item --------------------------------------------------------------------------------- */

struct item {
    uint64_t word;
    const char *key;
    size_t key_size, head, size;
    bool in_main, known; /* where its cell lies is known */
    unsigned heat;
};

/* Where in its bucket the cell lies that names the item, and what is said of it there. */
static void
read_bucket(const struct caches *caches, uint64_t cell, struct item *item)
{
    uint64_t bucket = cell & ~(uint64_t)(caches->at.sizeof_bucket - 1);
    uint64_t number = (cell - bucket - caches->at.bucket_cell) / 8;
    uint32_t state;
    uint16_t heat;
    item->known = cell - bucket >= caches->at.bucket_cell && number < 8 &&
                  reader_memory(caches->reader, bucket + caches->at.bucket_state, &state, 4) &&
                  reader_memory(caches->reader, bucket + caches->at.bucket_heat, &heat, 2);
    if (!item->known)
        return;
    item->in_main = state & (caches->at.in_main << number);
    item->heat = heat >> 2 * number & 3u;
}

/* False: it is none. */
static bool
read_item(const struct caches *caches, const struct reader_run *run, uint32_t i,
          const struct reader_object *object, struct item *item)
{
    const struct cache_layout *at = &caches->at;
    const struct reader_class *c = &caches->store.of[run->class_id];
    const char *data = run->contents + c->lead + (uint64_t)i * c->slot_bytes + 8;
    *item = (struct item){.size = object->size};
    if (object->handle || object->size < at->head)
        return false;
    memcpy(&item->word, data, sizeof(item->word));
    item->key_size = item->word >> at->key_at & ((UINT64_C(1) << at->key_bits) - 1);
    item->head =
        at->head + (item->word >> at->expires & 1 ? 4 : 0) + (item->word >> at->flags & 1 ? 4 : 0);
    item->key = data + item->head;
    if (item->head + item->key_size > object->size)
        return false;
    read_bucket(caches, object->name, item);
    return true;
}

static uint64_t
value_size(const struct caches *caches, const struct item *item)
{
    uint64_t bytes = item->size - item->head - item->key_size;
    if (item->word >> caches->at.pieces & 1 && bytes >= 8)
        memcpy(&bytes, item->key + item->key_size, 8);
    return bytes;
}

static void
print_item(const struct caches *caches, const struct reader_run *run, uint32_t i,
           const struct reader_object *object, const struct item *item)
{
    printf("cache %s: \"", caches->name);
    for (size_t k = 0; k < item->key_size; k++)
        putchar(isprint((unsigned char)item->key[k]) ? item->key[k] : '.');
    printf("\": %" PRIu64 " bytes%s", value_size(caches, item),
           item->word >> caches->at.pieces & 1 ? " in pieces" : "");
    if (item->known)
        printf(", in %s, heat %u", item->in_main ? "main" : "the ring", item->heat);
    printf(", cas %" PRIu64 "%s\n", item->word & ((UINT64_C(1) << caches->at.key_at) - 1),
           item->word >> caches->at.expires & 1 ? ", expires" : "");
    printf("  block %" PRIu32 " slot %" PRIu32 " of slots of %" PRIu32
           " bytes; in its span %" PRIu32 " objects of %" PRIu32 " slots",
           run->at, i, caches->store.of[run->class_id].slot_bytes, run->live, run->slots);
    if (caches->addresses)
        printf("; at 0x%" PRIx64, object->at);
    putchar('\n');
}

static int
look_for_key(void *opaque, const struct reader_run *run)
{
    struct caches *caches = opaque;
    for (uint32_t i = 0; run->contents && i < run->slots; i++) {
        struct reader_object object;
        struct item item;
        if (!reader_is_live_slot(run, i))
            continue;
        reader_object(caches->reader, &caches->store, run, i, &object);
        if (!read_item(caches, run, i, &object, &item) || item.key_size != caches->key_size ||
            memcmp(item.key, caches->key, item.key_size) != 0)
            continue;
        print_item(caches, run, i, &object, &item);
        caches->found++;
    }
    return 0;
}

/* ---- a cache --------------------------------------------------------------------------------- */

static int
count_sparse(void *opaque, const struct reader_run *run)
{
    struct caches *caches = opaque;
    if (run->kind != READER_SLOTS || run->live * UINT64_C(2) >= run->slots || !run->contents)
        return 0;
    uint64_t used = (uint64_t)(run->live + run->ended) * caches->store.of[run->class_id].slot_bytes;
    caches->sparse_spans++;
    caches->sparse_bytes += run->committed > used ? run->committed - used : 0;
    for (uint32_t i = 0; i < run->slots; i++) {
        struct reader_object object;
        struct item item;
        if (!reader_is_live_slot(run, i))
            continue;
        reader_object(caches->reader, &caches->store, run, i, &object);
        if (!read_item(caches, run, i, &object, &item)) {
            caches->sparse_pieces++;
            continue;
        }
        caches->sparse_items++;
        caches->sparse_ring += item.known && !item.in_main;
        caches->sparse_heat[item.heat] += item.known;
    }
    return 0;
}

static uint64_t
member(const struct caches *caches, uint32_t offset)
{
    bool good = true;
    return reader_number(caches->reader, caches->cache + offset, 8, &good);
}

static uint64_t
counted(const struct caches *caches, uint32_t what)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < caches->at.stripes && i < STRIPES_MAX; i++)
        sum += member(caches, caches->at.counts + i * caches->at.sizeof_stripe + what * 8);
    return sum;
}

static void
print_policy(const struct caches *caches)
{
    uint64_t used = member(caches, caches->at.used), budget = member(caches, caches->at.budget);
    uint64_t ring = member(caches, caches->at.ring_used);
    uint64_t target = member(caches, caches->at.target);
    printf(
        "  eviction begins at %s of slots, %s are used: %s in the ring of new items, which is to "
        "have %s\n",
        text_of_bytes(budget), text_of_bytes(used), text_of_bytes(ring), text_of_bytes(target));
    printf("  %s; next to go is %s\n", used > budget ? "it evicts" : "it need not evict",
           ring > target ? "the oldest of the ring, unless it was hit"
                         : "what the hand of main finds without a hit");
    printf("  left so far: %" PRIu64 " from the ring, %" PRIu64 " from main; evicted %" PRIu64
           ", expired %" PRIu64 "\n",
           member(caches, caches->at.left_ring), member(caches, caches->at.left_main),
           counted(caches, caches->at.count_evicted), counted(caches, caches->at.count_expired));
}

static void
print_sparse(const struct caches *caches)
{
    printf("  %" PRIu64 " spans are more than half free, %s of them; they are kept by %" PRIu64
           " items (%" PRIu64 " in the ring; of heat 0, 1, 2, 3: %" PRIu64 ", %" PRIu64 ", %" PRIu64
           ", %" PRIu64 ") and %" PRIu64 " pieces of large values\n",
           caches->sparse_spans, text_of_bytes(caches->sparse_bytes), caches->sparse_items,
           caches->sparse_ring, caches->sparse_heat[0], caches->sparse_heat[1],
           caches->sparse_heat[2], caches->sparse_heat[3], caches->sparse_pieces);
}

static bool
print_cache(struct caches *caches, const char **error)
{
    uint64_t hits = counted(caches, caches->at.count_hits);
    uint64_t gets = hits + counted(caches, caches->at.count_misses);
    printf("cache %s: %" PRIu64 " items, %s of keys and values, limit %s\n", caches->name,
           member(caches, caches->at.items), text_of_bytes(member(caches, caches->at.payload)),
           text_of_bytes(member(caches, caches->at.limit)));
    printf("  %" PRIu64 " gets, %.1f %% of them hits; %" PRIu64 " sets\n", gets,
           gets ? 100.0 * (double)hits / (double)gets : 0, counted(caches, caches->at.count_sets));
    print_policy(caches);
    if (reader_runs(caches->reader, &caches->store, READER_EXACT, count_sparse, NULL, caches,
                    error) < 0)
        return false;
    print_sparse(caches);
    return true;
}

/* ---- all of them ----------------------------------------------------------------------------- */

static bool
find_store(struct caches *caches, const char **error)
{
    uint64_t store = member(caches, caches->at.store);
    bool found = reader_first(caches->reader, &caches->store, error);
    while (found && caches->store.at != store)
        found = reader_next(caches->reader, &caches->store, error);
    if (!found && !*error)
        reader_refuse(error, "cache %s: its store is not there", caches->name);
    return found;
}

static bool
look_at_cache(struct caches *caches, const char **error)
{
    memset(&caches->sparse_spans, 0, sizeof(*caches) - offsetof(struct caches, sparse_spans));
    if (!find_store(caches, error))
        return false;
    if (!caches->key)
        return print_cache(caches, error);
    return reader_runs(caches->reader, &caches->store, READER_EXACT, look_for_key, NULL, caches,
                       error) >= 0;
}

static void
read_name(struct caches *caches)
{
    if (!reader_memory(caches->reader, caches->cache + caches->at.name, caches->name, 32))
        caches->name[0] = 0;
    caches->name[31] = 0;
    for (char *c = caches->name; *c; c++)
        if (!isprint((unsigned char)*c))
            *c = '_';
}

static bool
look_at_all(struct caches *caches, uint64_t list, const char *name, const char **error)
{
    bool good = true, any = false;
    caches->cache = reader_number(caches->reader, list, 8, &good);
    for (unsigned i = 0; good && caches->cache && i < CACHES_MAX; i++) {
        read_name(caches);
        if (!name || strcmp(name, caches->name) == 0) {
            if (!look_at_cache(caches, error))
                return false;
            any = true;
        }
        caches->cache = reader_number(caches->reader, caches->cache + caches->at.next, 8, &good);
    }
    if (!any)
        return reader_refuse(error, "there is no such cache now");
    return true;
}

static bool
is_plausible(const struct cache_layout *at)
{
    return at->sizeof_bucket == 64 && at->bucket_cell <= 8 && at->key_at < 64 &&
           at->key_bits <= 16 && at->expires < 64 && at->flags < 64 && at->pieces < 64 &&
           at->head >= 8 && at->head <= 64 && at->in_main < 1u << 8;
}

static int
run(struct caches *caches, const char *name)
{
    const char *error = NULL;
    uint64_t list;
    if (!reader_table(caches->reader, "SINTERCA", cache_names, CACHE_NAMES_COUNT,
                      (uint32_t *)&caches->at, &list, &error))
        return say("%s", error ? error : "no cache was found in it");
    if (!is_plausible(&caches->at))
        return say("the cache's table of offsets is damaged");
    if (!look_at_all(caches, list, name, &error))
        return say("%s", error);
    return caches->key && caches->found == 0 ? say("no cache has an item with this key") : 0;
}

static int
command(int argc, char **argv, int arguments, const char *usage)
{
    const char *name = NULL, *error;
    struct caches *caches = calloc(1, sizeof(*caches));
    bool addresses = false;
    const struct option_value options[] = {
        {"--store", NULL, &name, NULL}, {"--addresses", NULL, NULL, &addresses}, {0}};
    int status = 2;
    if (!caches || !take_options(&argc, argv, options)) {
        free(caches);
        return status;
    }
    if (argc != arguments) {
        status = misused("%s", usage);
    } else if ((caches->reader = reader_open(argv[0], &error)) == NULL) {
        status = say("%s", error);
    } else {
        caches->addresses = addresses;
        caches->key = arguments > 1 ? argv[1] : NULL;
        caches->key_size = arguments > 1 ? strlen(argv[1]) : 0;
        status = run(caches, name);
        reader_close(caches->reader);
    }
    free(caches);
    return status;
}

int
command_cache(int argc, char **argv)
{
    return command(argc, argv, 1, "cache: one process or core is needed");
}

int
command_item(int argc, char **argv)
{
    return command(argc, argv, 2, "item: a process or core, and a key are needed");
}
