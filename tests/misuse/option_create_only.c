/* SPDX-License-Identifier: MIT */
/* option_create_only.c - an option that is fixed at creation. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    expect(handle_store_set(store, "alignment", "64") == -EINVAL);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(REPORTS("option alignment: '64': only at creation"))};
