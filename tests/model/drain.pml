/* SPDX-License-Identifier: MIT */
/*
 * drain.pml - the asymmetric lock of a thread cache, over store buffers. An owner marks itself
 * busy by a plain store, then looks whether its cache's gate is open; if it is shut, it leaves the
 * cache alone and goes to the heap. A drainer shuts the gates, does one membarrier, and empties the
 * caches whose owners are not busy; nobody waits for an owner. A walk keeps the gates shut over a
 * while in which drainers come and go. Limbo lists that were not handed over are drained by the
 * same lock. Not here: what the slots hold, when caches are drained.
 *
 * Checked: a slot is in one place at a time, whoever asks; none is lost; nobody enters during a
 * walk.
 *
 * Where membarrier is missing (NO_MEMBARRIER), an owner passes a full fence after it said busy.
 *
 * Seeded bugs: BUG_50 no membarrier; BUG_51 the drainer does not look at busy; BUG_52 the compiler
 * moves the owner's look at the gate before its store; BUG_53 drainers do not exclude each other;
 * BUG_54 the drainer opens the gate before it has emptied the cache; BUG_55 membarrier before the
 * gates are shut; BUG_56 the owner is not busy any more before its cache is stored; BUG_57 a
 * drainer opens gates during a walk. With WEAK: BUG_58 the owner leaves by a relaxed store; BUG_59
 * gates are opened by one.
 */
#ifndef OWNERS
#define OWNERS 1
#endif
#ifndef DRAINERS
#define DRAINERS 1
#endif
#ifndef OPS /* of each owner */
#define OPS 3
#endif
#ifndef DRAINS /* by each drainer */
#define DRAINS 1
#endif
#ifndef WALKS /* 0 or 1 */
#define WALKS 0
#endif
#define THREADS      (OWNERS + DRAINERS + WALKS)
#define WROTE(at, v) skip
/* One owner's cache: count and two entries. */
#define BUSY(p)      ((p) * 5)
#define SHUT(p)      ((p) * 5 + 1)
#define CACHED(p)    ((p) * 5 + 2)
#define ENTRY(p, n)  ((p) * 5 + 3 + (n))
#define CAPACITY     2
#define ADDRESSES    (OWNERS * 5)
/* The others are not looked at early. */
#define EARLY(t, at) \
    ((t) < OWNERS -> (at) == SHUT(t) || (at) == CACHED(t) : (at) % 5 == 0 || (at) % 5 == 2)
#include "tso.inc"

/* Where a slot is: in the bitmap, in the cache of owner p, with its user (ghost but for the bitmap,
 * which the class lock guards: its users pass full fences). */
#define SLOTS       3
#define IN_BITMAP   0
#define IN_CACHE(p) (1 + (p))
#define IN_USE      9
byte place[SLOTS];
bool drainers_lock;
byte walkers; /* by the lock */
bool walking; /* gates are known to be shut (ghost) */

/* The owner's side: enters with what its gate says in f; at 0 the cache is the owner's. */
inline owner_enter(f)
{
    began = walking;
#ifdef BUG_52
    load_acquire(SHUT(me), f);
    store(BUSY(me), 1);
#else
    store(BUSY(me), 1);
#ifdef NO_MEMBARRIER
    full_fence();
#endif
    load_acquire(SHUT(me), f);
    d_step {
        assert(f != 0 || !began || !walking);
        began = 0
    }
#endif
}

inline leave()
{
#ifdef BUG_58
    store(BUSY(me), 0)
#else
    store_release(BUSY(me), 0)
#endif
}

/* handle_alloc: s becomes a slot, or SLOTS if there is none. */
inline get(s, n, f)
{
    owner_enter(f);
    n = 0;
    if
    :: f == 0 -> load(CACHED(me), n)
    :: else
    fi;
    if
    :: n > 0 ->
        d_step {
            load_here(ENTRY(me, n - 1), s);
            assert(place[s] == IN_CACHE(me));
            place[s] = IN_USE
        }
#ifdef BUG_56
        leave();
        store(CACHED(me), n - 1)
#else
        store(CACHED(me), n - 1);
        leave()
#endif
    :: else ->
        leave();
        atomic {
            FENCED ->
            if
            :: place[0] == IN_BITMAP -> s = 0; place[0] = IN_USE
            :: place[1] == IN_BITMAP -> s = 1; place[1] = IN_USE
            :: place[2] == IN_BITMAP -> s = 2; place[2] = IN_USE
            :: else -> s = SLOTS
            fi
        }
    fi
}

