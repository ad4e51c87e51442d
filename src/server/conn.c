/* SPDX-License-Identifier: MIT */
/* conn.c - see conn.h. */
#include "server/conn.h"

#include <errno.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MOST  8u           /* of reading or sending, before others are served */
#define READ_MOST   (256u << 10) /* bytes at a time, of a large value */
#define SHORT_READ  (16u << 10)  /* the same, when the pool is short */
#define SHORT_WRITE (4u << 10)   /* bytes of replies then: a socket that takes any takes these */

/* ---- sending --------------------------------------------------------------------------------- */

/* What the socket takes; SIZE_MAX: it is broken. */
static size_t
send_some(struct sd_conn *conn, const char *data, size_t size)
{
    ssize_t sent = send(conn->fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : SIZE_MAX;
    sd_count(&conn->session.counts->bytes_written, (size_t)sent);
    return (size_t)sent;
}

static bool
is_writable(int fd)
{
    struct pollfd wait = {.fd = fd, .events = POLLOUT};
    return poll(&wait, 1, 0) != 0;
}

/** The output of one turn, and whose it is. */
struct turn {
    struct sd_output output;
    struct sd_conn *conn;
    bool broken;
};

static void
flush(struct sd_output *output)
{
    struct turn *turn = (struct turn *)output;
    const struct sd_session *session = &turn->conn->session;
    size_t sent = send_some(turn->conn, output->data, output->used);
    bool broken = sent == SIZE_MAX;
    size_t at = broken ? output->used : sent;
    struct sd_bytes left = {output->data + at, output->used - at};
    if (broken || (left.size && !sd_buffer_keep(&output->pending, session->pool, session, left, 0)))
        turn->broken = true;
    output->used = 0;
    output->flushes++;
}

static bool
grow(struct sd_output *output, size_t bytes)
{
    const struct sd_session *session = &((struct turn *)output)->conn->session;
    struct sd_buffer *pending = &output->pending;
    if (sd_buffer_borrow(pending, session->pool, session, output->used + bytes) != 0)
        return false;
    memcpy(pending->data, output->data, output->used);
    pending->size = output->used;
    output->used = 0;
    return true;
}

/* Of the reply that waits. */
static enum sd_wait
send_reply(struct sd_conn *conn)
{
    struct sd_buffer *reply = &conn->reply;
    size_t sent = send_some(conn, reply->data + reply->at, reply->size - reply->at);
    if (sent == SIZE_MAX)
        return SD_WAIT_END;
    reply->at += sent;
    if (reply->at < reply->size)
        return SD_WAIT_OUTPUT;
    sd_buffer_close(reply, conn->session.pool, &conn->session);
    return conn->ending ? SD_WAIT_END : SD_WAIT_TURN;
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static enum sd_wait
end_turn(struct sd_conn *conn, struct turn *turn, enum sd_verdict verdict, bool refused)
{
    if (turn->output.used)
        flush(&turn->output);
    conn->reply = turn->output.pending;
    conn->ending = verdict == SD_CLOSE;
    if (turn->broken)
        return SD_WAIT_END;
    if (conn->reply.data)
        return SD_WAIT_OUTPUT;
    switch (verdict) {
    case SD_CLOSE:
        return SD_WAIT_END;
    case SD_MORE:
        return SD_WAIT_INPUT;
    case SD_LATER:
        return refused ? SD_WAIT_POOL : SD_WAIT_MEMORY;
    default:
        return SD_WAIT_TURN;
    }
}

/* When the pool is short there is one flush in a turn, of what the socket is sure to take. */
static enum sd_wait
run(struct sd_conn *conn, const struct sd_desk *desk, struct sd_input *input)
{
    struct sd_pool *pool = conn->session.pool;
    uint64_t refusals = pool->refusals;
    struct turn turn = {
        .conn = conn,
        .output = {.data = desk->output, .room = SD_WORK_BYTES, .flush = flush, .grow = grow},
    };
    if (sd_pool_is_short(pool)) {
        turn.output.room = sd_min(sd_most(sd_pool_room(pool), SHORT_WRITE), SD_WORK_BYTES);
        turn.output.least = turn.output.room - SHORT_WRITE / 2;
        turn.output.flushes = SD_FLUSHES_MOST - 1;
    }
    enum sd_verdict verdict = sd_session_run(&conn->session, input, &turn.output);
    return end_turn(conn, &turn, verdict, pool->refusals != refusals);
}

/* ---- reading --------------------------------------------------------------------------------- */

/* 0: nothing at present; SIZE_MAX: the end, or broken. */
static size_t
receive(const struct sd_conn *conn, char *to, size_t room, int flags)
{
    ssize_t size = room ? recv(conn->fd, to, room, MSG_DONTWAIT | flags) : 0;
    if (size == 0 && room)
        return SIZE_MAX;
    if (size < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : SIZE_MAX;
    sd_count(&conn->session.counts->bytes_read, flags & MSG_PEEK ? 0 : (size_t)size);
    return (size_t)size;
}

static bool
is_large(const struct sd_conn *conn)
{
    return conn->held.room > SD_WORK_BYTES;
}

/* Keeps what is left of the input: of a large request in a buffer that all of it will fit in. */
static bool
hold(struct sd_conn *conn, struct sd_bytes rest)
{
    const struct sd_session *session = &conn->session;
    size_t room = session->want > SD_WORK_BYTES ? session->want : 0;
    sd_buffer_close(&conn->held, session->pool, session);
    return !rest.size || sd_buffer_keep(&conn->held, session->pool, session, rest, room);
}

/* Of the input those bytes up to `held` are not the socket's any more. Whether more of it can be
 * kept is known before the socket gives it away. */
static enum sd_wait
leave_rest(struct sd_conn *conn, struct sd_input *input, size_t held, enum sd_wait wait)
{
    const struct sd_session *session = &conn->session;
    size_t need = input->size - input->at + SD_BUFFER_COST;
    if (wait == SD_WAIT_INPUT && input->size > held && input->size > input->at) {
        if (sd_pool_charge(session->pool, session, need))
            sd_pool_release(session->pool, session, need);
        else
            wait = SD_WAIT_POOL;
    }
    if (wait != SD_WAIT_INPUT)
        input->size = sd_most(input->at, held);
    size_t used = input->size - held;
    return receive(conn, input->data + held, used, 0) == used ? wait : SD_WAIT_END;
}

/* What is at the desk is done as far as it can be. */
static enum sd_wait
turn_small(struct sd_conn *conn, const struct sd_desk *desk)
{
    bool peeks = sd_pool_is_short(conn->session.pool);
    size_t held = conn->held.size;
    struct sd_input input = {.data = desk->input, .size = held};
    if (peeks && !is_writable(conn->fd))
        return SD_WAIT_OUTPUT;
    if (held)
        memcpy(desk->input, conn->held.data, held);
    size_t size = receive(conn, desk->input + held, SD_WORK_BYTES - held, peeks ? MSG_PEEK : 0);
    bool ended = size == SIZE_MAX;
    input.size += ended ? 0 : size;
    if (input.size == 0)
        return ended ? SD_WAIT_END : SD_WAIT_INPUT;
    enum sd_wait wait = run(conn, desk, &input);
    if (peeks && wait != SD_WAIT_END)
        wait = leave_rest(conn, &input, held, wait);
    if (wait == SD_WAIT_END || conn->ending)
        return wait;
    if (ended && wait == SD_WAIT_INPUT) /* the other side sends no more, and this is not whole */
        return SD_WAIT_END;
    struct sd_bytes rest = {input.data + input.at, input.size - input.at};
    return hold(conn, rest) ? wait : SD_WAIT_END;
}

/* A large request is read to its end, not beyond it. */
static enum sd_wait
read_large(struct sd_conn *conn)
{
    const struct sd_session *session = &conn->session;
    struct sd_buffer *held = &conn->held;
    size_t most = sd_pool_is_short(session->pool) ? SHORT_READ : READ_MOST;
    size_t room = sd_min(held->room - held->size, most);
    if (!sd_pool_charge(session->pool, session, room))
        return SD_WAIT_POOL;
    size_t size = receive(conn, held->data + held->size, room, 0);
    size_t used = size == SIZE_MAX ? 0 : size;
    sd_pool_release(session->pool, session, room - used);
    held->size += used;
    held->charged += used;
    return size == SIZE_MAX ? SD_WAIT_END : size ? SD_WAIT_TURN : SD_WAIT_INPUT;
}

static enum sd_wait
turn_large(struct sd_conn *conn, const struct sd_desk *desk)
{
    struct sd_buffer *held = &conn->held;
    struct sd_input input = {.data = held->data, .size = held->size};
    if (held->size < held->room)
        return read_large(conn);
    enum sd_wait wait = run(conn, desk, &input);
    if (input.at == input.size)
        sd_buffer_close(held, conn->session.pool, &conn->session);
    return wait;
}

enum sd_wait
sd_conn_serve(struct sd_conn *conn, const struct sd_desk *desk)
{
    enum sd_wait wait = SD_WAIT_TURN;
    for (unsigned i = 0; i < TURNS_MOST && wait == SD_WAIT_TURN; i++)
        wait = conn->reply.data ? send_reply(conn)
               : is_large(conn) ? turn_large(conn, desk)
                                : turn_small(conn, desk);
    if (wait == SD_WAIT_TURN)
        sd_count(&conn->session.counts->conn_yields, 1);
    if (!sd_conn_holds(conn))
        sd_pool_leave(conn->session.pool, &conn->session);
    return wait;
}

void
sd_conn_close(struct sd_conn *conn)
{
    struct sd_session *session = &conn->session;
    sd_buffer_close(&conn->held, session->pool, session);
    sd_buffer_close(&conn->reply, session->pool, session);
    sd_pool_leave(session->pool, session);
    close(conn->fd);
}
