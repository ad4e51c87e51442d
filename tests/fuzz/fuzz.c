/* SPDX-License-Identifier: MIT */
/* fuzz.c - see fuzz.h. */
#include "fuzz.h"

uint64_t fuzz_operations;

_Noreturn void
fuzz_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "%s:%d: operation %llu: %s does not hold\n", file, line,
            (unsigned long long)fuzz_operations, condition);
    abort();
}

void
fuzz_begin(void)
{
    static bool begun;
    if (!begun)
        thread_enter();
    begun = true;
}

void
source_refill(struct source *source)
{
    for (size_t i = 0; i < SOURCE_BUFFER_BYTES; i += sizeof(uint64_t)) {
        uint64_t word = random_next(&source->state);
        memcpy(source->buffer + i, &word, sizeof(word));
    }
    source->at = source->buffer;
    source->end = source->buffer + SOURCE_BUFFER_BYTES;
}
