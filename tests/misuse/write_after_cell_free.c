/* SPDX-License-Identifier: MIT */
/* write_after_cell_free.c - a write through an address kept over cell_free_now. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    static handle_cell cell, cells[100];
    make(store, 100, NULL); /* its span stays, whoever takes the slot back meanwhile */
    section_enter();
    char *object = handle_cell_alloc(store, &cell, 100, 0);
    expect(handle_cell_free_now(store, &cell) == 0);
    object[0] = 0x11;
    for (unsigned i = 0; i < 100; i++) /* ... the slot is found again */
        handle_cell_alloc(store, &cells[i], 100, 0);
}

const struct misuse misuse = {
    run, HARDENED_ONLY(ABORTS("handle_cell_alloc: store misuse, a cell: memory at offset 0x* was "
                              "written at byte 0 after its object was freed "
                              "or moved"))};
