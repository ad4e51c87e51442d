/* SPDX-License-Identifier: MIT */
/* option_pair_upper.c - an upper threshold is set below the lower one: it is what is wrong. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    expect(handle_store_set(store, "defrag.threshold_upper_percent", "30") == 0);
    expect(handle_store_set(store, "defrag.threshold_lower_percent", "20") == 0);
    expect(handle_store_set(store, "defrag.threshold_upper_percent", "19") == -EINVAL);
    close_sound(store);
}

const struct misuse misuse = {run,
                              ALWAYS(REPORTS("option defrag.threshold_upper_percent: 19 is out "
                                             "of range: defrag.threshold_lower_percent (20) "
                                             "to 100 %"))};
