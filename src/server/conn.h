/* SPDX-License-Identifier: MIT */
/*
 * conn.h - a connection: a session and its socket. While it waits for its next request it has no
 * buffer; it is read into, and answers from, the worker's. What is left of a request, and what the
 * socket did not take of a reply, it keeps in buffers of the pool's; it reads nothing while replies
 * wait. What has to be kept when the pool is used up takes the place of somebody else's who did not
 * get on; what can wait, since more of it is not read yet, waits.
 */
#ifndef SD_CONN_H
#define SD_CONN_H

#include <sys/queue.h>

#include "server/session.h"

#define SD_WORK_BYTES (64u << 10) /* of a worker's buffers */

struct sd_conn;

/** What a worker has for the connection that it serves. */
struct sd_desk {
    char *input, *output; /* SD_WORK_BYTES each */
    /** Ends a connection that has buffers, but this: one that is stuck; `now`: if there is none,
     * the one that did not get on for longest. False: there is none. */
    bool (*relieve)(const struct sd_desk *desk, const struct sd_conn *conn, bool now);
};

enum sd_wait {
    SD_WAIT_INPUT,  /* until there is something to read */
    SD_WAIT_OUTPUT, /* until replies are taken */
    SD_WAIT_MEMORY, /* for a moment */
    SD_WAIT_TURN,
    SD_WAIT_END, /* it is over */
};

struct sd_conn {
    struct sd_session session;
    int fd;
    enum sd_wait wait;
    bool ending;            /* it closes when replies are out */
    bool queued;            /* in the worker's list of those that wait for memory or their turn */
    uint32_t events;        /* that epoll waits for */
    uint64_t active_ms;     /* when something went in or out */
    struct sd_buffer held;  /* of a request that is not whole */
    struct sd_buffer reply; /* that waits for the socket */
    /* its worker's */
    TAILQ_ENTRY(sd_conn) all, holder, queue_place;
    bool holds;         /* it is among those that have buffers */
    uint64_t holds_ms;  /* since when, or since when it got on */
    size_t moved_bytes; /* since then */
};
TAILQ_HEAD(sd_conns, sd_conn);

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
