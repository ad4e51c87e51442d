/* SPDX-License-Identifier: MIT */
/* listen.c - see listen.h. */
#include "server/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "server/dump.h"
#include "server/limit.h"
#include "server/worker.h"

#define LOOK_MS    250 /* at memory and at what is due */
#define PAUSE_MS   10  /* without descriptors or memory for a connection */
#define ACCEPT_MAX 64u /* in a row */

/* ---- opening --------------------------------------------------------------------------------- */

static bool
complain(const char *where, const char *why)
{
    return sd_complain("cannot listen at %s: %s", where, why);
}

static bool
add_socket(struct sd_listener *listener, int fd)
{
    if (listener->count == sizeof(listener->fd) / sizeof(listener->fd[0]))
        return false;
    listener->fd[listener->count++] = fd;
    return true;
}

/* Where both protocols have it. */
static in_port_t *
port_in(struct sockaddr *address)
{
    _Static_assert(offsetof(struct sockaddr_in, sin_port) ==
                       offsetof(struct sockaddr_in6, sin6_port),
                   "ports stand in one place");
    return &((struct sockaddr_in *)(void *)address)->sin_port;
}

static in_port_t
port_of(int fd)
{
    struct sockaddr_storage address = {.ss_family = AF_UNSPEC};
    socklen_t size = sizeof(address);
    (void)getsockname(fd, (struct sockaddr *)&address, &size);
    return *port_in((struct sockaddr *)&address);
}

/* 0, or an errno. */
static int
open_address(struct sd_listener *listener, const struct addrinfo *info, unsigned backlog)
{
    int one = 1, fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)); /* connections inherit it */
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, info->ai_addr, info->ai_addrlen) == 0 && listen(fd, (int)backlog) == 0 &&
        add_socket(listener, fd))
        return 0;
    int rc = errno ? errno : EINVAL;
    close(fd);
    return rc;
}

/* All addresses of a name, or as many as there are protocols for. NULL: loopback; "*": all. */
static bool
open_name(struct sd_listener *listener, const struct sd_settings *settings, const char *host,
          const char *port)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    bool any = host && strcmp(host, "*") == 0;
    hints.ai_flags = any ? AI_PASSIVE : 0;
    const char *name = host ? host : "127.0.0.1 or ::1";
    int rc = getaddrinfo(any ? NULL : host, port, &hints, &found), failed = 0;
    unsigned before = listener->count;
    if (rc != 0)
        return complain(name, gai_strerror(rc));
    for (const struct addrinfo *info = found; info; info = info->ai_next) {
        if (strcmp(port, "0") == 0 && listener->count > before) /* both protocols on one */
            *port_in(info->ai_addr) = port_of(listener->fd[before]);
        rc = open_address(listener, info, settings->backlog);
        failed = rc && failed != EADDRINUSE ? rc : failed;
    }
    freeaddrinfo(found);
    return (listener->count > before && (host || failed != EADDRINUSE)) ||
           complain(name, strerror(failed));
}

/* host, host:port, [host]:port; NULL: loopback */
static bool
open_spec(struct sd_listener *listener, const struct sd_settings *settings, const char *spec)
{
    char port[16];
    snprintf(port, sizeof(port), "%u", settings->port);
    if (!spec)
        return open_name(listener, settings, NULL, port);
    const char *colon = strrchr(spec, ':'), *bracket = strrchr(spec, ']');
    bool has_port = colon && (bracket ? colon == bracket + 1 : strchr(spec, ':') == colon);
    const char *end = *spec == '[' && bracket ? bracket : has_port ? colon : strchr(spec, 0);
    char host[256];
    spec += *spec == '[' && bracket;
    if (end == spec || end - spec >= (ptrdiff_t)sizeof(host))
        return complain(spec, "it is no address");
    *sd_put_bytes(host, spec, (size_t)(end - spec)) = 0;
    return open_name(listener, settings, host, has_port ? colon + 1 : port);
}

