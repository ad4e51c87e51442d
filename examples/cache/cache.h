/* SPDX-License-Identifier: MIT */
/*
 * cache.h - a look-aside cache for many threads: liburcu's hash table (memb flavour) in front, a
 * backend for the values behind. Readers take no lock; writers take the lock of the key's shard.
 * At its payload limit it evicts: of EVICTION_SAMPLES random entries of the shard the one used
 * longest ago (sampled LRU, as Redis does it).
 *
 * It is a demonstration that checks itself, not a server: values are not given by the caller but
 * computed from key, version and size, so that every read can be verified in full. See content.h.
 *
 * The nodes of the hash table come from a pool that is made, and touched, by cache_new(): whoever
 * measures resident memory after that sees the values alone.
 */
#ifndef CACHE_CACHE_H
#define CACHE_CACHE_H

#include "backend.h"

struct cache;

/** Sums since cache_new, but for payload_bytes and entries, which are those of the moment. */
struct cache_counters {
    uint64_t payload_bytes; /* as requested, of the values in the cache */
    uint64_t entries;
    uint64_t set_bytes; /* payload written */
    uint64_t sets;
    uint64_t evictions;
    uint64_t verified;  /* values compared by writers; cache_get's are its hits */
    uint64_t damaged;   /* values found wrong by anyone; the first is described on stderr */
    uint64_t too_large; /* not cached: more than a quarter of a shard's limit */
    uint64_t waits;     /* sets that waited for nodes to come back from a grace period */
};

enum cache_answer {
    CACHE_HIT,
    CACHE_MISS,
    CACHE_DAMAGED, /* a value did not match its key */
    CACHE_FAILED,  /* the backend could not make the value; a line is on stderr */
};

/**
 * A cache without a backend: all memory but the values. limit_bytes of payload, divided among the
 * shards; at most `entries` values. NULL: no memory.
 */
struct cache *cache_new(uint64_t limit_bytes, uint64_t entries, uint64_t seed);
/** Bytes of nodes, node lists and hash buckets: what cache_new has made resident. */
uint64_t cache_node_bytes(const struct cache *cache);
/** Opens the backend. False with a line on stderr. */
bool cache_open(struct cache *cache, const struct backend *backend, bool compact);

/* By registered threads, outside of sections. size is what the key's value has to have. */
enum cache_answer cache_get(struct cache *cache, uint64_t key, size_t size);
/** Puts a new version of the key's value in: HIT if it was cached before, MISS if not. */
enum cache_answer cache_set(struct cache *cache, uint64_t key, size_t size);
/** Writes to the value in place: counts up a counter in it, and beside it in the node. */
enum cache_answer cache_bump(struct cache *cache, uint64_t key);

/** Exempts this share of the entries from eviction, chosen at random, up to half of the limit. */
void cache_keep(struct cache *cache, uint64_t percent);
/** Compares every value. */
void cache_verify(struct cache *cache);
void cache_counters(const struct cache *cache, struct cache_counters *counters);
void cache_facts(const struct cache *cache, struct backend_facts *facts);

/**
 * Empties and closes: every value freed, every node back, the backend's own check clean. False with
 * lines on stderr if anything is off. No other thread may use the cache any more.
 */
bool cache_close(struct cache *cache);

#endif
