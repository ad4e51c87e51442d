/* SPDX-License-Identifier: MIT */
/* update_abort_twice.c - an abort, and a commit, of an update that is over. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    struct handle_update update;
    section_enter();
    expect(handle_update_begin(store, handle, 60, &update) != NULL);
    handle_update_abort(store, &update);
    handle_update_abort(store, &update);
    expect(handle_update_commit(store, &update) == -EINVAL);
    expect(handle_size(store, handle) == 40);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
