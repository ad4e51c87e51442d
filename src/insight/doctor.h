/* SPDX-License-Identifier: MIT */
/*
 * doctor.h - rules that look at a store's statistics, and at what the kernel says of its memory,
 * and say what is the matter, and what helps. A table; each rule is provoked by
 * tests/insight/doctor.c, and gone when its remedy was applied.
 */
#ifndef SN_DOCTOR_H
#define SN_DOCTOR_H

#include <sinter/handle.h>

/** What the rules look at. */
struct sn_evidence {
    struct handle_stats stats;
    /* Of the kernel; 0: none, or not known. Bytes. */
    uint64_t swapped, huge; /* of the store's memory */
    uint64_t group_limit;   /* of the process' control group */
    bool wants_huge;        /* by the option hugepages */
};

struct sn_rule {
    const char *code;
    enum handle_severity severity;
    /* Bytes at stake; 0: it does not hold. */
    uint64_t (*stake)(const struct sn_evidence *evidence);
    const char *text, *remedy;
    const char *option, *value; /* NULL: no option helps */
};

/** Ends with a NULL code. */
extern const struct sn_rule sn_rules[];

/** Asks all of them. Result: how many found something. */
int sn_doctor(const struct sn_evidence *evidence,
              void (*finding)(void *opaque, const struct handle_finding *finding), void *opaque);

/** The largest cause of memory above the live bytes, by the other figures of the statistics.
 * purge_failed: the kernel has refused the last purge. */
enum handle_shrink_reason sn_shrink_reason(const struct handle_stats *stats, bool purge_failed);

/** What the kernel says of a process, "self" or its number, whose store lies between two
 * addresses. */
void sn_evidence_ask_kernel(struct sn_evidence *evidence, const char *process, uint64_t begin,
                            uint64_t end);

#endif
