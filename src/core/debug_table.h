/* SPDX-License-Identifier: MIT */
/*
 * debug_table.h - where in memory a store's structs have what, for those who read them from
 * outside: of a core, or of another process (src/tools/reader.c). As CPython's _Py_DebugOffsets: it
 * needs no symbols and no debug information; it is found by its cookie in a writable part of the
 * program, in stripped and static ones, too. Names are only added, and none changes its meaning:
 * what a version of the library does not have, its table does not name.
 *
 * Its page is written when the first store is made, so that every core has it.
 */
#ifndef SN_DEBUG_TABLE_H
#define SN_DEBUG_TABLE_H

#include "core/hardened.h"
#include "core/store.h"

#define SN_DEBUG_VERSION    1
#define SN_DEBUG_NAME_BYTES 32

struct sn_debug_entry {
    char name[SN_DEBUG_NAME_BYTES];
    uint32_t offset; /* in its struct; of a constant, the value */
    uint32_t bytes;  /* of the member; 0: a constant */
};

/* X(name of the struct, struct, member): X-macro of all members that a reader may look at. */
#define SN_DEBUG_MEMBERS(X)                                                                        \
    X(store, struct handle_store, magic)                                                           \
    X(store, struct handle_store, name)                                                            \
    X(store, struct handle_store, secret)                                                          \
    X(store, struct handle_store, hardened)                                                        \
    X(store, struct handle_store, forked)                                                          \
    X(store, struct handle_store, retired_entries)                                                 \
    X(store, struct handle_store, next_store)                                                      \
    X(store, struct handle_store, head.arena)                                                      \
    X(store, struct handle_store, head.table_end)                                                  \
    X(store, struct handle_store, base_metadata_bytes)                                             \
    X(store, struct handle_store, budget.max_bytes)                                                \
    X(store, struct handle_store, budget.committed)                                                \
    X(store, struct handle_store, reservation.lower)                                               \
    X(store, struct handle_store, rcu)                                                             \
    X(store, struct handle_store, alloc_failures)                                                  \
    X(store, struct handle_store, alloc_failure_reason)                                            \
    X(store, struct handle_store, errors_reported)                                                 \
    X(store, struct handle_store, mover.idle_reason)                                               \
    X(store, struct handle_store, mover.totals)                                                    \
    X(store, struct handle_store, mover.totals.moved_bytes)                                        \
    X(store, struct handle_store, heap.pins.base)                                                  \
    X(store, struct handle_store, heap.pins.stripes)                                               \
    X(store, struct handle_store, table.high)                                                      \
    X(store, struct handle_store, table.bytes)                                                     \
    X(store, struct handle_store, table.committed_bytes)                                           \
    X(store, struct handle_store, table.used_entries)                                              \
    X(store, struct handle_store, table.dead_entries)                                              \
    X(store, struct handle_store, pool.blocks)                                                     \
    X(store, struct handle_store, pool.spans)                                                      \
    X(store, struct handle_store, pool.groups_end)                                                 \
    X(store, struct handle_store, pool.class_of)                                                   \
    X(store, struct handle_store, pool.limit)                                                      \
    X(store, struct handle_store, pool.high)                                                       \
    X(store, struct handle_store, pool.arena_committed)                                            \
    X(store, struct handle_store, pool.empty_bytes)                                                \
    X(store, struct handle_store, pool.oldest)                                                     \
    X(store, struct handle_store, pool.last_purge_failed)                                          \
    X(store, struct handle_store, classes.count)                                                   \
    X(store, struct handle_store, classes.extra)                                                   \
    X(store, struct handle_store, classes.of)                                                      \
    X(store, struct handle_store, caches.all)                                                      \
    X(store, struct handle_store, caches.fallback)                                                 \
    X(store, struct handle_store, caches.limbo_bytes)                                              \
    X(store, struct handle_store, heap.of)                                                         \
    X(store, struct handle_store, large.requested)                                                 \
    X(store, struct handle_store, options.purge_delay_ms)                                          \
    X(store, struct handle_store, options.hugepages)                                               \
    X(totals, struct sn_mover_totals, moved_objects)                                               \
    X(totals, struct sn_mover_totals, refused)                                                     \
    X(rcu, struct sn_rcu, flavor)                                                                  \
    X(rcu, struct sn_rcu, sees_sections)                                                           \
    X(rcu, struct sn_rcu, started_ns)                                                              \
    X(rcu, struct sn_rcu, completed)                                                               \
    X(heap_class, struct sn_heap_class, used)                                                      \
    X(heap_class, struct sn_heap_class, kept)                                                      \
    X(heap_class, struct sn_heap_class, spans)                                                     \
    X(heap_class, struct sn_heap_class, aside)                                                     \
    X(heap_class, struct sn_heap_class, pages)                                                     \
    X(cache, struct sn_thread_cache, next)                                                         \
    X(cache, struct sn_thread_cache, top)                                                          \
    X(cache, struct sn_thread_cache, bin)                                                          \
    X(cache, struct sn_thread_cache, live_slow)                                                    \
    X(cache, struct sn_thread_cache, frees)                                                        \
    X(cache, struct sn_thread_cache, frees_slow)                                                   \
    X(cache, struct sn_thread_cache, limbo_bytes)                                                  \
    X(cache, struct sn_thread_cache, index_top)                                                    \
    X(cache, struct sn_thread_cache, indexes)                                                      \
    X(pin_stripe, struct sn_pin_stripe, held)                                                      \
    X(pin_line, struct sn_pin_line, below)                                                         \
    X(pin_line, struct sn_pin_line, group)                                                         \
    X(pin_line, struct sn_pin_line, word)                                                          \
    X(bin, struct sn_bin, slots)                                                                   \
    X(bin, struct sn_bin, bulk_in)                                                                 \
    X(class, struct sn_class, slot_bytes)                                                          \
    X(class, struct sn_class, slots)                                                               \
    X(class, struct sn_class, blocks)                                                              \
    X(class, struct sn_class, pages)                                                               \
    X(class, struct sn_class, lead)                                                                \
    X(class, struct sn_class, payload)                                                             \
    X(span, struct sn_span, blocks)                                                                \
    X(span, struct sn_span, state)                                                                 \
    X(span, struct sn_span, class_id)                                                              \
    X(span, struct sn_span, dirty)                                                                 \
    X(span, struct sn_span, free)                                                                  \
    X(span, struct sn_span, pins)                                                                  \
    X(span, struct sn_span, flags)                                                                 \
    X(span, struct sn_span, large_header)                                                          \
    X(span, struct sn_span, u.large_size)                                                          \
    X(span, struct sn_span, u.since_ns)                                                            \
    X(span, struct sn_span, v.large.held)

