/* SPDX-License-Identifier: MIT */
/*
 * agitate.c - fragmentation and compaction without pause; see agitate.h. Compiled once per subject
 * that has a store.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* processor affinity */
#endif
#include "agitate.h"
#include "latency.h"
#include "memory.h"
#include "object.h"

#include <errno.h>
#include <sched.h>

bool
latency_bind(unsigned which)
{
    cpu_set_t allowed, one;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        return false;
    unsigned processors = (unsigned)CPU_COUNT(&allowed), seen = 0;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &allowed) || seen++ != which % processors)
            continue;
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        return pthread_setaffinity_np(pthread_self(), sizeof(one), &one) == 0;
    }
    return false;
}

/* Cells are atomic by themselves; a handle is an application's word, read by other threads. */
static void
allocate(struct agitator *a, uint32_t at)
{
    ref_t ref = {0};
    subject_enter();
#if BENCH_SUBJECT == SUBJECT_HANDLE
    void *object = subject_alloc(&ref, a->size, FREE_AFTER_GP);
#else
    (void)ref;
    void *object = subject_alloc(&a->refs[at], a->size, FREE_AFTER_GP);
#endif
    if (!object)
        subject_failed("allocation", errno);
    object_fill(object, at, a->size);
#if BENCH_SUBJECT == SUBJECT_HANDLE
    __atomic_store_n(&a->refs[at], ref, __ATOMIC_RELEASE);
#endif
    subject_leave();
}

static void
release(struct agitator *a, uint32_t at)
{
    subject_enter();
#if BENCH_SUBJECT == SUBJECT_HANDLE
    handle_t handle = a->refs[at];
    __atomic_store_n(&a->refs[at], HANDLE_NULL, __ATOMIC_RELEASE);
    subject_free(&handle, FREE_AFTER_GP);
#else
    subject_free(&a->refs[at], FREE_AFTER_GP);
#endif
    subject_leave();
}

static uint32_t
free_half(struct agitator *a)
{
    uint32_t freed = 0;
    for (uint32_t i = 0; i < a->count && !__atomic_load_n(&a->stop, __ATOMIC_RELAXED); i++) {
        if (rng_below(&a->rng, 2) == 0)
            continue;
        release(a, i);
        a->freed[freed++] = i;
    }
    return freed;
}

static void
compact(struct agitator *a)
{
    struct handle_defrag_report report = HANDLE_DEFRAG_REPORT_INIT;
    int error = handle_store_compact(subject_store, &report);
    if (error)
        subject_failed("handle_store_compact", error);
    __atomic_store_n(&a->moved, a->moved + report.moved_objects, __ATOMIC_RELAXED);
}

static void *
agitator_main(void *arg)
{
    struct agitator *a = arg;
    rcu_register_thread();
    latency_bind(1);
    while (!__atomic_load_n(&a->stop, __ATOMIC_RELAXED)) {
        uint32_t freed = free_half(a);
        if (a->compact)
            compact(a);
        while (freed > 0)
            allocate(a, a->freed[--freed]);
        __atomic_store_n(&a->rounds, a->rounds + 1, __ATOMIC_RELAXED);
    }
    rcu_unregister_thread();
    return NULL;
}

void
agitator_init(struct agitator *a, uint32_t count, size_t size)
{
    *a = (struct agitator){.refs = memory_map(count * sizeof(ref_t)),
                           .count = count,
                           .size = size,
                           .rng = rng_stream(77),
                           .freed = memory_map(count * sizeof(uint32_t))};
    for (uint32_t i = 0; i < count; i++)
        allocate(a, i);
}

void
agitator_start(struct agitator *a, bool compacts)
{
    uint64_t rounds = a->rounds;
    a->compact = compacts;
    a->stop = false;
    int error = pthread_create(&a->thread, NULL, agitator_main, a);
    if (error)
        subject_failed("pthread_create", error);
    while (__atomic_load_n(&a->rounds, __ATOMIC_RELAXED) == rounds)
        bench_sleep_ms(1);
}

void
agitator_stop(struct agitator *a)
{
    __atomic_store_n(&a->stop, true, __ATOMIC_RELAXED);
    section_offline();
    pthread_join(a->thread, NULL);
    section_online();
}

void
agitator_prepare_store(void)
{
    subject_set("defrag.enabled", "no");
}
