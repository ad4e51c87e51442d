/* SPDX-License-Identifier: MIT */
/* write_after_abort.c - a write to a version after its update was aborted. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    struct handle_update update;
    section_enter();
    char *object = handle_update_begin(store, handle, 200, &update);
    handle_update_abort(store, &update);
    object[7] = 0x11;
    handle_alloc(store, 200);
}

const struct misuse misuse = {
    run, HARDENED_ONLY(ABORTS("handle_alloc: store misuse, handle 0: memory at offset 0x* was "
                              "written at byte 7 after its object was freed "
                              "or moved"))};
