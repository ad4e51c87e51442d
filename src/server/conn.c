/* SPDX-License-Identifier: MIT */
/* conn.c - see conn.h. */
#include "server/conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURNS_MOST  8u           /* of reading or sending, before others are served */
#define READ_MOST   (256u << 10) /* bytes at a time, of a large value */
#define SHORT_BYTES (4u << 10)   /* read to the desk, while the pool is half used */
#define SHORT_READ  (16u << 10)  /* bytes at a time, then */

/* How much may be read, and left over, without asking: little, when there is little. */
static size_t
work_bytes(const struct sd_pool *pool)
{
    return sd_pool_is_short(pool) ? SHORT_BYTES : SD_WORK_BYTES;
}

/* Room for bytes that have to be kept now. False: there is none, and nobody's. */
static bool
claim(const struct sd_conn *conn, const struct sd_desk *desk, size_t bytes)
{
    const struct sd_session *session = &conn->session;
    while (!sd_pool_claim(session->pool, session, bytes + SD_BUFFER_COST))
        if (!desk->relieve(desk, conn, true))
            return false;
    return true;
}

/* The same for what can wait. False: not now. */
static bool
charge(const struct sd_conn *conn, const struct sd_desk *desk, size_t bytes)
{
    const struct sd_session *session = &conn->session;
    while (!sd_pool_charge(session->pool, session, bytes))
        if (!desk->relieve(desk, conn, false))
            return false;
    return true;
}

/* ---- sending --------------------------------------------------------------------------------- */

