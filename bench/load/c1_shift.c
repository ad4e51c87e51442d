/* SPDX-License-Identifier: MIT */
/*
 * c1_shift.c - C1: sizes shift in a server's cache of 256 MiB; what does the process take, what
 * does it keep of the newest keys, and how much of its memory is keys and values? And C4: how long
 * does a single request wait meanwhile (--question C4 prints that alone)? shift.h says how it is
 * driven.
 *
 *     c1_shift --server sinterd|memcached|redis [--sinterd PATH] [--mib N] [--series FILE] ...
 *
 * With --series each step of the run is a line of FILE: phase and the share of it that is done,
 * resident bytes and newest keys found, both in percent (of the limit; of those asked for).
 */
#include "bench.h"
#include "report.h"
#include "shift.h"

#include <stdio.h>
#include <string.h>

static uint64_t server, mib, turns, threads, once, reads, question, rest_ms;
static const char *sinterd, *series;

static const struct bench_option options[] = {
    {"server", BENCH_CHOICE, &server, "sinterd|memcached|redis", 0, 0, 0, 0, "Which server"},
    {"question", BENCH_CHOICE, &question, "C1|C4", 0, 0, 0, 0, "What is printed"},
    {"sinterd", BENCH_TEXT, &sinterd, "PATH", 0, 0, 0, 0, "sinterd's program, if not in PATH"},
    {"mib", BENCH_COUNT, &mib, "MiB", 16, 65536, 256, 16, "The server's limit"},
    {"turns", BENCH_COUNT, &turns, "", 1, 100, 3, 2, "Limits written in each phase"},
    {"threads", BENCH_COUNT, &threads, "", 1, 64, 4, 2, "Of the server"},
    {"read", BENCH_CHOICE, &once, "none|once", 0, 0, 0, 0, "How often each new key is read"},
    {"reads", BENCH_COUNT, &reads, "", 50, 1000000, 10000, 500, "For each figure of what is held"},
    {"rest", BENCH_COUNT, &rest_ms, "ms", 0, 600000, 10000, 100, "Idle at the end"},
    {"series", BENCH_TEXT, &series, "FILE", 0, 0, 0, 0, "Record the run"},
};

/* What at least is held, by RSS and by the limit, in each phase. */
static const double held_of_resident[] = {0.82, 0.83, 0.55, 0.88};
static const double held_of_limit[] = {0.80, 0.81, 0.53, 0.86};

static void
say(const struct shift_options *o, unsigned phase, unsigned step)
{
    if (step == 0)
        bench_progress("%s: %s bytes", process_name(o->server.kind), shift_names[phase]);
}

static const char *
name_of(const char *what, unsigned phase)
{
    static char names[SHIFT_PHASES * 8][64];
    static unsigned count;
    char *name = names[count++];
    snprintf(name, sizeof(names[0]), "%s, %s", shift_names[phase], what);
    return name;
}

/* A metric with a target for sinterd only. */
static void
add(const char *what, unsigned phase, const char *unit, enum report_better better, double value,
    double target)
{
    struct report_metric metric = metric_of(name_of(what, phase), unit, better, value);
    if (server == PROCESS_SINTERD)
        metric.target = target;
    report_add(metric);
}

static void
report_memory(const struct shift_result *result)
{
    double limit = (double)mib * 1048576;
    for (unsigned i = 0; i < SHIFT_PHASES; i++) {
        const struct shift_phase *p = &result->phase[i];
        add("RSS at the end", i, "limits", REPORT_LOWER, p->resident / limit, 1);
        add("RSS, highest", i, "limits", REPORT_LOWER, p->highest / limit, 1);
        add("held by RSS", i, "", REPORT_HIGHER, p->held / p->resident, held_of_resident[i]);
        add("held by the limit", i, "", REPORT_HIGHER, p->held / limit, held_of_limit[i]);
        /* What is asked for may be more than the limit can hold. */
        add("newest keys found", i, "%", REPORT_HIGHER, p->newest * 100, i == 2 ? 95 : 99);
        add("sets refused", i, "", REPORT_LOWER, (double)p->refused, 0);
    }
    report_value("RSS at rest", "limits", result->rest_resident / limit);
}

static void
report_waits(const struct shift_result *result)
{
    for (unsigned i = 0; i < SHIFT_PHASES; i++) {
        const struct shift_phase *p = &result->phase[i];
        add("wait, p99.9", i, "us", REPORT_LOWER, p->wait_tail_us, NAN);
        struct report_metric longest =
            metric_of(name_of("wait, longest", i), "us", REPORT_LOWER, p->wait_longest_us);
        if (server == PROCESS_SINTERD) {
            longest.ratio_to = "memcached";
            longest.ratio_target = 1.5;
        }
        report_add(longest);
        add("server's CPU, a set", i, "us", REPORT_LOWER, p->cpu_seconds * 1e6 / (double)p->written,
            NAN);
    }
}

static void
write_series(const struct shift_result *result)
{
    FILE *file = fopen(series, "w");
    if (!file)
        bench_fatal("option --series: cannot write \"%s\"", series);
    for (unsigned i = 0; i < SHIFT_PHASES; i++)
        for (unsigned j = 0; j < SHIFT_STEPS; j++) {
            const struct shift_step *step = &result->phase[i].step[j];
            fprintf(file, "%.3f %.2f %.2f\n", i + (j + 1.0) / SHIFT_STEPS,
                    step->resident * 100 / ((double)mib * 1048576), step->newest * 100);
        }
    if (fclose(file) != 0)
        bench_fatal("option --series: cannot write \"%s\"", series);
}

static void
report_begin_of(const char *subject)
{
    if (question == 0)
        report_begin("C1", "sizes shift in a server's cache", subject);
    else
        report_begin("C4", "waits while sizes shift", subject);
    report_case("limit %llu MiB, %llu limits written in each phase, %s", (unsigned long long)mib,
                (unsigned long long)turns, once ? "each key read once" : "nobody reads");
    report_note("newest keys: of the last half of the limit written");
}

int
main(int argc, char **argv)
{
    static struct shift_result result;
    bench_parse(argc, argv, "sizes shift in a server's cache", options, BENCH_COUNTOF(options));
    struct shift_options o = {
        .server = {.kind = (enum process_kind)server,
                   .limit_mib = (unsigned)mib,
                   .threads = (unsigned)threads},
        .turns = (double)turns,
        .rest_ms = (unsigned)rest_ms,
        .reads = reads,
        .read_once = once,
        .depth = 32,
        .seed = bench.seed,
        .progress = say,
    };
    o.server.program = server == PROCESS_SINTERD ? sinterd : NULL;
    const char *failure = shift_run(&o, &result);
    if (failure)
        bench_fatal("%s: %s", process_name(o.server.kind), failure);
    report_begin_of(process_name(o.server.kind));
    if (question == 0)
        report_memory(&result);
    else
        report_waits(&result);
    report_end();
    if (series)
        write_series(&result);
    return 0;
}
