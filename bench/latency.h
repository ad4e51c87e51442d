/* SPDX-License-Identifier: MIT */
/*
 * latency.h - histograms of durations for the latency questions: 64 buckets per power of two, so
 * that a percentile is right to 1.6 %; the largest value is kept exactly.
 */
#ifndef BENCH_LATENCY_H
#define BENCH_LATENCY_H

#include "bench.h"
#include "report.h"

#define LATENCY_SUB_BITS 6
#define LATENCY_BUCKETS  (64u << LATENCY_SUB_BITS)

struct latency {
    uint64_t count;
    uint64_t max_ns;
    uint64_t bucket[LATENCY_BUCKETS];
};

static inline unsigned
latency_bucket(uint64_t ns)
{
    if (ns < (1u << LATENCY_SUB_BITS))
        return (unsigned)ns;
    unsigned octave = 63 - (unsigned)__builtin_clzll(ns) - LATENCY_SUB_BITS;
    return ((octave + 1) << LATENCY_SUB_BITS) + (unsigned)((ns >> octave) & 63);
}

static inline void
latency_add(struct latency *latency, uint64_t ns)
{
    latency->bucket[latency_bucket(ns)]++;
    latency->count++;
    if (ns > latency->max_ns)
        latency->max_ns = ns;
}

/** The ns that this share (0.999, say) of the values does not exceed; 0 without values. */
static inline double
latency_quantile(const struct latency *latency, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)latency->count), seen = 0;
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++) {
        seen += latency->bucket[i];
        if (seen > wanted || (seen == latency->count && seen > 0)) {
            unsigned octave = i >> LATENCY_SUB_BITS, sub = i & 63;
            return octave == 0 ? i : (double)((UINT64_C(64) + sub) << (octave - 1));
        }
    }
    return 0;
}

static inline void
latency_merge(struct latency *to, const struct latency *from)
{
    for (unsigned i = 0; i < LATENCY_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
    to->count += from->count;
    to->max_ns = from->max_ns > to->max_ns ? from->max_ns : to->max_ns;
}

/** Two metrics: the 99.9th percentile, and the longest. */
static inline void
latency_report(const struct latency *latency, const char *tail, const char *longest)
{
    report_value(tail, "us", latency_quantile(latency, 0.999) * 1e-3);
    report_value(longest, "us", (double)latency->max_ns * 1e-3);
}

/** Binds the calling thread to one of the processors it may use, round robin; false if refused. */
bool latency_bind(unsigned which);

#endif
