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

#include "tools/target.h"

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

/* X(how it is called here, there, bytes that it must have; 0: a constant) */
#define NAMES(X)                                                                                   \
    X(store_magic, "store.magic", 8)                                                               \
    X(store_name, "store.name", 32)                                                                \
    X(store_secret, "store.secret", 8)                                                             \
    X(store_hardened, "store.hardened", 1)                                                         \
    X(store_next, "store.next_store", 8)                                                           \
    X(store_arena, "store.head.arena", 8)                                                          \
    X(store_max, "store.budget.max_bytes", 8)                                                      \
    X(store_committed, "store.budget.committed", 8)                                                \
    X(table_committed, "store.table.committed_bytes", 8)                                           \
    X(pool_blocks, "store.pool.blocks", 4)                                                         \
    X(pool_spans, "store.pool.spans", 8)                                                           \
    X(pool_groups, "store.pool.groups_end", 8)                                                     \
    X(pool_limit, "store.pool.limit", 4)                                                           \
    X(pool_high, "store.pool.high", 4)                                                             \
    X(classes_count, "store.classes.count", 4)                                                     \
    X(classes_extra, "store.classes.extra", 4)                                                     \
    X(classes_of, "store.classes.of", 0)                                                           \
    X(class_slot_bytes, "class.slot_bytes", 4)                                                     \
    X(class_slots, "class.slots", 4)                                                               \
    X(class_blocks, "class.blocks", 4)                                                             \
    X(class_pages, "class.pages", 4)                                                               \
    X(class_lead, "class.lead", 4)                                                                 \
    X(class_payload, "class.payload", 4)                                                           \
    X(span_blocks, "span.blocks", 4)                                                               \
    X(span_state, "span.state", 1)                                                                 \
    X(span_class, "span.class_id", 1)                                                              \
    X(span_dirty, "span.dirty", 2)                                                                 \
    X(span_pins, "span.pins", 4)                                                                   \
    X(span_flags, "span.flags", 2)                                                                 \
    X(span_header, "span.large_header", 8)                                                         \
    X(span_size, "span.u.large_size", 8)                                                           \
    X(sizeof_class, "sizeof.class", 0)                                                             \
    X(sizeof_span, "sizeof.span", 0)                                                               \
    X(page_bytes, "page_bytes", 0)                                                                 \
    X(block_bytes, "block_bytes", 0)                                                               \
    X(group_bytes, "group.bytes", 0)                                                               \
    X(group_blocks, "group.blocks", 0)                                                             \
    X(line_slots, "line.slots", 0)                                                                 \
    X(header_bytes, "header.bytes", 0)                                                             \
    X(header_check, "header.check", 0)                                                             \
    X(header_object, "header.object", 0)                                                           \
    X(header_size_at, "header.size_at", 0)                                                         \
    X(header_size, "header.size", 0)                                                               \
    X(state_clean, "state.clean", 0)                                                               \
    X(state_dirty, "state.dirty", 0)                                                               \
    X(state_purging, "state.purging", 0)                                                           \
    X(state_open, "state.open", 0)                                                                 \
    X(state_closed, "state.closed", 0)                                                             \
    X(state_held, "state.held", 0)                                                                 \
    X(state_large, "state.large", 0)                                                               \
    X(flag_damaged, "flag.damaged", 0)                                                             \
    X(flag_unmovable, "flag.unmovable", 0)                                                         \
    X(flag_tried, "flag.tried", 0)

struct layout {
#define MEMBER(here, there, bytes) uint32_t here;
    NAMES(MEMBER)
#undef MEMBER
};

static const struct {
    const char *there;
    uint32_t bytes;
} names[] = {
#define NAME(here, there, bytes) {there, bytes},
    NAMES(NAME)
#undef NAME
};
#define NAMES_COUNT (sizeof(names) / sizeof(names[0]))
_Static_assert(sizeof(struct layout) == NAMES_COUNT * sizeof(uint32_t), "one for each name");

#define STORE_LIVE  UINT64_C(0x9e1d4c5a73696e74)
#define BLOCKS_MAX  (1u << 24)
#define SPAN_BLOCKS 8

struct reader {
    struct target target;
    struct layout at;
    uint64_t stores; /* address of the first link */
    uint64_t seen;   /* stores so far */
    uint64_t check;  /* one of them: a list that comes back to it does not end (Brent) */
};

static char last_error[TARGET_ERROR_BYTES + 128];

__attribute__((format(printf, 2, 3))) static bool
refuse(const char **error, const char *format, ...)
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
is_table(const struct reader *reader, uint64_t address, struct table_head *head)
{
    return target_read(&reader->target, address, head, sizeof(*head)) &&
           memcmp(head->cookie, "SINTERDB", 8) == 0 && head->self == address;
}

