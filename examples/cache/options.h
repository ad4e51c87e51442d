/* SPDX-License-Identifier: MIT */
/*
 * options.h - the command line of the cache example.
 */
#ifndef CACHE_OPTIONS_H
#define CACHE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

struct options {
    uint64_t limit_bytes;
    uint64_t readers;
    uint64_t writers;
    uint64_t turnover;
    uint64_t seconds;
    uint64_t idle;
    uint64_t keep;
    uint64_t seed;
    const char *phases;
    const char *data;
    const char *subjects; /* NULL: all that are there */
    const char *names;
    bool smoke;
    /* given by the program to its own children */
    const char *worker; /* the one subject that this process is */
    uint64_t report_fd;
};

enum options_answer { OPTIONS_RUN, OPTIONS_HELP, OPTIONS_WRONG };

/** Reads the command line; on OPTIONS_WRONG a line on stderr names option, value and range. */
enum options_answer options_parse(struct options *options, int argc, char **argv);
void options_help(const char *program);

#endif
