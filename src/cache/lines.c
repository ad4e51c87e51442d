/* SPDX-License-Identifier: MIT */
/* lines.c - see lines.h. */
#include "cache/lines.h"

#include <sys/mman.h>

static uint64_t
first_line(unsigned segment)
{
    return segment ? UINT64_C(1) << (segment + 11) : 0;
}

static uint64_t
segment_lines(unsigned segment)
{
    return first_line(segment + 1) - first_line(segment);
}

static bool
map_segment(struct sc_lines *lines, unsigned segment)
{
    size_t bytes = segment_lines(segment) * SC_LINE_BYTES,
           align = (size_t)SC_LINES_FIRST * SC_LINE_BYTES;
    char *all = mmap(NULL, bytes + align, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (all == MAP_FAILED)
        return false;
    char *at = all + (align - (uintptr_t)all % align) % align;
    if (at > all)
        munmap(all, (size_t)(at - all));
    munmap(at + bytes, align - (size_t)(at - all));
    /* A huge page would be memory that nobody has counted. */
    madvise(at, bytes, MADV_NOHUGEPAGE);
    lines->segment[segment] = at;
    return true;
}

bool
sc_lines_reach(struct sc_lines *lines, uint64_t count)
{
    for (unsigned i = 0; i < SC_LINE_SEGMENTS && first_line(i) < count; i++) {
        if (!lines->segment[i] && !map_segment(lines, i))
            return false;
    }
    uint64_t pages = sc_align(count, SC_LINES_OF_PAGE);
    if (pages > lines->touched)
        sc_store(&lines->touched, pages);
    return true;
}

void
sc_lines_release(struct sc_lines *lines, uint64_t count)
{
    uint64_t keep = sc_align(count, SC_LINES_OF_PAGE);
    for (unsigned i = 0; i < SC_LINE_SEGMENTS && lines->segment[i]; i++) {
        uint64_t begin = sc_max(first_line(i), keep);
        uint64_t end = first_line(i) + segment_lines(i);
        if (begin < end)
            madvise(lines->segment[i] + (begin - first_line(i)) * SC_LINE_BYTES,
                    (end - begin) * SC_LINE_BYTES, MADV_DONTNEED);
    }
    if (keep < lines->touched)
        sc_store(&lines->touched, keep);
}

void
sc_lines_free(struct sc_lines *lines)
{
    for (unsigned i = 0; i < SC_LINE_SEGMENTS; i++) {
        if (lines->segment[i])
            munmap(lines->segment[i], segment_lines(i) * SC_LINE_BYTES);
    }
}
