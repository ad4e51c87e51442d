/* SPDX-License-Identifier: MIT */
/*
 * fault.h - what the fault tests share: a plan that makes the n-th call of one kind fail, once or
 * from then on; a count of everything the library takes and must give back; the scenarios.
 *
 * A scenario runs in a process of its own, so that what is asked once per process (membarrier, the
 * grace-period thread) can fail, too. It runs in a thread of its own within that, so that the end
 * of the thread gives its caches back before the count is taken.
 */
#ifndef TEST_FAULT_H
#define TEST_FAULT_H

#include "support.h"

#include "base/hooks.h"

/* ---- plan.c: which call fails ---------------------------------------------------------------- */

struct plan {
    enum sn_inject_point point;
    uint64_t nth; /* the first call that fails, from 1; 0: none does, they are counted */
    bool for_ever;
};

/** Names as the options of the test take them: mmap, madvise, thread, ... */
extern const char *const fault_point_names[SN_INJECT_POINTS];

/** Calls of the plan's kind are counted, and fail as it says, between arm and disarm. */
void plan_make(const struct plan *plan);
void plan_arm(void);
void plan_disarm(void);
/** Calls of that kind so far; how many of them failed. */
uint64_t plan_calls(void);
uint64_t plan_injected(void);

/**
 * Whether a call that ended with `error` may have: a fault was injected since plan_mark(), and the
 * error is what the interface documents for a fault of this kind.
 */
bool plan_excuses(int error);
void plan_mark(void);

/* ---- balance.c: what was taken is given back ------------------------------------------------- */

struct balance {
    long blocks;      /* of the library's own memory */
    long range_bytes; /* of address space */
    long files;       /* open descriptors */
    long threads;     /* of the process */
    long violations;  /* found by any handle_store_check so far */
};

void balance_read(struct balance *balance);
/**
 * Fails, with text, unless everything is as it was, but for the grace-period thread and its state
 * where there is one: they stay with the process. Waits for threads that are just ending.
 */
void balance_check(const struct balance *before, bool gp_thread);

/* ---- runner.c: one process per fault --------------------------------------------------------- */

/** What to run: by the options of the program. */
struct arguments {
    const char *scenario; /* NULL: all */
    int point;            /* SN_INJECT_POINTS: all */
    int mode;             /* 0: once, 1: for ever, 2: both */
    uint64_t nth;         /* 0: as many as `cases` allows */
    uint64_t cases;       /* for each point and mode; 0: until a run without a fault */
    uint64_t seed, ops;
};

/** A body of tests to be run under faults, in a process of its own each time. */
struct scenario {
    const char *name;
    /** Ends the process, or comes back. Result: whether everything worked as if without faults. */
    bool (*run)(const struct arguments *arguments);
    /** Points at which nothing may be seen of a fault: a set of 1 << enum sn_inject_point. */
    unsigned unseen;
    bool noisy;      /* its output is kept back unless the run fails */
    bool everywhere; /* it reaches every point */
};

/** Takes the options. 0; 2 for bad ones, after a line that says so. */
int take_arguments(struct arguments *arguments, int argc, char **argv);
/** Runs the scenarios (ended by one without a name) under every fault asked for. Exit status. */
int run_scenarios(const struct scenario *scenarios, const struct arguments *arguments);

/* ---- scenarios ------------------------------------------------------------------------------- */

/** A tour of the whole interface, each call's answer checked against what is documented. */
bool tour(const struct arguments *arguments);
/** A random sequence of all operations against a reference map (tests/api/model_store.h). */
bool sequence(const struct arguments *arguments);
/** Many frees in one section, forty for each of --ops, while no memory can be had. */
bool frees(const struct arguments *arguments);

/** A check of a scenario; ends the process. The runner says which fault it was. */
#define fault_check(condition)                                                                     \
    ((condition) ? (void)0 : fault_failed(#condition, __FILE__, __LINE__))
_Noreturn void fault_failed(const char *condition, const char *file, int line);

#endif
