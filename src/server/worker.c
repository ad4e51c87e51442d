/* SPDX-License-Identifier: MIT */
/* worker.c - see worker.h. */
#include "server/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/stats.h"

#define EVENTS_MOST 64
#define TICK_MS     1000
#define RETRY_MS    2
#define SLOW_MS     300  /* with buffers and without getting on, while others wait for some */
#define STUCK_MS    5000 /* the same, of those that wait for some themselves */
#define GETS_ON     1024 /* bytes that count for it */

/* ---- connections ----------------------------------------------------------------------------- */

/* In the accepting thread, under the lock: the worker sees it when it is in both, or in none. */
static bool
add_to_epoll_and_list(struct sd_worker *worker, struct sd_conn *conn)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = conn}};
    pthread_mutex_lock(&worker->lock);
    bool added = epoll_ctl(worker->epoll, EPOLL_CTL_ADD, conn->fd, &event) == 0;
    if (added)
        TAILQ_INSERT_HEAD(&worker->conns, conn, all);
    pthread_mutex_unlock(&worker->lock);
    return added;
}

static void
free_conn(struct sd_conn *conn)
{
    sd_sub(&conn->session.server->beside, sizeof(*conn));
    free(conn);
}

static void
enqueue(struct sd_worker *worker, struct sd_conn *conn)
{
    worker->turns = worker->turns || conn->wait == SD_WAIT_TURN;
    if (conn->queued)
        return;
    conn->queued = true;
    TAILQ_INSERT_TAIL(&worker->queue, conn, queue_place);
}

static void
unhold(struct sd_worker *worker, struct sd_conn *conn)
{
    if (conn->holds)
        TAILQ_REMOVE(&worker->holders, conn, holder);
    conn->holds = false;
}

/* It is freed when its turn in the queue comes: there may be an event for it still. */
static void
end_conn(struct sd_worker *worker, struct sd_conn *conn)
{
    pthread_mutex_lock(&worker->lock);
    TAILQ_REMOVE(&worker->conns, conn, all);
    pthread_mutex_unlock(&worker->lock);
    unhold(worker, conn);
    sd_conn_close(conn);
    sd_sub(&worker->server->conns.current, 1);
    conn->wait = SD_WAIT_END;
    enqueue(worker, conn);
}

/* ---- buffers --------------------------------------------------------------------------------- */

/* Who has a buffer anew, or has got on, is the last to go. */
static void
note_holder(struct sd_worker *worker, struct sd_conn *conn, uint64_t moved_bytes)
{
    bool holds = sd_conn_holds(conn);
    conn->moved_bytes += moved_bytes;
    if (!holds || conn->moved_bytes >= GETS_ON)
        unhold(worker, conn);
    if (!holds || conn->holds)
        return;
    TAILQ_INSERT_TAIL(&worker->holders, conn, holder);
    conn->holds = true;
    conn->holds_ms = worker->now_ms;
    conn->moved_bytes = 0;
}

/* To wait for memory is nobody's fault, so that is borne for longer; and of those no more have to
 * go than it takes. */
static bool
is_stuck(const struct sd_worker *worker, const struct sd_conn *conn)
{
    uint64_t holds_ms = worker->now_ms - conn->holds_ms;
    if (conn->wait == SD_WAIT_MEMORY)
        return holds_ms > STUCK_MS && sd_pool_is_short(worker->pool);
    return holds_ms > SLOW_MS;
}

/* Who is stuck for longest; `now`: if nobody is, who did not get on for longest. NULL: nobody but
 * `but` has buffers. */
static struct sd_conn *
first_to_go(const struct sd_worker *worker, const struct sd_conn *but, bool now)
{
    struct sd_conn *first = NULL;
    for (struct sd_conn *conn = TAILQ_FIRST(&worker->holders); conn;
         conn = TAILQ_NEXT(conn, holder)) {
        if (conn != but && is_stuck(worker, conn))
            return conn;
        if (conn != but && (!first || first->wait == SD_WAIT_MEMORY))
            first = conn;
        if (worker->now_ms - conn->holds_ms <= SLOW_MS && first)
            break; /* all others are newer */
    }
    return now ? first : NULL;
}

