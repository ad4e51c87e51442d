/* SPDX-License-Identifier: MIT */
/*
 * move.pml - objects named by handles, moved in batches while they are read, written, resized in
 * place, freed by CAS and by plain store, their slots and indexes reused. Not here: pins
 * (pin.pml), new versions (update.pml), cells (cell.pml).
 *
 * Object 0 is everybody's: readers, writers, the resizer and the freers hold its handle and go on
 * using it when it is stale. The churner allocates objects that it alone knows and frees them by
 * free_now, into the same indexes and slots.
 *
 * Checked: no write and no size is lost (G3); what was resolved is not reused (G2); a stale handle
 * names nothing; one free wins (G4); a slot is retired once; writers and size readers try a
 * bounded number of times (G1, G3); at the end every slot is either named or free.
 *
 * Seeded bugs, beside mover.inc's: BUG_10 free_now's plain store after loading MOVING; BUG_11
 * free_now reuses at once after MOVING; BUG_12 resize changes the header without CAS; BUG_13
 * resize does not cancel the move; BUG_14 deref_mut does not; BUG_15 an index is reused under
 * the same generation.
 */
#ifndef READERS
#define READERS 0
#endif
#ifndef WRITERS
#define WRITERS 0
#endif
#ifndef FREERS
#define FREERS 0
#endif
#ifndef RESIZERS
#define RESIZERS 0
#endif
#ifndef CHURN /* objects that the churner makes */
#define CHURN 0
#endif
#ifndef ROUNDS /* sections of each reader and writer */
#define ROUNDS 1
#endif
#ifndef SLOTS
#define SLOTS 3
#endif
#define INDEXES 2
byte R[INDEXES]; /* the handle table */
#include "rcu.inc"
/* No move is cancelled of what free_now frees here, so step 4 reads nothing that was reused. */
#define COPIES(s, o) READABLE(s, o)
#include "mover.inc"

#define FILLED 128 /* the churner's contents */
#ifdef BUG_15
#define NEXT(gen) (gen)
#else
#define NEXT(gen) ((gen) + 1)
#endif

byte written; /* writes to object 0 that were finished (ghost) */
byte resized; /* resizes of object 0 that returned 0 (ghost) */
byte won;     /* frees of object 0 that returned 0 (ghost) */

/* The slot of object 0 for writing, or NONE. */
inline deref_mut(w, s, ok, tries)
{
    load(0, w);
    do
    :: !MATCH(w, 1) -> s = NONE; break
#ifdef BUG_14
    :: MATCH(w, 1) -> s = SLOT(w); break
#endif
    :: MATCH(w, 1) && STATE(w) == LIVE -> s = SLOT(w); break
    :: MATCH(w, 1) && STATE(w) == MOVING ->
        cas(0, w, WITH(w, LIVE), ok);
        if
        :: ok -> s = SLOT(w); break
        :: else -> tries++; assert(tries <= 2); load(0, w)
        fi
    od
}

proctype reader()
{
    byte w, s, h, want, size, n, tries;
    do
    :: n < ROUNDS ->
        n++;
        section_enter();
        d_step { w = R[0]; want = written; size = resized }
        do
        :: MATCH(w, 1) ->
            s = SLOT(w);
            d_step { /* at any time later in the section */
                READABLE(s, OBJECT(0, 1));
                assert((data[s] & want) == want); /* G3 */
                h = hdr[s]
            }
            if /* handle_size */
            :: NAMES(h, 0) -> assert(SIZE(h) >= size); break
            :: else -> /* cleared only after the word changed */
                tries++;
                assert(tries <= 2);
                d_step { assert(R[0] != w); w = R[0] }
            fi
        :: else -> break
        od;
        atomic { w = 0; s = 0; h = 0; want = 0; size = 0; tries = 0; section_leave() }
    :: else -> break
    od
}

proctype writer(byte mine)
{
    byte w, s, n, tries;
    bool ok;
    do
    :: n < ROUNDS ->
        n++;
        section_enter();
        deref_mut(w, s, ok, tries);
        if
        :: s != NONE ->
            d_step { /* at any time later in the section */
                READABLE(s, OBJECT(0, 1));
                assert(!MATCH(R[0], 1) || SLOT(R[0]) == s); /* no move takes effect */
                data[s] = data[s] | mine;
                written = written | mine
            }
        :: else
        fi;
        atomic { mine = mine << 1; w = 0; s = 0; ok = 0; tries = 0; section_leave() }
    :: else -> break
    od
}

