/* SPDX-License-Identifier: MIT */
/* server.h - what the whole process shares: settings, the cache, counters. */
#ifndef SD_SERVER_H
#define SD_SERVER_H

#include <pthread.h>
#include <time.h>

#include "server/buffer.h"

#define SD_LISTENERS_MOST 16u

struct sd_settings {
    uint64_t memory;                       /* -m, bytes */
    uint64_t value_most;                   /* -I, bytes */
    const char *listen[SD_LISTENERS_MOST]; /* -l; none: loopback */
    unsigned listens;
    unsigned port;
    const char *unix_path;
    unsigned unix_mode;
    unsigned threads, connections, backlog;
    unsigned idle_seconds;  /* 0: for ever */
    unsigned stall_seconds; /* that a client may hold up others without getting on */
    unsigned verbose;
    bool may_flush, may_shut_down, may_dump;
    bool metrics; /* are answered by HTTP */
    bool background, cores;
    const char *user, *pid_file, *auth_file, *dump_file;
};

/* The counters of memcached's stats that are ours: of requests by their outcome, of bytes. */
/* clang-format off */
#define SD_COUNTS(X) \
    X(cmd_get) X(cmd_set) X(cmd_flush) X(cmd_touch) X(cmd_meta) \
    X(get_hits) X(get_misses) X(delete_misses) X(delete_hits) \
    X(incr_misses) X(incr_hits) X(decr_misses) X(decr_hits) \
    X(cas_misses) X(cas_hits) X(cas_badval) X(touch_hits) X(touch_misses) \
    X(store_too_large) X(store_no_memory) X(auth_cmds) X(auth_errors) X(idle_kicks) \
    X(bytes_read) X(bytes_written) X(conn_yields) X(memory_waits) X(buffer_waits) X(slow_kicks)
/* clang-format on */

#define SD_COUNT_MEMBER(name) uint64_t name;
/** Of one thread, which alone writes them. */
struct sd_counts {
    SD_COUNTS(SD_COUNT_MEMBER)
    char apart[128]; /* from the next thread's */
};

/** Of connections; the accepting thread and the workers write them. */
struct sd_conn_counts {
    uint64_t current, total, rejected, listen_disabled, listen_disabled_us;
    uint32_t accepting;
};

/** Of the file that the items are kept in. */
struct sd_dump {
    pthread_t thread;
    bool started;          /* thread is to be joined */
    bool running;          /* and at it */
    bool refused, failed;  /* the file at the start; the last dump */
    uint64_t items, bytes; /* of the last dump, or of the one that is under way */
    uint64_t loaded;       /* items at the start */
};

struct sd_worker;
struct sd_auth;

struct sd_server {
    sinter_cache *cache;
    struct sd_settings settings;
    struct sd_beyond beyond;
    struct sd_pool *pools;    /* one for each worker */
    struct sd_counts *counts; /* the same */
    struct sd_counts since;   /* what they were at "stats reset" */
    struct sd_conn_counts conns;
    struct sd_dump dump;
    struct sd_auth *auth;      /* NULL: nobody is asked */
    struct sd_worker *workers; /* NULL in tests of sessions */
    uint64_t began_ms;
    uint64_t flush_at_ms; /* 0: no flush is due */
    uint64_t cache_limit; /* what the cache was last given of the memory */
    uint64_t memory_most; /* bytes that -m may be; 0: not bounded */
    uint64_t own_most;    /* bytes that the process had beside cache and pools, at most of late */
    uint64_t beside;      /* bytes of connections' structs and of dumps */
    int wake;             /* an eventfd: the accepting thread looks at what has changed */
    bool stop;
};

/** Milliseconds of a clock. */
uint64_t sd_clock_ms(clockid_t clock);
static inline uint64_t
sd_now_ms(void)
{
    return sd_clock_ms(CLOCK_MONOTONIC);
}
/** Adds up what workers' buffers are charged. */
uint64_t sd_pools_used(const struct sd_server *server);
/** Adds up the workers' counters. */
void sd_counts_sum(const struct sd_server *server, struct sd_counts *sum);
/** Lets the accepting thread look at `stop`. Also in signal handlers. */
void sd_server_wake(struct sd_server *server);

#endif
