/* SPDX-License-Identifier: MIT */
/* null_store_control.c - calls on no store at all. */
#include "support.h"

static void
run(void)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    static struct handle_stats stats = HANDLE_STATS_INIT;
    char value[32];
    expect(handle_store_destroy(NULL) == -EINVAL);
    expect(handle_store_clear(NULL) == -EINVAL);
    expect(handle_store_set(NULL, "max_bytes", "0") == -EINVAL);
    expect(handle_store_get(NULL, "max_bytes", value, sizeof(value)) == -EINVAL);
    expect(handle_defrag_start(NULL) == -EINVAL);
    expect(handle_defrag_stop(NULL) == -EINVAL);
    expect(handle_defrag_step(NULL, 100, &report) == -EINVAL);
    expect(handle_store_compact(NULL, &report) == -EINVAL);
    expect(handle_defrag_estimate(NULL, &report) == -EINVAL);
    expect(handle_store_purge(NULL, NULL) == -EINVAL);
    expect(handle_store_reclaim(NULL, 1) == -EINVAL);
    expect(handle_store_used(NULL) == 0);
    expect(handle_store_stats(NULL, &stats) == -EINVAL);
    expect(handle_store_check(NULL, NULL, NULL) == -EINVAL);
    handle_thread_detach(NULL);
    handle_store_before_fork(NULL);
    handle_store_after_fork_parent(NULL);
    handle_store_after_fork_child(NULL);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
