/* SPDX-License-Identifier: MIT */
/* wait_in_section.c - every call that waits, inside a section. */
#include "support.h"

static void
run(void)
{
    handle_store *store = open_store();
    section_enter();
    struct handle_store_options options = store_options();
    expect_errno(handle_store_create(&options), EDEADLK);
    expect(handle_store_destroy(store) == -EDEADLK);
    expect(handle_store_compact(store, NULL) == -EDEADLK);
    expect(handle_store_purge(store, NULL) == -EDEADLK);
    expect(handle_store_reclaim(store, 1) == -EDEADLK);
    expect(handle_defrag_stop(store) == -EDEADLK);
    section_leave();
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
