/* SPDX-License-Identifier: MIT */
/*
 * distribution.c - intervals, the CSV reader and the alias tables. See distribution.h.
 */
#include "distribution.h"

#include "random.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool
distribution_add(struct distribution *d, uint64_t first, uint64_t count, double weight)
{
    if (d->count == d->capacity) {
        uint32_t capacity = d->capacity ? d->capacity * 2 : 64;
        struct interval *grown = realloc(d->intervals, capacity * sizeof(*grown));
        if (!grown)
            return false;
        d->intervals = grown;
        d->capacity = capacity;
    }
    d->intervals[d->count++] = (struct interval){.first = first, .count = count, .weight = weight};
    return true;
}

void
distribution_free(struct distribution *d)
{
    free(d->intervals);
    memset(d, 0, sizeof(*d));
}

/** Sum of the weights; sets the mean on the way. */
static double
sum_weights(struct distribution *d)
{
    double sum = 0;
    d->mean = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        const struct interval *at = &d->intervals[i];
        sum += at->weight;
        d->mean += at->weight * ((double)at->first + ((double)at->count - 1) / 2);
    }
    d->mean /= sum;
    return sum;
}

/** How much of its own share an interval keeps; share is 1 for an average interval. */
static uint32_t
keep_bits(double share)
{
    return share >= 1 ? UINT32_MAX : (uint32_t)(share * 4294967295.0);
}

/** Vose's construction: each interval below the average is filled up by one above it. */
static void
pair_intervals(struct distribution *d, double *share, uint32_t *small, uint32_t *large)
{
    uint32_t smalls = 0, larges = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        if (share[i] < 1)
            small[smalls++] = i;
        else
            large[larges++] = i;
    }
    while (smalls && larges) {
        uint32_t low = small[--smalls], high = large[larges - 1];
        d->intervals[low].keep = keep_bits(share[low]);
        d->intervals[low].alias = high;
        share[high] -= 1 - share[low];
        if (share[high] < 1) {
            larges--;
            small[smalls++] = high;
        }
    }
}

bool
distribution_seal(struct distribution *d)
{
    double sum = sum_weights(d);
    if (!d->count || !(sum > 0))
        return false;
    double *share = malloc(d->count * sizeof(*share));
    uint32_t *small = malloc(d->count * sizeof(*small));
    uint32_t *large = malloc(d->count * sizeof(*large));
    bool sealed = share && small && large;
    for (uint32_t i = 0; sealed && i < d->count; i++) {
        share[i] = d->intervals[i].weight * d->count / sum;
        d->intervals[i].keep = UINT32_MAX; /* what rounding leaves unpaired keeps all its share */
        d->intervals[i].alias = i;
    }
    if (sealed)
        pair_intervals(d, share, small, large);
    free(share);
    free(small);
    free(large);
    return sealed;
}

uint64_t
distribution_draw(const struct distribution *d, uint64_t bits, uint64_t more_bits)
{
    uint32_t i = (uint32_t)(((bits >> 32) * d->count) >> 32);
    if ((uint32_t)bits > d->intervals[i].keep)
        i = d->intervals[i].alias;
    return d->intervals[i].first + random_below(more_bits, d->intervals[i].count);
}

/** "12,345" with nothing behind it but the line's end. */
static bool
parse_pair(const char *line, uint64_t *left, uint64_t *right)
{
    char *end;
    if (*line < '0' || *line > '9')
        return false;
    errno = 0;
    *left = strtoull(line, &end, 10);
    if (errno || end[0] != ',' || end[1] < '0' || end[1] > '9')
        return false;
    *right = strtoull(end + 1, &end, 10);
    return !errno && (strcmp(end, "\n") == 0 || strcmp(end, "\r\n") == 0 || *end == '\0');
}

/** Appends one line of the file. NULL, or what is wrong with it. */
static const char *
add_line(struct distribution *d, const char *line, enum csv_kind kind, uint64_t *end)
{
    uint64_t left, right;
    if (!parse_pair(line, &left, &right))
        return "not two whole numbers with a comma between";
    uint64_t next = kind == CSV_COUNT_WEIGHT ? *end + left : left + 1;
    if (next <= *end)
        return kind == CSV_COUNT_WEIGHT ? "a count of 0" : "bound not above the line before";
    if (!distribution_add(d, *end, next - *end, (double)right))
        return "out of memory";
    *end = next;
    return NULL;
}

/** Reads the lines after the heading. NULL, or what is wrong in line *number. */
static const char *
read_lines(struct distribution *d, FILE *file, enum csv_kind kind, uint32_t *number)
{
    char line[128];
    uint64_t end = kind == CSV_COUNT_WEIGHT ? 0 : 1; /* a size is at least 1, a rank at least 0 */
    const char *wrong = NULL;
    *number = 1;
    if (!fgets(line, sizeof(line), file))
        return "empty file";
    while (!wrong && fgets(line, sizeof(line), file)) {
        ++*number;
        wrong = add_line(d, line, kind, &end);
    }
    if (!wrong && ferror(file))
        wrong = strerror(errno);
    if (!wrong && !distribution_seal(d))
        wrong = "no line with a weight, or out of memory";
    return wrong;
}

bool
distribution_read_csv(struct distribution *d, const char *path, enum csv_kind kind)
{
    memset(d, 0, sizeof(*d));
    FILE *file = fopen(path, "r");
    if (!file) {
        fprintf(stderr, "%s: %s\n", path, strerror(errno));
        return false;
    }
    uint32_t number;
    const char *wrong = read_lines(d, file, kind, &number);
    fclose(file);
    if (!wrong)
        return true;
    fprintf(stderr, "%s:%" PRIu32 ": %s\n", path, number, wrong);
    distribution_free(d);
    return false;
}

void
distribution_thin(struct distribution *d, double by)
{
    uint64_t next = 0;
    for (uint32_t i = 0; i < d->count; i++) {
        double count = ceil((double)d->intervals[i].count / by);
        d->intervals[i].first = next;
        d->intervals[i].count = (uint64_t)count;
        next += d->intervals[i].count;
    }
    sum_weights(d);
}

/** Integral of x^-exponent from a to b: stands for the sum over the ranks between. */
static double
zipf_weight(double a, double b, double exponent)
{
    if (fabs(exponent - 1) < 1e-9)
        return log(b / a);
    return (pow(b, 1 - exponent) - pow(a, 1 - exponent)) / (1 - exponent);
}

bool
distribution_zipf(struct distribution *d, uint64_t n, double exponent)
{
    memset(d, 0, sizeof(*d));
    for (uint64_t first = 0; first < n;) {
        uint64_t next = first + 1 + first / 10;
        if (next > n)
            next = n;
        double weight = zipf_weight((double)first + 0.5, (double)next + 0.5, exponent);
        if (!distribution_add(d, first, next - first, weight)) {
            distribution_free(d);
            return false;
        }
        first = next;
    }
    return distribution_seal(d);
}
