/* SPDX-License-Identifier: MIT */
/* stats.h - what "stats" and its like answer. */
#ifndef SD_STATS_H
#define SD_STATS_H

#include "server/session.h"

/** Text that grows; `failed`: there was no memory for it. */
struct sd_text {
    char *data;
    size_t size, room;
    bool failed;
};

/** Adds a line "STAT name value". */
void sd_stat(struct sd_text *text, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void sd_stat_u64(struct sd_text *text, const char *name, uint64_t value);

enum sd_verdict sd_command_stats(struct sd_session *session, struct sd_request *request);
/** Sends the text, and frees it. */
enum sd_verdict
sd_send_text(struct sd_session *session, struct sd_request *request, struct sd_text *text);

/** worker.c */
void sd_stat_conns(const struct sd_server *server, struct sd_text *text);

#endif
