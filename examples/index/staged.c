/* SPDX-License-Identifier: MIT */
/*
 * staged.c - what happens to a reader of the tree when nodes are split, joined, unlinked and moved
 * between two of its looks? In main.c that comes by chance, and rarely; here it comes at every
 * place in turn: one thread reads, and as it resolves its n-th node (staged.h) it also does the
 * writer's work in the neighbourhood, and gives every node another address. The answer must be
 * right all the same. The tree is compiled with small nodes for it, so that it is higher.
 *
 * Seen failing with: a second look at the first one's address; parents, or the root, looked at
 * once; a node that is freed instead of retired.
 */
#include "tree.h"

#include "../expect.h"

#include <stdio.h>
#include <stdlib.h>

#define STAY   16u /* one key of so many is there throughout, the next one never */
#define AROUND 80u /* keys on both sides that come or go at once */
#define READS  12u /* nodes that a lookup resolves, at most; and a few */
#define NODES  10000u
/* What can happen at each. By cells nodes move once in a section. */
#define EVENTS       (NODE_PLACES > 0 ? 12u : 8u)
#define MOVES_BEHIND (NODE_PLACES > 0 ? 8u : 4u)

unsigned staged_reads;

static struct tree tree;
static handle_store *store;
static uint32_t asked; /* the key that is being looked up */
static uint32_t keys;  /* of this tree */
/* What happens around it: keys come, or go; and the other one, too; nodes move, before or behind
 * that. */
static bool coming, twice, before, behind;

static struct key
make_key(uint32_t number, char text[16])
{
    return (struct key){(const unsigned char *)text, (unsigned)snprintf(text, 16, "%08u", number)};
}

/* ---- what happens ---------------------------------------------------------------------------- */

/* Every node gets another address, as if it were moved; the old one is a copy from now on. */

#if NODE_PLACES > 0

/** To and fro. In a section, by the only one who writes. */
static void
move_one(handle_cell *cell)
{
    expect(handle_cell_resize(store, cell, 2 * NODE_BYTES) == 0);
    expect(handle_cell_resize(store, cell, NODE_BYTES) == 0);
}

/** Children in front of their parents: so no child leaves in the section in which its parent has,
 * as it is with moves. */
static void
move_below(handle_cell *cell)
{
    struct node *node = handle_cell_deref_mut(store, cell);
    for (unsigned i = 0; node->level > 0 && i <= node->count; i++)
        move_below(node_child_ref(node, i));
    move_one(cell);
}

static void
move_nodes(void)
{
    rcu_read_lock();
    move_below(&tree.root);
    rcu_read_unlock();
}

#else

static handle_t nodes[NODES];
static size_t node_number;

static int
list_node(void *opaque, const struct handle_object *object)
{
    (void)opaque;
    if (object->handle != HANDLE_NULL && node_number < NODES)
        nodes[node_number++] = object->handle;
    return 0;
}

static void
move_nodes(void)
{
    node_number = 0;
    expect(handle_store_each(store, list_node, NULL) == 0);
    for (size_t i = 0; i < node_number; i++) {
        expect(handle_resize(store, nodes[i], 2 * NODE_BYTES) == 0);
        expect(handle_resize(store, nodes[i], NODE_BYTES) == 0);
    }
}

#endif

/** Keys around the one that is asked for come or go, but for those that stay, and those that never
 * come. */
static void
change_keys(bool come)
{
    char text[16];
    uint32_t first = asked > AROUND ? asked - AROUND : 0;
    for (uint32_t number = first; number < asked + AROUND && number < keys; number++) {
        if (number % STAY < 2)
            continue;
        if (come)
            expect(tree_put(&tree, make_key(number, text), number) == 0);
        else
            tree_remove(&tree, make_key(number, text));
    }
}

/* To and fro: what was unlinked has other neighbours then than it knows. Moved: the reader has
 * looked at what is a copy now, and looks at another one next. */
void
staged_event(void)
{
    if (before)
        move_nodes();
    change_keys(coming);
    if (twice)
        change_keys(!coming);
    if (behind)
        move_nodes();
}

/* ---- what is asked --------------------------------------------------------------------------- */

static void
look_up(uint32_t number, unsigned reads)
{
    char text[16];
    uint64_t value = 0;
    asked = number;
    staged_reads = reads;
    bool found = tree_get(&tree, make_key(number, text), &value);
    staged_reads = 0;
    if (number % STAY == 0)
        expect(found && value == number);
    else
        expect(!found);
}

static int
count_staying(void *opaque, const struct entry *entry)
{
    uint32_t *count = opaque;
    *count += entry->value % STAY == 0;
    return 0;
}

static void
look_over(uint32_t number, unsigned reads)
{
    char text[16];
    uint32_t count = 0;
    asked = number;
    staged_reads = reads;
    expect(tree_scan(&tree, make_key(0, text), count_staying, &count) == 0);
    staged_reads = 0;
    expect(count == (keys + STAY - 1) / STAY);
}

/** At each place of a lookup's way, and at some of a scan's: keys come, and then go. One key
 * of so many that stay is asked for. */
static void
ask(uint32_t step)
{
    for (uint32_t number = 0; number + STAY < keys; number += step * STAY) {
        for (unsigned i = 0; i < EVENTS * READS; i++) {
            unsigned event = i % EVENTS;
            coming = (event & 1) == 0;
            twice = (event & 2) != 0;
            before = (event & 4) != 0;
            behind = (event & MOVES_BEHIND) != 0;
            look_up(number, 1 + i / EVENTS);
            look_up(number + 1, 1 + i / EVENTS);
        }
        look_over(number, 1 + number / 8);
        expect(tree_check(&tree) == 0);
    }
}

static void
run(uint32_t count, uint32_t step)
{
    char text[16];
    keys = count;
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    node_store_options(&options);
    store = handle_store_create(&options);
    if (!expect(store != NULL) || !expect(tree_open(&tree, store) == 0))
        return;
    for (uint32_t number = 0; number < keys; number += STAY)
        expect(tree_put(&tree, make_key(number, text), number) == 0);
    ask(step);
    printf("%zu entries in %zu nodes of %u levels\n", tree.entries, tree.nodes, tree.height);
    tree_close(&tree);
    expect(handle_store_check(store, expect_violation, NULL) == 0);
    expect(handle_store_destroy(store) == 0);
}

/* The small tree is now a leaf, and now has two levels. */
int
main(void)
{
    rcu_register_thread();
    run(100, 1);
    run(1200, 9);
    rcu_unregister_thread();
    return expect_status();
}
