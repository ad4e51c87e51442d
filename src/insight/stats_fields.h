/* SPDX-License-Identifier: MIT */
/*
 * stats_fields.h - the figures of struct handle_stats and of struct handle_class_stats, each named
 * once with its kind and what it means. The formats (text.c, json.c, prometheus.c), stats_diff.c
 * and the program sinter walk these tables.
 */
#ifndef SN_STATS_FIELDS_H
#define SN_STATS_FIELDS_H

#include <sinter/handle.h>

/** What a figure is: how it is read, in which unit it is printed, whether it only grows. */
enum kind {
    BYTES,
    BYTES_SIGNED,
    BYTES_TOTAL, /* only grows, like every _TOTAL */
    COUNT,
    COUNT_32,
    COUNT_TOTAL,
    NS,
    NS_TOTAL,
    PERMILLE,
    RATIO, /* no member: made of two steps of the memory breakdown */
    TIMES,
    IDLE,
    SHRINK,
    FAILURE,
    DENSE,
    REFUSED,
    OCCUPANCY,
    KINDS
};

/** Where TEXT prints a figure. */
enum section {
    MEMORY,
    BESIDE,
    RATIOS,
    OBJECTS,
    COMPACTION,
    TIME,
    OTHER,
    CLASS_KEY, /* in every table of classes */
    CLASS_SPANS,
    CLASS_LAYOUT,
    CLASS_SLOTS,
    CLASS_MOVES,
    SECTIONS
};

struct field {
    const char *name;
    enum kind kind;
    enum section section;
    size_t offset; /* of the member; of a ratio: which one */
    const char *help;
};

/** A value of an enumeration: a word for programs, which stays as it is, and a text for people. */
struct reason {
    const char *word;
    const char *text;
};

/** What the formats have to know of a kind. */
struct kind_facts {
    const char *ending; /* of the member's name, where it tells the unit */
    const char *metric; /* in its place, for Prometheus */
    const char *type;
    const char *label; /* kinds with one sample for each reason */
    const struct reason *reasons;
    unsigned count;
};

/** Both end with a NULL name. */
extern const struct field sn_store_fields[];
extern const struct field sn_class_fields[];
extern const struct kind_facts sn_kinds[KINDS];

/** Elements of the member: arrays have one for each reason. */
static inline unsigned
elements(const struct field *f)
{
    return f->kind == REFUSED || f->kind == OCCUPANCY ? sn_kinds[f->kind].count : 1;
}

/** Whether the member is one number, or a reason's: not a ratio, times, or an array. */
static inline bool
sn_field_is_number(const struct field *f)
{
    return f->kind != RATIO && f->kind != TIMES && elements(f) == 1;
}

/** The member of the struct at `base`; i: which element of an array. Not of a ratio or of times. */
uint64_t sn_field_number(const struct field *f, const void *base, unsigned i);
/** Sets one that is a number. */
void sn_field_set_number(const struct field *f, void *base, uint64_t number);

/** The words of a number; "unknown" for one that is none. */
const struct reason *sn_reason_of(enum kind kind, uint64_t number);

/** What a number of enum handle_idle_reason, and of the other enumerations of reasons, means, in
 * words; "unknown" for any other number. Never NULL. */
const char *sn_idle_reason_text(uint32_t reason);
const char *sn_shrink_reason_text(uint32_t reason);
const char *sn_alloc_failure_text(uint32_t reason);
const char *sn_dense_reason_text(uint32_t reason);
const char *sn_refusal_text(uint32_t refusal);

#endif
