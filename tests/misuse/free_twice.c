/* SPDX-License-Identifier: MIT */
/* free_twice.c - the second free of a handle. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL), neighbour = make(store, 40, NULL);
    expect(handle_free(store, handle) == 0);
    expect(handle_free(store, handle) == -ENOENT);
    expect(handle_free(store, neighbour) == 0);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
