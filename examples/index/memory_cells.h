/* SPDX-License-Identifier: MIT */
/*
 * memory_cells.h - memory.h by cells that lie in the nodes: a child is found at a pointer's cost,
 * and costs no entry in the table of handles.
 *
 *     tree.root -> | ... entry(2) | entry(0) | entry(1) |  cell 0  | cell 1 | cell 2 | ... |
 *                                                            |        |        |
 *                                                            v        v        v
 *                                                          node     node     node
 *
 * Cells stay at their place in the node: an entry has the number of one. Inner nodes are made with
 * HANDLE_CELLS, leaves are objects like others. A reference is the address of a cell, in the node
 * as the section found it. When that node has moved meanwhile, the address is one in its frozen
 * copy, and names the child all the same, which does not move then before the section ends.
 */
#ifndef EXAMPLE_INDEX_MEMORY_CELLS_H
#define EXAMPLE_INDEX_MEMORY_CELLS_H

#include "node.h"

#include <urcu.h>

#include <sinter/handle.h>

#include <errno.h>
#include <stdlib.h>

#if NODE_PLACES + 0 == 0
#error "node.h and node.c are to be compiled with NODE_PLACES: 60, say, for nodes of 1 KiB"
#endif

typedef handle_store node_memory;
typedef handle_cell *node_ref;
typedef handle_cell node_root;
typedef struct handle_reserved node_spare;

/** A cell is empty or names a node, also of a node that is being written. */
#define NODE_REF_IS_CHECKED true
/** It may be empty at the second look, or name another child. */
#define NODE_REF_IS_PLACE true

static inline handle_cell *
node_place(const struct node *node, uint64_t number)
{
    handle_cell *cells = (handle_cell *)((uintptr_t)node + PLACES_BEGIN);
    return &cells[number < NODE_PLACES ? number : 0];
}

/** The option cells. A node's level is set before any cell of it. */
static inline struct handle_cells
node_cells(void *opaque, const void *object, size_t size)
{
    (void)opaque;
    (void)size;
    return (struct handle_cells){PLACES_BEGIN, node_level(object) > 0 ? NODE_PLACES : 0};
}

static inline void
node_store_options(struct handle_store_options *options)
{
    options->cells = node_cells;
}

/* ---- finding nodes, in a section ------------------------------------------------------------- */

static inline node_ref
node_root_ref(const node_root *root)
{
    return (handle_cell *)(uintptr_t)root;
}

/** Cells lie apart from the entries: they are fetched while these are looked through. */
static inline void
node_expect_child(const struct node *node)
{
    const unsigned char *cells = (const unsigned char *)node + PLACES_BEGIN;
    for (unsigned at = 0; at < node_count(node) * 8 + 64; at += 64)
        __builtin_prefetch(cells + at);
}

static inline node_ref
node_child_ref(const struct node *node, unsigned i)
{
    return node_place(node, node_child(node, i));
}

static inline const struct node *
node_read(const node_memory *memory, node_ref ref)
{
    return handle_cell_deref(memory, ref);
}

static inline struct node *
node_write(node_memory *memory, node_ref ref)
{
    return handle_cell_deref_mut(memory, ref);
}

/* ---- nodes that nobody knows ----------------------------------------------------------------- */

/* They stay where they are until they are published; and publishing needs no memory, since cells
 * have no table. */
static inline int
node_set_aside(node_memory *memory, unsigned level, node_spare *spare)
{
    while (!handle_reserve(memory, NODE_BYTES, level > 0 ? HANDLE_CELLS : 0, spare)) {
        if (errno != EAGAIN)
            return -errno;
        handle_store_reclaim(memory, NODE_BYTES); /* memory is on its way: wait for it */
    }
    return 0;
}

static inline struct node *
node_aside(node_memory *memory, const node_spare *spare)
{
    (void)memory;
    return spare->object;
}

static inline void
node_drop(node_memory *memory, node_spare *spare)
{
    handle_reserved_abort(memory, spare);
}

/* ---- linking them, in a section, by the only one who writes ---------------------------------- */

/* Nodes whose cells are changed here come from node_write, in the same section, or are reserved.
 * No call can be refused then. */
static inline void
node_expect(int result)
{
    if (result != 0)
        abort();
}

/** A cell of the node that is empty. There is one: node_has_room, node_can_join. */
static inline uint64_t
node_free_place(const node_memory *memory, const struct node *node)
{
    uint64_t number = 0;
    while (handle_cell_deref(memory, node_place(node, number)) != NULL)
        number++;
    return number;
}

static inline uint64_t
node_link(node_memory *memory, struct node *parent, node_spare *spare)
{
    uint64_t number = node_free_place(memory, parent);
    node_expect(handle_cell_publish(memory, node_place(parent, number), spare, 0));
    return number;
}

/* Readers find the old root by either cell until the new one is there. */
static inline uint64_t
node_link_root(node_memory *memory, node_root *root, struct node *top)
{
    node_expect(handle_cell_unlink(memory, root, node_place(top, 0)));
    return 0;
}

static inline void
node_set_root(node_memory *memory, node_root *root, node_spare *spare)
{
    node_expect(handle_cell_publish(memory, root, spare, 0));
}

static inline void
node_pass_children(node_memory *memory, struct node *from, struct node *to, struct node *list)
{
    for (unsigned i = 0; list->level > 0 && i <= list->count; i++) {
        handle_cell *cell = node_place(from, node_child(list, i));
        uint64_t number = node_free_place(memory, to);
        node_expect(handle_cell_relocate(memory, cell, node_place(to, number)));
        node_set_child(list, i, number);
    }
}

/** Its own cells are empty. Readers who find its cell empty begin again. */
static inline void
node_retire(node_memory *memory, struct node *parent, uint64_t child)
{
    node_expect(handle_cell_free(memory, node_place(parent, child)));
}

/** In one step: who comes by the root finds the child, and the old root is freed. */
static inline void
node_lower_root(node_memory *memory, node_root *root, struct node *gone)
{
    node_expect(handle_cell_unlink(memory, node_place(gone, gone->first), root));
}

#endif
