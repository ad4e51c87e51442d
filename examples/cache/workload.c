/* SPDX-License-Identifier: MIT */
/*
 * workload.c - workloads and the plan of phases. A key is `workload:8, once:1, number:55`; its
 * value's size follows from it, so that any reader can say how long a value has to be. See
 * workload.h.
 */
#include "workload.h"

#include "distribution.h"
#include "random.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEY_SPACE_SHIFT 56
#define KEY_ONCE        (UINT64_C(1) << 55)
#define KEY_FRESH_SHIFT 43 /* thread number above, count below, in a key asked for only once */

/* Requests per thousand for keys that are never asked for again: figures of bench/data/README.md,
 * since the popularity files hold only the keys seen more than once. */
static const struct {
    const char *name;
    uint32_t once_permille;
} once_shares[] = {
    {"kvcache_reg", 15},
    {"graph_cache_leader_fbobj", 230},
    {"graph_cache_leader_assocs", 120},
};

/* The popularity files fit caches of gigabytes. For a smaller one the keys are thinned out in
 * proportion, so that its hit ratio is about that of a cache of this size. */
#define FILES_LIMIT_BYTES ((double)(UINT64_C(1) << 30))

/* The ranges: a flat popularity over several times what fits, so that a phase soon replaces what
 * the one before left behind. */
#define RANGE_EXPONENT      0.6
#define RANGE_KEYS_PER_FIT  8
#define RANGE_ONCE_PERMILLE 100
#define RANGE_MAX_BYTES     (UINT64_C(1) << 20)

struct workload {
    char name[48];
    uint32_t space;
    uint32_t once_permille;
    bool range;
    struct distribution sizes;
    struct distribution popularity;
};

const char *
workload_name(const struct workload *workload)
{
    return workload->name;
}

double
workload_mean_size(const struct workload *workload)
{
    return workload->sizes.mean;
}

bool
workload_is_range(const struct workload *workload)
{
    return workload->range;
}

uint64_t
workload_key(const struct workload *workload, struct workload_source *source)
{
    uint64_t space = (uint64_t)workload->space << KEY_SPACE_SHIFT;
    uint64_t bits = random_next(&source->state);
    if (random_below(bits, 1000) < workload->once_permille)
        return space | KEY_ONCE | (uint64_t)source->thread << KEY_FRESH_SHIFT | source->fresh++;
    uint64_t choice = random_next(&source->state);
    return space | distribution_draw(&workload->popularity, choice, random_next(&source->state));
}

size_t
workload_size(const struct workload *workload, uint64_t key)
{
    uint64_t bits = mix64(key + UINT64_C(0x9e3779b97f4a7c15));
    return (size_t)distribution_draw(&workload->sizes, bits, mix64(bits));
}

static bool
load_files(struct workload *workload, const char *data, uint64_t limit_bytes)
{
    char path[4096];
    for (size_t i = 0; i < sizeof(once_shares) / sizeof(once_shares[0]); i++) {
        if (strcmp(once_shares[i].name, workload->name) == 0)
            workload->once_permille = once_shares[i].once_permille;
    }
    snprintf(path, sizeof(path), "%s/%s.sizes.csv", data, workload->name);
    if (!distribution_read_csv(&workload->sizes, path, CSV_UPPER_BOUND_WEIGHT))
        return false;
    snprintf(path, sizeof(path), "%s/%s.popularity.csv", data, workload->name);
    if (!distribution_read_csv(&workload->popularity, path, CSV_COUNT_WEIGHT))
        return false;
    if ((double)limit_bytes < FILES_LIMIT_BYTES)
        distribution_thin(&workload->popularity, FILES_LIMIT_BYTES / (double)limit_bytes);
    return true;
}

/** "16-64" or "640": 1 if it is that, 0 if it is a name, -1 if the numbers are out of range. */
static int
parse_range(const char *name, uint64_t *low, uint64_t *high)
{
    char *end;
    if (*name < '0' || *name > '9')
        return 0;
    *low = *high = strtoull(name, &end, 10);
    if (*end == '-' && end[1] >= '0' && end[1] <= '9')
        *high = strtoull(end + 1, &end, 10);
    return *end || !*low || *low > *high || *high > RANGE_MAX_BYTES ? -1 : 1;
}

static bool
make_range(struct workload *workload, uint64_t low, uint64_t high, uint64_t limit_bytes)
{
    workload->range = true;
    workload->once_permille = RANGE_ONCE_PERMILLE;
    if (!distribution_add(&workload->sizes, low, high - low + 1, 1) ||
        !distribution_seal(&workload->sizes))
        return false;
    uint64_t fit = (uint64_t)((double)limit_bytes / workload->sizes.mean) + 1;
    return distribution_zipf(&workload->popularity, fit * RANGE_KEYS_PER_FIT, RANGE_EXPONENT);
}

static void
workload_free(struct workload *workload)
{
    distribution_free(&workload->sizes);
    distribution_free(&workload->popularity);
    free(workload);
}

/** A workload by its name in the list; NULL with a line on stderr. */
static struct workload *
workload_new(const char *name, uint32_t space, const char *data, uint64_t limit_bytes)
{
    uint64_t low, high;
    struct workload *workload = calloc(1, sizeof(*workload));
    if (!workload || strlen(name) >= sizeof(workload->name)) {
        fprintf(stderr, "phases: \"%s\": %s\n", name, workload ? "name too long" : "no memory");
        free(workload);
        return NULL;
    }
    strcpy(workload->name, name);
    workload->space = space;
    int range = parse_range(name, &low, &high);
    if (range < 0)
        fprintf(stderr, "phases: \"%s\": sizes are LOW-HIGH or SIZE, 1 to 1048576 bytes\n", name);
    bool good = range > 0 ? make_range(workload, low, high, limit_bytes)
                          : range == 0 && load_files(workload, data, limit_bytes);
    if (good)
        return workload;
    workload_free(workload);
    return NULL;
}

/** Appends a phase; a name that was there before is the same workload again. */
static bool
add_phase(struct workload_plan *plan, const char *name, const char *data, uint64_t limit_bytes)
{
    if (plan->phases == WORKLOAD_PHASES_MAX) {
        fprintf(stderr, "phases: more than %d\n", WORKLOAD_PHASES_MAX);
        return false;
    }
    struct workload *found = NULL;
    for (uint32_t i = 0; i < plan->workloads; i++) {
        if (strcmp(plan->workload[i]->name, name) == 0)
            found = plan->workload[i];
    }
    if (!found) {
        found = workload_new(name, plan->workloads, data, limit_bytes);
        if (!found)
            return false;
        plan->workload[plan->workloads++] = found;
    }
    plan->phase[plan->phases++] = found;
    return true;
}

bool
workload_plan_load(struct workload_plan *plan, const char *list, const char *data,
                   uint64_t limit_bytes)
{
    memset(plan, 0, sizeof(*plan));
    char *names = strdup(list);
    bool good = names != NULL;
    char *rest = names;
    while (good && rest) {
        char *comma = strchr(rest, ',');
        if (comma)
            *comma++ = '\0';
        good = add_phase(plan, rest, data, limit_bytes);
        rest = comma;
    }
    free(names);
    if (!good)
        workload_plan_free(plan);
    return good;
}

void
workload_plan_free(struct workload_plan *plan)
{
    for (uint32_t i = 0; i < plan->workloads; i++)
        workload_free(plan->workload[i]);
    memset(plan, 0, sizeof(*plan));
}
