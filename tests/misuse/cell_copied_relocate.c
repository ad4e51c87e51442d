/* SPDX-License-Identifier: MIT */
/* cell_copied_relocate.c - a relocation of a cell that was copied by memcpy. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    static handle_cell cell, copy, target;
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    memcpy(&copy, &cell, sizeof(cell));
    expect(handle_cell_relocate(store, &copy, &target) == -EINVAL);
    section_leave();
}

const struct misuse misuse = {
    run,
    {{REPORT, "relocate: header of the object at offset * is damaged*"},
     {ABORT, "handle_cell_relocate: store misuse, a cell: another cell names the "
             "object: was the cell copied?"},
     {REPORT, "relocate: header of the object at offset * is damaged*"}}};
