/* SPDX-License-Identifier: MIT */
/*
 * loops.h - the timed loops of the speed questions and the rounds around them. The loops are inline
 * and their mode of freeing is a constant, so that nothing but the allocator is measured.
 */
#ifndef BENCH_LOOPS_H
#define BENCH_LOOPS_H

#include "subject.h"

#include <errno.h>

#define LOOP_INLINE static inline __attribute__((always_inline))

/* Operations in one section: real sections are short, but their cost is not what is asked. */
#define PAIRS_PER_SECTION    128
#define REPLACES_PER_SECTION 16

/* The compiler must believe that somebody uses the object. */
LOOP_INLINE void
loop_escape(const void *object)
{
    __asm__ volatile("" : : "r"(object) : "memory");
}

LOOP_INLINE void *
loop_alloc(ref_t *ref, size_t size, enum free_mode mode)
{
    void *object = subject_alloc(ref, size, mode);
    if (__builtin_expect(!object, 0))
        subject_failed("allocation", errno);
    loop_escape(object);
    return object;
}

/** Allocates and frees one object, `pairs` times. */
LOOP_INLINE void
loop_pairs(ref_t *ref, size_t size, enum free_mode mode, uint64_t pairs)
{
    for (uint64_t done = 0; done < pairs; done += PAIRS_PER_SECTION) {
        subject_enter();
        for (unsigned i = 0; i < PAIRS_PER_SECTION; i++) {
            loop_alloc(ref, size, mode);
            subject_free(ref, mode);
        }
        subject_leave();
    }
}

/** Frees an object, allocates another in its place and writes its first word, as every user of an
 * allocator does. */
LOOP_INLINE void
loop_replace_one(ref_t *ref, size_t size, uint64_t word)
{
    subject_free(ref, FREE_NOW);
    *(uint64_t *)loop_alloc(ref, size, FREE_NOW) = word;
}

/** The same with objects chosen at random among `count`. */
LOOP_INLINE void
loop_replace(ref_t *refs, uint32_t count, size_t size, struct rng *rng, uint64_t replaces)
{
    for (uint64_t done = 0; done < replaces; done += REPLACES_PER_SECTION) {
        subject_enter();
        for (unsigned i = 0; i < REPLACES_PER_SECTION; i++)
            loop_replace_one(&refs[rng_below(rng, count)], size, done);
        subject_leave();
    }
}

/** Allocates `depth` objects, then frees them, the last first, in one section. */
LOOP_INLINE void
loop_burst(ref_t *refs, unsigned depth, size_t size)
{
    subject_enter();
    for (unsigned i = 0; i < depth; i++)
        loop_alloc(&refs[i], size, FREE_NOW);
    for (unsigned i = depth; i-- > 0;)
        subject_free(&refs[i], FREE_NOW);
    subject_leave();
}

/** Allocates `held` objects, then frees them, the first first, until `pairs` are done; a section
 * each time. Each object is written to. */
LOOP_INLINE void
loop_held(ref_t *refs, unsigned held, size_t size, uint64_t pairs)
{
    for (uint64_t done = 0; done < pairs; done += held) {
        subject_enter();
        for (unsigned i = 0; i < held; i++)
            *(uint64_t *)loop_alloc(&refs[i], size, FREE_NOW) = done;
        for (unsigned i = 0; i < held; i++)
            subject_free(&refs[i], FREE_NOW);
        subject_leave();
    }
}

/** Sizes of one object after the other, for loop_mixed. */
#define LOOP_SIZES 4096 /* a power of two */

/** Replaces random ones of `held` objects by such of the sizes, in turn from number *next on. */
LOOP_INLINE void
loop_mixed(ref_t *refs, unsigned held, const uint32_t *sizes, uint32_t *next, struct rng *rng,
           uint64_t replaces)
{
    for (uint64_t done = 0; done < replaces; done += REPLACES_PER_SECTION) {
        subject_enter();
        for (unsigned i = 0; i < REPLACES_PER_SECTION; i++)
            loop_replace_one(&refs[rng_below(rng, held)], sizes[(*next)++ % LOOP_SIZES], done);
        subject_leave();
    }
}

/** Frees what a table of references has. */
static inline void
loop_drop(ref_t *refs, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        subject_enter();
        subject_free(&refs[i], FREE_NOW);
        subject_leave();
    }
}

/** Fills a table of references, for loop_replace. */
static inline void
loop_fill(ref_t *refs, uint32_t count, size_t size)
{
    for (uint32_t i = 0; i < count; i++) {
        subject_enter();
        *(uint64_t *)loop_alloc(&refs[i], size, FREE_NOW) = i;
        subject_leave();
    }
}

#define LOOP_ROUNDS 5

/** One untimed round, then the median of LOOP_ROUNDS timed ones; ns per operation. */
static inline double
loop_median_ns(void (*round)(void *arg, uint64_t operations), void *arg, uint64_t operations)
{
    double ns[LOOP_ROUNDS];
    round(arg, operations);
    for (unsigned i = 0; i < LOOP_ROUNDS; i++) {
        uint64_t start = bench_now_ns();
        round(arg, operations);
        double now = (double)(bench_now_ns() - start) / (double)operations;
        unsigned at = i;
        for (; at > 0 && ns[at - 1] > now; at--)
            ns[at] = ns[at - 1];
        ns[at] = now;
    }
    return ns[LOOP_ROUNDS / 2];
}

#endif
