/* SPDX-License-Identifier: MIT */
/* update_not_begun.c - a commit and an abort of an update that never began. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    struct handle_update update;
    section_enter();
    memset(&update, 0, sizeof(update));
    expect(handle_update_commit(store, &update) == -EINVAL);
    handle_update_abort(store, &update);
    memset(&update, 0x5a, sizeof(update));
    expect(handle_update_commit(store, &update) == -EINVAL);
    handle_update_abort(store, &update);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
