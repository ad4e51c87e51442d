/* SPDX-License-Identifier: MIT */
/* option_pair.c - a lower threshold above the upper one. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    expect(handle_store_set(store, "defrag.threshold_upper_percent", "10") == 0);
    expect(handle_store_set(store, "defrag.threshold_lower_percent", "11") == -EINVAL);
    close_sound(store);
}

const struct misuse misuse = {run,
                              ALWAYS(REPORTS("option defrag.threshold_lower_percent: 11 is out of "
                                             "range: 0 to defrag.threshold_upper_percent (10) %"))};
