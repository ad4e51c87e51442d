/* SPDX-License-Identifier: MIT */
/* overflow_large.c - a terminator behind a large object. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    handle_t handle = make(store, 200000, &object);
    about(handle);
    object[200000] = 0;
    handle_free(store, handle);
}

const struct misuse misuse = {
    run, HARDENED_ONLY(ABORTS("handle_free: store misuse, handle @: the object of 200000 bytes was "
                              "written past its end"))};
