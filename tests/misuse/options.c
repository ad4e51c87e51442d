/* SPDX-License-Identifier: MIT */
/*
 * options.c - options that do not exist, and values that they do not take: the line names the
 * option, the value and the range.
 *
 * Seen failing, with the library broken like this:
 *   any alignment up to 64; set at any time        option_at_create; option_create_only
 *   get: any size of text; unknown options         option_get
 *   a name of 32; any suffix; 1 below the range    option_name_*; _not_a_*; _out_of_range
 *   pairs not compared; unknown: no line           option_pair; option_unknown
 *   the lower one blamed, whichever was set        option_pair_upper
 */
#include "support.h"

static void
option_at_create(handle_store *store)
{
    (void)store;
    struct handle_store_options options = store_options();
    options.alignment = 12;
    expect_errno(handle_store_create(&options), EINVAL);
}

static void
option_name_too_long(handle_store *store)
{
    (void)store;
    struct handle_store_options options = store_options();
    options.name = "01234567890123456789012345678901";
    expect_errno(handle_store_create(&options), EINVAL);
}

static void
option_create_only(handle_store *store)
{
    expect(handle_store_set(store, "alignment", "64") == -EINVAL);
}

static void
option_unknown(handle_store *store)
{
    expect(handle_store_set(store, "colour", "17") == -EINVAL);
}

static void
option_not_a_number(handle_store *store)
{
    expect(handle_store_set(store, "max_bytes", "12Q") == -EINVAL);
}

static void
option_out_of_range(handle_store *store)
{
    char value[32];
    expect(handle_store_set(store, "defrag.slice_us", "49") == -EINVAL);
    expect(handle_store_get(store, "defrag.slice_us", value, sizeof(value)) == 0);
    expect(strcmp(value, "500") == 0);
}

/* A lower threshold above the upper one. */
static void
option_pair(handle_store *store)
{
    expect(handle_store_set(store, "defrag.threshold_upper_percent", "10") == 0);
    expect(handle_store_set(store, "defrag.threshold_lower_percent", "11") == -EINVAL);
}

/* An upper threshold is set below the lower one: it is what is wrong. */
static void
option_pair_upper(handle_store *store)
{
    expect(handle_store_set(store, "defrag.threshold_upper_percent", "30") == 0);
    expect(handle_store_set(store, "defrag.threshold_lower_percent", "20") == 0);
    expect(handle_store_set(store, "defrag.threshold_upper_percent", "19") == -EINVAL);
}

/* Values that do not fit, or do not exist. */
static void
option_get(handle_store *store)
{
    char value[4] = "abc";
    expect(handle_store_get(store, "name", value, sizeof(value)) == -ENOSPC);
    expect(strcmp(value, "abc") == 0);
    expect(handle_store_get(store, "colour", value, sizeof(value)) == -EINVAL);
    expect(handle_store_get(store, NULL, value, sizeof(value)) == -EINVAL);
    expect(handle_store_get(store, "name", NULL, 0) == -EINVAL);
}

#define SAYS(line) ALWAYS(REPORTS("option " line))

const struct misuse misuse_options[] = {
    CASE_NO_STORE(option_at_create,
                  SAYS("alignment: 12 is out of range: 8 to 64 bytes (8, 16 or 64)")),
    CASE_NO_STORE(option_name_too_long,
                  SAYS("name: '01234567890123456789012345678901' is out of range: 0 to 31 bytes")),
    CASE(option_create_only, SAYS("alignment: '64': only at creation")),
    CASE(option_unknown, SAYS("colour: unknown; '17' was not set")),
    CASE(option_not_a_number,
         SAYS("max_bytes: '12Q' is not a decimal number; range: 4194304 to * bytes, or 0")),
    CASE(option_out_of_range, SAYS("defrag.slice_us: 49 is out of range: 50 to 100000 us")),
    CASE(option_pair, SAYS("defrag.threshold_lower_percent: 11 is out of "
                           "range: 0 to defrag.threshold_upper_percent (10) %")),
    CASE(option_pair_upper, SAYS("defrag.threshold_upper_percent: 19 is out of "
                                 "range: defrag.threshold_lower_percent (20) to 100 %")),
    CASE(option_get, ALWAYS(RETURNS)),
    CASES_END,
};