/* A socket that nobody listens at any more is replaced. */
static bool
open_unix(struct sd_listener *listener, const struct sd_settings *settings)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;
    const char *path = settings->unix_path;
    if (strlen(path) >= sizeof(address.sun_path))
        return complain(path, "the path is too long");
    memcpy(address.sun_path, path, strlen(path) + 1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return complain(path, strerror(errno));
    if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode) &&
        connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0 && errno == ECONNREFUSED)
        unlink(path);
    mode_t mask = umask((mode_t)(0777 & ~settings->unix_mode));
    int rc = bind(fd, (struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (rc == 0 && listen(fd, (int)settings->backlog) == 0 && add_socket(listener, fd))
        return true;
    complain(path, strerror(errno));
    close(fd);
    return false;
}

void
sd_listen_tell(const struct sd_listener *listener, struct sd_settings *settings)
{
    unsigned port = settings->port;
    if (!settings->unix_path)
        settings->port = ntohs(port_of(listener->fd[0]));
    if (port == 0 && settings->port)
        fprintf(stderr, "sinterd: port %u\n", settings->port);
}

bool
sd_listen_open(struct sd_listener *listener, const struct sd_settings *settings)
{
    bool is_open = true;
    listener->count = 0;
    if (settings->unix_path)
        is_open = open_unix(listener, settings);
    else if (!settings->listens)
        is_open = open_spec(listener, settings, NULL);
    for (unsigned i = 0; i < settings->listens && is_open && !settings->unix_path; i++)
        is_open = open_spec(listener, settings, settings->listen[i]);
    if (!is_open)
        sd_listen_close(listener, settings);
    return is_open;
}

void
sd_listen_close(struct sd_listener *listener, const struct sd_settings *settings)
{
    for (unsigned i = 0; i < listener->count; i++)
        close(listener->fd[i]);
    if (settings->unix_path && listener->count)
        unlink(settings->unix_path);
    listener->count = 0;
}

/* ---- accepting ------------------------------------------------------------------------------- */

/** What the accepting thread remembers. */
struct acceptor {
    struct sd_server *server;
    unsigned turn;      /* whose the next connection is */
    uint64_t paused_ms; /* since when nothing can be accepted; 0: it can */
    uint64_t looked_ms; /* when memory was looked at */
};

static void
take(struct acceptor *acceptor, int fd)
{
    static const char text[] = "ERROR Too many open connections\r\n";
    struct sd_server *server = acceptor->server;
    (void)sd_add(&server->conns.total, 1);
    if (sd_load(&server->conns.current) < server->settings.connections) {
        sd_worker_take(&server->workers[acceptor->turn++ % server->settings.threads], fd);
        return;
    }
    (void)!send(fd, text, sizeof(text) - 1, MSG_DONTWAIT | MSG_NOSIGNAL);
    close(fd);
    (void)sd_add(&server->conns.rejected, 1);
}

/* Without descriptors connections wait in the backlog. */
static void
pause_accepting(struct acceptor *acceptor)
{
    acceptor->paused_ms = sd_now_ms();
    (void)sd_add(&acceptor->server->conns.listen_disabled, 1);
    sd_store(&acceptor->server->conns.accepting, 0);
}

static void
resume_accepting(struct acceptor *acceptor)
{
    if (acceptor->paused_ms)
        (void)sd_add(&acceptor->server->conns.listen_disabled_us,
                     (sd_now_ms() - acceptor->paused_ms) * 1000);
    acceptor->paused_ms = 0;
    sd_store(&acceptor->server->conns.accepting, 1);
}

static void
accept_some(struct acceptor *acceptor, int listener)
{
    for (unsigned i = 0; i < ACCEPT_MAX; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd >= 0) {
            take(acceptor, fd);
            continue;
        }
        if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
            pause_accepting(acceptor);
        if (errno != EINTR && errno != ECONNABORTED)
            return;
    }
}

static void
look(struct acceptor *acceptor)
{
    struct sd_server *server = acceptor->server;
    uint64_t due = sd_load(&server->flush_at_ms), now = sd_now_ms();
    if (due && now >= due &&
        __atomic_compare_exchange_n(&server->flush_at_ms, &due, 0, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED))
        (void)sinter_cache_clear(server->cache);
    if (now - acceptor->looked_ms < LOOK_MS)
        return;
    acceptor->looked_ms = now;
    sd_limit_follow(server);
}

static int
time_to_wait(const struct acceptor *acceptor)
{
    uint64_t due = sd_load(&acceptor->server->flush_at_ms), now = sd_now_ms();
    int wait = acceptor->paused_ms ? PAUSE_MS : LOOK_MS;
    return due && due < now + (uint64_t)wait ? (int)(due > now ? due - now : 0) : wait;
}

/* True: the process is to end. */
static bool
read_signals(struct sd_server *server, int signals)
{
    struct signalfd_siginfo info;
    uint64_t woken;
    bool ends = false;
    while (read(signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGUSR1)
            sd_dump_begin(server);
        else
            ends = true;
    }
    (void)!read(server->wake, &woken, sizeof(woken));
    return ends || sd_load(&server->stop);
}

void
sd_accept(struct sd_server *server, const struct sd_listener *listener, int signals)
{
    struct pollfd wait[2 * SD_LISTENERS_MOST + 2] = {{signals, POLLIN, 0},
                                                     {server->wake, POLLIN, 0}};
    struct acceptor acceptor = {.server = server};
    for (unsigned i = 0; i < listener->count; i++)
        wait[i + 2] = (struct pollfd){listener->fd[i], POLLIN, 0};
    do {
        unsigned sockets = acceptor.paused_ms ? 0 : listener->count;
        int ready = poll(wait, sockets + 2, time_to_wait(&acceptor));
        resume_accepting(&acceptor);
        for (unsigned i = 2; ready > 0 && i < sockets + 2; i++)
            if (wait[i].revents)
                accept_some(&acceptor, wait[i].fd);
        look(&acceptor);
    } while (!read_signals(server, signals));
}
