/* SPDX-License-Identifier: MIT */
/* no_section_pin.c - a call that needs a section, outside of one. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    about(handle);
    (void)handle_pin(store, handle);
}

const struct misuse misuse = {
    run, CHECKED(ABORTS("handle_pin: store misuse, handle @: called outside a read-side section"))};
