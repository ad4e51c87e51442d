/* SPDX-License-Identifier: MIT */
/* options.c - see options.h. */
#include "store/options.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/atomic.h"
#include "base/cancel.h"
#include "base/config.h"

#define AT(member) offsetof(struct handle_store_options, member)
#define TIB        ((int64_t)1 << 40)

static const struct sn_option options[] = {
    {"name", "", SN_OPTION_NAME, true, false, AT(name), 0, 31},
    {"hardened", "", SN_OPTION_SWITCH, true, false, AT(hardened), 0, 1},
    {"arena_bytes", " bytes", SN_OPTION_U64, true, true, AT(arena_bytes), SN_ARENA_MIN_BYTES, TIB},
    {"alignment", " bytes (8, 16 or 64)", SN_OPTION_U32, true, false, AT(alignment), 8, 64},
    {"max_bytes", " bytes, or 0", SN_OPTION_U64, false, true, AT(max_bytes), SN_MAX_BYTES_MIN,
     INT64_MAX},
    {"purge_delay_ms", " ms", SN_OPTION_I64, false, false, AT(purge_delay_ms), -1, 3600000},
    {"hugepages", "", SN_OPTION_WORD, false, false, AT(hugepages), 0, 3},
    {"thread_cache_bytes", " bytes", SN_OPTION_U64, false, false, AT(thread_cache_bytes), 0,
     64 << 20},
    {"thread_cache_total_bytes", " bytes", SN_OPTION_U64, false, false,
     AT(thread_cache_total_bytes), 0, TIB},
    {"defrag.enabled", "", SN_OPTION_SWITCH, false, false, AT(defrag.enabled), 0, 1},
    {"defrag.ignore_bytes", " bytes", SN_OPTION_U64, false, false, AT(defrag.ignore_bytes), 0, TIB},
    {"defrag.threshold_lower_percent", " %", SN_OPTION_U32, false, false,
     AT(defrag.threshold_lower_percent), 0, 100},
    {"defrag.threshold_upper_percent", " %", SN_OPTION_U32, false, false,
     AT(defrag.threshold_upper_percent), 0, 100},
    {"defrag.cpu_min_percent", " %", SN_OPTION_U32, false, false, AT(defrag.cpu_min_percent), 1,
     100},
    {"defrag.cpu_max_percent", " %", SN_OPTION_U32, false, false, AT(defrag.cpu_max_percent), 1,
     100},
    {"defrag.slice_us", " us", SN_OPTION_U32, false, false, AT(defrag.slice_us), 50, 100000},
    {"defrag.pause_while_forked", "", SN_OPTION_SWITCH, false, false, AT(defrag.pause_while_forked),
     0, 1},
    {"defrag.fork_copy_bytes", " bytes, or -1", SN_OPTION_BYTES_OR_MINUS, false, false,
     AT(defrag.fork_copy_bytes), -1, TIB},
    {"core", "", SN_OPTION_WORD, true, false, AT(core), 0, 2},
    {"profile.enabled", "", SN_OPTION_SWITCH, false, false, AT(profile.enabled), 0, 1},
    {"profile.sample_bytes", " bytes, or 0", SN_OPTION_U64, false, true, AT(profile.sample_bytes),
     64, 1 << 30},
};
#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

/* What the values of options that are words are called. */
struct words {
    size_t at; /* in struct handle_store_options */
    const char *expected;
    const char *word[4];
};
static const struct words words[] = {
    {AT(hugepages), "never, advise, always or dense", {"never", "advise", "always", "dense"}},
    {AT(core), "full, metadata or none", {"full", "metadata", "none"}},
};

static const struct words *
words_of(const struct sn_option *option)
{
    return &words[option->at == words[0].at ? 0 : 1];
}

/* ---- reading and writing a member ------------------------------------------------------------ */

static void *
member(const struct handle_store_options *values, const struct sn_option *option)
{
    return (char *)(uintptr_t)values + option->at;
}

