/* SPDX-License-Identifier: MIT */
/* trim.h - pages of open spans that no slot in use touches go back to the kernel. */
#ifndef SN_TRIM_H
#define SN_TRIM_H

#include "memory/heap.h"

/**
 * Gives pages that lie under free slots of a span alone, or behind its last slot, back to the
 * kernel: a sparse class then costs pages and not spans. Result: bytes.
 */
size_t sn_heap_trim(struct sn_heap *heap, uint32_t number);
/** Of all spans that have some: only the pages behind the last slot (excess, span.h), until about
 * max_bytes are released, or the kernel refuses. Result: bytes. */
size_t sn_heap_trim_excess(struct sn_heap *heap, size_t max_bytes);
/** sn_heap_trim, but only if no slot of the span was taken or freed since the last such call: for a
 * store whose other spans are busy. */
size_t sn_heap_trim_quiet(struct sn_heap *heap, uint32_t number);
/** sn_heap_trim for spans of all classes in turn, from where the last call has stopped, until
 * `bytes` are released or a bounded number of spans was looked at. The caller holds no lock of a
 * class. Result: bytes. */
size_t sn_heap_squeeze(struct sn_heap *heap, uint64_t bytes);
/** Makes `bytes` of room below the limit: from the pool's dirty runs (sn_pool_make_room), else from
 * pages under free slots (sn_heap_squeeze). The caller holds no lock of a class. False: nothing was
 * given back. */
bool sn_heap_make_room(struct sn_heap *heap, uint64_t bytes);

#endif
