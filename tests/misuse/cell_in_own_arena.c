/* SPDX-License-Identifier: MIT */
/* cell_in_own_arena.c - a cell inside an object of its own store. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_cell cell = HANDLE_CELL_INIT;
    char *object;
    make(store, 64, &object);
    memset(object, 0, 64);
    handle_cell *inside = (handle_cell *)(void *)(object + 8);
    section_enter();
    expect_errno(handle_cell_alloc(store, inside, 40, 0), EINVAL);
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    expect(handle_cell_relocate(store, &cell, inside) == -EINVAL);
    expect(handle_cell_free(store, &cell) == 0);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
