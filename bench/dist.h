/* SPDX-License-Identifier: MIT */
/*
 * dist.h - distributions of object sizes and key popularity, read from the CSV files of bench/data
 * (their format stands in its README.md).
 */
#ifndef BENCH_DIST_H
#define BENCH_DIST_H

#include "bench.h"

#define DIST_ROWS_MAX 4096

/** Rows of a CSV file of two columns below a line of titles, and a table to draw rows from. */
struct dist {
    uint32_t rows;
    uint64_t first[DIST_ROWS_MAX];       /* first column: size bound, or keys */
    uint64_t second[DIST_ROWS_MAX];      /* second column: weight, or requests */
    uint64_t keys_before[DIST_ROWS_MAX]; /* sum of the first column above the row */
    uint32_t accept[DIST_ROWS_MAX];      /* Walker's alias method, probabilities times 2^32 */
    uint32_t alias[DIST_ROWS_MAX];
};

/** Reads directory/name.kind.csv; a missing or malformed file ends the program with a message. */
void dist_load(struct dist *dist, const char *directory, const char *name, const char *kind);

/** A row drawn by the weights of the second column, from 64 random bits. */
uint32_t dist_draw(const struct dist *dist, uint64_t random);

/** Sizes: bytes up to the row's bound, above the bound of the row before; from 64 random bits. */
uint32_t dist_size(const struct dist *sizes, uint64_t random);

/**
 * Popularity: a key. Rows with two requests or fewer a key (the last of each file) stand for keys
 * that are not seen again: each draw of one gives a new key, counted by *fresh.
 */
uint64_t dist_key(const struct dist *popularity, struct rng *rng, uint64_t *fresh);

#endif