/* The next place from `from` on in a piece where the cookie stands. */
static size_t
find_cookie(const char *piece, size_t from, size_t bytes)
{
    while (from + 8 <= bytes && memcmp(piece + from, "SINTERDB", 8) != 0)
        from += 8;
    return from;
}

static uint64_t
scan_range(const struct reader *reader, const struct target_range *range, char *piece,
           struct table_head *head)
{
    for (uint64_t at = range->begin; at < range->end; at += PIECE) {
        uint64_t left = range->end - at;
        size_t bytes = left < PIECE ? (size_t)left : PIECE;
        if (!target_read(&reader->target, at, piece, bytes))
            return 0;
        for (size_t i = 0; (i = find_cookie(piece, i, bytes)) + 8 <= bytes; i += 8)
            if (is_table(reader, at + i, head))
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

/* Shortest ranges first: those of programs and libraries are. */
static uint64_t
find_table(const struct reader *reader, struct table_head *head)
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
                found = scan_range(reader, &sorted[i], piece, head);
    }
    free(sorted);
    free(piece);
    return found;
}

static bool
read_entry(struct reader *reader, size_t name, const struct table_entry *entry, uint32_t entries,
           const char **error)
{
    for (uint32_t i = 0; i < entries; i++) {
        if (strncmp(entry[i].name, names[name].there, sizeof(entry[i].name)) != 0)
            continue;
        if (names[name].bytes != 0 && entry[i].bytes != names[name].bytes)
            return refuse(error, "the table of offsets is damaged: %s has %" PRIu32 " bytes",
                          names[name].there, entry[i].bytes);
        memcpy((char *)&reader->at + name * sizeof(uint32_t), &entry[i].offset, sizeof(uint32_t));
        return true;
    }
    return refuse(error, "the table of offsets does not know %s: this is another version",
                  names[name].there);
}

/* Constants that lengths and loops depend on. */
static bool
is_plausible(const struct layout *at)
{
    return at->page_bytes == 4096 && at->block_bytes == 65536 && at->group_blocks == 64 &&
           at->line_slots == 512 && at->group_bytes >= 8 * 4096 && at->group_bytes <= 1 << 20 &&
           at->sizeof_span >= 16 && at->sizeof_span <= 4096 && at->sizeof_class >= 24 &&
           at->sizeof_class <= 4096 && at->header_bytes == 8 && at->header_size_at < 64 &&
           at->span_header <= at->sizeof_span - 8 && at->span_size <= at->sizeof_span - 8 &&
           at->span_blocks <= at->sizeof_span - 4 && at->span_pins <= at->sizeof_span - 4 &&
           at->span_dirty <= at->sizeof_span - 2 && at->span_flags <= at->sizeof_span - 2 &&
           at->span_state < at->sizeof_span && at->span_class < at->sizeof_span &&
           at->class_slot_bytes <= at->sizeof_class - 4 &&
           at->class_slots <= at->sizeof_class - 4 && at->class_blocks <= at->sizeof_class - 4 &&
           at->class_pages <= at->sizeof_class - 4 && at->class_lead <= at->sizeof_class - 4 &&
           at->class_payload <= at->sizeof_class - 4;
}

static bool
read_table(struct reader *reader, const char *target, const char **error)
{
    struct table_head head;
    uint64_t at = find_table(reader, &head);
    if (!at)
        return refuse(error,
                      "%s: no store was found in it (of Sinter 0.2 or later, in a program that has "
                      "made one)",
                      target);
    if (head.version != 1 || head.entry_bytes != sizeof(struct table_entry) || head.entries == 0 ||
        head.entries > ENTRIES_MAX)
        return refuse(error, "%s: its table of offsets has version %" PRIu32 ", this reads 1",
                      target, head.version);
    struct table_entry *entry = calloc(head.entries, sizeof(*entry));
    bool good = entry && target_read(&reader->target, at + sizeof(head), entry,
                                     head.entries * sizeof(*entry));
    if (!good)
        refuse(error, "%s: its table of offsets is not all there", target);
    for (size_t name = 0; good && name < NAMES_COUNT; name++)
        good = read_entry(reader, name, entry, head.entries, error);
    free(entry);
    if (good && !is_plausible(&reader->at))
        good = refuse(error, "%s: its table of offsets is damaged", target);
    reader->stores = head.stores;
    return good;
}

