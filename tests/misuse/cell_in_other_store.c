/* SPDX-License-Identifier: MIT */
/* cell_in_other_store.c - a cell inside an object of another store, which may move it. */
#include "support.h"

static void
run(void)
{
    struct handle_store_options options = store_options();
    options.name = "around";
    handle_store *store = open_store(), *around = handle_store_create(&options);
    char *object;
    make(around, 64, &object);
    memset(object, 0, 64);
    section_enter();
    handle_cell_alloc(store, (handle_cell *)(void *)object, 40, 0);
}

const struct misuse misuse = {run, CHECKED(ABORTS("handle_cell_alloc: store misuse, a cell: the "
                                                  "cell lies inside an object of store around"))};
