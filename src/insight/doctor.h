/* SPDX-License-Identifier: MIT */
/*
 * doctor.h - rules that look at a store's statistics and say what is the matter, and what helps. A
 * table; each rule is provoked by tests/insight/doctor.c, and gone when its remedy was applied.
 */
#ifndef SN_DOCTOR_H
#define SN_DOCTOR_H

#include <sinter/handle.h>

struct sn_rule {
    const char *code;
    enum handle_severity severity;
    /* Bytes at stake; 0: it does not hold. */
    uint64_t (*stake)(const struct handle_stats *stats);
    const char *text, *remedy;
    const char *option, *value; /* NULL: no option helps */
};

/** Ends with a NULL code. */
extern const struct sn_rule sn_rules[];

#endif
