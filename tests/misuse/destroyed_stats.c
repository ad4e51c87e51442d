/* SPDX-License-Identifier: MIT */
/* destroyed_stats.c - statistics of a store that was destroyed. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    expect(handle_store_destroy(store) == 0);
    handle_store_used(store);
}

const struct misuse misuse = {
    run, CHECKED(DIES("handle_store_used: store misuse, handle 0: the store was destroyed"))};
