/* SPDX-License-Identifier: MIT */
/* stats_file.h - statistics as HANDLE_STATS_JSON prints them, in a file. */
#ifndef STATS_FILE_H
#define STATS_FILE_H

#include "tools/commands.h"
#include <sinter/handle.h>

struct stats_file {
    struct handle_stats stats;
    uint32_t classes; /* those in use */
    struct handle_class_stats of[HANDLE_CLASSES_MAX];
};

/** "-": of standard input. To be freed. NULL: said why. */
struct stats_file *read_stats(const char *path);

#endif
