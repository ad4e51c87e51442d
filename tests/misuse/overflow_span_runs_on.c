/* SPDX-License-Identifier: MIT */
/* overflow_span_runs_on.c - a write that runs on over a span of slots meets its guard. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char *object;
    make(store, 100, &object);
    for (size_t i = 0; i < 2 * 65536; i++)
        ((volatile char *)object)[i] = 0;
}

const struct misuse misuse = {run, HARDENED_ONLY(FAULTS)};
