/* SPDX-License-Identifier: MIT */
/* fork_with_hooks.c - the same with the hooks, and a grandchild without. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    handle_store_before_fork(store);
    go_on_in_child();
    handle_store_after_fork_child(store);
    handle_t handle = handle_alloc(store, 40);
    expect(handle != HANDLE_NULL && handle_free(store, handle) == 0);
    go_on_in_child();
    handle_alloc(store, 40);
}

const struct misuse misuse = {
    run, CHECKED(ABORTS("handle_alloc: store misuse, handle 0: this process was forked without "
                        "handle_store_before_fork"))};
