/* SPDX-License-Identifier: MIT */
/*
 * fork_in_visit.c - a visitor forks, with hooks; it stands in a section. The child ends its walk
 * and uses the store. Seen failing: the child's hooks and the rest of its walk both reopened the
 * span that was walked, and the next refill of its class did not end.
 */
#include "support.h"

#define OBJECTS 2000
#define REFUSAL "called inside a read-side section"

static int
visit(void *opaque, const struct handle_object *object)
{
    static unsigned visits;
    handle_store *store = opaque;
    expect(object->size == 240);
    if (++visits != 3)
        return 0;
    handle_store_before_fork(store);
    go_on_in_child();
    handle_store_after_fork_child(store);
    return 17; /* a walk that went on, or a check's, would mend the lists */
}

static void
run(void)
{
    static handle_t handles[OBJECTS];
    handle_store *store = open_store();
    for (unsigned i = 0; i < OBJECTS; i++)
        handles[i] = make(store, 240, NULL);
    for (unsigned i = 1; i < OBJECTS; i += 2) /* so that no span is full */
        expect(handle_free(store, handles[i]) == 0);
    expect(handle_store_reclaim(store, SIZE_MAX) == 0);
    expect(handle_store_each(store, visit, store) == 17);
    for (unsigned i = 0; i < OBJECTS; i++)
        make(store, 240, NULL);
    expect(handle_store_check(store, NULL, NULL) == 0);
    expect(handle_store_destroy(store) == 0);
}

const struct misuse misuse = {
    run,
    {{REPORT, "handle_store_before_fork: " REFUSAL},
     {ABORT, "handle_store_before_fork: store misuse, handle 0: " REFUSAL},
     {ABORT, "handle_store_before_fork: store misuse, handle 0: " REFUSAL}}};
