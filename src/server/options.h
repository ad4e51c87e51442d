/* SPDX-License-Identifier: MIT */
/* options.h - the command line: memcached's options, as far as they mean something here. */
#ifndef SD_OPTIONS_H
#define SD_OPTIONS_H

#include "server/server.h"

/** What is to be done after the options were read. */
enum sd_start {
    SD_START_SERVE,
    SD_START_DONE,  /* a text was asked for and shown */
    SD_START_WRONG, /* a line on standard error says what */
};

enum sd_start sd_options_read(struct sd_settings *settings, int argc, char **argv);

#endif
