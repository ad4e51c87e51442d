/* SPDX-License-Identifier: MIT */
/*
 * options.h - the options of a store: one table with name, type, range and unit of each, from which
 * checking, setting and printing by name all work. Nothing of a store: that is settings.c's.
 */
#ifndef SN_OPTIONS_H
#define SN_OPTIONS_H

#include "base/base.h"

#include <sinter/handle.h>

enum sn_option_kind {
    SN_OPTION_SWITCH,
    SN_OPTION_U32,
    SN_OPTION_U64,
    SN_OPTION_I64,
    SN_OPTION_BYTES_OR_MINUS,
    SN_OPTION_WORD,
    SN_OPTION_NAME
};

struct sn_option {
    const char *name;
    const char *unit;
    enum sn_option_kind kind;
    bool at_creation;
    bool zero_allowed; /* 0 stands for "default" or "none", whatever the range */
    size_t at;         /* offset in struct handle_store_options */
    int64_t low, high;
};

/** One line to the callback of the options, or to stderr. Result: -EINVAL. */
__attribute__((format(printf, 2, 3))) int
sn_options_refuse(const struct handle_store_options *values, const char *format, ...);

/** The functions below that return an int, 0 or -EINVAL, say by sn_options_refuse what is wrong. */

/** The caller's options (NULL: all defaults), whatever the version of the struct it was built
 * with, checked. */
int sn_options_read(struct handle_store_options *to, const struct handle_store_options *from);
int sn_options_check(const struct handle_store_options *values);

/** Two percentages out of order. set: the one that was set, which is blamed; NULL: both were. */
int sn_options_check_pairs(const struct handle_store_options *values, const struct sn_option *set);
/** Copies what sn_options_check_pairs looks at, while others may set it. */
void
sn_options_copy_pairs(struct handle_store_options *to, const struct handle_store_options *values);

/** NULL: there is none. */
const struct sn_option *sn_option_find(const char *name);

/** The value of any option but the name; atomic, as all below. */
int64_t sn_option_number(const struct handle_store_options *values, const struct sn_option *option);
void
sn_option_set(struct handle_store_options *values, const struct sn_option *option, int64_t value);
/** Whether the value is in range. */
int sn_option_check(const struct handle_store_options *values, const struct sn_option *option,
                    int64_t value);
int sn_option_parse(const struct handle_store_options *values, const struct sn_option *option,
                    const char *text, int64_t *value);
/** As snprintf. */
int sn_option_print(const struct handle_store_options *values, const struct sn_option *option,
                    char *text, size_t size);

#endif
