/* SPDX-License-Identifier: MIT */
/*
 * paired_loops.c - the loops of paired.h for one subject. Compiled for each of the three that are
 * linked into one program: names that others see carry the subject's.
 */
#include "bench.h"

#define PAIRED_OWN(name) BENCH_JOIN(PAIRED_SUBJECT, name)

#define cache_init    PAIRED_OWN(cache_init)
#define cache_bytes   PAIRED_OWN(cache_bytes)
#define cache_objects PAIRED_OWN(cache_objects)
#define cache_keep    PAIRED_OWN(cache_keep)
#define cache_verify  PAIRED_OWN(cache_verify)
#define cache_sample  PAIRED_OWN(cache_sample)
#define cache_floor   PAIRED_OWN(cache_floor)
#define shard_insert  PAIRED_OWN(shard_insert)
#define shard_evict   PAIRED_OWN(shard_evict)
#define shard_put     PAIRED_OWN(shard_put)

#include "cache.c"
#include "paired.h"

#define BURST  1024
#define SHARDS 64

static struct {
    ref_t one;
    ref_t burst[BURST];
    ref_t *table;
    struct rng rng;
    uint32_t next;
    struct cache cache;
} state;

static void
pair(const struct paired_task *task)
{
    loop_pairs(&state.one, task->size, FREE_NOW, task->operations);
}

static void
burst(const struct paired_task *task)
{
    for (uint64_t done = 0; done < task->operations; done += BURST)
        loop_burst(state.burst, BURST, task->size);
}

static void
fill(const struct paired_task *task)
{
    if (!state.table) {
        state.table = memory_map((size_t)task->count * sizeof(ref_t));
        state.rng = rng_stream(0);
    }
    loop_fill(state.table, task->count, task->size);
}

static void
replace(const struct paired_task *task)
{
    loop_replace(state.table, task->count, task->size, &state.rng, task->operations);
}

static void
drop(const struct paired_task *task)
{
    loop_drop(state.table, task->count);
}

static void
held(const struct paired_task *task)
{
    loop_held(state.burst, task->held, task->size, task->operations);
}

static void
mixed(const struct paired_task *task)
{
    loop_fill(state.burst, task->held, MEDIUM_SMALLEST);
    loop_mixed(state.burst, task->held, paired_sizes, &state.next, &state.rng, task->operations);
    loop_drop(state.burst, task->held);
}

static void
shift_open(const struct paired_task *task)
{
    uint64_t limit = task->count * BENCH_MIB;
    state.rng = rng_stream(1);
    cache_init(&state.cache, SHARDS, limit / 30, limit, FREE_NOW);
}

static void
shift(const struct paired_task *task)
{
    const struct paired_phase *phase = &paired_phase[task->count];
    for (uint64_t i = 0; i < task->operations; i++) {
        struct shard *shard = &state.cache.shard[rng_below(&state.rng, SHARDS)];
        uint32_t size = rng_between(&state.rng, phase->low, phase->high);
        subject_enter();
        shard_put(&state.cache, shard, &state.rng, size);
        subject_leave();
    }
}

static void
shift_keep(const struct paired_task *task)
{
    (void)task;
    cache_keep(&state.cache, &state.rng, 10);
}

static void
shift_close(const struct paired_task *task)
{
    (void)task;
    cache_verify(&state.cache);
}

const struct paired_subject BENCH_JOIN(paired, PAIRED_SUBJECT) = {
    .name = BENCH_TEXT(PAIRED_SUBJECT),
    .pair = pair,
    .burst = burst,
    .fill = fill,
    .replace = replace,
    .drop = drop,
    .held = held,
    .mixed = mixed,
    .shift_open = shift_open,
    .shift = shift,
    .shift_keep = shift_keep,
    .shift_close = shift_close,
};
