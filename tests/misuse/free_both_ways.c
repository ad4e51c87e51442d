/* SPDX-License-Identifier: MIT */
/* free_both_ways.c - free after free_now, and the other way round. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL), other = make(store, 100000, NULL);
    section_enter();
    expect(handle_free_now(store, handle) == 0);
    expect(handle_free(store, handle) == -ENOENT);
    expect(handle_free(store, other) == 0);
    expect(handle_free_now(store, other) == -ENOENT);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
