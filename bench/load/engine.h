/* SPDX-License-Identifier: MIT */
/*
 * engine.h - the connections of one thread to one server: it asks a source for requests, keeps up
 * to `depth` of them in flight on each connection, and hands the source every reply in order.
 *
 * A connection gets its next batch when all of the last one is answered; so a batch is one send
 * and, if the server does the same, one receive. It waits by epoll.
 */
#ifndef BENCH_LOAD_ENGINE_H
#define BENCH_LOAD_ENGINE_H

#include "wire.h"

struct engine_address {
    const char *unix_path; /* or NULL, then: */
    const char *host;      /* in numbers: 127.0.0.1 */
    unsigned port;
};

struct engine_options {
    struct engine_address address;
    enum wire_protocol protocol;
    const char *prefix;   /* of all keys, at most 9 bytes */
    unsigned connections; /* 1 to 1024 */
    unsigned depth;       /* requests in flight on each, 1 to 1024 */
    unsigned slow;        /* so many of the connections send and receive by small pieces */
};

struct engine_source {
    void *arg;
    /** Fills in the connection's next request; false: there is none now. */
    bool (*next)(void *arg, unsigned connection, struct wire_request *request);
    /** Called for every reply, in the order of the connection's requests. */
    void (*done)(void *arg, unsigned connection, const struct wire_request *request,
                 const struct wire_reply *reply, uint64_t now_ns);
};

struct engine;

/** NULL: no connection; errno says why. */
struct engine *engine_open(const struct engine_options *options);

/**
 * Goes on until no connection has a next request, and all are answered. NULL, or the reason why it
 * ended early: a connection is lost, bytes came that nobody asked for, a reply was WIRE_WRONG.
 */
const char *engine_run(struct engine *engine, const struct engine_source *source);

void engine_close(struct engine *engine);

/** A blocking connection; -1: none, errno says why. */
int engine_dial(const struct engine_address *address);

uint64_t engine_now_ns(void);
/** Bytes of a process that are in memory; 0: it is not there. */
uint64_t engine_resident(int pid);

#endif