static void
kick(struct sd_worker *worker, struct sd_conn *conn)
{
    sd_count(&worker->counts->slow_kicks, 1);
    end_conn(worker, conn);
}

static bool
relieve(const struct sd_desk *desk, const struct sd_conn *but, bool now)
{
    struct sd_worker *worker =
        (struct sd_worker *)((char *)(uintptr_t)desk - offsetof(struct sd_worker, desk));
    struct sd_conn *conn = first_to_go(worker, but, now);
    if (conn)
        kick(worker, conn);
    return conn != NULL;
}

/* Somebody waited since the last tick: for this pool, or for going beyond his. */
static void
kick_silent(struct sd_worker *worker)
{
    uint64_t refusals = worker->pool->refusals, all = sd_load(&worker->server->beyond.refusals);
    bool own = refusals != worker->refusals, any = all != worker->beyond_refusals;
    struct sd_conn *next;
    worker->refusals = refusals;
    worker->beyond_refusals = all;
    for (struct sd_conn *conn = TAILQ_FIRST(&worker->holders); conn && any; conn = next) {
        next = TAILQ_NEXT(conn, holder);
        bool wanted = own || sd_pool_is_beyond(worker->pool, &conn->session);
        if (wanted && is_stuck(worker, conn))
            kick(worker, conn);
    }
}

/* ---- serving --------------------------------------------------------------------------------- */

static uint32_t
events_of(enum sd_wait wait)
{
    return wait == SD_WAIT_INPUT ? EPOLLIN : wait == SD_WAIT_OUTPUT ? EPOLLOUT : 0;
}

/* What epoll is to wait for follows from what the connection waits for. */
static void
settle(struct sd_worker *worker, struct sd_conn *conn)
{
    uint32_t events = events_of(conn->wait);
    struct epoll_event event = {.events = events, .data = {.ptr = conn}};
    if (conn->wait == SD_WAIT_TURN || conn->wait == SD_WAIT_MEMORY)
        enqueue(worker, conn);
    if (conn->wait == SD_WAIT_TURN || conn->events == events)
        return;
    conn->events = events;
    if (epoll_ctl(worker->epoll, EPOLL_CTL_MOD, conn->fd, &event) != 0)
        end_conn(worker, conn);
}

static uint64_t
bytes_of(const struct sd_worker *worker)
{
    return worker->counts->bytes_read + worker->counts->bytes_written;
}

static void
serve(struct sd_worker *worker, struct sd_conn *conn)
{
    uint64_t before = bytes_of(worker);
    conn->wait = sd_conn_serve(conn, &worker->desk);
    if (bytes_of(worker) != before)
        sd_store(&conn->active_ms, worker->now_ms);
    note_holder(worker, conn, bytes_of(worker) - before);
    if (conn->wait == SD_WAIT_END)
        end_conn(worker, conn);
    else
        settle(worker, conn);
}

static void
serve_event(struct sd_worker *worker, struct sd_conn *conn, uint32_t events)
{
    bool gone = events & (EPOLLHUP | EPOLLERR);
    if (conn->queued && (conn->wait == SD_WAIT_TURN || conn->wait == SD_WAIT_END))
        return; /* it is looked at with the others that are queued */
    if (conn->wait == SD_WAIT_MEMORY && gone)
        end_conn(worker, conn);
    else if (conn->wait != SD_WAIT_MEMORY)
        serve(worker, conn);
}

/* ---- the queue ------------------------------------------------------------------------------- */

static void
serve_queue(struct sd_worker *worker)
{
    bool retry = worker->now_ms - worker->retried_ms >= RETRY_MS;
    struct sd_conns now = TAILQ_HEAD_INITIALIZER(now);
    struct sd_conn *conn;
    if (retry)
        worker->retried_ms = worker->now_ms;
    TAILQ_CONCAT(&now, &worker->queue, queue_place);
    worker->turns = false;
    while ((conn = TAILQ_FIRST(&now))) {
        TAILQ_REMOVE(&now, conn, queue_place);
        conn->queued = false;
        if (conn->wait == SD_WAIT_END)
            free_conn(conn);
        else if (conn->wait == SD_WAIT_TURN || (conn->wait == SD_WAIT_MEMORY && retry))
            serve(worker, conn);
        else if (conn->wait == SD_WAIT_MEMORY)
            enqueue(worker, conn);
    }
}

