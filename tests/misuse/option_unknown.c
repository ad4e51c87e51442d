/* SPDX-License-Identifier: MIT */
/* option_unknown.c - an option that does not exist: the line names it and the value. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    expect(handle_store_set(store, "colour", "17") == -EINVAL);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(REPORTS("option colour: unknown; '17' was not set"))};
