/* SPDX-License-Identifier: MIT */
/*
 * s5_deref.c - the loop whose instructions S5 counts: read one word of each of a few hot objects,
 * again and again. Run under callgrind by s5_instructions.sh, twice with different lengths, for
 * pointers, cells and handles; the differences are the instructions of one read. By itself it
 * reports the time of one.
 */
#include "loops.h"
#include "report.h"

#define HOT 512 /* a power of two; fits the first-level cache */

static uint64_t opt_reads;
static const struct bench_option options[] = {
    {"reads", BENCH_COUNT, &opt_reads, "thousand", 1, 100000000, 100000, 100, "Reads"},
};

static ref_t refs[HOT];

/* The store is in a register, as in an application that got it as an argument. */
#if BENCH_SUBJECT == SUBJECT_MALLOC
#define READ(ref) (*(ref))
#elif BENCH_SUBJECT == SUBJECT_HANDLE
#define READ(ref) handle_deref(store, *(ref))
#else
#define READ(ref) handle_cell_deref(store, ref)
#endif

static __attribute__((noinline)) uint64_t
read_words(uint64_t reads)
{
    uint64_t sum = 0;
#if BENCH_SUBJECT != SUBJECT_MALLOC
    const handle_store *store = subject_store;
#endif
    for (uint64_t i = 0; i < reads; i++) {
        const uint64_t *object = READ(&refs[i % HOT]);
        if (__builtin_expect(!object, 0))
            return UINT64_MAX;
        sum += *object;
        __asm__ volatile("" : "+r"(sum)); /* one read at a time, no vectors */
    }
    return sum;
}

int
main(int argc, char **argv)
{
    bench_parse(argc, argv, "hot reads, for counting instructions (S5)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    uint64_t reads = opt_reads * 1000;
    report_begin("S5", "hot read", subject_label());
    report_case("%d objects, in one section", HOT);
    subject_open();
    loop_fill(refs, HOT, 64); /* object i holds the number i */
    subject_enter();
    uint64_t start = bench_now_ns();
    uint64_t sum = read_words(reads);
    double ns = (double)(bench_now_ns() - start) / (double)reads;
    subject_leave();
    uint64_t rounds = reads / HOT, rest = reads % HOT;
    if (sum != rounds * (HOT * (HOT - 1) / 2) + rest * (rest - 1) / 2 * (rest > 0))
        bench_fatal("the objects read do not add up");
    report_value("read", "ns", ns);
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
