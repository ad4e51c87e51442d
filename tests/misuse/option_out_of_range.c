/* SPDX-License-Identifier: MIT */
/* option_out_of_range.c - a number out of range: the line names option, value and range. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    char value[32];
    expect(handle_store_set(store, "defrag.slice_us", "49") == -EINVAL);
    expect(handle_store_get(store, "defrag.slice_us", value, sizeof(value)) == 0);
    expect(strcmp(value, "500") == 0);
    close_sound(store);
}

const struct misuse misuse = {
    run, ALWAYS(REPORTS("option defrag.slice_us: 49 is out of range: 50 to 100000 us"))};
