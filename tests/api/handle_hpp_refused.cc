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

void use(sinter::store &store, sinter::cell<item> &cell, sinter::handle<item> named);

void
use(sinter::store &store, sinter::cell<item> &cell, sinter::handle<item> named)
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
