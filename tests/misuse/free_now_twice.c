/* SPDX-License-Identifier: MIT */
/* free_now_twice.c - the second free_now, also when the slot has a new object. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *before, *after;
    handle_t handle = make(store, 40, &before);
    section_enter();
    expect(handle_free_now(store, handle) == 0);
    expect(handle_free_now(store, handle) == -ENOENT);
    handle_t next = make(store, 40, &after);
    expect(after == before);
    expect(handle_free_now(store, handle) == -ENOENT);
    expect(handle_deref(store, next) == after);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
