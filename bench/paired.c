/* SPDX-License-Identifier: MIT */
/*
 * paired.c - how much processor time does Sinter take beside a peer's malloc, when both run in one
 * process, in turns of a few milliseconds? On a machine that others use, too, this is the only
 * comparison that holds: what slows one turn slows the next. The peer is the malloc of the process
 * (LD_PRELOAD, or glibc's); cells and handles lie in one store beside it. Each round measures the
 * thread's processor time of one turn of each; what is reported is the median of the rounds' ratios
 * to the peer, with their quartiles. Work that is done in other threads, as the mover's, is not in
 * it, for none of them.
 */
#include "paired.h"
#include "peer.h"
#include "report.h"
#include "rounds.h"

#include <stdio.h>

#define SUBJECTS 3

uint32_t paired_sizes[LOOP_SIZES];

const struct paired_phase paired_phase[PAIRED_PHASES] = {
    {240, 256, 4}, {272, 288, 3}, {16, 64, 3}, {640, 640, 3}, {240, 256, 3}};

/* The peer first: it is what the others are compared with. */
static const struct paired_subject *const subject[SUBJECTS] = {&paired_malloc, &paired_cell,
                                                               &paired_handle};

static uint64_t opt_rounds, opt_objects, opt_mib, opt_scale, opt_only;
static const char *opt_data = BENCH_DATA_DIR;
enum { ALL, S1, S1B, S3, S10, T1 };
static const struct bench_option options[] = {
    {"rounds", BENCH_COUNT, &opt_rounds, "", 3, ROUNDS_MAX, 31, 3, "Rounds of each question"},
    {"scale", BENCH_COUNT, &opt_scale, "%", 1, 10000, 100, 2, "Operations in a turn, of the usual"},
    {"objects", BENCH_COUNT, &opt_objects, "thousand", 1, 100000, 1000, 20, "Objects of S3"},
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 4, 16384, 128, 8, "Payload limit of T1's caches"},
    {"only", BENCH_CHOICE, &opt_only, "all|S1|S1b|S3|S10|T1", 0, 0, ALL, ALL, "Only this question"},
    {"data", BENCH_TEXT, &opt_data, "DIR", 0, 0, 0, 0,
     "Where the CSV files are. Default " BENCH_DATA_DIR},
};

typedef void paired_loop(const struct paired_task *task);

/* Members of struct paired_subject by their place in it. */
#define LOOP_OF(s, member) (*(paired_loop *const *)((const char *)(s) + (member)))

/* ---- rounds and ratios ----------------------------------------------------------------------- */

/* One turn of each; the order changes from round to round. */
static void
run_round(struct rounds *rounds, size_t member, const struct paired_task *task)
{
    for (unsigned turn = 0; turn < SUBJECTS; turn++) {
        unsigned s = (turn + rounds->count) % SUBJECTS;
        uint64_t start = bench_cpu_ns();
        LOOP_OF(subject[s], member)(task);
        rounds->ns[s][rounds->count] = (double)(bench_cpu_ns() - start) / (double)task->operations;
    }
    rounds->count++;
}

static void
for_all(size_t member, const struct paired_task *task)
{
    for (unsigned s = 0; s < SUBJECTS; s++)
        LOOP_OF(subject[s], member)(task);
}

/* targets: for cells and for handles; NAN: none. They are of jemalloc but for S1b's, tcmalloc's. */
static void
report_rounds(const char *question, struct rounds *rounds, double cells, double handles)
{
    double cell = rounds_report_ratio(question, "cells", rounds, 1, cells);
    double handle = rounds_report_ratio(question, "handles", rounds, 2, handles);
    double peer_ns = rounds_report_peer(question, rounds);
    bench_progress("%-18s %s %.1f ns, cells %.2f x, handles %.2f x", question, peer_label(),
                   peer_ns, cell, handle);
}

/* ---- questions ------------------------------------------------------------------------------- */

static uint64_t
scaled(uint64_t operations)
{
    return operations * opt_scale / 100 + 1;
}

/* An untimed turn of each first. */
static void
compare(const char *question, size_t member, struct paired_task task, const char *peer,
        double cells, double handles)
{
    struct rounds rounds = {.count = 0};
    task.operations = scaled(task.operations);
    for_all(member, &task);
    for (unsigned i = 0; i < opt_rounds; i++)
        run_round(&rounds, member, &task);
    report_rounds(question, &rounds, rounds_target_beside(peer, cells),
                  rounds_target_beside(peer, handles));
}

#define MEMBER(name) offsetof(struct paired_subject, name)

