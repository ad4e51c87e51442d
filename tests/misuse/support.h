/* SPDX-License-Identifier: MIT */
/*
 * support.h - what the tables of misuse share. Each file of this directory is one subject:
 * functions that use the library wrongly, each in one way, and a table with the exact answer that
 * each must get, by mode:
 *
 *   plain     the shared library, options as they are by default
 *   hardened  the shared library, stores made with `hardened`
 *   debug     the library with assertions, stores not hardened
 *
 * support.c runs each case in every mode that the library at hand has, each time in a process of
 * its own whose error callback, standard error and end are compared with the answer.
 *
 * Every case has been seen failing with the library broken on purpose. The head of each file lists
 * the breaks, and the cases that failed. Those that show in several files:
 *
 *   an abort that leaves the callback out          all that abort
 *   sections not looked at                         no_section_*, unregistered_thread
 *   fast paths let into hardened stores            no_section_free_now, overflow_8, ...
 *   damage of what is freed is not looked for      underflow, cell_copied_free
 *   ... nothing poisoned at once; the rest never   write_after_*_now; free_now_twice
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
    MAY_REPORT,   /* RETURN or REPORT: found by a slow path, which any call can come to take */
    ABORT,        /* SIGABRT; the callback, then standard error get the same one line */
    DEATH,        /* SIGABRT; the line on standard error alone: there is no store to ask */
    FAULT,        /* SIGSEGV, and nothing is reported */
};

struct answer {
    enum answer_kind kind;
    const char *line; /* a pattern of fnmatch(3); @ stands for what the case gave to about() */
};

/* What is done with a store around a case. */
enum store_care {
    NO_STORE,     /* the case gets NULL */
    OPENED,       /* the case gets one, and ends it or leaves it damaged */
    OPENED_SOUND, /* the same, and the store is sound when the case returns: it is closed */
};

struct misuse {
    const char *name; /* NULL ends the table, which is called misuse_ and the file's name */
    void (*run)(handle_store *store);
    enum store_care care;
    struct answer answer[MODES];
};

/* clang-format off */
/* Rows of a table: the case, which is its function's name, and its answers. */
#define CASE(name, ...)          {#name, name, OPENED_SOUND, {__VA_ARGS__}}
#define CASE_OPEN(name, ...)     {#name, name, OPENED, {__VA_ARGS__}}
#define CASE_NO_STORE(name, ...) {#name, name, NO_STORE, {__VA_ARGS__}}
#define CASES_END                {NULL, NULL, NO_STORE, {ALWAYS(NO_PROMISE)}}

#define RETURNS       {RETURN, NULL}
#define REPORTS(line) {REPORT, line}
#define MAY_REPORT_IT(line) {MAY_REPORT, line}
#define ABORTS(line)  {ABORT, line}
#define DIES(line)    {DEATH, line}
#define FAULTS        {FAULT, NULL}
#define NO_PROMISE    {NOT_PROMISED, NULL}
/* The same answer everywhere; and what only stores that check their entries answer. */
#define ALWAYS(...)   __VA_ARGS__, __VA_ARGS__, __VA_ARGS__
#define CHECKED(...)  NO_PROMISE, __VA_ARGS__, __VA_ARGS__
#define HARDENED_ONLY(...) NO_PROMISE, __VA_ARGS__, NO_PROMISE
/* Not looked for elsewhere. */
#define HARDENED_FINDS(...) RETURNS, __VA_ARGS__, RETURNS
/* The same, but that a call that is kept out of its thread's cache at that moment finds it, too. */
#define HARDENED_FINDS_OTHERS_MAY(may, ...) MAY_REPORT_IT(may), __VA_ARGS__, MAY_REPORT_IT(may)
/* Reported; where it ends the process, with another line. */
#define HARDENED_ABORTS(reported, line) REPORTS(reported), ABORTS(line), REPORTS(reported)
#define CHECKED_ABORTS(reported, line)  REPORTS(reported), ABORTS(line), ABORTS(line)
/* clang-format on */

extern enum mode mode;

/** Ends the case as failed, naming condition and line. */
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
/** The handle or cell that the line must name. */
void about(uint64_t name);
/** Runs the rest in a child process, and ends as it ended. */
void go_on_in_child(void);

#endif
