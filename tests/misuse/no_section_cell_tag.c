/* SPDX-License-Identifier: MIT */
/* no_section_cell_tag.c - a call that needs a section, outside of one. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    static handle_cell cell;
    handle_cell_set_tag(store, &cell, 1);
}

const struct misuse misuse = {
    run, CHECKED(ABORTS(
             "handle_cell_set_tag: store misuse, a cell: called outside a read-side section"))};
