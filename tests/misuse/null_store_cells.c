/* SPDX-License-Identifier: MIT */
/* null_store_cells.c - calls on cells without a store. */
#include "support.h"

static void
run(void)
{
    handle_cell cell = HANDLE_CELL_INIT, other = HANDLE_CELL_INIT;
    struct handle_update update = {0};
    handle_cell *cells[1] = {&cell};
    const void *object;
    section_enter();
    expect_errno(handle_cell_alloc(NULL, &cell, 1, 0), EINVAL);
    expect(handle_cell_deref_mut(NULL, &cell) == NULL);
    expect(handle_cell_deref_many(NULL, cells, &object, 1) == 0);
    expect(handle_cell_size(NULL, &cell) == 0);
    expect(handle_cell_set_tag(NULL, &cell, 1) == -EINVAL);
    expect(handle_cell_free(NULL, &cell) == -EINVAL);
    expect(handle_cell_free_now(NULL, &cell) == -EINVAL);
    expect(handle_cell_resize(NULL, &cell, 1) == -EINVAL);
    expect(handle_cell_relocate(NULL, &cell, &other) == -EINVAL);
    expect_errno(handle_cell_pin(NULL, &cell), EINVAL);
    expect_errno(handle_cell_update_begin(NULL, &cell, 1, &update), EINVAL);
    section_leave();
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
