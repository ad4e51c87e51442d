/* SPDX-License-Identifier: MIT */
/* unregistered_in_section.c - a thread unknown to liburcu, in what it takes for a section. */
#include "support.h"

#define CALLS (1 << 24) /* those in which a grace period is asked for: seven of them */

static void *
use(void *store)
{
    about(41);
    rcu_read_lock();
    for (int i = 0; i < CALLS; i++)
        handle_deref_mut(store, 41);
    rcu_read_unlock();
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
    run, CHECKED(ABORTS("handle_deref_mut: store misuse, handle @: called by a thread that is not "
                        "registered: *"))};
