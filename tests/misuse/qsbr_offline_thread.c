/* SPDX-License-Identifier: MIT */
/* qsbr_offline_thread.c - QSBR: a thread that went offline, and forgot. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    about(handle);
    rcu_thread_offline();
    handle_free(store, handle);
}

const struct misuse misuse = {
    run,
    CHECKED(ABORTS(
        "handle_free: store misuse, handle @: called by a thread that is not registered, or is "
        "offline"))};
