/* SPDX-License-Identifier: MIT */
/* say.c - what the program says: see commands.h. */
#include <stdarg.h>
#include <time.h>

#include "tools/commands.h"

static int
complain(int status, const char *format, va_list arguments)
{
    fputs("sinter: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    return status;
}

int
say(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int status = complain(1, format, arguments);
    va_end(arguments);
    return status;
}

int
misused(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int status = complain(2, format, arguments);
    va_end(arguments);
    return status;
}

double
seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

const char *
text_of_bytes(uint64_t bytes)
{
    static char text[8][32];
    static unsigned turn;
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    char *to = text[turn++ % 8];
    uint64_t tenths = bytes * 10;
    unsigned unit = 0;
    while (tenths >= 10240 && unit < 4) {
        tenths = (tenths + 512) / 1024;
        unit++;
    }
    if (unit == 0)
        snprintf(to, sizeof(text[0]), "%llu B", (unsigned long long)bytes);
    else
        snprintf(to, sizeof(text[0]), "%llu.%llu %s", (unsigned long long)tenths / 10,
                 (unsigned long long)tenths % 10, units[unit]);
    return to;
}
