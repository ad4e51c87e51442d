/* SPDX-License-Identifier: MIT */
/*
 * fault.c - every n-th failure of what the library asks the system for, once and for ever, over a
 * tour of the interface and over random sequences.
 *
 *     fault_memb [--scenario tour|sequence] [--point NAME] [--mode once|ever|both]
 *                [--nth N] [--cases N] [--long] [--seed N] [--ops N]
 *
 * --cases N: at most so many values of n for each point and mode; --long: every n, until a run in
 * which nothing failed any more. A finding is printed with the options that repeat it. Exit status:
 * 0; 1 with findings; 2 for bad arguments.
 */
#include "fault.h"

int
main(int argc, char **argv)
{
    static const struct scenario scenarios[] = {
        {"tour", tour, 0, false, true},
        {"sequence", sequence, 0, false, false},
        {NULL, NULL, 0, false, false},
    };
    struct arguments arguments = {NULL, SN_INJECT_POINTS, 2, 0, 12, 0, 3000};
    if (slow_run())
        arguments.cases = 4;
    if (take_arguments(&arguments, argc, argv))
        return 2;
    if (arguments.seed == 0)
        arguments.seed = random_seed("fault");
    return run_scenarios(scenarios, &arguments);
}
