/* SPDX-License-Identifier: MIT */
/* overflow_large_runs_on.c - a write that runs on behind a large object meets its guard. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    make(store, 65536 - 1, &object);
    memset(object, 0, 65536);
    object[65536] = 0;
}

const struct misuse misuse = {run, HARDENED_ONLY(FAULTS)};
