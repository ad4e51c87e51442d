/* SPDX-License-Identifier: MIT */
/* walk_in_visit.c - a walk begun by a visitor of a walk. */
#include "support.h"

static int
visit(void *opaque, const struct handle_object *object)
{
    (void)object;
    return handle_store_each(opaque, visit, opaque);
}

static void
run(void)
{
    handle_store *store = open_store();
    make(store, 40, NULL);
    expect(handle_store_each(store, visit, store) == -EBUSY);
    close_sound(store);
}

const struct misuse misuse = {run, ALWAYS(RETURNS)};
