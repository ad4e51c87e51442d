/* SPDX-License-Identifier: MIT */
/*
 * no_misuse_at_rest.c - nothing wrong: a store at rest gives pages under free slots back, poison
 * with them; slots that lost a part of theirs are used again, and nothing is said.
 */
#include "support.h"

#include <unistd.h>

#define OBJECTS 4000

static uint64_t
released(handle_store *store)
{
    static struct handle_stats stats = HANDLE_STATS_INIT;
    expect(handle_store_stats(store, &stats) == 0);
    return stats.released;
}

static void
run(void)
{
    static handle_t handles[OBJECTS];
    handle_store *store = open_store();
    for (unsigned i = 0; i < OBJECTS; i++)
        handles[i] = make(store, 900, NULL);
    uint64_t before = released(store); /* a process that is held up may rest before it looks */
    for (unsigned i = 0; i < OBJECTS; i++)
        if (i % 40 != 0)
            expect(handle_free(store, handles[i]) == 0);
    expect(handle_store_reclaim(store, SIZE_MAX) == 0);
    while (released(store) < before + 100 * 4096) /* the store has to notice that it rests */
        usleep(10000);
    expect(handle_store_check(store, NULL, NULL) == 0);
    for (unsigned i = 0; i < OBJECTS; i++)
        make(store, 900, NULL);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
