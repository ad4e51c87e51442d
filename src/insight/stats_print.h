/* SPDX-License-Identifier: MIT */
/*
 * stats_print.h - statistics as text for people, as JSON and as Prometheus exposition. Pure: struct
 * in, text out; where the numbers come from is stats.c's.
 */
#ifndef SN_STATS_PRINT_H
#define SN_STATS_PRINT_H

#include <sinter/handle.h>

/**
 * Prints *stats, and classes[stats->classes], as handle_store_stats_print does. name: the store's,
 * any bytes. write gets pieces of at most SN_PRINT_PIECE_BYTES; the last one ends with a newline.
 * 0; -EINVAL for a NULL pointer (opaque aside) or an unknown format: nothing was written.
 */
int sn_stats_print(const struct handle_stats *stats, const struct handle_class_stats *classes,
                   const char *name, enum handle_stats_format format,
                   void (*write)(void *opaque, const char *text, size_t length), void *opaque);
#define SN_PRINT_PIECE_BYTES 512

#endif
