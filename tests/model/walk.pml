/* SPDX-License-Identifier: MIT */
/*
 * walk.pml - frees whose slots are reusable at once (free_now) beside a walk, over store buffers. A
 * walk raises `walkers` and shuts every cache's gate, does one membarrier, and then looks, in a
 * section and with the span detached, at the objects that it finds by header and word. A free_now
 * ends the word by a plain store; what it does with the slot says the form:
 *
 *   plain     enters its cache, puts the slot into its bin without a look at `walkers`: no slot of
 *             that is taken, for the owner enters no more, and none that goes to the heap, for no
 *             refill takes from a span that is detached
 *   HARDENED  enters its cache, ends word and header, and overwrites the object at once, unless
 *             it sees `walkers`: then the slot is retired
 *   LARGE     always the slow path (sn_object_reuse), as for what has no bin: ends the word, looks
 *             at `walkers`: retired, or back to the heap. No span is detached for a large object.
 *
 * The slow path is also that of who is kept out of its cache, in any form. Where membarrier is
 * missing (NO_MEMBARRIER), nobody takes the fast path, and the slow path passes a full fence before
 * it looks. There is one slot.
 * Not here: frees by CAS, which is a full fence; the cache's lock alone (drain.pml);
 * objects that are relocated (cell.pml).
 *
 * Checked: while a walk looks at an object, nobody poisons or fills its slot for another.
 *
 * Seeded bugs: BUG_80 no membarrier; BUG_81 a free looks at walkers before it enters and ends the
 * word; BUG_82 the slow path reuses in spite of walkers, BUG_83 the fast one of hardened stores;
 * BUG_84 the span is not detached; BUG_85 owners are not kept out; BUG_86 membarrier before walkers
 * is raised; BUG_87 the walk looks outside of a section; BUG_88 without membarrier in the kernel,
 * no fence in the slow path.
 */
#ifndef OWNERS
#define OWNERS 1
#endif
#ifndef OPS /* of each owner */
#define OPS 2
#endif
#ifndef WALKS
#define WALKS 1
#endif
#define THREADS (OWNERS + 1)

/* The word of owner p: the number of its object, which lies in the slot, or 0. The slot's header
 * says whose word names it, plus 1. Its contents: the number of the object that was filled in. */
#define WORD(p)   ((p) * 3)
#define BUSY(p)   ((p) * 3 + 1)
#define SHUT(p)   ((p) * 3 + 2)
#define A_HEADER  (OWNERS * 3)
#define A_DATA    (OWNERS * 3 + 1)
#define A_WALKERS (OWNERS * 3 + 2)
#define A_LIMBO   (OWNERS * 3 + 3) /* a store here: the slot is in limbo */
#define ADDRESSES (OWNERS * 3 + 4)
#define POISON    200

/* Where the slot is. Ghost, but for heap and bin, whose users hold lock or cache. */
#define USED      0
#define LIMBO     2
#define IN_HEAP   3
#define IN_BIN(p) (4 + (p))
byte place;
byte objects;   /* numbers given so far (ghost) */
byte seen;      /* the object that the walk looks at (ghost) */
bool section;   /* the walk's is open */
bool gp;        /* limbo: the slot still waits for it */
bool span_held; /* by the class lock */

#define WROTE(at, v) if \
    :: (at) == A_DATA -> assert(seen == 0 || seen == (v)) \
    :: (at) == A_LIMBO -> gp = section; place = (section -> LIMBO : IN_HEAP) \
    :: else \
    fi
/* What each looks for by loads that may be early. */
#define EARLY(t, at) \
    ((t) == OWNERS -> (at) == A_HEADER : (at) == A_WALKERS || (at) == SHUT(t))
#include "tso.inc"

/* Enters with what its gate says in f; at 0 the cache is the owner's. */
inline enter(f)
{
    store(BUSY(me), 1);
#ifdef NO_MEMBARRIER
    full_fence(); /* sn_cache_enter; fast paths find no gate open */
#endif
    load_acquire(SHUT(me), f)
}

inline leave()
{
    store_release(BUSY(me), 0)
}

/* sn_object_reuse: the word has ended. */
inline reuse(v, f)
{
#if defined(NO_MEMBARRIER) && !defined(BUG_88)
    full_fence();
#endif
#ifndef BUG_81
    load_acquire(A_WALKERS, v);
#endif
#ifdef BUG_82
    v = 0;
#endif
    store_release(A_HEADER, 0);
    if
    :: v != 0 -> store_release(A_LIMBO, 1)
    :: else ->
#ifdef HARDENED
        store(A_DATA, POISON);
#endif
#ifndef LARGE
        enter(f);
        if
        :: f == 0 -> place = IN_BIN(me); leave()
        :: else -> leave(); atomic { FENCED -> place = IN_HEAP }
        fi
#else
        atomic { FENCED -> place = IN_HEAP }
#endif
    fi;
    v = 0
}

