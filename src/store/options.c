/* SPDX-License-Identifier: MIT */
/*
 * options.c - the options of a store: one table with name, type, range and unit of each, from which
 * checking, setting and getting by name all work.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/misuse.h"

enum kind { SWITCH, U32, U64, I64, BYTES_OR_MINUS, WORD, NAME };

struct option {
    const char *name;
    const char *unit;
    enum kind kind;
    bool at_creation;
    bool zero_allowed; /* 0 stands for "default" or "none", whatever the range */
    size_t at;         /* offset in struct handle_store_options */
    int64_t low, high;
};

#define AT(member) offsetof(struct handle_store_options, member)
#define TIB        ((int64_t)1 << 40)

static const struct option options[] = {
    {"name", "", NAME, true, false, AT(name), 0, 31},
    {"hardened", "", SWITCH, true, false, AT(hardened), 0, 1},
    {"arena_bytes", " bytes", U64, true, true, AT(arena_bytes), SN_ARENA_MIN_BYTES, TIB},
    {"alignment", " bytes (8, 16 or 64)", U32, true, false, AT(alignment), 8, 64},
    {"max_bytes", " bytes, or 0", U64, false, true, AT(max_bytes), SN_MAX_BYTES_MIN, INT64_MAX},
    {"purge_delay_ms", " ms", I64, false, false, AT(purge_delay_ms), -1, 3600000},
    {"hugepages", "", WORD, false, false, AT(hugepages), 0, 2},
    {"thread_cache_bytes", " bytes", U64, false, false, AT(thread_cache_bytes), 0, 64 << 20},
    {"thread_cache_total_bytes", " bytes", U64, false, false, AT(thread_cache_total_bytes), 0, TIB},
    {"defrag.enabled", "", SWITCH, false, false, AT(defrag.enabled), 0, 1},
    {"defrag.ignore_bytes", " bytes", U64, false, false, AT(defrag.ignore_bytes), 0, TIB},
    {"defrag.threshold_lower_percent", " %", U32, false, false, AT(defrag.threshold_lower_percent),
     0, 100},
    {"defrag.threshold_upper_percent", " %", U32, false, false, AT(defrag.threshold_upper_percent),
     0, 100},
    {"defrag.cpu_min_percent", " %", U32, false, false, AT(defrag.cpu_min_percent), 1, 100},
    {"defrag.cpu_max_percent", " %", U32, false, false, AT(defrag.cpu_max_percent), 1, 100},
    {"defrag.slice_us", " us", U32, false, false, AT(defrag.slice_us), 50, 100000},
    {"defrag.pause_while_forked", "", SWITCH, false, false, AT(defrag.pause_while_forked), 0, 1},
    {"defrag.fork_copy_bytes", " bytes, or -1", BYTES_OR_MINUS, false, false,
     AT(defrag.fork_copy_bytes), -1, TIB},
    {"core", "", WORD, true, false, AT(core), 0, 2},
};
#define OPTION_COUNT (sizeof(options) / sizeof(options[0]))

/* What the values of options that are words are called. */
struct words {
    size_t at; /* in struct handle_store_options */
    const char *expected;
    const char *word[3];
};
static const struct words words[] = {
    {AT(hugepages), "never, advise or always", {"never", "advise", "always"}},
    {AT(core), "full, metadata or none", {"full", "metadata", "none"}},
};

static const struct words *
words_of(const struct option *option)
{
    return &words[option->at == words[0].at ? 0 : 1];
}

/* ---- reading and writing a member ------------------------------------------------------------ */

static void *
member(const struct handle_store_options *values, const struct option *option)
{
    return (char *)(uintptr_t)values + option->at;
}

static int64_t
get_number(const struct handle_store_options *values, const struct option *option)
{
    void *at = member(values, option);
    switch (option->kind) {
    case SWITCH:
        return sn_load_relaxed((bool *)at);
    case U32:
        return sn_load_relaxed((uint32_t *)at);
    case WORD: /* an enumeration is as large as an unsigned int */
        return (int64_t)sn_load_relaxed((unsigned *)at);
    case U64: {
        uint64_t value = sn_load_relaxed((uint64_t *)at);
        return value > INT64_MAX ? INT64_MAX : (int64_t)value;
    }
    default:
        return sn_load_relaxed((int64_t *)at);
    }
}

