/* SPDX-License-Identifier: MIT */
/* no_misuse.c - nothing wrong: objects grow, change, move and go. Nothing is said. */
#include "support.h"

#define OBJECTS 20000

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

static void
run(void)
{
    handle_store *store = open_store();
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
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
