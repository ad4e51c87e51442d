/* SPDX-License-Identifier: MIT */
/*
 * sinter.c - the program that looks into stores: of a process that runs, without stopping it, or of
 * a core. It prints no address.
 */
#include <string.h>

#include "tools/commands.h"

static const char usage[] =
    "usage: sinter COMMAND ARGUMENT...\n"
    "\n"
    "  stores TARGET [--json]                     the stores, and where their memory goes\n"
    "  map TARGET [TARGET] [-o PAGE.html]         a picture of the heap; of two: before and after\n"
    "      [--series FILE] [--lines] [--png]        with a series of `record`; as lines of JSON;\n"
    "                                             as a picture\n"
    "  record PID [-i MS] [-n COUNT] [-o FILE]    its memory over time, a line each\n"
    "  doctor STATS.json [--json]                 what is the matter, and what helps\n"
    "  diff BEFORE AFTER [--json]                 what has changed: STATS.json, a baseline that\n"
    "                                               `stores TARGET --json` has written, or TARGET\n"
    "  completion                                 for bash: eval \"$(sinter completion)\"\n"
    "\n"
    "TARGET is the number of a process, or a core's file; of map also a file of its lines.\n"
    "--store NAME chooses a store; else it is the newest. STATS.json is what\n"
    "handle_store_stats_print writes (HANDLE_STATS_JSON). A file may be -: standard input, "
    "output.\n";

static const char completion[] =
    "_sinter()\n"
    "{\n"
    "    local word=${COMP_WORDS[COMP_CWORD]}\n"
    "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
    "        COMPREPLY=($(compgen -W 'stores map record doctor diff completion' -- \"$word\"))\n"
    "        return\n"
    "    fi\n"
    "    case $word in\n"
    "    -*) COMPREPLY=($(compgen -W '--store --json --series --lines --png -o -i -n' -- "
    "\"$word\")) ;;\n"
    "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _sinter sinter\n";

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

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"stores", command_stores}, {"map", command_map},   {"record", command_record},
    {"doctor", command_doctor}, {"diff", command_diff},
};

int
main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, name) == 0)
            return commands[i].run(argc - 2, argv + 2);
    if (strcmp(name, "completion") == 0)
        return fputs(completion, stdout) < 0;
    if (strcmp(name, "--help") == 0 || strcmp(name, "help") == 0)
        return fputs(usage, stdout) < 0;
    fputs(usage, stderr);
    return 2;
}
