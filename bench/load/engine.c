/* SPDX-License-Identifier: MIT */
/*
 * engine.c - see engine.h.
 */
#include "engine.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define SLOW_PIECE 700u /* bytes that a slow connection sends or receives at a time */
#define READ_LEAST 16384u

struct buffer {
    char *data;
    size_t begin, end, size;
};

struct connection {
    int fd;
    bool slow, waits_to_send;
    unsigned head, tail; /* requests in flight: [head, tail), modulo the depth */
    struct wire_request *request;
    struct buffer in, out;
};

struct engine {
    struct engine_options options;
    int epoll;
    unsigned busy; /* connections with requests in flight */
    struct wire_reply reply;
    const char *failure;
    struct connection connection[];
};

uint64_t
engine_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

uint64_t
engine_resident(int pid)
{
    char path[48];
    unsigned long size, resident = 0;
    snprintf(path, sizeof(path), "/proc/%d/statm", pid);
    FILE *file = fopen(path, "r");
    if (file && fscanf(file, "%lu %lu", &size, &resident) != 2)
        resident = 0;
    if (file)
        fclose(file);
    return (uint64_t)resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* ---- connections ----------------------------------------------------------------------------- */

static int
connect_to(int fd, const void *address, socklen_t size)
{
    if (fd >= 0 && connect(fd, address, size) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static int
dial_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    return connect_to(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), &address, sizeof(address));
}

int
engine_dial(const struct engine_address *address)
{
    if (address->unix_path)
        return dial_unix(address->unix_path);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons((uint16_t)address->port)};
    if (inet_pton(AF_INET, address->host, &in.sin_addr) != 1) {
        errno = EINVAL;
        return -1;
    }
    int one = 1;
    int fd = connect_to(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), &in, sizeof(in));
    if (fd >= 0)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    return fd;
}

static void *
allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (!memory) {
        fputs("out of memory\n", stderr);
        exit(2);
    }
    return memory;
}

static bool
open_connection(struct engine *engine, unsigned which)
{
    struct connection *c = &engine->connection[which];
    c->fd = engine_dial(&engine->options.address);
    if (c->fd < 0)
        return false;
    c->slow = which >= engine->options.connections - engine->options.slow;
    c->request = allocate(engine->options.depth, sizeof(*c->request));
    if (c->slow) {
        int small = 4096;
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small));
    }
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = which};
    return epoll_ctl(engine->epoll, EPOLL_CTL_ADD, c->fd, &event) == 0;
}

struct engine *
engine_open(const struct engine_options *options)
{
    struct engine *engine =
        allocate(1, sizeof(*engine) + options->connections * sizeof(struct connection));
    engine->options = *options;
    engine->epoll = epoll_create1(EPOLL_CLOEXEC);
    for (unsigned i = 0; i < options->connections; i++)
        engine->connection[i].fd = -1;
    for (unsigned i = 0; i < options->connections; i++)
        if (!open_connection(engine, i)) {
            int error = errno;
            engine_close(engine);
            errno = error;
            return NULL;
        }
    return engine;
}

void
engine_close(struct engine *engine)
{
    for (unsigned i = 0; i < engine->options.connections; i++) {
        struct connection *c = &engine->connection[i];
        if (c->fd >= 0)
            close(c->fd);
        free(c->request);
        free(c->in.data);
        free(c->out.data);
    }
    close(engine->epoll);
    free(engine);
}

/* ---- buffers --------------------------------------------------------------------------------- */

static void
make_room(struct buffer *b, size_t more)
{
    if (b->begin > 0) {
        memmove(b->data, b->data + b->begin, b->end - b->begin);
        b->end -= b->begin;
        b->begin = 0;
    }
    if (b->size - b->end >= more)
        return;
    b->size = 2 * (b->end + more);
    b->data = realloc(b->data, b->size);
    if (!b->data) {
        fputs("out of memory\n", stderr);
        exit(2);
    }
}

/* ---- sending --------------------------------------------------------------------------------- */

static void
watch(struct engine *engine, unsigned which, bool sends)
{
    struct connection *c = &engine->connection[which];
    if (c->waits_to_send == sends)
        return;
    c->waits_to_send = sends;
    struct epoll_event event = {.events = EPOLLIN | (sends ? EPOLLOUT : 0u), .data.u32 = which};
    epoll_ctl(engine->epoll, EPOLL_CTL_MOD, c->fd, &event);
}