/* X(name, value). */
#define SN_DEBUG_CONSTANTS(X)                                                                      \
    X("sizeof.class", sizeof(struct sn_class))                                                     \
    X("sizeof.span", sizeof(struct sn_span))                                                       \
    X("sizeof.heap_class", sizeof(struct sn_heap_class))                                           \
    X("sizeof.cache", sizeof(struct sn_thread_cache))                                              \
    X("sizeof.bin", sizeof(struct sn_bin))                                                         \
    X("sizeof.pin_stripe", sizeof(struct sn_pin_stripe))                                           \
    X("page_bytes", 0) /* written when it is known, below */                                       \
    X("block_bytes", SN_BLOCK_BYTES)                                                               \
    X("group.bytes", SN_GROUP_BYTES)                                                               \
    X("group.blocks", SN_GROUP_BLOCKS)                                                             \
    X("line.slots", SN_LINE_SLOTS)                                                                 \
    X("heap_class.movable", SN_MOVABLE)                                                            \
    X("header.bytes", SN_HEADER_BYTES)                                                             \
    X("header.check", SN_HEADER_CHECK)                                                             \
    X("header.object", SN_HEADER_OBJECT)                                                           \
    X("header.sampled", SN_HEADER_SAMPLED)                                                         \
    X("header.cells", SN_HEADER_CELLS)                                                             \
    X("secret.cells", SN_SECRET_CELLS)                                                             \
    X("header.size_at", SN_HEADER_SIZE_AT)                                                         \
    X("header.name_at", SN_HEADER_NAME_AT)                                                         \
    X("handle.table_at", HANDLE_TABLE_OFFSET)                                                      \
    X("handle.index_at", HANDLE_INDEX_SHIFT)                                                       \
    X("word.offset_at", HANDLE_OFFSET_SHIFT)                                                       \
    X("word.tag_at", HANDLE_TAG_SHIFT)                                                             \
    X("word.has_object", HANDLE_HAS_OBJECT)                                                        \
    X("word.match", HANDLE_MATCH_MASK)                                                             \
    X("pin_line.bytes", SN_PIN_LINE_BYTES)                                                         \
    X("pin_line.slots", SN_PIN_LINE_SLOTS)                                                         \
    X("pin_stripes", SN_PIN_STRIPES)                                                               \
    X("header.size", SN_HEADER_SIZE)                                                               \
    X("class.large", SN_CLASS_LARGE)                                                               \
    X("class.none", SN_CLASS_NONE)                                                                 \
    X("state.clean", SN_SPAN_CLEAN)                                                                \
    X("state.dirty", SN_SPAN_DIRTY)                                                                \
    X("state.purging", SN_SPAN_PURGING)                                                            \
    X("state.open", SN_SPAN_OPEN)                                                                  \
    X("state.closed", SN_SPAN_CLOSED)                                                              \
    X("state.held", SN_SPAN_DETACHED)                                                              \
    X("state.taken", SN_SPAN_TAKEN)                                                                \
    X("state.large", SN_SPAN_LARGE)                                                                \
    X("state.lost", SN_SPAN_LOST)                                                                  \
    X("flag.damaged", SN_SPAN_DAMAGED)                                                             \
    X("flag.unmovable", SN_SPAN_UNMOVABLE)                                                         \
    X("flag.tried", SN_SPAN_TRIED)                                                                 \
    X("flag.aside", SN_SPAN_ASIDE)                                                                 \
    X("canary.factor_high", SN_CANARY_FACTOR >> 32)                                                \
    X("canary.factor_low", SN_CANARY_FACTOR &UINT32_MAX)                                           \
    X("canary.ones_high", SN_CANARY_ONES >> 32)                                                    \
    X("canary.ones_low", SN_CANARY_ONES &UINT32_MAX)

#define SN_DEBUG_ONE(...) +1
#define SN_DEBUG_ENTRIES  (0 SN_DEBUG_MEMBERS(SN_DEBUG_ONE) SN_DEBUG_CONSTANTS(SN_DEBUG_ONE))

struct sn_debug_table {
    char cookie[8];   /* "SINTERDB" */
    uint32_t version; /* SN_DEBUG_VERSION: of this struct */
    uint32_t entries;
    uint64_t bytes; /* of all of this */
    uint64_t entry_bytes;
    const void *self;      /* NULL: no store was ever made; else its own address */
    handle_store **stores; /* the first of the list */
    struct sn_debug_entry entry[SN_DEBUG_ENTRIES];
};

/** Under the lock of the list of stores, before one is in it. */
void sn_debug_table_show(handle_store **stores);

#endif
