/* SPDX-License-Identifier: MIT */
/*
 * dist.c - reads distributions and draws from them by Walker's alias method; see dist.h.
 */
#include "dist.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FRESH_KEYS (UINT64_C(1) << 48) /* above all keys that come back */

static void
read_rows(struct dist *dist, FILE *file, const char *path)
{
    char line[128];
    uint64_t keys = 0;
    for (unsigned number = 1; fgets(line, sizeof(line), file); number++) {
        if (number == 1)
            continue; /* titles */
        uint32_t row = dist->rows;
        char rest;
        if (row == DIST_ROWS_MAX ||
            sscanf(line, "%" SCNu64 ",%" SCNu64 "%c", &dist->first[row], &dist->second[row],
                   &rest) != 3 ||
            rest != '\n' || dist->first[row] == 0)
            bench_fatal("%s, line %u: not two numbers, or more than %d rows", path, number,
                        DIST_ROWS_MAX);
        dist->keys_before[row] = keys;
        keys += dist->first[row];
        dist->rows++;
    }
    if (ferror(file) || dist->rows == 0)
        bench_fatal("%s: no rows", path);
}

/* Rows with less than an average share are filled up by one with more. */
static void
build_alias(struct dist *dist)
{
    static double share[DIST_ROWS_MAX];
    static uint32_t poor[DIST_ROWS_MAX], rich[DIST_ROWS_MAX];
    uint32_t poors = 0, riches = 0;
    double total = 0;
    for (uint32_t i = 0; i < dist->rows; i++)
        total += (double)dist->second[i];
    for (uint32_t i = 0; i < dist->rows; i++) {
        share[i] = (double)dist->second[i] * dist->rows / total;
        dist->accept[i] = UINT32_MAX;
        dist->alias[i] = i;
        if (share[i] < 1)
            poor[poors++] = i;
        else
            rich[riches++] = i;
    }
    while (poors > 0 && riches > 0) {
        uint32_t low = poor[--poors], high = rich[riches - 1];
        dist->accept[low] = (uint32_t)(share[low] * 4294967295.0);
        dist->alias[low] = high;
        share[high] -= 1 - share[low];
        if (share[high] < 1) {
            riches--;
            poor[poors++] = high;
        }
    }
}

void
dist_load(struct dist *dist, const char *directory, const char *name, const char *kind)
{
    char path[4096];
    if (snprintf(path, sizeof(path), "%s/%s.%s.csv", directory, name, kind) >= (int)sizeof(path))
        bench_fatal("option --data: \"%s\" is too long", directory);
    FILE *file = fopen(path, "r");
    if (!file)
        bench_fatal("%s: %s (option --data names the directory)", path, strerror(errno));
    dist->rows = 0;
    read_rows(dist, file, path);
    fclose(file);
    build_alias(dist);
}

uint32_t
dist_draw(const struct dist *dist, uint64_t random)
{
    uint32_t row = (uint32_t)(((random >> 32) * dist->rows) >> 32);
    return (uint32_t)random <= dist->accept[row] ? row : dist->alias[row];
}

uint32_t
dist_size(const struct dist *sizes, uint64_t random)
{
    uint32_t row = dist_draw(sizes, random);
    uint64_t low = row == 0 ? 1 : sizes->first[row - 1] + 1;
    return (uint32_t)(low + bench_mix(random) % (sizes->first[row] - low + 1));
}

uint64_t
dist_key(const struct dist *popularity, struct rng *rng, uint64_t *fresh)
{
    uint32_t row = dist_draw(popularity, rng_next(rng));
    if (popularity->second[row] <= 2 * popularity->first[row])
        return FRESH_KEYS + (*fresh)++;
    return popularity->keys_before[row] + rng_next(rng) % popularity->first[row];
}
