/* SPDX-License-Identifier: MIT */
/* reader.c - see reader.h. */
#include "tools/reader.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "insight/map_lines.h"
#include "tools/reader_layout.h"

/* ---- the table of offsets -------------------------------------------------------------------- */

/* As in src/core/debug_table.h; version 1 of it. */
struct table_head {
    char cookie[8];
    uint32_t version, entries;
    uint64_t bytes, entry_bytes, self, stores;
};
struct table_entry {
    char name[32];
    uint32_t offset, bytes;
};
#define ENTRIES_MAX 4096

static const struct reader_name names[] = {
#define NAME(here, there, bytes) {there, bytes},
    NAMES(NAME)
#undef NAME
};
#define NAMES_COUNT (sizeof(names) / sizeof(names[0]))
_Static_assert(sizeof(struct layout) == NAMES_COUNT * sizeof(uint32_t), "one for each name");

#define STORE_LIVE UINT64_C(0x9e1d4c5a73696e74)
#define BLOCKS_MAX (1u << 24)

static char last_error[TARGET_ERROR_BYTES + 128];

bool
reader_refuse(const char **error, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(last_error, sizeof(last_error), format, arguments);
    va_end(arguments);
    *error = last_error;
    return false;
}

/* ---- finding it ------------------------------------------------------------------------------ */

#define PIECE ((size_t)1 << 20)

/* Whether a table begins there, one that says so itself. */
static bool
is_table(const struct reader *reader, const char *cookie, uint64_t address, struct table_head *head)
{
    return target_read(&reader->target, address, head, sizeof(*head)) &&
           memcmp(head->cookie, cookie, 8) == 0 && head->self == address;
}

/* The next place from `from` on in a piece where the cookie stands. */
static size_t
find_cookie(const char *cookie, const char *piece, size_t from, size_t bytes)
{
    while (from + 8 <= bytes && memcmp(piece + from, cookie, 8) != 0)
        from += 8;
    return from;
}

static uint64_t
scan_range(const struct reader *reader, const char *cookie, const struct target_range *range,
           char *piece, struct table_head *head)
{
    for (uint64_t at = range->begin; at < range->end; at += PIECE) {
        uint64_t left = range->end - at;
        size_t bytes = left < PIECE ? (size_t)left : PIECE;
        if (!target_read(&reader->target, at, piece, bytes))
            return 0;
        for (size_t i = 0; (i = find_cookie(cookie, piece, i, bytes)) + 8 <= bytes; i += 8)
            if (is_table(reader, cookie, at + i, head))
                return at + i;
    }
    return 0;
}

static int
by_length(const void *a, const void *b)
{
    const struct target_range *x = a, *y = b;
    uint64_t p = x->end - x->begin, q = y->end - y->begin;
    return (p > q) - (p < q);
}

/* Shortest ranges first: those of programs and libraries are short. */
static uint64_t
find_table(const struct reader *reader, const char *cookie, struct table_head *head)
{
    size_t ranges = reader->target.ranges;
    struct target_range *sorted = malloc(ranges * sizeof(*sorted) + 1);
    char *piece = malloc(PIECE);
    uint64_t found = 0;
    if (sorted && piece && ranges > 0) {
        memcpy(sorted, reader->target.range, ranges * sizeof(*sorted));
        qsort(sorted, ranges, sizeof(*sorted), by_length);
        for (size_t i = 0; i < ranges && !found; i++)
            if (sorted[i].writable)
                found = scan_range(reader, cookie, &sorted[i], piece, head);
    }
    free(sorted);
    free(piece);
    return found;
}

static bool
read_entry(const struct reader_name *name, uint32_t *value, const struct table_entry *entry,
           uint32_t entries, const char **error)
{
    for (uint32_t i = 0; i < entries; i++) {
        if (strncmp(entry[i].name, name->there, sizeof(entry[i].name)) != 0)
            continue;
        if (name->bytes != 0 && entry[i].bytes != name->bytes)
            return reader_refuse(error, "the table of offsets is damaged: %s has %" PRIu32 " bytes",
                                 name->there, entry[i].bytes);
        *value = entry[i].offset;
        return true;
    }
    return reader_refuse(error, "the table of offsets does not know %s: this is another version",
                         name->there);
}

