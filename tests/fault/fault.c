/* SPDX-License-Identifier: MIT */
/*
 * fault.c - every n-th failure of what the library asks the system for, once and for ever, over a
 * tour of the interface, over random sequences, and over many frees.
 *
 *     fault_memb [--scenario tour|sequence|frees] [--point NAME] [--mode once|ever|both]
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
    /* Runs if it is named: it is about one kind of fault, and takes its time. */
    static const struct scenario named[] = {
        {"frees", frees, 0, false, false},
        {NULL, NULL, 0, false, false},
    };
    struct arguments arguments = {NULL, SN_INJECT_POINTS, 2, 0, 12, 0, 3000};
    if (slow_run())
        arguments.cases = 4;
    if (take_arguments(&arguments, argc, argv))
        return 2;
    if (arguments.seed == 0)
        arguments.seed = random_seed("fault");
    bool is_named = arguments.scenario && strcmp(arguments.scenario, named[0].name) == 0;
    return run_scenarios(is_named ? named : scenarios, &arguments);
}
