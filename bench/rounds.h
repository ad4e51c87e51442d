/* SPDX-License-Identifier: MIT */
/*
 * rounds.h - several subjects in one process, in turns of a few milliseconds: what slows one turn
 * slows the next, so that the ratios of a round hold on a machine that others use, too. Reported
 * are the median of the rounds' ratios to the first subject, which is the peer, and their
 * quartiles.
 */
#ifndef BENCH_ROUNDS_H
#define BENCH_ROUNDS_H

#include <stdint.h>

#define ROUNDS_MAX      101
#define ROUNDS_SUBJECTS 3

struct rounds {
    unsigned count;
    double ns[ROUNDS_SUBJECTS][ROUNDS_MAX]; /* of an operation */
};

/** Sorts `count` values and gives the one at this share of them, 0 to 1. */
double rounds_quantile(double *values, unsigned count, double share);

/** Median time of a subject's operation. */
double rounds_median_ns(const struct rounds *rounds, unsigned subject);

/**
 * Reports "question, who" with its quartiles, as times of the peer's; at most `target`, or NAN.
 * Result: the median.
 */
double rounds_report_ratio(const char *question, const char *who, const struct rounds *rounds,
                           unsigned subject, double target);

/** Reports the peer's own time as "question, peer". Result: the same. */
double rounds_report_peer(const char *question, const struct rounds *rounds);

/** The target if this peer is the process's malloc, else NAN. */
double rounds_target_beside(const char *peer, double target);

#endif
