/* SPDX-License-Identifier: MIT */
/* options.c - the options of a command: see commands.h. */
#include <string.h>

#include "tools/commands.h"

static const struct option_value *
find_option(const struct option_value *options, const char *name)
{
    for (; options->name; options++)
        if (strcmp(options->name, name) == 0 ||
            (options->letter && strcmp(options->letter, name) == 0))
            return options;
    return NULL;
}

bool
take_options(int *argc, char **argv, const struct option_value *options)
{
    int kept = 0;
    for (int i = 0; i < *argc; i++) {
        if (argv[i][0] != '-' || argv[i][1] == 0) {
            argv[kept++] = argv[i];
            continue;
        }
        const struct option_value *option = find_option(options, argv[i]);
        if (!option || (option->value && i + 1 == *argc)) {
            misused(option ? "%s needs a value" : "%s is no option of this command", argv[i]);
            return false;
        }
        if (option->value)
            *option->value = argv[++i];
        else
            *option->flag = true;
    }
    *argc = kept;
    return true;
}
