/* SPDX-License-Identifier: MIT */
/*
 * tree.h - an ordered index: a B+-tree of keys of up to 64 bytes, each with a value of 8 bytes, in
 * the order of memcmp. Any number of threads read without a lock, beside one writer at a time and
 * while the store moves the nodes. Every thread that calls is registered with the RCU flavour; all
 * calls stand outside of sections.
 */
#ifndef EXAMPLE_INDEX_TREE_H
#define EXAMPLE_INDEX_TREE_H

#ifndef INDEX_MEMORY /* where nodes live: another file of the same functions may be named */
#define INDEX_MEMORY "memory.h"
#endif
#include INDEX_MEMORY

#include <pthread.h>

#define HEIGHT_MAX 16u

struct tree {
    node_memory *memory;
    node_root root;          /* read in sections, written by who holds the lock */
    pthread_mutex_t writing; /* guards all below, and who may write to nodes */
    uint64_t writes;         /* of nodes: where their versions come from */
    size_t entries, nodes;
    unsigned height;
    unsigned spares; /* bits: levels of which a node is set aside that nobody knows */
    node_spare spare[HEIGHT_MAX + 1];
};

/** An empty tree. 0, or -ENOMEM. The memory stays the caller's, who ends it after the tree; it was
 * made with what node_store_options says. */
int tree_open(struct tree *tree, node_memory *memory);

/** Ends a tree that nobody uses any more. Its nodes go with the memory. */
void tree_close(struct tree *tree);

/** Whether the key is there, and its value. */
bool tree_get(const struct tree *tree, struct key key, uint64_t *value);

/**
 * Puts in a key with its value, or gives it another value. 0; -ENOMEM where the memory is at its
 * limit, -EINVAL for a key that is too long: the tree is as it was.
 */
int tree_put(struct tree *tree, struct key key, uint64_t value);

/** Takes a key out. 0, or -ENOENT. Needs no memory. */
int tree_remove(struct tree *tree, struct key key);

/**
 * Visits the keys from one on, in order, until visit gives something other than 0. What is there
 * throughout is visited once; what comes or goes meanwhile may be. The visitor is called outside of
 * sections, and may call the tree; the entry is its for the call.
 */
int tree_scan(const struct tree *tree, struct key from,
              int (*visit)(void *opaque, const struct entry *entry), void *opaque);

/** Number of errors in the tree's structure. Keeps writers out meanwhile. */
unsigned tree_check(struct tree *tree);

#endif
