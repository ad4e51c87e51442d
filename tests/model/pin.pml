/* SPDX-License-Identifier: MIT */
/*
 * pin.pml - pins (G5): objects named by one handle index are pinned, some of them for writing,
 * held outside of any section, freed meanwhile, moved, resized into another slot; slot and index
 * are used again. Not here: update_begin's pin (update.pml), pins of cells (cell.pml), the first
 * pin of a span against a plain store (fence.pml).
 *
 * Checked: a pinned slot is neither moved nor reclaimed, and what is written through it is not
 * lost; a slot is retired exactly once, whoever is the last, and readers keep it until their
 * sections end; its pin word starts from 0.
 *
 * Seeded bugs, beside mover.inc's and pin.inc's: BUG_26 resize does not look at WRITTEN; BUG_27
 * free_now does not look at the pins.
 */
#ifndef PINNERS
#define PINNERS 0
#endif
#ifndef WRITE_PINNERS /* by pin_mut */
#define WRITE_PINNERS 0
#endif
#ifndef FREERS
#define FREERS 0
#endif
#ifndef SOLE_FREERS /* by free_now, once all pins were made */
#define SOLE_FREERS 0
#endif
#ifndef READERS
#define READERS 0
#endif
#ifndef RESIZERS
#define RESIZERS 0
#endif
#ifndef REUSE /* objects that follow the first in the same index */
#define REUSE 0
#endif
#ifndef ROUNDS
#define ROUNDS 1
#endif
#ifndef SLOTS
#define SLOTS 3
#endif
byte R[1]; /* the handle table */
#include "pin.inc"
#include "mover.inc"

byte named;    /* the handle that the application uses: its generation */
byte versions; /* resizes (ghost) */
byte written;  /* through pins, to the object that the index names (ghost) */
byte tried;    /* calls of pin that have returned */
bool mutex;    /* the application's: resize is serialised with pin_mut */

/* Pins, uses the slot outside any section, unpins. */
proctype pinner(byte mine; byte flag)
{
    byte w, s, o, gen, n, v;
    bool ok;
    do
    :: n < ROUNDS ->
        n++;
        gen = named;
        if
        :: flag == WRITTEN -> atomic { !mutex -> mutex = 1 }
        :: else
        fi;
        v = versions;
        section_enter();
        pin(0, gen, flag, w, s, o, ok);
        atomic {
            tried++;
            if
            :: flag == WRITTEN -> mutex = 0
            :: else
            fi;
            section_leave()
        }
        if
        :: s != NONE ->
            d_step {
                READABLE(s, OBJECT(0, gen));
                assert(!MATCH(R[0], gen) || v != versions || SLOT(R[0]) == s);
                if
                :: flag == WRITTEN && MATCH(R[0], gen) ->
                    assert(v == versions);
                    data[s] = data[s] | mine;
                    written = written | mine
                :: else
                fi;
                w = 0
            }
            unpin(s, o, ok)
        :: else
        fi;
        atomic { w = 0; s = 0; o = 0; gen = 0; v = 0; ok = 0 }
    :: else -> break
    od
}

proctype reader()
{
    byte w;
    section_enter();
    load(0, w);
    if
    :: MATCH(w, 1) -> d_step { READABLE(SLOT(w), OBJECT(0, 1)) } /* at any time in the section */
    :: else
    fi;
    atomic { w = 0; section_leave() }
}

