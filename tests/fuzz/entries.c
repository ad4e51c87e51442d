/* SPDX-License-Identifier: MIT */
/* entries.c - the entries of targets that take their decisions one after the other (fuzz_run). */
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source source = {.at = data, .end = data + size};
    fuzz_begin();
    fuzz_run(&source, UINT64_MAX / 2);
    return 0;
}

void
fuzz_random(uint64_t seed, uint64_t operations)
{
    static uint8_t buffer[SOURCE_BUFFER_BYTES];
    struct source source = {.random = true, .state = seed, .buffer = buffer};
    source_refill(&source);
    fuzz_begin();
    fuzz_run(&source, operations);
}
