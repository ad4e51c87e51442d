/* SPDX-License-Identifier: MIT */
/*
 * target_ops.c - fuzz target: sequences of operations on two stores, each beside its reference map
 * (engine.h). An input begins with a byte that says how many operations each store gets in turn.
 */
#include "engine.h"

static struct engine engines[2];

static void
run(struct source *source, uint64_t operations)
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
}

const uint64_t fuzz_round = 1000000;

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = {.at = data, .end = data + size};
    fuzz_begin();
    run(&source, UINT64_MAX / 2);
    return 0;
}

void
fuzz_random(uint64_t seed, uint64_t operations)
{
    static uint8_t buffer[SOURCE_BUFFER_BYTES];
    struct source source = {.random = true, .state = seed, .buffer = buffer};
    source_refill(&source);
    fuzz_begin();
    run(&source, operations);
    fuzz_check(operations < 200000 || engine_moved > 0); /* else compaction was not tested */
}
