/* SPDX-License-Identifier: MIT */
/*
 * hoard.c - a program that others look into: hoard OBJECTS CORE [arena]. It fills a store with so
 * many objects of different sizes, frees three of four of some, holds pins, and begins to wait: it
 * says "ready", and ends when its input does. A line "grow" makes it ten times as large first,
 * "compact" packs it, "stats PATH" writes its statistics, "metrics PATH" the same for Prometheus,
 * "churn COUNT" allocates and frees so many objects, "crash" ends it by SIGSEGV. Every object
 * begins with MARKER, which is in no core that has no contents. What it says of itself is what a
 * reader must find:
 *
 *   ready rss=BYTES objects=COUNT bytes=REQUESTED pinned=COUNT
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "flavour.h"

#define MARKER "an object of the hoard"

static handle_store *store;
static handle_t *handles;
static handle_cell cells[64];
static unsigned long count, live, bytes, pinned;

static void
fail(const char *what)
{
    perror(what);
    exit(1);
}

static size_t
size_of(unsigned long i)
{
    static const size_t sizes[] = {40, 100, 100, 260, 1000, 24, 5000};
    return i % 5000 == 4999 ? 200000 : sizes[i % 7];
}

static void
fill(unsigned long more)
{
    handles = realloc(handles, (count + more) * sizeof(handles[0]));
    if (!handles)
        fail("handles");
    for (unsigned long end = count + more; count < end; count++) {
        void *object;
        rcu_read_lock();
        handles[count] = handle_alloc_object(store, size_of(count), 0, &object);
        if (handles[count] == HANDLE_NULL)
            fail("handle_alloc_object");
        memset(object, 'o', size_of(count));
        memcpy(object, MARKER, sizeof(MARKER));
        rcu_read_unlock();
        live++;
        bytes += size_of(count);
    }
}

static void
name_by_cells(void)
{
    for (unsigned i = 0; i < sizeof(cells) / sizeof(cells[0]); i++) {
        rcu_read_lock();
        void *object = handle_cell_alloc(store, &cells[i], 100, 0);
        if (!object)
            fail("handle_cell_alloc");
        memcpy(object, MARKER, sizeof(MARKER));
        rcu_read_unlock();
        live++;
        bytes += 100;
    }
}

static void
thin_out(void)
{
    for (unsigned long i = 0; i < count; i++) {
        if ((i % 7 != 3 && i % 7 != 4) || i % 4 == 0)
            continue;
        if (handle_free(store, handles[i]) != 0)
            fail("handle_free");
        handles[i] = HANDLE_NULL;
        live--;
        bytes -= size_of(i);
    }
}

static void
pin_some(void)
{
    for (unsigned long i = 0; i < count && pinned < 20; i += 500) {
        rcu_read_lock();
        pinned += handles[i] != HANDLE_NULL && handle_pin(store, handles[i]) != NULL;
        rcu_read_unlock();
    }
}

static unsigned long
resident_bytes(void)
{
    unsigned long size, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file || fscanf(file, "%lu %lu", &size, &resident) != 2)
        fail("/proc/self/statm");
    fclose(file);
    return resident * 4096;
}

static void
say_ready(void)
{
    if (handle_store_reclaim(store, SIZE_MAX) != 0)
        fail("handle_store_reclaim");
    printf("ready rss=%lu objects=%lu bytes=%lu pinned=%lu\n", resident_bytes(), live, bytes,
           pinned);
    fflush(stdout);
}

static void
write_text(void *file, const char *text, size_t length)
{
    fwrite(text, 1, length, file);
}

static void
write_statistics(const char *path, enum handle_stats_format format)
{
    FILE *file = fopen(path, "w");
    if (!file || handle_store_stats_print(store, format, write_text, file) != 0)
        fail("handle_store_stats_print");
    fclose(file);
    say_ready();
}

static void
churn(unsigned long more)
{
    for (unsigned long i = 0; i < more; i++)
        if (handle_free(store, handle_alloc(store, 100)) != 0)
            fail("handle_free");
    say_ready();
}

/* A command of one line, without its end. */
static void
obey(const char *command, unsigned long objects)
{
    if (strcmp(command, "crash") == 0)
        raise(SIGSEGV);
    if (strcmp(command, "grow") == 0) {
        fill(9 * objects);
        say_ready();
    }
    if (strcmp(command, "compact") == 0) {
        if (handle_store_compact(store, NULL) != 0 || handle_store_purge(store, NULL) != 0)
            fail("handle_store_compact");
        say_ready();
    }
    if (strncmp(command, "stats ", 6) == 0)
        write_statistics(command + 6, HANDLE_STATS_JSON);
    if (strncmp(command, "metrics ", 8) == 0)
        write_statistics(command + 8, HANDLE_STATS_PROMETHEUS);
    if (strncmp(command, "churn ", 6) == 0)
        churn(strtoul(command + 6, NULL, 10));
}

int
main(int argc, char **argv)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    char line[512];
    if (argc < 3)
        return 2;
    options.name = "hoard";
    options.defrag.enabled = false;
    options.core = strcmp(argv[2], "metadata") == 0 ? HANDLE_CORE_METADATA
                   : strcmp(argv[2], "none") == 0   ? HANDLE_CORE_NONE
                                                    : HANDLE_CORE_FULL;
    if (argc > 3 && strcmp(argv[3], "arena") == 0)
        options.arena_bytes = (uint64_t)20 << 30;
    rcu_register_thread();
    store = handle_store_create(&options);
    if (!store)
        fail("handle_store_create");
    unsigned long objects = strtoul(argv[1], NULL, 10);
    fill(objects);
    name_by_cells();
    thin_out();
    pin_some();
    say_ready();
    while (fgets(line, sizeof(line), stdin)) {
        line[strcspn(line, "\n")] = 0;
        obey(line, objects);
    }
    return 0;
}
