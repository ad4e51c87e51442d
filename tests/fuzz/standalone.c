/* SPDX-License-Identifier: MIT */
/*
 * standalone.c - runs a fuzz target without libFuzzer: first the files given (seeds, or an input
 * that libFuzzer found), then random inputs.
 *
 *     fuzz_ops [--ops N] [--seconds N] [--seed N] [FILE|DIRECTORY ...]
 *
 * --ops N: at least N operations of random inputs (default 0); --seconds N: random inputs until so
 * much time has passed; both: whichever comes first. The seed is printed, and every round's own:
 * with --ops and that seed the round is repeated. Exit status: 0; 2 for bad arguments; a finding
 * ends the process by a signal.
 */
#include "fuzz.h"

#include <dirent.h>
#include <sys/stat.h>
#include <time.h>

#define INPUT_BYTES_MAX (1 << 20)

static unsigned files;

static int
bad(const char *option, const char *value, const char *range)
{
    fprintf(stderr, "%s: %s is not %s\n", option, value ? value : "nothing", range);
    return 2;
}

static int
replay_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        return bad("input", path, "a file that can be read");
    uint8_t *bytes = malloc(INPUT_BYTES_MAX);
    fuzz_check(bytes != NULL);
    size_t size = fread(bytes, 1, INPUT_BYTES_MAX, file);
    fclose(file);
    /* of its own size, so that AddressSanitizer sees what is read behind it */
    uint8_t *input = malloc(size ? size : 1);
    fuzz_check(input != NULL);
    memcpy(input, bytes, size);
    free(bytes);
    LLVMFuzzerTestOneInput(input, size);
    free(input);
    files++;
    return 0;
}

static int
replay_directory(const char *path)
{
    char name[4096];
    DIR *directory = opendir(path);
    int error = directory ? 0 : bad("input", path, "a directory that can be read");
    for (struct dirent *entry; !error && (entry = readdir(directory)) != NULL;) {
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            error = replay_file(name);
    }
    if (directory)
        closedir(directory);
    return error;
}

static int
replay(const char *path)
{
    struct stat status;
    bool directory = stat(path, &status) == 0 && S_ISDIR(status.st_mode);
    return directory ? replay_directory(path) : replay_file(path);
}

static double
now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

struct extent {
    uint64_t operations, seconds, seed;
};

static void
run_random(const struct extent *extent)
{
    uint64_t before = fuzz_operations, seed = extent->seed ? extent->seed : random_seed("fuzz");
    double begin = now(), seconds = 0;
    uint64_t done = 0;
    while ((extent->operations == 0 || done < extent->operations) &&
           (extent->seconds == 0 || seconds < (double)extent->seconds)) {
        uint64_t left = extent->operations - done;
        bool short_round = extent->operations > 0 && left < fuzz_round;
        fuzz_random(seed, short_round ? left : fuzz_round);
        done = fuzz_operations - before;
        seconds = now() - begin;
        random_next(&seed);
    }
    printf("%llu random operations in %.1f s: %.2f million a second\n", (unsigned long long)done,
           seconds, (double)done / seconds * 1e-6);
}

static int
take_number(const char *option, const char *value, uint64_t *number)
{
    char *end = NULL;
    errno = 0;
    *number = value && *value != '-' ? strtoull(value, &end, 10) : 0;
    if (!end || end == value || *end || errno || *number == 0)
        return bad(option, value, "a number above 0");
    return 0;
}

int
main(int argc, char **argv)
{
    struct extent extent = {0, 0, 0};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        int error;
        if (strcmp(argv[i], "--ops") == 0)
            error = take_number(argv[i++], value, &extent.operations);
        else if (strcmp(argv[i], "--seconds") == 0)
            error = take_number(argv[i++], value, &extent.seconds);
        else if (strcmp(argv[i], "--seed") == 0)
            error = take_number(argv[i++], value, &extent.seed);
        else if (argv[i][0] == '-')
            error = bad("option", argv[i], "--ops, --seconds, --seed or a path");
        else
            error = replay(argv[i]);
        if (error)
            return error;
    }
    printf("%u inputs replayed, %llu operations\n", files, (unsigned long long)fuzz_operations);
    fflush(stdout);
    if (extent.operations || extent.seconds)
        run_random(&extent);
    return 0;
}
