/* SPDX-License-Identifier: MIT */
/*
 * fork.c - a store across fork() (G10). Before: all locks are taken, so that the child finds
 * nothing half done. After, in the parent: they are let go. In the child: the store lives on
 * without its threads.
 *
 * Whether a child still shares our pages is seen through a pipe: the child keeps the writing end
 * open until it exits, executes or destroys its store, and so do its own children; the parent looks
 * for the hang-up. No process id is needed. Daemons close every descriptor, and their next file may
 * get the number of ours: so a descriptor is used only while it is still the pipe it was.
 *
 * liburcu. A child inherits the locks of a flavour as they were. The threads of this library hold
 * none at the fork and are not in its list of readers, whichever stores the fork is prepared for:
 * the grace-period thread never is, and is kept out of its grace period; movers join the list only
 * while no fork is near, and a fork waits until they have left it (rcu.h, sn_rcu_join). What
 * threads of the application do just then is the application's business. For one that was inside a
 * section (QSBR: online) liburcu waits in the child for ever; and where it was only registered, a
 * thread of the child may get its stack, and spoil the list. Only bp's hooks clear the list.
 */
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/hooks.h"
#include "core/misuse.h"

#define ENDS_MAX 8

/* One end of a pipe; fd -1: none. */
struct end {
    int fd;
    dev_t device;
    ino_t inode;
};

struct ends {
    struct end of[ENDS_MAX];
    int count;
};

struct sn_fork {
    struct sn_lock lock;
    /* guarded by lock, which is held over a fork */
    struct ends children;  /* reading ends; more children are not waited for */
    struct ends ancestors; /* writing ends: they watch us; more stay open until exit or exec */
    struct end pending[2]; /* the pipe of the fork under way */
};

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
    sn_options_begin_child();
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

/* ---- ends of pipes --------------------------------------------------------------------------- */

static const struct end no_end = {.fd = -1};

/* False: the kernel does not say which file it is. */
static bool
identify(struct end *end, int fd)
{
    struct stat file;
    if (fstat(fd, &file) != 0)
        return false;
    *end = (struct end){fd, file.st_dev, file.st_ino};
    return true;
}

/* Whether the descriptor was not closed behind our back. */
static bool
is_ours(const struct end *end)
{
    struct end now;
    return end->fd >= 0 && identify(&now, end->fd) && now.device == end->device &&
           now.inode == end->inode;
}

static void
close_end(struct end *end)
{
    SN_NO_CANCELLATION;
    if (is_ours(end))
        close(end->fd);
    *end = no_end;
}

static void
close_all(struct ends *ends)
{
    while (ends->count > 0)
        close_end(&ends->of[--ends->count]);
}

/* Takes over one of the pipe's. */
static void
add_end(struct ends *ends, struct end *end)
{
    ends->of[ends->count++] = *end;
    *end = no_end;
}

/* Whether the other end is closed everywhere, or this one is not ours any more. */
static bool
is_hung_up(const struct end *end)
{
    SN_NO_CANCELLATION;
    struct pollfd look = {.fd = end->fd, .events = POLLIN};
    return !is_ours(end) ||
           (poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLERR | POLLNVAL)));
}

static void
drop_hung_up(struct ends *ends)
{
    for (int i = 0; i < ends->count;) {
        if (!is_hung_up(&ends->of[i])) {
            i++;
            continue;
        }
        close_end(&ends->of[i]);
        ends->of[i] = ends->of[--ends->count];
    }
}

static void
open_pipe(struct end ends[2])
{
    int fd[2];
    if (sn_fault(SN_FAULT_PIPE) || pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
        return;
    if (identify(&ends[0], fd[0]) && identify(&ends[1], fd[1]))
        return;
    SN_NO_CANCELLATION;
    close(fd[0]);
    close(fd[1]);
    ends[0] = ends[1] = no_end;
}

/* ---- the hooks ------------------------------------------------------------------------------- */

static struct sn_fork *
fork_state(handle_store *store)
{
    if (store->fork)
        return store->fork;
    struct sn_fork *state = sn_os_zalloc(sizeof(*state));
    if (!state)
        return NULL;
    sn_lock_init(&state->lock, SN_RANK_FORK);
    state->pending[0] = state->pending[1] = no_end;
    /* Release: pairs with sn_fork_child_lives, which the mover calls at any time. */
    sn_store_release(&store->fork, state);
    return state;
}

static void
for_each_lock(handle_store *store, int (*operation)(pthread_mutex_t *),
              void (*of_heap)(struct sn_heap *))
{
    operation(&sn_defrag_lock(store)->mutex);
    operation(&store->caches.lock.mutex);
    of_heap(&store->heap);
    sn_pins_for_each_lock(&store->heap.pins, operation);
    operation(&store->pool.lock.mutex);
    operation(&store->table.lock.mutex);
    if (store->fork)
        operation(&store->fork->lock.mutex);
}

static void
watch_next_child(handle_store *store, struct sn_fork *state)
{
    drop_hung_up(&state->children);
    drop_hung_up(&state->ancestors);
    if (sn_load_relaxed(&store->options.defrag.pause_while_forked) &&
        state->children.count < ENDS_MAX)
        open_pipe(state->pending);
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
    struct sn_fork *state = fork_state(store);
    for_each_lock(store, pthread_mutex_lock, sn_heap_lock_all);
    if (state)
        watch_next_child(store, state);
}

void
handle_store_after_fork_parent(handle_store *store)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store)
        return;
    struct sn_fork *state = store->fork;
    if (state && state->pending[0].fd >= 0) {
        close_end(&state->pending[1]);
        add_end(&state->children, &state->pending[0]);
    }
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
            (state == SN_SPAN_HELD || state == SN_SPAN_CLOSED))
            sn_heap_reopen(&store->heap, number, 0, 0);
    }
}

/* In the child: what is left of the pipes. */
static void
keep_writing_end(struct sn_fork *state)
{
    close_all(&state->children);
    if (state->pending[0].fd < 0)
        return;
    close_end(&state->pending[0]);
    if (state->ancestors.count < ENDS_MAX)
        add_end(&state->ancestors, &state->pending[1]);
    state->pending[1] = no_end; /* else it stays open */
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
    struct sn_fork *state = store->fork;
    if (state)
        keep_writing_end(state);
    sn_store_relaxed(&store->forked, 1);
    for_each_lock(store, pthread_mutex_unlock, sn_heap_unlock_all);
    reopen_spans(store);
    sn_pool_after_fork_child(&store->pool);
    sn_large_after_fork_child(&store->large);
    sn_caches_after_fork_child(&store->caches);
    sn_rcu_after_fork();
    sn_defrag_after_fork_child(store);
}

bool
sn_fork_child_lives(handle_store *store)
{
    /* Acquire: the lock is seen initialised. */
    struct sn_fork *state = sn_load_acquire(&store->fork);
    if (!state)
        return false;
    sn_lock(&state->lock);
    drop_hung_up(&state->children);
    bool lives = state->children.count > 0;
    sn_unlock(&state->lock);
    return lives;
}

void
sn_fork_destroy(handle_store *store)
{
    struct sn_fork *state = store->fork;
    if (!state)
        return;
    close_all(&state->children);
    close_all(&state->ancestors);
    sn_lock_destroy(&state->lock);
    sn_os_free(state);
}
