/* SPDX-License-Identifier: MIT */
/*
 * bench.c - options, messages and sleeping for the benchmark programs; see bench.h. Teams of
 * threads are in team.c.
 */
#include "bench.h"
#include "section.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench_settings bench = {.program = "bench", .seed = 1};

__attribute__((format(printf, 1, 0))) static void
print_message(const char *format, va_list args)
{
    fprintf(stderr, "%s: ", bench.program);
    vfprintf(stderr, format, args);
}

void
bench_fatal(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_message(format, args);
    va_end(args);
    fprintf(stderr, " (seed %llu)\n", (unsigned long long)bench.seed);
    exit(1);
}

void
bench_progress(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    print_message(format, args);
    va_end(args);
    fputc('\n', stderr);
}

void
bench_sleep_ms(uint64_t ms)
{
    struct timespec rest = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000L};
    section_offline();
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        continue;
    section_online();
}

/* ---- options --------------------------------------------------------------------------------- */

static void usage_error(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void
usage_error(const char *format, ...)
{
    va_list args;
    fprintf(stderr, "%s: ", bench.program);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, "; see %s --help\n", bench.program);
    exit(2);
}

/* strtoull alone would take blanks, signs and trailing text. */
static uint64_t
parse_count(const char *option, const char *text, const char *unit, uint64_t min, uint64_t max)
{
    char *end = NULL;
    errno = 0;
    unsigned long long value = strtoull(text, &end, 10);
    if (text[0] < '0' || text[0] > '9' || *end != '\0' || errno != 0 || value < min || value > max)
        usage_error("option --%s: \"%s\" is not a number from %llu to %llu%s%s", option, text,
                    (unsigned long long)min, (unsigned long long)max, unit[0] ? " " : "", unit);
    return value;
}

static uint64_t
parse_choice(const char *option, const char *text, const char *choices)
{
    const char *word = choices;
    for (uint64_t position = 0;; position++) {
        size_t length = strcspn(word, "|");
        if (strlen(text) == length && strncmp(text, word, length) == 0)
            return position;
        if (word[length] == '\0')
            usage_error("option --%s: \"%s\" is none of %s", option, text, choices);
        word += length + 1;
    }
}

static void
print_default(const struct bench_option *o)
{
    if (o->kind == BENCH_COUNT && o->full != o->smoke)
        printf(" Default %llu, smoke %llu.\n", (unsigned long long)o->full,
               (unsigned long long)o->smoke);
    else if (o->kind == BENCH_COUNT)
        printf(" Default %llu.\n", (unsigned long long)o->full);
    else if (o->kind == BENCH_CHOICE) {
        const char *word = o->unit;
        for (uint64_t skip = o->full; skip > 0; skip--)
            word = strchr(word, '|') + 1;
        printf(" Default %.*s.\n", (int)strcspn(word, "|"), word);
    } else
        putchar('\n');
}

static void
print_help(const char *about, const struct bench_option *options, size_t count)
{
    printf("%s - %s\n\nusage: %s [options]\n\n", bench.program, about, bench.program);
    for (size_t i = 0; i < count; i++) {
        const struct bench_option *o = &options[i];
        printf("  --%s %s\n      %s.", o->name, o->kind == BENCH_COUNT ? "N" : o->unit, o->help);
        if (o->kind == BENCH_COUNT)
            printf(" %llu to %llu%s%s.", (unsigned long long)o->min, (unsigned long long)o->max,
                   o->unit[0] ? " " : "", o->unit);
        print_default(o);
    }
    printf(
        "  --set NAME=VALUE\n      An option of the store, as for handle_store_set; may be given"
        " again.\n"
        "  --hardened\n      The store is made with its option hardened.\n"
        "  --seed N\n      Of all random choices. 0 to 2^64 - 1. Default 1.\n"
        "  --smoke\n      Small sizes: contents are checked, targets are not judged.\n"
        "  --json\n      One JSON line on stdout instead of the table.\n"
        "  --stats\n      The store's statistics on stderr at the end.\n"
        "  --doctor CODES\n      What handle_stats_doctor must find then, with commas between the\n"
        "      codes, or none. The run fails if it finds something else for a minute.\n"
        "  --help\n");
}

/* The value of an option, from "--name=value" or the next argument; NULL if it is not this one. */
static const char *
option_value(char **argv, int argc, int *at, const char *name)
{
    const char *given = argv[*at];
    size_t length = strlen(name);
    if (strncmp(given, "--", 2) != 0 || strncmp(given + 2, name, length) != 0)
        return NULL;
    if (given[2 + length] == '=')
        return given + 3 + length;
    if (given[2 + length] != '\0')
        return NULL;
    if (*at + 1 >= argc)
        usage_error("option --%s needs a value", name);
    return argv[++*at];
}

static bool
take_flag(const char *given)
{
    if (strcmp(given, "--smoke") == 0)
        return bench.smoke = true;
    if (strcmp(given, "--json") == 0)
        return bench.json = true;
    if (strcmp(given, "--stats") == 0)
        return bench.stats = true;
    if (strcmp(given, "--hardened") == 0)
        return bench.hardened = true;
    return false;
}

static bool
take_common(char **argv, int argc, int *at)
{
    const char *text = option_value(argv, argc, at, "seed");
    if (text) {
        bench.seed = parse_count("seed", text, "", 0, UINT64_MAX);
        return true;
    }
    text = option_value(argv, argc, at, "doctor");
    if (text) {
        bench.doctor = text;
        return true;
    }
    text = option_value(argv, argc, at, "set");
    if (!text)
        return false;
    if (!strchr(text, '='))
        usage_error("option --set: \"%s\" is not NAME=VALUE", text);
    if (bench.sets == BENCH_SETS_MAX)
        usage_error("option --set: given more than %d times", BENCH_SETS_MAX);
    bench.set[bench.sets++] = text;
    return true;
}

static bool
take_own(char **argv, int argc, int *at, const struct bench_option *o)
{
    const char *text = option_value(argv, argc, at, o->name);
    if (!text)
        return false;
    if (o->kind == BENCH_TEXT)
        *(const char **)o->value = text;
    else if (o->kind == BENCH_CHOICE)
        *(uint64_t *)o->value = parse_choice(o->name, text, o->unit);
    else
        *(uint64_t *)o->value = parse_count(o->name, text, o->unit, o->min, o->max);
    return true;
}

static bool
take_any_own(char **argv, int argc, int *at, const struct bench_option *options, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (take_own(argv, argc, at, &options[i]))
            return true;
    return false;
}

/* --smoke and --help hold wherever they stand: the first decides the defaults. */
static void
apply_defaults(int argc, char **argv, const char *about, const struct bench_option *options,
               size_t count)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0) {
            print_help(about, options, count);
            exit(0);
        }
        if (strcmp(argv[i], "--smoke") == 0)
            bench.smoke = true;
    }
    for (size_t i = 0; i < count; i++)
        if (options[i].kind != BENCH_TEXT)
            *(uint64_t *)options[i].value = bench.smoke ? options[i].smoke : options[i].full;
}

void
bench_parse(int argc, char **argv, const char *about, const struct bench_option *options,
            size_t count)
{
    const char *slash = strrchr(argv[0], '/');
    bench.program = slash ? slash + 1 : argv[0];
    apply_defaults(argc, argv, about, options, count);
    for (int at = 1; at < argc; at++)
        if (!take_flag(argv[at]) && !take_common(argv, argc, &at) &&
            !take_any_own(argv, argc, &at, options, count))
            usage_error("unknown option \"%s\"", argv[at]);
}
