/* SPDX-License-Identifier: MIT */
/*
 * children.h - which forked children still share our pages, seen through pipes: the child keeps the
 * writing end open until it exits, executes or destroys its store, and so do its own children; the
 * parent looks for the hang-up. No process id is needed. Daemons close every descriptor, and their
 * next file may get the number of ours: so a descriptor is used only while it is still the pipe it
 * was.
 */
#ifndef SN_CHILDREN_H
#define SN_CHILDREN_H

#include <sys/types.h>

#include "base/lock.h"

#define SN_CHILDREN_MAX 8

/** One end of a pipe; fd -1, or all zero: none. */
struct sn_pipe_end {
    int fd;
    dev_t device;
    ino_t inode;
};

struct sn_pipe_ends {
    struct sn_pipe_end of[SN_CHILDREN_MAX];
    int count;
};

struct sn_children {
    struct sn_lock lock; /* held over a fork */
    /* guarded by lock */
    struct sn_pipe_ends children;  /* reading ends; more children are not waited for */
    struct sn_pipe_ends ancestors; /* writing ends, by which ancestors watch us; further ones are
                                      not listed, and stay open until exit or exec */
    struct sn_pipe_end pending[2]; /* the pipe of the fork under way */
};

void sn_children_init(struct sn_children *children);
/** Closes all ends. */
void sn_children_destroy(struct sn_children *children);

/** The three below: under the lock, by who forks. watch: whether the next child is waited for. */
void sn_children_before_fork(struct sn_children *children, bool watch);
void sn_children_after_fork_parent(struct sn_children *children);
void sn_children_after_fork_child(struct sn_children *children);

/** Whether a forked child still shares our pages. */
bool sn_children_live(struct sn_children *children);

#endif
