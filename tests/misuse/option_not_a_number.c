/* SPDX-License-Identifier: MIT */
/* option_not_a_number.c - text where a number is wanted. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    expect(handle_store_set(store, "max_bytes", "12Q") == -EINVAL);
    close_sound(store);
}

const struct misuse misuse = {
    run, ALWAYS(REPORTS(
             "option max_bytes: '12Q' is not a decimal number; range: 4194304 to * bytes, or 0"))};
