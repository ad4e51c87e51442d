/* SPDX-License-Identifier: MIT */
/*
 * talk.h - a session of the server without a socket, for tests and the fuzz target: bytes in, in
 * pieces of any size; bytes out, through a reader that may be slow.
 */
#ifndef TEST_SERVER_TALK_H
#define TEST_SERVER_TALK_H

#include "server/session.h"

/** How a conversation is carried on. */
struct talk_way {
    size_t piece;      /* bytes of input at a time; 0: all of it */
    size_t first;      /* but so many first; 0: as the others */
    size_t room;       /* bytes of the output's buffer */
    size_t taken;      /* bytes that a slow reader takes at a time; 0: all */
    bool grow_refused; /* the first time, always: memory is short */
};

/** What was answered. */
struct talk {
    char *text;
    size_t size, room;
    bool closed;
};

/** A server without workers over a cache. `stopped` milliseconds are its cache's time. */
void talk_open(struct sd_server *server, uint64_t memory);
void talk_close(struct sd_server *server);

/** One conversation, of a new session. The caller frees talk->text. */
void talk(struct sd_server *server, const struct talk_way *way, const char *bytes, size_t size,
          struct talk *answer);

#endif
