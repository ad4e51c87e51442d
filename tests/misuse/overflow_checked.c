/* SPDX-License-Identifier: MIT */
/* overflow_checked.c - handle_store_check counts an overflow, and nothing ends. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    handle_t handle = make(store, 100, &object);
    static handle_cell cell;
    section_enter();
    char *other = handle_cell_alloc(store, &cell, 100, 0);
    section_leave();
    expect(handle_store_check(store, NULL, NULL) == 0);
    char before = object[100];
    object[100] = 0;
    expect(handle_store_check(store, NULL, NULL) == 1);
    other[101] ^= 1;
    expect(handle_store_check(store, NULL, NULL) == 2);
    object[100] = before;
    other[101] ^= 1;
    expect(handle_free(store, handle) == 0);
    close_sound(store);
}

const struct misuse misuse = {run, HARDENED_ONLY(RETURNS)};
