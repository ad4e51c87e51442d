/* SPDX-License-Identifier: MIT */
/*
 * servers.c - cache servers side by side, through sockets, while the sizes of values shift: does
 * the process keep to the memory that it was told, and does it still have what was written last?
 * memcached and Redis as they are installed, and sinterd, each in turn as a process of its own;
 * every value that is read is compared. The driver is that of bench/load, as are the questions.
 *
 *     example_servers --sinterd PATH [--limit MIB] [--turns N]      limit: 16 to 1024, default 64
 */
#include "shift.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KINDS 3u

static const struct kind {
    enum process_kind kind;
    const char *title, *package;
} kinds[KINDS] = {{PROCESS_MEMCACHED, "memcached", "memcached"},
                  {PROCESS_REDIS, "Redis", "redis-server"},
                  {PROCESS_SINTERD, "sinterd", "see src/server/README.md"}};

static struct shift_result results[KINDS];
static bool ran[KINDS];
static unsigned limit_mib = 64;
static double turns = 3;

static void
progress(const struct shift_options *options, unsigned phase, unsigned step)
{
    if (step == 0)
        printf("  %-10s values of %s bytes ", process_name(options->server.kind),
               shift_names[phase]);
    putchar('.');
    if (step + 1 == SHIFT_STEPS)
        putchar('\n');
    fflush(stdout);
}

/* False: it failed. A server that is not there is left out. */
static bool
run(unsigned which, const char *sinterd)
{
    struct shift_options options = {
        .server = {.kind = kinds[which].kind, .limit_mib = limit_mib, .threads = 2},
        .turns = turns,
        .rest_ms = 1000,
        .reads = 2000,
        .depth = 32,
        .seed = 1,
        .progress = progress,
    };
    if (options.server.kind == PROCESS_SINTERD)
        options.server.program = sinterd;
    if (!process_is_installed(&options.server)) {
        printf("  %-10s is not installed, left out (Debian: %s)\n", kinds[which].title,
               kinds[which].package);
        return options.server.kind != PROCESS_SINTERD;
    }
    const char *failure = shift_run(&options, &results[which]);
    if (failure)
        printf("\n  %s: %s\n", kinds[which].title, failure);
    ran[which] = failure == NULL;
    return ran[which] && results[which].wrong == 0;
}

/* ---- the table ------------------------------------------------------------------------------- */

static double
highest_mib(const struct shift_phase *p)
{
    return p->highest / 1048576;
}

static double
held_mib(const struct shift_phase *p)
{
    return p->held / 1048576;
}

static double
newest_percent(const struct shift_phase *p)
{
    return p->newest * 100;
}

static double
refused(const struct shift_phase *p)
{
    return (double)p->refused;
}

static double
longest_ms(const struct shift_phase *p)
{
    return p->wait_longest_us * 1e-3;
}

static void
print_rows(const char *title, double (*value)(const struct shift_phase *))
{
    printf("\n  %-46s", title);
    for (unsigned i = 0; i < SHIFT_PHASES; i++)
        printf("%9s", shift_names[i]);
    printf("\n");
    for (unsigned k = 0; k < KINDS; k++) {
        if (!ran[k])
            continue;
        printf("    %-44s", kinds[k].title);
        for (unsigned i = 0; i < SHIFT_PHASES; i++)
            printf("%9.0f", value(&results[k].phase[i]));
        printf("\n");
    }
}

static void
print_table(void)
{
    char title[64];
    snprintf(title, sizeof(title), "memory the process took, MiB (told: %u)", limit_mib);
    print_rows(title, highest_mib);
    print_rows("of the keys written last, still there, %", newest_percent);
    print_rows("keys and values it holds, MiB", held_mib);
    print_rows("sets refused", refused);
    print_rows("longest wait of a single get, ms", longest_ms);
    printf(
        "\nKeys written last: those of the last %u MiB, half of the limit. Nobody reads but who\n"
        "counts. A short run is not kind to any of them: Redis tells how long a key was not\n"
        "used by a clock that ticks in seconds, so that keys of one second are alike to it;\n"
        "memcached moves memory between sizes in the background, and has little time for it;\n"
        "of %u MiB sinterd needs 5 for itself, and what it holds back to compact. Waits are\n"
        "those of a machine whose processors the drivers share.\n",
        limit_mib / 2, limit_mib);
}

static void
usage(void)
{
    fputs(
        "usage: example_servers --sinterd PATH [--limit MIB] [--turns N]\n"
        "  limit 16 to 1024, default 64; turns, limits written of each size, 1 to 10, default 3\n",
        stderr);
    exit(2);
}

static unsigned
number(const char *text, unsigned least, unsigned most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || value < least || value > most)
        usage();
    return (unsigned)value;
}

int
main(int argc, char **argv)
{
    const char *sinterd = NULL;
    bool good = true;
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            usage();
        if (strcmp(argv[i], "--sinterd") == 0)
            sinterd = argv[i + 1];
        else if (strcmp(argv[i], "--limit") == 0)
            limit_mib = number(argv[i + 1], 16, 1024);
        else if (strcmp(argv[i], "--turns") == 0)
            turns = number(argv[i + 1], 1, 10);
        else
            usage();
    }
    printf("A cache of %u MiB, asked over TCP. Values change their sizes, from 240-256 bytes to\n"
           "272-288, 16-64 and 640; of each, new keys of %.0f MiB are written.\n\n",
           limit_mib, turns * limit_mib);
    for (unsigned i = 0; i < KINDS; i++)
        good = run(i, sinterd) && good;
    print_table();
    return !good;
}