/* handle_resize within the slot: a writer whose write is the header (G4). */
proctype resizer()
{
    byte w, s, h, tries;
    bool ok;
    section_enter();
#ifdef BUG_13
    load(0, w);
    s = (MATCH(w, 1) -> SLOT(w) : NONE);
#else
    deref_mut(w, s, ok, tries);
#endif
    if
    :: s != NONE ->
        h = hdr[s];
        if
        :: NAMES(h, 0) ->
            d_step {
                if
#ifdef BUG_12
                :: true -> hdr[s] = HEADER(0, SIZE(h) + 1); resized++
#else
                :: hdr[s] == h -> hdr[s] = HEADER(0, SIZE(h) + 1); resized++
                :: else /* -ENOENT */
#endif
                fi;
                assert(life[s] == S_USED || hdr[s] == 0) /* limbo's link was not overwritten */
            }
        :: else
        fi
    :: else
    fi;
    atomic { w = 0; s = 0; h = 0; ok = 0; tries = 0; section_leave() }
}

/* handle_free of object 0. */
proctype freer()
{
    byte w;
    bool ok;
    section_enter();
    load(0, w);
    do
    :: !MATCH(w, 1) -> break /* -ENOENT */
    :: MATCH(w, 1) ->
        cas(0, w, WORD(NEXT(GEN(w)), FREE, 0), ok);
        if
        :: ok ->
            d_step { won++; assert(won == 1) }
            hdr[SLOT(w)] = 0;
            retire(SLOT(w), OBJECT(0, 1));
            break
        :: else -> load(0, w)
        fi
    od;
    atomic { w = 0; ok = 0; section_leave() }
}

/* handle_free_now of an object that the caller alone knows. */
inline free_now(i, gen, w, ok)
{
    load(i, w);
    assert(MATCH(w, gen));
    if
#ifdef BUG_10
    :: true ->
#else
    :: STATE(w) == LIVE ->
#endif
        R[i] = WORD(NEXT(gen), FREE, 0); /* plain store */
        hdr[SLOT(w)] = 0;
        release(SLOT(w), OBJECT(i, gen))
#ifndef BUG_10
    :: else ->
        do
        :: cas(i, w, WORD(NEXT(gen), FREE, 0), ok);
            if
            :: ok -> break
            :: else -> load(i, w)
            fi
        od;
        hdr[SLOT(w)] = 0;
#ifdef BUG_11
        release(SLOT(w), OBJECT(i, gen))
#else
        retire(SLOT(w), OBJECT(i, gen))
#endif
#endif
    fi
}

proctype churner()
{
    byte i, gen, w, s, n;
    bool ok;
    do
    :: n < CHURN ->
        n++;
        section_enter();
        atomic { /* an index off the free list */
            if
            :: STATE(R[0]) == FREE -> i = 0
            :: STATE(R[1]) == FREE -> i = 1
            fi;
            gen = GEN(R[i])
        }
        take_slot(s, OBJECT(i, gen));
        if
        :: s != NONE ->
            hdr[s] = HEADER(i, 0);
            R[i] = WORD(gen, LIVE, s);
            data[s] = FILLED; /* G9: through alloc's pointer, in this section */
            if
            :: section_leave(); section_enter() /* the object lives on for a while */
            :: true
            fi;
            load(i, w);
            s = SLOT(w);
            d_step {
                assert(MATCH(w, gen));
                READABLE(s, OBJECT(i, gen));
                assert(data[s] == FILLED)
            }
            free_now(i, gen, w, ok)
        :: else
        fi;
        atomic { i = 0; gen = 0; w = 0; s = 0; ok = 0; section_leave() }
    :: else -> break
    od
}

init
{
    byte i, s;
    atomic {
        life[0] = S_USED;
        owner[0] = OBJECT(0, 1);
        hdr[0] = HEADER(0, 0);
        R[0] = WORD(1, LIVE, 0);
        R[1] = WORD(1, FREE, 0);
        SPAWN(i, MOVERS, mover(i));
        SPAWN(i, READERS, reader());
        SPAWN(i, WRITERS, writer(1 << (i * ROUNDS)));
        SPAWN(i, RESIZERS, resizer());
        SPAWN(i, FREERS, freer());
#if CHURN > 0
        run churner()
#endif
    }
    atomic { /* the end: what is used is named, and the other way round */
        _nr_pr == 1 ->
        assert(FREERS == 0 || won == 1);
        do
        :: s < SLOTS ->
            assert(life[s] != S_RETIRED);
            if
            :: life[s] == S_USED ->
                i = NAMED_BY(hdr[s]);
                assert(hdr[s] != 0 && STATE(R[i]) != FREE && SLOT(R[i]) == s);
                assert(owner[s] == OBJECT(i, GEN(R[i])));
                assert(owner[s] != OBJECT(0, 1) || (data[s] & written) == written)
            :: else
            fi;
            s++
        :: else -> break
        od;
        assert(STATE(R[0]) == FREE || life[SLOT(R[0])] == S_USED);
        assert(STATE(R[1]) == FREE || life[SLOT(R[1])] == S_USED)
    }
}
