/* SPDX-License-Identifier: MIT */
/*
 * limit.h - the process's limit of resident memory (-m), and how it is shared out:
 *
 *     memory = cache + pools + what one connection may have beyond its pool + own + reserve
 *
 * `own` is what the process has beside the cache and the pools: code, stacks, malloc. It is
 * measured all the time. What it was at most is kept, and forgotten slowly; when it grows the cache
 * gets less.
 */
#ifndef SD_LIMIT_H
#define SD_LIMIT_H

#include "server/server.h"

#define SD_MEMORY_LEAST (UINT64_C(16) << 20)
#define SD_MEMORY_MOST  (UINT64_C(1) << 40)

/** Bytes of this percentage of the memory that there is: of the cgroup's limit, else the machine's.
 * 0: unknown, with errno. */
uint64_t sd_limit_percent(unsigned percent);
/** Before the cache is made: sets pool and cache_limit, raises -m to what is needed, and lowers it
 * to what there is. False: -I is more than half of it. */
bool sd_limit_open(struct sd_server *server);
/** From time to time, in the accepting thread. */
void sd_limit_follow(struct sd_server *server);
/** Another -m while it runs. False: out of bounds. */
bool sd_limit_change(struct sd_server *server, uint64_t memory);

#endif
