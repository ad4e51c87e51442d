/* SPDX-License-Identifier: MIT */
/* process.h - threads and loaded files of a process or of its core, and the names of functions, as
 * far as the files on disk have them. */
#ifndef PROCESS_H
#define PROCESS_H

#include "tools/target.h"

#define PROCESS_REGISTERS 34

struct process_thread {
    int lwp;
    char name[32];
    bool stopped;         /* pc and sp are known: of a core, or it waits in the kernel */
    uint64_t pc, sp, tls; /* tls: pthread_self(), 0: not known */
    unsigned registers;   /* of a core */
    uint64_t reg[PROCESS_REGISTERS];
};

struct process_module {
    uint64_t begin, end, offset; /* where it is mapped; from where in the file */
    char *path;
    const char *file; /* mapped here when first asked for; NULL */
    uint64_t file_bytes;
    bool tried;
};

struct process {
    const struct target *target;
    struct process_thread *thread;
    size_t threads;
    struct process_module *module; /* by address */
    size_t modules;
};

/** False: no memory. What is not there, or damaged, is left out. */
bool process_read(const struct target *target, struct process *process);
void process_close(struct process *process);

/** The module that an address lies in, or NULL. */
struct process_module *process_module_at(const struct process *process, uint64_t address);
/** The name of the function or variable that an address lies in, in a buffer that is used again;
 * NULL: not known. *begin: where it begins. */
const char *process_symbol(const struct process *process, uint64_t address, uint64_t *begin);
/** The address of a function or variable; 0: not known. */
uint64_t process_address(const struct process *process, const char *name);
/** The functions that a thread stands in, innermost first, "a < b < c", by the words of its stack
 * that follow a call. */
void process_where(const struct process *process, const struct process_thread *thread, char *text,
                   size_t bytes);

#endif
