/* SPDX-License-Identifier: MIT */
/*
 * peer.h - which malloc does this process run on?
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

/** The library that the dynamic linker took malloc from, whatever was asked for: "glibc",
 * "jemalloc", "tcmalloc", "mimalloc", "snmalloc", or a file name. */
const char *peer_label(void);

#endif
