/* SPDX-License-Identifier: MIT */
/*
 * handle_hpp_refused.cc - what sinter/handle.hpp does not let compile: one line for each REFUSED,
 * which a test defines. Without it, all compiles.
 */
#include <urcu.h>

#include <sinter/handle.hpp>

#include <string>

#ifndef REFUSED
#define REFUSED 0
#endif

struct item {
    int number;
};

struct node {
    int number;
    sinter::cell<node> child[2];
    static constexpr auto cells_at = &node::child;
};
struct silent { /* has a cell, and does not say where */
    sinter::cell<item> next;
};
struct liar { /* says that a number is a cell */
    sinter::cell<item> next;
    unsigned long number;
    static constexpr auto cells_at = &liar::number;
};
struct owner { /* has cells, and what must be destroyed */
    sinter::cell<item> next;
    std::string text;
    static constexpr auto cells_at = &owner::next;
};
struct kindless { /* one of several types in a store, which cannot be told apart */
    sinter::cell<item> next;
    static constexpr auto cells_at = &kindless::next;
};

void use_items(sinter::store &store, sinter::cell<item> &cell, sinter::handle<item> named);
void use_nodes(sinter::store &store);

void
use_items(sinter::store &store, sinter::cell<item> &cell, sinter::handle<item> named)
{
    sinter::section section;
    auto view = store.read(section, named);
    (void)view;
    (void)cell;
#if REFUSED == 1 /* an address that outlives its section */
    auto left = store.read(sinter::section(), named);
#elif REFUSED == 2
    auto copy = view;
#elif REFUSED == 3
    auto copy = std::move(view);
#elif REFUSED == 4 /* a write through what is for reading */
    view->number = 1;
#elif REFUSED == 5 /* cells have an address of their own */
    sinter::cell<item> copy(cell);
#elif REFUSED == 6
    sinter::cell<item> other;
    other = cell;
#elif REFUSED == 7 /* handles of another type, or of none */
    sinter::handle<long> other = named;
#elif REFUSED == 8
    sinter::handle<item> other = 7;
#elif REFUSED == 9 /* what is not moved by copying its bytes */
    auto text = store.reserve<std::string>();
#elif REFUSED == 10
    sinter::section copy(section);
#elif REFUSED == 11
    auto *kept = new sinter::section;
#elif REFUSED == 12
    sinter::store copy(store);
#elif REFUSED == 13 /* as 1, in a cell */
    auto left = cell.match(store, sinter::section(), 1);
#endif
}

void
use_nodes(sinter::store &store)
{
    sinter::section section;
    (void)store.reserve<node>();
    handle_cells (*cells_of_node)(void *, const void *, std::size_t) = sinter::cells_of<node>;
    (void)cells_of_node;
#if REFUSED == 14 /* what has cells is not copied, */
    auto parent = store.make(node());
#elif REFUSED == 15
    node copy(*store.read(section, sinter::handle<node>()));
#elif REFUSED == 16
    *store.write(section, sinter::handle<node>()) = node();
#elif REFUSED == 17 /* says where they lie, */
    auto parent = store.reserve<silent>();
#elif REFUSED == 18
    auto parent = store.reserve<liar>();
#elif REFUSED == 19
    auto parent = store.reserve<owner>();
#elif REFUSED == 20 /* and which type it is */
    auto cells = &sinter::cells_of<node, kindless>;
    (void)cells;
#elif REFUSED == 21
    auto cells = &sinter::cells_of<item>;
    (void)cells;
#elif REFUSED == 22 /* writers of a cell have its parent for writing */
    auto parent = store.read(section, sinter::handle<node>());
    (void)parent->child[0].free(store, section);
#endif
}