/* handle_free_now of slot s. */
inline put(s, n, f)
{
    owner_enter(f);
    n = CAPACITY;
    if
    :: f == 0 -> load(CACHED(me), n)
    :: else
    fi;
    if
    :: n < CAPACITY ->
        store(ENTRY(me, n), s);
        d_step { assert(place[s] == IN_USE); place[s] = IN_CACHE(me) }
        store(CACHED(me), n + 1);
        leave()
    :: else ->
        leave();
        atomic { FENCED -> assert(place[s] == IN_USE); place[s] = IN_BITMAP }
    fi
}

proctype owner(byte me)
{
    byte s, n, f, i;
    byte mine[SLOTS];
    bool began; /* ghost */
    do
    :: i < OPS -> /* alloc */
        i++;
        get(s, n, f);
        atomic {
            if
            :: s < SLOTS -> mine[s] = 1
            :: else
            fi;
            s = 0; n = 0; f = 0
        }
    :: i < OPS && (mine[0] || mine[1] || mine[2]) -> /* free_now */
        i++;
        atomic {
            if
            :: mine[0] -> s = 0
            :: mine[1] -> s = 1
            :: mine[2] -> s = 2
            fi;
            mine[s] = 0
        }
        put(s, n, f);
        atomic { s = 0; n = 0; f = 0 }
    :: i == OPS -> break
    od
}

inline let_in(p)
{
#ifdef BUG_59
    store(SHUT(p), 0)
#else
    store_release(SHUT(p), 0)
#endif
}

/* sn_cache_open_gate. */
inline open(p)
{
    if
#ifndef BUG_57
    :: walkers > 0
#endif
    :: walkers == 0 -> let_in(p)
#ifdef BUG_57
    :: else -> let_in(p)
#endif
    fi
}

inline lock_drainers()
{
#ifdef BUG_53
    skip
#else
    atomic { !drainers_lock -> drainers_lock = 1; lock_taken() }
#endif
}

inline unlock_drainers()
{
#ifdef BUG_53
    skip
#else
    atomic { FENCED -> drainers_lock = 0 } /* an unlock is visible after what was stored before */
#endif
}

inline shut_all(p)
{
#ifdef BUG_55
    membarrier(p);
#endif
    do
    :: p < OWNERS -> store(SHUT(p), 1); p++
    :: else -> p = 0; break
    od;
#if defined(NO_MEMBARRIER) || defined(BUG_50) || defined(BUG_55)
    full_fence();
#else
    membarrier(p);
#endif
}

/* sn_caches_lock_out and sn_caches_let_in. */
proctype walker(byte me)
{
    byte p;
    lock_drainers();
    walkers++;
    shut_all(p);
    walking = 1;
    unlock_drainers();
    lock_drainers();
    atomic { walking = 0; walkers-- }
    do
    :: p < OWNERS -> open(p); p++
    :: else -> break
    od;
    unlock_drainers()
}

proctype drainer(byte me)
{
    byte p, n, s, b, i;
    do
    :: i < DRAINS ->
        i++;
        lock_drainers();
        shut_all(p);
        do
        :: p < OWNERS ->
#ifdef BUG_54
            open(p);
#endif
#ifndef BUG_51
            load_acquire(BUSY(p), b);
#endif
            if
            :: b == 0 ->
                load(CACHED(p), n);
                do
                :: n > 0 ->
                    n--;
                    d_step {
                        load_here(ENTRY(p, n), s);
                        assert(place[s] == IN_CACHE(p));
                        place[s] = IN_BITMAP
                    }
                :: else -> break
                od;
                store(CACHED(p), 0)
            :: else /* skipped; looked at again another time */
            fi;
#ifndef BUG_54
            open(p);
#endif
            atomic { n = 0; s = 0; b = 0; p++ }
        :: else -> p = 0; break
        od;
        unlock_drainers()
    :: else -> break
    od
}

init
{
    byte i, n, s;
    atomic {
        i = 0;
        do
        :: i < OWNERS -> run owner(i); i++
        :: i >= OWNERS && i < OWNERS + DRAINERS -> run drainer(i); i++
        :: i >= OWNERS + DRAINERS && i < THREADS -> run walker(i); i++
        :: else -> i = 0; break
        od;
    }
    atomic { /* the end: each cache holds what the ghost says, twice nothing */
        _nr_pr == 2 && sb_used[0] == 0 && sb_used[1] == 0 && sb_used[THREADS - 2] == 0 &&
            sb_used[THREADS - 1] == 0 ->
        do
        :: i < OWNERS ->
            n = 0;
            do
            :: n < memory[CACHED(i)] ->
                assert(place[memory[ENTRY(i, n)]] == IN_CACHE(i));
                place[memory[ENTRY(i, n)]] = IN_USE;
                n++
            :: else -> break
            od;
            i++
        :: else -> break
        od;
        do
        :: s < SLOTS -> assert(place[s] == IN_BITMAP || place[s] == IN_USE); s++
        :: else -> break
        od
    }
}
