/* SPDX-License-Identifier: MIT */
/* cell_relocate_into_other_store.c - a reference moved into an object of another store. */
#include "support.h"

static void
run(void)
{
    struct handle_store_options options = store_options();
    options.name = "around";
    handle_store *store = open_store(), *around = handle_store_create(&options);
    handle_cell cell = HANDLE_CELL_INIT;
    char *object;
    make(around, 64, &object);
    memset(object, 0, 64);
    section_enter();
    expect(handle_cell_alloc(store, &cell, 40, 0) != NULL);
    handle_cell_relocate(store, &cell, (handle_cell *)(void *)object);
}

const struct misuse misuse = {run, CHECKED(ABORTS("handle_cell_relocate: store misuse, a cell: the "
                                                  "cell lies inside an object of store around"))};
