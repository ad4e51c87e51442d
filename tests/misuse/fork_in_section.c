/* SPDX-License-Identifier: MIT */
/*
 * fork_in_section.c - the hook before a fork, inside a section. A grace period waits for that
 * section: fails when the hook, which else waits for a grace period under way, does so here, too
 * (seen: it waits for itself).
 */
#include "support.h"

#include <unistd.h>

#define LINE "handle_store_before_fork: store misuse, handle 0: called inside a read-side section"

static void
await_grace_period(handle_store *store)
{
    static struct handle_stats stats = HANDLE_STATS_INIT;
    do {
        usleep(1000);
        expect(handle_store_stats(store, &stats) == 0);
    } while (stats.grace_period_age_ns == 0);
}

static void
run(void)
{
    handle_store *store = open_store();
    handle_t handle = make(store, 40, NULL);
    section_enter();
    expect(handle_free(store, handle) == 0);
    await_grace_period(store);
    handle_store_before_fork(store);
    handle_store_after_fork_parent(store);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {
    run,
    {{REPORT, "handle_store_before_fork: called inside a read-side section"},
     {ABORT, LINE},
     {ABORT, LINE}}};
