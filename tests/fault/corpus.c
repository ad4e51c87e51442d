/* SPDX-License-Identifier: MIT */
/*
 * corpus.c - the interface tests (tests/api) under faults: one group of them is one scenario. The
 * tests expect that calls work, so a test may fail where a fault was injected; but no run may
 * crash, trip an assertion of the library or violate an invariant, and one in which all tests pass
 * gives everything back. Faults that must not be seen fail no test at all.
 *
 *     fault_corpus_memb [--scenario GROUP] and the options of fault.c
 *
 * Seen failing: random numbers that are 0 where getrandom fails (two stores with one generation);
 * an allocation that is told EAGAIN for ever, its own limbo kept back by a refused membarrier.
 */
#include "fault.h"

/* The groups with one thread: others end the process where an allocation fails in a thread. The
 * one that damages headers is full of violations. */
/* clang-format off */
#define GROUPS(X)                                                                                  \
    X(create) X(options) X(alloc) X(handles) X(resize) X(update) X(pins) X(cells) X(limits)        \
    X(compaction) X(stats) X(print) X(walk)
/* clang-format on */

#define RUN(group)                                                                                 \
    static bool run_##group(const struct arguments *arguments)                                     \
    {                                                                                              \
        (void)arguments;                                                                           \
        plan_arm();                                                                                \
        return group_##group() == 0;                                                               \
    }
GROUPS(RUN)

#define UNSEEN (1u << SN_INJECT_MEMBARRIER | 1u << SN_INJECT_RANDOM | 1u << SN_INJECT_WIPE)

int
main(int argc, char **argv)
{
#define ENTRY(group) {#group, run_##group, UNSEEN, true, false},
    static const struct scenario scenarios[] = {GROUPS(ENTRY){NULL, NULL, 0, false, false}};
    struct arguments arguments = {NULL, SN_INJECT_POINTS, 2, 0, 3, 1, 0};
    if (slow_run())
        arguments.cases = 1;
    if (take_arguments(&arguments, argc, argv))
        return 2;
    return run_scenarios(scenarios, &arguments);
}
