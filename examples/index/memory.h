/* SPDX-License-Identifier: MIT */
/*
 * memory.h - where the tree's nodes live: in a store, named by handles. All that the tree does with
 * the store while it works stands here, in small functions; what it does with their names, in
 * memory_names.h. memory_cells.h has the same by cells inside the nodes, and bench/index_memory.h
 * over malloc and call_rcu, to compare with.
 */
#ifndef EXAMPLE_INDEX_MEMORY_H
#define EXAMPLE_INDEX_MEMORY_H

#include "node.h"

#include <urcu.h>

#include <sinter/handle.h>

#include <errno.h>

typedef handle_store node_memory;
typedef handle_t node_ref;   /* by which a node is found, once and again in one section */
typedef handle_t node_root;  /* what names the root */
typedef handle_t node_spare; /* a node that is set aside */

/** A reference that was read while its node was being written resolves to NULL, or to an object of
 * this store: looking there does no harm. (A pointer has to be validated before it is followed.) */
#define NODE_REF_IS_CHECKED true

/** What the store is to know of the nodes: nothing. */
static inline void
node_store_options(struct handle_store_options *options)
{
    (void)options;
}

/* ---- finding nodes, in a section ------------------------------------------------------------- */

/** For reading. NULL: no node's reference. */
static inline const struct node *
node_read(const node_memory *memory, node_ref ref)
{
    return handle_deref(memory, ref);
}

/** For writing, by the only one who writes. */
static inline struct node *
node_write(node_memory *memory, node_ref ref)
{
    return handle_deref_mut(memory, ref);
}

/* ---- nodes that nobody knows ----------------------------------------------------------------- */

/** A new node of a level. Outside of sections: it may wait. 0, or a negative errno. */
static inline int
node_set_aside(node_memory *memory, unsigned level, node_spare *spare)
{
    (void)level;
    while ((*spare = handle_alloc(memory, NODE_BYTES)) == HANDLE_NULL) {
        if (errno != EAGAIN)
            return -errno;
        handle_store_reclaim(memory, NODE_BYTES); /* memory is on its way: wait for it */
    }
    return 0;
}

/** One that is not needed. */
static inline void
node_drop(node_memory *memory, node_spare *spare)
{
    handle_free(memory, *spare);
}

/* ---- linking them, in a section, by the only one who writes ---------------------------------- */

/** A child that no entry has any more: sections that are open find it to their ends. */
static inline void
node_retire(node_memory *memory, struct node *parent, uint64_t child)
{
    (void)parent;
    handle_retire(memory, child);
}

#include "memory_names.h"

#endif