struct reader *
reader_open(const char *target, const char **error)
{
    struct reader *reader = calloc(1, sizeof(*reader));
    char why[TARGET_ERROR_BYTES];
    if (!reader) {
        refuse(error, "no memory");
        return NULL;
    }
    if (!target_open(&reader->target, target, why)) {
        refuse(error, "%s", why);
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

/* A member of 1 to 8 bytes; *good becomes false where it is not there. */
static uint64_t
number_at(const struct reader *reader, uint64_t address, size_t bytes, bool *good)
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
    char class[4096];
    for (uint32_t i = 0; i < store->classes; i++) {
        uint64_t address = store->at + at->classes_of + (uint64_t)i * at->sizeof_class;
        struct reader_class *c = &store->of[i];
        if (!target_read(&reader->target, address, class, at->sizeof_class))
            return refuse(error, "store %s: its size classes are not there", store->name);
        *c = (struct reader_class){
            word_of(class, at->class_slot_bytes), word_of(class, at->class_slots),
            word_of(class, at->class_blocks),     word_of(class, at->class_pages),
            word_of(class, at->class_lead),       word_of(class, at->class_payload)};
        if (!is_class(c))
            return refuse(error,
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
    *store = (struct reader_store){.at = address};
    uint64_t magic = number_at(reader, address + at->store_magic, 8, &good);
    if (!good)
        return refuse(error, "a store is in memory that is not in the core (option core: none; or "
                             "the core leaves out anonymous memory), and so are those behind it");
    if (magic != STORE_LIVE)
        return refuse(error,
                      "the list of stores is damaged, or changed while it was read: store "
                      "number %" PRIu64 " is none",
                      reader->seen + 1);
    good = target_read(&reader->target, address + at->store_name, store->name, 32);
    store->name[31] = 0;
    for (char *c = store->name; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127 || *c == '"' || *c == '\\')
            *c = '_';
    store->hardened = number_at(reader, address + at->store_hardened, 1, &good) != 0;
    store->secret = number_at(reader, address + at->store_secret, 8, &good);
    store->arena = number_at(reader, address + at->store_arena, 8, &good);
    store->max_bytes = number_at(reader, address + at->store_max, 8, &good);
    store->committed = number_at(reader, address + at->store_committed, 8, &good);
    store->table_committed = number_at(reader, address + at->table_committed, 8, &good);
    store->blocks = (uint32_t)number_at(reader, address + at->pool_blocks, 4, &good);
    store->limit = (uint32_t)number_at(reader, address + at->pool_limit, 4, &good);
    store->high = (uint32_t)number_at(reader, address + at->pool_high, 4, &good);
    store->spans = number_at(reader, address + at->pool_spans, 8, &good);
    store->groups_end = number_at(reader, address + at->pool_groups, 8, &good);
    store->classes = (uint32_t)number_at(reader, address + at->classes_count, 4, &good);
    store->extra = (uint32_t)number_at(reader, address + at->classes_extra, 4, &good);
    if (!good)
        return refuse(error, "store %s: not all of its struct is there", store->name);
    if (store->high > store->limit || store->limit > store->blocks || store->blocks > BLOCKS_MAX ||
        store->classes == 0 || store->classes >= READER_CLASSES_MAX)
        return refuse(error,
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
    uint64_t address = number_at(reader, link, 8, &good);
    *error = NULL;
    if (!good)
        return refuse(error, "the list of stores is not there");
    if (address == 0)
        return false;
    if (address == reader->check)
        return refuse(error, "the list of stores is damaged: it does not end");
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
        refuse(error, name ? "there is no store of the name %s" : "there is no store", name);
    return found;
}

/* ---- runs ------------------------------------------------------------------------------------ */

/* What one walk works on. */
struct walk {
    struct reader *reader;
    const struct reader_store *store;
    char *spans; /* descriptors of the blocks below high */
    char *block; /* contents of a span */
    uint8_t slot[4096];
    uint16_t *dirty; /* by block */
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

/* What a header says of the size, as in the library: the rest is the class's. */
static uint64_t
size_of(const struct walk *walk, const struct reader_class *c, uint64_t header)
{
    const struct layout *at = &walk->reader->at;
    uint64_t largest = c->payload - walk->store->extra;
    uint64_t slack = (largest - (header >> at->header_size_at)) & at->header_size;
    return slack <= largest ? largest - slack : 0;
}

static bool
has_object(const struct walk *walk, uint64_t header, uint64_t offset)
{
    const struct layout *at = &walk->reader->at;
    if ((header & at->header_check) == 0)
        return false;
    uint64_t body = (header & ~(uint64_t)at->header_check) | at->header_object;
    return header == (body | ((body ^ offset) * walk->store->secret) >> 57);
}

static bool
bit_of(const struct walk *walk, uint32_t number, uint32_t slots, uint64_t bits[64])
{
    const struct layout *at = &walk->reader->at;
    uint64_t group = walk->store->groups_end - (number / 64 + UINT64_C(1)) * at->group_bytes;
    for (uint32_t line = 0; line * 512 < slots; line++)
        if (!target_read(&walk->reader->target,
                         group + UINT64_C(4096) * line + number % 64 * UINT64_C(64),
                         bits + (size_t)line * 8, 64))
            return false;
    return true;
}

/* The first pages of a span as far as they are committed: to look at others would map them in the
 * process. False: not all are there. */
static bool
read_committed(struct walk *walk, const struct reader_run *run, uint32_t pages)
{
    uint64_t base = walk->store->arena + ((uint64_t)run->at << 16);
    for (uint32_t from = 0, to; from < pages; from = to) {
        bool here = run->dirty[from / 16] >> from % 16 & 1;
        for (to = from + 1; to < pages && (run->dirty[to / 16] >> to % 16 & 1) == here; to++)
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

static void
read_slots(struct walk *walk, struct reader_run *run, const struct reader_class *c)
{
    uint64_t bits[64] = {0};
    uint64_t offset = (uint64_t)run->at << 16;
    run->slots = c->slots;
    run->slot = walk->slot;
    memset(walk->slot, READER_FREE, c->slots);
    if (!bit_of(walk, run->at, c->slots, bits)) {
        tell(walk, "block %" PRIu32 ": the bitmap of its slots is not there", run->at);
        return;
    }
    run->no_contents = !read_committed(walk, run, c->pages);
    for (uint32_t i = 0; i < c->slots; i++) {
        uint64_t at = c->lead + (uint64_t)i * c->slot_bytes, header;
        if (!(bits[i / 64] >> (i % 64) & 1))
            continue;
        memcpy(&header, walk->block + at, sizeof(header));
        bool live = run->no_contents || has_object(walk, header, offset + at + 8);
        walk->slot[i] = live ? READER_LIVE : READER_ENDED;
        run->live += live;
        run->ended += !live;
        run->requested += live && !run->no_contents ? size_of(walk, c, header) : 0;
    }
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
        run->committed += (uint64_t)__builtin_popcount(walk->dirty[i]) * 4096;
    }
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
                  walk->store->of[run->class_id].blocks != run->blocks)) {
        tell(walk, "block %" PRIu32 ": its size class is said to be %" PRIu32, block,
             run->class_id);
        run->kind = READER_OTHER;
        slots = false;
    }
    run->pinned = (slots || run->kind == READER_LARGE) && word_of(span, at->span_pins) != 0;
    run->unmovable = slots && flags & at->flag_unmovable;
    run->tried = slots && flags & at->flag_tried;
    count_pages(walk, run);
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
        result = visit(walk->opaque, &run);
    }
    return result;
}

int
reader_runs(struct reader *reader, const struct reader_store *store,
            int (*visit)(void *opaque, const struct reader_run *run),
            void (*damage)(void *opaque, const char *sentence), void *opaque, const char **error)
{
    size_t bytes = (size_t)store->high * reader->at.sizeof_span;
    struct walk walk = {.reader = reader, .store = store, .damage = damage, .opaque = opaque};
    int result = -1;
    walk.spans = malloc(bytes + 1);
    walk.block = calloc(SPAN_BLOCKS, 65536);
    walk.dirty = calloc((size_t)store->high + 1, sizeof(walk.dirty[0]));
    if (!walk.spans || !walk.block || !walk.dirty)
        refuse(error, "no memory");
    else if (!target_read(&reader->target, store->spans, walk.spans, bytes))
        refuse(error, "store %s: the descriptors of its spans are not there", store->name);
    else
        result = walk_runs(&walk, visit);
    free(walk.spans);
    free(walk.block);
    free(walk.dirty);
    return result;
}

uint64_t
reader_resident(struct reader *reader, const struct reader_store *store)
{
    char path[64];
    uint64_t entry[512], pages = (uint64_t)store->high * READER_BLOCK_PAGES, resident = 0;
    snprintf(path, sizeof(path), "/proc/%d/pagemap", reader->target.pid);
    int fd = reader_is_live(reader) ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return UINT64_MAX;
    for (uint64_t page = 0; page < pages; page += 512) {
        size_t count = pages - page < 512 ? (size_t)(pages - page) : 512;
        off_t at = (off_t)((store->arena / 4096 + page) * sizeof(entry[0]));
        ssize_t got = pread(fd, entry, count * sizeof(entry[0]), at);
        for (size_t i = 0; got > 0 && i < (size_t)got / sizeof(entry[0]); i++)
            resident += entry[i] >> 63 ? 4096 : 0;
    }
    close(fd);
    return resident;
}
