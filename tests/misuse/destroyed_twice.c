/* SPDX-License-Identifier: MIT */
/* destroyed_twice.c - the second end of a store. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    expect(handle_store_destroy(store) == 0);
    handle_store_destroy(store);
}

const struct misuse misuse = {
    run, CHECKED(DIES("handle_store_destroy: store misuse, handle 0: the store was destroyed"))};
