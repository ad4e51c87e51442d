/* SPDX-License-Identifier: MIT */
/* overflow_terminator_cell.c - the same for an object named by a cell. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    static handle_cell cell;
    section_enter();
    char *object = handle_cell_alloc(store, &cell, 63, 0);
    memset(object, 0, 64);
    handle_cell_free_now(store, &cell);
    section_leave();
    handle_thread_detach(store); /* frees look at the memory later, at the latest here */
}

const struct misuse misuse = {
    run,
    HARDENED_ONLY(ABORTS(
        "handle_cell_free_now: store misuse, a cell: the object of 63 bytes was written past its "
        "end"))};
