/* SPDX-License-Identifier: MIT */
/* destroyed_deref.c - a deref in a store that was destroyed finds nothing. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    expect(handle_store_destroy(store) == 0);
    section_enter();
    expect(handle_deref(store, handle) == NULL);
    section_leave();
}

const struct misuse misuse = {run, CHECKED(RETURNS)};
