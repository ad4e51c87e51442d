/* SPDX-License-Identifier: MIT */
/* no_section_size.c - a call that needs a section, outside of one. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    about(handle);
    handle_size(store, handle);
}

const struct misuse misuse = {
    run,
    CHECKED(ABORTS("handle_size: store misuse, handle @: called outside a read-side section"))};
