/* SPDX-License-Identifier: MIT */
/*
 * expect.h - how the examples say that something went otherwise than their text promises: a line on
 * stderr, and exit status 1 in the end. Not an assertion: the example goes on.
 */
#ifndef EXAMPLE_EXPECT_H
#define EXAMPLE_EXPECT_H

#include <stdbool.h>
#include <stdio.h>

static int expect_failures;

static inline bool
expect_at(const char *file, int line, const char *what, bool met)
{
    if (!met) {
        fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
        __atomic_fetch_add(&expect_failures, 1, __ATOMIC_RELAXED);
    }
    return met;
}

/** For handle_store_check: says what it found. */
static inline void
expect_violation(void *opaque, const char *violation)
{
    (void)opaque;
    fprintf(stderr, "handle_store_check: %s\n", violation);
}

/** True when the condition holds. By any thread. */
#define expect(condition) expect_at(__FILE__, __LINE__, #condition, (condition))

/** Exit status of main. */
static inline int
expect_status(void)
{
    return __atomic_load_n(&expect_failures, __ATOMIC_RELAXED) ? 1 : 0;
}

#endif
