/* SPDX-License-Identifier: MIT */
/*
 * target_ops.c - fuzz target: sequences of operations on two stores, each beside its reference map
 * (engine.h). An input begins with a byte that says how many operations each store gets in turn.
 */
#include "engine.h"

static struct engine engines[2];

void
fuzz_run(struct source *source, uint64_t operations)
{
    uint64_t end = fuzz_operations + operations;
    unsigned turn = 1 + take_byte(source) % 64;
    for (unsigned i = 0; i < 2; i++)
        engine_open(&engines[i], source);
    for (unsigned i = 0; fuzz_operations < end && !source_is_empty(source); i = !i) {
        engine_enter(&engines[i]);
        for (unsigned step = 0; step < turn && !source_is_empty(source); step++)
            engine_step(&engines[i]);
        engine_leave(&engines[i]);
    }
    for (unsigned i = 0; i < 2; i++)
        engine_close(&engines[i]);
    /* else compaction was not tested */
    fuzz_check(!source->random || operations < 200000 || engine_moved > 0);
}

const uint64_t fuzz_round = 1000000;
