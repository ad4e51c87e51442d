/* SPDX-License-Identifier: MIT */
/*
 * order.pml - places where the library orders what an x86 orders by itself, each as small as it can
 * be: two threads, over weak.inc. One PLACE is built at a time:
 *
 *   CALL    a slow call says that it is under way (sn_slow_call_begin), counts, publishes, and says
 *           that it is over; SPARE: by locked instructions, as the fallback cache has many owners.
 *           The checker compares counters with what a walk finds, if it sees nobody under way
 *           before and after (check_breakdown in insight/check.c)
 *   WORK    the same of who changes the counters of others (sn_caches_begin_work); who sums up sees
 *           that nobody works, nor did (sn_caches_are_quiet), or sums up anew
 *   PASS    a forced pass ends, and who waits for it reads the totals without the lock
 *   LIMBO   what a thread has in limbo is handed over: it is in the sum, or still with the thread,
 *           or both, never in neither (sn_caches_limbo)
 *   WAKE    a free adds to freed_bytes, and wakes the mover if the sum is at its mark; the mover
 *           sets the mark, and sleeps if the sum is below it (arm_wake_up in defrag/thread.c)
 *   CANARY  a hardened free ends the word and poisons the object; the mover, that finds a canary
 *           overwritten, takes it for damage if the word is still marked (sn_canary_check)
 *
 * With membarrier the kernel orders more in CALL and WORK; without it (NO_MEMBARRIER), only what
 * stands in the code does. The sums themselves are taken with a lock, whose acquire and release
 * order nothing that lies outside of them.
 *
 * Seeded bugs: BUG_170 a call is not ordered behind its begin; BUG_171 nor its end behind it;
 * BUG_172, BUG_173 the same of a worker; BUG_174 the count of what was done is not ordered behind
 * that; BUG_175 who sums up may have looked at the workers before; BUG_176 the end of a pass is not
 * ordered behind its totals; BUG_177 who waits for it may have read them before; BUG_178 what is
 * handed over is not in the sum yet; BUG_179 who asks may have read the sum before; BUG_180 a free
 * may have read the mark before its sum is seen; BUG_181 the mover the sum, before its mark is;
 * BUG_182 poison is seen before the word's end; BUG_183 the word was read before the canary.
 */
#define THREADS 2
#define A_FLAG  0 /* pending; workers; forced_done; what the thread has in limbo; wake_at; R */
#define A_COUNT 1 /* counts; totals; the sum of limbo; freed_bytes; the object's data */
#define A_WORD  2 /* what a walk finds; a second count */
#define A_DONE  3 /* how often somebody has worked */
#define ADDRESSES    4
#define WROTE(at, v) skip
#include "weak.inc"

#ifndef ROUNDS
#define ROUNDS 2
#endif

#ifdef SPARE
#define BEGIN()      rmw_relaxed(A_FLAG, 1)
#define END()        rmw_release(A_FLAG, -1)
#define END_RELAXED() rmw_relaxed(A_FLAG, -1)
#else
#define BEGIN()      store(A_FLAG, 1)
#define END()        store_release(A_FLAG, 0)
#define END_RELAXED() store(A_FLAG, 0)
#endif

/* What a checker's sum begins with: caches are shut, and owners inside are waited for. */
inline lock_out(t)
{
#ifdef NO_MEMBARRIER
    full_fence()
#else
    membarrier(t)
#endif
}

#ifdef CALL
proctype first(byte me)
{
    byte i;
    do
    :: i < ROUNDS ->
        i++;
        BEGIN();
#ifndef BUG_170
        fence_release();
#endif
        store(A_COUNT, i);
        store_release(A_WORD, i);
#ifdef BUG_171
        END_RELAXED()
#else
        END()
#endif
    :: else -> break
    od
}

inline look(busy, count, t)
{
    lock_out(t);
    load_acquire(A_FLAG, k);
    busy = busy || k != 0;
    load(A_COUNT, count)
}

