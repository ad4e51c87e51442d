/* SPDX-License-Identifier: MIT */
/* option_get.c - values that do not fit, or do not exist. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char value[4] = "abc";
    expect(handle_store_get(store, "name", value, sizeof(value)) == -ENOSPC);
    expect(strcmp(value, "abc") == 0);
    expect(handle_store_get(store, "colour", value, sizeof(value)) == -EINVAL);
    expect(handle_store_get(store, NULL, value, sizeof(value)) == -EINVAL);
    expect(handle_store_get(store, "name", NULL, 0) == -EINVAL);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
