/* SPDX-License-Identifier: MIT */
/* unknown_flags.c - bits that no flag has. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_cell cell = HANDLE_CELL_INIT;
    void *object = store;
    section_enter();
    expect_errno(handle_alloc_object(store, 8, 4, &object), EINVAL);
    expect(object == NULL);
    expect_errno(handle_alloc_object(store, 8, HANDLE_ZERO | 0x80000000u, &object), EINVAL);
    expect_errno(handle_cell_alloc(store, &cell, 8, 8), EINVAL);
    expect(cell.word == 0);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
