/* SPDX-License-Identifier: MIT */
/*
 * rounds.c - ratios of turns, their medians and quartiles; see rounds.h.
 */
#include "rounds.h"
#include "bench.h"
#include "peer.h"
#include "report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double
rounds_quantile(double *values, unsigned count, double share)
{
    qsort(values, count, sizeof(*values), by_value);
    double at = share * (count - 1);
    unsigned below = (unsigned)at;
    unsigned above = below + 1 < count ? below + 1 : below;
    return values[below] + (at - below) * (values[above] - values[below]);
}

double
rounds_median_ns(const struct rounds *rounds, unsigned subject)
{
    double ns[ROUNDS_MAX];
    memcpy(ns, rounds->ns[subject], sizeof(ns));
    return rounds_quantile(ns, rounds->count, 0.5);
}

/* Texts of metrics live until the report is printed. */
static const char *
text_of(const char *question, const char *who, const char *what)
{
    static char text[256][56];
    static unsigned used;
    if (used == BENCH_COUNTOF(text))
        bench_fatal("more than %zu texts", BENCH_COUNTOF(text));
    snprintf(text[used], sizeof(text[used]), "%s, %s%s", question, who, what);
    return text[used++];
}

double
rounds_report_ratio(const char *question, const char *who, const struct rounds *rounds,
                    unsigned subject, double target)
{
    double ratio[ROUNDS_MAX];
    unsigned count = rounds->count;
    for (unsigned i = 0; i < count; i++)
        ratio[i] = rounds->ns[subject][i] / rounds->ns[0][i];
    double median = rounds_quantile(ratio, count, 0.5);
    report_at_most(text_of(question, who, ""), "x peer", median, NAN, target);
    report_value(text_of(question, who, ", lower quartile"), "x peer",
                 rounds_quantile(ratio, count, 0.25));
    report_value(text_of(question, who, ", upper quartile"), "x peer",
                 rounds_quantile(ratio, count, 0.75));
    return median;
}

double
rounds_report_peer(const char *question, const struct rounds *rounds)
{
    double ns = rounds_median_ns(rounds, 0);
    report_value(text_of(question, "peer", ""), "ns", ns);
    return ns;
}

double
rounds_target_beside(const char *peer, double target)
{
    return strcmp(peer_label(), peer) == 0 ? target : NAN;
}
