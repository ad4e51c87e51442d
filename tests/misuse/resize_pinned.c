/* SPDX-License-Identifier: MIT */
/* resize_pinned.c - a size changed under somebody who writes. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    section_enter();
    void *object = handle_pin_mut(store, handle);
    expect(object != NULL);
    expect(handle_resize(store, handle, 500) == -EBUSY);
    expect(handle_size(store, handle) == 40);
    handle_unpin(store, object);
    expect(handle_resize(store, handle, 500) == 0);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
