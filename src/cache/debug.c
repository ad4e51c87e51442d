/* SPDX-License-Identifier: MIT */
/*
 * debug.c - where in memory a cache's structs have what, for those who read them from outside, in
 * the form of the store's own table (src/core/debug_table.h): found by its cookie, names are only
 * added.
 */
#include "cache/debug.h"

#include "cache/whole.h"

#define SC_DEBUG_VERSION 1

struct sc_debug_entry {
    char name[32];
    uint32_t offset; /* in its struct; of a constant, the value */
    uint32_t bytes;  /* of the member; 0: a constant */
};

/* X(name of the struct, struct, member). */
#define SC_DEBUG_MEMBERS(X)                                                                        \
    X(cache, struct sinter_cache, store)                                                           \
    X(cache, struct sinter_cache, name)                                                            \
    X(cache, struct sinter_cache, next)                                                            \
    X(cache, struct sinter_cache, policy.used)                                                     \
    X(cache, struct sinter_cache, policy.items)                                                    \
    X(cache, struct sinter_cache, policy.ring_used)                                                \
    X(cache, struct sinter_cache, policy.target)                                                   \
    X(cache, struct sinter_cache, policy.left_ring)                                                \
    X(cache, struct sinter_cache, policy.left_main)                                                \
    X(cache, struct sinter_cache, room.limit)                                                      \
    X(cache, struct sinter_cache, room.budget)                                                     \
    X(cache, struct sinter_cache, payload)                                                         \
    X(cache, struct sinter_cache, counts)                                                          \
    X(bucket, struct sc_bucket, state)                                                             \
    X(bucket, struct sc_bucket, heat)                                                              \
    X(bucket, struct sc_bucket, cell)                                                              \
    X(stripe, struct sc_stripe, count)

/* X(name, value). */
#define SC_DEBUG_CONSTANTS(X)                                                                      \
    X("sizeof.bucket", sizeof(struct sc_bucket))                                                   \
    X("sizeof.stripe", sizeof(struct sc_stripe))                                                   \
    X("stripes", SC_STRIPES)                                                                       \
    X("bucket.in_main", SC_IN_MAIN)                                                                \
    X("count.hits", SC_HITS)                                                                       \
    X("count.misses", SC_MISSES)                                                                   \
    X("count.sets", SC_SETS)                                                                       \
    X("count.evicted", SC_EVICTED)                                                                 \
    X("count.crowded", SC_CROWDED)                                                                 \
    X("count.expired", SC_EXPIRED)                                                                 \
    X("item.key_at", SC_CAS_BITS)                                                                  \
    X("item.key_bits", SC_KEY_BITS)                                                                \
    X("item.expires", __builtin_ctzll(SC_ITEM_EXPIRES))                                            \
    X("item.flags", __builtin_ctzll(SC_ITEM_FLAGS))                                                \
    X("item.pieces", __builtin_ctzll(SC_ITEM_PIECES))                                              \
    X("item.head", 12)

/* NOLINTNEXTLINE(bugprone-macro-parentheses): a term of a sum */
#define SC_DEBUG_ONE(...) +1
#define SC_DEBUG_ENTRIES  (0 SC_DEBUG_MEMBERS(SC_DEBUG_ONE) SC_DEBUG_CONSTANTS(SC_DEBUG_ONE))

struct sc_debug_table {
    char cookie[8];   /* "SINTERCA" */
    uint32_t version; /* SC_DEBUG_VERSION: of this struct */
    uint32_t entries;
    uint64_t bytes; /* of all of this */
    uint64_t entry_bytes;
    const void *self;      /* NULL: no cache was ever made; else its own address */
    sinter_cache **caches; /* the first of the list */
    struct sc_debug_entry entry[SC_DEBUG_ENTRIES];
};

#define MEMBER(of, type, member)                                                                   \
    {#of "." #member, offsetof(type, member), sizeof(((type *)0)->member)},
#define CONSTANT(name, value) {name, (uint32_t)(value), 0},

static struct sc_debug_table table __attribute__((section(".sinter_debug"), used)) = {
    .cookie = {'S', 'I', 'N', 'T', 'E', 'R', 'C', 'A'},
    .version = SC_DEBUG_VERSION,
    .entries = SC_DEBUG_ENTRIES,
    .bytes = sizeof(table),
    .entry_bytes = sizeof(struct sc_debug_entry),
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): of a pointer its own size is meant */
    .entry = {SC_DEBUG_MEMBERS(MEMBER) SC_DEBUG_CONSTANTS(CONSTANT)},
};

void
sc_debug_show(sinter_cache **caches)
{
    table.caches = caches;
    table.self = &table;
}