static void
set_number(struct handle_store_options *values, const struct option *option, int64_t value)
{
    void *at = member(values, option);
    switch (option->kind) {
    case SWITCH:
        sn_store_relaxed((bool *)at, value != 0);
        break;
    case U32:
        sn_store_relaxed((uint32_t *)at, (uint32_t)value);
        break;
    case WORD:
        sn_store_relaxed((unsigned *)at, (unsigned)value);
        break;
    case U64:
        sn_store_relaxed((uint64_t *)at, (uint64_t)value);
        break;
    default:
        sn_store_relaxed((int64_t *)at, value);
        break;
    }
}

/* NULL: there is none. */
static const struct option *
find(const char *name)
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

static int
check_number(const struct handle_store_options *values, const struct option *option, int64_t value)
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
refuse_pair(const struct handle_store_options *values, const struct option *set,
            const struct option *lower, const struct option *upper)
{
    int64_t low = get_number(values, lower), high = get_number(values, upper);
    if (set == upper)
        return sn_options_refuse(
            values, "option %s: %" PRId64 " is out of range: %s (%" PRId64 ") to %" PRId64 "%s",
            upper->name, high, lower->name, low, upper->high, upper->unit);
    return sn_options_refuse(
        values, "option %s: %" PRId64 " is out of range: %" PRId64 " to %s (%" PRId64 ")%s",
        lower->name, low, lower->low, upper->name, high, lower->unit);
}

static int
check_pairs(const struct handle_store_options *values, const struct option *set)
{
    if (values->defrag.threshold_lower_percent > values->defrag.threshold_upper_percent)
        return refuse_pair(values, set, find("defrag.threshold_lower_percent"),
                           find("defrag.threshold_upper_percent"));
    if (values->defrag.cpu_min_percent > values->defrag.cpu_max_percent)
        return refuse_pair(values, set, find("defrag.cpu_min_percent"),
                           find("defrag.cpu_max_percent"));
    return 0;
}

int
sn_options_check(const struct handle_store_options *values)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &options[i];
        if (option->kind == NAME) {
            if (values->name && strnlen(values->name, 32) > 31)
                return sn_options_refuse(
                    values, "option name: '%.40s' is out of range: 0 to 31 bytes", values->name);
            continue;
        }
        int error = check_number(values, option, get_number(values, option));
        if (error)
            return error;
    }
    return check_pairs(values, NULL);
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
parse_integer(const struct option *option, const char *text, int64_t *value)
{
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno != 0 || end == text || (text[0] != '-' && (text[0] < '0' || text[0] > '9')))
        return false;
    bool bytes = option->kind == U64 || option->kind == BYTES_OR_MINUS;
    int shift = bytes ? suffix_shift(end) : (*end == 0 ? 0 : -1);
    if (shift < 0 || number > INT64_MAX >> shift || (shift > 0 && number < 0))
        return false;
    *value = (int64_t)((uint64_t)number << shift); /* a negative number has no suffix */
    return true;
}

static bool
parse(const struct option *option, const char *text, int64_t *value)
{
    if (option->kind == SWITCH) {
        *value = strcmp(text, "yes") == 0;
        return *value || strcmp(text, "no") == 0;
    }
    if (option->kind == WORD) {
        for (*value = 0; *value < 3; ++*value) {
            if (strcmp(text, words_of(option)->word[*value]) == 0)
                return true;
        }
        return false;
    }
    return parse_integer(option, text, value);
}

static const char *
expected(const struct option *option)
{
    return option->kind == SWITCH ? "yes or no"
           : option->kind == WORD ? words_of(option)->expected
                                  : "a decimal number";
}

static pthread_mutex_t set_lock = PTHREAD_MUTEX_INITIALIZER;

void
sn_options_begin_child(void)
{
    pthread_mutex_init(&set_lock, NULL);
}

/* Makes the present value take effect where it is kept in another form, too. Under the lock: what
 * is in force is what is shown. */
