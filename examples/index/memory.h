/* SPDX-License-Identifier: MIT */
/*
 * memory.h - where the tree's nodes live: in a store, named by handles. All that the tree does with
 * the store while it works stands here, in five functions. (bench/index_memory.h has the same over
 * malloc and call_rcu, to compare with.)
 */
#ifndef EXAMPLE_INDEX_MEMORY_H
#define EXAMPLE_INDEX_MEMORY_H

#include "node.h"

#include <urcu.h>

#include <sinter/handle.h>

#include <errno.h>

typedef handle_store node_memory;
typedef handle_t node_ref;

/** A reference that was read while its node was being written resolves to NULL, or to an object of
 * this store: looking there does no harm. (A pointer has to be validated before it is followed.) */
#define NODE_REF_IS_CHECKED true

/** For reading, in a section. NULL: no node's reference. */
static inline const struct node *
node_read(const node_memory *memory, node_ref ref)
{
    return handle_deref(memory, ref);
}

/** For writing, in a section, by the only one who writes. */
static inline struct node *
node_write(node_memory *memory, node_ref ref)
{
    return handle_deref_mut(memory, ref);
}

/** A new node that nobody knows yet. Outside of sections: it may wait. 0, or a negative errno. */
static inline int
node_alloc(node_memory *memory, node_ref *ref)
{
    while ((*ref = handle_alloc(memory, NODE_BYTES)) == HANDLE_NULL) {
        if (errno != EAGAIN)
            return -errno;
        handle_store_reclaim(memory, NODE_BYTES); /* memory is on its way: wait for it */
    }
    return 0;
}

/** For a node that is linked no more: sections that are open find it to their ends. */
static inline void
node_retire(node_memory *memory, node_ref ref)
{
    handle_retire(memory, ref);
}

/** For a node that was never linked. */
static inline void
node_drop(node_memory *memory, node_ref ref)
{
    handle_free(memory, ref);
}

#endif
