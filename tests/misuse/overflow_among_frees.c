/* SPDX-License-Identifier: MIT */
/* overflow_among_frees.c - a write behind the end, by one of many objects that are freed: the call
 * that is named is that object's. */
#include "support.h"

static void
run(void)
{
    enum { LATER = 32 };
    handle_store *store = open_store();
    handle_t others[LATER];
    for (unsigned i = 0; i < LATER; i++)
        others[i] = make(store, 60, NULL);
    char *object;
    handle_t handle = make(store, 100, &object);
    about(handle);
    object[100] = 0;
    section_enter();
    expect(handle_free_now(store, handle) == 0);
    for (unsigned i = 0; i < LATER; i++)
        expect(handle_free(store, others[i]) == 0);
    section_leave();
    handle_thread_detach(store); /* the grace-period thread may be about to say it */
}

const struct misuse misuse = {
    run, HARDENED_ONLY(ABORTS("handle_free_now: store misuse, handle @: the object of 100 bytes "
                              "was written past its end"))};
