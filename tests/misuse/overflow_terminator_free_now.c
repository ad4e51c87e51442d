/* SPDX-License-Identifier: MIT */
/* overflow_terminator_free_now.c - the same, found by free_now. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    handle_t handle = make(store, 103, &object);
    about(handle);
    object[103] = 0;
    section_enter();
    handle_free_now(store, handle);
    section_leave();
    handle_thread_detach(store); /* frees look at the memory later, at the latest here */
}

const struct misuse misuse = {
    run, HARDENED_ONLY(ABORTS("handle_free_now: store misuse, handle @: the object of 103 bytes "
                              "was written past its end"))};
