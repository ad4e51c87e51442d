/* SPDX-License-Identifier: MIT */
/*
 * fuzz.h - what the fuzz targets share: bytes in, and what a target is. Each target is linked with
 * libFuzzer (clang) and with standalone.c (any compiler), which replays files and runs random
 * inputs.
 */
#ifndef TEST_FUZZ_H
#define TEST_FUZZ_H

#include "support.h"

/** libFuzzer's entry. A finding ends the process. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- for standalone.c ------------------------------------------------------------------------ */

/** Operations of all inputs so far. */
extern uint64_t fuzz_operations;
/** Operations of one round of random inputs: about a tenth of a second. */
extern const uint64_t fuzz_round;
/** At least so many operations of random inputs, which follow from the seed. */
void fuzz_random(uint64_t seed, uint64_t operations);

/** A check of a target; says where, and ends the process. */
#define fuzz_check(condition)                                                                      \
    (__builtin_expect(!!(condition), 1) ? (void)0 : fuzz_failed(#condition, __FILE__, __LINE__))
_Noreturn void fuzz_failed(const char *condition, const char *file, int line);
/** Registers the process's one thread at the first call. */
void fuzz_begin(void);

/* ---- bytes ----------------------------------------------------------------------------------- */

/** Where a target takes its decisions from: an input, or random bytes without end. */
struct source {
    const uint8_t *at, *end;
    bool random;    /* refilled; then what is slow is made rare */
    uint64_t state; /* of the random numbers */
    uint8_t *buffer;
};
#define SOURCE_BUFFER_BYTES 4096

void source_refill(struct source *source);

/** A target of entries.c: about so many operations, or fewer if the input ends. */
void fuzz_run(struct source *source, uint64_t operations);

static inline bool
source_is_empty(const struct source *source)
{
    return source->at == source->end && !source->random;
}

/** The next byte; 0 behind the end. */
static inline unsigned
take_byte(struct source *source)
{
    if (__builtin_expect(source->at == source->end, 0)) {
        if (!source->random)
            return 0;
        source_refill(source);
    }
    return *source->at++;
}

static inline unsigned
take_word(struct source *source)
{
    unsigned low = take_byte(source);
    return low | take_byte(source) << 8;
}

/** True for an input; for random bytes, once in 2^bits. */
static inline bool
take_rare(struct source *source, unsigned bits)
{
    if (!source->random)
        return true;
    unsigned value = take_word(source);
    return (value & ((1u << bits) - 1)) == 0;
}

#endif
