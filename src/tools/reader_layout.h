/* SPDX-License-Identifier: MIT */
/* reader_layout.h - what the files of the reader share: where a store's structs have what, as the
 * table of offsets of the process that is read says (src/core/debug_table.h). */
#ifndef READER_LAYOUT_H
#define READER_LAYOUT_H

#include "tools/reader.h"
#include "tools/target.h"

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
    X(caches_all, "store.caches.all", 8)                                                           \
    X(caches_fallback, "store.caches.fallback", 8)                                                 \
    X(heap_of, "store.heap.of", 0)                                                                 \
    X(heap_class_used, "heap_class.used", 16)                                                      \
    X(store_rcu, "store.rcu", 8)                                                                   \
    X(store_lower, "store.reservation.lower", 8)                                                   \
    X(store_failures, "store.alloc_failures", 8)                                                   \
    X(store_idle, "store.mover.idle_reason", 4)                                                    \
    X(store_moved, "store.mover.totals.moved_bytes", 8)                                            \
    X(store_pins, "store.heap.pins.base", 8)                                                       \
    X(store_limbo, "store.caches.limbo_bytes", 8)                                                  \
    X(table_high, "store.table.high", 4)                                                           \
    X(table_bytes, "store.table.bytes", 8)                                                         \
    X(rcu_sees_sections, "rcu.sees_sections", 1)                                                   \
    X(rcu_started_ns, "rcu.started_ns", 8)                                                         \
    X(rcu_completed, "rcu.completed", 8)                                                           \
    X(cache_frees, "cache.frees", 8)                                                               \
    X(cache_frees_slow, "cache.frees_slow", 8)                                                     \
    X(cache_limbo, "cache.limbo_bytes", 8)                                                         \
    X(pin_below, "pin_line.below", 16)                                                             \
    X(pin_group, "pin_line.group", 2)                                                              \
    X(pin_word, "pin_line.word", 40)                                                               \
    X(pin_bytes, "pin_line.bytes", 0)                                                              \
    X(pin_slots, "pin_line.slots", 0)                                                              \
    X(handle_table, "handle.table_at", 0)                                                          \
    X(handle_index, "handle.index_at", 0)                                                          \
    X(word_offset, "word.offset_at", 0)                                                            \
    X(word_tag, "word.tag_at", 0)                                                                  \
    X(word_object, "word.has_object", 0)                                                           \
    X(word_match, "word.match", 0)                                                                 \
    X(header_name, "header.name_at", 0)                                                            \
    X(cache_next, "cache.next", 8)                                                                 \
    X(cache_top, "cache.top", 0)                                                                   \
    X(cache_bin, "cache.bin", 0)                                                                   \
    X(cache_live_slow, "cache.live_slow", 0)                                                       \
    X(bin_slots, "bin.slots", 8)                                                                   \
    X(bin_bulk_in, "bin.bulk_in", 8)                                                               \
    X(sizeof_heap_class, "sizeof.heap_class", 0)                                                   \
    X(sizeof_cache, "sizeof.cache", 0)                                                             \
    X(sizeof_bin, "sizeof.bin", 0)                                                                 \
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
    X(header_sampled, "header.sampled", 0)                                                         \
    X(header_cells, "header.cells", 0)                                                             \
    X(secret_cells, "secret.cells", 0)                                                             \
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
    X(flag_tried, "flag.tried", 0)                                                                 \
    X(canary_factor_high, "canary.factor_high", 0)                                                 \
    X(canary_factor_low, "canary.factor_low", 0)                                                   \
    X(canary_ones_high, "canary.ones_high", 0)                                                     \
    X(canary_ones_low, "canary.ones_low", 0)

struct layout {
#define MEMBER(here, there, bytes) uint32_t here;
    NAMES(MEMBER)
#undef MEMBER
};

#define SPAN_BLOCKS 8

struct reader {
    struct target target;
    struct layout at;
    uint64_t stores; /* address of the first link */
    uint64_t seen;   /* stores so far */
    uint64_t check;  /* one of them: a list that comes back to it does not end (Brent) */
};

/** A name that a table of offsets is to have: of a member of so many bytes; 0: of any, or a
 * constant. */
struct reader_name {
    const char *there;
    uint32_t bytes;
};

/** Finds the table with a cookie, and in it what is wanted. *list: the address that it says behind
 * its own. False: *error says why; NULL: there is no such table. */
bool reader_table(const struct reader *reader, const char *cookie, const struct reader_name *wanted,
                  size_t count, uint32_t *values, uint64_t *list, const char **error);

/** Says in *error why something cannot be read. Result: false. */
__attribute__((format(printf, 2, 3))) bool
reader_refuse(const char **error, const char *format, ...);

/** A member of 1 to 8 bytes; *good becomes false where it is not there. */
uint64_t reader_number(const struct reader *reader, uint64_t address, size_t bytes, bool *good);

/** What a header says of the size: the rest is the class's. */
uint64_t reader_size_of(const struct layout *at, const struct reader_store *store,
                        const struct reader_class *c, uint64_t header);

#endif
