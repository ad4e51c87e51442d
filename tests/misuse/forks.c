/* SPDX-License-Identifier: MIT */
/*
 * forks.c - children that use the store without the hooks, and hooks at a wrong place.
 *
 * Seen failing, with the library broken like this:
 *   forks not seen; no child adopted               fork_without_hooks; fork_with_hooks
 *   before_fork reports nothing; waits             fork_in_section
 *   a span that is reopened twice                  fork_in_visit
 */
#include "support.h"

#include <unistd.h>

static void
fork_without_hooks(handle_store *store)
{
    go_on_in_child();
    (void)!handle_alloc(store, 40);
}

/* Then a grandchild without. */
static void
fork_with_hooks(handle_store *store)
{
    handle_store_before_fork(store);
    go_on_in_child();
    handle_store_after_fork_child(store);
    handle_t handle = handle_alloc(store, 40);
    expect(handle != HANDLE_NULL && handle_free(store, handle) == 0);
    go_on_in_child();
    (void)!handle_alloc(store, 40);
}

static void
await_grace_period(handle_store *store)
{
    static struct handle_stats stats = HANDLE_STATS_INIT;
    do {
        usleep(1000);
        expect(handle_store_stats(store, &stats) == 0);
    } while (stats.grace_period_age_ns == 0);
}

/* A grace period waits for that section: fails when the hook, which else waits for a grace period
 * under way, does so here, too: it would wait for itself. */
static void
fork_in_section(handle_store *store)
{
    handle_t handle = make(store, 40, NULL);
    section_enter();
    expect(handle_free(store, handle) == 0);
    await_grace_period(store);
    handle_store_before_fork(store);
    handle_store_after_fork_parent(store);
    section_leave();
}

#define OBJECTS 2000

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

/* A visitor forks, with hooks; it stands in a section. The child ends its walk and uses the store:
 * if its hooks and the rest of its walk both reopened the span that was walked, the next refill of
 * its class would not end. */
static void
fork_in_visit(handle_store *store)
{
    static handle_t handles[OBJECTS];
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

#define NO_HOOKS                                                                                   \
    CHECKED(ABORTS("handle_alloc: store misuse, handle 0: this process was forked without "        \
                   "handle_store_before_fork"))
#define REFUSAL "called inside a read-side section"
#define REFUSED                                                                                    \
    CHECKED_ABORTS("handle_store_before_fork: " REFUSAL,                                           \
                   "handle_store_before_fork: store misuse, handle 0: " REFUSAL)

const struct misuse misuse_forks[] = {
    CASE(fork_without_hooks, NO_HOOKS),
    CASE(fork_with_hooks, NO_HOOKS),
    CASE(fork_in_section, REFUSED),
    CASE_OPEN(fork_in_visit, REFUSED),
    CASES_END,
};
