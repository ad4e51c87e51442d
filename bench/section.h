/* SPDX-License-Identifier: MIT */
/*
 * section.h - the RCU flavour that the benchmarks run under, and its read-side critical sections.
 * The flavour is chosen at build time (BENCH_QSBR, RCU_MB; memb otherwise). Not part of the
 * library: an application writes these few lines with its own names.
 */
#ifndef BENCH_SECTION_H
#define BENCH_SECTION_H

/* The flavour's section entry and exit are inlined: the benchmarks' licence is compatible. */
#ifndef _LGPL_SOURCE
#define _LGPL_SOURCE
#endif
#ifdef BENCH_QSBR
#include <urcu-qsbr.h>
#else
#include <urcu.h>
#endif

#if defined(__SANITIZE_THREAD__)
#define BENCH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BENCH_TSAN 1
#endif
#endif
#ifdef BENCH_TSAN
#include <sanitizer/tsan_interface.h>
#endif

/** Opens a read-side critical section (under QSBR: goes on in the one that is open). */
static inline void
section_enter(void)
{
    rcu_read_lock();
#ifdef BENCH_TSAN
    __tsan_acquire((void *)&rcu_flavor);
#endif
}

/** Closes it; under QSBR it announces a quiescent state, so that sections stay short there too. */
static inline void
section_leave(void)
{
#ifdef BENCH_TSAN
    __tsan_release((void *)&rcu_flavor);
#endif
    rcu_read_unlock();
#ifdef BENCH_QSBR
    rcu_quiescent_state();
#endif
}

/** Before a sleep, a join or a lock held long: QSBR grace periods then do not wait for us. */
static inline void
section_offline(void)
{
#ifdef BENCH_TSAN
    __tsan_release((void *)&rcu_flavor);
#endif
    rcu_thread_offline();
}

static inline void
section_online(void)
{
    rcu_thread_online();
#ifdef BENCH_TSAN
    __tsan_acquire((void *)&rcu_flavor);
#endif
}

#endif
