/* SPDX-License-Identifier: MIT */
/* option_at_create.c - an alignment that is none. */
#include "support.h"

static void
run(void)
{
    struct handle_store_options options = store_options();
    options.alignment = 12;
    expect_errno(handle_store_create(&options), EINVAL);
}

const struct misuse misuse = {
    run, ALWAYS(REPORTS("option alignment: 12 is out of range: 8 to 64 bytes (8, 16 or 64)"))};
