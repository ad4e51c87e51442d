/* SPDX-License-Identifier: MIT */
/* null_arguments.c - a store, and nothing else. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 10, NULL);
    const void *object;
    section_enter();
    expect(handle_deref_many(store, NULL, &object, 1) == 0);
    expect(handle_deref_many(store, &handle, NULL, 1) == 0);
    expect_errno(handle_cell_alloc(store, NULL, 1, 0), EINVAL);
    expect(handle_cell_free(store, NULL) == -EINVAL);
    expect(handle_cell_free_now(store, NULL) == -EINVAL);
    expect(handle_cell_resize(store, NULL, 1) == -EINVAL);
    expect(handle_cell_set_tag(store, NULL, 1) == -EINVAL);
    expect(handle_cell_relocate(store, NULL, NULL) == -EINVAL);
    expect_errno(handle_cell_pin(store, NULL), EINVAL);
    expect_errno(handle_update_begin(store, handle, 1, NULL), EINVAL);
    expect(handle_update_commit(store, NULL) == -EINVAL);
    handle_update_abort(store, NULL);
    section_leave();
    expect(handle_store_stats(store, NULL) == -EINVAL);
    expect(handle_defrag_estimate(store, NULL) == -EINVAL);
    expect(handle_store_each(store, NULL, NULL) == -EINVAL);
    expect(handle_store_stats_print(store, HANDLE_STATS_TEXT, NULL, NULL) == -EINVAL);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
