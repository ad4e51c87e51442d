/* SPDX-License-Identifier: MIT */
/* wait_in_visit.c - calls that wait, made by a visitor of a walk. */
#include "support.h"

static int
visit(void *opaque, const struct handle_object *object)
{
    handle_store *store = opaque;
    expect(object->size == 40);
    expect(handle_store_compact(store, NULL) == -EDEADLK);
    expect(handle_store_reclaim(store, 1) == -EDEADLK);
    expect(handle_store_destroy(store) == -EDEADLK);
    return 17;
}

static void
run(void)
{
    handle_store *store = open_store();
    make(store, 40, NULL);
    expect(handle_store_each(store, visit, store) == 17);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
