/* SPDX-License-Identifier: MIT */
/* no_section_cell_alloc.c - a call that needs a section, outside of one. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    static handle_cell cell;
    handle_cell_alloc(store, &cell, 40, 0);
}

const struct misuse misuse = {
    run,
    CHECKED(ABORTS("handle_cell_alloc: store misuse, a cell: called outside a read-side section"))};