/* free_now of the owner's object. */
inline free_now(v, f)
{
#ifdef BUG_81
    load_acquire(A_WALKERS, v);
#endif
#if defined(LARGE) || defined(NO_MEMBARRIER)
    f = 1;
#else
    enter(f);
#endif
    if
    :: f == 0 ->
        store(WORD(me), 0);
#ifdef HARDENED
#ifndef BUG_81
        load_acquire(A_WALKERS, v);
#endif
#ifdef BUG_83
        v = 0;
#endif
#endif
        store_release(A_HEADER, 0);
        if
#ifdef HARDENED
        :: v != 0 -> store_release(A_LIMBO, 1)
        :: v == 0 -> store(A_DATA, POISON); place = IN_BIN(me)
#else
        :: true -> place = IN_BIN(me)
#endif
        fi;
        v = 0;
        leave()
    :: else ->
#if !defined(LARGE) && !defined(NO_MEMBARRIER)
        leave();
#endif
        store(WORD(me), 0);
        reuse(v, f)
    fi
}

/* An allocation, if the slot can be had: from the bin, or from the heap. mine: the object's
 * number. */
inline alloc(mine, f)
{
#ifdef LARGE
    f = 1;
#else
    enter(f);
#endif
    if
    :: f == 0 && place == IN_BIN(me) -> d_step { place = USED; objects++; mine = objects }
    :: else ->
        atomic {
            FENCED ->
            lock_taken();
            if
            :: place == IN_HEAP && !span_held -> place = USED; objects++; mine = objects
            :: else
            fi
        }
    fi;
    if
    :: mine != 0 -> store(A_HEADER, me + 1); store_release(WORD(me), mine)
    :: else
    fi;
#ifndef LARGE
    leave();
#endif
    if
    :: mine != 0 -> store(A_DATA, mine) /* the application fills it */
    :: else
    fi
}

proctype owner(byte me)
{
    byte i, mine, v, f;
    mine = (me == 0); /* the first object */
    do
    :: i < OPS ->
        i++;
        if
        :: mine != 0 ->
            free_now(v, f);
            mine = 0
        :: mine == 0 -> alloc(mine, f)
        :: atomic { /* drains what the other one keeps, while that is out, which a membarrier
                  * shows (drain.pml) */
            place == IN_BIN(OWNERS - 1 - me) && memory[BUSY(OWNERS - 1 - me)] == 0 &&
            sb_used[OWNERS - 1 - me] == 0 ->
            place = IN_HEAP
            }
        fi;
        atomic { v = 0; f = 0 }
    :: else -> break
    od
}

/* handle_store_each. */
proctype walker(byte me)
{
    byte i, p, h;
    do
    :: i < WALKS ->
        i++;
#ifdef BUG_86
        membarrier(p);
#endif
        rmw_relaxed(A_WALKERS, 1);
#ifndef BUG_85
        do
        :: p < OWNERS -> store(SHUT(p), 1); p++
        :: else -> p = 0; break
        od;
#endif
#if defined(NO_MEMBARRIER) || defined(BUG_80) || defined(BUG_86)
        full_fence();
#else
        membarrier(p);
#endif
#if !defined(LARGE) && !defined(BUG_84)
        span_held = 1;
#endif
#ifndef BUG_87
        section = 1;
#endif
        load_acquire(A_HEADER, h);
        if
        :: h != 0 ->
            d_step { /* from here on it looks, as long as it likes */
                load_here(WORD(h - 1), seen)
            }
            seen = 0
        :: else
        fi;
        d_step {
            h = 0;
            section = 0;
            gp = 0;
            place = (place == LIMBO -> IN_HEAP : place)
        }
        span_held = 0;
        rmw_release(A_WALKERS, -1);
#ifndef BUG_85
        do
        :: p < OWNERS -> store_release(SHUT(p), 0); p++
        :: else -> p = 0; break
        od
#endif
    :: else -> break
    od
}

init
{
    byte i;
    atomic {
        memory[WORD(0)] = 1;
        memory[A_HEADER] = 1;
        memory[A_DATA] = 1;
        objects = 1;
        do
        :: i < OWNERS -> run owner(i); i++
        :: else -> run walker(i); i = 0; break
        od
    }
    d_step { /* the end: what is named is used, and holds what was filled in */
        _nr_pr == 2 && sb_used[0] == 0 && sb_used[1] == 0 && sb_used[THREADS - 1] == 0 ->
        assert(place != LIMBO && (place == USED) == (memory[A_HEADER] != 0));
        do
        :: i < OWNERS ->
            assert(memory[WORD(i)] == 0 ||
                   (memory[A_HEADER] == i + 1 && memory[WORD(i)] == memory[A_DATA]));
            i++
        :: else -> i = 0; break
        od
    }
}
