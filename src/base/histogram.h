/* SPDX-License-Identifier: MIT */
/* histogram.h - times by powers of two of a microsecond, written by one thread, read by anybody. */
#ifndef SN_HISTOGRAM_H
#define SN_HISTOGRAM_H

#include <sinter/handle.h>

void sn_histogram_add(struct handle_histogram *histogram, uint64_t ns);

#endif