bool
reader_table(const struct reader *reader, const char *cookie, const struct reader_name *wanted,
             size_t count, uint32_t *values, uint64_t *list, const char **error)
{
    struct table_head head;
    uint64_t at = find_table(reader, cookie, &head);
    *error = NULL;
    if (!at)
        return false;
    if (head.version != 1 || head.entry_bytes != sizeof(struct table_entry) || head.entries == 0 ||
        head.entries > ENTRIES_MAX)
        return reader_refuse(error, "its table of offsets has version %" PRIu32 ", this reads 1",
                             head.version);
    struct table_entry *entry = calloc(head.entries, sizeof(*entry));
    bool good = entry && target_read(&reader->target, at + sizeof(head), entry,
                                     head.entries * sizeof(*entry));
    if (!good)
        reader_refuse(error, "its table of offsets is not all there");
    for (size_t i = 0; good && i < count; i++)
        good = read_entry(&wanted[i], &values[i], entry, head.entries, error);
    free(entry);
    *list = head.stores;
    return good;
}

static bool
are_words_plausible(const struct layout *at)
{
    return at->handle_table == 1u << 20 && at->handle_index == 24 && at->word_offset == 27 &&
           at->word_tag < 32 && at->header_name < 64 && at->pin_bytes == 64 && at->pin_slots == 5 &&
           at->pin_below <= 48 && at->pin_group <= 62 && at->pin_word <= 24;
}

/* Constants that lengths and loops depend on. */
static bool
is_plausible(const struct layout *at)
{
    bool pages = at->page_bytes == 4096 || at->page_bytes == 16384 || at->page_bytes == 65536;
    return pages && at->block_bytes == 65536 && at->group_blocks == 64 && at->line_slots == 512 &&
           at->group_bytes >= 8 * 4096 && at->group_bytes <= 1 << 20 && at->sizeof_span >= 16 &&
           at->sizeof_span <= 4096 && at->sizeof_class >= 24 && at->sizeof_class <= 4096 &&
           at->header_bytes == 8 && at->header_size_at < 64 &&
           at->span_header <= at->sizeof_span - 8 && at->span_size <= at->sizeof_span - 8 &&
           at->span_blocks <= at->sizeof_span - 4 && at->span_pins <= at->sizeof_span - 4 &&
           at->span_dirty <= at->sizeof_span - 2 && at->span_flags <= at->sizeof_span - 2 &&
           at->span_state < at->sizeof_span && at->span_class < at->sizeof_span &&
           at->class_slot_bytes <= at->sizeof_class - 4 &&
           at->class_slots <= at->sizeof_class - 4 && at->class_blocks <= at->sizeof_class - 4 &&
           at->class_pages <= at->sizeof_class - 4 && at->class_lead <= at->sizeof_class - 4 &&
           at->class_payload <= at->sizeof_class - 4 && are_words_plausible(at);
}

static bool
read_table(struct reader *reader, const char *target, const char **error)
{
    if (!reader_table(reader, "SINTERDB", names, NAMES_COUNT, (uint32_t *)&reader->at,
                      &reader->stores, error)) {
        char why[sizeof(last_error)];
        snprintf(why, sizeof(why), "%.500s",
                 *error ? *error
                        : "no store was found in it (of Sinter 0.2 or later, in a program that "
                          "has made one)");
        return reader_refuse(error, "%.100s: %s", target, why);
    }
    if (!is_plausible(&reader->at))
        return reader_refuse(error, "%s: its table of offsets is damaged", target);
    return true;
}

struct reader *
reader_open(const char *target, const char **error)
{
    struct reader *reader = calloc(1, sizeof(*reader));
    char why[TARGET_ERROR_BYTES];
    if (!reader) {
        reader_refuse(error, "no memory");
        return NULL;
    }
    if (!target_open(&reader->target, target, why)) {
        reader_refuse(error, "%s", why);
        free(reader);
        return NULL;
    }
    if (!read_table(reader, target, error)) {
        reader_close(reader);
        return NULL;
    }
    return reader;
}

void
reader_close(struct reader *reader)
{
    if (!reader)
        return;
    target_close(&reader->target);
    free(reader);
}

bool
reader_is_live(const struct reader *reader)
{
    return reader->target.pid != 0;
}

/* ---- stores ---------------------------------------------------------------------------------- */

uint64_t
reader_number(const struct reader *reader, uint64_t address, size_t bytes, bool *good)
{
    uint64_t value = 0;
    *good = target_read(&reader->target, address, &value, bytes) && *good;
    return value;
}

static uint32_t
word_of(const char *from, uint32_t offset)
{
    uint32_t value;
    memcpy(&value, from + offset, sizeof(value));
    return value;
}

