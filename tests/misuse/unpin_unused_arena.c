/* SPDX-License-Identifier: MIT */
/* unpin_unused_arena.c - an unpin of an address in the arena where no span is. */
#include "support.h"

#define UNPIN_LINE                                                                                 \
    "handle_unpin: store misuse, handle 0: not pinned: the address is not one a pin gave"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    handle_t handle = make(store, 300, &object);
    handle_unpin(store, object + (64 << 20));
    expect(handle_free(store, handle) == 0);
    close_sound(store);
}

const struct misuse misuse = {
    run,
    {{REPORT, "handle_unpin: not pinned: the address is not one a pin gave"},
     {ABORT, UNPIN_LINE},
     {REPORT, "handle_unpin: not pinned: the address is not one a pin gave"}}};
