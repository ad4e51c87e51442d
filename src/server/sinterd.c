/* SPDX-License-Identifier: MIT */
/*
 * sinterd.c - the program: options, what needs root, the cache, workers, and the end. The process's
 * first thread accepts connections.
 */
#include <fcntl.h>
#include <grp.h>
#include <malloc.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "server/auth.h"
#include "server/dump.h"
#include "server/limit.h"
#include "server/listen.h"
#include "server/options.h"
#include "server/worker.h"

#define CACHE_WAIT_MS "5" /* a worker at most, for memory on its way: then others have their turn */
#define FILES_BESIDE  32u /* descriptors beside connections */

/* ---- what needs root ------------------------------------------------------------------------- */

static bool
allow_files(const struct sd_settings *settings)
{
    struct rlimit limit;
    rlim_t need = settings->connections + settings->threads * 2 + FILES_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return sd_complain("descriptors: %s", strerror(errno));
    if (limit.rlim_cur != RLIM_INFINITY && limit.rlim_cur < need) {
        limit.rlim_cur = need;
        limit.rlim_max = limit.rlim_max < need ? need : limit.rlim_max;
        if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
            return sd_complain("-c: so many descriptors are not allowed: %s", strerror(errno));
    }
    return true;
}

static void
limit_cores(bool cores)
{
    struct rlimit none = {0, 0};
    if (cores && getrlimit(RLIMIT_CORE, &none) == 0)
        none.rlim_cur = none.rlim_max;
    setrlimit(RLIMIT_CORE, &none);
    if (!cores)
        prctl(PR_SET_DUMPABLE, 0);
}

static bool
become_user(const struct sd_settings *settings)
{
    const struct passwd *user;
    if (geteuid() != 0 || !settings->user) /* as memcached: others stay who they are */
        return geteuid() != 0 ||
               sd_complain("started by root: it needs -u NAME, the user to become (-u root: none)");
    user = getpwnam(settings->user);
    if (!user)
        return sd_complain("%s: there is no such user", settings->user);
    if (user->pw_uid == 0)
        return true;
    if (setgroups(0, NULL) != 0 || setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)
        return sd_complain("%s: %s", settings->user, strerror(errno));
    return true;
}

static bool
write_pid(const struct sd_settings *settings)
{
    FILE *file = settings->pid_file ? fopen(settings->pid_file, "we") : NULL;
    if (file)
        fprintf(file, "%ld\n", (long)getpid());
    return !settings->pid_file || (file && fclose(file) == 0) ||
           sd_complain("%s: %s", settings->pid_file, strerror(errno));
}

/* ---- the server ------------------------------------------------------------------------------ */

static void
on_cache_error(void *opaque, const char *message)
{
    (void)opaque;
    sd_complain("cache: %s", message);
}

static bool
open_cache(struct sd_server *server)
{
    struct sinter_cache_options options = SINTER_CACHE_OPTIONS_INIT;
    if (!sd_limit_open(server))
        return sd_complain("-I: it is more than half of -m");
    options.name = "sinterd";
    options.limit_bytes = server->cache_limit;
    options.error = on_cache_error;
    server->cache = sinter_cache_create(&options);
    if (!server->cache)
        return sd_complain("cache: %s", strerror(errno));
    (void)sinter_cache_configure(server->cache, "wait_ms", CACHE_WAIT_MS);
    return true;
}

static bool
open_server(struct sd_server *server)
{
    const struct sd_settings *settings = &server->settings;
    server->began_ms = sd_now_ms();
    server->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    server->counts = calloc(settings->threads, sizeof(*server->counts));
    server->pools = calloc(settings->threads, sizeof(*server->pools));
    if (server->wake < 0 || !server->counts || !server->pools)
        return sd_complain("start: %s", strerror(errno));
    for (unsigned i = 0; i < settings->threads; i++)
        server->pools[i].beyond = &server->beyond;
    if (settings->auth_file && !(server->auth = sd_auth_open(settings->auth_file)))
        return false;
    if (!open_cache(server))
        return false;
    if (settings->dump_file)
        sd_dump_load(server);
    int rc = sd_workers_start(server);
    return rc == 0 || sd_complain("threads: %s", strerror(-rc));
}

static void
close_server(struct sd_server *server)
{
    bool served = server->workers != NULL;
    if (served)
        sd_workers_stop(server);
    sd_dump_join(server);
    if (served && server->settings.dump_file)
        (void)sd_dump_write(server);
    if (server->cache)
        (void)sinter_cache_destroy(server->cache);
    sd_auth_close(server->auth);
    free(server->counts);
    free(server->pools);
    if (server->wake > 0)
        close(server->wake);
}

/* All threads are made with these signals blocked; the first one reads them. */
static int
open_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static bool
serve(struct sd_server *server, struct sd_listener *listener)
{
    int signals = open_signals();
    bool is_open = signals >= 0 && open_server(server) && write_pid(&server->settings);
    if (is_open) {
        sd_listen_tell(listener, &server->settings);
        sd_accept(server, listener, signals);
        sd_listen_close(listener, &server->settings); /* before the dump, which takes its time */
    }
    close_server(server);
    if (signals >= 0)
        close(signals);
    return is_open;
}

/* A port may need root; a Unix socket is the user's. */
static bool
prepare(struct sd_settings *settings, struct sd_listener *listener)
{
    bool is_port = settings->unix_path == NULL;
    if (!allow_files(settings) || (is_port && !sd_listen_open(listener, settings)) ||
        !become_user(settings) || (!is_port && !sd_listen_open(listener, settings)))
        return false;
    limit_cores(settings->cores);
    if (settings->background && daemon(1, settings->verbose > 0) != 0)
        return sd_complain("-d: %s", strerror(errno));
    return true;
}

int
main(int argc, char **argv)
{
    static struct sd_server server;
    struct sd_listener listener = {.count = 0};
    switch (sd_options_read(&server.settings, argc, argv)) {
    case SD_START_DONE:
        return 0;
    case SD_START_WRONG:
        return 64; /* EX_USAGE */
    case SD_START_SERVE:
        break;
    }
    prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0); /* a page that is touched is not to take 512 */
    mallopt(M_ARENA_MAX, 1);               /* buffers of many threads, of one pool */
    mallopt(M_MMAP_THRESHOLD, 128 << 10);
    rcu_register_thread();
    bool served = prepare(&server.settings, &listener) && serve(&server, &listener);
    sd_listen_close(&listener, &server.settings);
    if (served && server.settings.pid_file)
        unlink(server.settings.pid_file);
    rcu_unregister_thread();
    return served ? 0 : 71; /* EX_OSERR */
}
