/* SPDX-License-Identifier: MIT */
/* children.c - see children.h. */
#include "os/children.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cancel.h"
#include "base/hooks.h"

static const struct sn_pipe_end no_end = {.fd = -1};

/* False: the kernel does not say which file it is. */
static bool
identify(struct sn_pipe_end *end, int fd)
{
    struct stat file;
    if (fstat(fd, &file) != 0)
        return false;
    *end = (struct sn_pipe_end){fd, file.st_dev, file.st_ino};
    return true;
}

/* Whether the descriptor is still the pipe that it was. */
static bool
is_ours(const struct sn_pipe_end *end)
{
    struct sn_pipe_end now;
    return end->fd >= 0 && identify(&now, end->fd) && now.device == end->device &&
           now.inode == end->inode;
}

static void
close_end(struct sn_pipe_end *end)
{
    SN_NO_CANCELLATION;
    if (is_ours(end))
        close(end->fd);
    *end = no_end;
}

static void
close_all(struct sn_pipe_ends *ends)
{
    while (ends->count > 0)
        close_end(&ends->of[--ends->count]);
}

/* Moves an end of a pipe into a list. */
static void
add_end(struct sn_pipe_ends *ends, struct sn_pipe_end *end)
{
    ends->of[ends->count++] = *end;
    *end = no_end;
}

/* Whether the other end is closed everywhere, or this one is not ours any more. */
static bool
is_hung_up(const struct sn_pipe_end *end)
{
    SN_NO_CANCELLATION;
    struct pollfd look = {.fd = end->fd, .events = POLLIN};
    return !is_ours(end) ||
           (poll(&look, 1, 0) > 0 && (look.revents & (POLLHUP | POLLERR | POLLNVAL)));
}

static void
drop_hung_up(struct sn_pipe_ends *ends)
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
open_pipe(struct sn_pipe_end ends[2])
{
    int fd[2];
    if (sn_inject(SN_INJECT_PIPE) || pipe2(fd, O_CLOEXEC | O_NONBLOCK) != 0)
        return;
    if (identify(&ends[0], fd[0]) && identify(&ends[1], fd[1]))
        return;
    SN_NO_CANCELLATION;
    close(fd[0]);
    close(fd[1]);
    ends[0] = ends[1] = no_end;
}

void
sn_children_init(struct sn_children *children)
{
    sn_lock_init(&children->lock, SN_RANK_FORK);
    children->pending[0] = children->pending[1] = no_end;
}

void
sn_children_destroy(struct sn_children *children)
{
    close_all(&children->children);
    close_all(&children->ancestors);
    sn_lock_destroy(&children->lock);
}

void
sn_children_before_fork(struct sn_children *children, bool watch)
{
    drop_hung_up(&children->children);
    drop_hung_up(&children->ancestors);
    if (watch && children->children.count < SN_CHILDREN_MAX)
        open_pipe(children->pending);
}

void
sn_children_after_fork_parent(struct sn_children *children)
{
    if (children->pending[0].fd < 0)
        return;
    close_end(&children->pending[1]);
    add_end(&children->children, &children->pending[0]);
}

void
sn_children_after_fork_child(struct sn_children *children)
{
    close_all(&children->children);
    if (children->pending[0].fd < 0)
        return;
    close_end(&children->pending[0]);
    if (children->ancestors.count < SN_CHILDREN_MAX)
        add_end(&children->ancestors, &children->pending[1]);
    children->pending[1] = no_end; /* if it is in no list it stays open until exit or exec */
}

bool
sn_children_live(struct sn_children *children)
{
    sn_lock(&children->lock);
    drop_hung_up(&children->children);
    bool live = children->children.count > 0;
    sn_unlock(&children->lock);
    return live;
}