static bool
would_wait(struct engine *engine, ssize_t result, const char *what)
{
    if (result < 0 && (errno == EAGAIN || errno == EINTR))
        return true;
    if (result <= 0)
        engine->failure = what;
    return result <= 0;
}

static void
send_some(struct engine *engine, unsigned which)
{
    struct connection *c = &engine->connection[which];
    struct buffer *b = &c->out;
    do {
        size_t size = b->end - b->begin;
        if (c->slow && size > SLOW_PIECE)
            size = SLOW_PIECE;
        ssize_t sent = send(c->fd, b->data + b->begin, size, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (would_wait(engine, sent, "a connection was lost while sending"))
            break;
        b->begin += (size_t)sent;
    } while (b->begin < b->end && !c->slow);
    if (b->begin == b->end)
        b->begin = b->end = 0;
    watch(engine, which, b->begin < b->end);
}

static void
encode(struct engine *engine, struct connection *c, const struct wire_request *request)
{
    size_t room = wire_room(request);
    if (c->out.size - c->out.end < room)
        make_room(&c->out, room);
    c->out.end += wire_encode(engine->options.protocol, engine->options.prefix, request,
                              c->out.data + c->out.end);
}

/* A batch, if nothing is in flight. */
static void
refill(struct engine *engine, const struct engine_source *source, unsigned which)
{
    struct connection *c = &engine->connection[which];
    uint64_t now = engine_now_ns();
    for (unsigned i = 0; i < engine->options.depth; i++) {
        struct wire_request *request = &c->request[c->tail % engine->options.depth];
        if (!source->next(source->arg, which, request))
            break;
        request->sent_ns = now;
        encode(engine, c, request);
        c->tail++;
    }
    if (c->head != c->tail) {
        engine->busy++;
        send_some(engine, which);
    }
}

/* ---- receiving ------------------------------------------------------------------------------- */

static void
take_replies(struct engine *engine, const struct engine_source *source, unsigned which)
{
    struct connection *c = &engine->connection[which];
    uint64_t now = engine_now_ns();
    while (c->head != c->tail && c->in.begin < c->in.end) {
        const struct wire_request *request = &c->request[c->head % engine->options.depth];
        size_t used =
            wire_decode(engine->options.protocol, engine->options.prefix, request,
                        c->in.data + c->in.begin, c->in.end - c->in.begin, &engine->reply);
        if (used == 0)
            return;
        source->done(source->arg, which, request, &engine->reply, now);
        if (engine->reply.outcome == WIRE_WRONG)
            engine->failure = "a reply is no answer to its request";
        c->in.begin += used;
        c->head++;
    }
    if (c->in.begin < c->in.end)
        engine->failure = "bytes came that nobody had asked for";
    if (c->head == c->tail)
        engine->busy--;
}

static void
receive_some(struct engine *engine, const struct engine_source *source, unsigned which)
{
    struct connection *c = &engine->connection[which];
    if (c->in.begin == c->in.end)
        c->in.begin = c->in.end = 0;
    if (c->in.size - c->in.end < READ_LEAST)
        make_room(&c->in, READ_LEAST);
    size_t room = c->slow ? SLOW_PIECE : c->in.size - c->in.end;
    ssize_t got = recv(c->fd, c->in.data + c->in.end, room, MSG_DONTWAIT);
    if (would_wait(engine, got, "the server closed a connection"))
        return;
    c->in.end += (size_t)got;
    if (c->head == c->tail)
        engine->failure = "bytes came that nobody had asked for";
    else
        take_replies(engine, source, which);
}

static void
serve(struct engine *engine, const struct engine_source *source, const struct epoll_event *event)
{
    unsigned which = event->data.u32;
    const struct connection *c = &engine->connection[which];
    if (event->events & EPOLLOUT)
        send_some(engine, which);
    if (event->events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        receive_some(engine, source, which);
    if (c->head == c->tail && !engine->failure)
        refill(engine, source, which);
}

const char *
engine_run(struct engine *engine, const struct engine_source *source)
{
    struct epoll_event events[EVENTS_MAX];
    for (unsigned i = 0; i < engine->options.connections; i++)
        refill(engine, source, i);
    while (engine->busy > 0 && !engine->failure) {
        int count = epoll_wait(engine->epoll, events, EVENTS_MAX, 1000);
        for (int i = 0; i < count && !engine->failure; i++)
            serve(engine, source, &events[i]);
    }
    return engine->failure;
}
