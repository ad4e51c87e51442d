/* SPDX-License-Identifier: MIT */
/* struct_size_reports.c - reports and statistics whose size was not set. */
#include "support.h"

static void
run(void)
{
    struct handle_defrag_report report = {0};
    static struct handle_stats stats;
    handle_store *store = open_store();
    expect(handle_store_compact(store, &report) == -EINVAL);
    expect(handle_defrag_estimate(store, &report) == -EINVAL);
    expect(handle_defrag_step(store, 100, &report) == -EINVAL);
    expect(handle_store_stats(store, &stats) == -EINVAL);
    stats.struct_size = sizeof(stats) - 1;
    expect(handle_store_stats(store, &stats) == -EINVAL);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
