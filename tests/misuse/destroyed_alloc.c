/* SPDX-License-Identifier: MIT */
/* destroyed_alloc.c - an allocation in a store that was destroyed. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    expect(handle_store_destroy(store) == 0);
    handle_alloc(store, 40);
}

const struct misuse misuse = {
    run, CHECKED(DIES("handle_alloc: store misuse, handle 0: the store was destroyed"))};