/* ---- what is looked at once a second --------------------------------------------------------- */

/* Milliseconds since the connection did something; 0, if that was after now_ms was read. */
static uint64_t
silent_ms(uint64_t now_ms, const struct sd_conn *conn)
{
    uint64_t active_ms = sd_load(&conn->active_ms);
    return now_ms > active_ms ? now_ms - active_ms : 0;
}

static bool
is_idle_too_long(const struct sd_worker *worker, const struct sd_conn *conn)
{
    unsigned seconds = worker->server->settings.idle_seconds;
    return seconds && conn->wait == SD_WAIT_INPUT && !sd_conn_holds(conn) &&
           silent_ms(worker->now_ms, conn) > (uint64_t)seconds * 1000;
}

/* Others add to the list, at its head. */
static struct sd_conn *
first_conn(struct sd_worker *worker)
{
    pthread_mutex_lock(&worker->lock);
    struct sd_conn *conn = TAILQ_FIRST(&worker->conns);
    pthread_mutex_unlock(&worker->lock);
    return conn;
}

static void
kick_idle(struct sd_worker *worker)
{
    struct sd_conn *next;
    for (struct sd_conn *conn = first_conn(worker); conn; conn = next) {
        next = TAILQ_NEXT(conn, all);
        if (!is_idle_too_long(worker, conn))
            continue;
        sd_count(&worker->counts->idle_kicks, 1);
        end_conn(worker, conn);
    }
}

static void
tick(struct sd_worker *worker)
{
    worker->ticked_ms = worker->now_ms;
    kick_silent(worker);
    if (worker->server->settings.idle_seconds)
        kick_idle(worker);
}

/* ---- the loop -------------------------------------------------------------------------------- */

static int
time_to_wait(const struct sd_worker *worker)
{
    return TAILQ_EMPTY(&worker->queue) ? TICK_MS : worker->turns ? 0 : RETRY_MS;
}

static bool
wait_and_serve(struct sd_worker *worker)
{
    struct epoll_event events[EVENTS_MOST];
    bool over = false;
    int count = epoll_wait(worker->epoll, events, EVENTS_MOST, time_to_wait(worker));
    worker->now_ms = sd_now_ms();
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr)
            serve_event(worker, events[i].data.ptr, events[i].events);
        else
            over = true;
    }
    if (!TAILQ_EMPTY(&worker->queue))
        serve_queue(worker);
    if (worker->now_ms - worker->ticked_ms >= TICK_MS)
        tick(worker);
    return !over;
}

static void *
run(void *opaque)
{
    struct sd_worker *worker = opaque;
    struct sd_conn *conn;
    rcu_register_thread();
    worker->now_ms = worker->ticked_ms = sd_now_ms();
    while (wait_and_serve(worker))
        ;
    while ((conn = first_conn(worker)))
        end_conn(worker, conn);
    serve_queue(worker);
    rcu_unregister_thread();
    return NULL;
}

/* ---- for the accepting thread ---------------------------------------------------------------- */

void
sd_worker_take(struct sd_worker *worker, int fd)
{
    struct sd_conn *conn = calloc(1, sizeof(*conn));
    if (!conn) {
        close(fd);
        return;
    }
    (void)sd_add(&worker->server->conns.current, 1);
    (void)sd_add(&worker->server->beside, sizeof(*conn));
    sd_session_open(&conn->session, worker->server,
                    (unsigned)(worker->pool - worker->server->pools));
    conn->fd = fd;
    conn->events = EPOLLIN;
    conn->active_ms = sd_now_ms();
    if (add_to_epoll_and_list(worker, conn))
        return;
    sd_sub(&worker->server->conns.current, 1);
    close(fd);
    free_conn(conn);
}

