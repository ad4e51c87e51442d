/* SPDX-License-Identifier: MIT */
/*
 * resident.h - how much memory the kernel has given this process.
 */
#ifndef CACHE_RESIDENT_H
#define CACHE_RESIDENT_H

#include <stdint.h>

/** Resident bytes, exact, from /proc/self/smaps_rollup; takes milliseconds. 0: not to be had. */
uint64_t resident_exact(void);
/** Resident bytes from /proc/self/statm: cheap, and up to a few hundred KiB behind. */
uint64_t resident_quick(void);

#endif
