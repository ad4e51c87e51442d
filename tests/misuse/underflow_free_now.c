/* SPDX-License-Identifier: MIT */
/* underflow_free_now.c - a write in front of an object that free_now ends. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    handle_t handle = make(store, 100, &object);
    about(handle);
    memset(object - 8, 0x41, 8);
    section_enter();
    handle_free_now(store, handle);
    section_leave();
    handle_thread_detach(store); /* frees look at headers later, at the latest here */
}

const struct misuse misuse = {
    run,
    {{REPORT, "free: header of the object at offset * is damaged*"},
     {ABORT, "handle_free_now: store misuse, handle @: the header of the object "
             "at offset * is damaged: written in front of it*"},
     {REPORT, "free: header of the object at offset * is damaged*"}}};
