/* SPDX-License-Identifier: MIT */
/*
 * qsbr.c - what only QSBR shows, at every call: threads that it does not know, or that are offline.
 *
 * Seen failing, with the library broken like this:
 *   QSBR taken for a flavour with sections         qsbr_*
 */
#include "support.h"

static void *
use(void *store)
{
    (void)!handle_alloc(store, 40);
    return NULL;
}

static void
qsbr_unregistered_thread(handle_store *store)
{
    pthread_t thread;
    wait_begin();
    expect(pthread_create(&thread, NULL, use, store) == 0);
    pthread_join(thread, NULL);
}

/* It went offline, and forgot. */
static void
qsbr_offline_thread(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    about(handle);
    rcu_thread_offline();
    handle_free(store, handle);
}

#define NOT_ONLINE(call, name)                                                                     \
    CHECKED(ABORTS(call ": store misuse, " name                                                    \
                        ": called by a thread that is not registered, or is offline"))

const struct misuse misuse_qsbr[] = {
    CASE(qsbr_unregistered_thread, NOT_ONLINE("handle_alloc", "handle 0")),
    CASE(qsbr_offline_thread, NOT_ONLINE("handle_free", "handle @")),
    CASES_END,
};
