/* SPDX-License-Identifier: MIT */
/*
 * page.h - pages as the kernel gives and takes them: 4, 16 or 64 KiB. An arm64 program may run on
 * kernels of each kind, so their size is found out when the library is loaded. Everything counts in
 * pages of that size: what is committed, trimmed, given back, made inaccessible.
 *
 * A build for one kind of kernel (SINTER_PAGE_BYTES in CMake) has a constant instead. Debug builds
 * take more of the kernel's pages for one of the library's, if the environment asks for it: so
 * larger pages are tested where the kernel has small ones.
 */
#ifndef SN_PAGE_H
#define SN_PAGE_H

#include "base/base.h"

#ifdef SN_FIXED_PAGE_SHIFT
#define SN_PAGE_SHIFT SN_FIXED_PAGE_SHIFT
#else
/** Written once, when the library is loaded. */
extern unsigned sn_page_shift;
#define SN_PAGE_SHIFT sn_page_shift
#endif

#define SN_PAGE_BYTES ((size_t)1 << SN_PAGE_SHIFT)

#define SN_PAGE_SHIFT_MIN 12
#define SN_PAGE_SHIFT_MAX 16 /* a block is a page at least */

/** What the environment variable of debug builds is called; its value: bytes. */
#define SN_PAGE_VARIABLE "SINTER_DEBUG_PAGE_BYTES"

/** Whether the library can work with this kernel's pages. */
bool sn_page_size_fits(void);

/** The kernel's own page, as it counts in /proc. */
size_t sn_kernel_page_bytes(void);

#endif
