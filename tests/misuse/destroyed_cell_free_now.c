/* SPDX-License-Identifier: MIT */
/* destroyed_cell_free_now.c - a cell that names an object of a store that was destroyed. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    static handle_cell cell;
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    section_leave();
    expect(handle_store_destroy(store) == 0);
    section_enter();
    handle_cell_free_now(store, &cell);
}

const struct misuse misuse = {
    run, CHECKED(DIES("handle_cell_free_now: store misuse, a cell: the store was destroyed"))};
