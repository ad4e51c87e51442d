/* SPDX-License-Identifier: MIT */
/*
 * diff.c - handle_stats_diff over random statistics: before and the difference make after, for each
 * figure that is printed, and no figure that differs is missing; of the same statistics it prints
 * an empty object, and no text.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flavour.h"

static struct handle_stats before, after;
static char text[65536];
static size_t used;
static uint64_t state = 12345;

static void
fail(const char *what)
{
    fprintf(stderr, "diff: %s\n%s\n", what, text);
    exit(1);
}

static uint64_t
random_number(void)
{
    state = state * UINT64_C(6364136223846793005) + 1442695040888963407;
    return state >> 33;
}

static void
collect(void *opaque, const char *piece, size_t length)
{
    (void)opaque;
    if (length == 0 || length > 256 || used + length >= sizeof(text))
        fail("a piece is too long");
    memcpy(text + used, piece, length);
    text[used += length] = 0;
}

static void
diff(enum handle_stats_format format)
{
    used = 0;
    text[0] = 0;
    if (handle_stats_diff(&before, &after, format, collect, NULL) != 0)
        fail("it answers with an error");
}

#define FIGURES(X)                                                                                 \
    X(requested)                                                                                   \
    X(rounding)                                                                                    \
    X(header)                                                                                      \
    X(free_slot)                                                                                   \
    X(limbo)                                                                                       \
    X(table)                                                                                       \
    X(committed)                                                                                   \
    X(resident_unexplained)                                                                        \
    X(objects)                                                                                     \
    X(allocs)                                                                                      \
    X(frees)                                                                                       \
    X(pins)                                                                                        \
    X(recoverable)                                                                                 \
    X(moved_bytes)                                                                                 \
    X(compaction_cpu_ns)                                                                           \
    X(grace_periods)                                                                               \
    X(threads)

/* A third of the figures stay. */
static void
choose(void)
{
    before = after = (struct handle_stats)HANDLE_STATS_INIT;
#define CHOOSE(figure)                                                                             \
    before.figure = (__typeof__(before.figure))random_number();                                    \
    after.figure = random_number() % 3 ? (__typeof__(before.figure))random_number() : before.figure;
    FIGURES(CHOOSE)
}

static void
check(const char *name, int64_t old, int64_t new)
{
    char key[64];
    snprintf(key, sizeof(key), "  \"%s\": ", name);
    const char *found = strstr(text, key);
    if (!found && old != new)
        fail(name);
    if (found && old + strtoll(found + strlen(key), NULL, 10) != new)
        fail(name);
}

int
main(void)
{
    for (unsigned round = 0; round < 1000; round++) {
        choose();
        diff(HANDLE_STATS_JSON);
#define CHECK(figure) check(#figure, (int64_t)before.figure, (int64_t)after.figure);
        FIGURES(CHECK)
        before = after;
        diff(HANDLE_STATS_JSON);
        if (strcmp(text, "{}\n") != 0)
            fail("statistics differ from themselves");
        diff(HANDLE_STATS_TEXT);
        if (used != 0)
            fail("statistics differ from themselves, in words");
    }
    if (handle_stats_diff(&before, &after, HANDLE_STATS_PROMETHEUS, collect, NULL) == 0 ||
        handle_stats_diff(NULL, &after, HANDLE_STATS_TEXT, collect, NULL) == 0)
        fail("what is wrong is taken");
    return 0;
}
