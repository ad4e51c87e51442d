/* SPDX-License-Identifier: MIT */
/* option_name_too_long.c - a name of 32 bytes. */
#include "support.h"

static void
run(void)
{
    struct handle_store_options options = store_options();
    options.name = "01234567890123456789012345678901";
    expect_errno(handle_store_create(&options), EINVAL);
}

const struct misuse misuse = {
    run, ALWAYS(REPORTS(
             "option name: '01234567890123456789012345678901' is out of range: 0 to 31 bytes"))};
