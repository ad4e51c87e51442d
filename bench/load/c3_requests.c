/* SPDX-License-Identifier: MIT */
/*
 * c3_requests.c - C3: what processor time does a server spend on a request? 50 connections, values
 * of 100 bytes, one request in flight on each, and 32; sets of new keys, then gets of random ones
 * of them, every value compared; the server's CPU clock before and after. Sockets alone (null.h)
 * cost the floor.
 *
 *     c3_requests --server sinterd|memcached|redis|null [--protocol text|meta] [--sinterd PATH] ...
 *
 * What the driver does for its speed: one thread, which sends a connection's batch by one call when
 * all of the last one is answered, and takes replies apart where they were received; values are
 * eight bytes a multiplication. Its own CPU time is printed beside the server's.
 */
#include "bench.h"
#include "fresh.h"
#include "process.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CONNECTIONS 50u

static uint64_t server, protocol, threads, few, many;
static const char *sinterd;

static const struct bench_option options[] = {
    {"server", BENCH_CHOICE, &server, "sinterd|memcached|redis|null", 0, 0, 0, 0, "Which server"},
    {"protocol", BENCH_CHOICE, &protocol, "text|meta", 0, 0, 0, 0, "Of all but Redis"},
    {"sinterd", BENCH_TEXT, &sinterd, "PATH", 0, 0, 0, 0, "sinterd's program, if not in PATH"},
    {"threads", BENCH_COUNT, &threads, "", 1, 64, 4, 2, "Of the server"},
    {"few", BENCH_COUNT, &few, "", 100, 100000000, 100000, 2000, "Requests, one in flight"},
    {"many", BENCH_COUNT, &many, "", 100, 100000000, 600000, 10000, "Requests, 32 in flight"},
};

/* At most so much of memcached's. */
static const struct aim {
    unsigned depth;
    bool set;
    double text, meta;
} aims[] = {{1, true, 1.0, 1.0}, {1, false, 1.0, 1.0}, {32, true, 0.6, 0.6}, {32, false, 0.3, 0.6}};

struct cost {
    double server_us, driver_us, thousands; /* a request; a second */
};

struct clocks {
    uint64_t now, server, driver;
};

static struct clocks
read_clocks(const struct process *process)
{
    return (struct clocks){bench_now_ns(), process_cpu_ns(process), bench_cpu_ns()};
}

static struct cost
cost_of(const struct clocks *from, const struct clocks *to, uint64_t requests)
{
    double n = (double)requests;
    return (struct cost){(double)(to->server - from->server) * 1e-3 / n,
                         (double)(to->driver - from->driver) * 1e-3 / n,
                         n * 1e6 / (double)(to->now - from->now)};
}

static const char *
name_of(const char *what, unsigned depth, bool set)
{
    static char names[16][64];
    static unsigned count;
    char *name = names[count++];
    snprintf(name, sizeof(names[0]), "%s, %u in flight, %s", set ? "set" : "get", depth, what);
    return name;
}

static void
report_cost(const struct aim *aim, const struct cost *cost)
{
    struct report_metric metric = metric_of(name_of("server's CPU", aim->depth, aim->set), "us",
                                            REPORT_LOWER, cost->server_us);
    if (server == PROCESS_SINTERD) {
        metric.ratio_to = "memcached";
        metric.ratio_target = protocol ? aim->meta : aim->text;
    }
    report_add(metric);
    report_value(name_of("driver's CPU", aim->depth, aim->set), "us", cost->driver_us);
    report_add(metric_of(name_of("rate", aim->depth, aim->set), "thousand/s", REPORT_HIGHER,
                         cost->thousands));
}

/* Sets, then gets. */
static const char *
run_depth(const struct process *process, struct fresh *fresh, const struct aim *aim)
{
    uint64_t count = aim->depth == 1 ? few : many;
    const char *failure;
    double share;
    fresh_begin(fresh, 0);
    const struct fresh_part *part = &fresh->part[fresh->parts - 1];
    struct clocks from = read_clocks(process);
    if (!fresh_write(fresh, count, 0, &failure))
        return failure;
    struct clocks to = read_clocks(process);
    struct cost cost = cost_of(&from, &to, count);
    report_cost(&aim[0], &cost);
    from = read_clocks(process);
    if (!fresh_read(fresh, part->first, part->end, count, &share, &failure))
        return failure;
    to = read_clocks(process);
    cost = cost_of(&from, &to, count);
    report_cost(&aim[1], &cost);
    if (fresh->refused)
        return "sets were refused";
    return share == 1 ? NULL : "not all of the keys were there";
}

static const char *
run(const struct process *process)
{
    static struct fresh fresh;
    const char *failure = NULL;
    value_ranges[0] = (struct value_range){100, 100};
    fresh.unchecked = server == PROCESS_NULL;
    fresh.random = bench.seed;
    for (unsigned i = 0; i < 4 && !failure; i += 2) {
        struct engine_options engine = {
            .address = process->address,
            .protocol = server == PROCESS_REDIS ? WIRE_RESP : (enum wire_protocol)protocol,
            .prefix = "c3:",
            .connections = CONNECTIONS,
            .depth = aims[i].depth};
        fresh.engine = engine_open(&engine);
        if (!fresh.engine)
            return strerror(errno);
        failure = run_depth(process, &fresh, &aims[i]);
        engine_close(fresh.engine);
    }
    return failure;
}

int
main(int argc, char **argv)
{
    struct process process;
    bench_parse(argc, argv, "processor time of a request", options, BENCH_COUNTOF(options));
    struct process_options o = {.kind = (enum process_kind)server,
                                .program = server == PROCESS_SINTERD ? sinterd : NULL,
                                .limit_mib = 1024,
                                .threads = (unsigned)threads};
    if (!process_start(&process, &o))
        bench_fatal("%s did not start", process_name(o.kind));
    report_begin("C3", "processor time of a request", process_name(o.kind));
    report_case("%s protocol, 50 connections, values of 100 bytes", protocol ? "meta" : "text");
    report_note("the server has %llu threads (Redis and sockets alone: one)",
                (unsigned long long)threads);
    const char *failure = run(&process);
    process_end(&process);
    if (failure)
        bench_fatal("%s: %s", process_name(o.kind), failure);
    report_end();
    return 0;
}
