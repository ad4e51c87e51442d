/* SPDX-License-Identifier: MIT */
/*
 * worker.h - threads that serve connections. Each has an epoll of its own, level-triggered, and its
 * connections for life; the accepting thread hands a connection over by adding it there.
 */
#ifndef SD_WORKER_H
#define SD_WORKER_H

#include <pthread.h>

#include "server/conn.h"

struct sd_worker {
    struct sd_server *server;
    struct sd_counts *counts;
    struct sd_pool *pool;
    struct sd_desk desk;
    pthread_t thread;
    bool runs;       /* it does */
    int epoll, wake; /* an eventfd: it is over */
    /* the worker's own */
    struct sd_conns queue;   /* those that wait for memory or their turn, and those that are over */
    struct sd_conns waiters; /* those that wait for buffers: who has some already, then who came */
    bool turns;              /* some of the queue wait for their turn */
    uint64_t now_ms, retried_ms, ticked_ms;
    uint64_t refusals; /* of all pools, at the last tick */
    /* guarded by lock */
    pthread_mutex_t lock;
    struct sd_conns conns;
};

/** Makes the workers and starts them. A negative errno; then there are none. */
int sd_workers_start(struct sd_server *server);
/** Ends them; all connections are closed. */
void sd_workers_stop(struct sd_server *server);
/** Takes a connection over, its socket included also where it fails. */
void sd_worker_take(struct sd_worker *worker, int fd);

#endif
