/* SPDX-License-Identifier: MIT */
/*
 * target_options.c - fuzz target: lines of "name=value", each given to handle_store_set. A second
 * reading of what handle.h says of options (names, kinds, ranges, pairs) decides what must happen;
 * after each line every option is read back.
 *
 * Seen failing: a suffix taken for counts that are no bytes, a suffix whose number wraps, a
 * refused pair whose value stays.
 */
#include "fuzz.h"

#define NAME_BYTES  64
#define VALUE_BYTES 64
#define UNLIMITED   INT64_MAX

enum kind { SWITCH, COUNT, BYTES, PAGES, FIXED };

struct option {
    const char *name;
    enum kind kind;
    int64_t low, high, value;
    const char *text; /* of what cannot be set */
};

/* In the order of struct handle_store_options, with its defaults. */
static const struct option defaults[] = {
    {"name", FIXED, 0, 0, 0, "fuzz"},
    {"hardened", FIXED, 0, 0, 0, "no"},
    {"arena_bytes", FIXED, 0, 0, 0, "16777216"},
    {"alignment", FIXED, 0, 0, 0, "16"},
    {"max_bytes", BYTES, 4 * MIB, UNLIMITED, 0, NULL},
    {"purge_delay_ms", COUNT, -1, 3600000, 200, NULL},
    {"hugepages", PAGES, 0, 3, 0, NULL},
    {"thread_cache_bytes", BYTES, 0, 64 * MIB, MIB, NULL},
    {"thread_cache_total_bytes", BYTES, 0, 1024 * GIB, 16 * MIB, NULL},
    {"defrag.enabled", SWITCH, 0, 1, 0, NULL},
    {"defrag.ignore_bytes", BYTES, 0, 1024 * GIB, MIB, NULL},
    {"defrag.threshold_lower_percent", COUNT, 0, 100, 1, NULL},
    {"defrag.threshold_upper_percent", COUNT, 0, 100, 1, NULL},
    {"defrag.cpu_min_percent", COUNT, 1, 100, 5, NULL},
    {"defrag.cpu_max_percent", COUNT, 1, 100, 50, NULL},
    {"defrag.slice_us", COUNT, 50, 100000, 500, NULL},
    {"defrag.pause_while_forked", SWITCH, 0, 1, 1, NULL},
    {"defrag.fork_copy_bytes", BYTES, -1, 1024 * GIB, -1, NULL},
    {"core", FIXED, 0, 0, 0, "full"},
};
#define OPTIONS (sizeof(defaults) / sizeof(defaults[0]))
enum { MAX_BYTES = 4, LOWER = 11, UPPER = 12, CPU_MIN = 13, CPU_MAX = 14 };

static const char *const page_modes[] = {"never", "advise", "always"};

struct shop {
    handle_store *store;
    struct option options[OPTIONS];
    unsigned lines; /* given to the error callback */
    bool named;     /* the last one names an option */
};

/* ---- the second reading ---------------------------------------------------------------------- */

/* Digits, with a minus in front for counts and a suffix behind for bytes. */
static bool
read_number(const struct option *option, const char *text, int64_t *number)
{
    bool minus = *text == '-';
    __int128 value = 0;
    size_t digits = strspn(text += minus, "0123456789");
    for (size_t i = 0; i < digits; i++) {
        value = value * 10 + (text[i] - '0');
        if (value > (__int128)INT64_MAX + minus)
            return false;
    }
    const char *suffixes = "KMGT", *suffix = text + digits;
    if (digits == 0)
        return false;
    if (*suffix) {
        const char *at = strchr(suffixes, *suffix);
        if (option->kind != BYTES || !at || suffix[1] || (minus && value > 0))
            return false;
        value <<= 10 * (at - suffixes + 1);
    }
    *number = (int64_t)(minus ? -value : value);
    return value <= (__int128)INT64_MAX + minus;
}

static bool
read_value(const struct option *option, const char *text, int64_t *number)
{
    if (option->kind == FIXED)
        return false;
    if (option->kind == SWITCH) {
        *number = strcmp(text, "yes") == 0;
        return *number || strcmp(text, "no") == 0;
    }
    for (*number = 0; option->kind == PAGES && *number < 3; ++*number)
        if (strcmp(text, page_modes[*number]) == 0)
            return true;
    return option->kind != PAGES && read_number(option, text, number) &&
           ((*number >= option->low && *number <= option->high) ||
            (strcmp(option->name, "max_bytes") == 0 && *number == 0));
}

static bool
pairs_are_in_order(const struct option *options)
{
    return options[LOWER].value <= options[UPPER].value &&
           options[CPU_MIN].value <= options[CPU_MAX].value;
}

/* What set must do, done to the reference. False: it must refuse. */
static bool
set_reference(struct shop *shop, const char *name, const char *value)
{
    for (size_t i = 0; i < OPTIONS; i++) {
        struct option *option = &shop->options[i];
        int64_t number, before = option->value;
        if (strcmp(option->name, name) != 0)
            continue;
        if (!read_value(option, value, &number))
            return false;
        option->value = number;
        if (pairs_are_in_order(shop->options))
            return true;
        option->value = before;
        return false;
    }
    return false;
}

/* ---- the store ------------------------------------------------------------------------------- */

static void
on_error(void *opaque, const char *message)
{
    struct shop *shop = opaque;
    shop->lines++;
    shop->named = strncmp(message, "option ", 7) == 0 && strlen(message) < 256;
}

