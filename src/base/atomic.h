/* SPDX-License-Identifier: MIT */
/*
 * atomic.h - the atomic accesses of the library. The memory order is in the wrapper's name; what an
 * access orders, with whom it pairs and what breaks without it stands in one comment at its use.
 */
#ifndef SN_ATOMIC_H
#define SN_ATOMIC_H

#include "base/base.h"

#define sn_load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define sn_load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define sn_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define sn_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define sn_add_relaxed(p, v)   ((void)__atomic_fetch_add((p), (v), __ATOMIC_RELAXED))
#define sn_sub_relaxed(p, v)   ((void)__atomic_fetch_sub((p), (v), __ATOMIC_RELAXED))
#define sn_swap_acq_rel(p, v)  __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
/** For two threads that each store one thing and then load the other's: no weaker fence keeps both
 * from missing what the other stored. */
#define sn_fence_seq_cst() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#define sn_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
#define sn_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
/** Orders for the compiler only; the other side of the pair calls sn_os_membarrier(). */
#define sn_fence_compiler() __atomic_signal_fence(__ATOMIC_SEQ_CST)

/** True and *p = want when *p was *expect; else false and *expect is what was seen (acquire). */
#define sn_cas_acq_rel(p, expect, want)                                                            \
    __atomic_compare_exchange_n((p), (expect), (want), false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)

/** Counters that one thread writes and others read: no atomic read-modify-write needed. */
#if defined(__x86_64__) && !SN_TSAN
/* Compilers make three instructions of an atomic load, an addition and an atomic store. */
#define sn_owner_add(p, v) __asm__("add %1, %0" : "+m"(*(p)) : "r"((__typeof__(*(p)))(v)) : "cc")
#else
#define sn_owner_add(p, v)                                                                         \
    sn_store_relaxed((p), (__typeof__(*(p)))sn_wrapping_add(sn_load_relaxed(p), (v)))
#endif
/* The same by one, of counters of 64 bits; and of pointers, to the next element or the one
 * before. */
#if defined(__x86_64__) && !SN_TSAN
#define sn_owner_inc(p)      __asm__("incq %0" : "+m"(*(p)) : : "cc")
#define sn_owner_dec(p)      __asm__("decq %0" : "+m"(*(p)) : : "cc")
#define sn_owner_next(p)     __asm__("addq %1, %0" : "+m"(*(p)) : "i"(sizeof(**(p))) : "cc")
#define sn_owner_previous(p) __asm__("subq %1, %0" : "+m"(*(p)) : "i"(sizeof(**(p))) : "cc")
#else
#define sn_owner_inc(p)      sn_owner_add((p), 1)
#define sn_owner_dec(p)      sn_owner_sub((p), 1)
#define sn_owner_next(p)     sn_store_relaxed((p), sn_load_relaxed(p) + 1)
#define sn_owner_previous(p) sn_store_relaxed((p), sn_load_relaxed(p) - 1)
#endif
#define sn_owner_sub(p, v) sn_owner_add((p), sn_wrapping_sub(0, (v)))

/** Copies a struct of nothing but uint64_t counters that others change meanwhile. */
static inline void
sn_copy_counters(void *to, const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
        ((uint64_t *)to)[i] = sn_load_relaxed(&((const uint64_t *)from)[i]);
}

static inline void
sn_cpu_relax(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
#endif
}

#endif
