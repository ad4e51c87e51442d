/* SPDX-License-Identifier: MIT */
/* stats.c - the statistics as a struct, and as text of three kinds. */
#include "cache/room.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* ---- the struct ------------------------------------------------------------------------------ */

static void
fill_bytes(const sinter_cache *cache, struct sinter_cache_stats *stats)
{
    stats->limit_bytes = sc_load(&cache->room.limit);
    stats->held_bytes = sc_room_beside(cache) + stats->store_bytes;
    stats->payload_bytes = sc_load(&cache->payload);
    stats->index_bytes = sc_lines_bytes(&cache->index.buckets);
    stats->policy_bytes = sc_policy_bytes(cache);
    stats->used_bytes = sc_policy_slots(cache);
    stats->budget_bytes = sc_load(&cache->room.budget);
    stats->ring_bytes = sc_load(&cache->policy.ring_used);
    stats->ring_target_bytes = sc_load(&cache->policy.target);
    stats->items = sc_load(&cache->policy.items);
    stats->buckets = sc_buckets(cache);
    stats->wait_max_ns = sc_load(&cache->room.wait_most_ns);
    stats->last_cas = sc_load(&cache->cas) & ((UINT64_C(1) << SC_CAS_BITS) - 1);
}

/* The counts stand in the struct as in enum sc_count. */
static void
fill_counts(const sinter_cache *cache, struct sinter_cache_stats *stats)
{
    const size_t begin = offsetof(struct sinter_cache_stats, hits);
    _Static_assert(offsetof(struct sinter_cache_stats, hits) + SC_WAIT_NS * sizeof(uint64_t) ==
                       offsetof(struct sinter_cache_stats, wait_ns),
                   "as many");
    for (unsigned what = 0; what < SC_COUNTS; what++) {
        uint64_t sum = sc_counted(cache->counts, (enum sc_count)what);
        memcpy((char *)stats + begin + what * sizeof(sum), &sum, sizeof(sum));
    }
    stats->gets = stats->hits + stats->misses;
}

int
sinter_cache_stats(sinter_cache *cache, struct sinter_cache_stats *given)
{
    struct sinter_cache_stats stats = {0};
    struct handle_stats store = HANDLE_STATS_INIT;
    if (!cache || !given || given->struct_size < offsetof(struct sinter_cache_stats, payload_bytes))
        return -EINVAL;
    int rc = handle_store_stats(cache->store, &store);
    if (rc != 0)
        return rc;
    stats.store_bytes = store.committed;
    fill_bytes(cache, &stats);
    fill_counts(cache, &stats);
    size_t size = sc_min(given->struct_size, sizeof(stats));
    stats.struct_size = given->struct_size;
    memcpy(given, &stats, size);
    return 0;
}

/* ---- texts ----------------------------------------------------------------------------------- */

enum kind { BYTES, NUMBER, COUNT, COUNT_NS, MAX_NS };

static const struct field {
    const char *name;
    size_t at;
    enum kind kind;
    const char *help;
} fields[] = {
#define FIELD(name, kind, help)                                                                    \
    {                                                                                              \
#name, offsetof(struct sinter_cache_stats, name), kind, help                               \
    }
    FIELD(limit_bytes, BYTES, "limit of all that the cache holds"),
    FIELD(held_bytes, BYTES, "held of the limit"),
    FIELD(payload_bytes, BYTES, "keys and values"),
    FIELD(index_bytes, BYTES, "buckets of the index"),
    FIELD(policy_bytes, BYTES, "ring and ghosts"),
    FIELD(store_bytes, BYTES, "committed by the store"),
    FIELD(used_bytes, BYTES, "slots of items"),
    FIELD(budget_bytes, BYTES, "slots of items at which eviction begins"),
    FIELD(ring_bytes, BYTES, "charges of new items"),
    FIELD(ring_target_bytes, BYTES, "and what they may have"),
    FIELD(items, NUMBER, "items"),
    FIELD(buckets, NUMBER, "buckets of the index"),
    FIELD(gets, COUNT, "look-ups"),
    FIELD(hits, COUNT, "look-ups that found"),
    FIELD(misses, COUNT, "look-ups that did not"),
    FIELD(sets, COUNT, "items written"),
    FIELD(inserted, COUNT, "of them new keys"),
    FIELD(refused, COUNT, "writes refused"),
    FIELD(deleted, COUNT, "items deleted"),
    FIELD(evicted, COUNT, "items evicted for their memory"),
    FIELD(crowded, COUNT, "items evicted for a place in the index"),
    FIELD(expired, COUNT, "items expired"),
    FIELD(cleared, COUNT, "items cleared"),
    FIELD(ghost_hits, COUNT, "new keys that had been evicted not long ago"),
    FIELD(splits, COUNT, "buckets made"),
    FIELD(merges, COUNT, "buckets taken away"),
    FIELD(waits, COUNT, "waits for memory on its way"),
    FIELD(wait_ns, COUNT_NS, "time of these waits"),
    FIELD(wait_max_ns, MAX_NS, "longest of a call"),
    FIELD(last_cas, NUMBER, "cas of the item written last"),
#undef FIELD
};
#define FIELDS (sizeof(fields) / sizeof(fields[0]))