proctype second(byte me)
{
    byte k, t, before, between, after, found;
    bool busy;
    look(busy, before, t);
    look(busy, between, t);
    lock_out(t); /* the walk's */
    load_acquire(A_WORD, found);
    look(busy, after, t);
    look(busy, between, t);
    assert(busy || before != after || found == before)
}
#endif

#ifdef WORK
proctype first(byte me)
{
    byte i;
    do
    :: i < ROUNDS ->
        i++;
        rmw_relaxed(A_FLAG, 1);
#ifndef BUG_172
        fence_release();
#endif
        store(A_COUNT, i);
        store(A_WORD, i);
#ifdef BUG_174
        rmw_relaxed(A_DONE, 1);
#else
        rmw_release(A_DONE, 1);
#endif
#ifdef BUG_173
        rmw_relaxed(A_FLAG, -1)
#else
        rmw_release(A_FLAG, -1)
#endif
    :: else -> break
    od
}

proctype second(byte me)
{
    byte k, t, before, after, one, other;
    load_acquire(A_FLAG, k);
    load_acquire(A_DONE, before);
    lock_out(t);
    load(A_COUNT, one);
    load(A_WORD, other);
#ifndef BUG_175
    fence_acquire();
#endif
    load_acquire(A_FLAG, k);
    load_acquire(A_DONE, after);
    assert(k != 0 || before != after || one == other)
}
#endif

#ifdef PASS
proctype first(byte me)
{
    store(A_COUNT, 1);
#ifdef BUG_176
    store(A_FLAG, 1)
#else
    store_release(A_FLAG, 1)
#endif
}

proctype second(byte me)
{
    byte done, moved;
#ifdef BUG_177
    load(A_FLAG, done);
#else
    load_acquire(A_FLAG, done);
#endif
    load(A_COUNT, moved);
    assert(!done || moved)
}
#endif

#ifdef LIMBO
proctype first(byte me)
{
    rmw_relaxed(A_COUNT, 1);
#ifdef BUG_178
    store(A_FLAG, 0)
#else
    store_release(A_FLAG, 0)
#endif
}

proctype second(byte me)
{
    byte its, sum;
#ifdef BUG_179
    load(A_FLAG, its);
#else
    load_acquire(A_FLAG, its);
#endif
    load_acquire(A_COUNT, sum);
    assert(its + sum > 0)
}
#endif

#ifdef WAKE
bool woken, slept;

proctype first(byte me)
{
    byte sum, mark;
#ifdef BUG_180
    rmw_release(A_COUNT, 1);
    sum = 1;
    load_acquire(A_FLAG, mark);
#else
    rmw_seq(A_COUNT, 1, sum);
    load_seq(A_FLAG, mark);
#endif
    woken = sum >= mark
}

proctype second(byte me)
{
    byte sum;
    store(A_FLAG, 1); /* it was 2: no mark that is ever reached */
#ifndef BUG_181
    full_fence();
#endif
    load(A_COUNT, sum);
    slept = sum < 1
}
#endif

#ifdef CANARY
proctype first(byte me)
{
    store_release(A_FLAG, 0); /* the word: it was marked, 1 */
    store_release(A_WORD, 1); /* the header says poisoned */
#ifndef BUG_182
    fence_release();
#endif
    store(A_COUNT, 1)
}

proctype second(byte me)
{
    byte data, word;
    load(A_COUNT, data);
    if
    :: data != 0 -> /* no canary */
#ifndef BUG_183
        fence_acquire();
#endif
        load(A_FLAG, word);
        assert(word == 0)
    :: else
    fi
}
#endif

init
{
    atomic {
#if defined(LIMBO) || defined(CANARY)
        memory[A_FLAG] = 1;
#endif
#ifdef WAKE
        memory[A_FLAG] = 2;
#endif
        run first(0);
        run second(1)
    }
#ifdef WAKE
    _nr_pr == 2 && sb_used[0] == 0 && sb_used[1] == 0 -> assert(woken || !slept)
#endif
}
