/* SPDX-License-Identifier: MIT */
/*
 * options.c - one table of options, from which parsing, ranges, defaults and --help all follow.
 */
#include "options.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum option_kind { OPTION_NUMBER, OPTION_BYTES, OPTION_TEXT, OPTION_SWITCH };

struct option_spec {
    const char *name;
    enum option_kind kind;
    size_t offset;
    uint64_t low, high;
    const char *preset; /* as it would be given */
    const char *unit;
    const char *text; /* NULL: not for people */
};

#define AT(member) offsetof(struct options, member)
#define MIB(n)     ((uint64_t)(n) << 20)

static const char default_phases[] =
    "kvcache_reg,graph_cache_leader_fbobj,graph_cache_leader_assocs,"
    "kvcache_reg,240-256,272-288,16-64,640";
static const char smoke_phases[] = "kvcache_reg,240-256,16-64,640";

static const struct option_spec specs[] = {
    {"limit", OPTION_BYTES, AT(limit_bytes), MIB(4), MIB(1 << 20), "128M", "BYTES",
     "payload at which the cache evicts; suffixes K, M, G. The process takes\n"
     "up to eight times as much"},
    {"phases", OPTION_TEXT, AT(phases), 0, 0, default_phases, "LIST",
     "what is cached, phase by phase: distributions of the data directory,\n"
     "and size ranges such as 16-64 or 640 (bytes)"},
    {"turnover", OPTION_NUMBER, AT(turnover), 1, 1000, "2", "TIMES",
     "a phase ends when this many times the limit has been written ..."},
    {"seconds", OPTION_NUMBER, AT(seconds), 1, 86400, "3", "SECONDS",
     "... or, at the latest, after so long (marked in the output)"},
    {"idle", OPTION_NUMBER, AT(idle), 0, 3600, "2", "SECONDS",
     "rest after the last phase, before the last measurement"},
    {"keep", OPTION_NUMBER, AT(keep), 0, 50, "10", "PERCENT",
     "entries exempted from eviction, like keys without expiry, after each\n"
     "phase that is a size range"},
    {"readers", OPTION_NUMBER, AT(readers), 1, 1024, "2", "THREADS",
     "threads that look up, and set what they miss"},
    {"writers", OPTION_NUMBER, AT(writers), 0, 1024, "1", "THREADS",
     "threads that replace values, and write to them in place"},
    {"names", OPTION_TEXT, AT(names), 0, 0, "cells", "cells|handles", "what names a Sinter object"},
    {"subjects", OPTION_TEXT, AT(subjects), 0, 0, NULL, "LIST",
     "of malloc, jemalloc, sinter-off, sinter-on; default: all installed"},
    {"seed", OPTION_NUMBER, AT(seed), 0, UINT64_MAX, "1", "NUMBER", "of the random numbers"},
    {"data", OPTION_TEXT, AT(data), 0, 0, CACHE_DATA_DIR, "DIRECTORY",
     "where the distributions are"},
    {"smoke", OPTION_SWITCH, AT(smoke), 0, 0, NULL, NULL,
     "a run of a few seconds: other defaults for limit (8M), phases, turnover,\n"
     "seconds and idle"},
    {"worker", OPTION_TEXT, AT(worker), 0, 0, NULL, "SUBJECT", NULL},
    {"report-fd", OPTION_NUMBER, AT(report_fd), 0, 1 << 20, NULL, "NUMBER", NULL},
};
#define SPECS (sizeof(specs) / sizeof(specs[0]))

static const struct {
    const char *name, *value;
} smoke_presets[] = {
    {"limit", "8M"}, {"phases", smoke_phases}, {"turnover", "2"}, {"seconds", "2"}, {"idle", "1"},
};

static void
print_range(const struct option_spec *spec)
{
    const char *name = spec->kind == OPTION_BYTES ? " bytes" : "";
    fprintf(stderr, "%" PRIu64 " to %" PRIu64 "%s", spec->low, spec->high, name);
}

/** A decimal number, for bytes with a suffix; false if it is not one or does not fit. */
static bool
parse_number(const char *text, enum option_kind kind, uint64_t *number)
{
    char *end;
    uint64_t unit = 1;
    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    *number = strtoull(text, &end, 10);
    if (kind == OPTION_BYTES && *end) {
        const char *suffixes = "KMG", *suffix = strchr(suffixes, *end);
        if (!suffix)
            return false;
        unit = UINT64_C(1) << (10 * (suffix - suffixes + 1));
        end++;
    }
    return !errno && !*end && !__builtin_mul_overflow(*number, unit, number);
}

