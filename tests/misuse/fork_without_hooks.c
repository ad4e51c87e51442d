/* SPDX-License-Identifier: MIT */
/* fork_without_hooks.c - a child that goes on with the store, forked without the hooks. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    go_on_in_child();
    handle_alloc(store, 40);
}

const struct misuse misuse = {
    run, CHECKED(ABORTS("handle_alloc: store misuse, handle 0: this process was forked without "
                        "handle_store_before_fork"))};
