/* SPDX-License-Identifier: MIT */
/*
 * support.h - what the interface tests share: a store per test with its error log, contents that
 * can be recognised, a digest of all live objects, threads. Nothing here looks behind handle.h.
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flavour.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define KIB (UINT64_C(1) << 10)
#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

/** Arena of the stores made here, unless a test says otherwise: small enough for valgrind. */
#define TEST_ARENA_BYTES (4 * GIB)

/** Lines that a store gave to its error callback. */
struct error_log {
    pthread_mutex_t lock;
    unsigned lines;
    char text[4096]; /* the first lines, one per row */
};

/** One test's store. `opaque` of both callbacks. */
struct fixture {
    handle_store *store;
    struct handle_store_options options;
    struct error_log errors;
    bool errors_expected; /* tear-down does not fail for reported lines */
    void *pressure_context;
};

/** Reporter for handle_store_check; opaque is not used. */
void print_violation(void *opaque, const char *violation);

/** cmocka set-up and tear-down. Tear-down fails on violations and on unexpected error lines. */
int fixture_setup(void **state);
int fixture_teardown(void **state);

#define STORE_TEST(function)                                                                       \
    cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

/** Options with the fixture's error log; for tests that make a store of their own kind. */
void fixture_options(struct fixture *fixture, struct handle_store_options *options);
/** Ends the fixture's store and makes another with fixture->options. */
void fixture_reopen(struct fixture *fixture);

/** handle_store_options.error for struct fixture. */
void fixture_error(void *opaque, const char *message);
unsigned errors_count(struct fixture *fixture);
bool errors_contain(struct fixture *fixture, const char *text);
void errors_reset(struct fixture *fixture);

/** Fills with bytes that follow from seed and position. */
void fill(void *object, size_t size, uint64_t seed);
/** Position of the first byte that fill() did not write; size when all are as written. */
size_t mismatch(const void *object, size_t size, uint64_t seed);
#define assert_filled(object, size, seed) assert_int_equal(mismatch(object, size, seed), size)

/** An object of size bytes filled from seed; asserts that it could be had. */
handle_t make_object(handle_store *store, size_t size, uint64_t seed);
/** Asserts that the handle names an object of this size and seed. Opens a section. */
void assert_object(handle_store *store, handle_t handle, size_t size, uint64_t seed);

/** A hash of an object's name, size, tag, flags and contents. */
uint64_t object_digest(const struct handle_object *object);
/** Sum over all live objects of object_digest(). */
uint64_t store_digest(handle_store *store);
/** Asserts that handle_store_check finds nothing; violations are printed. */
void assert_clean(handle_store *store);
/** handle_store_compact between two digests, asserted equal; then assert_clean. */
void compact_checked(handle_store *store, struct handle_defrag_report *report);
/** Stops compaction and lets limbo drain: afterwards the memory breakdown adds up exactly. */
void settle(handle_store *store);
/** handle_store_stats, which must succeed. */
struct handle_stats take_stats(handle_store *store);
/** Of each size class; valid until the next call. */
const struct handle_class_stats *class_stats_of(handle_store *store);
/** handle_store_used_exact, which must answer. */
size_t used_exactly(handle_store *store);
#define assert_used(store, bytes) assert_int_equal(used_exactly(store), bytes)
/** Changes a byte behind an object's end, as a faulty program would; atomically, since a thread of
 * the library may be looking at the header there. */
static inline void
damage_byte(unsigned char *byte)
{
    unsigned before = __atomic_load_n(byte, __ATOMIC_RELAXED);
    __atomic_store_n(byte, (unsigned char)(before % 255 + 1), __ATOMIC_RELAXED);
}

/** Sets an option; asserts that it was taken. */
void set_option(handle_store *store, const char *name, const char *value);

/** Runs body(arg, 0 .. n-1) in n registered threads and waits for them. */
void run_threads(unsigned n, void (*body)(void *arg, unsigned index), void *arg);
/** A check for other threads than the main one, where cmocka's assertions must not be used. */
#define thread_check(condition)                                                                    \
    ((condition) ? (void)0 : thread_check_failed(#condition, __FILE__, __LINE__))
_Noreturn void thread_check_failed(const char *condition, const char *file, int line);

/** xorshift64*; state must not be 0. */
uint64_t random_next(uint64_t *state);
uint64_t random_below(uint64_t *state, uint64_t bound);
/** Seed of a random test: TEST_SEED from the environment or the clock; printed with the test's
 * name. */
uint64_t random_seed(const char *test);

/** Size list from 0 to 1 MiB: class boundaries and page boundaries, one off each. */
extern const size_t test_sizes[];
extern const size_t test_sizes_count;

/** Whether a sanitizer or valgrind multiplies the time and the memory of everything. */
bool slow_run(void);
/** In such a run, fewer rounds of the same. */
unsigned scaled(unsigned rounds);

/** Bytes of a page of the library's: the kernel's, or what SINTER_DEBUG_PAGE_BYTES has debug builds
 * take for one. */
size_t page_bytes(void);
/** For tests whose numbers are those of pages of 4 KiB. */
#define needs_pages_of_4_kib()                                                                     \
    do {                                                                                           \
        if (page_bytes() != 4096)                                                                  \
            skip();                                                                                \
    } while (0)

/* One group per file, and one for its tests with several threads; each returns the number of
 * tests that failed. */
int group_create(void);
int group_options(void);
int group_alloc(void);
int group_handles(void);
int group_handles_threads(void);
int group_many(void);
int group_many_threads(void);
int group_exhaust(void);
int group_resize(void);
int group_capacity(void);
int group_resize_threads(void);
int group_update(void);
int group_update_threads(void);
int group_reserve(void);
int group_reserve_threads(void);
int group_retire(void);
int group_retire_threads(void);
int group_pins(void);
int group_pins_threads(void);
int group_cells(void);
int group_cells_threads(void);
int group_unlink(void);
int group_inner(void);
int group_inner_threads(void);
int group_unlink_threads(void);
int group_limits(void);
int group_shortage(void);
int group_compaction(void);
int group_compaction_threads(void);
int group_sparsity(void);
int group_sparsity_threads(void);
int group_stats(void);
int group_print(void);
int group_walk(void);
int group_map(void);
int group_profile(void);
int group_walk_threads(void);
int group_damage(void);
int group_secrecy(void);
int group_threads(void);
int group_fork(void);
int group_process(void);
int group_stores(void);

/* ---- forked children ------------------------------------------------------------------------- */

/** In a child, where cmocka's assertions would go on with the parent's tests. It reports by its
 * exit status: 0, or the line of the check that failed, modulo 251, plus 1. */
#define child_check(condition)                                                                     \
    do {                                                                                           \
        if (!(condition))                                                                          \
            _exit(__LINE__ % 251 + 1);                                                             \
    } while (0)

/** Forks with the hooks of the stores and the flavour, while callbacks pause. The child runs
 * child(arg), and ends with status 0. */
pid_t
fork_without_callbacks(handle_store **stores, unsigned n, void (*child)(void *arg), void *arg);
/** The same with all hooks, in the order that handle.h asks for. */
pid_t fork_stores(handle_store **stores, unsigned n, void (*child)(void *arg), void *arg);
/** Waits for its end, with status 0. */
void assert_child_succeeds(pid_t pid);

#endif
