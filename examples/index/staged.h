/* SPDX-License-Identifier: MIT */
/*
 * staged.h - memory.h, or memory_cells.h, for staged.c: something may happen just when a reader has
 * resolved a node.
 */
#ifndef EXAMPLE_INDEX_STAGED_H
#define EXAMPLE_INDEX_STAGED_H

#ifndef STAGED_MEMORY
#define STAGED_MEMORY "memory.h"
#endif
#define node_read node_read_at_once
#include STAGED_MEMORY
#undef node_read

/** Called when so many more nodes have been read; 0: never. One thread. */
extern unsigned staged_reads;
void staged_event(void);

static inline const struct node *
node_read(const node_memory *memory, node_ref ref)
{
    const struct node *node = node_read_at_once(memory, ref);
    if (staged_reads > 0 && --staged_reads == 0)
        staged_event();
    return node;
}

#endif
