/* SPDX-License-Identifier: MIT */
/*
 * class_use.h - a size class's spans of movable objects as numbers, and how many of them it needs:
 * the one formula that the mover plans by, that statistics show and that refused allocations are
 * answered by. Pure functions.
 */
#ifndef SN_CLASS_USE_H
#define SN_CLASS_USE_H

#include <stdbool.h>
#include <stdint.h>

#define SN_OCCUPANCIES 9 /* eighths of occupancy, sparsest first; the last: full */
#define SN_FULL        8

struct sn_class_use {
    uint32_t slots; /* per span */
    uint32_t slot_bytes;
    uint64_t span_bytes; /* resident, when all of it is in use */
    uint64_t committed;  /* bytes of the spans' pages */
    uint64_t used;       /* slots not free */
    uint32_t spans;
    uint32_t aside;                    /* of them, that cannot be emptied: pinned, or damaged */
    uint32_t detached;                 /* of them, in no list: of unknown occupancy */
    uint32_t spans_in[SN_OCCUPANCIES]; /* by occupancy; those set aside are in none */
};

/**
 * Spans that are too many once so many used slots more are free. L occupied slots at n per span
 * need ceil(L / n) spans; what was set aside stays anyway, and serves.
 */
uint32_t sn_excess_spans(const struct sn_class_use *c, uint64_t freed);

/** Committed bytes that emptying these spans gives back, if those that stay are committed whole
 * afterwards. */
uint64_t sn_excess_bytes(const struct sn_class_use *c, uint64_t freed);

/**
 * Pages under free slots of a class that has no span too many. At a limit, where each counts, its
 * sparsest span is emptied all the same: what was there fills the pages of others, then those of a
 * new span from the lowest on. Result: what that gives back; 0: too little for what is moved.
 */
uint64_t sn_loose_bytes(const struct sn_class_use *c, uint64_t freed);

/** What emptying spans gains at a limit, of all classes together. */
struct sn_gain {
    uint64_t excess_bytes; /* of spans that are too many */
    uint64_t loose_bytes;
    uint64_t committed;
};
/** Adds a class to them. Result: its spans that are too many. */
uint32_t sn_gain_add(struct sn_gain *gain, const struct sn_class_use *c, uint64_t freed);
/** Whether loose pages are so many that spans are emptied for their sake. */
bool sn_gain_is_loose(const struct sn_gain *gain);
uint64_t sn_gain_bytes(const struct sn_gain *gain);

#endif
