/* SPDX-License-Identifier: MIT */
/* histogram.c - see histogram.h. */
#include "base/histogram.h"

#include "base/atomic.h"

void
sn_histogram_add(struct handle_histogram *histogram, uint64_t ns)
{
    uint64_t us = ns / 1000;
    unsigned bucket = us == 0 ? 0 : 64 - (unsigned)__builtin_clzll(us);
    const unsigned last = sizeof(histogram->bucket) / sizeof(histogram->bucket[0]) - 1;
    sn_owner_add(&histogram->bucket[bucket < last ? bucket : last], 1);
    sn_owner_add(&histogram->count, 1);
    sn_owner_add(&histogram->sum_ns, ns);
    if (ns > sn_load_relaxed(&histogram->max_ns))
        sn_store_relaxed(&histogram->max_ns, ns);
}
