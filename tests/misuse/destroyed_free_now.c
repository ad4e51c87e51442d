/* SPDX-License-Identifier: MIT */
/* destroyed_free_now.c - a free_now in a store that was destroyed. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    about(handle);
    expect(handle_store_destroy(store) == 0);
    section_enter();
    handle_free_now(store, handle);
}

const struct misuse misuse = {
    run, CHECKED(DIES("handle_free_now: store misuse, handle @: the store was destroyed"))};