/* Whether slots of a class fit into its span. */
static bool
is_class(const struct reader_class *c)
{
    return c->slot_bytes >= 16 && c->slot_bytes <= 65536 && c->slots >= 1 && c->slots <= 4096 &&
           c->blocks >= 1 && c->blocks <= SPAN_BLOCKS && c->lead <= 64 &&
           c->payload <= c->slot_bytes && c->pages <= c->blocks * READER_BLOCK_PAGES &&
           c->lead + (uint64_t)c->slots * c->slot_bytes <= (uint64_t)c->pages * 4096;
}

static bool
read_classes(const struct reader *reader, struct reader_store *store, const char **error)
{
    const struct layout *at = &reader->at;
    const uint32_t scale = at->page_bytes / 4096;
    char class[4096];
    for (uint32_t i = 0; i < store->classes; i++) {
        uint64_t address = store->at + at->classes_of + (uint64_t)i * at->sizeof_class;
        struct reader_class *c = &store->of[i];
        if (!target_read(&reader->target, address, class, at->sizeof_class))
            return reader_refuse(error, "store %s: its size classes are not there", store->name);
        *c = (struct reader_class){
            word_of(class, at->class_slot_bytes), word_of(class, at->class_slots),
            word_of(class, at->class_blocks),     word_of(class, at->class_pages) * scale,
            word_of(class, at->class_lead),       word_of(class, at->class_payload)};
        if (!is_class(c))
            return reader_refuse(error,
                                 "store %s is damaged: its size class %" PRIu32 " has %" PRIu32
                                 " slots of %" PRIu32 " bytes in %" PRIu32 " blocks",
                                 store->name, i, c->slots, c->slot_bytes, c->blocks);
    }
    return true;
}

static bool
read_store(const struct reader *reader, uint64_t address, struct reader_store *store,
           const char **error)
{
    const struct layout *at = &reader->at;
    bool good = true;
    *store = (struct reader_store){.at = address, .page_bytes = at->page_bytes};
    uint64_t magic = reader_number(reader, address + at->store_magic, 8, &good);
    if (!good)
        return reader_refuse(error,
                             "a store is in memory that is not in the core (option core: none; or "
                             "the core leaves out anonymous memory), and so are those behind it");
    if (magic != STORE_LIVE)
        return reader_refuse(error,
                             "the list of stores is damaged, or changed while it was read: store "
                             "number %" PRIu64 " is none",
                             reader->seen + 1);
    good = target_read(&reader->target, address + at->store_name, store->name, 32);
    store->name[31] = 0;
    for (char *c = store->name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127 || *c == '"' || *c == '\\')
            *c = '_';
    store->hardened = reader_number(reader, address + at->store_hardened, 1, &good) != 0;
    store->secret = reader_number(reader, address + at->store_secret, 8, &good);
    store->arena = reader_number(reader, address + at->store_arena, 8, &good);
    store->max_bytes = reader_number(reader, address + at->store_max, 8, &good);
    store->committed = reader_number(reader, address + at->store_committed, 8, &good);
    store->table_committed = reader_number(reader, address + at->table_committed, 8, &good);
    store->blocks = (uint32_t)reader_number(reader, address + at->pool_blocks, 4, &good);
    /* In this order: both grow, and high is never more. */
    store->high = (uint32_t)reader_number(reader, address + at->pool_high, 4, &good);
    store->limit = (uint32_t)reader_number(reader, address + at->pool_limit, 4, &good);
    store->spans = reader_number(reader, address + at->pool_spans, 8, &good);
    store->groups_end = reader_number(reader, address + at->pool_groups, 8, &good);
    store->pins = reader_number(reader, address + at->store_pins, 8, &good);
    store->lower = reader_number(reader, address + at->store_lower, 8, &good);
    store->table = address + at->handle_table;
    store->entries = reader_number(reader, address + at->table_high, 4, &good) * 512;
    store->table_bytes = reader_number(reader, address + at->table_bytes, 8, &good);
    store->rcu = reader_number(reader, address + at->store_rcu, 8, &good);
    store->limbo_bytes = reader_number(reader, address + at->store_limbo, 8, &good);
    store->moved_bytes = reader_number(reader, address + at->store_moved, 8, &good);
    store->failures = reader_number(reader, address + at->store_failures, 8, &good);
    store->idle = (uint32_t)reader_number(reader, address + at->store_idle, 4, &good);
    store->classes = (uint32_t)reader_number(reader, address + at->classes_count, 4, &good);
    store->extra = (uint32_t)reader_number(reader, address + at->classes_extra, 4, &good);
    if (!good)
        return reader_refuse(error, "store %s: not all of its struct is there", store->name);
    if (store->high > store->limit || store->limit > store->blocks || store->blocks > BLOCKS_MAX ||
        store->classes == 0 || store->classes >= READER_CLASSES_MAX || store->arena % 65536 != 0)
        return reader_refuse(error,
                             "store %s is damaged: %" PRIu32 " blocks were used of %" PRIu32
                             " reserved of %" PRIu32 " planned, in %" PRIu32 " size classes",
                             store->name, store->high, store->limit, store->blocks, store->classes);
    return read_classes(reader, store, error);
}

