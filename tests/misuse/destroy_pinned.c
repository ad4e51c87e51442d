/* SPDX-License-Identifier: MIT */
/* destroy_pinned.c - the end of a store while a pin is held. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 300, NULL);
    section_enter();
    const void *object = handle_pin(store, handle);
    section_leave();
    expect(handle_store_destroy(store) == -EBUSY);
    handle_unpin(store, object);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
