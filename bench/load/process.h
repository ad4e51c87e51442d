/* SPDX-License-Identifier: MIT */
/*
 * process.h - servers as processes of their own on a free port of 127.0.0.1: started, looked at,
 * ended. They end with this process, too.
 */
#ifndef BENCH_LOAD_PROCESS_H
#define BENCH_LOAD_PROCESS_H

#include "engine.h"

#include <sys/types.h>

enum process_kind { PROCESS_SINTERD, PROCESS_MEMCACHED, PROCESS_REDIS, PROCESS_NULL };

struct process_options {
    enum process_kind kind;
    const char *program; /* NULL: as it is found in PATH, or in /usr/sbin */
    unsigned limit_mib;
    unsigned threads; /* of the server; Redis has one */
};

struct process {
    pid_t pid;
    struct engine_address address;
    enum wire_protocol protocol; /* the one it is usually talked to in */
};

/** What tables call it. */
const char *process_name(enum process_kind kind);

/** Whether the program is there. */
bool process_is_installed(const struct process_options *options);

/** False: it did not start; what it said is on stderr. */
bool process_start(struct process *process, const struct process_options *options);

/** SIGTERM, and waits for the end. */
void process_end(struct process *process);

uint64_t process_resident(const struct process *process);
uint64_t process_cpu_ns(const struct process *process);

#endif