/* handle_free, or (sole) free_now by the only one left who resolves the handle. */
proctype freer(bool sole)
{
    byte w, s, gen;
    bool ok;
    if
    :: sole -> tried == (PINNERS + WRITE_PINNERS) * ROUNDS
    :: else
    fi;
    gen = named;
    section_enter();
    load(0, w);
    do
    :: !MATCH(w, gen) -> break
    :: MATCH(w, gen) && sole && STATE(w) == LIVE ->
        d_step { R[0] = WORD(gen + 1, FREE, 0); written = 0 } /* plain store */
        s = SLOT(w);
        hdr[s] = 0;
#ifdef BUG_27
        release(s, OBJECT(0, gen));
#else
        if
        :: PINNED(s) -> ended(s, OBJECT(0, gen), ok)
        :: else -> release(s, OBJECT(0, gen))
        fi;
#endif
        break
    :: MATCH(w, gen) && !(sole && STATE(w) == LIVE) ->
        d_step {
            if
            :: R[0] == w -> R[0] = WORD(gen + 1, FREE, 0); written = 0; ok = 1
            :: else -> ok = 0
            fi
        }
        if
        :: ok ->
            s = SLOT(w);
            hdr[s] = 0;
            ended(s, OBJECT(0, gen), ok);
            break
        :: else -> load(0, w)
        fi
    od;
    atomic { w = 0; s = 0; ok = 0; gen = 0; section_leave() }
}

/* New objects in the same index. */
proctype allocator()
{
    byte s, gen, n;
    do
    :: n < REUSE ->
        n++;
        atomic { STATE(R[0]) == FREE -> gen = GEN(R[0]) }
        section_enter();
        take_slot(s, OBJECT(0, gen));
        if
        :: s != NONE ->
            hdr[s] = HEADER(0, 0);
            R[0] = WORD(gen, LIVE, s);
            named = gen
        :: else
        fi;
        atomic { s = 0; gen = 0; section_leave() }
    :: else -> break
    od
}

/* handle_resize into another slot. */
proctype resizer()
{
    byte w, s, v, gen;
    bool ok;
    atomic { !mutex -> mutex = 1; gen = named }
    section_enter();
    load(0, w);
    s = SLOT(w);
    if
    :: !MATCH(w, gen) -> v = NONE
#ifndef BUG_26
    :: MATCH(w, gen) && (pins[s] & WRITTEN) != 0 -> v = NONE /* -EBUSY */
#endif
    :: else -> take_slot(v, OBJECT(0, gen))
    fi;
    if
    :: v != NONE ->
        d_step { READABLE(s, OBJECT(0, gen)); data[v] = data[s] }
        hdr[v] = HEADER(0, 1);
        do
        :: MATCH(w, gen) && SLOT(w) == s ->
            d_step {
                if
                :: R[0] == w -> R[0] = WORD(gen, LIVE, v); versions++; ok = 1
                :: else -> ok = 0
                fi
            }
            if
            :: ok -> break
            :: else -> load(0, w)
            fi
        :: else -> ok = 0; break
        od;
        if
        :: ok ->
            hdr[s] = 0;
            ended(s, OBJECT(0, gen), ok)
        :: else -> /* freed or moved meanwhile; the library would begin again after a move */
            hdr[v] = 0;
            release(v, OBJECT(0, gen))
        fi
    :: else
    fi;
    atomic { w = 0; s = 0; v = 0; gen = 0; ok = 0; mutex = 0; section_leave() }
}

init
{
    byte i, s;
    atomic {
        life[0] = S_USED;
        owner[0] = OBJECT(0, 1);
        hdr[0] = HEADER(0, 0);
        R[0] = WORD(1, LIVE, 0);
        named = 1;
        SPAWN(i, MOVERS, mover(i));
        SPAWN(i, PINNERS, pinner(0, 0));
        SPAWN(i, WRITE_PINNERS, pinner(1 << i, WRITTEN));
        SPAWN(i, READERS, reader());
        SPAWN(i, FREERS, freer(false));
        SPAWN(i, SOLE_FREERS, freer(true));
        SPAWN(i, RESIZERS, resizer());
#if REUSE > 0
        run allocator()
#endif
    }
    atomic { /* the end: what is used is named, nothing is pinned */
        _nr_pr == 1 ->
        do
        :: s < SLOTS ->
            assert(life[s] != S_RETIRED && (pins[s] & (COUNT | WRITTEN)) == 0);
            assert((life[s] == S_USED) == (STATE(R[0]) != FREE && SLOT(R[0]) == s));
            assert(life[s] != S_USED || (hdr[s] != 0 && owner[s] == OBJECT(0, GEN(R[0]))));
            assert(life[s] != S_USED || (data[s] & written) == written);
            s++
        :: else -> break
        od
    }
}
