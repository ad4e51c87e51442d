/* SPDX-License-Identifier: MIT */
/*
 * fresh.h - keys that are written once, in the order of their numbers, and read to see which are
 * still there. Every value that comes back is compared.
 */
#ifndef BENCH_LOAD_FRESH_H
#define BENCH_LOAD_FRESH_H

#include "engine.h"
#include "value.h"

struct fresh_part {
    uint64_t first, end; /* key numbers */
    uint64_t bytes;      /* keys and values */
    unsigned range;      /* of value_ranges */
};

struct fresh {
    struct engine *engine;
    bool unchecked; /* the server is PROCESS_NULL */
    struct fresh_part part[VALUE_RANGES_MAX];
    unsigned parts;
    uint64_t hits, misses, refused, wrong;
    /* of the run that is on */
    bool in_order;
    uint64_t next, end, reads_left, bytes_left, random;
};

/** From now on keys are of another range: the next part. */
void fresh_begin(struct fresh *fresh, unsigned range);

/** Writes new keys: so many, or (count 0) until so many bytes are sent. False: see *failure. */
bool fresh_write(struct fresh *fresh, uint64_t count, uint64_t bytes, const char **failure);

/** Reads `reads` random keys of [first, end); *share: of them that were there. */
bool fresh_read(struct fresh *fresh, uint64_t first, uint64_t end, uint64_t reads, double *share,
                const char **failure);

/** Reads each key of [first, end) once. */
bool fresh_read_each(struct fresh *fresh, uint64_t first, uint64_t end, const char **failure);

/** The first of the keys whose last `bytes` bytes were written. */
uint64_t fresh_newest(const struct fresh *fresh, uint64_t bytes);

/** Keys and values that the server still has, by `reads` reads in each part. */
bool fresh_held(struct fresh *fresh, uint64_t reads, double *bytes, const char **failure);

#endif
