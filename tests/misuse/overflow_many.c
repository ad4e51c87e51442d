/* SPDX-License-Identifier: MIT */
/* overflow_many.c - a write far behind the end, over whole neighbours. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    handle_t handle = make(store, 100, &object);
    about(handle);
    memset(object + 100, 0x41, 5000);
    handle_free(store, handle);
    handle_thread_detach(store); /* frees look at the memory later, at the latest here */
}

const struct misuse misuse = {
    run,
    HARDENED_ONLY(ABORTS(
        "handle_free: store misuse, handle @: the object of 100 bytes was written past its end"))};
