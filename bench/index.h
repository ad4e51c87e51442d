/* SPDX-License-Identifier: MIT */
/*
 * index.h - the tree of examples/index as the questions X1 and X2 use it: compiled over pointers,
 * over handles, and over cells inside its nodes (index.c), for one program. Keys have 8 to 32 bytes
 * and are drawn from their numbers; a key's value is its number. Main thread only.
 */
#ifndef BENCH_INDEX_H
#define BENCH_INDEX_H

#include <stddef.h>
#include <stdint.h>

#define INDEX_KEEPS 5 /* what thin() leaves: one key of so many, at random */

struct handle_cells;

struct index_subject {
    const char *name;
    /** The option cells of its store; or NULL. */
    struct handle_cells (*cells)(void *opaque, const void *object, size_t size);
    void (*open)(void *store); /* NULL for pointers */
    void (*fill)(uint64_t keys);
    void (*thin)(uint64_t keys);
    /** Looks up random ones of so many keys; answers that are wrong end the program. */
    void (*look_up)(uint64_t keys, uint64_t seed, uint64_t lookups);
    /** Scans from random keys, 100 entries each; how many entries were seen. */
    uint64_t (*scan)(uint64_t keys, uint64_t seed, uint64_t scans);
    uint64_t (*node_bytes)(void); /* of the nodes that are linked */
    unsigned (*height)(void);
    void (*check)(void);
    void (*close)(void);
};

extern const struct index_subject index_pointer, index_handle, index_cell;

#endif
