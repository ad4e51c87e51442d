/* SPDX-License-Identifier: MIT */
/* no_section_free_now.c - a call that needs a section, outside of one. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    about(handle);
    handle_free_now(store, handle);
}

const struct misuse misuse = {
    run,
    CHECKED(ABORTS("handle_free_now: store misuse, handle @: called outside a read-side section"))};
