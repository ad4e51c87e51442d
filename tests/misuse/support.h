/* SPDX-License-Identifier: MIT */
/*
 * support.h - what the misuse programs share. Each program is one wrong use of the library, in
 * run(), and the exact answer that it must get, by mode, in `misuse`:
 *
 *   plain     the shared library, options as they are by default
 *   hardened  the shared library, stores made with `hardened`
 *   debug     the library with assertions, stores not hardened
 *
 * main() runs every mode that the library at hand has, each in a process of its own whose error
 * callback, standard error and end are compared with the answer.
 */
#ifndef MISUSE_SUPPORT_H
#define MISUSE_SUPPORT_H

#include "flavour.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum mode { PLAIN, HARDENED, DEBUG, MODES };

enum answer_kind {
    NOT_PROMISED, /* handle.h promises nothing: not run */
    RETURN,       /* every call returns as expect() says, and nothing is reported */
    REPORT,       /* the same, and the callback gets one line */
    ABORT,        /* SIGABRT; the callback, then standard error get the same one line */
    DEATH,        /* SIGABRT; the line on standard error alone: there is no store to ask */
    FAULT,        /* SIGSEGV, and nothing is reported */
};

struct answer {
    enum answer_kind kind;
    const char *line; /* a pattern of fnmatch(3); @ stands for what the program gave to about() */
};

struct misuse {
    void (*run)(void);
    struct answer answer[MODES];
};
extern const struct misuse misuse;

/* clang-format off */
#define RETURNS       {RETURN, NULL}
#define REPORTS(line) {REPORT, line}
#define ABORTS(line)  {ABORT, line}
#define DIES(line)    {DEATH, line}
#define FAULTS        {FAULT, NULL}
#define NO_PROMISE    {NOT_PROMISED, NULL}
/* The same answer everywhere; and what only stores that check their entries answer. */
#define ALWAYS(...)   {__VA_ARGS__, __VA_ARGS__, __VA_ARGS__}
#define CHECKED(...)  {NO_PROMISE, __VA_ARGS__, __VA_ARGS__}
#define HARDENED_ONLY(...) {NO_PROMISE, __VA_ARGS__, NO_PROMISE}
/* clang-format on */

extern enum mode mode;

/** Ends the program as failed, naming condition and line. */
#define expect(condition) ((condition) ? (void)0 : expect_failed(#condition, __FILE__, __LINE__))
/** The call gives NULL or HANDLE_NULL, and errno is this. */
#define expect_errno(call, code)                                                                   \
    do {                                                                                           \
        errno = 0;                                                                                 \
        expect(!(call));                                                                           \
        expect(errno == (code));                                                                   \
    } while (0)
_Noreturn void expect_failed(const char *condition, const char *file, int line);

/** Options of a store of this mode, named "misuse": lines are noted, no background compaction. */
struct handle_store_options store_options(void);
handle_store *open_store(void);
/** An object filled with 0x11; *address (may be NULL) as of now. */
handle_t make(handle_store *store, size_t size, char **address);
/** Address of an object for writing, in a section of its own that has ended: what must not be. */
char *stray_address(handle_store *store, handle_t handle);
/** The largest size of the class that serves `size`: its object ends with its slot. */
size_t full_size(handle_store *store, size_t size);
/** The store works, and its structures are in order; ends it. */
void close_sound(handle_store *store);
/** Frees, and waits until the memory can be used again. */
void free_and_reclaim(handle_store *store, handle_t handle);
/** The handle or cell that the line must name. */
void about(uint64_t name);
/** Runs the rest in a child process, and ends as it ended. */
void go_on_in_child(void);

#endif
