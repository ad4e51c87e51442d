/* SPDX-License-Identifier: MIT */
/*
 * memory_names.h - what is the same wherever an entry holds the name of its child, a number that
 * names one node for ever: a handle (memory.h) or a pointer (bench/index_memory.h). For these two
 * to include at their ends. memory_cells.h has the same functions otherwise.
 */
#ifndef EXAMPLE_INDEX_MEMORY_NAMES_H
#define EXAMPLE_INDEX_MEMORY_NAMES_H

/** A reference names one node for ever, not the place where the name of one is found. */
#define NODE_REF_IS_PLACE false

/* ---- finding nodes, in a section ------------------------------------------------------------- */

static inline node_ref
node_root_ref(const node_root *root)
{
    return __atomic_load_n(root, __ATOMIC_ACQUIRE);
}

/** A child of this node will be asked for: what names it may be fetched. */
static inline void
node_expect_child(const struct node *node)
{
    (void)node;
}

/** Of child number i of an inner node, which may be being written. */
static inline node_ref
node_child_ref(const struct node *node, unsigned i)
{
    return node_child(node, i);
}

/** A node that nobody knows, in a section: to be filled until it ends. */
static inline struct node *
node_aside(node_memory *memory, const node_spare *spare)
{
    return node_write(memory, *spare);
}

/* ---- linking them, in a section, by the only one who writes ---------------------------------- */

/** A new node becomes a child of one. Result: its number there, which an entry is to have. */
static inline uint64_t
node_link(node_memory *memory, struct node *parent, node_spare *spare)
{
    (void)memory;
    (void)parent;
    return *spare;
}

/** The root becomes a child of a new node that will be the root. Result: its number there. */
static inline uint64_t
node_link_root(node_memory *memory, node_root *root, struct node *top)
{
    (void)memory;
    (void)top;
    return *root;
}

/** A new node becomes the root. */
static inline void
node_set_root(node_memory *memory, node_root *root, node_spare *spare)
{
    (void)memory;
    __atomic_store_n(root, *spare, __ATOMIC_RELEASE);
}

/** The children that are listed in `list` go from one node to another; `list` gets the numbers that
 * they have in `to`. */
static inline void
node_pass_children(node_memory *memory, struct node *from, struct node *to, struct node *list)
{
    (void)memory;
    (void)from;
    (void)to;
    (void)list;
}

/** The only child of the root becomes the root. */
static inline void
node_lower_root(node_memory *memory, node_root *root, struct node *gone)
{
    node_ref old = *root;
    __atomic_store_n(root, gone->first, __ATOMIC_RELEASE);
    node_retire(memory, NULL, old);
}

#endif
