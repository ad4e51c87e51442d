/* SPDX-License-Identifier: MIT */
/* null_store_create.c - no flavour to make a store for. */
#include "support.h"

static void
run(void)
{
    struct handle_store_options options = store_options();
    expect_errno(handle_store_create_flavor(&options, NULL), EINVAL);
}

const struct misuse misuse = {run, ALWAYS(REPORTS("flavor: NULL, and not a flavour of liburcu"))};
