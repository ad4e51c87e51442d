/* SPDX-License-Identifier: MIT */
/* fork_in_section.c - the hook before a fork, inside a section. */
#include "support.h"

#define LINE "handle_store_before_fork: store misuse, handle 0: called inside a read-side section"

static void
run(void)
{
    handle_store *store = open_store();
    section_enter();
    handle_store_before_fork(store);
    handle_store_after_fork_parent(store);
    section_leave();
}

const struct misuse misuse = {
    run,
    {{REPORT, "handle_store_before_fork: called inside a read-side section"},
     {ABORT, LINE},
     {ABORT, LINE}}};
