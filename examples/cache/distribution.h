/* SPDX-License-Identifier: MIT */
/*
 * distribution.h - weighted choice among intervals of numbers: "bytes 32 to 63 with weight 1010",
 * "keys 0 to 9 with weight 618". Read from CSV or computed. Drawing takes constant time (Walker's
 * alias method). Not for distributions that change after they were made.
 */
#ifndef CACHE_DISTRIBUTION_H
#define CACHE_DISTRIBUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Numbers first to first + count - 1, equally likely among themselves. */
struct interval {
    uint64_t first;
    uint64_t count;
    double weight;
    /* alias method, filled by distribution_seal */
    uint32_t keep;  /* stay with this interval if 32 random bits are not above */
    uint32_t alias; /* else take this one */
};

struct distribution {
    struct interval *intervals;
    uint32_t count;
    uint32_t capacity;
    double mean; /* of the numbers drawn; valid after seal */
};

/** Appends an interval. False: no memory. */
bool distribution_add(struct distribution *d, uint64_t first, uint64_t count, double weight);
/** Ends the additions; makes drawing possible. False: no interval, no weight, or no memory. */
bool distribution_seal(struct distribution *d);
void distribution_free(struct distribution *d);

/** The number that two sets of random bits choose. */
uint64_t distribution_draw(const struct distribution *d, uint64_t bits, uint64_t more_bits);

/** Columns of a CSV file whose lines are two decimal numbers, after one heading. */
enum csv_kind {
    CSV_UPPER_BOUND_WEIGHT, /* the interval reaches from the previous line's bound + 1 to this */
    CSV_COUNT_WEIGHT,       /* that many numbers, after those of the previous line */
};

/** Reads and seals. On failure a line naming file, line and cause goes to stderr. */
bool distribution_read_csv(struct distribution *d, const char *path, enum csv_kind kind);

/** Divides the numbers in every interval by `by` (at least one stays), and keeps the weights. */
void distribution_thin(struct distribution *d, double by);

/** Ranks 0 to n - 1 with weight 1 / (rank + 1) ^ exponent, in intervals a tenth wide. Seals. */
bool distribution_zipf(struct distribution *d, uint64_t n, double exponent);

#endif
