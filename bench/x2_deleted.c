/* SPDX-License-Identifier: MIT */
/*
 * x2_deleted.c - X2: what is left of an index's memory when a random 80 % of its entries was
 * deleted? The tree of examples/index; nodes are joined when two fit into one, so that far fewer
 * are left, anywhere among those that are gone. By pointers what is unlinked is freed through
 * call_rcu.
 */
#include "index.h"
#include "memory.h"
#include "report.h"
#include "subject.h"

static uint64_t opt_keys, opt_idle;
static const struct bench_option options[] = {
    {"keys", BENCH_COUNT, &opt_keys, "thousand", 1, 1000000, 5000, 20, "Entries"},
    {"idle", BENCH_COUNT, &opt_idle, "ms", 0, 600000, 5000, 100, "Time without calls at the end"},
};

static double
mib(uint64_t bytes)
{
    return (double)bytes / (double)BENCH_MIB;
}

#if BENCH_SUBJECT == SUBJECT_CELL
#define SUBJECT index_cell
#define STORE   subject_store
#elif BENCH_SUBJECT == SUBJECT_HANDLE
#define SUBJECT index_handle
#define STORE   subject_store
#else
#define SUBJECT index_pointer
#define STORE   NULL
#endif

static uint64_t baseline;

static void
report_memory(const char *name, const char *ratio_name, double target)
{
    uint64_t resident = memory_resident() - baseline;
    report_value(name, "MiB", mib(resident));
    report_at_most(ratio_name, "RSS/live", (double)resident / (double)SUBJECT.node_bytes(), 1,
                   target);
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "memory of an index after mass deletes (X2)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    report_begin("X2", "memory of an index after mass deletes", subject_label());
    report_case("%u000 entries, a random 80 %% deleted; live: linked nodes", (unsigned)opt_keys);
    baseline = memory_resident();
#if SUBJECT_IS_STORE
    subject_cells = SUBJECT.cells;
#endif
    subject_open();
    SUBJECT.open(STORE);
    SUBJECT.fill(opt_keys * 1000);
    report_memory("full", "full, of the nodes", NAN);
    SUBJECT.thin(opt_keys * 1000);
    report_memory("deleted, at once", "deleted, at once, of the nodes", NAN);
    subject_settle();
    bench_sleep_ms(opt_idle);
    report_memory("idle", "idle, of the nodes", subject_pick(1.06, 1.06));
    SUBJECT.check();
    report_end();
    SUBJECT.close();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
