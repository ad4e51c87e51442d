/* SPDX-License-Identifier: MIT */
/*
 * damage.c - reads damaged cores: damage CORE ROUNDS [NAME]. Bytes of the file are overwritten,
 * what reads stores goes over all of it, and the bytes come back. It must not crash, nor go on for
 * ever, and what it refuses it refuses with a sentence. Most rounds damage what is looked at first:
 * the file's head, the table of offsets, the stores' structs. Of one round in twenty the commands
 * that look at single objects, and at what reaches them, read the core, too.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/look.h"

static char *file; /* the core, mapped */
static uint64_t bytes;
static uint64_t places[4];
static unsigned refused, damaged, read_whole;
static uint64_t state = 0x9e3779b97f4a7c15;

static uint64_t
random_below(uint64_t bound)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % bound;
}

static FILE *told; /* stdout and stderr are what is read says */

static void
fail(const char *what)
{
    fprintf(told, "damage: %s\n", what);
    exit(1);
}

static uint64_t
find(const char *text, size_t length)
{
    const char *found = memmem(file, bytes, text, length);
    return found ? (uint64_t)(found - file) : 0;
}

static void
read_all(const char *path)
{
    static struct reader_store store;
    const char *error = NULL;
    struct breakdown breakdown;
    struct reader *reader = reader_open(path, &error);
    bool found = reader && reader_first(reader, &store, &error);
    uint64_t seen = 0;
    FILE *nowhere = fopen("/dev/null", "w");
    while (found && map_count(reader, &store, READER_SAMPLE, nowhere, false, &breakdown, &error)) {
        damaged += breakdown.damaged > 0;
        seen++;
        found = reader_next(reader, &store, &error);
    }
    fclose(nowhere);
    reader_close(reader);
    if (error && (strlen(error) < 20 || strchr(error, '\n')))
        fail("what was refused was refused without a sentence");
    refused += error || seen == 0; /* the list may have become empty */
    read_whole += !error && seen > 0;
}

/* What the commands say is not looked at: none is to crash. */
static void
run_commands(const char *path)
{
    static int (*const commands[])(int argc, char **argv) = {
        command_reach, command_memory,  command_spans, command_objects,
        command_check, command_readers, command_cache, command_doctor};
    static int (*const with_number[])(int argc, char **argv) = {command_span, command_ptr,
                                                                command_handle, command_find};
    static const char *const numbers[] = {"1", "0x1000001", "0x7f0000000000", "100"};
    for (unsigned i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        commands[i](1, (char *[]){(char *)(uintptr_t)path, NULL});
    command_item(2, (char *[]){(char *)(uintptr_t)path, (char *)(uintptr_t) "key:29999", NULL});
    for (unsigned i = 0; i < sizeof(with_number) / sizeof(with_number[0]); i++)
        with_number[i](2, (char *[]){(char *)(uintptr_t)path,
                                     (char *)(uintptr_t)numbers[random_below(4)], NULL});
}

/* Overwrites some bytes, near one another, by random ones, zeros, ones, or what lies elsewhere. */
static void
spoil(uint64_t at, size_t length)
{
    unsigned kind = (unsigned)random_below(4);
    for (size_t i = 0; i < length; i++)
        file[at + i] = (char)(kind == 0   ? 0
                              : kind == 1 ? -1
                              : kind == 2 ? file[random_below(bytes)]
                                          : (int)random_below(256));
}

static void
round_of_damage(const char *path)
{
    char saved[64];
    uint64_t at = random_below(bytes - 65536), place = places[random_below(4)];
    if (random_below(4) != 0)
        at = place + random_below(8192); /* the table of offsets has 5 KiB */
    size_t length = 1 + random_below(random_below(2) ? 8 : sizeof(saved));
    memcpy(saved, file + at, length);
    spoil(at, length);
    read_all(path);
    if (random_below(20) == 0)
        run_commands(path);
    memcpy(file + at, saved, length);
}

static void
cut_short(const char *path)
{
    for (uint64_t length = 1; length < bytes; length = length * 3 + 17) {
        if (truncate(path, (off_t)length) != 0)
            fail("truncate");
        unsigned before = refused;
        read_all(path);
        if (refused == before)
            fail("a core that is cut short was not refused");
    }
}

int
main(int argc, char **argv)
{
    struct stat status;
    char name[32] = "hoard"; /* of its store */
    int fd = argc == 3 || argc == 4 ? open(argv[1], O_RDWR) : -1;
    if (fd < 0 || fstat(fd, &status) != 0 || status.st_size < 1 << 20) {
        fputs("usage: damage CORE ROUNDS [NAME]\n", stderr);
        return 1;
    }
    bytes = (uint64_t)status.st_size;
    file = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    told = fdopen(dup(STDOUT_FILENO), "w");
    if (file == MAP_FAILED || !told || !freopen("/dev/null", "w", stderr) ||
        !freopen("/dev/null", "w", stdout))
        return 1;
    places[1] = find("SINTERDB", 8);
    if (argc == 4)
        snprintf(name, sizeof(name), "%s", argv[3]);
    places[2] = find(name, 16) - 64;
    places[3] = places[2] + 4096;
    read_all(argv[1]);
    if (read_whole != 1 || damaged != 0)
        return 1;
    for (unsigned long i = strtoul(argv[2], NULL, 10); i > 0; i--)
        round_of_damage(argv[1]);
    munmap(file, bytes);
    cut_short(argv[1]);
    run_commands(argv[1]);
    fprintf(told, "%u refused, %u with damage told, %u read to the end\n", refused, damaged,
            read_whole);
    return refused > 0 && damaged > 0 ? 0 : 1;
}
