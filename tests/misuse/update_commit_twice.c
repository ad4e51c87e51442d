/* SPDX-License-Identifier: MIT */
/* update_commit_twice.c - a commit of an update that is over. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    struct handle_update update;
    section_enter();
    expect(handle_update_begin(store, handle, 60, &update) != NULL);
    expect(handle_update_commit(store, &update) == 0);
    expect(handle_update_commit(store, &update) == -EINVAL);
    expect(handle_size(store, handle) == 60);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