/** Puts one value in its place. */
static bool
apply(struct options *options, const struct option_spec *spec, const char *value)
{
    char *member = (char *)options + spec->offset;
    uint64_t number;
    if (spec->kind == OPTION_SWITCH) {
        *(bool *)member = true;
        return true;
    }
    if (spec->kind == OPTION_TEXT) {
        if (!*value)
            fprintf(stderr, "--%s: must not be empty\n", spec->name);
        memcpy(member, &value, sizeof(value));
        return *value;
    }
    if (!parse_number(value, spec->kind, &number) || number < spec->low || number > spec->high) {
        fprintf(stderr, "--%s: \"%s\" is not in the range ", spec->name, value);
        print_range(spec);
        fprintf(stderr, "\n");
        return false;
    }
    memcpy(member, &number, sizeof(number));
    return true;
}

static const struct option_spec *
find_spec(const char *name, size_t length)
{
    for (size_t i = 0; i < SPECS; i++) {
        if (strlen(specs[i].name) == length && memcmp(specs[i].name, name, length) == 0)
            return &specs[i];
    }
    return NULL;
}

static void
apply_presets(struct options *options, bool smoke)
{
    memset(options, 0, sizeof(*options));
    for (size_t i = 0; i < SPECS; i++) {
        if (specs[i].preset)
            apply(options, &specs[i], specs[i].preset);
    }
    for (size_t i = 0; smoke && i < sizeof(smoke_presets) / sizeof(smoke_presets[0]); i++) {
        const char *name = smoke_presets[i].name;
        apply(options, find_spec(name, strlen(name)), smoke_presets[i].value);
    }
}

/** Reads the option at argv[*i], in the form --name=value or --name value. */
static bool
parse_one(struct options *options, int argc, char **argv, int *i)
{
    const char *given = argv[*i];
    size_t length = strcspn(given, "=");
    const struct option_spec *spec =
        length > 2 && strncmp(given, "--", 2) == 0 ? find_spec(given + 2, length - 2) : NULL;
    if (!spec) {
        fprintf(stderr, "%s: no such option; --help lists them\n", given);
        return false;
    }
    if (spec->kind == OPTION_SWITCH && given[length]) {
        fprintf(stderr, "--%s: takes no value\n", spec->name);
        return false;
    }
    const char *value = given[length] ? given + length + 1 : NULL;
    if (!value && spec->kind != OPTION_SWITCH) {
        if (*i + 1 == argc) {
            fprintf(stderr, "--%s: needs a value (%s)\n", spec->name, spec->unit);
            return false;
        }
        value = argv[++*i];
    }
    return apply(options, spec, value);
}

enum options_answer
options_parse(struct options *options, int argc, char **argv)
{
    bool smoke = false;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return OPTIONS_HELP;
        smoke |= strcmp(argv[i], "--smoke") == 0;
    }
    apply_presets(options, smoke);
    for (int i = 1; i < argc; i++) {
        if (!parse_one(options, argc, argv, &i))
            return OPTIONS_WRONG;
    }
    if (strcmp(options->names, "cells") == 0 || strcmp(options->names, "handles") == 0)
        return OPTIONS_RUN;
    fprintf(stderr, "--names: \"%s\" is neither cells nor handles\n", options->names);
    return OPTIONS_WRONG;
}

/** The text's lines, one below the other. */
static void
print_indented(const char *text)
{
    for (const char *line = text; line;) {
        const char *end = strchr(line, '\n');
        printf("      %.*s\n", end ? (int)(end - line) : (int)strlen(line), line);
        line = end ? end + 1 : NULL;
    }
}

void
options_help(const char *program)
{
    printf(
        "usage: %s [option ...]\n\n"
        "A concurrent look-aside cache runs over malloc, jemalloc (if installed), Sinter without\n"
        "and Sinter with its defragmenter, each in a process of its own, and shows how much\n"
        "memory each needs for the same payload. Every value read is verified. Exit status: 0,\n"
        "1 if anything was wrong, 2 for a wrong option.\n\noptions:\n",
        program);
    for (size_t i = 0; i < SPECS; i++) {
        const struct option_spec *spec = &specs[i];
        if (!spec->text)
            continue;
        printf("  --%s%s%s", spec->name, spec->unit ? " " : "", spec->unit ? spec->unit : "");
        if (spec->kind == OPTION_NUMBER || spec->kind == OPTION_BYTES)
            printf("  (%" PRIu64 " to %" PRIu64 ")", spec->low, spec->high);
        if (spec->preset)
            printf("  [%s]", spec->preset);
        printf("\n");
        print_indented(spec->text);
    }
}
