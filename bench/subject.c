/* SPDX-License-Identifier: MIT */
/*
 * subject.c - opening, closing and asking the allocator under test; see subject.h. Compiled once
 * per subject, like the benchmarks themselves.
 */
#include "subject.h"

#include <stdio.h>
#include <string.h>

void
subject_failed(const char *call, int error)
{
    bench_fatal("%s failed: %s", call, strerror(error < 0 ? -error : error));
}

#if BENCH_SUBJECT == SUBJECT_MALLOC

#include "peer.h"

#include <malloc.h>

const char *
subject_label(void)
{
    return peer_label();
}

void
subject_open(void)
{
    if (bench.sets > 0)
        bench_fatal("option --set: malloc has no store to set %s in", bench.set[0]);
}

void
subject_set(const char *name, const char *value)
{
    bench_fatal("malloc has no option %s to set to %s", name, value);
}

void
subject_settle(void)
{
    rcu_barrier();
}

void
subject_close(void)
{
    rcu_barrier();
}

/* Asks the allocator itself, after the measurement. glibc's 8 bytes before a chunk come on top. */
uint64_t
subject_unit(size_t size, enum free_mode mode)
{
    void *probe = malloc(size + subject_head(mode));
    if (!probe)
        bench_fatal("no memory for a probe of %zu bytes", size);
    uint64_t unit = malloc_usable_size(probe) + (strncmp(subject_label(), "glibc", 5) == 0 ? 8 : 0);
    free(probe);
    return unit;
}

uint64_t
subject_reference_bytes(void)
{
    return 0;
}

uint64_t
subject_compaction_ns(void)
{
    return 0;
}

#elif BENCH_SUBJECT == SUBJECT_NONE

#include "memory.h"

char *subject_ground;
uint64_t subject_ground_mask;

const char *
subject_label(void)
{
    return "driver alone";
}

void
subject_open(void)
{
    uint64_t bytes = (bench.smoke ? 16 : 512) * BENCH_MIB;
    if (bench.sets > 0)
        bench_fatal("option --set: there is no store to set %s in", bench.set[0]);
    subject_ground = memory_map(bytes + 16 * BENCH_MIB); /* the largest object, at the end */
    subject_ground_mask = bytes - 1;
}

void
subject_settle(void)
{
}

void
subject_close(void)
{
}

uint64_t
subject_unit(size_t size, enum free_mode mode)
{
    (void)mode;
    return size;
}

uint64_t
subject_reference_bytes(void)
{
    return 0;
}

uint64_t
subject_compaction_ns(void)
{
    return 0;
}

#else

#include <errno.h>

#define FINDINGS_BYTES 256

handle_store *subject_store;
struct handle_cells (*subject_cells)(void *opaque, const void *object, size_t size);

const char *
subject_label(void)
{
    if (bench.hardened)
        return BENCH_SUBJECT == SUBJECT_CELL ? "cells hardened" : "handles hardened";
    return BENCH_SUBJECT == SUBJECT_CELL ? "cells" : "handles";
}

void
subject_set(const char *name, const char *value)
{
    int error = handle_store_set(subject_store, name, value);
    if (error)
        bench_fatal("store option %s: \"%s\": %s", name, value, strerror(-error));
}

/* "NAME=VALUE", checked for its "=" when the command line was read. */
static void
apply_set(const char *text)
{
    char name[64];
    size_t length = strcspn(text, "=");
    if (length >= sizeof(name))
        bench_fatal("option --set: the name in \"%s\" is longer than %zu", text, sizeof(name) - 1);
    memcpy(name, text, length);
    name[length] = '\0';
    subject_set(name, text + length + 1);
}

/* Huge pages for dense parts are to be chosen before a store is made. */
static enum handle_hugepages
hugepages_at_creation(void)
{
    for (unsigned i = 0; i < bench.sets; i++) {
        if (strcmp(bench.set[i], "hugepages=dense") == 0)
            return HANDLE_HUGEPAGES_DENSE;
    }
    return HANDLE_HUGEPAGES_NEVER;
}

void
subject_open(void)
{
    struct handle_store_options options = HANDLE_STORE_OPTIONS_INIT;
    options.name = "bench";
    options.hardened = bench.hardened;
    options.hugepages = hugepages_at_creation();
    options.cells = subject_cells;
    subject_store = handle_store_create(&options);
    if (!subject_store)
        subject_failed("handle_store_create", errno);
    for (unsigned i = 0; i < bench.sets; i++)
        apply_set(bench.set[i]);
}

void
subject_settle(void)
{
    int error = handle_store_reclaim(subject_store, SIZE_MAX);
    if (error)
        subject_failed("handle_store_reclaim", error);
}

static void
write_stderr(void *opaque, const char *text, size_t length)
{
    (void)opaque;
    fwrite(text, 1, length, stderr);
}

static void
add_finding(void *opaque, const struct handle_finding *finding)
{
    char *codes = opaque;
    size_t length = strlen(codes);
    snprintf(codes + length, FINDINGS_BYTES - length, "%s%s", length > 0 ? "," : "", finding->code);
}

/* What comes or goes by itself, as empty spans do, has a minute. */
static void
ask_doctor(void)
{
    char codes[FINDINGS_BYTES];
    const char *wanted = strcmp(bench.doctor, "none") == 0 ? "" : bench.doctor;
    for (unsigned tries = 0; tries < 6000; tries++) {
        struct handle_stats stats = HANDLE_STATS_INIT;
        codes[0] = 0;
        if (handle_store_stats(subject_store, &stats) != 0 ||
            handle_stats_doctor(&stats, add_finding, codes) < 0)
            bench_fatal("the doctor does not answer");
        if (strcmp(codes, wanted) == 0)
            return;
        bench_sleep_ms(10);
    }
    bench_fatal("the doctor finds \"%s\", not \"%s\"", codes, wanted);
}

static void
report_violation(void *opaque, const char *violation)
{
    (void)opaque;
    bench_progress("handle_store_check: %s", violation);
}

void
subject_close(void)
{
    if (bench.stats)
        handle_store_stats_print(subject_store, HANDLE_STATS_TEXT, write_stderr, NULL);
    if (bench.doctor)
        ask_doctor();
    int violations = handle_store_check(subject_store, report_violation, NULL);
    if (violations != 0)
        bench_fatal("handle_store_check found %d violations", violations);
    int error = handle_store_destroy(subject_store);
    if (error)
        subject_failed("handle_store_destroy", error);
    subject_store = NULL;
}

/* The store's own class table tells slot sizes; beyond it objects are large: whole pages. */
uint64_t
subject_unit(size_t size, enum free_mode mode)
{
    static const struct handle_class_stats *classes;
    static uint32_t count;
    (void)mode;
    if (!classes)
        classes = subject_classes(&count);
    for (uint32_t i = 0; i < count; i++)
        if (classes[i].object_bytes >= size)
            return classes[i].slot_bytes;
    return (size + 4095) / 4096 * 4096;
}

uint64_t
subject_compaction_ns(void)
{
    return subject_stats()->compaction_cpu_ns;
}

uint64_t
subject_reference_bytes(void)
{
    return BENCH_SUBJECT == SUBJECT_HANDLE ? sizeof(uint64_t) : 0;
}

#endif
