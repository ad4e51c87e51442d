/* SPDX-License-Identifier: MIT */
/* worker.c - see worker.h. */
#include "server/worker.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
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
#define GETS_ON     1024 /* bytes that a client has to move who holds some up, and this part */
#define PART        64u  /* of what it holds */

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
leave_queue(struct sd_conn *conn)
{
    if (conn->queue)
        TAILQ_REMOVE(conn->queue, conn, queue_place);
    conn->queue = NULL;
}

static void
enqueue(struct sd_worker *worker, struct sd_conn *conn, struct sd_conns *queue, bool first)
{
    worker->turns = worker->turns || conn->wait == SD_WAIT_TURN;
    leave_queue(conn);
    if (first)
        TAILQ_INSERT_HEAD(queue, conn, queue_place);
    else
        TAILQ_INSERT_TAIL(queue, conn, queue_place);
    conn->queue = queue;
}

/* It is freed when its turn in the queue comes: there may be an event for it still. */
static void
end_conn(struct sd_worker *worker, struct sd_conn *conn)
{
    pthread_mutex_lock(&worker->lock);
    TAILQ_REMOVE(&worker->conns, conn, all);
    pthread_mutex_unlock(&worker->lock);
    sd_conn_close(conn);
    sd_sub(&worker->server->conns.current, 1);
    conn->wait = SD_WAIT_END;
    enqueue(worker, conn, &worker->queue, false);
}

/* ---- serving --------------------------------------------------------------------------------- */

