/* SPDX-License-Identifier: MIT */
/* commands.h - the subcommands of the program sinter, and what they share. */
#ifndef COMMANDS_H
#define COMMANDS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "insight/map_lines.h"
#include "tools/reader.h"

/** Each gets what stands behind its name, and answers with the program's exit status: 0; 1: what
 * was asked for could not be had, a sentence on stderr says why; 2: the call is wrong. */
int command_stores(int argc, char **argv);
int command_map(int argc, char **argv);
int command_record(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_diff(int argc, char **argv);

/** "sinter: " and a sentence on stderr. Result: 1. */
__attribute__((format(printf, 1, 2))) int say(const char *format, ...);
/** The same for a wrong call. Result: 2. */
__attribute__((format(printf, 1, 2))) int misused(const char *format, ...);

/** Values of options. An argument that is none stays in argv, *argc counts these. */
struct option_value {
    const char *name;   /* "--store" */
    const char *letter; /* "-s", or NULL */
    const char **value; /* gets what follows; NULL: it takes none, see `flag` */
    bool *flag;
};
/** False: said what is wrong. The last one has the name NULL. */
bool take_options(int *argc, char **argv, const struct option_value *options);

/* What a store's memory is, counted object by object. */
struct breakdown {
    struct sn_map_sums sums;
    uint64_t damaged; /* headers */
    struct {
        uint64_t spans, live, committed, free; /* bytes of free slots */
    } of[READER_CLASSES_MAX];
};
/** Counts it. detail: of a sample `requested` is an estimate. write: NULL, or gets the lines of the
 * map. progress: say how far it is, on a terminal. False: *error says why. */
bool map_count(struct reader *reader, const struct reader_store *store, enum reader_detail detail,
               FILE *write, bool progress, struct breakdown *breakdown, const char **error);
/** Its steps as members of a JSON object that has members before them. */
void write_steps(FILE *to, const struct breakdown *breakdown);

/** The steps as text; why compaction does not move. */
void print_store(const struct reader_store *store, const struct sn_map_sums *sums);
const char *text_of_idle(uint32_t reason);

/** The picture of a map by its lines, as PNG. False: said why. */
bool write_png(FILE *lines, FILE *to);

/** Bytes of a process that the kernel holds in memory; 0: it does not say. */
uint64_t resident_of(const char *pid);

/** Of a clock that is never set. */
double seconds_now(void);

/** "1.5 MiB", in one of a few buffers that are used in turn. */
const char *text_of_bytes(uint64_t bytes);

#endif
