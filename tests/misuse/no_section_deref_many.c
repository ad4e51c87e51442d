/* SPDX-License-Identifier: MIT */
/* no_section_deref_many.c - a call that needs a section, outside of one. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    about(handle);
    const void *object;
    handle_deref_many(store, &handle, &object, 1);
}

const struct misuse misuse = {
    run, CHECKED(ABORTS(
             "handle_deref_many: store misuse, handle 0: called outside a read-side section"))};
