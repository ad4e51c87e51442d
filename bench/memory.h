/* SPDX-License-Identifier: MIT */
/*
 * memory.h - what the kernel says about this process's memory, a sampler of its peak, and memory
 * for the benchmark's own tables. The tables never come from the allocator under test.
 */
#ifndef BENCH_MEMORY_H
#define BENCH_MEMORY_H

#include <stddef.h>
#include <stdint.h>

/** Zeroed pages, all touched, so that they belong to the baseline. Never freed. */
void *memory_map(size_t bytes);

/** Resident bytes by /proc/self/smaps_rollup: exact, takes the kernel a walk over all pages. */
uint64_t memory_resident(void);

/** Resident bytes by /proc/self/statm: cheap, a few hundred KiB of error. */
uint64_t memory_resident_quick(void);

/**
 * Looks at the resident bytes every `interval_ms` and keeps the largest value of
 * (resident - baseline) / live and of resident - baseline - live. live(arg) is called by the
 * sampler's thread.
 */
struct sampler;
struct sampler *
sampler_start(uint64_t baseline, uint64_t (*live)(void *), void *arg, uint64_t interval_ms);

/** Largest ratio and largest excess in bytes since the start or the last reset. */
struct sampler_peak {
    double ratio;
    uint64_t resident; /* less the baseline */
    int64_t excess;    /* resident less live */
    uint64_t samples;
};
struct sampler_peak sampler_peak(struct sampler *sampler);
void sampler_reset(struct sampler *sampler);
void sampler_stop(struct sampler *sampler);

/**
 * Once a phase has begun, each sample becomes a line of a new file, which bench/draw.sh reads:
 * seconds since now, resident bytes less the baseline and payload(arg) in MiB, number of the phase.
 * Lines that begin with # name the columns and, after sampler_phase, the phase that begins.
 * payload(arg) is called by the sampler's thread. A file that cannot be written ends the program.
 * Without this call, and with a NULL path, nothing is written.
 */
void
sampler_record(struct sampler *sampler, const char *path, uint64_t (*payload)(void *), void *arg);

/**
 * Recorded samples, one taken at once, belong to the next phase from now on; the first phase is 1.
 */
void sampler_phase(struct sampler *sampler, const char *name);

#endif
