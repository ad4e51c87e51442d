/* SPDX-License-Identifier: MIT */
/* cell_above_limit.c - cells above 2^48. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_cell cell = HANDLE_CELL_INIT;
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    for (unsigned bit = 48; bit < 64; bit++) {
        handle_cell *far = (handle_cell *)(uintptr_t)(UINT64_C(1) << bit);
        expect_errno(handle_cell_alloc(store, far, 40, 0), EINVAL);
        expect(handle_cell_relocate(store, &cell, far) == -EINVAL);
    }
    expect(handle_cell_free(store, &cell) == 0);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
