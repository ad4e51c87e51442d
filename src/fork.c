/* SPDX-License-Identifier: MIT */
/*
 * fork.c - a store across fork() (G10). Before: all locks are taken, so that the child finds
 * nothing half done. After, in the parent: they are let go. In the child: the store lives on
 * without its threads.
 *
 * Whether a child still shares our pages is seen through a pipe: the child keeps the writing end
 * open until it exits or executes; the parent looks for the hang-up. No process id is needed.
 */
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "hooks.h"
#include "store.h"

#define CHILDREN_MAX 8 /* watched at once; more are not waited for */

struct sn_fork {
    struct sn_lock lock;
    int watched[CHILDREN_MAX]; /* reading ends */
    int count;
    int pending[2]; /* the pipe of the fork under way; -1: none */
};

static struct sn_fork *
fork_state(handle_store *store)
{
    if (store->fork)
        return store->fork;
    struct sn_fork *state = sn_os_zalloc(sizeof(*state));
    if (!state)
        return NULL;
    sn_lock_init(&state->lock, SN_RANK_FORK);
    store->fork = state;
    return state;
}

static void
for_each_lock(handle_store *store, int (*operation)(pthread_mutex_t *))
{
    operation(&sn_defrag_lock(store)->mutex);
    operation(&store->caches.lock.mutex);
    for (unsigned i = 0; i < store->classes.count; i++)
        operation(&store->heap.of[i].lock.mutex);
    operation(&store->pool.lock.mutex);
    operation(&store->table.lock.mutex);
}

static void
open_pipe(handle_store *store)
{
    struct sn_fork *state = fork_state(store);
    if (!state)
        return;
    state->pending[0] = state->pending[1] = -1;
    if (!sn_load_relaxed(&store->options.defrag.pause_while_forked) || sn_fault(SN_FAULT_PIPE) ||
        state->count == CHILDREN_MAX)
        return;
    if (pipe2(state->pending, O_CLOEXEC | O_NONBLOCK) != 0)
        state->pending[0] = state->pending[1] = -1;
}

void
handle_store_before_fork(handle_store *store)
{
    bool was_online;
    if (!store)
        return;
    if (!sn_rcu_leave(store->rcu->flavor, &was_online)) {
        sn_store_error(store, "handle_store_before_fork: called inside a read-side section");
        was_online = false;
    }
    sn_fork_child_lives(store); /* forgets children that are gone */
    sn_rcu_before_fork(store->rcu);
    for_each_lock(store, pthread_mutex_lock);
    open_pipe(store);
    sn_rcu_return(store->rcu->flavor, was_online);
}

void
handle_store_after_fork_parent(handle_store *store)
{
    if (!store)
        return;
    struct sn_fork *state = store->fork;
    if (state && state->pending[0] >= 0) {
        close(state->pending[1]);
        pthread_mutex_lock(&state->lock.mutex);
        state->watched[state->count++] = state->pending[0];
        pthread_mutex_unlock(&state->lock.mutex);
    }
    for_each_lock(store, pthread_mutex_unlock);
    sn_rcu_after_fork_parent(store->rcu);
}

void
handle_store_after_fork_child(handle_store *store)
{
    if (!store)
        return;
    struct sn_fork *state = store->fork;
    if (state) {
        sn_lock_init(&state->lock, SN_RANK_FORK);
        for (int i = 0; i < state->count; i++)
            close(state->watched[i]);
        state->count = 0;
        if (state->pending[0] >= 0)
            close(state->pending[0]); /* the writing end stays open until exit or exec */
    }
    sn_store_relaxed(&store->forked, 1);
    for_each_lock(store, pthread_mutex_unlock);
    sn_pool_after_fork_child(&store->pool);
    sn_caches_after_fork_child(&store->caches);
    sn_rcu_after_fork_child(store->rcu);
    sn_defrag_after_fork_child(store);
}

bool
sn_fork_child_lives(handle_store *store)
{
    struct sn_fork *state = store->fork;
    if (!state || state->count == 0)
        return false;
    sn_lock(&state->lock);
    for (int i = 0; i < state->count;) {
        struct pollfd look = {.fd = state->watched[i], .events = POLLIN};
        if (poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLERR | POLLNVAL))) {
            close(state->watched[i]);
            state->watched[i] = state->watched[--state->count];
        } else {
            i++;
        }
    }
    bool lives = state->count > 0;
    sn_unlock(&state->lock);
    return lives;
}

void
sn_fork_destroy(handle_store *store)
{
    struct sn_fork *state = store->fork;
    if (!state)
        return;
    for (int i = 0; i < state->count; i++)
        close(state->watched[i]);
    sn_lock_destroy(&state->lock);
    sn_os_free(state);
}
