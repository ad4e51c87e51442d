/* SPDX-License-Identifier: MIT */
/* fork.h - what making a store needs to know of forks. */
#ifndef SN_FORK_H
#define SN_FORK_H

/** 0, or the negative errno why forked children cannot be told: no store is made then. */
int sn_fork_watch_error(void);

#endif
