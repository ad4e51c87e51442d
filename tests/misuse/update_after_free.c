/* SPDX-License-Identifier: MIT */
/* update_after_free.c - a commit after the object was freed. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    struct handle_update update;
    section_enter();
    expect(handle_update_begin(store, handle, 60, &update) != NULL);
    expect(handle_free(store, handle) == 0);
    expect(handle_update_commit(store, &update) == -ENOENT);
    expect(handle_deref(store, handle) == NULL);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