static void
expected_text(const struct option *option, char *text, size_t size)
{
    if (option->kind == FIXED)
        snprintf(text, size, "%s", option->text);
    else if (option->kind == SWITCH)
        snprintf(text, size, "%s", option->value ? "yes" : "no");
    else if (option->kind == PAGES)
        snprintf(text, size, "%s", page_modes[option->value]);
    else
        snprintf(text, size, "%lld", (long long)option->value);
}

static void
compare(struct shop *shop)
{
    char expected[VALUE_BYTES], found[VALUE_BYTES];
    for (size_t i = 0; i < OPTIONS; i++) {
        expected_text(&shop->options[i], expected, sizeof(expected));
        size_t length = strlen(expected);
        memset(found, '?', sizeof(found));
        /* a byte too short: nothing is written */
        fuzz_check(handle_store_get(shop->store, shop->options[i].name, found, length) == -ENOSPC);
        fuzz_check(found[0] == '?');
        fuzz_check(handle_store_get(shop->store, shop->options[i].name, found, length + 1) == 0);
        fuzz_check(strcmp(found, expected) == 0 && found[length + 1] == '?');
    }
}

static void
set(struct shop *shop, const char *name, const char *value)
{
    char text[VALUE_BYTES];
    unsigned lines = shop->lines;
    bool known = false;
    for (size_t i = 0; i < OPTIONS; i++)
        known = known || strcmp(defaults[i].name, name) == 0;
    int expected = set_reference(shop, name, value) ? 0 : -EINVAL;
    fuzz_check(handle_store_set(shop->store, name, value) == expected);
    fuzz_check(shop->lines == lines + (expected != 0));
    fuzz_check(expected == 0 || shop->named);
    fuzz_check(handle_store_get(shop->store, name, text, sizeof(text)) == (known ? 0 : -EINVAL));
    compare(shop);
    fuzz_operations++;
}

static void
open_shop(struct shop *shop)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    memset(shop, 0, sizeof(*shop));
    memcpy(shop->options, defaults, sizeof(defaults));
    options.name = "fuzz";
    options.arena_bytes = 16 * MIB;
    options.alignment = 16;
    options.defrag.enabled = false;
    options.error = on_error;
    options.opaque = shop;
    shop->store = handle_store_create(&options);
    fuzz_check(shop->store != NULL);
}

static void
close_shop(struct shop *shop)
{
    fuzz_check(handle_store_check(shop->store, print_violation, NULL) == 0);
    fuzz_check(handle_store_destroy(shop->store) == 0);
}

/* ---- inputs ---------------------------------------------------------------------------------- */

/* One line: the name up to '=', the value up to the end; both as C strings. */
static void
set_line(struct shop *shop, const uint8_t *line, size_t length)
{
    char name[NAME_BYTES], value[VALUE_BYTES];
    const uint8_t *equals = length ? memchr(line, '=', length) : NULL;
    size_t name_length = equals ? (size_t)(equals - line) : length;
    size_t value_length = equals ? length - name_length - 1 : 0;
    name_length = name_length < NAME_BYTES ? name_length : NAME_BYTES - 1;
    value_length = value_length < VALUE_BYTES ? value_length : VALUE_BYTES - 1;
    if (name_length)
        memcpy(name, line, name_length);
    if (value_length)
        memcpy(value, equals + 1, value_length);
    name[name_length] = value[value_length] = '\0';
    set(shop, name, value);
}

static void
set_lines(struct shop *shop, const uint8_t *data, size_t size)
{
    while (size > 0) {
        const uint8_t *newline = memchr(data, '\n', size);
        size_t length = newline ? (size_t)(newline - data) : size;
        set_line(shop, data, length);
        length += newline != NULL;
        data += length;
        size -= length;
    }
}

const uint64_t fuzz_round = 20000;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shop shop;
    fuzz_begin();
    open_shop(&shop);
    set_lines(&shop, data, size);
    close_shop(&shop);
    return 0;
}

/* A line that is right or nearly so: a known name, digits with something around them. */
static size_t
random_line(uint64_t *random, char *line, size_t size)
{
    static const char *const words[] = {"yes", "no",  "never", "advise", "always",
                                        "",    "Yes", " ",     "T",      "-"};
    const char *name = defaults[random_below(random, OPTIONS)].name;
    const char *suffix = &"K\0M\0G\0T\0k\0B\0\0"[random_below(random, 8) * 2 % 14];
    uint64_t number = random_next(random) >> random_below(random, 64);
    size_t length;
    if (random_below(random, 4) == 0)
        length = (size_t)snprintf(line, size, "%s=%s", name,
                                  words[random_below(random, sizeof(words) / sizeof(words[0]))]);
    else
        length =
            (size_t)snprintf(line, size, "%s=%s%llu%s", name, random_below(random, 8) ? "" : "-",
                             (unsigned long long)number, random_below(random, 2) ? "" : suffix);
    while (random_below(random, 4) == 0)
        line[random_below(random, length)] = (char)random_next(random);
    return length;
}

void
fuzz_random(uint64_t seed, uint64_t operations)
{
    struct shop shop;
    char line[NAME_BYTES + VALUE_BYTES];
    uint64_t end = fuzz_operations + operations;
    fuzz_begin();
    open_shop(&shop);
    while (fuzz_operations < end) {
        size_t length = random_line(&seed, line, sizeof(line));
        set_lines(&shop, (const uint8_t *)line, length);
    }
    close_shop(&shop);
}
