/* SPDX-License-Identifier: MIT */
/* listen.h - sockets that are listened at, and the thread that accepts: the process's first. */
#ifndef SD_LISTEN_H
#define SD_LISTEN_H

#include "server/server.h"

struct sd_listener {
    int fd[2 * SD_LISTENERS_MOST];
    unsigned count;
};

/** Opens what the settings ask for. False: a line on standard error says why not. */
bool sd_listen_open(struct sd_listener *listener, const struct sd_settings *settings);
/** Prints the port where the kernel chose it, and notes it. */
void sd_listen_tell(const struct sd_listener *listener, struct sd_settings *settings);
void sd_listen_close(struct sd_listener *listener, const struct sd_settings *settings);
/** Accepts until server->stop, or one of the signals that `signals` (a signalfd) shows. */
void sd_accept(struct sd_server *server, const struct sd_listener *listener, int signals);

#endif
