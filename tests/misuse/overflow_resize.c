/* SPDX-License-Identifier: MIT */
/* overflow_resize.c - an overflow found by a resize. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    handle_t handle = make(store, 100, &object);
    about(handle);
    object[100] = 0;
    handle_resize(store, handle, 200);
}

const struct misuse misuse = {
    run, HARDENED_ONLY(ABORTS("handle_resize: store misuse, handle @: the object of 100 bytes was "
                              "written past its end"))};
