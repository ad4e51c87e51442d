/* SPDX-License-Identifier: MIT */
/* underflow.c - a write in front of an object: its header is found damaged, in every store. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    handle_t handle = make(store, 100, &object);
    about(handle);
    memset(object - 8, 0x41, 8);
    handle_free(store, handle);
    expect(handle_store_purge(store, NULL) == 0);
    handle_thread_detach(store); /* frees look at headers later, at the latest here */
}

const struct misuse misuse = {
    run,
    {{REPORT, "free: header of the object at offset * is damaged*"},
     {ABORT, "handle_free: store misuse, handle @: the header of the object "
             "at offset * is damaged: written in front of it*"},
     {REPORT, "free: header of the object at offset * is damaged*"}}};
