/* SPDX-License-Identifier: MIT */
/*
 * x1_lookup.c - X1: what does an index pay for its nodes being movable? One B+-tree
 * (examples/index: nodes of 1016 bytes, keys of 8 to 32) by handles in a store, by cells inside the
 * nodes in another one, and by pointers with the peer's malloc, in one process, in turns
 * (rounds.h): lookups of random keys, and scans of 100 entries; full, and after a random 80 % of
 * the entries was deleted.
 */
#include "index.h"
#include "peer.h"
#include "report.h"
#include "rounds.h"
#include "subject.h"

static uint64_t opt_keys, opt_rounds, opt_lookups;
static const struct bench_option options[] = {
    {"keys", BENCH_COUNT, &opt_keys, "thousand", 1, 1000000, 5000, 20, "Entries"},
    {"rounds", BENCH_COUNT, &opt_rounds, "", 3, ROUNDS_MAX, 31, 3, "Rounds of each question"},
    {"lookups", BENCH_COUNT, &opt_lookups, "thousand", 1, 100000, 20, 1, "Lookups in a turn"},
};

static const struct index_subject *const subject[] = {&index_pointer, &index_handle, &index_cell};
#define SUBJECTS BENCH_COUNTOF(subject)
static handle_store *store[SUBJECTS]; /* pointers have none */

/* An untimed turn first. The same keys for all. */
static double
lookup_ns(const struct index_subject *s, uint64_t seed)
{
    uint64_t lookups = opt_lookups * 1000, start = bench_cpu_ns();
    s->look_up(opt_keys * 1000, seed, lookups);
    return (double)(bench_cpu_ns() - start) / (double)lookups;
}

static double
scan_ns(const struct index_subject *s, uint64_t seed)
{
    uint64_t start = bench_cpu_ns();
    uint64_t seen = s->scan(opt_keys * 1000, seed, opt_lookups * 10);
    return (double)(bench_cpu_ns() - start) / (double)seen;
}

/* target: of cells; handles have none. */
static void
report_ratios(const char *question, const struct rounds *rounds, double target)
{
    double ns = rounds_report_peer(question, rounds);
    for (unsigned s = 1; s < SUBJECTS; s++) {
        bool judged = subject[s]->cells != NULL;
        double ratio = rounds_report_ratio(question, subject[s]->name, rounds, s,
                                           judged ? rounds_target_beside("jemalloc", target) : NAN);
        bench_progress("%-24s %s %.1f ns, %s %.2f x", question, peer_label(), ns, subject[s]->name,
                       ratio);
    }
}

static void
compare(const char *question, double (*turn)(const struct index_subject *s, uint64_t seed),
        double target)
{
    static struct rounds rounds;
    rounds.count = 0;
    for (unsigned s = 0; s < SUBJECTS; s++)
        turn(subject[s], ROUNDS_MAX);
    for (unsigned i = 0; i < opt_rounds; i++) {
        for (unsigned step = 0; step < SUBJECTS; step++) {
            unsigned s = (step + i) % SUBJECTS;
            rounds.ns[s][i] = turn(subject[s], i);
        }
        rounds.count++;
    }
    report_ratios(question, &rounds, target);
}

static void
ask(const char *lookup, const char *scan, double target)
{
    for (unsigned s = 0; s < SUBJECTS; s++)
        subject[s]->check();
    compare(lookup, lookup_ns, target);
    compare(scan, scan_ns, NAN);
}

static void
open_tree(unsigned s)
{
    if (s > 0) {
        subject_cells = subject[s]->cells;
        subject_open();
        store[s] = subject_store;
    }
    subject[s]->open(store[s]);
    subject[s]->fill(opt_keys * 1000);
}

static void
close_tree(unsigned s)
{
    subject[s]->close();
    if (s > 0) {
        subject_store = store[s];
        subject_close();
    }
}

static void
thin_out(unsigned s)
{
    subject[s]->thin(opt_keys * 1000);
    rcu_barrier();
    if (s > 0 && handle_store_compact(store[s], NULL) != 0)
        bench_fatal("handle_store_compact failed");
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "lookups in an index, by handles, cells and pointers (X1)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    for (unsigned s = 0; s < SUBJECTS; s++)
        open_tree(s);
    report_begin("X1", "an index by handles, cells and pointers, in turns", peer_label());
    report_case("%u000 entries, %u levels; thread CPU time, median of %u rounds' ratios",
                (unsigned)opt_keys, index_handle.height(), (unsigned)opt_rounds);
    ask("lookup", "scan, an entry", 1.05);
    for (unsigned s = 0; s < SUBJECTS; s++)
        thin_out(s);
    ask("lookup among a fifth", "scan among a fifth, an entry", NAN);
    report_end();
    for (unsigned s = 0; s < SUBJECTS; s++)
        close_tree(s);
    rcu_unregister_thread();
    return 0;
}