int64_t
sn_option_number(const struct handle_store_options *values, const struct sn_option *option)
{
    void *at = member(values, option);
    switch (option->kind) {
    case SN_OPTION_SWITCH:
        return sn_load_relaxed((bool *)at);
    case SN_OPTION_U32:
        return sn_load_relaxed((uint32_t *)at);
    case SN_OPTION_WORD: /* an enumeration is as large as an unsigned int */
        return (int64_t)sn_load_relaxed((unsigned *)at);
    case SN_OPTION_U64: {
        uint64_t value = sn_load_relaxed((uint64_t *)at);
        return value > INT64_MAX ? INT64_MAX : (int64_t)value;
    }
    default:
        return sn_load_relaxed((int64_t *)at);
    }
}

void
sn_option_set(struct handle_store_options *values, const struct sn_option *option, int64_t value)
{
    void *at = member(values, option);
    switch (option->kind) {
    case SN_OPTION_SWITCH:
        sn_store_relaxed((bool *)at, value != 0);
        break;
    case SN_OPTION_U32:
        sn_store_relaxed((uint32_t *)at, (uint32_t)value);
        break;
    case SN_OPTION_WORD:
        sn_store_relaxed((unsigned *)at, (unsigned)value);
        break;
    case SN_OPTION_U64:
        sn_store_relaxed((uint64_t *)at, (uint64_t)value);
        break;
    default:
        sn_store_relaxed((int64_t *)at, value);
        break;
    }
}

const struct sn_option *
sn_option_find(const char *name)
{
    for (size_t i = 0; name && i < OPTION_COUNT; i++) {
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    }
    return NULL;
}

/* ---- errors ---------------------------------------------------------------------------------- */

int
sn_options_refuse(const struct handle_store_options *values, const char *format, ...)
{
    char line[SN_ERROR_LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    SN_NO_CANCELLATION;
    if (values->error)
        values->error(values->opaque, line);
    else
        fprintf(stderr, "sinter: %s\n", line);
    return -EINVAL;
}

int
sn_option_check(const struct handle_store_options *values, const struct sn_option *option,
                int64_t value)
{
    if (value == 0 && option->zero_allowed)
        return 0;
    bool fits = value >= option->low && value <= option->high;
    if (option->at == AT(alignment))
        fits = value == 8 || value == 16 || value == 64;
    if (fits)
        return 0;
    return sn_options_refuse(values,
                             "option %s: %" PRId64 " is out of range: %" PRId64 " to %" PRId64 "%s",
                             option->name, value, option->low, option->high, option->unit);
}

/* Two percentages out of order. set: the one that was set, which is blamed; NULL: both were. */
static int
refuse_pair(const struct handle_store_options *values, const struct sn_option *set,
            const struct sn_option *lower, const struct sn_option *upper)
{
    int64_t low = sn_option_number(values, lower), high = sn_option_number(values, upper);
    if (set == upper)
        return sn_options_refuse(
            values, "option %s: %" PRId64 " is out of range: %s (%" PRId64 ") to %" PRId64 "%s",
            upper->name, high, lower->name, low, upper->high, upper->unit);
    return sn_options_refuse(
        values, "option %s: %" PRId64 " is out of range: %" PRId64 " to %s (%" PRId64 ")%s",
        lower->name, low, lower->low, upper->name, high, lower->unit);
}

int
sn_options_check_pairs(const struct handle_store_options *values, const struct sn_option *set)
{
    if (values->defrag.threshold_lower_percent > values->defrag.threshold_upper_percent)
        return refuse_pair(values, set, sn_option_find("defrag.threshold_lower_percent"),
                           sn_option_find("defrag.threshold_upper_percent"));
    if (values->defrag.cpu_min_percent > values->defrag.cpu_max_percent)
        return refuse_pair(values, set, sn_option_find("defrag.cpu_min_percent"),
                           sn_option_find("defrag.cpu_max_percent"));
    return 0;
}

void
sn_options_copy_pairs(struct handle_store_options *to, const struct handle_store_options *values)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (options[i].kind == SN_OPTION_U32)
            sn_option_set(to, &options[i], sn_option_number(values, &options[i]));
    }
}

