/* SPDX-License-Identifier: MIT */
/*
 * workload.h - what a cache is asked for: keys by popularity, and a value size for every key.
 * Either from two CSV files derived from production (bench/data), or a range of sizes under a Zipf
 * popularity. Not the cache, and no clock: a phase's length is the caller's business.
 */
#ifndef CACHE_WORKLOAD_H
#define CACHE_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Most phases a run may have, and so the most different workloads. */
#define WORKLOAD_PHASES_MAX 32

struct workload;

/** The phases of a run, in order. A workload that comes back keeps its keys and their sizes. */
struct workload_plan {
    uint32_t phases;
    struct workload *phase[WORKLOAD_PHASES_MAX];
    uint32_t workloads;
    struct workload *workload[WORKLOAD_PHASES_MAX]; /* the different ones among the phases */
};

/**
 * Reads a list such as "kvcache_reg,16-64,640": names of distributions in the directory `data`, and
 * size ranges in bytes. limit_bytes, the cache's, scales the number of keys. On failure a line goes
 * to stderr and the result is false.
 */
bool workload_plan_load(struct workload_plan *plan, const char *list, const char *data,
                        uint64_t limit_bytes);
void workload_plan_free(struct workload_plan *plan);

/** "kvcache_reg", "16-64": as in the list. */
const char *workload_name(const struct workload *workload);
/** Mean size of a value, over keys. */
double workload_mean_size(const struct workload *workload);
/** Whether it is a range of sizes, not a production distribution. */
bool workload_is_range(const struct workload *workload);

/** One thread's position in the random sequence, and its count of keys asked for only once. */
struct workload_source {
    uint64_t state;
    uint64_t fresh;
    uint32_t thread; /* below 4096; keeps the threads' fresh keys apart */
};

/** Draws the key of the next request. */
uint64_t workload_key(const struct workload *workload, struct workload_source *source);
/** The size of this key's value: the same each time. Never 0. */
size_t workload_size(const struct workload *workload, uint64_t key);

#endif
