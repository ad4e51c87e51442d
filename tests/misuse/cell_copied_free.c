/* SPDX-License-Identifier: MIT */
/* cell_copied_free.c - a free through a cell that was copied by memcpy. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    static handle_cell cell, copy;
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    memcpy(&copy, &cell, sizeof(cell));
    expect(handle_cell_free(store, &copy) == 0);
    section_leave();
    expect(handle_store_purge(store, NULL) == 0);
    handle_thread_detach(store); /* frees look at headers later, at the latest here */
}

const struct misuse misuse = {
    run,
    {{REPORT, "free: header of the object at offset * is damaged*"},
     {ABORT, "handle_cell_free: store misuse, a cell: another cell names the "
             "object*was the cell copied?*"},
     {REPORT, "free: header of the object at offset * is damaged*"}}};