/* What epoll is to wait for follows from what the connection waits for. */
static void
settle(struct sd_worker *worker, struct sd_conn *conn, bool first)
{
    uint32_t events = conn->wait == SD_WAIT_INPUT    ? EPOLLIN
                      : conn->wait == SD_WAIT_OUTPUT ? EPOLLOUT
                                                     : 0;
    struct epoll_event event = {.events = events, .data = {.ptr = conn}};
    if (conn->wait == SD_WAIT_POOL)
        enqueue(worker, conn, &worker->waiters, first || sd_conn_holds(conn));
    else if (conn->wait == SD_WAIT_TURN || conn->wait == SD_WAIT_MEMORY)
        enqueue(worker, conn, &worker->queue, false);
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

/* It gets on if it moves something now and then, and more if it holds more. */
static void
note_bytes(const struct sd_worker *worker, struct sd_conn *conn, uint64_t bytes)
{
    size_t holds = conn->held.charged + conn->reply.charged;
    if (bytes)
        sd_store(&conn->active_ms, worker->now_ms);
    conn->moved_bytes += bytes;
    if (holds && conn->wait != SD_WAIT_POOL && conn->moved_bytes < GETS_ON + holds / PART)
        return;
    conn->got_on_ms = worker->now_ms;
    conn->moved_bytes = 0;
}

/* `first`: of those that wait for buffers; else they come before it. */
static void
serve(struct sd_worker *worker, struct sd_conn *conn, bool first)
{
    uint64_t before = bytes_of(worker);
    bool waited = conn->wait == SD_WAIT_POOL;
    worker->pool->closed = !first && !TAILQ_EMPTY(&worker->waiters);
    conn->wait = sd_conn_serve(conn, &worker->desk);
    sd_count(&worker->counts->buffer_waits, !waited && conn->wait == SD_WAIT_POOL);
    note_bytes(worker, conn, bytes_of(worker) - before);
    if (conn->wait == SD_WAIT_END)
        end_conn(worker, conn);
    else
        settle(worker, conn, first);
}

static void
serve_event(struct sd_worker *worker, struct sd_conn *conn, uint32_t events)
{
    bool waits = conn->wait == SD_WAIT_MEMORY || conn->wait == SD_WAIT_POOL;
    if (!conn->queue) /* else it is looked at with the others there */
        serve(worker, conn, false);
    else if (waits && events & (EPOLLHUP | EPOLLERR))
        end_conn(worker, conn);
}

/* ---- the queues ------------------------------------------------------------------------------ */

static void
serve_queue(struct sd_worker *worker, bool retry)
{
    struct sd_conns now = TAILQ_HEAD_INITIALIZER(now);
    struct sd_conn *conn;
    TAILQ_CONCAT(&now, &worker->queue, queue_place);
    worker->turns = false;
    while ((conn = TAILQ_FIRST(&now))) {
        TAILQ_REMOVE(&now, conn, queue_place);
        conn->queue = NULL;
        if (conn->wait == SD_WAIT_END)
            free_conn(conn);
        else if (conn->wait == SD_WAIT_TURN || retry)
            serve(worker, conn, false);
        else
            enqueue(worker, conn, &worker->queue, false);
    }
}

/* One after the other, as far as buffers go. */
static void
serve_waiters(struct sd_worker *worker)
{
    struct sd_conn *conn;
    do {
        conn = TAILQ_FIRST(&worker->waiters);
        if (!conn)
            return;
        leave_queue(conn);
        serve(worker, conn, true);
    } while (conn->wait != SD_WAIT_POOL);
}

static void
serve_queues(struct sd_worker *worker)
{
    bool retry = worker->now_ms - worker->retried_ms >= RETRY_MS;
    if (retry) {
        worker->retried_ms = worker->now_ms;
        serve_waiters(worker);
    }
    if (!TAILQ_EMPTY(&worker->queue))
        serve_queue(worker, retry);
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

/* It holds what others wait for, here, or (`any`) anywhere, and its client does not get on. */
static bool
is_in_the_way(const struct sd_worker *worker, const struct sd_conn *conn, bool any)
{
    bool own = !TAILQ_EMPTY(&worker->waiters);
    bool wanted = own || (any && sd_pool_is_beyond(worker->pool, &conn->session));
    return wanted && sd_conn_holds(conn) &&
           (conn->wait == SD_WAIT_INPUT || conn->wait == SD_WAIT_OUTPUT) &&
           worker->now_ms - conn->got_on_ms >
               worker->server->settings.stall_seconds * UINT64_C(1000);
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
tick(struct sd_worker *worker)
{
    uint64_t refusals = sd_load(&worker->server->beyond.refusals);
    bool any = refusals != worker->refusals;
    struct sd_conn *next;
    worker->ticked_ms = worker->now_ms;
    worker->refusals = refusals;
    for (struct sd_conn *conn = first_conn(worker); conn; conn = next) {
        bool idle = is_idle_too_long(worker, conn), stuck = is_in_the_way(worker, conn, any);
        next = TAILQ_NEXT(conn, all);
        sd_count(&worker->counts->idle_kicks, idle);
        sd_count(&worker->counts->slow_kicks, stuck);
        if (idle || stuck)
            end_conn(worker, conn);
    }
}

/* ---- the loop -------------------------------------------------------------------------------- */

static bool
wait_and_serve(struct sd_worker *worker)
{
    struct epoll_event events[EVENTS_MOST];
    bool over = false, nobody = TAILQ_EMPTY(&worker->queue) && TAILQ_EMPTY(&worker->waiters);
    int wait_ms = nobody ? TICK_MS : worker->turns ? 0 : RETRY_MS;
    int count = epoll_wait(worker->epoll, events, EVENTS_MOST, wait_ms);
    worker->now_ms = sd_now_ms();
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr)
            serve_event(worker, events[i].data.ptr, events[i].events);
        else
            over = true;
    }
    serve_queues(worker);
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
    serve_queue(worker, false);
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
    conn->active_ms = conn->got_on_ms = sd_now_ms();
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
    TAILQ_INIT(&worker->queue);
    TAILQ_INIT(&worker->waiters);
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
    int rc = -pthread_create(&worker->thread, NULL, run, worker);
    worker->runs = rc == 0;
    return rc;
}

static void
stop_worker(struct sd_worker *worker)
{
    uint64_t one = 1;
    (void)!write(worker->wake, &one, sizeof(one));
    pthread_join(worker->thread, NULL);
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

int
sd_workers_start(struct sd_server *server)
{
    int rc = 0;
    server->workers = calloc(server->settings.threads, sizeof(*server->workers));
    if (!server->workers)
        return -ENOMEM;
    for (unsigned i = 0; i < server->settings.threads && rc == 0; i++)
        rc = open_worker(&server->workers[i], server, i);
    if (rc != 0)
        sd_workers_stop(server);
    return rc;
}

void
sd_workers_stop(struct sd_server *server)
{
    unsigned count = server->settings.threads;
    for (unsigned i = 0; i < count && server->workers[i].runs; i++)
        stop_worker(&server->workers[i]);
    for (unsigned i = 0; i < count && server->workers[i].server; i++)
        close_worker(&server->workers[i]); /* at which none looks any more */
    free(server->workers);
    server->workers = NULL;
}

/* ---- stats conns ----------------------------------------------------------------------------- */

static void
name_of(int fd, int (*get)(int, struct sockaddr *, socklen_t *), char *name, size_t room)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(address);
    char host[INET6_ADDRSTRLEN] = "", port[8] = "";
    (void)get(fd, (struct sockaddr *)&address, &size);
    (void)getnameinfo((struct sockaddr *)&address, size, host, sizeof(host), port, sizeof(port),
                      NI_NUMERICHOST | NI_NUMERICSERV);
    if (address.ss_family == AF_INET6)
        snprintf(name, room, "tcp6:[%s]:%s", host, port);
    else if (address.ss_family == AF_INET)
        snprintf(name, room, "tcp:%s:%s", host, port);
    else
        snprintf(name, room, "unix:%.107s", ((const struct sockaddr_un *)&address)->sun_path);
}

void
sd_stat_conns(const struct sd_request *request, FILE *text)
{
    const struct sd_server *server = request->session->server;
    char peer[128], own[128];
    uint64_t now_ms = sd_now_ms();
    for (unsigned i = 0; server->workers && i < server->settings.threads; i++) {
        struct sd_worker *worker = &server->workers[i];
        pthread_mutex_lock(&worker->lock);
        for (const struct sd_conn *conn = TAILQ_FIRST(&worker->conns); conn;
             conn = TAILQ_NEXT(conn, all)) {
            name_of(conn->fd, getpeername, peer, sizeof(peer));
            name_of(conn->fd, getsockname, own, sizeof(own));
            fprintf(text,
                    "STAT %d:addr %s\r\nSTAT %d:listen_addr %s\r\nSTAT %d:state conn_read\r\n"
                    "STAT %d:secs_since_last_cmd %llu\r\n",
                    conn->fd, peer, conn->fd, own, conn->fd, conn->fd,
                    (unsigned long long)silent_ms(now_ms, conn) / 1000);
        }
        pthread_mutex_unlock(&worker->lock);
    }
}
