/* SPDX-License-Identifier: MIT */
/* update_of_other_store.c - an update given to a store that did not begin it. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    struct handle_update update;
    section_enter();
    expect(handle_update_begin(store, handle, 60, &update) != NULL);
    section_leave();
    handle_store *other = open_store();
    section_enter();
    expect(handle_update_commit(other, &update) == -EINVAL);
    handle_update_abort(other, &update);
    expect(handle_update_commit(store, &update) == 0);
    expect(handle_size(store, handle) == 60);
    section_leave();
    close_sound(other);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
