/* SPDX-License-Identifier: MIT */
/*
 * each.pml - a walk over all slots beside the mover: the paragraph on walks in reference.h. Every
 * slot is a span by itself, so that a place is a slot; spans of several slots are walked in one
 * piece, and are no more to the rule. Two objects; a writer calls moves off, a freer frees the
 * second object and makes another in its place, anywhere.
 *
 * The walk comes to a slot under the mover's lock: it cancels a move that is pending there, and
 * the mover leaves the slot alone until the walk has gone on. Then it looks at the slot, in a
 * section and without the lock. The last slot is beyond the walk's end if it is taken later than
 * the walk begins, and then counts as behind.
 *
 * Checked: at the end of each walk, what lived throughout was met once.
 *
 * Seeded bugs, beside mover.inc's: BUG_110 an object may cross the walk; BUG_111 it may go to the
 * slot that the walk is at; BUG_112 the walk does not cancel what is pending at its slot; BUG_113
 * the mover may mark there; BUG_114 the walk goes on without the mover's lock; BUG_115 what lies
 * beyond the walk's end counts as ahead.
 */
#ifndef WRITERS
#define WRITERS 0
#endif
#ifndef FREERS
#define FREERS 0
#endif
#ifndef WALKS
#define WALKS 1
#endif
#ifndef SLOTS
#define SLOTS 4
#endif
byte R[2];
byte ahead; /* the first slot that the walk has ahead */
byte end;   /* where it ends */
#ifdef BUG_115
#define AHEAD(s) ((s) >= ahead)
#else
#define AHEAD(s) ((s) >= ahead && (s) < end)
#endif
#ifdef BUG_110
#define BESIDE(s, d) ((d) != at)
#elif defined(BUG_111)
#define BESIDE(s, d) (at == NOWHERE || AHEAD(s) == AHEAD(d))
#else
#define BESIDE(s, d) ((d) != at && (at == NOWHERE || AHEAD(s) == AHEAD(d)))
#endif
#include "rcu.inc"

#include "mover.inc"

byte met[2];   /* how often the walk has met the object of each word (ghost) */
bool ended[2]; /* it has ended since the walk began (ghost) */

/* deref_mut: calls a pending move off. */
proctype writer()
{
    byte w;
    bool ok;
    section_enter();
    load(0, w);
    do
    :: STATE(w) != MOVING -> break
    :: else ->
        cas(0, w, WITH(w, LIVE), ok);
        load(0, w)
    od;
    section_leave()
}

/* handle_free of the second object, then an allocation in any slot but the walk's. */
proctype freer()
{
    byte w, s;
    bool ok;
    section_enter();
    load(1, w);
    do
    :: d_step { cas(1, w, 0, ok); ended[1] = ended[1] || ok }
        if
        :: ok -> break
        :: else -> load(1, w)
        fi
    od;
    s = SLOT(w);
    hdr[s] = 0;
    retire(s, OBJECT(1, 1));
    section_leave();
    section_enter();
    atomic {
        take_slot(s, OBJECT(1, 2));
        if
        :: s != NONE && s == at -> life[s] = S_FREE; owner[s] = 0; s = NONE
        :: else
        fi
    }
    if
    :: s != NONE ->
        hdr[s] = HEADER(1, 0);
        d_step { R[1] = WORD(1, LIVE, s) }
    :: else
    fi;
    section_leave()
}

proctype walker()
{
    byte n, s, w, h;
    bool ok;
    do
    :: n < WALKS ->
        n++;
        atomic {
            !mover_lock -> met[0] = 0; met[1] = 0; ended[0] = 0; ended[1] = R[1] == 0;
            end = (life[SLOTS - 1] == S_FREE -> SLOTS - 1 : SLOTS);
            ahead = 0; at = SLOTS /* before the first */
        }
        do
        :: s < end ->
#ifdef BUG_114
            atomic { at = s; ahead = s + 1 }
            atomic { !mover_lock -> mover_lock = 1 }
#else
            atomic { !mover_lock -> mover_lock = 1; at = s; ahead = s + 1 }
#endif
#ifndef BUG_112
            give_up(s, w, h, ok);
#endif
            mover_lock = 0;
            section_enter();
            h = hdr[s];
            if
            :: h != 0 ->
                load(NAMED_BY(h), w);
                if
                :: STATE(w) != FREE && SLOT(w) == s -> met[NAMED_BY(h)]++
                :: else
                fi
            :: else
            fi;
            atomic { h = 0; w = 0; s++; section_leave() }
        :: else -> break
        od;
        atomic {
            !mover_lock ->
            assert(met[0] == 1);
            assert(ended[1] || met[1] == 1);
            at = NOWHERE; s = 0
        }
    :: else -> break
    od
}

init
{
    byte i, s;
    atomic {
        do
        :: i < 2 ->
            if /* each in any slot that the walk goes to */
            :: life[0] == S_FREE -> s = 0
            :: life[1] == S_FREE -> s = 1
            :: life[2] == S_FREE -> s = 2
            fi;
            life[s] = S_USED;
            owner[s] = OBJECT(i, 1);
            hdr[s] = HEADER(i, 0);
            R[i] = WORD(0, LIVE, s);
            i++
        :: else -> break
        od;
        s = 0;
        SPAWN(i, MOVERS, mover(i));
        SPAWN(i, WRITERS, writer());
        SPAWN(i, FREERS, freer());
        run walker()
    }
    atomic { /* the end: what is used is named */
        _nr_pr == 1 ->
        do
        :: s < SLOTS ->
            assert(life[s] != S_RETIRED);
            assert((life[s] == S_USED) == (hdr[s] != 0));
            assert(hdr[s] == 0 || SLOT(R[NAMED_BY(hdr[s])]) == s);
            s++
        :: else -> break
        od
    }
}
