/* SPDX-License-Identifier: MIT */
/* cell_relocate_to_itself.c - a cell relocated to where it is. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    const void *object = handle_cell_alloc(store, &cell, 40, 0);
    expect(handle_cell_relocate(store, &cell, &cell) == -EEXIST);
    expect(handle_cell_deref(store, &cell) == object);
    expect(handle_cell_free(store, &cell) == 0);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
