/* SPDX-License-Identifier: MIT */
/*
 * medium.h - the sizes that S10 asks about: four of them, and a mixture of 1 to 64 KiB drawn from
 * the sizes of a production cache (bench/data), of which those in that range are taken.
 */
#ifndef BENCH_MEDIUM_H
#define BENCH_MEDIUM_H

#include "dist.h"

#ifndef BENCH_DATA_DIR
#define BENCH_DATA_DIR "bench/data"
#endif

#define MEDIUM_SIZES    4
#define MEDIUM_SMALLEST 1024
#define MEDIUM_LARGEST  65536
#define MEDIUM_DATA     "kvcache_reg"

static const uint32_t medium_size[MEDIUM_SIZES] = {3000, 6000, 12000, 30000};

/** Objects that live at once. */
#define MEDIUM_HELD 2
static const unsigned medium_held[MEDIUM_HELD] = {4, 64};

/** A table of such sizes, from the seed. directory: of the CSV files. */
static inline void
medium_draw(uint32_t *sizes, uint32_t count, const char *directory)
{
    static struct dist dist;
    struct rng rng = rng_stream(10);
    dist_load(&dist, directory, MEDIUM_DATA, "sizes");
    for (uint32_t i = 0; i < count;) {
        sizes[i] = dist_size(&dist, rng_next(&rng));
        i += sizes[i] >= MEDIUM_SMALLEST && sizes[i] <= MEDIUM_LARGEST;
    }
}

#endif
