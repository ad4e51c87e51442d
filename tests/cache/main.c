/* SPDX-License-Identifier: MIT */
/*
 * main.c - runs the groups of tests of the cache named in the arguments, or all of them.
 *
 *     cache_memb [group ...]      exit status: 0, or 1 when a test failed, 2 for a bad name
 */
#include "support.h"

static const struct group {
    const char *name;
    int (*run)(void);
} groups[] = {
    {"create", group_create},       {"items", group_items}, {"expiry", group_expiry},
    {"large", group_large},         {"limit", group_limit}, {"crowd", group_crowd},
    {"budget", group_budget},       {"fork", group_fork},   {"insight", group_insight},
    {"callbacks", group_callbacks},
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static const struct group *
find_group(const char *name)
{
    for (size_t i = 0; i < GROUPS; i++)
        if (strcmp(groups[i].name, name) == 0)
            return &groups[i];
    fprintf(stderr, "no such group \"%s\"\n", name);
    exit(2);
}

int
main(int argc, char **argv)
{
    int failed = 0;
    thread_enter();
    for (size_t i = 0; argc == 1 && i < GROUPS; i++)
        failed += groups[i].run();
    for (int i = 1; i < argc; i++)
        failed += find_group(argv[i])->run();
    thread_leave();
    return failed ? 1 : 0;
}