static void
apply_locked(handle_store *store, const struct option *option)
{
    const struct handle_store_options *values = &store->options;
    enum handle_hugepages mode = sn_load_relaxed(&values->hugepages);
    switch (option->at) {
    case AT(max_bytes):
    case AT(thread_cache_bytes):
    case AT(thread_cache_total_bytes):
        sn_store_relaxed(&store->budget.max_bytes, sn_load_relaxed(&values->max_bytes));
        sn_caches_set_bounds(&store->caches, sn_load_relaxed(&values->thread_cache_bytes),
                             sn_load_relaxed(&values->thread_cache_total_bytes),
                             sn_load_relaxed(&values->max_bytes));
        break;
    case AT(hugepages):
        sn_pool_set_hugepages(&store->pool, mode != HANDLE_HUGEPAGES_NEVER);
        sn_table_set_hugepages(&store->table, mode == HANDLE_HUGEPAGES_ALWAYS);
        break;
    default: /* looked at where it is used */
        break;
    }
}

/* One at a time, so that pairs of options stay in order, and each is applied as it is set. The old
 * value comes back on refusal. */
static int
set_checked(handle_store *store, const struct option *option, int64_t number)
{
    struct handle_store_options *values = &store->options;
    pthread_mutex_lock(&set_lock);
    int64_t before = get_number(values, option);
    set_number(values, option, number);
    struct handle_store_options pairs = {.error = values->error, .opaque = values->opaque};
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (options[i].kind == U32)
            set_number(&pairs, &options[i], get_number(values, &options[i]));
    }
    bool in_order = pairs.defrag.threshold_lower_percent <= pairs.defrag.threshold_upper_percent &&
                    pairs.defrag.cpu_min_percent <= pairs.defrag.cpu_max_percent;
    if (in_order)
        apply_locked(store, option);
    else
        set_number(values, option, before);
    pthread_mutex_unlock(&set_lock);
    return in_order ? 0 : check_pairs(&pairs, option);
}

/* defrag.enabled has become yes or no. Without a thread it does not stay yes. */
static int
enable(handle_store *store)
{
    int error = sn_defrag_configure(store);
    if (error) {
        sn_store_relaxed(&store->options.defrag.enabled, false);
        (void)sn_options_refuse(&store->options,
                                "option defrag.enabled: yes: the store is being destroyed");
    }
    return error;
}

static void
tell_threads(handle_store *store)
{
    sn_store_nudge(store, true);
    if (store->defrag)
        sn_defrag_wake(store);
}

int
handle_store_set(handle_store *store, const char *name, const char *value)
{
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    if (!store || !name || !value)
        return -EINVAL;
    struct handle_store_options *values = &store->options;
    const struct option *option = find(name);
    int64_t number;
    if (!option)
        return sn_options_refuse(values, "option %s: unknown; '%s' was not set", name, value);
    if (option->at_creation)
        return sn_options_refuse(values, "option %s: '%s': only at creation", name, value);
    if (!parse(option, value, &number))
        return sn_options_refuse(
            values, "option %s: '%s' is not %s; range: %" PRId64 " to %" PRId64 "%s", name, value,
            expected(option), option->low, option->high, option->unit);
    int error = check_number(values, option, number);
    if (!error)
        error = set_checked(store, option, number);
    if (error)
        return error;
    tell_threads(store);
    if (option->at == AT(thread_cache_bytes) || option->at == AT(thread_cache_total_bytes) ||
        option->at == AT(max_bytes))
        sn_caches_take_slots(&store->caches, false, false, NULL);
    return option->at == AT(defrag.enabled) ? enable(store) : 0;
}

int
handle_store_get(handle_store *store, const char *name, char *value, size_t size)
{
    char text[32];
    sn_check_call(store, SN_ANYWHERE, 0, NULL);
    const struct option *option = find(name);
    if (!store || !option || !value)
        return -EINVAL;
    int64_t number = option->kind == NAME ? 0 : get_number(&store->options, option);
    int length;
    if (option->kind == NAME)
        length = snprintf(text, sizeof(text), "%s", store->name);
    else if (option->kind == SWITCH)
        length = snprintf(text, sizeof(text), "%s", number ? "yes" : "no");
    else if (option->kind == WORD)
        length = snprintf(text, sizeof(text), "%s", words_of(option)->word[number]);
    else
        length = snprintf(text, sizeof(text), "%" PRId64, number);
    if ((size_t)length >= size)
        return -ENOSPC;
    memcpy(value, text, (size_t)length + 1);
    return 0;
}

void
sn_options_apply(handle_store *store)
{
    for (size_t i = 0; i < OPTION_COUNT; i++)
        apply_locked(store, &options[i]); /* nobody else knows the store yet */
    tell_threads(store);
}