static void
ask_s1(void)
{
    compare("S1 64 B", MEMBER(pair), (struct paired_task){.size = 64, .operations = 500000},
            "jemalloc", 1.0, 1.25);
    compare("S1 256 B", MEMBER(pair), (struct paired_task){.size = 256, .operations = 500000},
            "jemalloc", 1.0, 1.25);
}

static void
ask_s1b(void)
{
    compare("S1b", MEMBER(burst), (struct paired_task){.size = 64, .operations = 400000},
            "tcmalloc", 1.2, 1.9);
}

static void
ask_s3(void)
{
    struct paired_task task = {
        .size = 64, .count = (uint32_t)(opt_objects * 1000), .operations = 200000};
    for_all(MEMBER(fill), &task);
    compare("S3", MEMBER(replace), task, "jemalloc", 1.3, 2.4);
    for_all(MEMBER(drop), &task);
}

static void
ask_s10(void)
{
    static const char *const held_name[MEDIUM_HELD] = {"4 at a time", "64 at a time"};
    static const char *const mixed_name[MEDIUM_HELD] = {"S10 mixed, 4 live", "S10 mixed, 64 live"};
    medium_draw(paired_sizes, LOOP_SIZES, opt_data);
    for (unsigned h = 0; h < MEDIUM_HELD; h++) {
        for (unsigned i = 0; i < MEDIUM_SIZES; i++) {
            char name[32];
            snprintf(name, sizeof(name), "S10 %u B, %s", medium_size[i], held_name[h]);
            compare(name, MEMBER(held),
                    (struct paired_task){
                        .size = medium_size[i], .held = medium_held[h], .operations = 40000},
                    "jemalloc", 1.1, 1.1);
        }
        compare(mixed_name[h], MEMBER(mixed),
                (struct paired_task){.held = medium_held[h], .operations = 40000}, "jemalloc", 1.1,
                1.1);
    }
}

/* Operations in a turn, so that a phase writes what it has to in all its rounds. */
static uint64_t
shift_operations(unsigned phase)
{
    const struct paired_phase *p = &paired_phase[phase];
    uint64_t bytes = opt_mib * BENCH_MIB * p->writes / opt_rounds;
    return bytes / ((p->low + p->high) / 2) + 1;
}

/* Sum of the phases' rates, as T1 has it: each phase counts as much as its rate. */
static void
report_sum(double sums[SUBJECTS])
{
    report_at_least("T1 sum of the rates, cells", "x peer", sums[1] / sums[0],
                    rounds_target_beside("jemalloc", 1.0));
    report_at_least("T1 sum of the rates, handles", "x peer", sums[2] / sums[0],
                    rounds_target_beside("jemalloc", 0.75));
    bench_progress("T1 sum of the rates: cells %.2f x, handles %.2f x", sums[1] / sums[0],
                   sums[2] / sums[0]);
}

/* The first rounds of the first phase fill the caches. */
static void
ask_t1(void)
{
    static const char *const name[PAIRED_PHASES] = {"T1 phase 1", "T1 phase 2", "T1 phase 3",
                                                    "T1 phase 4", "T1 phase 5"};
    double sums[SUBJECTS] = {0};
    for_all(MEMBER(shift_open), &(struct paired_task){.count = (uint32_t)opt_mib});
    for (unsigned phase = 0; phase < PAIRED_PHASES; phase++) {
        struct rounds rounds = {.count = 0};
        struct paired_task task = {.count = phase, .operations = shift_operations(phase)};
        for (unsigned i = 0; i < opt_rounds; i++)
            run_round(&rounds, MEMBER(shift), &task);
        for_all(MEMBER(shift_keep), &task);
        for (unsigned s = 0; s < SUBJECTS; s++)
            sums[s] += 1 / rounds_median_ns(&rounds, s);
        report_rounds(name[phase], &rounds, rounds_target_beside("jemalloc", 1 / 0.85), NAN);
    }
    for_all(MEMBER(shift_close), &(struct paired_task){.count = 0});
    report_sum(sums);
}

int
main(int argc, char **argv)
{
    static void (*const ask[])(void) = {ask_s1, ask_s1b, ask_s3, ask_s10, ask_t1};
    bench_parse(argc, argv, "a peer's malloc and Sinter in one process, in turns", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("P", "in one process with the peer, in turns", peer_label());
    report_case("thread CPU time, median of %u rounds' ratios", (unsigned)opt_rounds);
    subject_open();
    for (unsigned i = 0; i < BENCH_COUNTOF(ask); i++)
        if (opt_only == ALL || opt_only == i + 1)
            ask[i]();
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
