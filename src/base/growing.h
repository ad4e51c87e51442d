/* SPDX-License-Identifier: MIT */
/*
 * growing.h - public structs that begin with struct_size, the caller's sizeof, and are filled for
 * it: a caller that was built with an earlier header has fewer members, one that was built with a
 * later header has more, which stay as they are.
 */
#ifndef SN_GROWING_H
#define SN_GROWING_H

#include <string.h>

#include "base/base.h"

/** Whether a struct of some version may have this size: members take multiples of 8 bytes. */
static inline bool
sn_growing_may_be(size_t struct_size)
{
    return struct_size >= 2 * sizeof(uint64_t) && struct_size % sizeof(uint64_t) == 0;
}

/** Fills the caller's struct, whose struct_size is set, with all but struct_size of ours. */
static inline void
sn_growing_fill(void *to, const void *ours, size_t our_size)
{
    size_t struct_size = sn_min(*(const size_t *)to, our_size);
    memcpy((char *)to + sizeof(size_t), (const char *)ours + sizeof(size_t),
           struct_size - sizeof(size_t));
}

/** The other way: ours gets what the caller's struct has. */
static inline void
sn_growing_read(void *ours, const void *from, size_t our_size)
{
    size_t struct_size = sn_min(*(const size_t *)from, our_size);
    memcpy((char *)ours + sizeof(size_t), (const char *)from + sizeof(size_t),
           struct_size - sizeof(size_t));
}

#endif
