/* SPDX-License-Identifier: MIT */
/* no_section_alloc_object.c - a call that needs a section, outside of one. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    void *object;
    handle_alloc_object(store, 40, 0, &object);
}

const struct misuse misuse = {
    run, CHECKED(ABORTS(
             "handle_alloc_object: store misuse, handle 0: called outside a read-side section"))};
