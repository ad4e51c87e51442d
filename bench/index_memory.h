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
#define NODE_REF_IS_PLACE   false

static inline node_ref
node_root_ref(const node_root *root)
{
    return __atomic_load_n(root, __ATOMIC_ACQUIRE);
}

static inline void
node_expect_child(const struct node *node)
{
    (void)node;
}

static inline node_ref
node_child_ref(const struct node *node, unsigned i)
{
    return node_child(node, i);
}

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

static inline struct node *
node_aside(node_memory *memory, const node_spare *spare)
{
    return node_write(memory, *spare);
}

static inline void
node_drop(node_memory *memory, node_spare *spare)
{
    (void)memory;
    free((void *)*spare);
}

static inline uint64_t
node_link(node_memory *memory, struct node *parent, node_spare *spare)
{
    (void)memory;
    (void)parent;
    return *spare;
}

static inline uint64_t
node_link_root(node_memory *memory, node_root *root, struct node *top)
{
    (void)memory;
    (void)top;
    return *root;
}

static inline void
node_set_root(node_memory *memory, node_root *root, node_spare *spare)
{
    (void)memory;
    __atomic_store_n(root, *spare, __ATOMIC_RELEASE);
}

static inline void
node_pass_children(node_memory *memory, struct node *from, struct node *to, struct node *list)
{
    (void)memory;
    (void)from;
    (void)to;
    (void)list;
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

static inline void
node_lower_root(node_memory *memory, node_root *root, struct node *gone)
{
    node_ref old = *root;
    __atomic_store_n(root, gone->first, __ATOMIC_RELEASE);
    node_retire(memory, NULL, old);
}

#endif
