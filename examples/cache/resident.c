/* SPDX-License-Identifier: MIT */
/*
 * resident.c - reads the two files of /proc. See resident.h.
 */
#include "resident.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

uint64_t
resident_quick(void)
{
    uint64_t pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    if (fscanf(file, "%*u %" SCNu64, &pages) != 1)
        pages = 0;
    fclose(file);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

uint64_t
resident_exact(void)
{
    char line[256];
    uint64_t kib = 0;
    FILE *file = fopen("/proc/self/smaps_rollup", "r");
    if (!file)
        return resident_quick();
    while (!kib && fgets(line, sizeof(line), file)) {
        if (sscanf(line, "Rss: %" SCNu64 " kB", &kib) != 1)
            kib = 0;
    }
    fclose(file);
    return kib ? kib << 10 : resident_quick();
}
