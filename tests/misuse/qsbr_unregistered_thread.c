/* SPDX-License-Identifier: MIT */
/* qsbr_unregistered_thread.c - QSBR shows a thread that it does not know, at every call. */
#include "support.h"

static void *
use(void *store)
{
    handle_alloc(store, 40);
    return NULL;
}

static void
run(void)
{
    handle_store *store = open_store();
    pthread_t thread;
    wait_begin();
    expect(pthread_create(&thread, NULL, use, store) == 0);
    pthread_join(thread, NULL);
}

const struct misuse misuse = {
    run,
    CHECKED(ABORTS(
        "handle_alloc: store misuse, handle 0: called by a thread that is not registered, or is "
        "offline"))};
