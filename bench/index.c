/* SPDX-License-Identifier: MIT */
/*
 * index.c - the loops of index.h for one kind of reference. Compiled for all that are linked into
 * one program, INDEX_SUBJECT says for which: names that others see carry it.
 */
#include "index.h"

#include "bench.h"
#include "section.h"

#define INDEX_OWN(name) BENCH_JOIN(INDEX_SUBJECT, name)

#define tree_open   INDEX_OWN(tree_open)
#define tree_close  INDEX_OWN(tree_close)
#define tree_get    INDEX_OWN(tree_get)
#define tree_put    INDEX_OWN(tree_put)
#define tree_remove INDEX_OWN(tree_remove)
#define tree_scan   INDEX_OWN(tree_scan)
#define tree_check  INDEX_OWN(tree_check)

#define node_clear     INDEX_OWN(node_clear)
#define node_has_room  INDEX_OWN(node_has_room)
#define node_insert    INDEX_OWN(node_insert)
#define node_set       INDEX_OWN(node_set)
#define node_set_child INDEX_OWN(node_set_child)
#define node_erase     INDEX_OWN(node_erase)
#define node_split     INDEX_OWN(node_split)
#define node_is_sparse INDEX_OWN(node_is_sparse)
#define node_can_join  INDEX_OWN(node_can_join)
#define node_join      INDEX_OWN(node_join)

#include "../examples/index/node.c"
#include "../examples/index/tree.c"

#include <string.h>

#define SCAN 100 /* entries */

static struct tree tree;

/* 8 to 32 random bytes, always the same ones for a number. */
static struct key
make_key(uint64_t number, struct key_copy *copy)
{
    struct rng rng = {number};
    for (unsigned at = 0; at < 32; at += 8) {
        uint64_t word = rng_next(&rng);
        memcpy(copy->bytes + at, &word, sizeof(word));
    }
    copy->length = rng_between(&rng, 8, 32);
    return key_of(copy);
}

static bool
is_kept(uint64_t number)
{
    struct rng rng = {~number};
    return rng_below(&rng, INDEX_KEEPS) == 0;
}

static void
open_tree(void *store)
{
    if (tree_open(&tree, store) != 0)
        bench_fatal("no memory for a tree");
}

static void
fill(uint64_t keys)
{
    struct key_copy copy;
    for (uint64_t i = 0; i < keys; i++)
        if (tree_put(&tree, make_key(i, &copy), i) != 0)
            bench_fatal("no memory for entry %llu", (unsigned long long)i);
}

static void
thin(uint64_t keys)
{
    struct key_copy copy;
    for (uint64_t i = 0; i < keys; i++)
        if (!is_kept(i) && tree_remove(&tree, make_key(i, &copy)) != 0)
            bench_fatal("entry %llu is not there", (unsigned long long)i);
}

static bool
is_thin(uint64_t keys)
{
    return tree.entries < keys;
}

static void
look_up(uint64_t keys, uint64_t seed, uint64_t lookups)
{
    struct rng rng = rng_stream(seed);
    struct key_copy copy;
    for (uint64_t i = 0; i < lookups; i++) {
        uint64_t value = 0, number = rng_below(&rng, (uint32_t)keys);
        bool found = tree_get(&tree, make_key(number, &copy), &value);
        if (found ? value != number : !is_thin(keys) || is_kept(number))
            bench_fatal("a wrong answer for entry %llu", (unsigned long long)number);
    }
}

struct scan {
    unsigned left; /* of this one */
    uint64_t seen, sum;
};

static int
see(void *opaque, const struct entry *entry)
{
    struct scan *scan = opaque;
    scan->seen++;
    scan->sum += entry->value;
    return --scan->left == 0;
}

static uint64_t
scan(uint64_t keys, uint64_t seed, uint64_t scans)
{
    struct rng rng = rng_stream(seed);
    struct scan all = {0};
    struct key_copy copy;
    for (uint64_t i = 0; i < scans; i++) {
        all.left = SCAN;
        tree_scan(&tree, make_key(rng_below(&rng, (uint32_t)keys), &copy), see, &all);
    }
    return all.seen;
}

static uint64_t
node_bytes(void)
{
    return (uint64_t)tree.nodes * NODE_BYTES;
}

static unsigned
height(void)
{
    return tree.height;
}

static void
check(void)
{
    unsigned errors = tree_check(&tree);
    if (errors > 0)
        bench_fatal("%u errors in the tree", errors);
}

static void
close_tree(void)
{
    tree_close(&tree);
}

const struct index_subject BENCH_JOIN(index, INDEX_SUBJECT) = {
    .name = BENCH_TEXT(INDEX_SUBJECT) "s",
#if NODE_PLACES > 0
    .cells = node_cells,
#endif
    .open = open_tree,
    .fill = fill,
    .thin = thin,
    .look_up = look_up,
    .scan = scan,
    .node_bytes = node_bytes,
    .height = height,
    .check = check,
    .close = close_tree,
};