int
sn_options_check(const struct handle_store_options *values)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct sn_option *option = &options[i];
        if (option->kind == SN_OPTION_NAME) {
            if (values->name && strnlen(values->name, 32) > 31)
                return sn_options_refuse(
                    values, "option name: '%.40s' is out of range: 0 to 31 bytes", values->name);
            continue;
        }
        int error = sn_option_check(values, option, sn_option_number(values, option));
        if (error)
            return error;
    }
    return sn_options_check_pairs(values, NULL);
}

/* ---- by name --------------------------------------------------------------------------------- */

/* Power of two that a suffix stands for; -1: no such suffix. */
static int
suffix_shift(const char *text)
{
    static const char letters[] = "KMGT";
    if (text[0] == 0)
        return 0;
    const char *at = strchr(letters, text[0]);
    return at && text[1] == 0 ? 10 * (int)(at - letters + 1) : -1;
}

static bool
parse_integer(const struct sn_option *option, const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || (text[0] != '-' && (text[0] < '0' || text[0] > '9')))
        return false;
    bool bytes = option->kind == SN_OPTION_U64 || option->kind == SN_OPTION_BYTES_OR_MINUS;
    int shift = bytes ? suffix_shift(end) : (*end == 0 ? 0 : -1);
    if (shift < 0 || number > INT64_MAX >> shift || (shift > 0 && number < 0))
        return false;
    *value = (int64_t)((uint64_t)number << shift); /* a negative number has no suffix */
    return true;
}

static bool
parse(const struct sn_option *option, const char *text, int64_t *value)
{
    if (option->kind == SN_OPTION_SWITCH) {
        *value = strcmp(text, "yes") == 0;
        return *value || strcmp(text, "no") == 0;
    }
    if (option->kind == SN_OPTION_WORD) {
        for (*value = 0; *value <= option->high; ++*value) {
            if (strcmp(text, words_of(option)->word[*value]) == 0)
                return true;
        }
        return false;
    }
    return parse_integer(option, text, value);
}

static const char *
expected(const struct sn_option *option)
{
    return option->kind == SN_OPTION_SWITCH ? "yes or no"
           : option->kind == SN_OPTION_WORD ? words_of(option)->expected
                                            : "a decimal number";
}

int
sn_option_parse(const struct handle_store_options *values, const struct sn_option *option,
                const char *text, int64_t *value)
{
    if (parse(option, text, value))
        return 0;
    return sn_options_refuse(
        values, "option %s: '%s' is not %s; range: %" PRId64 " to %" PRId64 "%s", option->name,
        text, expected(option), option->low, option->high, option->unit);
}

int
sn_option_print(const struct handle_store_options *values, const struct sn_option *option,
                char *text, size_t size)
{
    if (option->kind == SN_OPTION_NAME)
        return snprintf(text, size, "%s", values->name);
    int64_t number = sn_option_number(values, option);
    if (option->kind == SN_OPTION_SWITCH)
        return snprintf(text, size, "%s", number ? "yes" : "no");
    if (option->kind == SN_OPTION_WORD)
        return snprintf(text, size, "%s", words_of(option)->word[number]);
    return snprintf(text, size, "%" PRId64, number);
}

/* ---- the struct of a caller ------------------------------------------------------------------ */

/* The first version ended here. What came later was appended, by members of eight bytes. */
#define OLDEST_OPTIONS_BYTES offsetof(struct handle_store_options, defrag.fork_copy_bytes)

int
sn_options_read(struct handle_store_options *to, const struct handle_store_options *from)
{
    *to = (struct handle_store_options)HANDLE_STORE_OPTIONS_INIT;
    if (!from)
        return 0;
    size_t size = from->struct_size;
    if (size < OLDEST_OPTIONS_BYTES || size % sizeof(uint64_t) != 0) /* where is its callback? */
        return sn_options_refuse(to,
                                 "options: struct_size is %zu, no version's: they begin as "
                                 "HANDLE_STORE_OPTIONS_INIT",
                                 size);
    const char *all = (const char *)from;
    for (size_t at = sizeof(*to); at < size; at++) {
        if (all[at] != 0)
            return sn_options_refuse(from, "options: one is set that this version does not know");
    }
    memcpy(to, from, sn_min(size, sizeof(*to)));
    to->struct_size = sizeof(*to);
    return sn_options_check(to);
}
