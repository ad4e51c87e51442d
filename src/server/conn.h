/* SPDX-License-Identifier: MIT */
/*
 * conn.h - a connection: a session and its socket. While it waits for its next request it has no
 * buffer; it is read into, and answers from, the worker's. What is left of a request, and what the
 * socket did not take of a reply, it keeps in buffers of the pool's; it reads nothing while replies
 * wait. When the pool is short, requests are looked at in the socket, which keeps what is not done,
 * and nobody is served whose socket takes no reply: so nothing has to be kept that was not charged
 * before, and what is large waits until it can be.
 */
#ifndef SD_CONN_H
#define SD_CONN_H

#include <sys/queue.h>

#include "server/session.h"

#define SD_WORK_BYTES (64u << 10) /* of a worker's buffers */

/** What a worker has for the connection that it serves: SD_WORK_BYTES each. */
struct sd_desk {
    char *input, *output;
};

enum sd_wait {
    SD_WAIT_INPUT,  /* until there is something to read */
    SD_WAIT_OUTPUT, /* until replies are taken */
    SD_WAIT_MEMORY, /* of the cache, for a moment */
    SD_WAIT_POOL,   /* until others gave buffers back */
    SD_WAIT_TURN,
    SD_WAIT_END, /* it is over */
};

TAILQ_HEAD(sd_conns, sd_conn);

struct sd_conn {
    struct sd_session session;
    int fd;
    enum sd_wait wait;
    bool ending;            /* it closes when replies are out */
    uint32_t events;        /* that epoll waits for */
    uint64_t active_ms;     /* when something went in or out */
    struct sd_buffer held;  /* of a request that is not whole */
    struct sd_buffer reply; /* that waits for the socket */
    /* its worker's */
    TAILQ_ENTRY(sd_conn) all, queue_place;
    struct sd_conns *queue; /* that it is in; NULL: none */
    uint64_t got_on_ms;     /* when it had moved enough for what it holds */
    size_t moved_bytes;     /* since then */
};

/** Does all that can be done now. */
enum sd_wait sd_conn_serve(struct sd_conn *conn, const struct sd_desk *desk);
/** Whether it has buffers of the pool's. */
static inline bool
sd_conn_holds(const struct sd_conn *conn)
{
    return conn->held.data || conn->reply.data;
}
/** Closes the socket and gives back the buffers. */
void sd_conn_close(struct sd_conn *conn);

#endif
