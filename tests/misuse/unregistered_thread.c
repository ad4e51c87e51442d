/* SPDX-License-Identifier: MIT */
/* unregistered_thread.c - a thread that liburcu does not know, and that opened no section. */
#include "support.h"

static void *
use(void *store)
{
    about(41);
    handle_deref_mut(store, 41);
    return NULL;
}

static void
run(void)
{
    handle_store *store = open_store();
    pthread_t thread;
    expect(pthread_create(&thread, NULL, use, store) == 0);
    pthread_join(thread, NULL);
}

const struct misuse misuse = {
    run, CHECKED(ABORTS(
             "handle_deref_mut: store misuse, handle @: called outside a read-side section"))};
