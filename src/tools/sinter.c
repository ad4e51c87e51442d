/* SPDX-License-Identifier: MIT */
/*
 * sinter.c - the program that looks into stores: of a process that runs, without stopping it, or of
 * a core. It prints no address unless it is asked to.
 */
#include <string.h>

#include "tools/look.h"

static const char usage[] =
    "usage: sinter COMMAND ARGUMENT...\n"
    "\n"
    "  stores TARGET [--json]                     the stores, and where their memory goes\n"
    "  memory TARGET                              the same of one, with its size classes\n"
    "  classes TARGET                             its size classes\n"
    "  spans TARGET [--class BYTES] [--sparse]    its spans; sparse: more than half of it free\n"
    "  span TARGET BLOCK|ADDRESS                  one, slot by slot\n"
    "  objects TARGET [--class BYTES] [--page N]  its objects\n"
    "      [--summarize | --by-tag]\n"
    "  ptr TARGET ADDRESS                         what lies there\n"
    "  handle TARGET HANDLE                       what it names, or since when it is stale\n"
    "  cell TARGET ADDRESS                        what the cell there names\n"
    "  find TARGET HANDLE|ADDRESS                 who has the handle or address of an object\n"
    "  reach TARGET [--list N] [--json]           which objects can be reached, which are leaked\n"
    "  check TARGET                               whether the store is sound\n"
    "  readers TARGET [--all]                     who stands in sections, and holds grace periods\n"
    "  top PID [-i MS] [-n COUNT] [-b]            one store, again and again\n"
    "  cache TARGET                               caches: what they evict, what keeps sparse "
    "spans\n"
    "  item TARGET KEY                            an item of a cache\n"
    "  map TARGET [TARGET] [-o PAGE.html]         a picture of the heap; of two: before and after\n"
    "      [--series FILE] [--lines] [--png]        with a series of `record`; as lines of JSON;\n"
    "                                             as a picture\n"
    "  record PID [-i MS] [-n COUNT] [-o FILE]    its memory over time, a line each\n"
    "  doctor TARGET|STATS.json [--json]          what is the matter, and what helps\n"
    "  diff BEFORE AFTER [--json]                 what has changed: STATS.json, a baseline that\n"
    "                                               `stores TARGET --json` has written, or TARGET\n"
    "  completion                                 for bash: eval \"$(sinter completion)\"\n"
    "\n"
    "TARGET is the number of a process, or a core's file; of map also a file of its lines.\n"
    "--store NAME chooses a store; else it is the newest, or all. Addresses are printed only with\n"
    "--addresses. STATS.json is what handle_store_stats_print writes (HANDLE_STATS_JSON). A file\n"
    "may be -: standard input, output.\n";

static const char completion[] =
    "_sinter()\n"
    "{\n"
    "    local word=${COMP_WORDS[COMP_CWORD]}\n"
    "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
    "        COMPREPLY=($(compgen -W 'stores memory classes spans span objects "
    "ptr handle cell find reach check readers top cache item map record doctor diff completion' -- "
    "\"$word\"))\n"
    "        return\n"
    "    fi\n"
    "    case $word in\n"
    "    -*) COMPREPLY=($(compgen -W '--store --json --addresses --class --sparse --page "
    "--summarize --by-tag --list "
    "--series --lines --png -o -i -n' -- \"$word\")) ;;\n"
    "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n"
    "    esac\n"
    "}\n"
    "complete -F _sinter sinter\n";

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"stores", command_stores}, {"memory", command_memory},   {"classes", command_classes},
    {"spans", command_spans},   {"span", command_span},       {"objects", command_objects},
    {"ptr", command_ptr},       {"handle", command_handle},   {"cell", command_cell},
    {"find", command_find},     {"reach", command_reach},     {"check", command_check},
    {"map", command_map},       {"record", command_record},   {"doctor", command_doctor},
    {"diff", command_diff},     {"readers", command_readers}, {"top", command_top},
    {"cache", command_cache},   {"item", command_item},
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
