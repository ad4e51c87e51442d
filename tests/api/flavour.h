/* SPDX-License-Identifier: MIT */
/*
 * flavour.h - one name for each liburcu flavour, so that the same test sources are compiled four
 * times: with TEST_FLAVOUR_MEMB, TEST_FLAVOUR_MB, TEST_FLAVOUR_QSBR or TEST_FLAVOUR_BP defined.
 * It brings in the flavour's header and then <sinter/handle.h>, in the order that
 * handle_store_create() asks for.
 *
 * Not a portability layer: a test that depends on what a flavour can see (QSBR cannot see sections)
 * asks FLAVOUR_SEES_SECTIONS and says so.
 */
#ifndef TEST_FLAVOUR_H
#define TEST_FLAVOUR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(TEST_FLAVOUR_MEMB)
#include <urcu.h>
#define FLAVOUR_NAME    "memb"
#define FLAVOUR_LIBRARY "liburcu.so"
#elif defined(TEST_FLAVOUR_MB)
#ifndef RCU_MB
#define RCU_MB
#endif
#include <urcu.h>
#define FLAVOUR_NAME    "mb"
#define FLAVOUR_LIBRARY "liburcu-mb.so"
#elif defined(TEST_FLAVOUR_QSBR)
#include <urcu-qsbr.h>
#define FLAVOUR_NAME    "qsbr"
#define FLAVOUR_LIBRARY "liburcu-qsbr.so"
#elif defined(TEST_FLAVOUR_BP)
#include <urcu-bp.h>
#define FLAVOUR_NAME    "bp"
#define FLAVOUR_LIBRARY "liburcu-bp.so"
#else
#error "define one of TEST_FLAVOUR_MEMB, TEST_FLAVOUR_MB, TEST_FLAVOUR_QSBR, TEST_FLAVOUR_BP"
#endif

#include <sinter/handle.h>

#if defined(TEST_FLAVOUR_QSBR)
#define FLAVOUR_QSBR          1
#define FLAVOUR_SEES_SECTIONS 0
#else
#define FLAVOUR_QSBR          0
#define FLAVOUR_SEES_SECTIONS 1
#endif

#if defined(__SANITIZE_THREAD__)
#define TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TEST_TSAN 1
#endif
#endif
#ifndef TEST_TSAN
#define TEST_TSAN 0
#endif

#if defined(__SANITIZE_ADDRESS__)
#define TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TEST_ASAN 1
#endif
#endif
#ifndef TEST_ASAN
#define TEST_ASAN 0
#endif

/*
 * Distributions build liburcu without ThreadSanitizer annotations, so it does not see that a grace
 * period orders what sections did. The section helpers say it: what a thread did in its section
 * happens before whatever the library does after the grace period that waited for it.
 */
#if TEST_TSAN
#ifdef __cplusplus
extern "C" {
#endif
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#ifdef __cplusplus
}
#endif
static inline void
flavour_tsan_acquire(void)
{
    __tsan_acquire((void *)(uintptr_t)&rcu_flavor);
}

static inline void
flavour_tsan_release(void)
{
    __tsan_release((void *)(uintptr_t)&rcu_flavor);
}
#else
static inline void
flavour_tsan_acquire(void)
{
}

static inline void
flavour_tsan_release(void)
{
}
#endif

/** Sections that the calling thread has open; for tear-down after a failed assertion. */
extern __thread unsigned section_depth;

/** Opens a section. They nest. */
static inline void
section_enter(void)
{
    rcu_read_lock();
    flavour_tsan_acquire();
    section_depth++;
}

/** Announces a quiescent state; nothing for the flavours that see sections. Outside sections. */
static inline void
quiesce(void)
{
    flavour_tsan_release();
    rcu_quiescent_state();
    flavour_tsan_acquire();
}

/**
 * Ends a section; under QSBR the outermost one ends with a quiescent state. Therefore not to be
 * used inside a visitor of handle_store_each or another callback that runs in somebody else's
 * section.
 */
static inline void
section_leave(void)
{
    flavour_tsan_release();
    rcu_read_unlock();
    if (--section_depth == 0)
        quiesce();
}

/** Begins a wait (join, sleep, lock held long): QSBR threads go offline. */
static inline void
wait_begin(void)
{
    flavour_tsan_release();
    rcu_thread_offline();
}

static inline void
wait_end(void)
{
    rcu_thread_online();
    flavour_tsan_acquire();
}

static inline void
thread_enter(void)
{
    rcu_register_thread();
    flavour_tsan_acquire();
}

static inline void
thread_leave(void)
{
    flavour_tsan_release();
    rcu_unregister_thread();
}

/** Waits for one grace period. Outside sections. */
static inline void
grace_period(void)
{
    flavour_tsan_release();
    synchronize_rcu();
    flavour_tsan_acquire();
}

/*
 * Around fork(), in the order that handle.h asks for: callbacks_pause, the stores' before_fork,
 * flavour_before_fork; after it backwards. A callback's thread that waited for a grace period
 * meanwhile would wait for readers that the stores hold up. Callbacks pause outside of a grace
 * period, which would wait for an online caller.
 */
static inline void
callbacks_pause(void)
{
    wait_begin();
    call_rcu_before_fork();
    wait_end();
}

static inline void
callbacks_resume(void)
{
    call_rcu_after_fork_parent();
}

/** Only children that use call_rcu need it: it starts a thread where call_rcu was in use. */
static inline void
callbacks_resume_in_child(void)
{
    call_rcu_after_fork_child();
}

static inline void
flavour_before_fork(void)
{
#if defined(TEST_FLAVOUR_BP)
    urcu_bp_before_fork();
#endif
}

static inline void
flavour_after_fork_parent(void)
{
#if defined(TEST_FLAVOUR_BP)
    urcu_bp_after_fork_parent();
#endif
}

static inline void
flavour_after_fork_child(void)
{
#if defined(TEST_FLAVOUR_BP)
    urcu_bp_after_fork_child();
#endif
}

#endif
