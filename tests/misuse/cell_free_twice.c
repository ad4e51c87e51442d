/* SPDX-License-Identifier: MIT */
/* cell_free_twice.c - the second free of a cell. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    expect(handle_cell_free(store, &cell) == 0);
    expect(handle_cell_free(store, &cell) == -ENOENT);
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    expect(handle_cell_free_now(store, &cell) == 0);
    expect(handle_cell_free_now(store, &cell) == -ENOENT);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