/* The store that a link names. */
static bool
follow(struct reader *reader, uint64_t link, struct reader_store *store, const char **error)
{
    bool good = true;
    uint64_t address = reader_number(reader, link, 8, &good);
    *error = NULL;
    if (!good)
        return reader_refuse(error, "the list of stores is not there");
    if (address == 0)
        return false;
    if (address == reader->check)
        return reader_refuse(error, "the list of stores is damaged: it does not end");
    if (!read_store(reader, address, store, error))
        return false;
    if ((reader->seen & (reader->seen - 1)) == 0)
        reader->check = address;
    reader->seen++;
    return true;
}

bool
reader_first(struct reader *reader, struct reader_store *store, const char **error)
{
    reader->seen = reader->check = 0;
    return follow(reader, reader->stores, store, error);
}

bool
reader_next(struct reader *reader, struct reader_store *store, const char **error)
{
    return follow(reader, store->at + reader->at.store_next, store, error);
}

bool
reader_find(struct reader *reader, const char *name, struct reader_store *store, const char **error)
{
    bool found = reader_first(reader, store, error);
    while (found && name && strcmp(store->name, name) != 0)
        found = reader_next(reader, store, error);
    if (!found && !*error)
        reader_refuse(error, name ? "there is no store of the name %s" : "there is no store", name);
    return found;
}

/* ---- slots that wait ------------------------------------------------------------------------- */

/*
 * Of a class more slots may be taken than objects live: threads cache them, or they are in limbo.
 * Which they are only headers say; how many, counters, as in src/thread/thread_cache.h.
 */

#define CACHES_MAX  65536u
#define STACK_SLOTS 1024u

/* Whether what is kept for each class lies in its struct. */
static bool
are_caches_plausible(const struct layout *at, uint32_t classes)
{
    return at->sizeof_bin >= 16 && at->sizeof_bin <= 256 && at->sizeof_cache <= 1 << 20 &&
           at->sizeof_heap_class >= 16 && at->sizeof_heap_class <= 4096 &&
           at->bin_slots <= at->sizeof_bin - 8 && at->bin_bulk_in <= at->sizeof_bin - 8 &&
           at->heap_class_used <= at->sizeof_heap_class - 16 &&
           at->cache_next + UINT64_C(8) <= at->sizeof_cache &&
           at->cache_top + classes * UINT64_C(8) <= at->sizeof_cache &&
           at->cache_bin + (uint64_t)classes * at->sizeof_bin <= at->sizeof_cache &&
           at->cache_live_slow + classes * UINT64_C(8) <= at->sizeof_cache &&
           at->cache_frees + UINT64_C(8) <= at->sizeof_cache &&
           at->cache_frees_slow + UINT64_C(8) <= at->sizeof_cache;
}

static uint64_t
long_of(const char *from, uint64_t offset)
{
    uint64_t value;
    memcpy(&value, from + offset, sizeof(value));
    return value;
}

/* Subtracts from `more`, the slots that are taken, the objects that a thread has counted. */
static void
take_off_live(const struct layout *at, const char *cache, uint32_t classes, uint64_t *more)
{
    for (uint32_t i = 0; i < classes; i++) {
        const char *bin = cache + at->cache_bin + (size_t)i * at->sizeof_bin;
        uint64_t top = long_of(cache, at->cache_top + i * UINT64_C(8));
        uint64_t cached = (top - long_of(bin, at->bin_slots)) / 8;
        more[i] -= long_of(bin, at->bin_bulk_in) +
                   long_of(cache, at->cache_live_slow + i * UINT64_C(8)) -
                   (cached <= STACK_SLOTS ? cached : 0);
    }
}

/* What is done with each cache, in a copy. */
typedef void
with_cache(const struct layout *at, const char *cache, uint32_t classes, uint64_t *sums);

static void
add_cached(const struct layout *at, const char *cache, uint32_t classes, uint64_t *sums)
{
    for (uint32_t i = 0; i < classes; i++) {
        const char *bin = cache + at->cache_bin + (size_t)i * at->sizeof_bin;
        uint64_t cached =
            (long_of(cache, at->cache_top + i * UINT64_C(8)) - long_of(bin, at->bin_slots)) / 8;
        sums[i] += cached <= STACK_SLOTS ? cached : 0;
    }
}

