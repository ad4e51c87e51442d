/* SPDX-License-Identifier: MIT */
/* stats_format.c - a format that is none. */
#include "support.h"

static void
write_nothing(void *opaque, const char *text, size_t length)
{
    (void)opaque;
    (void)text;
    (void)length;
}

static void
run(void)
{
    handle_store *store = open_store();
    expect(handle_store_stats_print(store, (enum handle_stats_format)3, write_nothing, NULL) ==
           -EINVAL);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
