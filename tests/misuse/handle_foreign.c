/* SPDX-License-Identifier: MIT */
/* handle_foreign.c - handles of another store, at the same places of its table. */
#include "support.h"

static void
answers_stale(handle_store *store, handle_t handle)
{
    struct handle_update update;
    const void *object = store;
    section_enter();
    expect(handle_deref(store, handle) == NULL);
    expect(handle_deref_mut(store, handle) == NULL);
    expect(handle_deref_many(store, &handle, &object, 1) == 0 && object == NULL);
    expect(handle_size(store, handle) == 0);
    expect(handle_free(store, handle) == -ENOENT);
    expect(handle_free_now(store, handle) == -ENOENT);
    expect(handle_resize(store, handle, 10) == -ENOENT);
    expect_errno(handle_pin(store, handle), ENOENT);
    expect_errno(handle_pin_mut(store, handle), ENOENT);
    expect_errno(handle_update_begin(store, handle, 10, &update), ENOENT);
    expect(handle_update_commit(store, &update) == -EINVAL);
    section_leave();
}

static void
run(void)
{
    handle_store *store = open_store(), *other = open_store();
    handle_t handles[100];
    for (unsigned i = 0; i < 100; i++) {
        handles[i] = make(other, 40, NULL);
        make(store, 40, NULL);
    }
    for (unsigned i = 0; i < 100; i++)
        answers_stale(store, handles[i]);
    close_sound(store);
    for (unsigned i = 0; i < 100; i++)
        expect(handle_free(other, handles[i]) == 0);
    close_sound(other);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