static void
add_frees(const struct layout *at, const char *cache, uint32_t classes, uint64_t *sums)
{
    (void)classes;
    sums[0] += long_of(cache, at->cache_frees) + long_of(cache, at->cache_frees_slow);
}

/* Of all threads, those that have ended first. */
static bool
each_cache(const struct reader *reader, const struct reader_store *store, char *cache,
           with_cache *with, uint64_t *sums)
{
    const struct layout *at = &reader->at;
    bool good = true;
    uint64_t next = reader_number(reader, store->at + at->caches_fallback, 8, &good);
    uint64_t all = reader_number(reader, store->at + at->caches_all, 8, &good);
    for (uint32_t i = 0; good && next != 0 && i < CACHES_MAX; i++) {
        good = target_read(&reader->target, next, cache, at->sizeof_cache);
        if (good)
            with(at, cache, store->classes, sums);
        next = i == 0 ? all : long_of(cache, at->cache_next);
    }
    return good && next == 0;
}

static void
sum_caches(const struct reader *reader, const struct reader_store *store, with_cache *with,
           uint64_t *sums)
{
    char *cache =
        are_caches_plausible(&reader->at, store->classes) ? malloc(reader->at.sizeof_cache) : NULL;
    if (cache)
        each_cache(reader, store, cache, with, sums);
    free(cache);
}

void
reader_cached(const struct reader *reader, const struct reader_store *store, uint64_t *slots)
{
    sum_caches(reader, store, add_cached, slots);
}

/* sums: how many, and where the two members are. */
static void
add_stacked(const struct layout *at, const char *cache, uint32_t classes, uint64_t *sums)
{
    (void)classes, (void)at;
    uint64_t count = (long_of(cache, sums[1]) - long_of(cache, sums[2])) / 8;
    sums[0] += count <= STACK_SLOTS ? count : 0;
}

uint64_t
reader_stacked(const struct reader *reader, const struct reader_store *store, uint32_t top,
               uint32_t base)
{
    uint64_t sums[3] = {0, top, base}, bytes = reader->at.sizeof_cache;
    if (bytes >= 8 && top <= bytes - 8 && base <= bytes - 8)
        sum_caches(reader, store, add_stacked, sums);
    return sums[0];
}

uint64_t
reader_frees(const struct reader *reader, const struct reader_store *store)
{
    uint64_t frees = 0;
    sum_caches(reader, store, add_frees, &frees);
    return frees;
}

static bool
read_taken(const struct reader *reader, const struct reader_store *store, uint64_t *taken)
{
    const struct layout *at = &reader->at;
    bool good = true;
    for (uint32_t i = 0; good && i < store->classes; i++) {
        uint64_t used[2] = {0};
        uint64_t address = store->at + at->heap_of + (uint64_t)i * at->sizeof_heap_class;
        good = target_read(&reader->target, address + at->heap_class_used, used, sizeof(used));
        taken[i] = used[0] + used[1];
    }
    return good;
}

/* Which classes have slots that wait; all where that is not known. */
static void
find_waiting(const struct reader *reader, const struct reader_store *store, bool *waits)
{
    uint64_t more[READER_CLASSES_MAX] = {0};
    bool good = are_caches_plausible(&reader->at, store->classes);
    char *cache = good ? malloc(reader->at.sizeof_cache) : NULL;
    good = cache && read_taken(reader, store, more) &&
           each_cache(reader, store, cache, take_off_live, more);
    for (uint32_t i = 0; i < store->classes; i++)
        waits[i] = !good || more[i] != 0;
    free(cache);
}

/* ---- runs ------------------------------------------------------------------------------------ */

#define BITMAP_WORDS 64
#define BITMAP_LINES 8
/* Of a class in which no slot waits, so many spans are looked into, spread evenly. */
#define SAMPLE_SPANS 16

/* What one walk works on. */
struct walk {
    struct reader *reader;
    const struct reader_store *store;
    char *spans;   /* descriptors of the blocks below high */
    char *block;   /* contents of a span */
    uint32_t only; /* the run with this block; 0: all */
    enum reader_detail detail;
    uint64_t bits[BITMAP_WORDS], waits[BITMAP_WORDS];
    /* The bitmaps of 64 blocks lie side by side, line for line: pages of them, as they are read */
    uint64_t line[BITMAP_LINES][512];
    uint64_t line_of[BITMAP_LINES]; /* of which address */
    uint32_t every[READER_CLASSES_MAX],
        turn[READER_CLASSES_MAX]; /* the headers of how many spans */
    uint16_t *dirty;              /* by block */
    void (*damage)(void *opaque, const char *sentence);
    void *opaque;
};

