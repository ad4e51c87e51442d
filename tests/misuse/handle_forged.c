/* SPDX-License-Identifier: MIT */
/* handle_forged.c - values that were never issued. */
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
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    answers_stale(store, HANDLE_NULL);
    answers_stale(store, UINT64_MAX);
    answers_stale(store, UINT64_MAX - 1);
    answers_stale(store, handle ^ 1);                      /* not a handle's form */
    answers_stale(store, handle ^ (UINT64_C(1) << 40));    /* another generation */
    answers_stale(store, handle + 200);                    /* an entry not in use */
    answers_stale(store, handle | UINT64_C(0xfffffffffe)); /* beyond the table */
    for (uint64_t i = 1; i < 1000; i++)
        answers_stale(store, i * UINT64_C(0x9e3779b97f4a7c15) & ~UINT64_C(0xff00000000));
    expect(handle_free(store, handle) == 0);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
