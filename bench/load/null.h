/* SPDX-License-Identifier: MIT */
/*
 * null.h - a server without a memory: every set is stored, every get is answered by NULL_VALUE
 * bytes that are nobody's. What it costs is what sockets and the reading of lines cost, in any
 * server.
 */
#ifndef BENCH_LOAD_NULL_H
#define BENCH_LOAD_NULL_H

#define NULL_VALUE 100u

/** memcached's text protocol at 127.0.0.1, one thread. Returns only if it cannot: 1. */
int null_serve(unsigned port);

#endif
