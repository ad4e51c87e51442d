/* SPDX-License-Identifier: MIT */
/* cell_misaligned.c - cells that are not at a multiple of 8. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    static uint64_t room[2];
    handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    for (unsigned by = 1; by < 8; by++) {
        handle_cell *odd = (handle_cell *)((uintptr_t)room + by);
        expect_errno(handle_cell_alloc(store, odd, 40, 0), EINVAL);
        expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
        expect(handle_cell_relocate(store, &cell, odd) == -EINVAL);
        expect(handle_cell_free(store, &cell) == 0);
    }
    section_leave();
    expect(room[0] == 0 && room[1] == 0);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
