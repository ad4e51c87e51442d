/* SPDX-License-Identifier: MIT */
/* destroy_updating.c - the end of a store while an update is under way. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 300, NULL);
    struct handle_update update;
    section_enter();
    expect(handle_update_begin(store, handle, 100, &update) != NULL);
    section_leave();
    expect(handle_store_destroy(store) == -EBUSY);
    handle_update_abort(store, &update);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
