/* SPDX-License-Identifier: MIT */
/*
 * index_memory.h - where the nodes of examples/index live, as memory.h there, but by pointers:
 * malloc, and call_rcu for what is unlinked. So that one tree is measured over both.
 */
#ifndef BENCH_INDEX_MEMORY_H
#define BENCH_INDEX_MEMORY_H

#include "node.h"
#include "section.h"

#include <errno.h>
#include <stdlib.h>

struct bench_no_store;
typedef struct bench_no_store node_memory;
typedef uintptr_t node_ref, node_root, node_spare;

/** A pointer that was read while it was being written must not be followed. */
#define NODE_REF_IS_CHECKED false

static inline const struct node *
node_read(const node_memory *memory, node_ref ref)
{
    (void)memory;
    return (const struct node *)ref;
}

static inline struct node *
node_write(node_memory *memory, node_ref ref)
{
    (void)memory;
    return (struct node *)ref;
}

static inline int
node_set_aside(node_memory *memory, unsigned level, node_spare *spare)
{
    (void)memory;
    (void)level;
    *spare = (node_spare)malloc(NODE_BYTES);
    return *spare ? 0 : -ENOMEM;
}

static inline void
node_drop(node_memory *memory, node_spare *spare)
{
    (void)memory;
    free((void *)*spare);
}

/* Beside the node, which readers may look at: in it the head would cost each node 16 bytes. */
struct node_gone {
    struct rcu_head head;
    node_ref ref;
};

static inline void
node_free_rcu(struct rcu_head *head)
{
    struct node_gone *gone = caa_container_of(head, struct node_gone, head);
    free((void *)gone->ref);
    free(gone);
}

static inline void
node_retire(node_memory *memory, struct node *parent, uint64_t child)
{
    struct node_gone *gone = malloc(sizeof(*gone));
    (void)memory;
    (void)parent;
    if (!gone)
        abort();
    gone->ref = child;
    call_rcu(&gone->head, node_free_rcu);
}

#include "memory_names.h"

#endif
