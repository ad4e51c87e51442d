/* SPDX-License-Identifier: MIT */
/* no_section_update.c - a call that needs a section, outside of one. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    about(handle);
    struct handle_update update;
    handle_update_begin(store, handle, 9, &update);
}

const struct misuse misuse = {
    run, CHECKED(ABORTS(
             "handle_update_begin: store misuse, handle @: called outside a read-side section"))};
