/* SPDX-License-Identifier: MIT */
/* destroyed_cell_deref.c - what a cell of a destroyed store gives cannot be read. */
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
    const volatile char *object = handle_cell_deref(store, &cell);
    (void)object[0];
}

const struct misuse misuse = {run, CHECKED(FAULTS)};
