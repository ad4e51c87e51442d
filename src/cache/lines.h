/* SPDX-License-Identifier: MIT */
/*
 * lines.h - an array of 64-byte lines that grows and shrinks line by line and never moves: segments
 * of address space, each as long as all before it, whose pages come when they are touched and go
 * back to the kernel when they are not needed. New lines are zero. Bits 6 to 17 of a line's address
 * are bits 0 to 11 of its number.
 *
 * Growth and release are the owner's to serialise; sc_line may be called by anybody for a line that
 * was reached before.
 */
#ifndef SC_LINES_H
#define SC_LINES_H

#include "cache/base.h"

#define SC_LINE_BYTES    64u
#define SC_LINES_OF_PAGE 64u
#define SC_LINES_FIRST   4096u /* of segment 0; all are aligned to as many */
#define SC_LINE_SEGMENTS 24

struct sc_lines {
    char *segment[SC_LINE_SEGMENTS]; /* 0: lines 0 to 4095; n: 2^(n+11) to 2^(n+12) - 1 */
    uint64_t touched;                /* lines that may have pages, a multiple of 64; atomic */
};

/** Makes lines 0 to count - 1 usable. False: no memory, nothing has changed. */
bool sc_lines_reach(struct sc_lines *lines, uint64_t count);

/** Gives the pages back that lines from `count` on need. Nobody looks at these any more. */
void sc_lines_release(struct sc_lines *lines, uint64_t count);

void sc_lines_free(struct sc_lines *lines);

static inline uint64_t
sc_lines_bytes(const struct sc_lines *lines)
{
    return sc_load(&lines->touched) * SC_LINE_BYTES;
}

static inline void *
sc_line(const struct sc_lines *lines, uint64_t number)
{
    if (number < SC_LINES_FIRST)
        return lines->segment[0] + number * SC_LINE_BYTES;
    unsigned power = 63u - (unsigned)__builtin_clzll(number);
    return lines->segment[power - 11] + (number - (UINT64_C(1) << power)) * SC_LINE_BYTES;
}

#endif
