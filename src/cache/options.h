/* SPDX-License-Identifier: MIT */
/* options.h - checking options, with a line about each that is out of range. */
#ifndef SC_OPTIONS_H
#define SC_OPTIONS_H

#include "cache/room.h"

/** The program's options, or the defaults where it was built with fewer, checked. Also gives the
 * limit in bytes. 0 or -EINVAL. */
int sc_options_read(const struct sinter_cache_options *given, struct sinter_cache_options *options,
                    uint64_t *limit);

#define SC_PERCENT_MOST 90u
/** A limit in bytes, of the memory that there is. */
uint64_t sc_limit_of_percent(uint32_t percent);

#endif
