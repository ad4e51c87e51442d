/* SPDX-License-Identifier: MIT */
/* server.c - see server.h. */
#include "server/server.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

bool
sd_complain(const char *format, ...)
{
    va_list arguments;
    flockfile(stderr); /* a line is whole, whoever else complains */
    fputs("sinterd: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    funlockfile(stderr);
    return false;
}

uint64_t
sd_clock_ms(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

uint64_t
sd_pools_used(const struct sd_server *server)
{
    uint64_t used = 0;
    for (unsigned i = 0; i < server->settings.threads; i++)
        used += sd_load(&server->pools[i].used);
    return used;
}

void
sd_counts_sum(const struct sd_server *server, struct sd_counts *sum)
{
    *sum = (struct sd_counts){.cmd_get = 0};
    for (unsigned i = 0; i < server->settings.threads; i++) {
#define ADD(name) sum->name += sd_load(&server->counts[i].name);
        SD_COUNTS(ADD)
#undef ADD
    }
}

void
sd_server_wake(struct sd_server *server)
{
    uint64_t one = 1;
    if (server->wake > 0)
        (void)!write(server->wake, &one, sizeof(one));
}