/* What the socket takes; SIZE_MAX: it is broken. */
static size_t
send_some(struct sd_conn *conn, const char *data, size_t size)
{
    size_t sent = 0;
    while (sent < size) {
        ssize_t some = send(conn->fd, data + sent, size - sent, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (some < 0 && errno == EINTR)
            continue;
        if (some < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
            return SIZE_MAX;
        if (some <= 0)
            break;
        sent += (size_t)some;
    }
    sd_count(&conn->session.counts->bytes_written, sent);
    return sent;
}

/** The output of one turn, and whose it is. */
struct turn {
    struct sd_output output;
    struct sd_conn *conn;
    const struct sd_desk *desk;
    bool broken;
};

/* Into a buffer with room for `more` behind it, which has been charged. */
static bool
keep(struct turn *turn, const char *data, size_t size, size_t more, size_t charged)
{
    struct sd_buffer *pending = &turn->output.pending;
    if (!sd_buffer_open(pending, size + more)) {
        sd_pool_release(turn->conn->session.pool, &turn->conn->session, charged);
        return false;
    }
    if (size)
        memcpy(pending->data, data, size);
    pending->size = size;
    pending->charged = charged;
    return true;
}

static void
flush(struct sd_output *output)
{
    struct turn *turn = (struct turn *)output;
    size_t sent = send_some(turn->conn, output->data, output->used);
    size_t left = sent == SIZE_MAX ? 0 : output->used - sent;
    output->flushes++;
    turn->broken = turn->broken || sent == SIZE_MAX;
    if (left && !(claim(turn->conn, turn->desk, left) &&
                  keep(turn, output->data + sent, left, 0, left + SD_BUFFER_COST)))
        turn->broken = true;
    output->used = 0;
}

static bool
grow(struct sd_output *output, size_t bytes)
{
    struct turn *turn = (struct turn *)output;
    size_t charged = output->used + bytes;
    if (!charge(turn->conn, turn->desk, charged) ||
        !keep(turn, output->data, output->used, bytes, charged))
        return false;
    output->used = 0;
    return true;
}

/* Of the reply that waits. False: the socket takes no more, or is broken. */
static bool
send_reply(struct sd_conn *conn, bool *broken)
{
    struct sd_buffer *reply = &conn->reply;
    size_t sent = send_some(conn, reply->data + reply->at, reply->size - reply->at);
    *broken = sent == SIZE_MAX;
    if (*broken)
        return false;
    reply->at += sent;
    if (reply->at < reply->size)
        return false;
    sd_buffer_close(reply, conn->session.pool, &conn->session);
    return true;
}

/* ---- reading --------------------------------------------------------------------------------- */

/* 0: nothing at present; SIZE_MAX: the end, or broken. */
static size_t
receive(struct sd_conn *conn, char *to, size_t room)
{
    ssize_t size;
    do
        size = recv(conn->fd, to, room, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return 0;
    if (size <= 0)
        return SIZE_MAX;
    sd_count(&conn->session.counts->bytes_read, (size_t)size);
    return (size_t)size;
}

static bool
is_large(const struct sd_conn *conn)
{
    return conn->held.room > SD_WORK_BYTES;
}

/* Keeps the rest of the input: of a large request in a buffer that all of it will fit in. */
static enum sd_wait
hold(struct sd_conn *conn, const struct sd_desk *desk, const struct sd_input *input)
{
    size_t left = input->size - input->at, want = conn->session.want;
    struct sd_buffer held;
    if (left == 0)
        return SD_WAIT_INPUT;
    if (!claim(conn, desk, left))
        return SD_WAIT_END;
    if (!sd_buffer_open(&held, want > SD_WORK_BYTES ? want : left)) {
        sd_pool_release(conn->session.pool, &conn->session, left + SD_BUFFER_COST);
        return SD_WAIT_END;
    }
    memcpy(held.data, input->data + input->at, left);
    held.size = left;
    held.charged = left + SD_BUFFER_COST;
    conn->held = held;
    return SD_WAIT_INPUT;
}

/* How much may be read to the desk; 0: a request that is not small has to wait for memory. */
static size_t
desk_room(struct sd_conn *conn, const struct sd_desk *desk)
{
    struct sd_pool *pool = conn->session.pool;
    size_t room = work_bytes(pool), want = conn->session.want;
    if (room == SD_WORK_BYTES || want <= room)
        return room;
    if (!charge(conn, desk, want))
        return 0;
    sd_pool_release(pool, &conn->session, want); /* it is charged when it is kept */
    return want;
}

/* Takes what was held to the desk, and reads on behind it. */
static size_t
read_to_desk(struct sd_conn *conn, const struct sd_desk *desk, size_t most, struct sd_input *input,
             bool *full)
{
    *input = (struct sd_input){.data = desk->input};
    if (conn->held.data) {
        memcpy(desk->input, conn->held.data, conn->held.size);
        input->size = conn->held.size;
        sd_buffer_close(&conn->held, conn->session.pool, &conn->session);
    }
    size_t room = most > input->size ? most - input->size : 0;
    size_t size = room ? receive(conn, desk->input + input->size, room) : 0;
    if (size != SIZE_MAX)
        input->size += size;
    *full = room && size == room;
    return size;
}

/* A large request is read to its end, not beyond it. */
static enum sd_wait
read_large(struct sd_conn *conn, const struct sd_desk *desk, bool *whole)
{
    struct sd_buffer *held = &conn->held;
    size_t most = sd_pool_is_short(conn->session.pool) ? SHORT_READ : READ_MOST;
    size_t room = sd_min(held->room - held->size, most);
    *whole = room == 0;
    if (*whole)
        return SD_WAIT_TURN;
    if (!charge(conn, desk, room))
        return SD_WAIT_MEMORY;
    size_t size = receive(conn, held->data + held->size, room);
    size_t used = size == SIZE_MAX ? 0 : size;
    sd_pool_release(conn->session.pool, &conn->session, room - used);
    held->size += used;
    held->charged += used;
    *whole = held->size == held->room;
    return size == SIZE_MAX ? SD_WAIT_END : size ? SD_WAIT_TURN : SD_WAIT_INPUT;
}

/* ---- a turn ---------------------------------------------------------------------------------- */

static enum sd_wait
end_turn(struct sd_conn *conn, struct turn *turn, enum sd_verdict verdict)
{
    if (turn->output.used)
        flush(&turn->output);
    conn->reply = turn->output.pending;
    conn->ending = conn->ending || verdict == SD_CLOSE;
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
        return SD_WAIT_MEMORY;
    default:
        return SD_WAIT_TURN;
    }
}

static enum sd_wait
run(struct sd_conn *conn, const struct sd_desk *desk, struct sd_input *input)
{
    struct turn turn = {
        .conn = conn,
        .desk = desk,
        .output = {.data = desk->output, .room = SD_WORK_BYTES, .flush = flush, .grow = grow},
    };
    enum sd_verdict verdict = sd_session_run(&conn->session, input, &turn.output);
    return end_turn(conn, &turn, verdict);
}

static enum sd_wait
run_large(struct sd_conn *conn, const struct sd_desk *desk)
{
    struct sd_input input = {.data = conn->held.data, .size = conn->held.size};
    enum sd_wait wait = run(conn, desk, &input);
    if (input.at == input.size)
        sd_buffer_close(&conn->held, conn->session.pool, &conn->session);
    return wait;
}

static enum sd_wait
turn_large(struct sd_conn *conn, const struct sd_desk *desk)
{
    bool whole;
    enum sd_wait wait = read_large(conn, desk, &whole);
    return whole ? run_large(conn, desk) : wait;
}

/* What is at the desk is done as far as it can be. */
static enum sd_wait
turn_small(struct sd_conn *conn, const struct sd_desk *desk)
{
    struct sd_input input;
    bool full;
    size_t room = desk_room(conn, desk);
    if (!room)
        return SD_WAIT_MEMORY;
    size_t size = read_to_desk(conn, desk, room, &input, &full);
    if (size == SIZE_MAX && input.size == 0)
        return SD_WAIT_END;
    enum sd_wait wait = run(conn, desk, &input);
    if (wait == SD_WAIT_END || conn->ending)
        return wait;
    enum sd_wait kept = hold(conn, desk, &input);
    if (kept == SD_WAIT_END)
        return kept;
    if (size == SIZE_MAX && wait == SD_WAIT_INPUT)
        return SD_WAIT_END; /* the other side sends no more, and this is not whole */
    return wait == SD_WAIT_INPUT && full ? SD_WAIT_TURN : wait;
}

static enum sd_wait
one_turn(struct sd_conn *conn, const struct sd_desk *desk)
{
    bool broken = false;
    if (conn->reply.data && !send_reply(conn, &broken))
        return broken ? SD_WAIT_END : SD_WAIT_OUTPUT;
    if (conn->ending)
        return SD_WAIT_END;
    return is_large(conn) ? turn_large(conn, desk) : turn_small(conn, desk);
}

enum sd_wait
sd_conn_serve(struct sd_conn *conn, const struct sd_desk *desk)
{
    enum sd_wait wait = SD_WAIT_TURN;
    for (unsigned i = 0; i < TURNS_MOST && wait == SD_WAIT_TURN; i++)
        wait = one_turn(conn, desk);
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
