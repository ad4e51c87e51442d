/* SPDX-License-Identifier: MIT */
/* write_after_free.c - a write through an address kept over a grace period. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    handle_t handle = make(store, 100, &object);
    about(handle);
    make(store, 100, NULL); /* the span stays */
    free_and_reclaim(store, handle);
    object[99] = 0x11;
    for (unsigned i = 0; i < 1000; i++)
        handle_alloc(store, 100);
}

const struct misuse misuse = {
    run, HARDENED_ONLY(ABORTS("handle_alloc: store misuse, handle 0: memory at offset 0x* was "
                              "written at byte 99 after its object was freed "
                              "or moved"))};
