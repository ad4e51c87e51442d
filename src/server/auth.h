/* SPDX-License-Identifier: MIT */
/*
 * auth.h - who may talk: a file of lines "user:password" (-Y). A connection begins with a set whose
 * value is "user password"; its key does not matter.
 */
#ifndef SD_AUTH_H
#define SD_AUTH_H

#include "server/base.h"

struct sd_auth;

/** NULL: it cannot be used; a line on standard error says why. */
struct sd_auth *sd_auth_open(const char *path);
void sd_auth_close(struct sd_auth *auth);
/** How long it takes does not depend on what is right. */
bool sd_auth_check(const struct sd_auth *auth, struct sd_bytes user, struct sd_bytes password);

#endif
