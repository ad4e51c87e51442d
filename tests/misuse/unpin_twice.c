/* SPDX-License-Identifier: MIT */
/* unpin_twice.c - one unpin too many. */
#include "support.h"

#define UNPIN_LINE                                                                                 \
    "handle_unpin: store misuse, handle 0: not pinned: the address is not one a pin gave"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    handle_t handle = make(store, 300, &object);
    section_enter();
    expect(handle_pin(store, handle) == object);
    section_leave();
    handle_unpin(store, object);
    handle_unpin(store, object);
    expect(handle_free(store, handle) == 0);
    close_sound(store);
}

const struct misuse misuse = {
    run,
    {{REPORT, "handle_unpin: not pinned: the address is not one a pin gave"},
     {ABORT, UNPIN_LINE},
     {REPORT, "handle_unpin: not pinned: the address is not one a pin gave"}}};
