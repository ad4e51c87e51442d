/* SPDX-License-Identifier: MIT */
/* cell_not_empty.c - a cell in use as the target of alloc and relocate. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_cell cell = HANDLE_CELL_INIT, other = HANDLE_CELL_INIT;
    section_enter();
    const void *object = handle_cell_alloc(store, &cell, 40, 0);
    expect(handle_cell_alloc(store, &other, 40, 0) != NULL);
    expect_errno(handle_cell_alloc(store, &cell, 40, 0), EEXIST);
    expect(handle_cell_relocate(store, &other, &cell) == -EEXIST);
    expect(handle_cell_deref(store, &cell) == object);
    expect(handle_cell_free(store, &cell) == 0 && handle_cell_free(store, &other) == 0);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
