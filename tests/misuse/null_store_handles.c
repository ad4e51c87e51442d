/* SPDX-License-Identifier: MIT */
/* null_store_handles.c - calls on handles without a store. */
#include "support.h"

static void
run(void)
{
    struct handle_update update = {0};
    const void *object;
    void *made = &update;
    handle_t handle = 1;
    section_enter();
    expect_errno(handle_alloc(NULL, 1), EINVAL);
    expect_errno(handle_alloc_object(NULL, 1, 0, &made), EINVAL);
    expect(made == NULL);
    expect(handle_deref_mut(NULL, handle) == NULL);
    expect(handle_deref_many(NULL, &handle, &object, 1) == 0);
    expect(handle_size(NULL, handle) == 0);
    expect(handle_free(NULL, handle) == -EINVAL);
    expect(handle_free_now(NULL, handle) == -EINVAL);
    expect(handle_resize(NULL, handle, 1) == -EINVAL);
    expect_errno(handle_pin(NULL, handle), EINVAL);
    expect_errno(handle_pin_mut(NULL, handle), EINVAL);
    handle_unpin(NULL, &update);
    expect_errno(handle_update_begin(NULL, handle, 1, &update), EINVAL);
    expect(handle_update_commit(NULL, &update) == -EINVAL);
    handle_update_abort(NULL, &update);
    section_leave();
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
