/* SPDX-License-Identifier: MIT */
/*
 * t5_limit.c - T5: a store at max_bytes. Objects of 240 bytes fill it, go on being replaced, then
 * give way to objects of 492 bytes. The application evicts when an allocation says ENOMEM and waits
 * by handle_store_reclaim when it says EAGAIN. How full is the store when ENOMEM comes?
 */
#include "cache.h"
#include "memory.h"
#include "report.h"

#include <errno.h>
#include <stdio.h>

#define FIRST_BYTES     240
#define SECOND_BYTES    492
#define RETRIES_MAX     100000 /* of one allocation: more means that the store does not get on */
#define SAMPLE_EVERY_MS 5

static uint64_t opt_mib, opt_batch, opt_free, opt_turnover;
static const struct bench_option options[] = {
    {"mib", BENCH_COUNT, &opt_mib, "MiB", 8, 65536, 256, 24, "max_bytes of the store"},
    {"batch", BENCH_COUNT, &opt_batch, "objects", 1, 4096, 16, 16,
     "Objects evicted for one ENOMEM"},
    {"free", BENCH_CHOICE, &opt_free, FREE_MODE_CHOICES, 0, 0, FREE_AFTER_GP, FREE_AFTER_GP,
     "Frees at once, or after a grace period"},
    {"turnover", BENCH_COUNT, &opt_turnover, "times max_bytes", 1, 100, 2, 1,
     "What is written of each size"},
};

/** What happened at the limit, for one size of objects. */
struct account {
    uint64_t full, again, longest_again;
    uint64_t lowest; /* live plus limbo bytes at an ENOMEM */
    uint64_t ns;
};

struct run {
    struct cache cache;
    struct rng rng;
    uint64_t max_bytes;
    uint64_t baseline;
};

/* Requested bytes of live objects, and what waits for a grace period. */
static uint64_t
live_and_limbo(void)
{
    const struct handle_stats *stats = subject_stats();
    return stats->requested + stats->limbo;
}

static void
evict_batch(struct run *run)
{
    for (uint64_t i = 0; i < opt_batch; i++) {
        subject_enter();
        bool evicted = shard_evict(&run->cache, &run->cache.shard[0], &run->rng);
        subject_leave();
        if (!evicted)
            bench_fatal("ENOMEM although the store is empty");
    }
}

static void
wait_for_memory(size_t size, struct account *account, uint64_t tries)
{
    account->again++;
    if (tries > account->longest_again)
        account->longest_again = tries;
    if (tries == RETRIES_MAX)
        bench_fatal("EAGAIN %d times in a row, each after handle_store_reclaim", RETRIES_MAX);
    int error = handle_store_reclaim(subject_store, size);
    if (error)
        subject_failed("handle_store_reclaim", error);
}

static void
put_at_limit(struct run *run, size_t size, struct account *account)
{
    for (uint64_t tries = 1;; tries++) {
        subject_enter();
        bool done = shard_insert(&run->cache, &run->cache.shard[0], size);
        int error = done ? 0 : errno;
        subject_leave();
        if (done)
            return;
        if (error == EAGAIN) {
            wait_for_memory(size, account, tries);
        } else if (error == ENOMEM) {
            uint64_t held = live_and_limbo();
            account->full++;
            account->lowest = held < account->lowest ? held : account->lowest;
            evict_batch(run);
        } else {
            subject_failed("allocation", error);
        }
    }
}

static struct account
fill_and_turn_over(struct run *run, size_t size)
{
    struct account account = {.lowest = UINT64_MAX};
    uint64_t start = bench_now_ns(), bytes = opt_turnover * run->max_bytes;
    for (uint64_t written = 0; written < bytes || account.full == 0; written += size)
        put_at_limit(run, size, &account);
    account.ns = bench_now_ns() - start;
    bench_progress("%zu bytes: %llu ENOMEM, %llu EAGAIN, fullest at ENOMEM not below %.2f %%", size,
                   (unsigned long long)account.full, (unsigned long long)account.again,
                   100.0 * (double)account.lowest / (double)run->max_bytes);
    return account;
}

static void
report_account(const struct run *run, const struct account *account, const char *const name[4])
{
    report_at_least(name[0], "% of max", 100.0 * (double)account->lowest / (double)run->max_bytes,
                    subject_pick(90, 85));
    report_value(name[1], "times", (double)account->full);
    report_value(name[2], "times", (double)account->again);
    report_value(name[3], "s", (double)account->ns * 1e-9);
}

/* The limit stands for the live bytes, so that the sampled ratio is RSS over max_bytes. */
static uint64_t
limit_bytes(void *arg)
{
    return ((struct run *)arg)->max_bytes;
}

static void
run_workload(struct run *run)
{
    static const char *const first_name[] = {"240 B: live + limbo at ENOMEM", "240 B: ENOMEM",
                                             "240 B: EAGAIN", "240 B: time"};
    static const char *const second_name[] = {"492 B: live + limbo at ENOMEM", "492 B: ENOMEM",
                                              "492 B: EAGAIN", "492 B: time"};
    struct sampler *sampler = sampler_start(run->baseline, limit_bytes, run, SAMPLE_EVERY_MS);
    struct account first = fill_and_turn_over(run, FIRST_BYTES);
    uint64_t moved = subject_stats()->moved_objects;
    struct account second = fill_and_turn_over(run, SECOND_BYTES);
    const struct handle_stats *stats = subject_stats();
    report_account(run, &first, first_name);
    report_account(run, &second, second_name);
    report_value("492 B: objects moved", "thousand", (double)(stats->moved_objects - moved) / 1e3);
    report_at_most("committed, peak", "of max", (double)stats->committed_peak / run->max_bytes, NAN,
                   1);
    report_value("RSS, peak", "of max", sampler_peak(sampler).ratio);
    sampler_stop(sampler);
}

int
main(int argc, char **argv)
{
    static struct run run;
    char text[32];
    bench_parse(argc, argv, "how full a store is when max_bytes stops it (T5)", options,
                BENCH_COUNTOF(options));
    rcu_register_thread();
    run.rng = rng_stream(0);
    run.max_bytes = opt_mib * BENCH_MIB;
    cache_init(&run.cache, 1, run.max_bytes / FIRST_BYTES + 64, run.max_bytes,
               opt_free == FREE_NOW ? FREE_NOW : FREE_AFTER_GP);
    report_begin("T5", "at the limit", subject_label());
    report_case("max_bytes %u MiB, frees %s, %u objects evicted at an ENOMEM", (unsigned)opt_mib,
                opt_free == FREE_NOW ? "at once" : "after a grace period", (unsigned)opt_batch);
    run.baseline = memory_resident();
    subject_open();
    snprintf(text, sizeof(text), "%llu", (unsigned long long)run.max_bytes);
    subject_set("max_bytes", text);
    run_workload(&run);
    cache_verify(&run.cache);
    report_end();
    subject_close();
    rcu_unregister_thread();
    return 0;
}
