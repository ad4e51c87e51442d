/* SPDX-License-Identifier: MIT */
/* write_after_free_checked.c - handle_store_check counts a write after free, and nothing ends. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    handle_t handle = make(store, 100, &object);
    about(handle);
    make(store, 100, NULL); /* the span stays */
    free_and_reclaim(store, handle);
    expect(handle_store_check(store, NULL, NULL) == 0);
    object[50] ^= 1;
    expect(handle_store_check(store, NULL, NULL) == 1);
    object[50] ^= 1;
    close_sound(store);
}

const struct misuse misuse = {run, HARDENED_ONLY(RETURNS)};
