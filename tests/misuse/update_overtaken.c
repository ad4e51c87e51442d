/* SPDX-License-Identifier: MIT */
/* update_overtaken.c - a commit after another one, and after resizes. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    struct handle_update first, second;
    section_enter();
    expect(handle_update_begin(store, handle, 60, &first) != NULL);
    expect(handle_update_begin(store, handle, 80, &second) != NULL);
    expect(handle_update_commit(store, &second) == 0);
    expect(handle_update_commit(store, &first) == -EAGAIN);
    expect(handle_update_begin(store, handle, 60, &first) != NULL);
    expect(handle_resize(store, handle, 400) == 0);
    expect(handle_update_commit(store, &first) == -EAGAIN);
    expect(handle_size(store, handle) == 400);
    expect(handle_update_begin(store, handle, 60, &first) != NULL);
    expect(handle_resize(store, handle, 396) == 0); /* room for it in the same slot */
    expect(handle_update_commit(store, &first) == -EAGAIN);
    expect(handle_size(store, handle) == 396);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
