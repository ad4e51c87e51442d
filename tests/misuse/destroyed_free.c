/* SPDX-License-Identifier: MIT */
/* destroyed_free.c - a free in a store that was destroyed. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    about(handle);
    expect(handle_store_destroy(store) == 0);
    handle_free(store, handle);
}

const struct misuse misuse = {
    run, CHECKED(DIES("handle_free: store misuse, handle @: the store was destroyed"))};
