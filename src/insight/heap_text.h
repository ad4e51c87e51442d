/* SPDX-License-Identifier: MIT */
/*
 * heap_text.h - a heap profile as the tools of gperftools and jemalloc read it: a line for each
 * site, and what is mapped. As one that was not sampled ("heapprofile"): what is written stands for
 * all objects already, so that no tool scales it again.
 */
#ifndef SN_HEAP_TEXT_H
#define SN_HEAP_TEXT_H

#include "insight/map_lines.h"

/** Objects and bytes, live and all that were allocated. */
struct sn_heap_counts {
    double objects, bytes, allocs, alloc_bytes;
};

void sn_heap_text_begin(struct sn_lines *lines, const struct sn_heap_counts *all);
/** A site, by its return addresses, innermost first. */
void sn_heap_text_site(struct sn_lines *lines, const struct sn_heap_counts *counts,
                       void *const *frame, unsigned depth);
void sn_heap_text_end(struct sn_lines *lines);

#endif
