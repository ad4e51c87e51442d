/* SPDX-License-Identifier: MIT */
/*
 * main.c - runs the groups of interface tests named in the arguments, or all of them.
 *
 *     api_memb_shared [group ...]      exit status: 0, or 1 when a test failed, 2 for a bad name
 */
#include "support.h"

struct group {
    const char *name;
    int (*run)(void);
};

static const struct group groups[] = {
    {"create", group_create},
    {"options", group_options},
    {"alloc", group_alloc},
    {"handles", group_handles},
    {"many", group_many},
    {"resize", group_resize},
    {"capacity", group_capacity},
    {"update", group_update},
    {"reserve", group_reserve},
    {"retire", group_retire},
    {"pins", group_pins},
    {"cells", group_cells},
    {"unlink", group_unlink},
    {"inner", group_inner},
    {"limits", group_limits},
    {"shortage", group_shortage},
    {"compaction", group_compaction},
    {"sparsity", group_sparsity},
    {"stats", group_stats},
    {"print", group_print},
    {"walk", group_walk},
    {"map", group_map},
    {"profile", group_profile},
    {"damage", group_damage},
    {"secrecy", group_secrecy},
    {"handles_threads", group_handles_threads},
    {"many_threads", group_many_threads},
    {"resize_threads", group_resize_threads},
    {"update_threads", group_update_threads},
    {"reserve_threads", group_reserve_threads},
    {"retire_threads", group_retire_threads},
    {"pins_threads", group_pins_threads},
    {"cells_threads", group_cells_threads},
    {"unlink_threads", group_unlink_threads},
    {"inner_threads", group_inner_threads},
    {"compaction_threads", group_compaction_threads},
    {"sparsity_threads", group_sparsity_threads},
    {"walk_threads", group_walk_threads},
    {"threads", group_threads},
    {"fork", group_fork},
    {"process", group_process},
    {"stores", group_stores},
    {"exhaust", group_exhaust},
};
#define GROUPS (sizeof(groups) / sizeof(groups[0]))

static const struct group *
find_group(const char *name)
{
    for (size_t i = 0; i < GROUPS; i++)
        if (strcmp(groups[i].name, name) == 0)
            return &groups[i];
    return NULL;
}

static int
bad_group(const char *name)
{
    fprintf(stderr, "group: no such group \"%s\"; one of:", name);
    for (size_t i = 0; i < GROUPS; i++)
        fprintf(stderr, " %s", groups[i].name);
    fprintf(stderr, "\n");
    return 2;
}

int
main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++)
        if (!find_group(argv[i]))
            return bad_group(argv[i]);
    int failed = 0;
    thread_enter();
    for (size_t i = 0; argc == 1 && i < GROUPS; i++)
        failed += groups[i].run();
    for (int i = 1; i < argc; i++)
        failed += find_group(argv[i])->run();
    thread_leave();
    return failed ? 1 : 0;
}
