/* SPDX-License-Identifier: MIT */
/*
 * fence.pml - the end of an object and its pins, over store buffers. cell_free ends an object by a
 * plain store (G4), then looks, without the lock, whether its span has pin words; a pinner makes
 * the slot's word under the lock, whose release is a plain store like those before it, then looks
 * whether the cell still names the slot (G5). Each can miss what the other stored. So the slot goes
 * to limbo, and its word is looked for once more after its grace period, which waits for every
 * pinner that found the cell: pinned, it is left to the last unpin, which retires it again. Not
 * here: the mover, for a move is cancelled by CAS; how pins, moves and reuse meet (pin.pml).
 * Retiring is a store, too, behind that of the empty cell: a grace period begins after both.
 *
 * Checked: a pinned slot is not reclaimed; nobody retires a slot that another has retired; in the
 * end it is reclaimed.
 *
 * With FENCE the free passes a full fence before it looks, and a pinner before its second look;
 * then BUG_60 is none, for one that finds the cell empty makes no use of its pin.
 *
 * Seeded bugs: BUG_60 no second look after the grace period; BUG_61 the second look does not set
 * FREED; BUG_63 the last unpin leaves FREED. With WEAK: BUG_64 retiring is no release store.
 */
#ifndef PINNERS
#define PINNERS 1
#endif
#define THREADS   (1 + PINNERS)
#define A_WORD    0 /* the cell: 1 names the slot, 0 empty */
#define A_PINS    1 /* the span has pin words: another slot's, or this one's */
#define A_PIN     2 /* the slot's: count, FREED; 0: none */
#define A_LEFT    3 /* a store here ends thread v's section */
#define A_RAISE   4 /* a store here is a raise of the count, in the moment it is seen */
#define A_RETIRE  5 /* a store here puts the slot into limbo, if it is in the state stored */
#define ADDRESSES 6
#define COUNT     7
#define FREED     8
#ifdef PREMADE
#define OTHERS    1
#else
#define OTHERS    0
#endif

/* The slot (ghost, but for LIMBO). */
#define NAMED     0
#define LIMBO     1
#define HELD      2 /* ended, and left to the last unpin */
#define RECLAIMED 3

byte open; /* bit p: thread p is inside a section */
byte gp;   /* limbo: the sections that the slot still waits for */
byte life;

/* A section ends when the store that says so is visible: a grace period sees no more. One for the
 * slot begins when it is seen in limbo. */
#define WROTE(at, v) if \
    :: (at) == A_RETIRE -> assert(life == (v)); memory[A_RETIRE] = 0; life = LIMBO; gp = open \
    :: (at) == A_LEFT -> open = open & ~(1 << (v)); gp = gp & ~(1 << (v)) \
    :: (at) == A_RAISE -> memory[A_RAISE] = 0; memory[A_PIN]++; memory[A_PINS] = 1 \
    :: else \
    fi
#define EARLY(t, at) ((at) == A_WORD || (at) == A_PINS) /* the others are not looked at early */
#include "tso.inc"

inline section_enter()
{
    d_step { FENCED -> open = open | (1 << me); forget(me) }
}

inline section_leave()
{
    store_release(A_LEFT, me)
}

inline retire(was)
{
#ifdef BUG_64
    store(A_RETIRE, was)
#else
    store_release(A_RETIRE, was)
#endif
}

/* sn_pins_end_object, with the lock. last: whether the slot is the caller's. */
inline end_object(last)
{
    last = (memory[A_PIN] & COUNT) == 0;
    memory[A_PIN] = memory[A_PIN] | (last -> 0 : FREED)
}

proctype freer(byte me)
{
    byte v;
    bool last;
    section_enter();
    load_acquire(A_WORD, v);
    assert(v == 1); /* the cell's one writer */
    store_release(A_WORD, 0);
#ifdef FENCE
    full_fence();
#endif
    load_acquire(A_PINS, v);
    if
    :: v == 0 -> last = 1
    :: else ->
        d_step {
            FENCED ->
            end_object(last);
            life = (last -> life : HELD)
        }
    fi;
    if
    :: last -> retire(NAMED)
    :: else
    fi;
    section_leave()
}

inline unpin(last)
{
    d_step {
        FENCED ->
        assert((memory[A_PIN] & COUNT) > 0);
        memory[A_PIN] = memory[A_PIN] - 1;
        last = memory[A_PIN] == FREED;
        if
        :: (memory[A_PIN] & COUNT) == 0 ->
#ifndef BUG_63
            memory[A_PIN] = 0;
#endif
            memory[A_PINS] = OTHERS
        :: else
        fi
    }
    if
    :: last -> retire(HELD)
    :: else
    fi
}

proctype pinner(byte me)
{
    byte v;
    bool last;
    section_enter();
    load_acquire(A_WORD, v);
    if
    :: v == 1 ->
        FENCED;
        lock_taken();
        store_release(A_RAISE, 1);
#ifdef FENCE
        full_fence();
#endif
        load_acquire(A_WORD, v);
        if
        :: v == 1 -> section_leave(); assert(life != RECLAIMED) /* at any time until unpin */
        :: else -> skip
        fi;
        unpin(last);
        if
        :: v == 0 -> section_leave()
        :: else
        fi
    :: else -> section_leave()
    fi
}

/* Reclaims what is in limbo after its grace period. */
active proctype gp_thread()
{
    bool last;
end:
    do
    :: atomic {
        life == LIMBO && gp == 0 ->
        last = 1;
#ifndef BUG_60
        if
        :: memory[A_PINS] == 0
#ifdef BUG_61
        :: else -> last = (memory[A_PIN] & COUNT) == 0
#else
        :: else -> end_object(last)
#endif
        fi;
#endif
        life = (last -> RECLAIMED : HELD)
    }
    od
}

init
{
    byte i;
    atomic {
        memory[A_WORD] = 1;
        memory[A_PINS] = OTHERS;
        run freer(0);
        i = 1;
        do
        :: i < THREADS -> run pinner(i); i++
        :: else -> i = 0; break
        od
    }
    atomic {
        _nr_pr == 3 && life != LIMBO && open == 0 && sb_used[0] == 0 && sb_used[1] == 0 &&
        sb_used[THREADS - 1] == 0 ->
        assert(life == RECLAIMED && (memory[A_PIN] & COUNT) == 0)
    }
}