static int
open_worker(struct sd_worker *worker, struct sd_server *server, unsigned i)
{
    struct epoll_event event = {.events = EPOLLIN};
    worker->server = server;
    worker->counts = &server->counts[i];
    worker->pool = &server->pools[i];
    worker->desk.relieve = relieve;
    TAILQ_INIT(&worker->queue);
    TAILQ_INIT(&worker->holders);
    TAILQ_INIT(&worker->conns);
    pthread_mutex_init(&worker->lock, NULL);
    worker->desk.input = malloc(SD_WORK_BYTES);
    worker->desk.output = malloc(SD_WORK_BYTES);
    worker->epoll = epoll_create1(EPOLL_CLOEXEC);
    worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (!worker->desk.input || !worker->desk.output)
        return -ENOMEM;
    if (worker->epoll < 0 || worker->wake < 0 ||
        epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->wake, &event) != 0)
        return -errno;
    return -pthread_create(&worker->thread, NULL, run, worker);
}

static void
close_worker(struct sd_worker *worker)
{
    if (worker->epoll >= 0)
        close(worker->epoll);
    if (worker->wake >= 0)
        close(worker->wake);
    free(worker->desk.input);
    free(worker->desk.output);
    pthread_mutex_destroy(&worker->lock);
}

static void
stop_first(struct sd_server *server, unsigned count)
{
    uint64_t one = 1;
    for (unsigned i = 0; i < count; i++) {
        (void)!write(server->workers[i].wake, &one, sizeof(one));
        pthread_join(server->workers[i].thread, NULL);
        close_worker(&server->workers[i]);
    }
    free(server->workers);
    server->workers = NULL;
}

int
sd_workers_start(struct sd_server *server)
{
    unsigned count = server->settings.threads;
    server->workers = calloc(count, sizeof(*server->workers));
    if (!server->workers)
        return -ENOMEM;
    for (unsigned i = 0; i < count; i++) {
        int rc = open_worker(&server->workers[i], server, i);
        if (rc != 0) {
            close_worker(&server->workers[i]);
            stop_first(server, i);
            return rc;
        }
    }
    return 0;
}

void
sd_workers_stop(struct sd_server *server)
{
    stop_first(server, server->settings.threads);
}

/* ---- stats conns ----------------------------------------------------------------------------- */

static void
name_of(int fd, int (*get)(int, struct sockaddr *, socklen_t *), char *name, size_t room)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(address);
    char host[INET6_ADDRSTRLEN] = "";
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&address;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&address;
    (void)get(fd, (struct sockaddr *)&address, &size);
    if (address.ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, host, sizeof(host));
        snprintf(name, room, "tcp:%s:%u", host, ntohs(v4->sin_port));
    } else if (address.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, host, sizeof(host));
        snprintf(name, room, "tcp6:[%s]:%u", host, ntohs(v6->sin6_port));
    } else {
        snprintf(name, room, "unix:%.107s", ((const struct sockaddr_un *)&address)->sun_path);
    }
}

static void
add_conn(const struct sd_conn *conn, struct sd_text *text, uint64_t now_ms)
{
    char key[48], name[128];
    snprintf(key, sizeof(key), "%d:addr", conn->fd);
    name_of(conn->fd, getpeername, name, sizeof(name));
    sd_stat(text, key, "%s", name);
    snprintf(key, sizeof(key), "%d:listen_addr", conn->fd);
    name_of(conn->fd, getsockname, name, sizeof(name));
    sd_stat(text, key, "%s", name);
    snprintf(key, sizeof(key), "%d:state", conn->fd);
    sd_stat(text, key, "conn_read");
    snprintf(key, sizeof(key), "%d:secs_since_last_cmd", conn->fd);
    sd_stat_u64(text, key, silent_ms(now_ms, conn) / 1000);
}

void
sd_stat_conns(const struct sd_server *server, struct sd_text *text)
{
    uint64_t now_ms = sd_now_ms();
    for (unsigned i = 0; server->workers && i < server->settings.threads; i++) {
        struct sd_worker *worker = &server->workers[i];
        pthread_mutex_lock(&worker->lock);
        for (const struct sd_conn *conn = TAILQ_FIRST(&worker->conns); conn;
             conn = TAILQ_NEXT(conn, all))
            add_conn(conn, text, now_ms);
        pthread_mutex_unlock(&worker->lock);
    }
}
