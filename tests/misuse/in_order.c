/* SPDX-License-Identifier: MIT */
/*
 * in_order.c - no misuse at all: nothing is said.
 *
 * Seen failing, with the library broken like this:
 *   the mover writes no canary at the new place    no_misuse
 *   hardened frees: no canary                      no_misuse
 *   a trim leaves the header of a slot it cuts     no_misuse_at_rest
 */
#include "support.h"

#include <unistd.h>

#define OBJECTS         20000
#define OBJECTS_AT_REST 4000

static handle_t handles[OBJECTS];

static void
change(handle_store *store, unsigned i)
{
    struct handle_update update;
    section_enter();
    size_t size = handle_size(store, handles[i]);
    memset(handle_deref_mut(store, handles[i]), 0x22, size);
    if (i % 3 == 0)
        expect(handle_resize(store, handles[i], size + i % 50) == 0);
    char *object = handle_update_begin(store, handles[i], size, &update);
    memset(object, 0x33, size);
    if (i % 7 == 0)
        handle_update_abort(store, &update);
    else
        expect(handle_update_commit(store, &update) == 0);
    section_leave();
}

/* Objects grow, change, move and go. */
static void
no_misuse(handle_store *store)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    uint64_t moved = 0;
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < OBJECTS; i++)
            if (round == 0 || i % 5 != 0)
                handles[i] = make(store, i % 997 == 0 ? 100000 : 100 + i % 9, NULL);
        for (unsigned i = 0; i < OBJECTS; i += 5)
            change(store, i);
        for (unsigned i = 0; i < OBJECTS; i++)
            if (i % 5 != 0)
                expect(handle_free(store, handles[i]) == 0);
        expect(handle_store_compact(store, &report) == 0);
        moved += report.moved_objects;
        expect(handle_store_check(store, NULL, NULL) == 0);
    }
    expect(moved > 100);
    for (unsigned i = 0; i < OBJECTS; i += 5)
        expect(handle_free(store, handles[i]) == 0);
}

static uint64_t
released(handle_store *store)
{
    static struct handle_stats stats = HANDLE_STATS_INIT;
    expect(handle_store_stats(store, &stats) == 0);
    return stats.released;
}

/* A store at rest gives pages under free slots back, poison with them; slots that lost a part of
 * theirs are used again. */
static void
no_misuse_at_rest(handle_store *store)
{
    for (unsigned i = 0; i < OBJECTS_AT_REST; i++)
        handles[i] = make(store, 900, NULL);
    uint64_t before = released(store); /* a process that is held up may rest before it looks */
    for (unsigned i = 0; i < OBJECTS_AT_REST; i++)
        if (i % 40 != 0)
            expect(handle_free(store, handles[i]) == 0);
    expect(handle_store_reclaim(store, SIZE_MAX) == 0);
    while (released(store) < before + 100 * 4096) /* the store has to notice that it rests */
        usleep(10000);
    expect(handle_store_check(store, NULL, NULL) == 0);
    for (unsigned i = 0; i < OBJECTS_AT_REST; i++)
        make(store, 900, NULL);
}

const struct misuse misuse_in_order[] = {
    CASE(no_misuse, ALWAYS(RETURNS)),
    CASE(no_misuse_at_rest, ALWAYS(RETURNS)),
    CASES_END,
};
