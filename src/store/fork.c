/* SPDX-License-Identifier: MIT */
/*
 * fork.c - a store across fork() (G10). Before: the locks under which structures change are taken,
 * so that the child finds nothing half done; the others it makes anew. After, in the parent: they
 * are let go. In the child: the store lives on without its threads.
 *
 * liburcu. A child inherits the locks of a flavour as they were. The threads of this library hold
 * none at the fork and are not in its list of readers, whichever stores the fork is prepared for:
 * the grace-period thread never is, and is kept out of its grace period; movers join the list only
 * while no fork is near, and a fork waits until they have left it (rcu_fork.h, sn_rcu_join). What
 * threads of the application do just then is the application's business. For one that was inside a
 * section (QSBR: online) liburcu waits in the child for ever; and where it was only registered, a
 * thread of the child may get its stack, and spoil the list. Only bp's hooks clear the list.
 */
#include "store/fork.h"

#include "core/misuse.h"
#include "core/report.h"
#include "defrag/life.h"
#include "os/place.h"
#include "rcu/rcu_fork.h"
#include "store/settings.h"

/* ---- every child, hooks or not --------------------------------------------------------------- */

static int watch_error;
static bool child_has_begun; /* the process, since its parent prepared the fork */

/* The other threads are gone, and locks of the process that they held must not stay taken. */
static void
begin_child(void)
{
    sn_rcu_begin_child();
    sn_caches_begin_child();
    sn_misuse_begin_child();
    sn_settings_begin_child();
    sn_place_begin_child();
    child_has_begun = true;
}

/* When the library is loaded, before a program's own constructors: so this handler runs before
 * those that the application registers, which may already use stores. */
__attribute__((constructor(101))) static void
watch_forks(void)
{
    watch_error = -pthread_atfork(NULL, NULL, begin_child);
}

int
sn_fork_watch_error(void)
{
    return watch_error;
}

/* ---- the hooks ------------------------------------------------------------------------------- */

static void
for_each_lock(handle_store *store, int (*operation)(pthread_mutex_t *),
              void (*of_heap)(struct sn_heap *))
{
    operation(&store->mover.lock.mutex);
    operation(&store->profile_lock.mutex);
    operation(&store->caches.lock.mutex);
    of_heap(&store->heap);
    sn_pins_for_each_lock(&store->heap.pins, operation);
    operation(&store->pool.lock.mutex);
    operation(&store->table.lock.mutex);
    operation(&store->children.lock.mutex);
}

void
handle_store_before_fork(handle_store *store)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store)
        return;
    bool outside = sn_rcu_is_outside();
    if (!outside && sn_checks_entries(store))
        sn_misuse(store, NULL, "called inside a read-side section");
    if (!outside)
        sn_store_error(store, "handle_store_before_fork: called inside a read-side section");
    sn_rcu_before_fork(outside);
    child_has_begun = false;
    for_each_lock(store, pthread_mutex_lock, sn_heap_lock_all);
    sn_children_before_fork(&store->children,
                            sn_load_relaxed(&store->options.defrag.pause_while_forked));
}

void
handle_store_after_fork_parent(handle_store *store)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store)
        return;
    sn_children_after_fork_parent(&store->children);
    for_each_lock(store, pthread_mutex_unlock, sn_heap_unlock_all);
    sn_rcu_after_fork();
}

/* A walk of another thread ended with the fork, wherever it was, and so did the mover's batches:
 * what their objects have left stays in limbo, but the rest of the spans serves refills again. */
static void
reopen_spans(handle_store *store)
{
    sn_lock_init(&store->walk_lock, SN_RANK_WALK);
    sn_store_relaxed(&store->walker, 0);
    sn_store_relaxed(&store->heap.walk_end, 0);
    for (uint32_t number = 1; number < store->pool.high; number++) {
        uint8_t state = sn_span_state(&store->pool.spans[number]);
        if (sn_load_relaxed(&store->pool.class_of[number]) < SN_CLASSES_MAX &&
            (state == SN_SPAN_DETACHED || state == SN_SPAN_CLOSED))
            sn_heap_reopen(&store->heap, number, 0, 0);
    }
}

void
handle_store_after_fork_child(handle_store *store)
{
    if (!store)
        return;
    if (!child_has_begun)
        begin_child(); /* a child by clone(), which runs no handlers */
    sn_misuse_after_fork_child(store);
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    sn_children_after_fork_child(&store->children);
    sn_store_relaxed(&store->forked, 1);
    for_each_lock(store, pthread_mutex_unlock, sn_heap_unlock_all);
    reopen_spans(store);
    sn_pool_after_fork_child(&store->pool);
    sn_large_after_fork_child(&store->large);
    sn_caches_after_fork_child(&store->caches);
    sn_rcu_after_fork();
    sn_defrag_after_fork_child(store);
}
