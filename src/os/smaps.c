/* SPDX-License-Identifier: MIT */
/* smaps.c - see smaps.h. */
#include "os/smaps.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* ---- mappings -------------------------------------------------------------------------------- */

static void
add_line(struct sn_smaps *sum, const char *line)
{
    uint64_t kib;
    if (sscanf(line, "AnonHugePages: %" SCNu64, &kib) == 1)
        sum->huge += kib << 10;
    else if (sscanf(line, "Swap: %" SCNu64, &kib) == 1)
        sum->swapped += kib << 10;
}

struct sn_smaps
sn_smaps_read(const char *path, uint64_t begin, uint64_t end)
{
    struct sn_smaps sum = {0};
    char line[SN_MAPS_LINE_BYTES];
    bool inside = false;
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        uint64_t from, to;
        if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2)
            inside = from < end && to > begin;
        else if (inside)
            add_line(&sum, line);
    }
    if (file)
        fclose(file);
    return sum;
}

/* ---- control groups -------------------------------------------------------------------------- */

/* UINT64_MAX: there is none; version 1 says so by a number near 2^63. */
static uint64_t
read_limit(const char *path)
{
    uint64_t limit = UINT64_MAX;
    FILE *file = fopen(path, "re");
    if (!file)
        return UINT64_MAX;
    if (fscanf(file, "%" SCNu64, &limit) != 1 || limit >= UINT64_C(1) << 62)
        limit = UINT64_MAX;
    fclose(file);
    return limit;
}

/* Of the group, and of those above it, up to the root of its hierarchy. */
static uint64_t
least_limit(const char *root, const char *hierarchy, char *group, const char *name)
{
    uint64_t least = UINT64_MAX;
    char path[SN_MAPS_LINE_BYTES + 512];
    for (;;) {
        snprintf(path, sizeof(path), "%s%s%s/%s", root, hierarchy, group, name);
        uint64_t limit = read_limit(path);
        if (limit < least)
            least = limit;
        char *last = strrchr(group, '/');
        if (!last)
            return least;
        *last = 0;
    }
}

/* Whether a word stands between commas. */
static bool
has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (; list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL)
        if (strncmp(list, word, length) == 0 && (list[length] == ',' || list[length] == 0))
            return true;
    return false;
}

/* A line is NUMBER:CONTROLLERS:GROUP; version 2 has no controllers there. */
static uint64_t
limit_of_line(char *line, const char *root)
{
    line[strcspn(line, "\n")] = 0;
    char *controllers = strchr(line, ':');
    char *group = controllers ? strchr(++controllers, ':') : NULL;
    if (!group)
        return UINT64_MAX;
    *group++ = 0;
    if (*controllers == 0)
        return least_limit(root, "", group, "memory.max");
    if (has_word(controllers, "memory"))
        return least_limit(root, "/memory", group, "memory.limit_in_bytes");
    return UINT64_MAX;
}

uint64_t
sn_group_limit(const char *path, const char *root)
{
    uint64_t least = UINT64_MAX;
    char line[SN_MAPS_LINE_BYTES];
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        uint64_t limit = limit_of_line(line, root);
        if (limit < least)
            least = limit;
    }
    if (file)
        fclose(file);
    return least == UINT64_MAX ? 0 : least;
}
