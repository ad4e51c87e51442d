/* SPDX-License-Identifier: MIT */
/* overflow_terminator.c - a string's terminator one byte too far, with and without room behind. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    for (size_t size = 1; size < 200; size++) { /* most are in order: their terminator fits */
        char *object;
        handle_t handle = make(store, size, &object);
        object[size - 1] = 0;
        expect(handle_free(store, handle) == 0);
    }
    char *object;
    size_t size = full_size(store, 100);
    handle_t handle = make(store, size, &object);
    about(handle);
    object[size] = 0;
    handle_free(store, handle);
    handle_thread_detach(store); /* frees look at the memory later, at the latest here */
}

const struct misuse misuse = {
    run,
    HARDENED_ONLY(ABORTS(
        "handle_free: store misuse, handle @: the object of * bytes was written past its end"))};
