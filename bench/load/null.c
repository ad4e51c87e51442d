/* SPDX-License-Identifier: MIT */
/*
 * null.c - see null.h.
 */
#include "null.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define IN_BYTES   65536u
#define LINE_MOST  512u /* a reply, its line included */

struct client {
    int fd;
    size_t size, skip; /* bytes in `in`; of a value, still to come */
    char in[IN_BYTES];
};

/* Replies of one turn: as many as requests fit in the input, 4 bytes being the least of each. */
static char out[IN_BYTES / 4 * 8 + IN_BYTES / 24 * LINE_MOST];

static int
listen_at(unsigned port)
{
    struct sockaddr_in in = {.sin_family = AF_INET,
                             .sin_port = htons((unsigned short)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, (struct sockaddr *)&in, sizeof(in)) != 0 || listen(fd, 512) != 0)
        return -1;
    return fd;
}

static void
take_client(int epoll, int listener)
{
    struct client *client = calloc(1, sizeof(*client));
    int one = 1;
    if (!client)
        return;
    client->fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    setsockopt(client->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    epoll_ctl(epoll, EPOLL_CTL_ADD, client->fd, &event);
}

static char *
put(char *to, const char *text, size_t size)
{
    memcpy(to, text, size);
    return to + size;
}

static char *
answer_get(char *to, const char *key, size_t size)
{
    static char value[NULL_VALUE];
    to = put(put(to, "VALUE ", 6), key, size);
    to = put(put(to, " 0 100\r\n", 8), value, sizeof(value));
    return put(to, "\r\nEND\r\n", 7);
}

/* The size of a set's value is its last word. */
static size_t
last_number(const char *line, const char *end)
{
    while (end > line && end[-1] != ' ')
        end--;
    return strtoul(end, NULL, 10);
}

/* One line from `at`; the bytes of it, 0: it is not all there. */
static size_t
take_line(struct client *client, size_t at, char **to)
{
    char *line = client->in + at;
    char *end = memchr(line, '\n', client->size - at);
    if (!end)
        return 0;
    if (*line == 's')
        client->skip = last_number(line, end) + 2;
    else if (end - line > 5 && (size_t)(end - line) < LINE_MOST - NULL_VALUE - 32)
        *to = answer_get(*to, line + 4, (size_t)(end - 1 - (line + 4)));
    return (size_t)(end - line) + 1;
}

/* Everything that is there. */
static size_t
answer(struct client *client)
{
    char *to = out;
    size_t at = 0, used;
    do {
        used = client->skip < client->size - at ? client->skip : client->size - at;
        client->skip -= used;
        if (used && client->skip == 0)
            to = put(to, "STORED\r\n", 8);
        at += used;
        used = client->skip ? 0 : take_line(client, at, &to);
        at += used;
    } while (used);
    client->size -= at;
    memmove(client->in, client->in + at, client->size);
    return (size_t)(to - out);
}

static bool
serve(struct client *client)
{
    ssize_t got = recv(client->fd, client->in + client->size, sizeof(client->in) - client->size, 0);
    if (got <= 0)
        return false;
    client->size += (size_t)got;
    size_t size = answer(client);
    return size == 0 || send(client->fd, out, size, MSG_NOSIGNAL) == (ssize_t)size;
}

int
null_serve(unsigned port)
{
    struct epoll_event event = {.events = EPOLLIN}, events[EVENTS_MAX];
    int listener = listen_at(port), epoll = epoll_create1(0);
    if (listener < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event) != 0)
        return 1;
    for (;;) {
        int count = epoll_wait(epoll, events, EVENTS_MAX, -1);
        for (int i = 0; i < count; i++) {
            struct client *client = events[i].data.ptr;
            if (!client) {
                take_client(epoll, listener);
            } else if (!serve(client)) {
                close(client->fd);
                free(client);
            }
        }
    }
}
