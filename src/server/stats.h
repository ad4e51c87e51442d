/* SPDX-License-Identifier: MIT */
/* stats.h - what "stats" answers: texts that grow as they are written. */
#ifndef SD_STATS_H
#define SD_STATS_H

#include <stdio.h>

#include "server/session.h"

/** worker.c */
void sd_stat_conns(const struct sd_request *request, FILE *text);

#endif