__attribute__((format(printf, 2, 3))) static void
tell(const struct walk *walk, const char *format, ...)
{
    char sentence[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(sentence, sizeof(sentence), format, arguments);
    va_end(arguments);
    if (walk->damage)
        walk->damage(walk->opaque, sentence);
}

static const char *
span_of(const struct walk *walk, uint32_t block)
{
    return walk->spans + (size_t)block * walk->reader->at.sizeof_span;
}

static bool
has_object(const struct walk *walk, uint64_t header, uint64_t offset)
{
    const struct layout *at = &walk->reader->at;
    if ((header & at->header_check) == 0)
        return false;
    uint64_t body = (header & ~(uint64_t)at->header_check) | at->header_object;
    uint64_t check = ((body ^ offset) * walk->store->secret) >> 57;
    uint64_t marks = ((header & 0x7f) + 0x80 - check) & 0x7f;
    return (header & ~UINT64_C(0x7f)) == body &&
           (marks == 0 || marks == at->header_sampled ||
            ((walk->store->secret & at->secret_cells) &&
             (marks == at->header_cells || marks == at->header_sampled + at->header_cells)));
}

/* The bitmap of a span. */
static bool
read_bits(struct walk *walk, uint32_t number, uint32_t slots)
{
    const struct layout *at = &walk->reader->at;
    uint64_t group = walk->store->groups_end - (number / 64 + UINT64_C(1)) * at->group_bytes;
    memset(walk->bits, 0, sizeof(walk->bits));
    for (uint32_t line = 0; line * 512 < slots; line++) {
        uint64_t address = group + UINT64_C(4096) * line;
        if (walk->line_of[line] != address &&
            !target_read(&walk->reader->target, address, walk->line[line], 4096))
            return false;
        walk->line_of[line] = address;
        memcpy(walk->bits + (size_t)line * 8, walk->line[line] + (size_t)(number % 64) * 8, 64);
    }
    if (slots % 64 != 0)
        walk->bits[slots / 64] &= UINT64_MAX >> (64 - slots % 64);
    return true;
}

static bool
is_committed(const struct reader_run *run, uint32_t page)
{
    return run->dirty[page / 16] >> page % 16 & 1;
}

/* The first pages of a span as far as they are committed: to look at others would map them in the
 * process. False: not all are there. */
static bool
copy_committed(struct walk *walk, const struct reader_run *run, uint32_t pages)
{
    uint64_t base = walk->store->arena + ((uint64_t)run->at << 16);
    for (uint32_t from = 0, to; from < pages; from = to) {
        bool here = is_committed(run, from);
        for (to = from + 1; to < pages && is_committed(run, to) == here; to++)
            continue;
        char *at = walk->block + (size_t)from * 4096;
        size_t bytes = (size_t)(to - from) * 4096;
        if (!here)
            memset(at, 0, bytes);
        else if (!target_read(&walk->reader->target, base + (uint64_t)from * 4096, at, bytes))
            return false;
    }
    return true;
}

/* The same, where a core has them if all are committed, else a copy. NULL: not all are there. */
static const char *
read_committed(struct walk *walk, const struct reader_run *run, uint32_t pages)
{
    uint64_t there;
    const char *at =
        target_at(&walk->reader->target, walk->store->arena + ((uint64_t)run->at << 16), &there);
    uint32_t page = 0;
    while (page < pages && is_committed(run, page))
        page++;
    if (at && there >= (uint64_t)pages * 4096 && page == pages)
        return at;
    return copy_committed(walk, run, pages) ? walk->block : NULL;
}

/* Whether the headers of a span are to be read. */
static bool
is_to_read(struct walk *walk, const struct reader_run *run)
{
    if (walk->detail == READER_PINNED)
        return run->pinned;
    return walk->turn[run->class_id]++ % walk->every[run->class_id] == 0;
}

static void
read_headers(struct walk *walk, struct reader_run *run, const struct reader_class *c)
{
    uint64_t offset = (uint64_t)run->at << 16;
    run->live = 0;
    for (uint32_t i = 0; i < c->slots; i++) {
        uint64_t at = c->lead + (uint64_t)i * c->slot_bytes, header;
        if (!(walk->bits[i / 64] >> (i % 64) & 1))
            continue;
        memcpy(&header, run->contents + at, sizeof(header));
        bool live = has_object(walk, header, offset + at + 8);
        walk->waits[i / 64] |= (uint64_t)!live << i % 64;
        run->live += live;
        run->ended += !live;
        run->requested += live ? reader_size_of(&walk->reader->at, walk->store, c, header) : 0;
    }
}

static void
read_slots(struct walk *walk, struct reader_run *run, const struct reader_class *c)
{
    run->slots = c->slots;
    run->bits = walk->bits;
    run->waits = walk->waits;
    memset(walk->waits, 0, sizeof(walk->waits));
    if (!read_bits(walk, run->at, c->slots)) {
        memset(walk->bits, 0, sizeof(walk->bits));
        tell(walk, "block %" PRIu32 ": the bitmap of its slots is not there", run->at);
        return;
    }
    for (uint32_t i = 0; i * 64 < c->slots; i++)
        run->live += (uint32_t)__builtin_popcountll(walk->bits[i]);
    run->contents = is_to_read(walk, run) ? read_committed(walk, run, c->pages) : NULL;
    run->no_contents = !run->contents;
    if (run->contents)
        read_headers(walk, run, c);
}

/* An object that has ended leaves its descriptor's header clear. */
static void
read_large(const struct walk *walk, struct reader_run *run)
{
    const char *span = span_of(walk, run->at);
    uint64_t header, size;
    memcpy(&header, span + walk->reader->at.span_header, sizeof(header));
    memcpy(&size, span + walk->reader->at.span_size, sizeof(size));
    run->live = has_object(walk, header, (uint64_t)run->at << 16);
    run->ended = !run->live;
    run->header = header;
    if (run->live && size > (uint64_t)run->blocks << 16) {
        tell(walk,
             "block %" PRIu32 ": its object of %" PRIu64 " bytes is longer than its %" PRIu32
             " blocks",
             run->at, size, run->blocks);
        size = 0;
    }
    run->requested = run->live ? size : 0;
}

static enum reader_kind
kind_of(const struct layout *at, uint8_t state)
{
    if (state == at->state_open || state == at->state_closed || state == at->state_held)
        return READER_SLOTS;
    if (state == at->state_large)
        return READER_LARGE;
    if (state == at->state_dirty || state == at->state_purging)
        return READER_EMPTY;
    return state == at->state_clean ? READER_CLEAN : READER_OTHER;
}

static void
count_pages(const struct walk *walk, struct reader_run *run)
{
    run->dirty = walk->dirty + run->at;
    for (uint32_t i = run->at; i < run->at + run->blocks; i++) {
        memcpy(&walk->dirty[i], span_of(walk, i) + walk->reader->at.span_dirty, 2);
        walk->dirty[i] = sn_map_pieces(walk->dirty[i], walk->reader->at.page_bytes);
        run->committed += (uint64_t)__builtin_popcount(walk->dirty[i]) * 4096;
    }
}

/* Its guard may take a block more (hardened stores). */
static bool
is_span_of(const struct reader_class *c, uint32_t blocks)
{
    return blocks == c->blocks || blocks == c->blocks + 1;
}

/* The run that begins at a block. *run->blocks is at least 1, and it ends below high. */
static void
read_run(struct walk *walk, uint32_t block, struct reader_run *run)
{
    const struct layout *at = &walk->reader->at;
    const char *span = span_of(walk, block);
    uint16_t flags;
    memcpy(&flags, span + at->span_flags, sizeof(flags));
    *run = (struct reader_run){.at = block,
                               .blocks = word_of(span, at->span_blocks),
                               .kind = kind_of(at, (uint8_t)span[at->span_state]),
                               .class_id = (uint8_t)span[at->span_class],
                               .damaged = flags & at->flag_damaged};
    uint32_t left = walk->store->high - block;
    if (run->blocks == 0 || run->blocks > left) {
        if (run->kind != READER_CLEAN) /* that one goes on beyond what was used */
            tell(walk, "block %" PRIu32 ": its run is said to have %" PRIu32 " blocks", block,
                 run->blocks);
        run->blocks = run->kind == READER_CLEAN && run->blocks ? left : 1;
        run->kind = run->kind == READER_CLEAN ? READER_CLEAN : READER_OTHER;
    }
    bool slots = run->kind == READER_SLOTS;
    if (slots && (run->class_id >= walk->store->classes ||
                  !is_span_of(&walk->store->of[run->class_id], run->blocks))) {
        tell(walk, "block %" PRIu32 ": its size class is said to be %" PRIu32, block,
             run->class_id);
        run->kind = READER_OTHER;
        slots = false;
    }
    run->pinned = (slots || run->kind == READER_LARGE) && word_of(span, at->span_pins) != 0;
    run->unmovable = slots && flags & at->flag_unmovable;
    run->tried = slots && flags & at->flag_tried;
    count_pages(walk, run);
    if (walk->only && (block > walk->only || walk->only - block >= run->blocks))
        return;
    if (slots)
        read_slots(walk, run, &walk->store->of[run->class_id]);
    else if (run->kind == READER_LARGE)
        read_large(walk, run);
}

static int
walk_runs(struct walk *walk, int (*visit)(void *opaque, const struct reader_run *run))
{
    int result = 0;
    struct reader_run run;
    for (uint32_t block = 1; block < walk->store->high && result == 0; block += run.blocks) {
        read_run(walk, block, &run);
        if (!walk->only || walk->only - block < run.blocks)
            result = visit(walk->opaque, &run);
        if (walk->only && walk->only - block < run.blocks)
            break;
    }
    return result;
}

/* Of which spans the headers are read: of every n-th of a class. */
static void
plan(struct walk *walk, enum reader_detail detail)
{
    const struct layout *at = &walk->reader->at;
    uint32_t spans[256] = {0};
    bool waits[READER_CLASSES_MAX];
    find_waiting(walk->reader, walk->store, waits);
    for (uint32_t block = 1; block < walk->store->high; block++) {
        const char *span = span_of(walk, block);
        spans[(uint8_t)span[at->span_class]] +=
            kind_of(at, (uint8_t)span[at->span_state]) == READER_SLOTS;
    }
    for (uint32_t i = 0; i < walk->store->classes; i++)
        walk->every[i] = detail != READER_SAMPLE || waits[i] ? 1 : spans[i] / SAMPLE_SPANS + 1;
}

static int
walk_some(struct walk *walk, enum reader_detail detail,
          int (*visit)(void *opaque, const struct reader_run *run), const char **error)
{
    struct reader *reader = walk->reader;
    const struct reader_store *store = walk->store;
    size_t bytes = (size_t)store->high * reader->at.sizeof_span;
    int result = -1;
    *error = NULL;
    walk->detail = detail;
    walk->spans = malloc(bytes + 1);
    walk->block = calloc(SPAN_BLOCKS, 65536);
    walk->dirty = calloc((size_t)store->high + 1, sizeof(walk->dirty[0]));
    if (!walk->spans || !walk->block || !walk->dirty)
        reader_refuse(error, "no memory");
    else if (!target_read(&reader->target, store->spans, walk->spans, bytes))
        reader_refuse(error, "store %s: the descriptors of its spans are not there", store->name);
    else {
        if (walk->only)
            memset(walk->every, 1, sizeof(walk->every));
        else
            plan(walk, detail);
        result = walk_runs(walk, visit);
    }
    free(walk->spans);
    free(walk->block);
    free(walk->dirty);
    return result;
}

int
reader_runs(struct reader *reader, const struct reader_store *store, enum reader_detail detail,
            int (*visit)(void *opaque, const struct reader_run *run),
            void (*damage)(void *opaque, const char *sentence), void *opaque, const char **error)
{
    struct walk walk = {.reader = reader, .store = store, .damage = damage, .opaque = opaque};
    return walk_some(&walk, detail, visit, error);
}

int
reader_run_at(struct reader *reader, const struct reader_store *store, uint32_t block,
              int (*visit)(void *opaque, const struct reader_run *run), void *opaque,
              const char **error)
{
    struct walk walk = {.reader = reader, .store = store, .only = block, .opaque = opaque};
    if (block == 0 || block >= store->high)
        return reader_refuse(error, "store %s has no block %" PRIu32 " in use", store->name, block)
                   ? 0
                   : -1;
    return walk_some(&walk, READER_EXACT, visit, error);
}

uint64_t
reader_resident(struct reader *reader, const struct reader_store *store)
{
    char path[64];
    uint64_t entry[512], page_bytes = (uint64_t)sysconf(_SC_PAGESIZE), resident = 0;
    uint64_t pages = ((uint64_t)store->high << 16) / page_bytes;
    snprintf(path, sizeof(path), "/proc/%d/pagemap", reader->target.pid);
    int fd = reader_is_live(reader) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return UINT64_MAX;
    for (uint64_t page = 0; page < pages; page += 512) {
        size_t count = pages - page < 512 ? (size_t)(pages - page) : 512;
        off_t at = (off_t)((store->arena / page_bytes + page) * sizeof(entry[0]));
        ssize_t got = pread(fd, entry, count * sizeof(entry[0]), at);
        for (size_t i = 0; got > 0 && i < (size_t)got / sizeof(entry[0]); i++)
            resident += entry[i] >> 63 ? page_bytes : 0;
    }
    close(fd);
    return resident;
}