/** Where text goes. */
struct sink {
    void (*write)(void *opaque, const char *text, size_t length);
    void *opaque;
};

__attribute__((format(printf, 2, 3))) static void
say(const struct sink *sink, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    if (length > 0)
        sink->write(sink->opaque, text, sc_min((uint64_t)length, sizeof(text) - 1));
}

static uint64_t
value_of(const struct sinter_cache_stats *stats, const struct field *field)
{
    uint64_t value;
    memcpy(&value, (const char *)stats + field->at, sizeof(value));
    return value;
}

static void
print_text(const struct sink *sink, const char *name, const struct sinter_cache_stats *stats)
{
    say(sink, "cache %s\n", name);
    for (size_t i = 0; i < FIELDS; i++) {
        uint64_t value = value_of(stats, &fields[i]);
        if (fields[i].kind == BYTES)
            say(sink, "  %-18s %14.1f MiB  %s\n", fields[i].name, (double)value / (1 << 20),
                fields[i].help);
        else if (fields[i].kind >= COUNT_NS)
            say(sink, "  %-18s %14.3f ms   %s\n", fields[i].name, (double)value / 1e6,
                fields[i].help);
        else
            say(sink, "  %-18s %14" PRIu64 "      %s\n", fields[i].name, value, fields[i].help);
    }
}

static void
print_json(const struct sink *sink, const char *name, const struct sinter_cache_stats *stats)
{
    say(sink, "{\"name\":\"%s\"", name);
    for (size_t i = 0; i < FIELDS; i++)
        say(sink, ",\"%s\":%" PRIu64, fields[i].name, value_of(stats, &fields[i]));
    say(sink, "}\n");
}

/* Base units: nanoseconds become seconds; counters end in _total. */
static void
print_prometheus(const struct sink *sink, const char *name, const struct sinter_cache_stats *stats)
{
    for (size_t i = 0; i < FIELDS; i++) {
        const struct field *field = &fields[i];
        bool seconds = field->kind >= COUNT_NS,
             counter = field->kind == COUNT || field->kind == COUNT_NS;
        char metric[64];
        size_t length = strlen(field->name) - (seconds ? 3 : 0); /* without _ns */
        snprintf(metric, sizeof(metric), "sinter_cache_%.*s%s%s", (int)length, field->name,
                 seconds ? "_seconds" : "", counter ? "_total" : "");
        say(sink, "# HELP %s %s\n# TYPE %s %s\n%s{cache=\"%s\"} ", metric, field->help, metric,
            counter ? "counter" : "gauge", metric, name);
        if (seconds)
            say(sink, "%.9f\n", (double)value_of(stats, field) / 1e9);
        else
            say(sink, "%" PRIu64 "\n", value_of(stats, field));
    }
}

/* Of a cache's name; what a text format could not have is a _. */
static void
copy_name(char *to, const char *name)
{
    for (; *name; name++)
        *to++ = (char)(*name < 32 || *name > 126 || *name == '"' || *name == '\\' ? '_' : *name);
    *to = '\0';
}

int
sinter_cache_print(sinter_cache *cache, enum handle_stats_format format,
                   void (*write)(void *opaque, const char *text, size_t length), void *opaque)
{
    static void (*const printers[])(const struct sink *, const char *,
                                    const struct sinter_cache_stats *) = {print_text, print_json,
                                                                          print_prometheus};
    struct sinter_cache_stats stats = {.struct_size = sizeof(stats)};
    char name[sizeof(cache->name)];
    if (!cache || !write || (unsigned)format > HANDLE_STATS_PROMETHEUS)
        return -EINVAL;
    int rc = sinter_cache_stats(cache, &stats);
    if (rc != 0)
        return rc;
    copy_name(name, cache->name);
    printers[format](&(struct sink){write, opaque}, name, &stats);
    return 0;
}
