/* SPDX-License-Identifier: MIT */
/* heap_text.c - see heap_text.h. */
#include "insight/heap_text.h"

#include <stdio.h>

#include "os/smaps.h"

static void
put_counts(struct sn_lines *lines, const struct sn_heap_counts *c)
{
    char text[128];
    snprintf(text, sizeof(text), "%.0f: %.0f [%.0f: %.0f] @", c->objects, c->bytes, c->allocs,
             c->alloc_bytes);
    sn_lines_put(lines, text);
}

void
sn_heap_text_begin(struct sn_lines *lines, const struct sn_heap_counts *all)
{
    sn_lines_put(lines, "heap profile: ");
    put_counts(lines, all);
    sn_lines_put(lines, " heapprofile\n");
}

void
sn_heap_text_site(struct sn_lines *lines, const struct sn_heap_counts *counts, void *const *frame,
                  unsigned depth)
{
    char text[32];
    put_counts(lines, counts);
    for (unsigned i = 0; i < depth; i++) {
        snprintf(text, sizeof(text), " %p", frame[i]);
        sn_lines_put(lines, text);
    }
    sn_lines_put(lines, "\n");
}

void
sn_heap_text_end(struct sn_lines *lines)
{
    char line[SN_MAPS_LINE_BYTES];
    FILE *maps = fopen("/proc/self/maps", "re");
    sn_lines_put(lines, "\nMAPPED_LIBRARIES:\n");
    while (maps && fgets(line, sizeof(line), maps))
        sn_lines_put(lines, line);
    if (maps)
        fclose(maps);
}
