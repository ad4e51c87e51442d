/* SPDX-License-Identifier: MIT */
/*
 * peer.c - see peer.h.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* dladdr */
#endif
#include "peer.h"
#include "bench.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* glibc's best-known remedy is a run of its own in the tables. */
static const char *
glibc_label(void)
{
    static char label[32];
    const char *arenas = getenv("MALLOC_ARENA_MAX");
    if (!arenas)
        return "glibc";
    snprintf(label, sizeof(label), "glibc arenas=%.8s", arenas);
    return label;
}

/* The allocator is the library that the dynamic linker took malloc from, whatever was asked for. */
const char *
peer_label(void)
{
    static const char *const known[][2] = {{"libjemalloc", "jemalloc"},
                                           {"libtcmalloc", "tcmalloc"},
                                           {"libmimalloc", "mimalloc"},
                                           {"libsnmalloc", "snmalloc"}};
    Dl_info info;
    void *symbol = dlsym(RTLD_DEFAULT, "malloc");
    if (!symbol || !dladdr(symbol, &info) || !info.dli_fname)
        return "malloc";
    const char *slash = strrchr(info.dli_fname, '/');
    const char *file = slash ? slash + 1 : info.dli_fname;
    if (strncmp(file, "libc.so", 7) == 0)
        return glibc_label();
    for (size_t i = 0; i < BENCH_COUNTOF(known); i++)
        if (strncmp(file, known[i][0], strlen(known[i][0])) == 0)
            return known[i][1];
    return file;
}
