/* SPDX-License-Identifier: MIT */
/*
 * process.c - see process.h. What each server is started with stands here; nothing is tuned, but
 * memory, threads and, for Redis, that it is a cache and writes nothing to disk.
 */
#include "process.h"
#include "engine.h"
#include "null.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ARGUMENTS_MAX 32
#define TRIES         500 /* of 20 ms, until it answers */

static const struct kind {
    const char *name, *program;
    enum wire_protocol protocol;
} kinds[] = {
    [PROCESS_SINTERD] = {"sinterd", "sinterd", WIRE_TEXT},
    [PROCESS_MEMCACHED] = {"memcached", "memcached", WIRE_TEXT},
    [PROCESS_REDIS] = {"redis", "redis-server", WIRE_RESP},
    [PROCESS_NULL] = {"sockets alone", NULL, WIRE_TEXT},
};

const char *
process_name(enum process_kind kind)
{
    return kinds[kind].name;
}

/* ---- which program --------------------------------------------------------------------------- */

static bool
is_in(const char *dir, size_t size, const char *name, char *path, size_t room)
{
    snprintf(path, room, "%.*s/%s", (int)size, dir, name);
    return access(path, X_OK) == 0;
}

/* Servers are in sbin, which is not in everybody's PATH. */
static bool
find(const char *name, char *path, size_t room)
{
    const char *dirs = getenv("PATH");
    while (dirs && *dirs) {
        size_t size = strcspn(dirs, ":");
        if (is_in(dirs, size, name, path, room))
            return true;
        dirs += size + (dirs[size] == ':');
    }
    return is_in("/usr/sbin", 9, name, path, room) ||
           is_in("/usr/local/sbin", 15, name, path, room);
}

static bool
program_of(const struct process_options *options, char *path, size_t room)
{
    if (!options->program)
        return find(kinds[options->kind].program, path, room);
    snprintf(path, room, "%s", options->program);
    return access(path, X_OK) == 0;
}

bool
process_is_installed(const struct process_options *options)
{
    char path[4096];
    return options->kind == PROCESS_NULL || program_of(options, path, sizeof(path));
}

/* ---- how it is started ----------------------------------------------------------------------- */

struct command {
    char text[ARGUMENTS_MAX][64];
    char *argument[ARGUMENTS_MAX + 1];
    unsigned count;
};

static void add(struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void
add(struct command *command, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = command->text[command->count];
    vsnprintf(text, sizeof(command->text[0]), format, args);
    va_end(args);
    command->argument[command->count++] = text;
}

static void
add_pair(struct command *command, const char *option, const char *value)
{
    add(command, "%s", option);
    add(command, "%s", value);
}

static void
add_number(struct command *command, const char *option, unsigned value)
{
    add(command, "%s", option);
    add(command, "%u", value);
}

static void
command_of_memcached(struct command *command, const struct process_options *options, unsigned port)
{
    add_pair(command, "-l", "127.0.0.1");
    add_number(command, "-p", port);
    add_pair(command, "-U", "0");
    add_number(command, "-m", options->limit_mib);
    add_number(command, "-t", options->threads);
    if (geteuid() == 0)
        add_pair(command, "-u", "nobody");
}

static void
command_of_redis(struct command *command, const struct process_options *options, unsigned port)
{
    add_pair(command, "--bind", "127.0.0.1");
    add_number(command, "--port", port);
    add_pair(command, "--save", "");
    add_pair(command, "--appendonly", "no");
    add_pair(command, "--dir", "/tmp");
    add_pair(command, "--maxmemory-policy", "allkeys-lru");
    add(command, "--maxmemory");
    add(command, "%umb", options->limit_mib);
}

static void
become(const char *path, const struct process_options *options, unsigned port, int errors)
{
    static struct command command;
    add(&command, "%s", kinds[options->kind].program);
    if (options->kind == PROCESS_REDIS)
        command_of_redis(&command, options, port);
    else
        command_of_memcached(&command, options, port);
    int nothing = open("/dev/null", O_RDWR);
    dup2(nothing, 0);
    dup2(options->kind == PROCESS_REDIS ? errors : nothing, 1);
    dup2(errors, 2);
    execv(path, command.argument);
    _exit(127);
}

/* ---- until it answers ------------------------------------------------------------------------ */

static unsigned
free_port(void)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(in);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&in, size) != 0 ||
        getsockname(fd, (struct sockaddr *)&in, &size) != 0)
        in.sin_port = 0;
    close(fd);
    return ntohs(in.sin_port);
}

static void
rest(void)
{
    struct timespec some = {.tv_nsec = 20000000};
    nanosleep(&some, NULL);
}

static bool
is_up(struct process *process)
{
    for (int i = 0; i < TRIES && waitpid(process->pid, NULL, WNOHANG) == 0; i++) {
        int fd = engine_dial(&process->address);
        if (fd >= 0) {
            close(fd);
            return true;
        }
        rest();
    }
    return false;
}

static void
show(FILE *errors)
{
    char line[256];
    rewind(errors);
    while (fgets(line, sizeof(line), errors))
        fputs(line, stderr);
}

bool
process_start(struct process *process, const struct process_options *options)
{
    char path[4096] = "";
    FILE *errors = tmpfile();
    unsigned port = free_port();
    if (!errors || !port ||
        (options->kind != PROCESS_NULL && !program_of(options, path, sizeof(path))))
        return false;
    *process = (struct process){.address = {.host = "127.0.0.1", .port = port},
                                .protocol = kinds[options->kind].protocol};
    process->pid = fork();
    if (process->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (options->kind == PROCESS_NULL)
            _exit(null_serve(port));
        become(path, options, port, fileno(errors));
    }
    bool up = process->pid > 0 && is_up(process);
    if (!up)
        show(errors);
    fclose(errors);
    return up;
}

void
process_end(struct process *process)
{
    kill(process->pid, SIGTERM);
    waitpid(process->pid, NULL, 0);
    process->pid = 0;
}

/* ---- looking at it --------------------------------------------------------------------------- */

uint64_t
process_resident(const struct process *process)
{
    return engine_resident((int)process->pid);
}

uint64_t
process_cpu_ns(const struct process *process)
{
    clockid_t clock;
    struct timespec used = {0};
    if (clock_getcpuclockid(process->pid, &clock) == 0)
        clock_gettime(clock, &used);
    return (uint64_t)used.tv_sec * UINT64_C(1000000000) + (uint64_t)used.tv_nsec;
}
