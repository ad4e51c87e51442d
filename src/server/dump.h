/* SPDX-License-Identifier: MIT */
/*
 * dump.h - the items in a file (-e), to begin with them again: written when the server ends, and at
 * SIGUSR1 beside it. The file is written to the side and renamed, so that there is always a whole
 * one. It is read twice, first to see that all of it is right; else nothing is taken from it. When
 * it is right it is taken away: who ends without writing another begins with nothing next time.
 */
#ifndef SD_DUMP_H
#define SD_DUMP_H

#include "server/server.h"

/** Loads the file, if there is one; a line on standard error says what was refused. */
void sd_dump_load(struct sd_server *server);
/** Writes the file. False: a line on standard error says why not; the old file stays. */
bool sd_dump_write(struct sd_server *server);
/** The same in a thread of its own, if none is at it. */
void sd_dump_begin(struct sd_server *server);
/** Waits for that thread. */
void sd_dump_join(struct sd_server *server);

#endif
