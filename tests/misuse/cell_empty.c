/* SPDX-License-Identifier: MIT */
/* cell_empty.c - an empty cell in every call. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_cell cell = HANDLE_CELL_INIT, other = HANDLE_CELL_INIT;
    handle_cell *cells[1] = {&cell};
    struct handle_update update;
    const void *object = store;
    uint32_t tag = 7;
    section_enter();
    expect(handle_cell_deref(store, &cell) == NULL);
    expect(handle_cell_read(store, &cell, &tag) == NULL && tag == 0);
    expect(handle_cell_deref_mut(store, &cell) == NULL);
    expect(handle_cell_deref_many(store, cells, &object, 1) == 0 && object == NULL);
    expect(handle_cell_size(store, &cell) == 0);
    expect(handle_cell_set_tag(store, &cell, 1) == -ENOENT);
    expect(handle_cell_free(store, &cell) == -ENOENT);
    expect(handle_cell_free_now(store, &cell) == -ENOENT);
    expect(handle_cell_resize(store, &cell, 9) == -ENOENT);
    expect(handle_cell_relocate(store, &cell, &other) == -ENOENT);
    expect_errno(handle_cell_pin(store, &cell), ENOENT);
    expect_errno(handle_cell_update_begin(store, &cell, 9, &update), ENOENT);
    section_leave();
    expect(cell.word == 0 && other.word == 0);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
